"""The 3x3 convolutions of a TPU: one kernel with what stands before and behind each of them.

The TPU compiler's own convolution is fast, but wants a single picture cut into eight strips with a
seam each, and writes what was normalised, cut and put together again to the chip's main memory
every time: at 1024 x 1024 pixels that takes nearly three times as long as the multiplications. Here
rows of the picture come in as they are and leave as they are, and nothing between is written down.
"""

from dataclasses import dataclass
from functools import partial, reduce
from typing import Final

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

_LANES: Final = 128  # the width of a TPU's vector and matrix registers
_SUBLANES: Final = 16  # rows of a register of bfloat16
_TAPS: Final = 3
_MOMENTS: Final = 2  # what is summed: pixels, and their squares
# Pixels whose sums are made in one go, or one row where it has more: a tile of the kernel, once in
# the matrix unit, should serve at least 128, and the code grows with their number.
_CHUNK_PIXELS: Final = 256
# What one kernel may have of a chip's vector memory, and its largest share: in the rest the
# compiler keeps what comes before and after. Enough for the widest convolution of SDXL.
_VMEM_BYTES: Final = 32 * 2**20
_VMEM_SHARE: Final = 0.75
_BLOCKS_SHARE: Final = 0.875  # and of that for its blocks; what registers spill lies beside them


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What one step of the kernel takes.

    width   the picture's, rounded up to whole registers
    rows    of the picture, whole chunks
    chunk   rows whose sums are made at once
    tile    output channels
    """

    width: int
    rows: int
    chunk: int
    tile: int


def kernel_takes(x: jax.Array, out_channels: int, *, factor: int = 1) -> bool:
    """Whether the kernel is for such pictures: wide enough in bfloat16, on a chip with room.

    factor  2 if it is to double the size
    """
    wide = min(x.shape[-1], out_channels) >= _LANES
    return wide and x.dtype == jnp.bfloat16 and _blocks(x.shape, out_channels, factor) is not None


def normed_convolution(
    x: jax.Array,
    scale: jax.Array,
    shift: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    residual: jax.Array | None = None,
    *,
    sums: bool = True,
) -> tuple[jax.Array, jax.Array | None]:
    """conv(silu(x * scale + shift)) + bias + residual, in float32 but for the products.

    x             bf16[batch, height, width, in]
    scale, shift  f32[batch, in]
    kernel        bf16[3, 3, in, out]
    bias          f32[batch, out]
    residual      bf16[batch, height, width, out]
    sums          whether what comes of it is to be normalised in its turn
    Returns       bf16[batch, height, width, out]; and with sums those of its pixels and of their
                  squares, not rounded yet, f32[batch, 2, out], for which it would have to be read
                  once more
    """
    out_channels = kernel.shape[-1]
    extra = [] if residual is None else [residual]
    taps = kernel.reshape(1, *kernel.shape)
    return _convolution(x, [scale, shift], taps, bias, extra, 1, out_channels, sums=sums)


def doubled_convolution(
    x: jax.Array, quarters: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
    """The convolution of a picture whose pixels are repeated to twice its size.

    x         bf16[batch, height, width, in]
    quarters  bf16[2, 2, 2, 2, in, out], see `sdxl_engine.models.layers.quarter_kernels`
    bias      f32[batch, out]
    Returns   bf16[batch, 2 * height, 2 * width, out]; and its sums, as of `normed_convolution`
    """
    kernel = quarters.reshape(4, *quarters.shape[2:])
    return _convolution(x, [], kernel, bias, [], 2, quarters.shape[-1], sums=True)


def _convolution(
    x: jax.Array,
    affine: list[jax.Array],
    kernel: jax.Array,
    bias: jax.Array,
    residual: list[jax.Array],
    factor: int,
    out_channels: int,
    *,
    sums: bool,
) -> tuple[jax.Array, jax.Array | None]:
    batch, height, width, channels = x.shape
    blocks = _blocks(x.shape, out_channels, factor)
    if blocks is None:
        raise ValueError(f"no kernel for {x.shape}: ask kernel_takes first")
    wide = [(0, 0), (0, 0), (0, blocks.width - width), (0, 0)]
    x, residual = jnp.pad(x, wide), [jnp.pad(one, wide) for one in residual]
    rows, tile = blocks.rows, blocks.tile

    # A grid's step is an image b, rows r and output channels n, the last the fastest.
    columns = blocks.width
    out_block = pl.BlockSpec(
        (1, factor * rows, factor * columns, tile), lambda b, r, n: (b, r, 0, n)
    )
    in_block = pl.BlockSpec((1, rows, columns, channels), lambda b, r, _: (b, r, 0, 0))
    # The row above and the one below; outside the picture any, for it is not looked at.
    above, below = (
        pl.BlockSpec((1, 1, columns, channels), partial(_row, offset, rows, height - 1))
        for offset in (-1, rows)
    )
    weights = pl.BlockSpec((*kernel.shape[:-1], tile), lambda _b, _r, n: (0, 0, 0, 0, n))
    biases = pl.BlockSpec((1, 1, tile), lambda b, _, n: (b, 0, n))
    each_channel = pl.BlockSpec((1, 1, channels), lambda b, _r, _n: (b, 0, 0))
    item = x.dtype.itemsize
    pixels = batch * height * width
    steps, tiles = pl.cdiv(height, rows), pl.cdiv(out_channels, tile)
    kernel_reads = batch * steps if tiles > 1 else 1
    taps = kernel.size // (channels * out_channels)
    # Sums of each step: a block that all add to would have to stay, and others come between.
    moments = _MOMENTS, _SUBLANES
    sums_block = pl.BlockSpec((1, 1, *moments, tile), lambda b, r, n: (b, r, 0, 0, n))
    sums_shape = jax.ShapeDtypeStruct((batch, steps, *moments, out_channels), jnp.float32)
    out_shape = jax.ShapeDtypeStruct(
        (batch, factor * height, factor * blocks.width, out_channels), x.dtype
    )
    result, *summed = pl.pallas_call(
        partial(
            _convolve,
            blocks=blocks,
            size=(height, width),
            affine=bool(affine),
            factor=factor,
            sums=sums,
        ),
        out_shape=[out_shape, *[sums_shape] * sums],
        grid=(batch, steps, tiles),
        in_specs=[
            *(in_block, above, below, weights, biases),
            *[each_channel for _ in affine],
            *[out_block for _ in residual],
        ],
        out_specs=[out_block, *[sums_block] * sums],
        scratch_shapes=[pltpu.VMEM((_TAPS, rows + 2, blocks.width, channels), x.dtype)],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary"),
            vmem_limit_bytes=_vmem_bytes(),
        ),
        # The multiplications of the algorithm, whatever is padded inside.
        cost_estimate=pl.CostEstimate(
            flops=2 * pixels * kernel.size,
            transcendentals=pixels * channels if affine else 0,
            bytes_accessed=item
            * (
                pixels * channels
                + pixels * factor**2 * out_channels * (1 + len(residual))
                + kernel_reads * kernel.size
            ),
        ),
        name=f"convolution_{taps}",
    )(x, x, x, kernel, bias[:, None], *[one[:, None] for one in affine], *residual)
    return result[:, :, : factor * width], summed[0].sum(axis=(1, 3)) if sums else None


def _row(
    offset: int, rows: int, last: int, image: jax.Array, step: jax.Array, _: jax.Array
) -> tuple[jax.Array, jax.Array, int, int]:
    return image, jnp.clip(step * rows + offset, 0, last), 0, 0


def _blocks(shape: tuple[int, ...], out_channels: int, factor: int) -> _Blocks | None:
    """The most rows that fit, or None where not even one chunk does."""
    _, height, width, channels = shape
    item = jnp.dtype(jnp.bfloat16).itemsize
    padded = -(-width // _SUBLANES) * _SUBLANES
    chunk = min(max(_CHUNK_PIXELS // padded, 1), height)
    # More output channels in one step lengthen the code and bring no speed.
    tile = _LANES if out_channels % _LANES == 0 else out_channels
    taps_bytes = item * channels * (_TAPS**2 if factor == 1 else 4 * factor**2)
    row_bytes, out_row_bytes = (item * padded * _whole_lanes(c) for c in (channels, tile))
    # What comes in and goes out is there twice: the next is on its way meanwhile.
    fixed = 2 * taps_bytes * _whole_lanes(tile) + 2 * (_TAPS + 2) * row_bytes
    # Rows that are normed and sums of a chunk, in float32: more than the registers hold.
    fixed += 2 * (_TAPS * row_bytes + factor * chunk * out_row_bytes)
    each = (_TAPS + 2) * row_bytes + 4 * factor**2 * out_row_bytes
    fit = int((_vmem_bytes() * _BLOCKS_SHARE - fixed) / each) // chunk * chunk
    if fit < chunk:
        return None
    chunks = -(-height // chunk)
    steps = -(-chunks * chunk // fit)
    return _Blocks(padded, -(-chunks // steps) * chunk, chunk, tile)


def _whole_lanes(channels: int) -> int:
    return -(-channels // _LANES) * _LANES


def _vmem_bytes() -> int:
    """What a kernel may have here; none on a chip that jax has no figures of."""
    try:
        capacity_bytes = pltpu.get_tpu_info().vmem_capacity_bytes
    except ValueError:
        return 0
    return min(_VMEM_BYTES, int(_VMEM_SHARE * capacity_bytes))


def _convolve(  # type: ignore[no-untyped-def]  # noqa: ANN202 - pallas has no public type for a reference
    x_ref,  # noqa: ANN001
    above_ref,  # noqa: ANN001
    below_ref,  # noqa: ANN001
    kernel_ref,  # noqa: ANN001
    bias_ref,  # noqa: ANN001
    *others,  # noqa: ANN002
    blocks: _Blocks,
    size: tuple[int, int],
    affine: bool,
    factor: int,
    sums: bool,
):
    """Sums over taps of shifted rows times a tile of the kernel.

    The last of `others` is the memory in which the rows stand three times over: moved to the right
    by a column, as they are, and moved to the left; so each tap reads whole registers. Before it
    stands what is written: the result, and perhaps its sums.
    """
    (scale_ref, shift_ref), others = (others[:2], others[2:]) if affine else ((None, None), others)
    *written, moved = others
    sums_ref = written.pop() if sums else None
    *residual_ref, out_ref = written
    height, width = size
    channels = x_ref.shape[-1]
    begin = pl.program_id(1) * blocks.rows

    @pl.when(pl.program_id(2) == 0)
    def _() -> None:
        column = jax.lax.broadcasted_iota(jnp.int32, (blocks.width, channels), 0)

        def put(place, row, row_of_picture) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
            row = row.astype(jnp.float32)  # a TPU computes and moves columns in 32 bits only
            if affine:
                # x sigmoid(x) without a division, which takes longer than all else here. Where it
                # rounds otherwise, x is below -5, and it is off by less than 2e-6.
                half = row * (0.5 * scale_ref[0]) + 0.5 * shift_ref[0]
                row = half + half * jnp.tanh(half)
            inside = (row_of_picture >= 0) & (row_of_picture < height) & (column < width)
            row = jnp.where(inside, row, 0.0)
            right, left = pltpu.roll(row, 1, 0), pltpu.roll(row, blocks.width - 1, 0)
            moved[0, place] = jnp.where(column == 0, 0.0, right).astype(moved.dtype)
            moved[1, place] = row.astype(moved.dtype)
            moved[2, place] = jnp.where(column == blocks.width - 1, 0.0, left).astype(moved.dtype)

        put(0, above_ref[0, 0], begin - 1)
        put(blocks.rows + 1, below_ref[0, 0], begin + blocks.rows)

        @pl.loop(0, blocks.rows)
        def _(row: jax.Array) -> None:
            put(row + 1, x_ref[0, row], begin + row)

    if sums_ref is not None:
        sums_ref[...] = jnp.zeros(sums_ref.shape, sums_ref.dtype)

    @pl.loop(0, blocks.rows // blocks.chunk)
    def _(chunk: jax.Array) -> None:
        first = chunk * blocks.chunk

        def product(right, down, weights) -> jax.Array:  # type: ignore[no-untyped-def]  # noqa: ANN001
            rows = moved[right, pl.ds(first + down, blocks.chunk)]
            return jax.lax.dot_general(
                rows.reshape(-1, channels),
                weights,
                (((1,), (0,)), ((), ())),
                # Said here, for what the program asks for around it would not do for bfloat16.
                precision=jax.lax.Precision.DEFAULT,
                preferred_element_type=jnp.float32,
            )

        def count(*parts: jax.Array) -> None:
            if sums_ref is not None:
                sums_ref[0, 0] += _moments(parts, begin + first, blocks.width, size)

        at = pl.ds(first, blocks.chunk)
        if factor == 1:

            def add(down: jax.Array, total: jax.Array) -> jax.Array:
                for right in range(_TAPS):
                    total += product(right, down, kernel_ref[0, down, right])
                return total

            start = jnp.broadcast_to(bias_ref[0], (blocks.chunk * blocks.width, out_ref.shape[-1]))
            total = jax.lax.fori_loop(0, _TAPS, add, start)
            if residual_ref:
                total += residual_ref[0][0, at].reshape(total.shape).astype(jnp.float32)
            out_ref[0, at] = total.reshape(blocks.chunk, blocks.width, -1).astype(out_ref.dtype)
            count(total)
            return

        @pl.loop(0, 2)
        def _(lower: jax.Array) -> None:
            left, right = (
                bias_ref[0]
                + sum(
                    product(side + j, lower + i, kernel_ref[2 * lower + side, i, j])
                    for i in (0, 1)
                    for j in (0, 1)
                )
                for side in (0, 1)
            )
            count(left, right)
            # Two neighbours of bfloat16 are the halves of a word: so they come to stand in turns.
            words = (_word(left, out_ref.dtype) >> 16) | _word(right, out_ref.dtype)
            words = words.reshape(blocks.chunk, blocks.width, -1)
            for row in range(blocks.chunk):
                out_ref[0, 2 * (first + row) + lower] = pltpu.bitcast(words[row], out_ref.dtype)


def _moments(
    parts: tuple[jax.Array, ...], first: jax.Array, columns: int, size: tuple[int, int]
) -> jax.Array:
    """Sums of pixels and of their squares, of those that the picture has.

    parts    f32[rows * columns, channels], each from the row `first` on
    Returns  f32[2, 16, channels] of every sixteenth column: whole registers are quick to add, and
             two chains of them wait less for each other than one
    """

    def summed(pixels: jax.Array) -> jax.Array:
        each = pixels.reshape(-1, columns // _SUBLANES, _SUBLANES, pixels.shape[-1])
        if columns > size[1]:
            group, place = (jax.lax.broadcasted_iota(jnp.int32, each.shape, i) for i in (1, 2))
            each = jnp.where(group * _SUBLANES + place < size[1], each, 0.0)
        rows = each.sum(axis=1)
        row = first + jax.lax.broadcasted_iota(jnp.int32, rows.shape, 0)
        return jnp.where(row < size[0], rows, 0.0).sum(axis=0)

    squares = tuple(part * part for part in parts)
    return jnp.stack([reduce(jnp.add, map(summed, powers)) for powers in (parts, squares)])


def _word(sums: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Sums rounded to 16 bits, in the upper half of 32."""
    return pltpu.bitcast(sums.astype(dtype).astype(jnp.float32), jnp.uint32)
