"""What is usual for a person, a channel, a server: who says it, and who is heard."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.defaults import SETTABLE, Defaults, Manner, Scope, scopes_of, settled
from bot.core.job import Showing, Venue
from bot.core.policy import Actor, may_set
from bot.core.wish import Wish
from bot.errors import NotAllowedError
from sdxl_engine.errors import InvalidRequestError
from tests.bot.core.jobs import HOME, make_person
from tests.bot.core.office import OpenOffice

ANN, VENUE = make_person(1), Venue(HOME, "server", "channel")
MINE, CHANNEL, COMMUNITY = scopes_of(ANN, VENUE)
WISHES = st.builds(
    Wish,
    st.just(""),
    negative_prompt=st.sampled_from([None, "a", "b"]),
    num_inference_steps=st.sampled_from([None, 3, 4]),
    guidance_scale=st.sampled_from([None, 1.0]),
    num_images=st.sampled_from([None, 1, 2]),
    sampler=st.sampled_from([None, "euler", "heun"]),
    spacing=st.sampled_from([None, "karras"]),
    loras=st.sampled_from([(), (("film", 1.0),)]),
)
MANNERS = st.builds(Manner, *[st.sampled_from([None, True, False])] * 3)
SAID = st.builds(Defaults, WISHES, MANNERS)


@given(SAID, SAID, SAID)
def test_the_closest_word_is_heard(said: Defaults, near: Defaults, far: Defaults) -> None:
    heard = settled(said, [near, far])
    for name in SETTABLE:
        if name in {"sampler", "spacing"}:
            continue
        words = [getattr(one.wish, name) for one in (said, near, far)]
        spoken = [word for word in words if word not in (None, ())]
        assert getattr(heard.wish, name) == (spoken[0] if spoken else words[0])
    for name in ("private", "spoiler", "mention"):
        words = [getattr(one.manner, name) for one in (said, near, far)]
        spoken = [word for word in words if word is not None]
        assert getattr(heard.manner, name) == (spoken[0] if spoken else None)


@given(SAID, SAID)
def test_a_spacing_goes_with_its_sampler(said: Defaults, far: Defaults) -> None:
    heard = settled(said, [far]).wish
    if said.wish.sampler is not None:
        assert (heard.sampler, heard.spacing) == (said.wish.sampler, said.wish.spacing)


@given(SAID, st.sets(st.sampled_from([*SETTABLE, "spoiler"])))
def test_what_is_taken_back_is_open_again(said: Defaults, names: set[str]) -> None:
    left = said.without(names)
    assert left.without(names) == left
    for name in SETTABLE:
        kept = getattr(Wish(""), name) if name in names else getattr(said.wish, name)
        assert getattr(left.wish, name) == kept
    assert said.without([*SETTABLE, "private", "spoiler", "mention"]).is_empty


def test_only_what_may_be_usual_is_taken_over() -> None:
    far = Defaults(Wish("words", seed=3, first_index=2, upscale=2.0))
    assert settled(Defaults(Wish("mine")), [far]).wish == Wish("mine")


def test_timesteps_leave_no_steps_open() -> None:
    said = Defaults(Wish("x", timesteps=(999, 499)))
    far = Defaults(Wish("", num_inference_steps=30, sampler="heun", spacing="karras"))
    assert settled(said, [far]).wish == said.wish


@pytest.mark.parametrize(
    ("scope", "manages", "may"),
    [
        (MINE, None, True),
        (Scope(HOME, "person", "2"), VENUE, False),
        (Scope("elsewhere", "person", "1"), None, False),
        (CHANNEL, None, False),
        (COMMUNITY, None, False),
        (CHANNEL, VENUE, True),
        (COMMUNITY, VENUE, True),
        (COMMUNITY, Venue(HOME, "another", "channel2"), False),
        (CHANNEL, Venue(HOME, "server", "channel2"), False),
        # In a private channel nobody manages.
        (Scope(HOME, "community", "server"), Venue(HOME, None, "channel"), False),
    ],
)
def test_who_may_say_what_is_usual(scope: Scope, manages: Venue | None, may: bool) -> None:
    assert may_set(scope, Actor(ANN, manages=manages)) is may


async def test_it_is_kept_and_heard(office: OpenOffice) -> None:
    manager = Actor(make_person(9), manages=VENUE)
    async with office() as it:
        await it.studio.set_defaults(
            COMMUNITY, Defaults(Wish("", num_inference_steps=7), Manner(spoiler=True)), manager
        )
        await it.studio.set_defaults(MINE, Defaults(Wish("", num_inference_steps=3)), Actor(ANN))
        await it.studio.set_defaults(MINE, Defaults(Wish("", guidance_scale=2.0)), Actor(ANN))
    async with office() as it:
        mine = (await it.studio.settled(Defaults(Wish("x")), ANN, VENUE)).wish
        assert (mine.num_inference_steps, mine.guidance_scale) == (3, 2.0)
        other = await it.studio.settled(Defaults(Wish("x")), make_person(2), VENUE)
        assert other.wish.num_inference_steps == 7
        assert other.manner.showing == Showing(spoiler=True)
        elsewhere = replace(VENUE, community="another", channel="c")
        usual = (await it.studio.settled(Defaults(Wish("x")), make_person(2), elsewhere)).wish
        assert usual.num_inference_steps == 2
        now = await it.studio.set_defaults(
            MINE, Defaults(), Actor(ANN), take_back=["num_inference_steps"]
        )
        assert now == Defaults(Wish("", guidance_scale=2.0))


async def test_what_cannot_be_drawn_becomes_usual_for_nobody(office: OpenOffice) -> None:
    async with office() as it:
        await it.engine.warm()
        for wish in (Wish("", model="gone"), Wish("", num_inference_steps=999)):
            with pytest.raises(InvalidRequestError):
                await it.studio.set_defaults(MINE, Defaults(wish), Actor(ANN))
        with pytest.raises(NotAllowedError):
            await it.studio.set_defaults(COMMUNITY, Defaults(), Actor(ANN))
        assert (await it.studio.defaults(MINE)).is_empty


async def test_they_go_with_their_person(office: OpenOffice) -> None:
    async with office() as it:
        said = Defaults(Wish("", num_images=1))
        await it.studio.set_defaults(MINE, said, Actor(ANN))
        await it.studio.set_defaults(COMMUNITY, said, Actor(ANN, manages=VENUE))
        await it.ledger.forget([], 0.0)
        assert await it.studio.defaults(MINE) == said
        await it.ledger.forget([], 1e12)
        assert (await it.studio.defaults(MINE)).is_empty
        assert await it.studio.defaults(COMMUNITY) == said
