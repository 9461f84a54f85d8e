"""A job: one request for images, whose and where it is, and the states it goes through.

    queued ──> running ──> drawn ──> delivered
       │          │          └─────> undelivered
       └──────────┴──> cancelled, failed, rejected

A running job that the bot lost goes back to queued, and so does a drawn one whose files are gone.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sdxl_engine import ImageRequest

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"  # base32: safe in file names
_ID_CHARS: Final = 8
# What the engine did not finish in two tries is not worth a third: others wait.
MAX_ATTEMPTS: Final = 2
_MAX_COST: Final = 4.0
# What reading the prompt and decoding take, in passes through the UNet: one and a half on a TPU by
# `imagine doctor --tpu`, four with the embedded model on a CPU.
_BEFORE_AND_AFTER: Final = 2


class State(StrEnum):
    """Where a job stands; the last five are final."""

    QUEUED = "queued"
    RUNNING = "running"  # with the engine
    DRAWN = "drawn"  # its pictures are on the disk
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"  # drawn, and there is no place left to show it
    CANCELLED = "cancelled"
    FAILED = "failed"  # by our fault, or the device's
    REJECTED = "rejected"  # it cannot be drawn as asked


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.REJECTED}),
    State.RUNNING: frozenset(
        {State.QUEUED, State.DRAWN, State.CANCELLED, State.FAILED, State.REJECTED}
    ),
    State.DRAWN: frozenset({State.QUEUED, State.DELIVERED, State.UNDELIVERED}),
}
"""The legal moves; a state that is not here is final."""

FINAL: Final = frozenset(State) - MOVES.keys()
# What these took of somebody's limits is given back: the person got nothing, and not by choice.
REFUNDED: Final = frozenset({State.FAILED, State.REJECTED})


@dataclass(frozen=True, slots=True)
class Job:
    """One request for images, and whom and where it is for.

    request                 what to draw
    size_known              False: nobody chose a size and the engine was still loading; the request
                            then has a stand-in, and the model's own size is filled in when it runs
    user_id, user_name      who asked
    guild_id                None in a private channel
    channel_id, message_id  where its card is; None where Discord did not say
    token                   the interaction's, good for 15 minutes; a secret
    interaction_id          what was asked with; None if an operator asked for it again
    attachment_limit_bytes  the largest file that Discord takes there
    weight                  of its user's roles: twice the weight, twice the share
    cost                    what it takes of its user's share, in typical jobs; see `cost_of`
    asked_at_s              when, in seconds since 1970
    again_of                the job that an operator asked for again with this one
    """

    id: str
    request: ImageRequest
    size_known: bool
    user_id: int
    user_name: str
    guild_id: int | None
    channel_id: int | None
    message_id: int | None
    token: str = field(repr=False)
    interaction_id: int | None
    attachment_limit_bytes: int
    weight: float
    cost: float
    asked_at_s: float
    again_of: str | None = None


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One finished picture on the disk.

    index     its place in the request, from 0
    filename  in the job's folder and on Discord
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

    attempt  how often the engine began it, not counting what a restart of the bot broke off
    reason   the sentence that its person reads, where it ended without pictures
    told     whether that person could read how it ended
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


def work_of(request: ImageRequest) -> int:
    """How much a request gives the device to do, in pixels that pass through the UNet."""
    passes = request.num_inference_steps + len(request.guided_steps) + _BEFORE_AND_AFTER
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
