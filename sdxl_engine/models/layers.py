"""The pieces that more than one of the networks is made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from sdxl_engine.models.attention import Kernel

Param = nnx.Param[jax.Array]


@dataclass(frozen=True, slots=True)
class Target:
    """What differs in a network from one kind of device to the next; never what it computes.

    attention  how the UNet attends
    stacked    whether equal layers are one loop over weights that lie in one array: compiles in a
               fraction of the time. A CPU would copy the weights out of the array in each round
    one_by_one whether pictures and prompts go through the UNet one after the other: one fills a
               TPU, and a convolution over more than one is laid out badly there. Elsewhere they go
               as one batch, which reads the weights once
    """

    attention: Kernel = "xla"
    stacked: bool = False
    one_by_one: bool = False

    @classmethod
    def of(cls, platform: str) -> Self:
        """The one for a device's `platform`: "tpu", "gpu" or "cpu"."""
        if platform == "tpu":
            return cls("pallas", stacked=True, one_by_one=True)
        return cls("cudnn" if platform == "gpu" else "xla")


PLAIN: Final = Target()


def param(*shape: int) -> Param:
    """A parameter that is a shape yet: the checkpoint gives it its values and its dtype."""
    abstract = jax.ShapeDtypeStruct(shape, jnp.float32)
    return nnx.Param(cast("jax.Array", abstract))


class Linear(nnx.Module):
    """An affine map of the last axis."""

    def __init__(self, in_features: int, out_features: int, *, use_bias: bool = True) -> None:
        self.kernel = param(in_features, out_features)
        self.bias = param(out_features) if use_bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x @ self.kernel[...]
        return y if self.bias is None else y + _along_last(self.bias, y.ndim)


class Conv(nnx.Module):
    """A square convolution over NHWC.

    padding  rows and columns added before and after; by default stride 1 keeps the size
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int = 3,
        *,
        stride: int = 1,
        padding: tuple[int, int] | None = None,
    ) -> None:
        self.stride = stride
        self.padding = (size // 2, size // 2) if padding is None else padding
        self.kernel = param(size, size, in_channels, out_channels)
        self.bias = param(out_channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = jax.lax.conv_general_dilated(
            x,
            self.kernel[...],
            window_strides=(self.stride, self.stride),
            padding=(self.padding, self.padding),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y + _along_last(self.bias, y.ndim)


class Embed(nnx.Module):
    """A row of the table for each id."""

    def __init__(self, count: int, features: int) -> None:
        self.embedding = param(count, features)

    def __call__(self, ids: jax.Array) -> jax.Array:
        return jnp.take(self.embedding[...], ids, axis=0)


class GroupNorm(nnx.Module):
    """Group normalisation over NHWC or (batch, token, feature) (Wu and He 2018).

    Statistics in float32: a bfloat16 mean over a million numbers has no right digits. Both in one
    pass, the variance as the mean square less the squared mean: a TPU sums them up while the
    convolution before writes its output.
    """

    def __init__(self, num_groups: int, channels: int, *, eps: float) -> None:
        self.num_groups = num_groups
        self.eps = eps
        self.scale = param(channels)
        self.bias = param(channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, channels = x.shape[0], x.shape[-1]
        grouped = x.astype(jnp.float32).reshape(
            batch, -1, self.num_groups, channels // self.num_groups
        )
        mean = grouped.mean(axis=(1, 3), keepdims=True)
        square = jnp.square(grouped).mean(axis=(1, 3), keepdims=True)
        variance = jnp.maximum(square - jnp.square(mean), 0)  # rounding may leave less than nothing
        normed = ((grouped - mean) * jax.lax.rsqrt(variance + self.eps)).reshape(x.shape)
        return _scale_shift(normed, self.scale, self.bias, x.dtype)


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
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temb_channels: int | None,
        groups: int,
        eps: float,
    ) -> None:
        self.norm1 = GroupNorm(groups, in_channels, eps=eps)
        self.conv1 = Conv(in_channels, out_channels)
        self.time_emb_proj = Linear(temb_channels, out_channels) if temb_channels else None
        self.norm2 = GroupNorm(groups, out_channels, eps=eps)
        self.conv2 = Conv(out_channels, out_channels)
        self.conv_shortcut = (
            Conv(in_channels, out_channels, 1) if in_channels != out_channels else None
        )

    def __call__(self, x: jax.Array, temb: jax.Array | None = None) -> jax.Array:
        """From x (batch, h, w, in) and temb (batch, temb_channels) to (batch, h, w, out)."""
        hidden = self.conv1(nnx.silu(self.norm1(x)))
        if self.time_emb_proj is not None and temb is not None:
            hidden = hidden + self.time_emb_proj(nnx.silu(temb))[:, None, None, :]
        hidden = self.conv2(nnx.silu(self.norm2(hidden)))
        return hidden + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Upsample(nnx.Module):
    """Twice the size by repeating pixels, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        self.conv = DoublingConv(channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x)


class DoublingConv(nnx.Module):
    """The two of `Upsample` in one, under the checkpoint's name for the convolution.

    Of three rows that an output row would see, two are the same pixels; so each row of the input
    makes its upper and its lower output row by two rows of a kernel, with a third of the
    multiplications saved. The same trick across would save another third and cost more in
    rearranging than that. Not one transposed convolution: a TPU multiplies its zeros.

    doubling_kernel  (2, 2, 3, in, out), for the upper and the lower row; see `doubling_kernel`
    """

    def __init__(self, channels: int) -> None:
        self.doubling_kernel = param(2, 2, 3, channels, channels)
        self.bias = param(channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        wide = jnp.repeat(x, 2, axis=2)
        rows = [
            jax.lax.conv_general_dilated(
                wide,
                self.doubling_kernel[...][lower],
                window_strides=(1, 1),
                padding=((1 - lower, lower), (1, 1)),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            for lower in (0, 1)
        ]
        y = jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels)
        return y + _along_last(self.bias, y.ndim)


def doubling_kernel(kernel: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The kernels f32[2, 2, 3, in, out] of `DoublingConv` from a 3x3 one [3, 3, in, out].

    Summed in float32 whatever the file holds, so that nothing is rounded twice.
    """
    above, middle, below = kernel.astype(np.float32)
    return np.array([[above, middle + below], [above + middle, below]])


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
