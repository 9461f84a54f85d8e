"""The audit: what those who keep order did, each entry bound to the one before it by a hash.

Entries hold ids and settings, no names and no prompts: they stay when people are forgotten.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final, Literal

from bot.core.job import Person

DeedKind = Literal[
    "rules",
    "terms",
    "desk",
    "keep",
    "pause",
    "resume",
    "block",
    "unblock",
    "purge",
    "cancel",
    "delete",
    "blur",
    "unblur",
    "approve",
    "warn",
    "report",
    "refuse",
    "hold",
    "export",
    "erase",
]
"""What may be done; "report" is anybody's, "refuse" and "hold" the rules' own doing."""

FIRST_HASH: Final = "0" * 64
# Who did it, where it was no person.
OWNER: Final = "owner"
RULES: Final = "rules"
ELSEWHERE: Final = "elsewhere"  # seen as something that happened in the home itself


@dataclass(frozen=True, slots=True)
class Deed:
    """Something done, to be written down with what it changes.

    actor   a person's id, or one of the words above
    target  what it was done to: a job's id, a person's, a channel's
    reason  as whoever did it gave it; may be empty
    before  and after: what it changed, as JSON can hold it
    """

    kind: DeedKind
    actor: str
    home: str
    community: str | None
    target: str = ""
    reason: str = ""
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A deed as it stands in the audit.

    number  from 1, without gaps
    at_s    seconds since 1970
    before  and after: JSON, as it was written
    hash    SHA-256, in hexadecimal, of all that and of the hash before it
    """

    number: int
    at_s: float
    home: str
    community: str | None
    actor: str
    kind: str
    target: str
    reason: str
    before: str
    after: str
    hash: str


def actor_of(person: Person | None) -> str:
    """Whoever did it; None is whoever runs the bot."""
    return OWNER if person is None else person.id


def chained(deed: Deed, number: int, at_s: float, previous: str) -> Entry:
    """The next entry after one whose hash is `previous`."""
    entry = Entry(
        number,
        at_s,
        deed.home,
        deed.community,
        deed.actor,
        deed.kind,
        deed.target,
        deed.reason,
        _json(deed.before),
        _json(deed.after),
        "",
    )
    return _sealed(entry, previous)


def first_broken(entries: Iterable[Entry], previous: str = FIRST_HASH) -> int | None:
    """The number of the first entry that is not as it was written; None: all are.

    What was cut off at the end cannot be seen here: whoever wants to know keeps the last hash.

    entries  in order, from 1 on or from behind the entry whose hash is `previous`
    """
    expected: int | None = None
    for entry in entries:
        if expected is None:
            expected = entry.number if previous != FIRST_HASH else 1
        if entry.number != expected or _sealed(entry, previous) != entry:
            return min(entry.number, expected)
        previous, expected = entry.hash, expected + 1
    return None


def _sealed(entry: Entry, previous: str) -> Entry:
    said = [previous, *(getattr(entry, one.name) for one in fields(entry) if one.name != "hash")]
    digest = hashlib.sha256(json.dumps(said, ensure_ascii=True).encode()).hexdigest()
    return replace(entry, hash=digest)


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
