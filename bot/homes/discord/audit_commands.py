"""/imagine-admin audit and export: what those who keep order did."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Final, get_args

import discord
from discord import app_commands
from discord.app_commands import Choice, Range, locale_str

from bot.core import audit_file
from bot.core.audit import ELSEWHERE, OWNER, RULES, DeedKind, Entry
from bot.core.card import Date, Moment
from bot.core.moderators import Moderators
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer_file, answer_lines
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.intake import actor_of
from bot.homes.discord.translator import described
from bot.homes.discord.voice import Voice, shown, voice_of
from sdxl_engine.request import format_size
from sdxl_engine.sentence import say, say_many

Number = Range[int, 1, 2**53 - 1]

_LISTED: Final = 20
_MOST_EXPORTED: Final = 10_000  # some three megabytes
_MAX_LINE_UNITS: Final = 190  # twenty fit a layout
_MOST_UNITS, _MOST_VALUE_UNITS = 80, 40  # of a reason, of what changed
_JOB: Final = re.compile("[a-z2-7]{8}")
_ACTORS: Final = {
    OWNER: say("the bot's owner"),
    RULES: say("the rules here"),
    ELSEWHERE: say("somebody, in Discord"),
}
_DEEDS: Final[dict[DeedKind, str]] = {
    "rules": say("changed rules"),
    "terms": say("changed the filter"),
    "desk": say("named the desk"),
    "keep": say("changed how long jobs are kept"),
    "pause": say("paused the bot"),
    "resume": say("ended the pause"),
    "block": say("blocked"),
    "unblock": say("unblocked"),
    "purge": say("deleted all of"),
    "cancel": say("cancelled"),
    "delete": say("deleted"),
    "blur": say("blurred"),
    "unblur": say("unblurred"),
    "approve": say("approved"),
    "warn": say("warned"),
    "report": say("reported"),
    "refuse": say("refused"),
    "hold": say("held back"),
    "export": say("exported the audit"),
    "erase": say("erased"),
}


class AuditCommands:
    """Shows the audit, and gives it away."""

    def __init__(self, moderators: Moderators) -> None:
        self._moderators = moderators

    def add_to(self, group: app_commands.Group) -> None:
        """Put the commands into their group."""

        @group.command(name="audit", description=locale_str(say("What was done to keep order")))
        @described(before=say("The number of an entry, to see what was done before it"))
        async def audit(interaction: Interaction, before: Number | None = None) -> None:
            await acknowledge_press(interaction, unseen=True)
            by = actor_of(interaction)
            entries = await self._moderators.audit(by, limit=_LISTED, before=before)
            voice = voice_of(interaction)
            lines = [_line(one, interaction.guild, voice) for one in entries]
            await answer_lines(interaction, lines or [voice.say(say("Nothing was done yet."))])

        @group.command(name="export", description=locale_str(say("The audit as a file")))
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
            entries = await self._moderators.exported(by, limit=_MOST_EXPORTED)
            form: audit_file.Format = "json" if format == "json" else "csv"
            data = await asyncio.to_thread(
                lambda: "".join(audit_file.written(entries, form)).encode()
            )
            sentence = say_many("{count} entry.", "{count} entries.", len(entries))
            await answer_file(interaction, sentence, f"audit.{form}", data)


def _line(entry: Entry, guild: discord.Guild | None, voice: Voice) -> str:
    actor = _ACTORS.get(entry.actor)
    who = f"<@{entry.actor}>" if actor is None else voice.say(actor)
    deed: Any = entry.kind  # a later version may know more
    parts = [
        f"`{entry.number}` {shown(Moment(int(entry.at_s)))} {who}:",
        voice.say(_DEEDS.get(deed, entry.kind)),
        _target(entry.target, guild),
    ]
    line = " ".join(filter(None, parts))
    reason = [render.quoted(entry.reason, _MOST_UNITS)] if entry.reason else []
    for one in (*reason, *_changes(entry, voice)):
        longer = f"{line} · {one}"
        if render.units(longer) > _MAX_LINE_UNITS:
            return f"{line} …"
        line = longer
    return line


def _target(target: str, guild: discord.Guild | None) -> str:
    """A job, or what is behind ids, as Discord shows it."""
    if _JOB.fullmatch(target):
        return f"`{target}`"
    return " ".join(_mention(one, guild) for one in target.split("/") if one.isdigit())


def _mention(one: str, guild: discord.Guild | None) -> str:
    if guild is not None and guild.get_role(int(one)) is not None:
        return f"<@&{one}>"
    if guild is not None and guild.get_channel_or_thread(int(one)) is not None:
        return f"<#{one}>"
    return f"<@{one}>"


def _changes(entry: Entry, voice: Voice) -> Iterator[str]:
    """What was otherwise before, and what is so after it."""
    before, after = json.loads(entry.before), json.loads(entry.after)
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        shown_name = render.quoted(name.removesuffix("_s"), _MOST_UNITS)
        if name in before:
            yield f"{shown_name} {_value(name, was, voice)} → {_value(name, now, voice)}"
        else:
            yield f"{shown_name} {_value(name, now, voice)}"


def _value(name: str, value: object, voice: Voice) -> str:
    match value:
        case bool():
            return voice.say(say("yes") if value else say("no"))
        case int() | float() if name.endswith("_s"):
            return shown(Date(int(value)))
        case str() if name == "desk":
            return f"<#{value}>"
        case [int(width), int(height)] if name == "size":
            return format_size(width, height)
        case str():
            text = value
        case _:
            text = "-" if value is None else json.dumps(value, ensure_ascii=False)
    return render.quoted(text, _MOST_VALUE_UNITS)
