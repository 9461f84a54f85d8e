"""/imagine-admin policy and limits: what holds in a place and for a user group."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bot.core import rule_table
from bot.core.allowed_names import AllowedNames, named
from bot.core.moderators import Moderators
from bot.core.options import MAX_COUNT
from bot.core.rule_table import LIMITS, MOST_DAILY, POLICY
from bot.core.rules import House, Place, Rules
from bot.core.studio import Studio
from bot.homes.slack import render
from bot.homes.slack.admin_text import Words
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.voice import Voice, shown
from sdxl_engine.request import parse_size

_POLICY: Final = tuple(one for one in POLICY if one != "adult")  # Slack knows no such places
_CLEAR: Final = "clear"
_MAX_NAMES_CHARS: Final = 600


class PolicyCommands:
    """Says, and shows, what holds."""

    def __init__(self, studio: Studio, moderators: Moderators, intake: Intake) -> None:
        self._moderators = moderators
        self._intake = intake
        self._names = AllowedNames(studio)

    async def policy(self, asked: Asked, words: Words) -> None:
        """Where the bot may be used, and how pictures are shown; raises BotError."""
        said = words.said((*_POLICY, _CLEAR))
        chosen: dict[str, Any] = {
            name: words.yes_or_no(name, text)
            for name, text in said.options.items()
            if name != _CLEAR
        }
        place = Place(said.channel, said.group)
        await self._set(asked, words, place, Rules(**chosen), said.options, _POLICY)

    async def limits(self, asked: Asked, words: Words) -> None:
        """How much may be asked for, and with what; raises BotError, EngineError."""
        said = words.said((*LIMITS, _CLEAR))
        by = await self._intake.actor(asked)
        await self._moderators.house(by)  # who may not is told that first
        chosen: dict[str, Any] = {}
        for name, text in said.options.items():
            match name:
                case "count":
                    chosen[name] = words.within(text, 1, MAX_COUNT)
                case "size":
                    chosen[name] = parse_size(text)
                case "daily":
                    chosen[name] = words.within(text, 0, MOST_DAILY)
                case "models":
                    chosen[name] = await self._names.models(text)
                case "loras":
                    chosen[name] = await self._names.loras(text)
        place = Place(said.channel, said.group)
        await self._set(asked, words, place, Rules(**chosen), said.options, LIMITS)

    async def _set(
        self,
        asked: Asked,
        words: Words,
        place: Place,
        said: Rules,
        options: Mapping[str, str],
        names: Sequence[str],
    ) -> None:
        """Say it, if anything is said, and show what holds then."""
        taken = [words.one_of(_CLEAR, one, names, str) for one in named(options.get(_CLEAR, ""))]
        by = await self._intake.actor(asked)
        if taken or not said.is_empty:
            await self._moderators.set_rules(place, said, by, take_back=taken)
        house = await self._moderators.house(by)
        voice = await self._intake.voice(asked)
        lines = list(_lines(house, self._moderators.usual, place, names, voice))
        await self._intake.tell(asked, lines[0], render.sections(lines))


def _lines(
    house: House, usual: Rules, place: Place, names: Sequence[str], voice: Voice
) -> Iterator[str]:
    yield f"*{voice.say(rule_table.HOLDS_HERE)}*: {_shown_place(place, voice)}"
    for row in rule_table.rows(house, usual, place, None, names):
        yield f"`{row.name}` {_value(row.value, voice)} · {voice.say(row.source)}"
    others = rule_table.elsewhere(house, place)
    if others.places:
        named_places = "; ".join(_shown_place(one, voice) for one in others.places)
        more = "; …" if others.more else ""
        yield f"*{voice.say(rule_table.RULES_FOR)}*: {named_places}{more}"


def _shown_place(place: Place, voice: Voice) -> str:
    marks = " ".join(map(shown, rule_table.links(place)))
    return marks or voice.say(rule_table.EVERYWHERE)


def _value(value: str | tuple[str, ...], voice: Voice) -> str:
    if isinstance(value, tuple):
        return render.quoted(", ".join(value), _MAX_NAMES_CHARS)
    return voice.say(value)
