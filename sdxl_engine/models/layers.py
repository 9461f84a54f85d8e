"""The pieces that more than one of the networks is made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from sdxl_engine.models.attention import Kernel
from sdxl_engine.models.convolution import doubled_convolution, kernel_takes, normed_convolution
from sdxl_engine.models.products import every_second, few_inputs, few_outputs

Param = nnx.Param[jax.Array]
KernelLayout = Literal["HWIO", "OHWI"]  # height, width, input channels, output channels


@dataclass(frozen=True, slots=True)
class Target:
    """What differs in a network from one kind of device to the next; never what it computes, but
    for `quantised`.

    attention  how the UNet attends
    fused      whether a 3x3 convolution and what stands around it are one kernel of our own, or
               some products where that is less
    stacked    whether equal layers are one loop over weights that lie in one array: compiles in a
               fraction of the time. A CPU would copy the weights out of the array in each round
    one_by_one whether pictures and prompts go through the UNet one after the other: one fills a
               TPU, and guidance is a pass more, not another program. Elsewhere they go as one
               batch, which reads the weights once
    kernels    how convolutions keep theirs: as cuDNN takes them, or a GPU would hold them twice
    quantised  whether the linears of the transformers multiply in int8; an owner's choice
    """

    attention: Kernel = "xla"
    fused: bool = False
    stacked: bool = False
    one_by_one: bool = False
    kernels: KernelLayout = "HWIO"
    quantised: bool = False

    @staticmethod
    def of(device: jax.Device) -> "Target":
        """The one for a device, which need not be here."""
        if device.platform == "tpu":
            return TPU
        if device.platform == "gpu":
            modern = float(device.compute_capability) >= _FLASH_CAPABILITY
            return GPU if modern else replace(GPU, attention="xla")
        return PLAIN


PLAIN: Final = Target()
GPU: Final = Target("cudnn", kernels="OHWI")
TPU: Final = Target("pallas", fused=True, stacked=True, one_by_one=True)
# From Ampere on; to older cards cuDNN's flash attention is unknown, and jax refuses to compile it.
_FLASH_CAPABILITY: Final = 8.0


class Network(nnx.Module):
    """A network that a checkpoint has the weights of.

    target  what it was built for
    """

    def __init__(self, target: Target) -> None:
        self.target = target


def param(*shape: int, dtype: npt.DTypeLike = jnp.float32) -> Param:
    """A parameter that is a shape yet: the checkpoint gives it its values.

    dtype  float32 stands for whatever the weights are loaded in
    """
    abstract = jax.ShapeDtypeStruct(shape, dtype)
    return nnx.Param(cast("jax.Array", abstract))


def kernel_param(
    layout: KernelLayout,
    size: int,
    in_channels: int,
    out_channels: int,
    outer: tuple[int, ...] = (),
) -> Param:
    """A square convolution's kernel, or as many as `outer` says."""
    sides = {"H": size, "W": size, "I": in_channels, "O": out_channels}
    return param(*outer, *(sides[axis] for axis in layout))


class Linear(nnx.Module):
    """An affine map of the last axis."""

    def __init__(self, in_features: int, out_features: int, *, use_bias: bool = True) -> None:
        self.kernel = param(in_features, out_features)
        self.bias = param(out_features) if use_bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x @ self.kernel[...]
        return y if self.bias is None else y + _along_last(self.bias, y.ndim)

    def apart(self, x: jax.Array, parts: int) -> list[jax.Array]:
        """Of x (..., in) so many times (..., out / parts), each a product of its own; no bias."""
        assert self.bias is None  # noqa: S101 - of those that are cut apart
        return [x @ kernel for kernel in jnp.split(self.kernel[...], parts, axis=-1)]


