"""/imagine-admin audit and export: what those who keep order did."""

import asyncio
from typing import Final, get_args

import discord
from discord import app_commands
from discord.app_commands import Choice, Range, locale_str

from bot.core import audit_file, order
from bot.core.audit import Entry
from bot.core.audit_line import (
    LISTED,
    MOST_EXPORTED,
    Change,
    Value,
    audit_line,
    exported,
    nothing,
)
from bot.core.card import Link
from bot.core.moderators import Moderators
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer_file, answer_lines
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.intake import actor_of
from bot.homes.discord.translator import described
from bot.homes.discord.voice import Voice, shown, voice_of
from sdxl_engine.sentence import Sentence, say

Number = Range[int, 1, 2**53 - 1]

_MAX_LINE_UNITS: Final = 190  # twenty fit a layout
_MOST_UNITS, _MOST_VALUE_UNITS = 80, 40  # of a reason, of what changed
_ELSEWHERE: Final = say("somebody, in Discord")


class AuditCommands:
    """Shows the audit, and gives it away."""

    def __init__(self, moderators: Moderators) -> None:
        self._moderators = moderators

    def add_to(self, group: app_commands.Group) -> None:
        """Put the commands into their group."""

        @group.command(name="audit", description=locale_str(order.COMMANDS["audit"]))
        @described(before=say("The number of an entry, to see what was done before it"))
        async def audit(interaction: Interaction, before: Number | None = None) -> None:
            await acknowledge_press(interaction, unseen=True)
            by = actor_of(interaction)
            entries = await self._moderators.audit(by, limit=LISTED, before=before)
            voice = voice_of(interaction)
            lines = [_line(one, interaction.guild, voice) for one in entries]
            await answer_lines(interaction, lines or [voice.say(nothing(before))])

        @group.command(name="export", description=locale_str(order.COMMANDS["export"]))
        @described(format=say("For a spreadsheet, or for a program"))
        @app_commands.choices(
            format=[Choice(name=one.upper(), value=one) for one in get_args(audit_file.Format)]
        )
        async def export(
            interaction: Interaction,
            format: str = "csv",  # noqa: A002 - it is the option's name
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            by = actor_of(interaction)
            entries = await self._moderators.exported(by, limit=MOST_EXPORTED)
            form: audit_file.Format = "json" if format == "json" else "csv"
            data = await asyncio.to_thread(
                lambda: "".join(audit_file.written(entries, form)).encode()
            )
            sentence = exported(len(entries))
            await answer_file(interaction, sentence, f"audit.{form}", data)


def _line(entry: Entry, guild: discord.Guild | None, voice: Voice) -> str:
    one = audit_line(entry, _ELSEWHERE)
    who = shown(one.who) if isinstance(one.who, Link) else voice.say(one.who)
    marks = [f"`{one.target}`"] if one.target else [_mention(each, guild) for each in one.ids]
    line = " ".join(
        [f"`{one.number}` {shown(one.at)} {who}:", voice.say(one.deed), *filter(None, marks)]
    )
    reason = [render.quoted(one.reason, _MOST_UNITS)] if one.reason else []
    for more in (*reason, *(_change(each, voice) for each in one.changes)):
        longer = f"{line} · {more}"
        if render.units(longer) > _MAX_LINE_UNITS:
            return f"{line} …"
        line = longer
    return line


def _mention(one: str, guild: discord.Guild | None) -> str:
    """What is behind an id, as Discord shows it."""
    if not one.isdigit():
        return ""
    if guild is not None and guild.get_role(int(one)) is not None:
        return f"<@&{one}>"
    if guild is not None and guild.get_channel_or_thread(int(one)) is not None:
        return f"<#{one}>"
    return f"<@{one}>"


def _change(change: Change, voice: Voice) -> str:
    name = _value(change.name, voice)
    now = _value(change.after, voice)
    return (
        f"{name} {now}"
        if change.before is None
        else (f"{name} {_value(change.before, voice)} → {now}")
    )


def _value(value: Value, voice: Voice) -> str:
    if isinstance(value, Sentence):
        return voice.say(value)
    return render.quoted(value, _MOST_VALUE_UNITS) if isinstance(value, str) else shown(value)
