"""Overlapping tiles of something larger, and one of what they have become."""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

_LEAST_OVERLAP: Final = 0.25  # of a tile: less shows, more is drawn twice
_QUICK: Final = 8
_LEAST_WEIGHT: Final = 1e-3  # at a tile's very edge, where another may not reach


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tiles of one size that cover a height and a width, evenly spread.

    sides  height and width of the whole
    tile   height and width of each tile
    tops   where the rows of tiles begin
    lefts  where the columns begin
    """

    sides: tuple[int, int]
    tile: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @classmethod
    def of(cls, height: int, width: int, tile_height: int, tile_width: int) -> Self:
        """As few as overlap by a quarter at least; neither side is smaller than a tile's."""
        return cls(
            (height, width),
            (tile_height, tile_width),
            _starts(height, tile_height),
            _starts(width, tile_width),
        )

    @classmethod
    def in_four(cls, height: int, width: int) -> Self:
        """Two by two; or fewer of a side that is too short for two."""
        return cls.of(height, width, _half(height), _half(width))

    @property
    def share(self) -> float:
        """Of the whole, what one tile is."""
        return math.prod(self.tile) / math.prod(self.sides)

    def scaled(self, factor: int) -> "Tiling":
        """The same of something so many times as large."""
        return Tiling(
            (self.sides[0] * factor, self.sides[1] * factor),
            (self.tile[0] * factor, self.tile[1] * factor),
            tuple(top * factor for top in self.tops),
            tuple(left * factor for left in self.lefts),
        )

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def cut(self, whole: F32) -> F32:
        """The tiles, f32[tiles, tile height, tile width, c], of f32[height, width, c]."""
        return np.stack([whole[place] for place in self.places])

    def blend(self, tiles: F32) -> F32:
        """The inverse of `cut`; where tiles overlap, the mean by how deep inside each it lies."""
        weight, total = self.weight, np.zeros((*self.sides, tiles.shape[-1]), np.float32)
        for place, tile in zip(self.places, tiles, strict=True):
            total[place] += weight * tile
        return total / self.weights

    @property
    def weight(self) -> F32:
        """How much each place of a tile counts, f32[tile height, tile width, 1]."""
        return _ramp(self.tile[0])[:, None, None] * _ramp(self.tile[1])[None, :, None]

    @property
    def weights(self) -> F32:
        """What the tiles count together, f32[height, width, 1]."""
        weight, weights = self.weight, np.zeros((*self.sides, 1), np.float32)
        for place in self.places:
            weights[place] += weight
        return weights

    @property
    def places(self) -> list[tuple[slice, slice]]:
        """The rows and columns of each tile."""
        height, width = self.tile
        return [
            (slice(top, top + height), slice(left, left + width))
            for top in self.tops
            for left in self.lefts
        ]


def _half(length: int) -> int:
    """The side of two tiles that cover so much, a multiple of what libraries are quickest with."""
    least = length / (2 - _LEAST_OVERLAP)
    return min(length, math.ceil(least / _QUICK) * _QUICK)


def _starts(length: int, tile: int) -> tuple[int, ...]:
    count = 1 + math.ceil((length - tile) / (tile * (1 - _LEAST_OVERLAP)))
    return tuple(round(start) for start in np.linspace(0, length - tile, count))


def _ramp(length: int) -> F32:
    """From edge to edge, smooth, 1 in the middle: a raised cosine."""
    places = (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(length)
    cosine: F32 = np.cos(np.float32(2 * math.pi) * places)
    return np.float32(0.5 + _LEAST_WEIGHT) - np.float32(0.5) * cosine


def seam_energy(pixels: npt.NDArray[np.uint8], tiling: Tiling) -> float:
    """How steep a picture u8[h, w, c] is where tiles begin and end, over how steep elsewhere.

    1 where borders cannot be told from the rest.
    """
    levels = pixels.astype(np.float32)
    at, elsewhere = [], []
    for axis, (starts, tile, length) in enumerate(
        zip((tiling.tops, tiling.lefts), tiling.tile, tiling.sides, strict=True)
    ):
        steepness = np.square(np.diff(levels, axis=axis)).mean(axis=(1 - axis, 2))
        borders = {start for start in starts if start} | {
            start + tile for start in starts if start + tile < length
        }
        chosen = np.zeros(len(steepness), np.bool_)
        chosen[[border - 1 for border in borders]] = True
        at.append(steepness[chosen])
        elsewhere.append(steepness[~chosen])
    return float(np.concatenate(at).mean() / np.concatenate(elsewhere).mean())