class Conv(nnx.Module):
    """A square convolution over NHWC.

    padding  rows and columns added before and after; by default stride 1 keeps the size
    kernel   (size, size, in, out), or in the order of the target's layout
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int = 3,
        *,
        stride: int = 1,
        padding: tuple[int, int] | None = None,
        target: Target = PLAIN,
    ) -> None:
        self.stride = stride
        self.padding = (size // 2, size // 2) if padding is None else padding
        self.fused = target.fused
        self.layout = target.kernels
        self.kernel = kernel_param(self.layout, size, in_channels, out_channels)
        self.bias = param(out_channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.layout == "HWIO" and self.kernel.shape[:2] == (1, 1) and self.stride == 1:
            # As a convolution a TPU takes four to seven times as long for it.
            return x @ self.kernel[...][0, 0] + _along_last(self.bias, x.ndim)
        y = self._by_products(x)
        if y is None:
            y = jax.lax.conv_general_dilated(
                x,
                self.kernel[...],
                window_strides=(self.stride, self.stride),
                padding=(self.padding, self.padding),
                dimension_numbers=("NHWC", self.layout, "NHWC"),
            )
        return y + _along_last(self.bias, y.ndim)

    def _by_products(self, x: jax.Array) -> jax.Array | None:
        """What is no convolution to a TPU, without its bias; None of what is one."""
        kernel = self.kernel[...]
        if not self.fused or kernel.shape[:2] != (3, 3) or self.padding != (1, 1):
            return None
        if self.stride == 2:  # noqa: PLR2004 - every second pixel
            return every_second(x, kernel)
        y = few_inputs(x, kernel)
        return few_outputs(x, kernel) if y is None else y


class FeatureMap(NamedTuple):
    """What goes from layer to layer, and of it what a norm wants to know, where that is known.

    pixels  (batch, height, width, channels)
    sums    f32[batch, 2, channels] of the pixels and of their squares, from the kernel of ours that
            wrote them, before it rounded them; None of what nobody has summed yet
    """

    pixels: jax.Array
    sums: jax.Array | None = None

    def beside(self, other: "FeatureMap") -> "FeatureMap":
        """Its channels, then the other's; with sums where either has some."""
        pixels = jnp.concatenate([self.pixels, other.pixels], axis=-1)
        if self.sums is None and other.sums is None:
            return FeatureMap(pixels)
        sums = [_sums(one.pixels) if one.sums is None else one.sums for one in (self, other)]
        return FeatureMap(pixels, jnp.concatenate(sums, axis=-1))


def _sums(pixels: jax.Array) -> jax.Array:
    wide = pixels.astype(jnp.float32)
    return jnp.stack([wide.sum(axis=(1, 2)), jnp.square(wide).sum(axis=(1, 2))], axis=1)


class Embed(nnx.Module):
    """A row of the table for each id."""

    def __init__(self, count: int, features: int) -> None:
        self.embedding = param(count, features)

    def __call__(self, ids: jax.Array) -> jax.Array:
        return jnp.take(self.embedding[...], ids, axis=0)


