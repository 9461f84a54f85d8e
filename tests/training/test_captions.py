"""Captions say what is in the picture, in many ways, with words that the tokenizer knows."""

import random

from captions import caption, in_scene, place_of
from world import BACKGROUNDS, COLOURS, Scene, Thing

from sdxl_engine import ImageRequest

FISH = Thing("fish", "green", 30.0, 100.0, 45.0, hat=True)
HOUSE = Thing("house", "red", 95.0, 64.0, 48.0)


def wordings(scene: Scene, count: int = 400) -> set[str]:
    return {caption(scene, random.Random(seed)) for seed in range(count)}


def test_people_say_it_in_many_ways() -> None:
    said = wordings(Scene("white", (FISH,)))
    assert len(said) > 200
    assert any("party hat" in words for words in said)
    assert any("bottom left" in words for words in said)
    assert any("background" not in words for words in said)
    assert all(ImageRequest(words) for words in said)


def test_no_other_colour_is_named() -> None:
    others = set(COLOURS) - {"green", "white"}
    for words in wordings(Scene("white", (FISH,))):
        assert not others & set(words.replace(",", " ").replace(":", " ").split()), words


def test_relations_hold_both_ways_round() -> None:
    first, second = Thing("fish", "green", 30.0, 64.0, 45.0), HOUSE
    said = wordings(Scene("white", (first, second)))
    left_of = [words for words in said if " to the left of " in words]
    right_of = [words for words in said if " to the right of " in words]
    assert left_of
    assert right_of
    assert all(words.index("fish") < words.index(" left of") for words in left_of)
    assert all(words.index(" right of") < words.index("fish") for words in right_of)
    assert not any(" above " in words or " below " in words for words in said)


def test_places() -> None:
    assert place_of(Scene("white", (FISH,)), FISH) == ("left", "bottom")
    assert place_of(Scene("white", (HOUSE,)), HOUSE) == ("right", "middle")


def test_every_background_has_plain_words() -> None:
    assert in_scene("orange") == "on an orange background"
    assert len({in_scene(background) for background in BACKGROUNDS}) == len(BACKGROUNDS)
