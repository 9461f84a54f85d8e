"""A job: one wish, whose and where it is, and the states it goes through.

    queued ──> running ──> drawn ──> delivered
       │          │  │       ↑ └───> undelivered
       │          │  └──> review
       └──────────┴──────────┴──> cancelled, failed, rejected

What a moderator has to look at first is in review, with its pictures on the disk: approved, it is
drawn; else it is cancelled. A running job that the bot lost goes back to queued, and so does a
drawn one whose files are gone. A job whose card turns out to show its pictures is delivered,
whatever the ledger held: the ledger is a restored copy, older than the card. One whose card was
deleted is cancelled, drawn or not.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from bot.core.wish import Wish
from sdxl_engine.request import ImageRequest

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"  # base32: safe in file names
_ID_CHARS: Final = 8
_MAX_COST: Final = 4.0
# What reading the prompt and decoding take, in passes through the UNet: one and a half on a TPU by
# `imagine doctor --tpu`, four with the embedded model on a CPU.
_BEFORE_AND_AFTER: Final = 2


class State(StrEnum):
    """Where a job stands; the last five are final."""

    QUEUED = "queued"
    RUNNING = "running"  # with the engine
    REVIEW = "review"  # they are, and a moderator decides whether they are shown
    DRAWN = "drawn"  # its pictures are on the disk
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"  # drawn, and there is no place left to show it
    CANCELLED = "cancelled"
    FAILED = "failed"  # by our fault, or the device's
    REJECTED = "rejected"  # it cannot be drawn as asked


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.QUEUED: frozenset(
        {State.RUNNING, State.CANCELLED, State.FAILED, State.REJECTED, State.DELIVERED}
    ),
    State.RUNNING: frozenset(
        {
            State.QUEUED,
            State.REVIEW,
            State.DRAWN,
            State.CANCELLED,
            State.FAILED,
            State.REJECTED,
            State.DELIVERED,
        }
    ),
    State.REVIEW: frozenset({State.DRAWN, State.CANCELLED, State.REJECTED}),
    State.DRAWN: frozenset({State.QUEUED, State.DELIVERED, State.UNDELIVERED, State.CANCELLED}),
}
"""The legal moves; a state that is not here is final."""

FINAL: Final = frozenset(State) - MOVES.keys()
# What a person may still stop.
UNFINISHED: Final = frozenset({State.QUEUED, State.RUNNING, State.REVIEW})
UNDRAWN: Final = frozenset({State.QUEUED, State.RUNNING})
ON_CARD: Final = frozenset({State.DRAWN, State.DELIVERED})  # or on their way there


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks.

    home    the chat system's name, such as the key of its section in config.toml
    id      theirs in that home
    name    for people to read; not part of who it is
    locale  the language they read, BCP 47; empty where the home did not say
    """

    home: str
    id: str
    name: str = field(default="", compare=False)
    locale: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Venue:
    """Where something was asked.

    community  a server or workspace; None in a private channel
    channel    None where the home did not say
    """

    home: str
    community: str | None
    channel: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """What a job was asked with, and how its card is reached.

    event                   what was asked with, once in its home; None if an operator asked again
    message                 the card's id; None where the home did not say
    token                   what opens the card for a while; a secret
    attachment_limit_bytes  the largest file that the home takes there
    """

    venue: Venue
    event: str | None
    message: str | None
    token: str = field(repr=False)
    attachment_limit_bytes: int


Act = Literal["reroll", "vary", "upscale", "edit", "begin", "publish"]
"""What made a job of another: drawn anew, like one of its pictures, one of them larger; with other
words or settings; begun from one of its pictures; its pictures themselves, shown to all.
"""


@dataclass(frozen=True, slots=True)
class Parent:
    """What a job was made of.

    job_id  of a job, which may be forgotten by now
    index   of its picture, from 0; None: of all of it
    """

    job_id: str
    act: Act
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Showing:
    """How a job's pictures are shown.

    private  to the one who asked alone, until they publish them
    spoiler  blurred until somebody looks
    mention  and the one who asked is told when they are there
    held     a moderator, or a rule, blurred them, and the one who asked cannot take that back
    review   they are shown to all only once a moderator has approved them
    adult    they are for a place where what is for adults may be shown
    """

    private: bool = False
    spoiler: bool = False
    mention: bool = False
    held: bool = False
    review: bool = False
    adult: bool = False

    @property
    def is_held(self) -> bool:
        """Whether they are blurred, and the one who asked cannot take that back."""
        return self.spoiler and self.held

    @property
    def awaits_review(self) -> bool:
        """Whether a moderator looks first; what only the one who asked sees is not published."""
        return self.review and not self.private


@dataclass(frozen=True, slots=True)
class Job:
    """One wish, and whom and where it is for.

    wish        with everything settled but the size; that too once the engine began it
    weight      of its person's roles: twice the weight, twice the share
    asked_at_s  when, in seconds since 1970
    again_of    the job that an operator asked for again with this one
    parent      what it was made of; None: of words alone
    """

    id: str
    wish: Wish
    person: Person
    origin: Origin
    weight: float
    asked_at_s: float
    again_of: str | None = None
    parent: Parent | None = None
    showing: Showing = field(default_factory=Showing)

    @property
    def home(self) -> str:
        """The name of the home that its card is in."""
        return self.origin.venue.home


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One finished picture as it was stored.

    index     its place in the request, from 0
    filename  in the job's folder and in its message
    sha256    of the file's bytes, in hexadecimal
    """

    index: int
    seed: int
    filename: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger holds of a job.

    attempt  how often the engine began it, not counting what broke off without its being suspected
    reason   the sentence that its person reads, where it ended without pictures
    told     whether that person could read how it ended
    set_aside  it was failed at this very look, for what broke down under it before
    deleted  by whom its pictures were deleted, as a sentence; None: they were not
    bot      in whose hands it is until it is over and told, such as `Ledger.bot`
    ..._at_s in seconds since 1970; None: not yet
    """

    job: Job
    state: State
    attempt: int
    reason: str
    told: bool
    started_at_s: float | None
    drawn_at_s: float | None
    ended_at_s: float | None
    images: tuple[StoredImage, ...]
    set_aside: bool = False
    deleted: str | None = None
    bot: str = ""


def work_of(request: ImageRequest) -> int:
    """How much a request gives the device to do, in pixels that pass through the UNet."""
    passes = request.passes + _BEFORE_AND_AFTER
    return request.num_images * request.width_px * request.height_px * passes


def cost_of(request: ImageRequest, typical: ImageRequest) -> float:
    """What a request takes of its person's share, in typical requests, 1 to 4.

    Bounded on both sides: who asks for something big waits a little longer for the next, and nobody
    gets ahead by asking for many small ones.
    """
    return min(max(1.0, work_of(request) / work_of(typical)), _MAX_COST)


def new_job_id() -> str:
    """Eight letters and digits, 40 random bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))
