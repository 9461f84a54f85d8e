"""Overlapping tiles."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine.request import UPSCALES
from sdxl_engine.tiles import Tiling, seam_energy


@given(st.integers(4, 24), st.integers(4, 24), st.floats(1, 3), st.floats(1, 3))
def test_what_is_cut_is_blended_again(tall: int, wide: int, more: float, wider: float) -> None:
    sides = int(tall * more), int(wide * wider)
    tiling = Tiling.of(*sides, tall, wide)
    whole = np.random.default_rng(0).standard_normal((*sides, 3)).astype(np.float32)
    tiles = tiling.cut(whole)
    assert tiles.shape == (len(tiling), tall, wide, 3)
    np.testing.assert_allclose(tiling.blend(tiles), whole, atol=1e-6, rtol=1e-6)


@given(st.integers(8, 64), st.floats(1, 3))
def test_neighbours_overlap_by_a_quarter(tile: int, more: float) -> None:
    tops = Tiling.of(int(tile * more), tile, tile, tile).tops
    assert tops[0] == 0
    assert tops[-1] == int(tile * more) - tile
    for one, other in itertools.pairwise(tops):
        assert other - one <= 0.75 * tile + 1  # places are whole


def test_as_many_tiles_as_a_request_counts() -> None:
    for times, count in UPSCALES.items():
        for side in (64, 96, 128, 256):
            large = int(side * times)
            assert len(Tiling.of(large, large, side, side).tops) == count


def test_a_tile_says_most_in_its_middle() -> None:
    tiling = Tiling.of(6, 4, 4, 4)
    tiles = np.stack([np.zeros((4, 4, 1)), np.ones((4, 4, 1))]).astype(np.float32)
    column = tiling.blend(tiles)[:, 0, 0]
    assert column[0] == column[1] == 0
    assert 0 < column[2] < 0.5 < column[3] < 1
    assert column[4] == column[5] == 1


def test_scaled() -> None:
    assert Tiling.of(12, 8, 8, 8).scaled(8) == Tiling.of(96, 64, 64, 64)


def test_a_seam_shows() -> None:
    tiling = Tiling.of(96, 96, 64, 64)
    ramp = np.broadcast_to(np.arange(96, dtype=np.uint8)[:, None, None], (96, 96, 3))
    smooth = ramp + ramp.transpose(1, 0, 2)
    assert seam_energy(smooth, tiling) == pytest.approx(1)
    seamed = smooth.copy()
    seamed[tiling.tops[1] :] += 10
    assert seam_energy(seamed, tiling) > 5
