"""What the picture check's programs compute: a picture made ready, and what it shows.

Plain functions of one device's share, as in `arithmetic`.
"""

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from sdxl_engine.checkpoint.vision import Axis, Processing
from sdxl_engine.models.vision import Classifier, SafetyChecker
from sdxl_engine.programs.arithmetic import State

Looker = SafetyChecker | Classifier

# Pixels to each side that a filter weighs where nothing is made smaller.
_REACH: Final = {"bilinear": 1.0, "bicubic": 2.0}
_BICUBIC: Final = -0.5  # Pillow's
_LEVELS: Final = 255
# Pillow multiplies by whole numbers of this many bits. Halves of them, times a level, are whole
# numbers that float32 adds up exactly, as many as a filter weighs in pictures of 2,000 pixels.
_BITS: Final = 22
_HALF_BITS: Final = 11


def resizing(axis: Axis, side_px: int, filter_name: str) -> npt.NDArray[np.float32]:
    """What each pixel of the result takes of those given, as Pillow does: f32[2, side_px, given].

    The weights' upper bits and their lower ones, whole numbers both.

    Where a picture becomes smaller the filter becomes wider, so that every pixel counts.
    """
    scale = axis.given / axis.resized
    wide = max(scale, 1.0)
    reach = _REACH[filter_name] * wide
    centres = (np.arange(axis.first, axis.first + side_px) + 0.5) * scale
    lowest = np.maximum((centres - reach + 0.5).astype(int), 0)
    highest = np.minimum((centres + reach + 0.5).astype(int), axis.given)
    pixels = np.arange(axis.given)
    weights = _weight(filter_name, np.abs(pixels + 0.5 - centres[:, None]) / wide)
    weights[(pixels < lowest[:, None]) | (pixels >= highest[:, None])] = 0
    whole = weights / weights.sum(axis=1, keepdims=True) * 2**_BITS
    whole = np.trunc(whole + np.copysign(0.5, whole))
    upper = np.floor(whole / 2**_HALF_BITS)
    return np.stack([upper, whole - upper * 2**_HALF_BITS]).astype(np.float32)


def _weight(filter_name: str, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A filter's weight at distances from its middle (Keys 1981)."""
    if filter_name == "bilinear":
        tent: npt.NDArray[np.float64] = np.maximum(1 - x, 0)
        return tent
    a = _BICUBIC
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))  # noqa: PLR2004 - where its parts end


def fit(across: jax.Array, down: jax.Array, pixels: jax.Array) -> jax.Array:
    """Pictures u8[n, height, width, 3] as large as the network sees them, u8[n, side, side, 3].

    Columns first, then rows, rounded after each: to the last digit as Pillow does. Where a picture
    becomes much flatter Pillow 13 begins with the rows, which makes a level's difference.

    across  f32[2, side, width] of `resizing`
    down    f32[2, side, height]
    """

    def one(picture: jax.Array) -> jax.Array:
        narrow = _levels(jnp.einsum("kow,hwc->khoc", across, picture.astype(jnp.float32)))
        both = jnp.einsum("kph,hoc->kpoc", down, narrow.astype(jnp.float32))
        return _levels(both).astype(jnp.uint8)

    # One by one: the float32 of all their pixels would be large.

    fitted: jax.Array = jax.lax.map(one, pixels)
    return fitted


def _levels(halves: jax.Array) -> jax.Array:
    """Of sums with the upper and the lower bits of their weights, whole levels of 0..255."""
    both = halves.astype(jnp.int32)
    whole: jax.Array = both[0] * 2**_HALF_BITS + both[1] + 2 ** (_BITS - 1)
    return jnp.clip(whole >> _BITS, 0, _LEVELS)


def look(
    definition: nnx.GraphDef[Looker], processing: Processing, weights: State, pixels: jax.Array
) -> jax.Array:
    """Scores f32[n, categories] of pictures u8[n, side, side, 3]."""
    looker = nnx.merge(definition, weights)
    scores: jax.Array = looker(normalised(processing, pixels).astype(_dtype(weights)))
    return scores


def normalised(processing: Processing, pixels: jax.Array | npt.NDArray[np.uint8]) -> jax.Array:
    """Levels of 0..255 as the numbers, f32[n, side, side, 3], that the network was trained with."""
    mean, std = (
        jnp.array(each, jnp.float32).reshape(1, 1, 1, -1)
        for each in (processing.mean, processing.std)
    )
    levels = jnp.asarray(pixels).astype(jnp.float32)
    numbers: jax.Array = (levels * processing.scale - mean) / std
    return numbers


def _dtype(weights: State) -> Any:  # noqa: ANN401 - jax has no public type for a dtype
    """The narrowest of them: thresholds are float32 in any."""
    return min((leaf.dtype for leaf in jax.tree.leaves(weights)), key=lambda dtype: dtype.itemsize)
