"""What holds in a place, and who says so, as data: a home shows it in its own markup."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.core import rules
from bot.core.card import Link
from bot.core.rules import Circumstances, House, Place, Rules
from sdxl_engine.request import format_size
from sdxl_engine.sentence import say

# The fields of `Rules`, as they are said and shown together.
POLICY: Final = ("use", "private", "spoiler", "review", "adult")
LIMITS: Final = ("count", "size", "daily", "models", "loras")
MOST_DAILY: Final = 10_000
HOLDS_HERE: Final = say("What holds here")
RULES_FOR: Final = say("There are rules for")
EVERYWHERE: Final = say("this server")
_MOST_PLACES: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """What is in force.

    value   names of models or of LoRAs, or what is said of anything else
    source  who says so
    """

    name: str
    value: str | tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The other places of which something is said.

    more  there are others still
    """

    places: tuple[Place, ...]
    more: bool


def rows(
    house: House, usual: Rules, place: Place, within: str | None, names: Sequence[str]
) -> Iterator[Row]:
    """What is in force in a place.

    within  the channel that it is a thread of
    names   of the fields of `Rules`
    """
    roles = frozenset(() if place.role is None else (place.role,))
    around = Circumstances(roles, within, adult=True)
    in_force = rules.in_force(house, usual, place.channel, around)
    for name in names:
        value = getattr(in_force, name)
        yield Row(name, _shown(name, value), _source(house, place, within, name, value))


def elsewhere(house: House, place: Place) -> Elsewhere:
    """Of which other places something is said."""
    others = [one for one in house.rules if one not in {place, Place()}]
    return Elsewhere(tuple(others[:_MOST_PLACES]), more=len(others) > _MOST_PLACES)


def links(place: Place) -> tuple[Link, ...]:
    """What a place is made of; nothing: it is `EVERYWHERE`."""
    channel = () if place.channel is None else (Link("channel", place.channel),)
    return channel if place.role is None else (*channel, Link("role", place.role))


def _source(house: House, place: Place, within: str | None, name: str, value: object) -> str:
    """Who says that something holds: the closest that says just that."""
    channel, role = place.channel, place.role
    closest = {
        say("said here"): place,
        say("said of the channel"): Place(channel),
        say("said of the thread's channel"): Place(within),
        say("said of the role"): Place(None, role),
        say("said of the server"): Place(),
    }
    for source, one in closest.items():
        said = house.rules.get(one, Rules()).said
        is_meant = one != Place() or source == say("said of the server") or place == Place()
        if is_meant and said.get(name) == value and name in said:
            return source
    return say("as the bot's owner has it")


def _shown(name: str, value: Any) -> str | tuple[str, ...]:  # noqa: ANN401 - of the type of that field
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if value is None or (name == "daily" and value == 0):
        return say("all") if name in {"models", "loras"} else say("no limit")
    if name == "size":
        return format_size(*value)
    if isinstance(value, tuple):
        return value or say("none")
    return str(value)
