"""Jobs for tests."""

import itertools

from bot.core.job import Job, new_job_id
from sdxl_engine import ImageRequest

NOON_S = 1_800_000_000.0
_interactions = itertools.count(1)


def make_job(
    prompt: str = "a circle",
    *,
    steps: int = 2,
    size_known: bool = True,
    user_id: int = 1,
    guild_id: int | None = 3,
    weight: float = 1.0,
    cost: float = 1.0,
    asked_at_s: float = NOON_S,
    again_of: str | None = None,
) -> Job:
    return Job(
        id=new_job_id(),
        request=ImageRequest(prompt, num_inference_steps=steps, width_px=64, height_px=64),
        size_known=size_known,
        user_id=user_id,
        user_name=f"user{user_id}",
        guild_id=guild_id,
        channel_id=2,
        message_id=None,
        token="a-token",
        interaction_id=next(_interactions),
        attachment_limit_bytes=2**20,
        weight=weight,
        cost=cost,
        asked_at_s=asked_at_s,
        again_of=again_of,
    )
