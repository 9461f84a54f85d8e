"""An entry of the audit as somebody reads it, as data: a home shows it in its own markup."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bot.core.audit import ELSEWHERE, OWNER, RULES, DeedKind, Entry
from bot.core.card import Date, Moment
from bot.core.desk_card import Link
from sdxl_engine.request import format_size
from sdxl_engine.sentence import Sentence, say, say_many

LISTED: Final = 20
MOST_EXPORTED: Final = 10_000  # some three megabytes
NOTHING_YET: Final = say("Nothing was done yet.")
_JOB: Final = re.compile("[a-z2-7]{8}")
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

Value = Sentence | Date | Link | str
"""Our own words, a time, a channel; a plain text is somebody's, and read as no markup."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is otherwise now.

    before  None: nothing is said of that
    """

    name: str
    before: Value | None
    after: Value


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What was done.

    who     a `Link`, or who it was where it was no person
    target  a job's id; empty: it was none
    ids     of people, channels and roles, which a home tells apart
    reason  as somebody typed it
    """

    number: int
    at: Moment
    who: Link | str
    deed: str
    target: str
    ids: tuple[str, ...]
    reason: str
    changes: tuple[Change, ...]


def audit_line(entry: Entry, elsewhere: str) -> AuditLine:
    """An entry.

    elsewhere  who did what was seen as something that happened in the home itself
    """
    actors = {OWNER: say("the bot's owner"), RULES: say("the rules here"), ELSEWHERE: elsewhere}
    deed: Any = entry.kind  # a later version may know more
    is_job = _JOB.fullmatch(entry.target) is not None
    return AuditLine(
        number=entry.number,
        at=Moment(int(entry.at_s)),
        who=actors.get(entry.actor) or Link("person", entry.actor),
        deed=_DEEDS.get(deed, entry.kind),
        target=entry.target if is_job else "",
        ids=() if is_job else tuple(filter(None, entry.target.split("/"))),
        reason=entry.reason,
        changes=tuple(_changes(entry)),
    )


def exported(count: int) -> str:
    """How many entries a file has."""
    return say_many("{count} entry.", "{count} entries.", count)


def _changes(entry: Entry) -> Iterator[Change]:
    """What was otherwise before, and what is so after it."""
    before, after = json.loads(entry.before), json.loads(entry.after)
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if was != now:
            earlier = _value(name, was) if name in before else None
            yield Change(name.removesuffix("_s"), earlier, _value(name, now))


def _value(name: str, value: object) -> Value:
    match value:
        case bool():
            return say("yes") if value else say("no")
        case int() | float() if name.endswith("_s"):
            return Date(int(value))
        case str() if name == "desk":
            return Link("channel", value)
        case [int(width), int(height)] if name == "size":
            return format_size(width, height)
        case str():
            return value
        case _:
            return "-" if value is None else json.dumps(value, ensure_ascii=False)
