"""A job, and the states it goes through."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sdxl_engine import ImageRequest, Images

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"  # base32: safe in file names
_ID_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class Job:
    """One request for images, and whom and where it is for.

    request                 what to draw
    size_known              False: nobody chose a size and the engine is still loading; the
                            request then has a stand-in, and the dispatcher fills in the model's
                            own size before it is drawn
    user_id                 who asked
    channel_id, guild_id    where; guild_id is None in a private channel
    attachment_limit_bytes  the largest file that Discord takes there
    created_at              when, with its time zone
    """

    id: str
    request: ImageRequest
    size_known: bool
    user_id: int
    channel_id: int | None
    guild_id: int | None
    attachment_limit_bytes: int
    created_at: datetime


def new_job_id() -> str:
    """Eight letters and digits, 40 random bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))


@dataclass(frozen=True, slots=True)
class Waiting:
    """In line.

    place       1 is the next one to be drawn
    warming_up  the engine is not ready yet
    """

    place: int
    warming_up: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """On the device; `step` of `num_inference_steps` are done.

    previews  what the pictures are becoming, small; none before the first steps
    """

    step: int
    num_inference_steps: int
    previews: Images = ()


@dataclass(frozen=True, slots=True)
class Uploading:
    """Drawn; the files are made and sent."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Over, without images."""

    error: Exception


@dataclass(frozen=True, slots=True)
class HandedBack:
    """Over, without images and through no fault of the job: the bot stops."""


Stage = Waiting | Drawing | Uploading
State = Stage | Failed | HandedBack
