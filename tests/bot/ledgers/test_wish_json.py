"""A wish's stored form: it comes back as it was, and nothing that stands there stops a bot."""

import json
from contextlib import suppress
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.wish import Wish
from bot.ledgers import wish_json
from sdxl_engine import ImageRequest, InvalidRequestError

texts = st.text(st.characters(codec="utf-8"), max_size=50)
wholes = st.integers(-5, 2**33)
numbers = st.floats(-1, 30) | st.integers(-1, 30)
wishes = st.builds(
    Wish,
    prompt=texts,
    negative_prompt=st.none() | texts,
    seed=st.none() | wholes,
    num_inference_steps=st.none() | wholes,
    guidance_scale=st.none() | numbers,
    size_px=st.none() | st.tuples(wholes, wholes),
    num_images=st.none() | wholes,
    first_index=wholes,
    sampler=st.none() | texts,
    spacing=st.none() | texts,
    guidance_rescale=numbers,
    guidance_interval=st.tuples(numbers, numbers),
    loras=st.lists(st.tuples(texts, numbers), max_size=3).map(tuple),
    timesteps=st.none() | st.lists(wholes, max_size=3).map(tuple),
    model=st.none() | texts,
    source=st.none() | st.tuples(texts, numbers, texts, numbers, st.none() | texts, wholes),
    upscale=st.none() | numbers,
    variation=st.none() | st.tuples(wholes, numbers, wholes),
    emphasis=st.none() | texts,
    clip_skip=st.none() | wholes,
    style=st.none() | texts,
    styled=st.none() | st.tuples(texts, st.none() | texts),
    unread=st.just(()) | st.just(("mood", "zoom")),
)
values = st.recursive(
    st.none() | st.booleans() | wholes | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*asdict(Wish("")), "width_px", "height_px", "version"]) | texts


@given(wishes)
def test_a_wish_comes_back_as_it_was(wish: Wish) -> None:
    assert wish_json.read(wish_json.write(wish)) == wish


@given(texts | st.builds(json.dumps, values | st.dictionaries(names, values, max_size=8)))
def test_whatever_stands_there_is_read_and_drawn_or_refused(text: str) -> None:
    wish = wish_json.read(text)
    with suppress(InvalidRequestError):
        wish.resolve((64, 64))
    assert wish_json.read(wish_json.write(wish)) == wish or "nan" in repr(wish)


def test_a_request_of_before_there_were_wishes() -> None:
    request = ImageRequest("a cat", seed=3, width_px=64, height_px=128, guidance_interval=(0.2, 1))
    wish = wish_json.read(json.dumps(asdict(request)))
    assert wish.resolve((8, 8)) == request


def test_a_wish_of_before_models_had_samplers_of_their_own_keeps_euler() -> None:
    older = '{"version": 2, "prompt": "a cat", "sampler": "euler", "first_index": 0, "unread": []}'
    assert wish_json.read(older) == Wish("a cat", sampler="euler")


def test_a_newer_version_says_so() -> None:
    wish = wish_json.read('{"version": 3, "prompt": "a cat", "mask": null}')
    assert wish == Wish("a cat", unread=("version 3", "mask"))


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": "x", "sampler": 5, "negative_prompt": 7}',
        '{"prompt": "x", "version": [1]}',
        '{"prompt": "half of a pair: \\ud83c"}',
        '{"prompt": "x", "guidance_scale": 1' + "0" * 400 + "}",
        '{"prompt": "x", "unread": 5}',
        '{"prompt": "x", "loras": [["film"]]}',
        '{"prompt": "x", "loras": ["film"], "model": 5}',
        '{"prompt": "x", "style": 5}',
        '{"prompt": "x", "style": "film", "styled": ["a film"]}',
        "[" * 100_000,
    ],
)
def test_what_was_not_read_is_still_not_read_when_it_is_asked_again(text: str) -> None:
    wish = wish_json.read(text)
    assert wish.unread
    assert wish_json.read(wish_json.write(wish)) == wish
    with pytest.raises(InvalidRequestError, match="settings that this version"):
        wish.resolve((64, 64))
