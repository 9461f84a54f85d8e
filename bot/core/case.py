"""A case: something that moderators see at their desk, and what became of it."""

from dataclasses import dataclass
from typing import Final, Literal

from bot.core.job import Job, Person, Record, Venue, new_job_id
from bot.core.verdict import Finding

CaseKind = Literal["refused", "held", "blurred", "warned", "reported"]
"""Why it is one: a prompt that was not taken; pictures that are not shown yet; those that are shown
blurred; a prompt that was drawn all the same; a message that people reported.
"""

CaseState = Literal["open", "approved", "blurred", "deleted"]
"""What was decided; a case of pictures that are there no more is "deleted"."""

DeskAct = Literal["approve", "blur", "delete", "warn", "block", "unblock"]

MAX_REASON_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody's report, and why."""

    by: Person
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """Somebody is barred from asking in a community.

    until_s  seconds since 1970; None: until somebody lifts it
    """

    until_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """What moderators see of one thing.

    about     whose wish it was
    job_id    None: nothing was taken in
    prompt    as it was asked for; empty once it is forgotten
    decided   by whom, as an id; None: nobody yet
    warned    how often the one it is about was warned over it
    block     what bars them from asking, perhaps no longer; None: nothing
    message   of the desk that shows it; None: none yet
    version   grows with every change, so that the desk knows whether it shows the last
    at_s      seconds since 1970
    """

    id: str
    kind: CaseKind
    state: CaseState
    about: Person
    venue: Venue
    job_id: str | None
    prompt: str
    findings: tuple[Finding, ...]
    at_s: float
    decided: str | None = None
    reports: tuple[Report, ...] = ()
    warned: int = 0
    block: Block | None = None
    message: str | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class AtDesk:
    """A case to be shown at a desk, which does not show it as it is now.

    desk    the channel; None: its community has none
    record  of its job, where it has one that is on record
    """

    case: Case
    desk: str | None
    record: Record | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person is to be told alone, in their own language.

    number  its own, so that it is told once
    """

    number: int
    to: Person
    community: str | None
    sentence: str


def case_of(job: Job, kind: CaseKind, findings: tuple[Finding, ...], at_s: float) -> Case:
    """A new case about a job."""
    return Case(
        id=new_job_id(),
        kind=kind,
        state="open",
        about=job.person,
        venue=job.origin.venue,
        job_id=job.id,
        prompt=job.wish.prompt,
        findings=findings,
        at_s=at_s,
    )
