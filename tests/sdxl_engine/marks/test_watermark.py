"""The watermark: faint, found again, never where it is not. benchmarks/ has the whole table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdxl_engine.marks.watermark import ALARMS, Watermark
from tests.sdxl_engine.marks.attacks import ATTACKS, KINDS, clouds, drawing, flat, psnr_db

MARK = Watermark()
SIDE_PX = 384  # the smallest that Discord's preview may be asked of


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_lives_through_what_chats_do(attack: str) -> None:
    for picture in (drawing(1, SIDE_PX), flat(0, SIDE_PX), flat(1, SIDE_PX), clouds(5, SIDE_PX)):
        assert MARK.sought(ATTACKS[attack](MARK.on(picture))).is_there


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_faint(kind: str) -> None:
    for seed in range(4):
        picture = KINDS[kind](seed, SIDE_PX)
        assert 40 <= psnr_db(picture, MARK.on(picture)) < 45


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([(255, 255, 255), (0, 0, 0), (255, 0, 0), (90, 90, 91)]),
)
@settings(max_examples=30)
def test_any_size_is_marked_and_looked_at(
    width_px: int, height_px: int, colour: tuple[int, int, int]
) -> None:
    picture = Image.new("RGB", (width_px, height_px), colour)
    marked = MARK.on(picture)
    assert marked.size == picture.size
    assert psnr_db(picture, marked) >= 40
    assert not MARK.sought(picture).is_there


def test_the_same_picture_is_marked_the_same() -> None:
    picture = drawing(3, SIDE_PX)
    assert MARK.on(picture).tobytes() == Watermark().on(picture).tobytes()


def test_it_says_at_which_size_it_was_marked() -> None:
    marked = MARK.on(drawing(1, SIDE_PX))
    seen = MARK.sought(marked.resize((250, 250)))
    assert seen.is_there
    assert seen.scale == pytest.approx(250 / SIDE_PX, rel=0.02)


def test_of_what_is_larger_than_is_looked_at_nothing_is_lost() -> None:
    seen = MARK.sought(MARK.on(flat(1, 1536)))
    assert seen.is_there
    assert seen.scale == 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_not_found_where_it_is_not(kind: str) -> None:
    for seed in range(8):
        assert not MARK.sought(KINDS[kind](seed, 128)).is_there


def test_another_key_finds_nothing() -> None:
    marked = MARK.on(drawing(1, SIDE_PX))
    assert not Watermark("another").sought(marked).is_there
    assert Watermark("another").sought(Watermark("another").on(marked)).is_there


def test_what_a_score_comes_to_is_what_chance_does() -> None:
    """Over keys, unmarked pictures score as often as is said."""
    picture = clouds(2, 64)
    alarms = [Watermark(str(key)).sought(picture).alarms for key in range(12)]
    assert min(alarms) > ALARMS
    assert np.mean([one < 0.5 for one in alarms]) < 0.5
