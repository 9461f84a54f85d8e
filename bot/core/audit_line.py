"""An entry of the audit as somebody reads it, as data: a home shows it in its own markup."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bot.core.audit import ELSEWHERE, OWNER, RULES, DeedKind, Entry
from bot.core.card import Date, Link, Moment
from sdxl_engine.request import format_size
from sdxl_engine.sentence import Sentence, say, say_many

LISTED: Final = 20
MOST_EXPORTED: Final = 10_000  # some three megabytes
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

# What is changed, where that is no option by the name that people type.
_NAMES: Final[dict[str, Sentence]] = {
    "desk": say("desk"),
    "keep_days": say("days"),
    "until_s": say("until"),
    "blurred": say("blurred"),
    "warned": say("warnings"),
    "jobs": say("jobs"),
}
# What a deed by its name, or its reason, says already.
_SAID: Final = frozenset({"state", "deleted", "case", "paused"})
# What is there where nothing is.
_NOTHING: Final[dict[str, Sentence]] = {
    "keep_days": say("as the bot's owner has it"),
    "until_s": say("somebody unblocks them"),
}
_LISTED: Final[dict[str, Sentence]] = {
    "block": say("to be refused"),
    "review": say("to be seen by a moderator first"),
    "warn": say("to be told to moderators"),
    "exception": say("to be let pass"),
}

Value = Sentence | Date | Link | str
"""Our own words, a time, a channel; a plain text is somebody's, and read as no markup."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is otherwise now.

    name    our own words, or an option as a plain text
    before  None: nothing is said of that
    """

    name: Sentence | str
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


def nothing(before: int | None) -> str:
    """There is no entry; `before` is the number of one before which it would be."""
    return say("Nothing was done yet.") if before is None else say("Nothing was done before that.")


def exported(count: int) -> str:
    """How many entries a file has."""
    return say_many("{count} entry.", "{count} entries.", count)


def _changes(entry: Entry) -> Iterator[Change]:
    """What was otherwise before, and what is so after it."""
    before, after = json.loads(entry.before), json.loads(entry.after)
    if entry.kind == "terms":
        yield from _terms(before.get("dropped", []), after.get("added", []))
        return
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        is_lifted = name == "until_s" and name not in after
        if was == now or name in _SAID or is_lifted:
            continue
        earlier = _value(name, was) if name in before else None
        later = _value(name, now) if name in after else say("taken back")
        yield Change(_NAMES.get(name, name), earlier, later)


def _terms(dropped: list[str], added: list[list[str]]) -> Iterator[Change]:
    """What is on a community's list of the filter now, by what is done about it, and what is not
    any more.
    """
    by_measure: dict[str, list[str]] = {}
    for text, kind, measure, *_ in added:
        by_measure.setdefault(kind if kind == "exception" else measure, []).append(text)
    for measure, texts in by_measure.items():
        yield Change(_LISTED.get(measure, measure), None, ", ".join(texts))
    if dropped:
        yield Change(say("taken off the list"), None, ", ".join(dropped))


def _value(name: str, value: object) -> Value:
    found: Value
    match value:
        case None | []:
            found = _NOTHING.get(name, say("none"))
        case bool():
            found = say("yes") if value else say("no")
        case 0 if name == "daily":
            found = say("no limit")
        case int() | float() if name.endswith("_s"):
            found = Date(int(value))
        case str() if name == "desk":
            found = Link("channel", value)
        case "held" if name == "blurred":
            found = say("by a moderator")
        case [int(width), int(height)] if name == "size":
            found = format_size(width, height)
        case [*names]:
            found = ", ".join(map(str, names))
        case str():
            found = value
        case _:
            found = json.dumps(value, ensure_ascii=False)
    return found
