"""Who may do what, and how much of it: pure functions whose verdict is data.

Whoever asks gathers the facts (the ledger counts, a home knows whom it lets moderate); whoever is
answered says the verdict in its own way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bot.core.defaults import Scope, scopes_of
from bot.core.job import Job, Person, State, Venue
from sdxl_engine.sentence import say, say_many

MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0
# What these took of somebody's limits is given back: the person got nothing, and not by choice.
REFUNDED: Final = frozenset({State.FAILED, State.REJECTED})
# A process may end for many reasons, and whatever ran then is only suspected: from then on it is
# drawn alone. Three ends under the same job, two of them with nothing else in hand and the last in
# a process that had been well for a while, are its own.
MAX_ATTEMPTS: Final = 3
_PROVEN_FROM: Final = 2
# That a device falls silent under a job is seen, not guessed; the second time it was alone with it.
MAX_HANGS: Final = 2

BLOCKED: Final = say("A moderator has blocked the one who asked.")
NOT_YOURS: Final = say("Only the one who asked for this, or a moderator, can do that.")
NOT_YOURS_TO_SET: Final = say("Only those who manage this server can change what is usual in it.")
NOT_SHOWN_TO_YOU: Final = say(
    "These pictures are a draft, or of another place, and not yours to see here."
)
NOT_YOURS_TO_UNBLUR: Final = say(
    "A moderator, or a rule here, blurred these pictures, so only a moderator can unblur them."
)
NOT_YOUR_SOURCE: Final = say(
    "What was published here started from a picture that was not. Only the one who published it "
    "can start from that again."
)
NOT_YOURS_TO_PUBLISH: Final = say("Only the one who asked for these pictures can publish them.")

Whose = Literal["person", "community", "member"]  # the last: a person in one community


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken in; 0 is no limit, but for `queued`.

    queued              jobs that may wait, of everybody
    person_active       jobs of one person that may wait or be drawn
    person_per_minute, person_per_day, community_per_minute, community_per_day, member_per_day
                        jobs taken in within the last 60 seconds, the last 24 hours; those that
                        failed or were rejected do not count
    """

    queued: int = 32
    person_active: int = 0
    person_per_minute: int = 0
    person_per_day: int = 0
    community_per_minute: int = 0
    community_per_day: int = 0
    member_per_day: int = 0

    @property
    def windows(self) -> "tuple[Window, ...]":
        """The limits over time, those that are set."""
        every = (
            Window("person", self.person_per_minute, MINUTE_S),
            Window("person", self.person_per_day, DAY_S),
            Window("community", self.community_per_minute, MINUTE_S),
            Window("community", self.community_per_day, DAY_S),
            Window("member", self.member_per_day, DAY_S),
        )
        return tuple(window for window in every if window.limit)


@dataclass(frozen=True, slots=True)
class Window:
    """So many jobs of one owner within so many seconds."""

    whose: Whose
    limit: int
    span_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What counts against the limits when somebody asks.

    queued  jobs that wait, of everybody
    active  jobs of this person that wait or are drawn
    full    the windows in which as many were asked for as may be, and when there is room again, in
            seconds since 1970
    """

    queued: int
    active: int
    full: Mapping[Window, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job is not taken, as a sentence.

    again_at_s  when it would be, in seconds since 1970; None: nobody knows
    """

    sentence: str
    again_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who wants something done to a job.

    moderates  the channel in which they want it, where they may delete what others wrote there;
               None: nowhere
    manages    the community in which they want it, whose settings they may change; None: none
    """

    person: Person
    moderates: Venue | None = None
    manages: Venue | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who wants to see something, and where they stand."""

    person: Person
    venue: Venue


@dataclass(frozen=True, slots=True)
class Owner:
    """Whoever runs the bot: they may do anything."""


def admission(limits: Limits, usage: Usage) -> Refusal | None:
    """Whether one more job may be taken in; None: it may."""
    if usage.queued >= limits.queued:
        return Refusal(
            say_many(
                "{count} job is already waiting. Ask again in a few minutes.",
                "{count} jobs are already waiting. Ask again in a few minutes.",
                limits.queued,
            )
        )
    if limits.person_active and usage.active >= limits.person_active:
        return Refusal(
            say_many(
                "You have {count} job in the queue, as many as one may have. Wait for it, or "
                "cancel it.",
                "You have {count} jobs in the queue, as many as one may have. Wait for one of "
                "them, or cancel one.",
                usage.active,
            )
        )
    for window in limits.windows:
        if window in usage.full:
            return Refusal(_full(window), usage.full[window])
    return None


