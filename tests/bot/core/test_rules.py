"""Rules: which hold, what they let through, and which cannot be meant."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import rule_table, rules
from bot.core.rules import Circumstances, House, Place, Rules
from bot.core.wish import Wish
from sdxl_engine.request import ImageRequest, Lora, Source

USUAL = Rules(use=True, private=False, spoiler=False, review=False, adult=False)
ART, THREAD, GAMES = "art", "thread-in-art", "games"
TRUSTED, MUTED = "trusted", "muted"


def in_force(house: dict[Place, Rules], channel: str = ART, **around: Any) -> Rules:
    return rules.in_force(House(house), USUAL, channel, Circumstances(**around))


def test_where_nobody_says_anything_the_configuration_has() -> None:
    assert in_force({}) == USUAL


def test_nothing_is_allowed_that_nobody_has_stated() -> None:
    assert not rules.in_force(House(), Rules(), ART, Circumstances()).use


def test_the_closest_that_says_something_counts() -> None:
    house = {
        Place(): Rules(count=1),
        Place(role=TRUSTED): Rules(count=2),
        Place(ART): Rules(count=3),
        Place(ART, TRUSTED): Rules(count=4),
    }
    trusted = frozenset({TRUSTED})
    assert in_force(house).count == 3
    assert in_force(house, roles=trusted).count == 4
    assert in_force(house, GAMES).count == 1
    assert in_force(house, GAMES, roles=trusted).count == 2


def test_a_thread_is_of_its_channel_and_may_say_otherwise() -> None:
    house = {Place(ART): Rules(count=1)}
    assert in_force(house, THREAD, within=ART).count == 1
    assert in_force(house | {Place(THREAD): Rules(count=2)}, THREAD, within=ART).count == 2


def test_several_roles_give_the_most_and_oblige_to_all() -> None:
    house = {
        Place(role="a"): Rules(count=2, size=(512, 1024), models=("x",), spoiler=True, daily=9),
        Place(role="b"): Rules(count=4, size=(768, 768), models=("y", "x"), spoiler=False, daily=3),
    }
    together = in_force(house, roles=frozenset({"a", "b"}))
    assert (together.count, together.size, together.daily) == (4, (768, 768), 9)
    assert set(together.models or ()) == {"x", "y"}
    assert together.spoiler
    free = house | {Place(role="free"): Rules(daily=0)}  # which is no limit
    assert in_force(free, roles=frozenset({"a", "b", "free"})).daily == 0


def test_who_is_barred_by_a_role_is_barred_in_every_channel_that_allows_others() -> None:
    house = {
        Place(): Rules(use=False),
        Place(ART): Rules(use=True),
        Place(role=MUTED): Rules(use=False),
    }
    assert in_force(house).use
    assert not in_force(house, GAMES).use
    assert not in_force(house, roles=frozenset({MUTED})).use
    assert not in_force(house, roles=frozenset({MUTED, TRUSTED})).use
    lifted = house | {Place(ART, MUTED): Rules(use=True)}
    assert in_force(lifted, roles=frozenset({MUTED})).use
    assert in_force(lifted, THREAD, roles=frozenset({MUTED}), within=ART).use
    assert not in_force(lifted, GAMES, roles=frozenset({MUTED})).use


def test_a_role_may_be_allowed_where_nobody_else_is() -> None:
    house = {Place(): Rules(use=False), Place(role=TRUSTED): Rules(use=True)}
    assert not in_force(house).use
    assert in_force(house, roles=frozenset({TRUSTED})).use


def test_what_is_for_adults_needs_a_place_for_adults_too() -> None:
    house = {Place(ART): Rules(adult=True)}
    assert not in_force(house).adult
    assert in_force(house, adult=True).adult
    assert not in_force({}, adult=True).adult


@pytest.mark.parametrize(
    ("house", "why"),
    [
        (House({Place(): Rules(use=False)}), "nobody could ask"),
        (House({Place(): Rules(use=False), Place(ART): Rules(use=False)}), "nobody could ask"),
        (House({Place(ART): Rules(review=True)}), "the desk"),
        (House({Place(ART, TRUSTED): Rules(review=True)}), "the desk"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused_with_the_way_out(house: House, why: str) -> None:
    assert why in (rules.objection(house, USUAL) or "")


@pytest.mark.parametrize(
    "house",
    [
        House(),
        House({Place(): Rules(use=False), Place(ART): Rules(use=True)}),
        House({Place(): Rules(use=False), Place(role=TRUSTED): Rules(use=True)}),
        House({Place(ART): Rules(review=True)}, desk="mod-log"),
        House({Place(ART): Rules(review=False)}),
    ],
)
def test_rules_that_can_be_meant_are_taken(house: House) -> None:
    assert rules.objection(house, USUAL) is None


@pytest.mark.parametrize(
    ("said", "shown"), [(Rules(), "no limit"), (Rules(daily=0), "no limit"), (Rules(daily=7), "7")]
)
def test_no_limit_is_shown_as_such(said: Rules, shown: str) -> None:
    (row,) = rule_table.rows(House({Place(): said}), USUAL, Place(), None, ["daily"])
    assert row.value == shown


REQUEST = ImageRequest("a cat", num_images=4, width_px=512, height_px=512)


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        (Rules(count=3), REQUEST),
        (Rules(size=(512, 504)), REQUEST),
        (Rules(size=(512, 512)), replace(REQUEST, width_px=1024)),
        (Rules(models=("other",)), REQUEST),
        (Rules(models=("other",)), replace(REQUEST, model="third")),
        (Rules(loras=("film",)), replace(REQUEST, loras=(Lora("ink", 1.0),))),
        (Rules(loras=()), replace(REQUEST, loras=(Lora("ink", 1.0),))),
    ],
)
def test_more_than_one_may_is_refused_in_a_sentence(said: Rules, request_: ImageRequest) -> None:
    refusal = rules.refusal(said, request_, "first")
    assert refusal is not None
    assert refusal.startswith(("Here ", "Of the LoRAs "))


@pytest.mark.parametrize(
    "said",
    [
        Rules(),
        Rules(count=4),
        Rules(size=(512, 512)),
        Rules(size=(1024, 256)),  # another shape of as many pixels
        Rules(models=("first",)),
        Rules(loras=()),
    ],
)
def test_as_much_as_one_may_is_taken(said: Rules) -> None:
    assert rules.refusal(said, REQUEST, "first") is None


def test_a_picture_drawn_larger_counts_as_large_as_it_becomes() -> None:
    larger = replace(REQUEST, num_images=1, source=Source("a" * 64), upscale=2)
    assert rules.refusal(Rules(size=(1024, 1024)), larger, "first") is None
    assert rules.refusal(Rules(size=(1024, 1016)), larger, "first") is not None


SIZES = ((1024, 1024), (768, 512), (512, 512))


def test_what_is_left_open_is_no_more_than_one_may() -> None:
    said = Wish("a cat")
    settled = replace(said, num_images=4, loras=(("ink", 1.0), ("wax", 0.5)))
    said_here = Rules(count=1, size=(512, 768), models=("b", "c"), loras=("wax",))
    bounded = said_here.bounded(settled, said, SIZES)
    assert (bounded.num_images, bounded.size_px, bounded.model) == (1, (768, 512), "b")
    assert bounded.loras == (("wax", 0.5),)


def test_what_is_asked_for_by_name_is_not_made_less_unasked() -> None:
    said = Wish("a cat", num_images=4, size_px=(1024, 1024), model="a", loras=(("ink", 1.0),))
    said_here = Rules(count=1, size=(512, 512), models=("b",), loras=())
    assert said_here.bounded(said, said, SIZES) == said


some_rules = st.builds(
    Rules,
    use=st.none() | st.booleans(),
    count=st.none() | st.integers(1, 10),
    models=st.none() | st.tuples(st.sampled_from("abc")),
    spoiler=st.none() | st.booleans(),
)
places = st.builds(
    Place, st.none() | st.sampled_from([ART, GAMES]), st.none() | st.sampled_from([TRUSTED, MUTED])
)


@given(
    st.dictionaries(places, some_rules, max_size=6),
    st.sampled_from([ART, GAMES, None]),
    st.frozensets(st.sampled_from([TRUSTED, MUTED])),
)
def test_what_must_be_known_always_is(
    house: dict[Place, Rules], channel: str | None, roles: frozenset[str]
) -> None:
    found = rules.in_force(House(house), USUAL, channel, Circumstances(roles))
    for name in ("use", "private", "spoiler", "review", "adult"):
        assert getattr(found, name) in {True, False}
    # Of whom nothing is known, not more is allowed than of anybody.
    nobody = rules.in_force(House(house), USUAL, channel, Circumstances())
    if not nobody.use and found.use:
        assert any(one.use for place, one in house.items() if place.role in roles)


@given(some_rules, some_rules)
def test_what_is_said_stands_over_what_was(one: Rules, other: Rules) -> None:
    together = one.over(other)
    for name in (field.name for field in fields(Rules)):
        mine = getattr(one, name)
        assert getattr(together, name) == (getattr(other, name) if mine is None else mine)
    assert together.without(one.said).said == {
        name: value for name, value in other.said.items() if name not in one.said
    }
