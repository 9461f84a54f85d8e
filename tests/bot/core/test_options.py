"""Settings as lines of text: what is written is read back, and what is no setting is said."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.options import lines_of, options, read_lines, written
from bot.core.wish import WHOLE, Wish
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import SAMPLERS, SPACINGS

PARTS = st.sampled_from([0.0, 0.25, 0.35, 0.875, 1.0])
NAMES = st.sampled_from(["film", "a, b", "Old Ink"])
WISHES = st.builds(
    Wish,
    prompt=st.just("a fox"),
    negative_prompt=st.sampled_from([None, "", "dogs"]),
    seed=st.none() | st.integers(0, 2**32 - 1),
    num_inference_steps=st.none() | st.integers(1, 50),
    guidance_scale=st.none() | st.floats(0, 20).map(lambda one: round(one, 3)),
    size_px=st.none() | st.tuples(st.sampled_from([64, 1344]), st.sampled_from([64, 768])),
    num_images=st.none() | st.integers(1, 4),
    sampler=st.none() | st.sampled_from(sorted(SAMPLERS)),
    spacing=st.none() | st.sampled_from(sorted(SPACINGS)),
    guidance_rescale=PARTS,
    guidance_interval=st.tuples(PARTS, PARTS),
    loras=st.lists(st.tuples(NAMES, PARTS), max_size=2).map(tuple),
    timesteps=st.none() | st.just((999, 499)),
    model=st.none() | st.just("doodle"),
    style=st.none() | st.just("film-still"),
)
OPEN = Wish("a fox", loras=(("old", 1.0),), guidance_interval=(0.5, 1.0), seed=3, style="ink")


@given(WISHES)
def test_what_is_written_is_read_back(wish: Wish) -> None:
    """Into whatever wish, for what no line says is open."""
    read = read_lines(written(wish))
    base = replace(OPEN, negative_prompt=wish.negative_prompt)
    assert read.read_into(base, ()) == wish
    assert read.strength is None


def test_of_a_picture_the_strength_is_a_setting() -> None:
    wish = Wish("a fox", source=("0" * 64, 0.4, "fill", 1.0, None, 16))
    assert read_lines(written(wish)).strength == 0.4
    assert "strength" not in written(replace(wish, upscale=2.0))


def test_lines_are_read_as_people_write_them() -> None:
    read = read_lines("\n  Steps = 30 \nguidance rescale: 0.5\nseed:\naspect: wide\n\n")
    wish = read.read_into(Wish("a fox --seed 7"), [(64, 64), (128, 64)])
    assert (wish.prompt, wish.seed) == ("a fox", 7)
    assert (wish.num_inference_steps, wish.guidance_rescale) == (30, 0.5)
    assert wish.size_px == (128, 64)
    assert wish.guidance_interval == WHOLE


@given(st.text(max_size=40))
def test_whatever_is_written_is_read_or_said(text: str) -> None:
    try:
        read_lines(text).read_into(Wish("a fox"), [(64, 64)])
    except InvalidRequestError as error:
        assert str(error).endswith((".", "?"))  # noqa: PT017 - it may also be read


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stps: 3", "Did you mean steps"),
        ("prompt: a hen", "There is no setting 'prompt'"),
        ("count: 9", "Ask for 1 to 4"),
        ("count: two", "count: 'two' is no whole number"),
        ("guidance: much", "guidance: 'much' is no number"),
        ("just words", "'just words' cannot be read"),
    ],
)
def test_what_is_no_setting_is_said(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        read_lines(text)


def test_the_command_holds_the_prompts_too() -> None:
    said = options(Wish("a fox", negative_prompt="dogs", seed=3))
    assert said == {"prompt": "a fox", "negative_prompt": "dogs", "seed": "3"}
    assert "negative_prompt" not in options(Wish("a fox", negative_prompt=""))


def test_what_is_typed_into_the_prompt_is_stronger_than_lines_that_stood_there() -> None:
    lines = read_lines("seed: 5\nsize: 64x64\nlora: film:0.5")
    wish = lines.read_into(Wish("a fox --seed 7 --ar 2:1 --no dogs"), [(64, 64), (128, 64)])
    assert (wish.prompt, wish.negative_prompt, wish.seed) == ("a fox", "dogs", 7)
    assert (wish.size_px, wish.loras) == ((128, 64), (("film", 0.5),))


def test_a_shape_that_no_size_has_is_said() -> None:
    lines = read_lines("aspect: wide")
    with pytest.raises(InvalidRequestError, match="There are 64x64, 72x64"):
        lines.read_into(Wish("a fox"), [(64, 64), (72, 64)])
    assert lines.read_into(Wish("a fox"), [(64, 64), (96, 64)]).size_px == (96, 64)


def test_what_cannot_be_read_is_still_known_as_it_was_written() -> None:
    assert lines_of("Steps: many\nwords\nstps: 5\nseed:") == {"steps": "many", "stps": "5"}
