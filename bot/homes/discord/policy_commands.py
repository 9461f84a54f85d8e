"""/imagine-admin policy and limits: what holds in a place and for a role."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import AppCommandChannel, AppCommandThread, Choice, Range, locale_str

from bot.core import rules
from bot.core.moderators import Moderators
from bot.core.options import MAX_COUNT, Texts
from bot.core.rules import Circumstances, House, Place, Rules
from bot.core.studio import Studio
from bot.core.suggestion import suggestion
from bot.core.wish import Wish
from bot.errors import JobRefusedError
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer_lines
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.commands import MAX_CHOICES, offered
from bot.homes.discord.intake import actor_of, is_for_adults
from bot.homes.discord.translator import described
from bot.homes.discord.voice import Voice, voice_of
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import format_size
from sdxl_engine.sentence import say, sentences

AnyChannel = AppCommandChannel | AppCommandThread
Daily = Range[int, 1, 10_000]
Count = Range[int, 1, MAX_COUNT]

_POLICY: Final = ("use", "private", "spoiler", "review", "adult")
_LIMITS: Final = ("count", "size", "daily", "models", "loras")
_NONE: Final = "none"  # typed for a list without names
_MOST_PLACES: Final = 20
_MAX_NAMES_UNITS: Final = 600
_CHANNEL: Final = say("For a channel; left out, for all")
_ROLE: Final = say("For those with a role; left out, for everybody")
_NOT_FOR_ADULTS: Final = say(
    "Discord does not know this channel as age-restricted. Make it so in the channel's settings "
    "first, then ask again."
)
_WARMING_UP: Final = say("The engine is warming up, so nobody knows the names yet. Ask again soon.")


class PolicyCommands:
    """Says, and shows, what holds."""

    def __init__(self, studio: Studio, moderators: Moderators) -> None:
        self._studio = studio
        self._moderators = moderators

    def add_to(self, group: app_commands.Group, sizes: Sequence[tuple[int, int]]) -> None:
        """Put the commands into their group."""

        @group.command(
            name="policy",
            description=locale_str(say("Where the bot may be used, and how pictures are shown")),
        )
        @described(
            channel=_CHANNEL,
            role=_ROLE,
            use=say("Whether the bot may be asked"),
            private=say("Show pictures to the one who asked alone"),
            spoiler=say("Blur all pictures until somebody looks"),
            review=say("Show nothing before a moderator has approved it"),
            adult=say("Allow what is for adults, in age-restricted channels"),
            take_back=say("What is not said here any more"),
        )
        @app_commands.choices(take_back=[Choice(name=one, value=one) for one in _POLICY])
        async def policy(
            interaction: Interaction,
            *,
            channel: AnyChannel | None = None,
            role: discord.Role | None = None,
            use: bool | None = None,
            private: bool | None = None,
            spoiler: bool | None = None,
            review: bool | None = None,
            adult: bool | None = None,
            take_back: str | None = None,
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            if adult and channel is not None and not is_for_adults(channel.resolve()):
                raise JobRefusedError(_NOT_FOR_ADULTS)
            said = Rules(use=use, private=private, spoiler=spoiler, review=review, adult=adult)
            await self._set(interaction, _place(channel, role), said, take_back, _POLICY)
            await self._show(interaction, channel, role, _POLICY)

        @group.command(
            name="limits", description=locale_str(say("How much may be asked for, and with what"))
        )
        @described(
            channel=_CHANNEL,
            role=_ROLE,
            count=say("The most pictures at once"),
            size=say("The largest size, in pixels"),
            daily=say("How often one person may ask within 24 hours"),
            models=say("Models that may be drawn with, with commas between them"),
            loras=say("LoRAs that may be asked for, with commas; none: no LoRA"),
            take_back=say("What is not said here any more"),
        )
        @app_commands.choices(
            take_back=[Choice(name=one, value=one) for one in _LIMITS],
            size=[Choice(name=format_size(*size), value=format_size(*size)) for size in sizes],
        )
        async def limits(
            interaction: Interaction,
            *,
            channel: AnyChannel | None = None,
            role: discord.Role | None = None,
            count: Count | None = None,
            size: str | None = None,
            daily: Daily | None = None,
            models: str | None = None,
            loras: str | None = None,
            take_back: str | None = None,
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            await self._moderators.house(actor_of(interaction))  # who may not is told that first
            said = Rules(
                count=count,
                size=Texts(size=size).read_into(Wish(""), ()).size_px,
                daily=daily,
                models=None if models is None else await self._models(models),
                loras=None if loras is None else await self._loras(loras),
            )
            await self._set(interaction, _place(channel, role), said, take_back, _LIMITS)
            await self._show(interaction, channel, role, _LIMITS)

        limits.autocomplete("models")(self._complete_models)
        limits.autocomplete("loras")(self._complete_loras)

    async def _set(
        self,
        interaction: Interaction,
        place: Place,
        said: Rules,
        take_back: str | None,
        names: Sequence[str],
    ) -> None:
        taken = [one for one in names if one == take_back]
        if taken or not said.is_empty:
            by = actor_of(interaction)
            await self._moderators.set_rules(place, said, by, take_back=taken)

    async def _show(
        self,
        interaction: Interaction,
        channel: AnyChannel | None,
        role: discord.Role | None,
        names: Sequence[str],
    ) -> None:
        house = await self._moderators.house(actor_of(interaction))
        place = _place(channel, role)
        within = str(channel.parent_id) if isinstance(channel, AppCommandThread) else None
        voice = voice_of(interaction)
        await answer_lines(
            interaction,
            [
                f"**{voice.say(say('What holds here'))}**: {_mentions(place, voice)}",
                *_table(house, self._moderators.usual, place, within, names, voice),
                *_elsewhere(house, place, voice),
            ],
        )

    async def _models(self, text: str) -> tuple[str, ...]:
        known = await self._known_models()
        names = _names(text)
        if not names:
            raise InvalidRequestError(say("Name one model at least."))
        for name in names:
            if name not in known:
                there_is_none = say("There is no model {name} here.", name=name)
                raise InvalidRequestError(_with(there_is_none, name, known))
        return names

    async def _loras(self, text: str) -> tuple[str, ...]:
        if text.strip().casefold() == _NONE:
            return ()
        known = await self._known_loras()
        names = _names(text)
        for name in names:
            if name not in known:
                there_is_none = say("There is no LoRA {name} here.", name=name)
                raise InvalidRequestError(_with(there_is_none, name, known))
        return names

    async def _known_models(self) -> Sequence[str]:
        if self._studio.model is None:
            raise JobRefusedError(_WARMING_UP)
        return self._studio.model.models

    async def _known_loras(self) -> Sequence[str]:
        model = self._studio.model
        if model is None:
            raise JobRefusedError(_WARMING_UP)
        return await asyncio.to_thread(lambda: list(model.loras))

    async def _complete_models(self, _: Interaction, current: str) -> list[Choice[str]]:
        return [] if self._studio.model is None else _completed(current, self._studio.model.models)

    async def _complete_loras(self, _: Interaction, current: str) -> list[Choice[str]]:
        if self._studio.model is None:
            return []
        return _completed(current, await self._known_loras())


def _with(sentence: str, name: str, known: Iterable[str]) -> str:
    return sentences(sentence, suggestion(name, known))


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (one.strip() for one in text.split(",")))))


def _completed(text: str, names: Iterable[str]) -> list[Choice[str]]:
    """What a list that somebody types may become: its last name completed."""
    before, _, last = text.rpartition(",")
    begun = last.strip().casefold()
    head = f"{before.strip()}, " if before.strip() else ""
    taken = _names(before)
    found = (one for one in names if begun in one.casefold() and one not in taken)
    return offered((head + one, "") for one in found)[:MAX_CHOICES]


def _place(channel: AnyChannel | None, role: discord.Role | None) -> Place:
    return Place(
        None if channel is None else str(channel.id), None if role is None else str(role.id)
    )


def _mentions(place: Place, voice: Voice) -> str:
    marks = []
    if place.channel is not None:
        marks.append(f"<#{place.channel}>")
    if place.role is not None:
        marks.append(f"<@&{place.role}>")
    return " ".join(marks) or voice.say(say("this server"))


def _elsewhere(house: House, place: Place, voice: Voice) -> Iterator[str]:
    """The other places of which something is said."""
    others = [one for one in house.rules if one not in {place, Place()}]
    if others:
        named = "; ".join(_mentions(one, voice) for one in others[:_MOST_PLACES])
        more = "; …" if len(others) > _MOST_PLACES else ""
        yield f"**{voice.say(say('There are rules for'))}**: {named}{more}"


def _table(
    house: House,
    usual: Rules,
    place: Place,
    within: str | None,
    names: Sequence[str],
    voice: Voice,
) -> Iterator[str]:
    """What is in force, one a line, and who says so."""
    roles = frozenset(() if place.role is None else (place.role,))
    around = Circumstances(roles, within, adult=True)
    in_force = rules.in_force(house, usual, place.channel, around)
    for name in names:
        value = getattr(in_force, name)
        source = _source(house, place, within, name, value)
        yield f"`{name}` {_value(name, value, voice)} · {voice.say(source)}"


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


def _value(name: str, value: Any, voice: Voice) -> str:  # noqa: ANN401 - of the type of that field
    if isinstance(value, bool):
        return voice.say(say("yes") if value else say("no"))
    if value is None:
        return voice.say(say("all") if name in {"models", "loras"} else say("no limit"))
    if name == "size":
        return format_size(*value)
    if isinstance(value, tuple):
        return render.quoted(", ".join(value), _MAX_NAMES_UNITS) or voice.say(say("none"))
    return str(value)
