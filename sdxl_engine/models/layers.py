"""The pieces that more than one of the networks is made of."""

import math
from typing import cast

import jax
import jax.numpy as jnp
from flax import nnx

Param = nnx.Param[jax.Array]


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

    Statistics in float32: a bfloat16 mean over a million numbers has no right digits.
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
        variance = jnp.square(grouped - mean).mean(axis=(1, 3), keepdims=True)
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
    """Twice the size by repeating pixels, then a convolution."""

    def __init__(self, channels: int) -> None:
        self.conv = Conv(channels, channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        doubled = jnp.broadcast_to(
            x[:, :, None, :, None, :], (batch, height, 2, width, 2, channels)
        )
        return self.conv(doubled.reshape(batch, 2 * height, 2 * width, channels))


def attention(
    query: jax.Array, key: jax.Array, value: jax.Array, *, heads: int, causal: bool = False
) -> jax.Array:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2).

    query       (batch, tokens, heads * dim)
    key, value  (batch, key tokens, heads * dim)
    causal      token i sees tokens 0..i only
    Returns     (batch, tokens, heads * dim) in the query's dtype

    Heads are folded into the batch: the TPU compiler makes a kernel of its own of that form.
    Scores and softmax in float32: bfloat16 keeps 8 bits of a sum over thousands of tokens.
    """
    batch, tokens, width = query.shape
    dim = width // heads
    query, key, value = (_fold_heads(x, heads) for x in (query, key, value))
    scores = jnp.einsum("btd,bsd->bts", query, key, preferred_element_type=jnp.float32)
    scores = scores * (1.0 / math.sqrt(dim))
    if causal:
        seen = jnp.tril(jnp.ones((1, tokens, tokens), dtype=bool))
        scores = jnp.where(seen, scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    mixed = jnp.einsum("bts,bsd->btd", weights, value)
    return mixed.reshape(batch, heads, tokens, dim).swapaxes(1, 2).reshape(batch, tokens, width)


def _fold_heads(x: jax.Array, heads: int) -> jax.Array:
    batch, tokens, width = x.shape
    split = x.reshape(batch, tokens, heads, width // heads).swapaxes(1, 2)
    return split.reshape(batch * heads, tokens, width // heads)


def sinusoidal_embedding(positions: jax.Array, dim: int) -> jax.Array:
    """Cosines then sines of `positions` at dim / 2 frequencies (Ho et al. 2020, appendix B).

    positions  f32[n], timesteps or pixel counts
    Returns    f32[n, dim]; float32 throughout: bfloat16 cannot tell step 999 from 1,000
    """
    half = dim // 2
    frequencies = jnp.exp(-math.log(10_000) * jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
