"""What is usual for somebody and somewhere, as they read it and set it: data for any home."""

from dataclasses import dataclass, fields, replace
from typing import Final

from bot.core import card
from bot.core.defaults import SETTABLE, Defaults, Manner, Scope, Whose, scopes_of
from bot.core.job import Person, Venue
from bot.core.studio import Studio
from bot.errors import NotAllowedError
from sdxl_engine.sentence import say, say_many

# All that can be taken back, by the names of their fields.
EVERYTHING: Final = (*SETTABLE, *(one.name for one in fields(Manner)))
TITLES: Final[dict[Whose, str]] = {
    "person": say("Yours"),
    "channel": say("This channel's"),
    "community": say("This server's"),
}
_NO_SERVER: Final = say("There is no server here: only what is usual for you can be set.")


@dataclass(frozen=True, slots=True)
class Said:
    """Who says it, and what; of both a few words."""

    title: str
    words: tuple[str, ...]


async def said(studio: Studio, person: Person, venue: Venue) -> tuple[Said, ...]:
    """What is usual for somebody there, the closest word first, and what comes of it at last.

    Raises LedgerError.
    """
    every = [
        (TITLES[scope.whose], await studio.defaults(scope)) for scope in scopes_of(person, venue)
    ]
    usual = await studio.settled(Defaults(), person, venue)
    # Its seed is drawn by lot, and so is the next one's.
    usual = replace(usual, wish=replace(usual.wish, seed=None))
    every.append((say("What /imagine draws here for you"), usual))
    return tuple(Said(title, tuple(found)) for title, one in every if (found := words(one)))


def scope_of(whose: str, person: Person, venue: Venue) -> Scope:
    """For whom, or where, somebody says it; raises NotAllowedError where there is no such."""
    for scope in scopes_of(person, venue):
        if scope.whose == whose:
            return scope
    raise NotAllowedError(_NO_SERVER)


def words(said: Defaults) -> list[str]:
    """What is usual, each a few words; empty where nothing is said."""
    wish, manner = said.wish, said.manner
    said_so = list(card.settings(wish))
    if wish.num_images is not None:
        said_so.append(say_many("{count} picture", "{count} pictures", wish.num_images))
    if wish.negative_prompt:
        said_so.append(say("staying away from: {prompt}", prompt=wish.negative_prompt))
    elif wish.negative_prompt is not None:
        said_so.append(say("staying away from nothing"))
    if manner.private is not None:
        said_so.append(say("private") if manner.private else say("for all to see"))
    if manner.spoiler is not None:
        said_so.append(say("blurred") if manner.spoiler else say("not blurred"))
    if manner.mention is not None:
        said_so.append(say("you are told") if manner.mention else say("you are not told"))
    return said_so