def _full(window: Window) -> str:
    span = say("a minute") if window.span_s == MINUTE_S else say("a day")
    if window.whose == "person":
        return say_many(
            "You have asked {count} time within {span}, which is the limit.",
            "You have asked {count} times within {span}, which is the limit.",
            window.limit,
            span=span,
        )
    if window.whose == "member":
        return say_many(
            "You have asked {count} time here within {span}, which is the limit.",
            "You have asked {count} times here within {span}, which is the limit.",
            window.limit,
            span=span,
        )
    return say_many(
        "This server has asked {count} time within {span}, which is the limit.",
        "This server has asked {count} times within {span}, which is the limit.",
        window.limit,
        span=span,
    )


def standing(job: Job, by: Actor | Owner) -> str | None:
    """As whom somebody may cancel a job or delete its pictures; None: they may not."""
    if isinstance(by, Owner):
        return say("the bot's owner")
    if by.person == job.person:
        return say("the one who asked")
    # In a private channel everybody may delete messages; nobody moderates there. Whoever moderates
    # one channel of a server moderates no other by that, and no draft, which they do not see.
    venue = job.origin.venue
    is_known = venue.community is not None and venue.channel is not None
    is_known = is_known and not job.showing.private
    if is_known and by.moderates == venue:
        return say("a moderator")
    return None


def may_set(scope: Scope, by: Actor) -> bool:
    """Whether somebody may say what is usual for a person, a channel or a community."""
    if scope.whose == "person":
        return (scope.home, scope.id) == (by.person.home, by.person.id)
    # A manager says it for the community and for the channel that they stand in.
    return by.manages is not None and scope in scopes_of(by.person, by.manages)


def sees(job: Job, by: Viewer) -> bool:
    """Whether somebody may look at a job's pictures, and have others made of them.

    What is no draft is for all in its community, and in a private channel for those who are in it.
    """
    if by.person == job.person:
        return True
    venue = job.origin.venue
    if job.showing.private or venue.home != by.venue.home:
        return False
    if venue.community is None:
        return venue.channel is not None and venue.channel == by.venue.channel
    return venue.community == by.venue.community


def may_unblur(job: Job, by: Actor | Owner) -> bool:
    """Whether somebody who may blur a job's pictures may take the blur away."""
    return not job.showing.held or isinstance(by, Owner) or by.moderates == job.origin.venue


def draws_alone(attempt: int) -> bool:
    """Whether nothing else may be in hand while a job is drawn.

    attempt  what is held against it: how often it was in hand when something broke down
    """
    return attempt > 0


def draws_when_proven(attempt: int) -> bool:
    """Whether a job is drawn only in a process that has been well for a while.

    attempt  as above

    What ends one process after the other soon after its start, whatever is drawn, would else be
    blamed on whoever comes first each time.
    """
    return attempt >= _PROVEN_FROM


def after_crash(attempt: int) -> tuple[State, str]:
    """Where a job goes that ran when the process ended, and the sentence if it ends.

    attempt  how often the engine began it
    """
    if attempt < MAX_ATTEMPTS:
        return State.QUEUED, ""
    return State.FAILED, say(
        "The bot's process ended {times} times while this was drawn, at last with nothing else "
        "beside it, so it will not be tried again. Ask for a smaller size or fewer steps.",
        times=attempt,
    )


def after_hang(attempt: int, silent_s: float) -> tuple[State, str]:
    """Where a job goes under which the device fell silent, and the sentence if it ends.

    attempt   how often the engine began it
    silent_s  for how many seconds the device said nothing
    """
    if attempt < MAX_HANGS:
        return State.QUEUED, ""
    return State.FAILED, say(
        "Drawing this broke off {times} times. At last the device did not answer for "
        "{silent_s:.0f} s, with nothing else to draw, so it will not be tried again. Ask for a "
        "smaller size or fewer steps.",
        times=attempt,
        silent_s=silent_s,
    )
