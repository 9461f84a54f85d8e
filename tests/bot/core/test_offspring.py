"""What is made of what was drawn."""

from dataclasses import replace

import pytest

from bot.core import offspring
from bot.core.job import Parent, Record, State, StoredImage
from bot.core.wish import Usual, Wish
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import PICTURE_VARIATIONS, UPSCALING, VARIATIONS
from tests.bot.core.jobs import make_job

BROUGHT, MASK = "a" * 64, "b" * 64
WORDS = Wish(
    "a fox",
    negative_prompt="a dog",
    seed=7,
    num_inference_steps=9,
    guidance_scale=3.0,
    size_px=(64, 128),
    num_images=4,
    loras=(("film", 0.5),),
)


def drawn(wish: Wish = WORDS, *, indices: tuple[int, ...] = (0, 1, 2, 3)) -> Record:
    images = tuple(StoredImage(k, 7, f"{k}.png", "", 1) for k in indices)
    return Record(make_job(wish=wish), State.DELIVERED, 1, "", True, 0.0, 1.0, 2.0, images)


def test_rerolled_it_differs_in_its_seed_alone() -> None:
    record = drawn()
    made = offspring.rerolled(record)
    assert made.wish == replace(WORDS, seed=None)
    assert made.parent == Parent(record.job.id, "reroll")


def test_a_rerolled_variation_stays_one_of_the_same_picture() -> None:
    made = offspring.rerolled(drawn(replace(WORDS, variation=(3, 0.2, 2)))).wish
    assert made.variation is not None
    assert made.seed == WORDS.seed
    assert made.variation[1:] == (0.2, 2)
    assert made.variation[0] != 3


def test_a_rerolled_wish_keeps_what_was_brought_for_it() -> None:
    for mask, needed in (("alpha", (BROUGHT,)), (None, (BROUGHT,)), (MASK, (BROUGHT, MASK))):
        source = (BROUGHT, 0.5, "fit", 1.0, mask, 4)
        made = offspring.rerolled(drawn(replace(WORDS, source=source)))
        assert made.handed_on == needed
        assert made.wish.source == source


@pytest.mark.parametrize("how", ["subtle", "strong"])
def test_what_came_from_noise_is_varied_in_its_noise(how: offspring.How) -> None:
    record = drawn(replace(WORDS, num_images=2, first_index=2), indices=(2, 3))
    made = offspring.varied(record, 3, how)
    assert made.picture is None
    assert made.wish.variation is not None
    _, strength, index = made.wish.variation
    assert (strength, index) == (VARIATIONS[how], 3)
    assert replace(made.wish, variation=None) == replace(WORDS, num_images=2)
    assert made.parent == Parent(record.job.id, "vary", 3)


@pytest.mark.parametrize(
    "more",
    [
        {"source": (BROUGHT, 0.5, "fill", 1.0, None, 16)},
        {"variation": (3, 0.2, 2)},
        {"source": (BROUGHT, 0.3, "fill", 1.0, None, 16), "upscale": 2.0, "num_images": 1},
    ],
)
def test_what_came_from_a_picture_is_varied_as_a_picture(more: dict[str, object]) -> None:
    made = offspring.varied(drawn(replace(WORDS, **more)), 1, "strong")  # type: ignore[arg-type]
    assert made.picture == 1
    assert made.handed_on == ()
    wish = made.started_from(MASK, made.wish)
    assert wish.source is not None
    assert wish.source[:2] == (MASK, PICTURE_VARIATIONS["strong"])
    assert (wish.variation, wish.upscale, wish.seed) == (None, None, None)
    assert wish.num_images == (None if "upscale" in more else 4)
    wish.settled(Usual()).resolve((64, 64))


def test_upscaled_it_is_one_picture_twice_as_large() -> None:
    made = offspring.upscaled(drawn(), 2)
    request = made.started_from(BROUGHT, made.wish).settled(Usual()).resolve((64, 64))
    assert request.result_px == (128, 256)
    assert request.num_images == 1
    assert request.source is not None
    assert request.source.strength == UPSCALING
    assert (made.picture, made.parent.index) == (2, 2)


def test_what_is_large_already_is_not_upscaled_again() -> None:
    with pytest.raises(InvalidRequestError, match="made larger already"):
        offspring.upscaled(drawn(replace(WORDS, upscale=2.0)), 0)


def test_of_a_picture_that_is_not_there_nothing_is_made() -> None:
    with pytest.raises(InvalidRequestError, match="not there"):
        offspring.upscaled(drawn(indices=(0, 1)), 2)
    with pytest.raises(InvalidRequestError, match="not there"):
        offspring.varied(drawn(indices=()), 0, "subtle")