class GroupNorm(nnx.Module):
    """Group normalisation over NHWC (Wu and He 2018).

    Statistics in float32: a bfloat16 mean over a million numbers has no right digits. Both in one
    pass over them, the variance as the mean square less the squared mean.
    """

    def __init__(self, num_groups: int, channels: int, *, eps: float) -> None:
        self.num_groups = num_groups
        self.eps = eps
        self.scale = param(channels)
        self.bias = param(channels)

    def __call__(self, x: FeatureMap) -> jax.Array:
        scale, shift = (one[:, None, None] for one in self.affine(x))
        return (x.pixels.astype(jnp.float32) * scale + shift).astype(x.pixels.dtype)

    def affine(self, x: FeatureMap) -> tuple[jax.Array, jax.Array]:
        """Scale and shift, f32[batch, channels] each, that make of `x` what it is normalised."""
        batch, height, width, channels = x.pixels.shape
        if x.sums is None:
            grouped = x.pixels.astype(jnp.float32).reshape(
                batch, -1, self.num_groups, channels // self.num_groups
            )
            mean = grouped.mean(axis=(1, 3))
            square = jnp.square(grouped).mean(axis=(1, 3))
        else:
            means = x.sums.reshape(batch, 2, self.num_groups, -1).mean(axis=-1) / (height * width)
            mean, square = means[:, 0], means[:, 1]
        variance = jnp.maximum(square - jnp.square(mean), 0)  # rounding may leave less than nothing
        inverse = jax.lax.rsqrt(variance + self.eps)
        inverse, mean = (
            jnp.repeat(one, channels // self.num_groups, axis=1) for one in (inverse, mean)
        )
        scale = inverse * _along_last(self.scale, 2).astype(jnp.float32)
        return scale, _along_last(self.bias, 2).astype(jnp.float32) - mean * scale


class LayerNorm(nnx.Module):
    """Layer normalisation over the last axis (Ba et al. 2016), statistics in float32 as above."""

    def __init__(self, features: int, *, eps: float = 1e-5) -> None:
        self.eps = eps
        self.scale = param(features)
        self.bias = param(features)

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        mean = wide.mean(axis=-1, keepdims=True)
        variance = jnp.square(wide - mean).mean(axis=-1, keepdims=True)
        normed = (wide - mean) * jax.lax.rsqrt(variance + self.eps)
        return _scale_shift(normed, self.scale, self.bias, x.dtype)


def _scale_shift(normed: jax.Array, scale: Param, bias: Param, dtype: jnp.dtype) -> jax.Array:
    wide_scale = _along_last(scale, normed.ndim).astype(jnp.float32)
    wide_bias = _along_last(bias, normed.ndim).astype(jnp.float32)
    return (normed * wide_scale + wide_bias).astype(dtype)


def _along_last(vector: Param, ndim: int) -> jax.Array:
    """A vector as `ndim` axes, all but the last of length 1: no silent rank promotion."""
    return vector[...].reshape((1,) * (ndim - 1) + (-1,))


class ResnetBlock(nnx.Module):
    """Two convolutions with a shortcut (diffusers' ResnetBlock2D).

    temb_channels  width of the time embedding that is added between the two; None in the VAE
    sums           whether a norm comes behind it, and not a convolution alone
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temb_channels: int | None,
        groups: int,
        eps: float,
        sums: bool = True,
        target: Target = PLAIN,
    ) -> None:
        self.fused = target.fused
        self.sums = sums
        self.norm1 = GroupNorm(groups, in_channels, eps=eps)
        self.conv1 = Conv(in_channels, out_channels, target=target)
        self.time_emb_proj = Linear(temb_channels, out_channels) if temb_channels else None
        self.norm2 = GroupNorm(groups, out_channels, eps=eps)
        self.conv2 = Conv(out_channels, out_channels, target=target)
        self.conv_shortcut = (
            Conv(in_channels, out_channels, 1, target=target)
            if in_channels != out_channels
            else None
        )

    def __call__(self, x: FeatureMap, temb: jax.Array | None = None) -> FeatureMap:
        """From x (batch, h, w, in) and temb (batch, temb_channels) to (batch, h, w, out)."""
        time = None
        if self.time_emb_proj is not None and temb is not None:
            time = self.time_emb_proj(nnx.silu(temb))
        hidden = self._convolve(self.norm1, self.conv1, x, time=time)
        shortcut = x.pixels if self.conv_shortcut is None else self.conv_shortcut(x.pixels)
        return self._convolve(self.norm2, self.conv2, hidden, residual=shortcut, sums=self.sums)

    def _convolve(
        self,
        norm: GroupNorm,
        conv: Conv,
        x: FeatureMap,
        *,
        time: jax.Array | None = None,
        residual: jax.Array | None = None,
        sums: bool = True,
    ) -> FeatureMap:
        """The convolution of what is normalised."""
        if self.fused and kernel_takes(x.pixels, conv.kernel.shape[-1]):
            bias = _along_last(conv.bias, 2).astype(jnp.float32)
            bias = jnp.repeat(bias, x.pixels.shape[0], axis=0)
            if time is not None:
                bias += time.astype(jnp.float32)
            return FeatureMap(
                *normed_convolution(
                    x.pixels, *norm.affine(x), conv.kernel[...], bias, residual, sums=sums
                )
            )
        hidden = conv(nnx.silu(norm(x)))
        if time is not None:
            hidden += time[:, None, None, :]
        return FeatureMap(hidden if residual is None else hidden + residual)


class Upsample(nnx.Module):
    """Twice the size by repeating pixels, then a 3x3 convolution."""

    def __init__(self, channels: int, target: Target = PLAIN) -> None:
        self.conv = DoublingConv(channels, target)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        return self.conv(x.pixels)


class DoublingConv(nnx.Module):
    """The two of `Upsample` in one, under the checkpoint's name for the convolution.

    Of three rows that an output row would see, two are the same pixels, and so across: each pixel
    makes four of the output, by 2 x 2 taps each, with 5 of 9 multiplications saved.

    quarter_kernels  (2, 2, 2, 2, in, out): lower or upper, right or left, then a kernel, in the
                     order of the target's layout; see `quarter_kernels`
    """

    def __init__(self, channels: int, target: Target) -> None:
        self.fused = target.fused
        self.layout = target.kernels
        self.quarter_kernels = kernel_param(self.layout, 2, channels, channels, outer=(2, 2))
        self.bias = param(channels)

    def __call__(self, x: jax.Array) -> FeatureMap:
        batch, height, width, channels = x.shape
        if self.fused and kernel_takes(x, channels, factor=2):
            bias = jnp.repeat(_along_last(self.bias, 2).astype(jnp.float32), batch, axis=0)
            return FeatureMap(*doubled_convolution(x, self.quarter_kernels[...], bias))
        rows = [
            jnp.stack([self._quarter(x, lower, right) for right in (0, 1)], axis=3)
            for lower in (0, 1)
        ]
        y = jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels)
        return FeatureMap(y + _along_last(self.bias, y.ndim))

    def _quarter(self, x: jax.Array, lower: int, right: int) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x,
            self.quarter_kernels[...][lower, right],
            window_strides=(1, 1),
            padding=((1 - lower, lower), (1 - right, right)),
            dimension_numbers=("NHWC", self.layout, "NHWC"),
        )


def quarter_kernels(kernel: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The kernels f32[2, 2, 2, 2, in, out] of `DoublingConv` from a 3x3 one [3, 3, in, out].

    Summed in float32 whatever the file holds, so that nothing is rounded twice.
    """

    def halves(taps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Of three taps along the first axis, what the two pixels of a pair see, [2, 2, ...]."""
        before, middle, after = taps
        return np.array([[before, middle + after], [before + middle, after]])

    rows = halves(kernel.astype(np.float32))  # lower, tap down, 3, in, out
    both = halves(np.moveaxis(rows, 2, 0))  # right, tap right, lower, tap down, in, out
    return np.ascontiguousarray(np.moveaxis(both, (2, 0, 3, 1), (0, 1, 2, 3)))


def whole_kernel(quarters: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The inverse of `quarter_kernels`, to float32's last digits."""

    def taps(halves: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Of what the two pixels of a pair see, [2, 2, ...], the three taps."""
        (before, rest), (_, after) = halves
        return np.stack([before, rest - after, after])

    both = np.moveaxis(quarters, (0, 1, 2, 3), (2, 0, 3, 1))  # right, tap right, lower, tap down
    return taps(np.moveaxis(taps(both), 0, 2))


def transposed_kernel(kernel: jax.Array, layout: KernelLayout) -> jax.Array:
    """A kernel of this layout, or the quarters of one, for pictures with height for width."""
    height, width = (layout.index(side) - len(layout) for side in "HW")
    turned = kernel.swapaxes(height, width)
    # Of quarters, the upper right one is now the lower left one.
    return turned.swapaxes(0, 1) if kernel.ndim > len(layout) else turned


class Stacked(nnx.Module):
    """Equal layers as one: each of its parameters holds theirs along a first axis."""

    def __init__(self, layer: nnx.Module, count: int) -> None:
        definition, state = nnx.split(layer)
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), state
        )
        self.each = nnx.merge(definition, shapes)


Layers = nnx.List[Any] | Stacked


def make_layers(make: Callable[[], nnx.Module], count: int, target: Target) -> Layers:
    """`count` equal layers, kept as the target wants them."""
    if target.stacked and count > 1:
        return Stacked(make(), count)
    return nnx.List([make() for _ in range(count)])


Carry = TypeVar("Carry")


def run_layers(
    layers: Layers,
    step: Callable[[Any, Carry, Any], Carry],
    carry: Carry,
    inputs: Any = None,  # noqa: ANN401 - any pytree
) -> Carry:
    """Call `step(layer, carry, input)` for each layer in turn and return the last carry.

    inputs  a pytree of arrays with one entry for each layer along their first axis
    """
    if isinstance(layers, Stacked):
        definition, state = nnx.split(layers.each)

        def body(carry: Carry, given: tuple[Any, Any]) -> tuple[Carry, None]:
            weights, own = given
            return step(nnx.merge(definition, weights), carry, own), None

        final, _ = jax.lax.scan(body, carry, (state, inputs))
        return final
    for place, layer in enumerate(layers):
        carry = step(layer, carry, jax.tree.map(lambda array, place=place: array[place], inputs))
    return carry


def sinusoidal_embedding(positions: jax.Array, dim: int) -> jax.Array:
    """Cosines then sines of `positions` at dim / 2 frequencies (Ho et al. 2020, appendix B).

    positions  f32[n], timesteps or pixel counts
    Returns    f32[n, dim]; float32 throughout: bfloat16 cannot tell step 999 from 1,000
    """
    half = dim // 2
    frequencies = jnp.exp(-math.log(10_000) * jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def guidance_embedding(scales: jax.Array, dim: int) -> jax.Array:
    """Sines then cosines of guidance scales, as models distilled from guidance are told them.

    A thousand times what is above 1, as diffusers has it of Luo et al. 2023 (consistency models).

    scales   f32[n]
    Returns  f32[n, dim]; float32 as above
    """
    half = dim // 2
    frequencies = jnp.exp(-math.log(10_000) * jnp.arange(half, dtype=jnp.float32) / (half - 1))
    angles = 1000 * (scales.astype(jnp.float32) - 1)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
