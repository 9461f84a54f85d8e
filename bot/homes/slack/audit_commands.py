"""/imagine-admin audit and export: what those who keep order did."""

import asyncio
from typing import Final

from bot.core import audit_file
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
from bot.homes.slack import render
from bot.homes.slack.admin_text import Words
from bot.homes.slack.direct_files import SENT, DirectFiles
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.voice import Voice, shown
from sdxl_engine.sentence import Sentence, say, sentences

_ELSEWHERE: Final = say("somebody, in Slack")
_MAX_LINE_CHARS: Final = 500  # twenty fit a message
_MOST_CHARS, _MOST_VALUE_CHARS = 120, 40  # of a reason, of what changed
_MOST_NUMBER: Final = 2**53 - 1
_CHANNELS, _GROUPS = ("C", "G"), "S"  # what their ids begin with


class AuditCommands:
    """Shows the audit, and gives it away."""

    def __init__(self, moderators: Moderators, intake: Intake, files: DirectFiles) -> None:
        self._moderators = moderators
        self._intake = intake
        self._files = files

    async def audit(self, asked: Asked, words: Words) -> None:
        """What was done, the latest first; raises BotError."""
        before = words.number(1, _MOST_NUMBER)
        words.end()
        by = await self._intake.actor(asked)
        entries = await self._moderators.audit(by, limit=LISTED, before=before)
        if not entries:
            await self._intake.answer(asked, nothing(before))
            return
        voice = await self._intake.voice(asked)
        lines = [_line(one, voice) for one in entries]
        await self._intake.tell(asked, lines[0], render.sections(lines))

    async def export(self, asked: Asked, words: Words) -> None:
        """All of it, as a file; raises BotError."""
        form: audit_file.Format = "json" if words.command_of(("csv", "json")) == "json" else "csv"
        words.end()
        by = await self._intake.actor(asked)
        entries = await self._moderators.exported(by, limit=MOST_EXPORTED)
        data = await asyncio.to_thread(lambda: "".join(audit_file.written(entries, form)).encode())
        sentence = exported(len(entries))
        text = (await self._intake.voice(asked)).say(sentence)
        await self._files.send(asked.user, {f"audit.{form}": data}, text)
        await self._intake.answer(asked, sentences(sentence, SENT))


def _line(entry: Entry, voice: Voice) -> str:
    one = audit_line(entry, _ELSEWHERE)
    who = shown(one.who) if isinstance(one.who, Link) else voice.say(one.who)
    marks = [f"`{one.target}`"] if one.target else [shown(_link(each)) for each in one.ids]
    line = " ".join([f"`{one.number}` {shown(one.at)} {who}:", voice.say(one.deed), *marks])
    reason = [render.quoted(one.reason, _MOST_CHARS)] if one.reason else []
    for more in (*reason, *(_change(each, voice) for each in one.changes)):
        longer = f"{line} · {more}"
        if len(longer) > _MAX_LINE_CHARS:
            return f"{line} …"
        line = longer
    return line


def _link(id: str) -> Link:  # noqa: A002 - it is one
    if id.startswith(_GROUPS):
        return Link("role", id)
    return Link("channel" if id.startswith(_CHANNELS) else "person", id)


def _change(change: Change, voice: Voice) -> str:
    name, now = _value(change.name, voice), _value(change.after, voice)
    if change.before is None:
        return f"{name} {now}"
    return f"{name} {_value(change.before, voice)} → {now}"


def _value(value: Value, voice: Voice) -> str:
    if isinstance(value, Sentence):
        return voice.say(value)
    return render.quoted(value, _MOST_VALUE_CHARS) if isinstance(value, str) else shown(value)
