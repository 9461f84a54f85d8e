"""How an error of a command or a press reaches the one person whom it concerns, and nobody else."""

import logging
from typing import Any, Final

import discord
from discord import InteractionResponseType, app_commands

from bot.core.explain import explain
from bot.core.wish import Wish
from bot.errors import JobRefusedError
from bot.homes.discord.message import EDIT_ERRORS, Interaction, is_passing, retry_after_s
from bot.homes.discord.render import failure_text, refused_text
from bot.shared.retry import Backoff, persist

log = logging.getLogger(__name__)

# Keys in interaction.extras.
JOB_ID: Final = "job_id"
WISH: Final = "wish"

_BACKOFF: Final = Backoff(attempts=5)
_OUTDATED: Final = "This command has changed. Restart Discord, then ask again."


async def refuse(interaction: Interaction, error: Exception, job_id: str) -> None:
    """Say what went wrong, unseen by others; whatever was shown meanwhile is taken back."""
    text = _text(interaction, error, job_id)
    kind = interaction.response.type

    async def say() -> None:
        nonlocal kind
        if kind is None:
            await interaction.response.send_message(text, ephemeral=True)
            return
        if kind is InteractionResponseType.deferred_channel_message:
            # Everybody sees "thinking". A follow-up straight after it would take its place, and be
            # as public: it goes first.
            await _take_back(interaction)
            kind = InteractionResponseType.deferred_message_update
        await interaction.followup.send(text, ephemeral=True)

    try:
        await persist(
            say,
            "a refusal",
            is_passing=is_passing,
            retry_after_s=retry_after_s,
            backoff=_BACKOFF,
        )
    except EDIT_ERRORS as unsaid:
        log.warning("the person could not be told: %r", unsaid)


def _text(interaction: Interaction, error: Exception, job_id: str) -> str:
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        log.warning("outdated command: %s", error)
        return failure_text(_OUTDATED)
    sentence = explain(error, job_id)
    wish: Any = interaction.extras.get(WISH)
    if not isinstance(wish, Wish):
        return failure_text(sentence)
    again_at_s = error.again_at_s if isinstance(error, JobRefusedError) else None
    return refused_text(sentence, again_at_s, wish)


async def _take_back(interaction: Interaction) -> None:
    try:
        await interaction.delete_original_response()
    except discord.NotFound:
        log.debug("it is gone already")
