"""/imagine: its options, and the way from an interaction to a job."""

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import discord
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.config.sections import EngineConfig
from bot.core.job import Job, new_job_id
from bot.errors import KnownJobError
from bot.homes.discord.message import Acknowledged, Interaction, acknowledge
from bot.operations.metrics import Metrics
from bot.shared.job_context import in_job
from sdxl_engine import ImageRequest, format_size, parse_size
from sdxl_engine.request import (
    DEFAULT_SAMPLER,
    MAX_GUIDANCE_SCALE,
    MAX_INFERENCE_STEPS,
    MAX_PROMPT_CHARS,
    MAX_SEED,
    SAMPLERS,
    SPACINGS,
)

log = logging.getLogger(__name__)

# The keys in interaction.extras, for the error handler.
JOB_ID = "job_id"
IS_ACKNOWLEDGED = "is_acknowledged"
REQUEST = "request"
SIZE_KNOWN = "size_known"

Prompt = Range[str, 1, MAX_PROMPT_CHARS]
NegativePrompt = Range[str, 0, MAX_PROMPT_CHARS]
Seed = Range[int, 0, MAX_SEED]
Steps = Range[int, 1, MAX_INFERENCE_STEPS]
Guidance = Range[float, 0.0, MAX_GUIDANCE_SCALE]


class Admits(Protocol):
    """Who takes jobs in; the dispatcher."""

    async def admit(self, job: Job) -> None:
        """Take the job in or raise why not."""


class ImagineCommand:
    """Turns /imagine interactions into jobs.

    defaults      what an option is when it is left out
    role_weights  the share of people with these roles, by role id; 1 is anybody's
    dispatcher    gets the jobs
    """

    def __init__(
        self,
        defaults: EngineConfig,
        role_weights: Mapping[int, float],
        dispatcher: Admits,
        metrics: Metrics,
    ) -> None:
        self._defaults = defaults
        self._role_weights = role_weights
        self._dispatcher = dispatcher
        self._metrics = metrics

    def build(self, sizes: Sequence[tuple[int, int]]) -> "app_commands.Command[Any, ..., None]":
        """The command as Discord shall offer it; with no sizes known, `size` is free text."""

        @app_commands.command(name="imagine", description="Draw pictures of what you describe")
        @app_commands.describe(
            prompt="What the pictures should show",
            negative_prompt="What they should stay away from",
            seed="The same seed draws the same pictures; left out, a random one",
            steps=f"More steps take longer; left out, {self._defaults.default_steps}",
            guidance="How closely to follow the prompt; left out, "
            f"{self._defaults.default_guidance:g}",
            size="Width x height in pixels; left out, the model's own",
            sampler="The way from noise to the picture; left out, Euler",
            spacing="How its steps are placed; left out, the model's own way",
        )
        @app_commands.choices(
            sampler=[Choice(name=title, value=name) for name, title in SAMPLERS.items()],
            spacing=[Choice(name=title, value=name) for name, title in SPACINGS.items()],
            size=[Choice(name=format_size(*size), value=format_size(*size)) for size in sizes],
        )
        async def imagine(
            interaction: Interaction,
            *,
            prompt: Prompt,
            negative_prompt: NegativePrompt | None = None,
            seed: Seed | None = None,
            steps: Steps | None = None,
            guidance: Guidance | None = None,
            size: str | None = None,
            sampler: str = DEFAULT_SAMPLER,
            spacing: str | None = None,
        ) -> None:
            job_id = new_job_id()
            interaction.extras[JOB_ID] = job_id
            begin_s = time.perf_counter()
            with in_job(job_id):
                acknowledged = await acknowledge(interaction)
                if acknowledged is None:
                    return
                interaction.extras[IS_ACKNOWLEDGED] = True
                width_px, height_px = parse_size(size) if size is not None else (1024, 1024)
                request = ImageRequest(
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    seed=secrets.randbelow(MAX_SEED + 1) if seed is None else seed,
                    num_inference_steps=self._defaults.default_steps if steps is None else steps,
                    guidance_scale=(
                        self._defaults.default_guidance if guidance is None else float(guidance)
                    ),
                    width_px=width_px,
                    height_px=height_px,
                    num_images=self._defaults.images_per_request,
                    sampler=sampler,
                    spacing=spacing,
                )
                interaction.extras[REQUEST] = request
                interaction.extras[SIZE_KNOWN] = size is not None
                try:
                    await self._dispatcher.admit(
                        self._job(job_id, interaction, acknowledged, request)
                    )
                except KnownJobError as error:
                    log.warning("%s", error)
                    return
                self._metrics.accept_s.observe(time.perf_counter() - begin_s)
                log.info("taken")

        return imagine

    def _job(
        self,
        job_id: str,
        interaction: Interaction,
        acknowledged: Acknowledged,
        request: ImageRequest,
    ) -> Job:
        return Job(
            id=job_id,
            request=request,
            size_known=bool(interaction.extras[SIZE_KNOWN]),
            user_id=interaction.user.id,
            user_name=interaction.user.name,
            guild_id=interaction.guild_id,
            channel_id=interaction.channel_id,
            message_id=acknowledged.message_id,
            token=interaction.token,
            interaction_id=interaction.id,
            attachment_limit_bytes=interaction.filesize_limit,
            weight=self._weight(interaction.user),
            cost=1.0,  # the dispatcher knows it
            asked_at_s=time.time(),
        )

    def _weight(self, person: discord.User | discord.Member) -> float:
        if not isinstance(person, discord.Member):
            return 1.0
        theirs = (w for role, w in self._role_weights.items() if person.get_role(role) is not None)
        return max(theirs, default=1.0)
