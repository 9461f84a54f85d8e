"""/imagine-admin policy and limits: what holds in a place and for a role."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import discord
from discord import app_commands
from discord.app_commands import AppCommandChannel, AppCommandThread, Choice, Range, locale_str

from bot.core import order, rule_table
from bot.core.allowed_names import AllowedNames, named
from bot.core.moderators import Moderators
from bot.core.options import MAX_COUNT, Texts
from bot.core.rule_table import LIMITS, MOST_DAILY, POLICY
from bot.core.rules import House, Place, Rules
from bot.core.studio import Studio
from bot.core.wish import Wish
from bot.errors import JobRefusedError
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer_lines
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.commands import MAX_CHOICES, offered
from bot.homes.discord.intake import actor_of, is_for_adults
from bot.homes.discord.translator import described
from bot.homes.discord.voice import Voice, shown, voice_of
from sdxl_engine.request import format_size
from sdxl_engine.sentence import say

AnyChannel = AppCommandChannel | AppCommandThread
Daily = Range[int, 0, MOST_DAILY]
Count = Range[int, 1, MAX_COUNT]

_MAX_NAMES_UNITS: Final = 600
_CHANNEL: Final = say("For a channel; left out, for all")
_ROLE: Final = say("For those with a role; left out, for everybody")
_NOT_FOR_ADULTS: Final = say(
    "Discord does not know this channel as age-restricted. Make it so in the channel's settings "
    "first, then ask again."
)


class PolicyCommands:
    """Says, and shows, what holds."""

    def __init__(self, studio: Studio, moderators: Moderators) -> None:
        self._studio = studio
        self._moderators = moderators
        self._names = AllowedNames(studio)

    def add_to(self, group: app_commands.Group, sizes: Sequence[tuple[int, int]]) -> None:
        """Put the commands into their group."""

        @group.command(
            name="policy",
            description=locale_str(order.COMMANDS["policy"]),
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
        @app_commands.choices(take_back=[Choice(name=one, value=one) for one in POLICY])
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
            await self._set(interaction, _place(channel, role), said, take_back, POLICY)
            await self._show(interaction, channel, role, POLICY)

        @group.command(name="limits", description=locale_str(order.COMMANDS["limits"]))
        @described(
            channel=_CHANNEL,
            role=_ROLE,
            count=say("The most pictures at once"),
            size=say("The largest size, in pixels"),
            daily=say("How often one person may ask within 24 hours; 0: no limit"),
            models=say("Models that may be drawn with, with commas between them"),
            loras=say("LoRAs that may be asked for, with commas; none: no LoRA"),
            take_back=say("What is not said here any more"),
        )
        @app_commands.choices(
            take_back=[Choice(name=one, value=one) for one in LIMITS],
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
                models=None if models is None else await self._names.models(models),
                loras=None if loras is None else await self._names.loras(loras),
            )
            await self._set(interaction, _place(channel, role), said, take_back, LIMITS)
            await self._show(interaction, channel, role, LIMITS)

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
            _lines(house, self._moderators.usual, place, within, names, voice),
        )

    async def _complete_models(self, _: Interaction, current: str) -> list[Choice[str]]:
        return [] if self._studio.model is None else _completed(current, self._studio.model.models)

    async def _complete_loras(self, _: Interaction, current: str) -> list[Choice[str]]:
        if self._studio.model is None:
            return []
        return _completed(current, await self._names.known_loras())


def _completed(text: str, names: Iterable[str]) -> list[Choice[str]]:
    """What a list that somebody types may become: its last name completed."""
    before, _, last = text.rpartition(",")
    begun = last.strip().casefold()
    head = f"{before.strip()}, " if before.strip() else ""
    taken = named(before)
    found = (one for one in names if begun in one.casefold() and one not in taken)
    return offered((head + one, "") for one in found)[:MAX_CHOICES]


def _place(channel: AnyChannel | None, role: discord.Role | None) -> Place:
    """What is said of @everyone, which Discord has as a role, is said of all and no role's."""
    return Place(
        None if channel is None else str(channel.id),
        None if role is None or role.is_default() else str(role.id),
    )


def _shown_place(place: Place, voice: Voice) -> str:
    marks = " ".join(map(shown, rule_table.links(place)))
    return marks or voice.say(rule_table.EVERYWHERE)


def _lines(
    house: House,
    usual: Rules,
    place: Place,
    within: str | None,
    names: Sequence[str],
    voice: Voice,
) -> Iterator[str]:
    yield f"**{voice.say(rule_table.HOLDS_HERE)}**: {_shown_place(place, voice)}"
    for row in rule_table.rows(house, usual, place, within, names):
        yield f"`{row.name}` {_value(row.value, voice)} · {voice.say(row.source)}"
    others = rule_table.elsewhere(house, place)
    if others.places:
        named_places = "; ".join(_shown_place(one, voice) for one in others.places)
        more = "; …" if others.more else ""
        yield f"**{voice.say(rule_table.RULES_FOR)}**: {named_places}{more}"


def _value(value: str | tuple[str, ...], voice: Voice) -> str:
    if isinstance(value, tuple):
        return render.quoted(", ".join(value), _MAX_NAMES_UNITS)
    return voice.say(value)
