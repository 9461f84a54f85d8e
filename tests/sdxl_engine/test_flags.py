"""Flags that people type into prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine import InvalidRequestError
from sdxl_engine.flags import (
    ASPECTS,
    Flags,
    aspects,
    left_out,
    nearest_size,
    parse_aspect,
    read_flags,
    size_of_aspect,
)
from sdxl_engine.request import MAX_SIDE_PX, MIN_SIDE_PX


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a fox", Flags("a fox")),
        ("a fox --ar 16:9", Flags("a fox", aspect=(16, 9))),
        ("a fox --ar Wide", Flags("a fox", aspect=(16, 9))),
        ("a fox \N{EM DASH}ar 3:2", Flags("a fox", aspect=(3, 2))),
        ("a \N{EM DASH}dash of rain", Flags("a \N{EM DASH}dash of rain")),
        ("he said \N{EM DASH}no way", Flags("he said \N{EM DASH}no way")),
        ("x --seed=5 --ar=16:9", Flags("x", seed=5, aspect=(16, 9))),
        ("x --seed 5, y", Flags("x , y", seed=5)),
        ("a -- b, well--known", Flags("a -- b, well--known")),
        ("--seed 7 a fox", Flags("a fox", seed=7)),
        ("a fox --no red, hats --steps 30", Flags("a fox", negative="red, hats", steps=30)),
        ("x --cfg 7.5 --size 512x768", Flags("x", guidance=7.5, size_px=(512, 768))),
        ("x --sampler dpmpp_2m", Flags("x", sampler=("dpmpp_2m", None))),
        ("x --seed 1 --SEED 2", Flags("x", seed=2)),
        ("x --v 6 --tile a --style film", Flags("x a", style="film", unknown=("--v 6", "--tile"))),
    ],
)
def test_they_are_read(text: str, said: Flags) -> None:
    assert read_flags(text) == said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x --seed y", "--seed needs a whole number, such as 7; after it stands 'y'."),
        ("x --steps", "--steps needs a whole number, such as 7; after it stands nothing."),
        ("x --cfg nan", "--cfg needs a number"),
        ("x --ar 0:1", "'0:1' is no shape of a picture"),
        ("x --ar 9:1", "at most 4 times as long"),
        ("x --size big", "is not a size"),
        ("x --sampler nope", "There is no sampler"),
        ("x --no", "--no needs a word"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_flags(text)
    assert sentence in str(caught.value)


def test_what_changes_nothing_is_told() -> None:
    told = left_out(read_flags("x --v 6 --niji --style film"))
    assert told == ["Left out of the prompt, as nobody here knows it: --v 6, --niji."]
    assert not left_out(read_flags("x --seed 1"))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_flags(text)
    except InvalidRequestError as error:
        assert str(error)  # noqa: PT017 - it may or may not be raised


@pytest.mark.parametrize(
    ("aspect", "size"),
    [((1, 1), (1024, 1024)), ((16, 9), (1344, 768)), ((9, 16), (768, 1344)), ((4, 3), (1152, 896))],
)
def test_sdxls_own_sizes(aspect: tuple[float, float], size: tuple[int, int]) -> None:
    assert size_of_aspect(aspect, (1024, 1024), 64) == size


@given(
    st.floats(0.25, 4), st.sampled_from([64, 128, 512, 1024, 2048]), st.sampled_from([8, 32, 64])
)
def test_a_size_can_be_drawn(ratio: float, native: int, multiple: int) -> None:
    for side in size_of_aspect((ratio, 1), (native, native), multiple):
        assert side % multiple == 0
        assert MIN_SIDE_PX <= side <= MAX_SIDE_PX


def test_a_shape() -> None:
    assert parse_aspect("16:9") == parse_aspect("16x9") == parse_aspect("16/9") == (16, 9)
    assert parse_aspect("Cinema ") == (21, 9)


SDXL = [(1024, 1024), (1344, 768), (768, 1344), (832, 1216)]


def test_a_shape_becomes_the_nearest_of_the_sizes() -> None:
    assert nearest_size((21, 9), SDXL) == (1344, 768)
    assert nearest_size((3, 4), SDXL) == (832, 1216)
    assert nearest_size((3, 2), [(64, 64)]) == (64, 64)


def test_what_is_offered_comes_out_as_it_is_called() -> None:
    assert aspects(SDXL) == {
        "square": (1024, 1024),
        "portrait": (832, 1216),
        "wide": (1344, 768),
        "tall": (768, 1344),
        "phone": (768, 1344),
        "1:1": (1024, 1024),
        "3:4": (832, 1216),
        "16:9": (1344, 768),
        "9:16": (768, 1344),
        "2:3": (832, 1216),
    }
    assert aspects([(64, 64)]) == {"square": (64, 64), "1:1": (64, 64)}
    assert aspects([]) == {}


@given(st.lists(st.tuples(st.integers(64, 2048), st.integers(64, 2048)), min_size=1, max_size=5))
def test_each_offer_can_be_asked_for(sizes: list[tuple[int, int]]) -> None:
    for name, size in aspects(sizes).items():
        assert nearest_size(parse_aspect(name), sizes) == size


def test_each_name_has_its_own_size_of_sdxl() -> None:
    found = {name: size_of_aspect(shape, (1024, 1024), 64) for name, shape in ASPECTS.items()}
    assert aspects([*found.values()]).items() >= found.items()
