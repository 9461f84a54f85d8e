"""Linears in int8: half as large, and fast where a matrix unit multiplies whole numbers.

Weights are rounded once, with a scale for each output feature; what comes in is rounded as it
comes, with a scale for each token (W8A8 with dynamic activations: Dettmers et al. 2022, Xiao et al.
2022). Sums are exact, in 32 bits.
"""

from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from sdxl_engine.models.layers import Linear, Target, param

_LEVELS: Final = 127  # to both sides of 0; -128 is left out, so that a sign costs nothing
_LEAST: Final = 1e-12  # in place of the largest of a row of zeros


class QuantisedLinear(nnx.Module):
    """An affine map of the last axis, as `Linear` to within rounding.

    codes   int8[in, out], times their scales what the weights were
    scales  f32[out]
    """

    def __init__(self, in_features: int, out_features: int, *, use_bias: bool = True) -> None:
        self.codes = param(in_features, out_features, dtype=jnp.int8)
        self.scales = param(out_features)
        self.bias = param(out_features) if use_bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        (y,) = self.apart(x, 1)
        return y

    def apart(self, x: jax.Array, parts: int) -> list[jax.Array]:
        """The map's output features in equal parts, each a product of its own."""
        # float32: a scale of bfloat16 would be off by more than half a level.
        wide = x.astype(jnp.float32)
        step = jnp.maximum(jnp.abs(wide).max(axis=-1, keepdims=True), _LEAST) / _LEVELS
        levels = jnp.round(wide / step).astype(jnp.int8)
        each = []
        for codes, scales, bias in zip(
            jnp.split(self.codes[...], parts, axis=-1),
            jnp.split(self.scales[...], parts),
            [None] * parts if self.bias is None else jnp.split(self.bias[...], parts),
            strict=True,
        ):
            sums = jax.lax.dot_general(
                levels,
                codes,
                (((levels.ndim - 1,), (0,)), ((), ())),
                preferred_element_type=jnp.int32,
            )
            y = sums.astype(jnp.float32) * (step * _last(scales, step.ndim))
            if bias is not None:
                y += _last(bias, y.ndim)
            each.append(y.astype(x.dtype))
        return each


def linear(
    in_features: int, out_features: int, target: Target, *, use_bias: bool = True
) -> Linear | QuantisedLinear:
    """An affine map as the target wants it."""
    kind = QuantisedLinear if target.quantised else Linear
    return kind(in_features, out_features, use_bias=use_bias)


def _last(vector: jax.Array, ndim: int) -> jax.Array:
    """As `ndim` axes, all but the last of length 1, in float32: it is added up there."""
    return vector.astype(jnp.float32).reshape((1,) * (ndim - 1) + (-1,))


def scales_of(kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A scale for each output feature, f32[out], of weights f32[in, out]."""
    largest = np.abs(kernel).max(axis=0)
    scales: npt.NDArray[np.float32] = (np.maximum(largest, _LEAST) / _LEVELS).astype(np.float32)
    return scales


def codes_of(kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """The weights by these scales, int8[in, out]."""
    codes: npt.NDArray[np.int8] = np.rint(kernel / scales_of(kernel)).astype(np.int8)
    return codes
