"""Jobs for tests, and files that they start from."""

import io
import itertools
from dataclasses import replace
from typing import Any

from PIL import Image

from bot.core.heard import Heard
from bot.core.job import Job, Origin, Person, Venue, new_job_id
from bot.core.rules import Circumstances
from bot.core.wish import Size, Wish

HOME = "village"
NOON_S = 1_800_000_000.0
_NOTHING_KNOWN = Circumstances()
_events = itertools.count(1)


def file_of(colour: str, size_px: tuple[int, int] = (32, 16)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size_px, colour).save(file, "PNG")
    return file.getvalue()


def make_person(number: int = 1) -> Person:
    return Person(HOME, str(number), f"user{number}")


def heard_of(job: Job, around: Circumstances = _NOTHING_KNOWN, **change: Any) -> Heard:
    """How a job was wished for."""
    heard = Heard(job.id, job.person, job.origin, job.asked_at_s, job.weight, around)
    return replace(heard, **change)


def make_job(
    prompt: str = "a circle",
    *,
    steps: int = 2,
    size_px: Size | None = (64, 64),
    user_id: int = 1,
    guild_id: int | None = 3,
    weight: float = 1.0,
    asked_at_s: float = NOON_S,
    again_of: str | None = None,
    attachment_limit_bytes: int = 2**20,
    wish: Wish | None = None,
    event: str | None = None,
) -> Job:
    return Job(
        id=new_job_id(),
        wish=wish
        or Wish(
            prompt,
            seed=0,
            num_inference_steps=steps,
            guidance_scale=5.0,
            size_px=size_px,
            num_images=4,
        ),
        person=make_person(user_id),
        origin=Origin(
            venue=Venue(HOME, None if guild_id is None else str(guild_id), "2"),
            event=event or str(next(_events)),
            message=None,
            token="a-token",
            attachment_limit_bytes=attachment_limit_bytes,
        ),
        weight=weight,
        asked_at_s=asked_at_s,
        again_of=again_of,
    )
