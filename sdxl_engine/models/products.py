"""The 3x3 convolutions of a TPU that come to a few matrix products.

Of few channels, or of every second pixel: there the TPU compiler's own convolution carries the
picture into another order and back, and takes two to five times as long as these.
"""

from functools import reduce
from typing import Final

import jax
import jax.numpy as jnp

_LANES: Final = 128  # the width of a TPU's vector and matrix registers
_TAPS: Final = range(3)
_AROUND: Final = ((0, 0), (1, 1), (1, 1), (0, 0))  # a pixel to each side


def few_inputs(x: jax.Array, kernel: jax.Array) -> jax.Array | None:
    """One product, where what a pixel sees, side by side, is no wider than a register; or None.

    x        (batch, height, width, in)
    kernel   (3, 3, in, out)
    Returns  (batch, height, width, out) in x's dtype, rounded once
    """
    _, height, width, channels = x.shape
    if channels * len(_TAPS) ** 2 > _LANES:
        return None
    padded = jnp.pad(x, _AROUND)
    seen = [padded[:, i : i + height, j : j + width] for i in _TAPS for j in _TAPS]
    sums = _product(jnp.concatenate(seen, axis=-1), kernel)
    return sums.astype(x.dtype)


def few_outputs(x: jax.Array, kernel: jax.Array) -> jax.Array | None:
    """One product, where what a pixel adds to those around it is no wider than a register.

    As `few_inputs`.
    """
    _, height, width, _ = x.shape
    if kernel.shape[-1] * len(_TAPS) ** 2 > _LANES:
        return None
    added = jnp.einsum("bhwc,ijco->bhwijo", x, kernel, preferred_element_type=jnp.float32)
    each = [
        jnp.pad(added[:, :, :, i, j], _AROUND)[:, i : i + height, j : j + width]
        for i in _TAPS
        for j in _TAPS
    ]
    return reduce(jnp.add, each).astype(x.dtype)


def every_second(x: jax.Array, kernel: jax.Array) -> jax.Array | None:
    """A product for each of the kernel's rows, where pixels come in pairs; or None.

    Pairs lie side by side as they are, while to step through a picture takes longer than to
    multiply it.

    x        (batch, height, width, in)
    kernel   (3, 3, in, out)
    Returns  (batch, height / 2, width / 2, out) in x's dtype, rounded once
    """
    batch, height, width, channels = x.shape
    if height % 2 or width % 2:
        return None
    padded = jnp.pad(x, _AROUND)
    pairs = padded.reshape(batch, height // 2 + 1, 2, width // 2 + 1, 2 * channels)
    # What a pixel sees is a pair and the first of the next, across and down.
    threes = jnp.concatenate([pairs[..., :-1, :], pairs[..., 1:, :channels]], axis=-1)
    rows = threes[:, :-1, 0], threes[:, :-1, 1], threes[:, 1:, 0]
    sums = reduce(jnp.add, [_product(row, kernel[i]) for i, row in enumerate(rows)])
    return sums.astype(x.dtype)


def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Of x (..., n) and a kernel (..., out) whose other axes are the n, in float32."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(x, matrix, preferred_element_type=jnp.float32)
