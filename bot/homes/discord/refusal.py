"""How an error of a command or a press reaches the one person whom it concerns, and nobody else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord
from discord import InteractionResponseType, app_commands

from bot.core.explain import explain
from bot.core.wish import Wish
from bot.errors import JobRefusedError
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.calls import UNKNOWN_MESSAGE, code_of, surely
from bot.homes.discord.render import failure_text, refused_text
from bot.shared.retry import Sleep

log = logging.getLogger(__name__)

# Discord's own name for an interaction's answer.
_ORIGINAL: Final[Any] = "@original"
_OUTDATED: Final = "This command has changed. Restart Discord, then ask again."


async def refuse(
    interaction: Interaction,
    error: Exception,
    job_id: str,
    wish: Wish | None = None,
    *,
    sleep: Sleep = asyncio.sleep,
) -> bool:
    """Say what went wrong, unseen by others; whatever was shown meanwhile is taken back.

    wish  what was asked, where it is known: so that it can be asked again without typing it anew

    Returns whether it was said.
    """
    text = _text(error, job_id, wish)
    kind = interaction.response.type

    async def say() -> None:
        nonlocal kind
        if kind is None:
            await interaction.response.send_message(text, ephemeral=True, suppress_embeds=True)
            return
        if kind is InteractionResponseType.deferred_channel_message:
            # Everybody sees "thinking". A follow-up straight after it would take its place, and be
            # as public: it goes first.
            await _take_back(interaction)
            kind = InteractionResponseType.deferred_message_update
        await interaction.followup.send(text, ephemeral=True, suppress_embeds=True)

    return await _said(say, "a refusal", sleep)


async def say_on_card(
    client: discord.Client, token: str, sentence: str, *, sleep: Sleep = asyncio.sleep
) -> None:
    """Put a sentence in the place of "thinking...", of which no job came.

    token  of the interaction

    Comes back when it is said, or nobody can see it.
    """
    assert client.application_id is not None  # noqa: S101 - known once it is logged in
    webhook = discord.Webhook.partial(client.application_id, token, client=client)
    text = failure_text(sentence)

    async def say() -> None:
        try:
            await webhook.edit_message(_ORIGINAL, content=text)
        except discord.NotFound as error:
            if code_of(error) != UNKNOWN_MESSAGE:
                raise
            # It was being refused: what everybody saw is taken back already.
            await webhook.send(text, ephemeral=True)

    await _said(say, "a sentence in the place of a card", sleep)


async def _said(say: Callable[[], Awaitable[None]], what: str, sleep: Sleep) -> bool:
    try:
        await surely(say, what, sleep=sleep)
    except Exception as unsaid:  # noqa: BLE001 - whatever Discord answered
        log.warning("the person could not be told: %r", unsaid)
        return False
    return True


def _text(error: Exception, job_id: str, wish: Wish | None) -> str:
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        log.warning("outdated command: %s", error)
        return failure_text(_OUTDATED)
    sentence = explain(error, job_id)
    if wish is None:
        return failure_text(sentence)
    again_at_s = error.again_at_s if isinstance(error, JobRefusedError) else None
    return refused_text(sentence, again_at_s, wish)


async def _take_back(interaction: Interaction) -> None:
    try:
        await interaction.delete_original_response()
    except discord.NotFound as error:
        if code_of(error) != UNKNOWN_MESSAGE:
            raise
        log.debug("it is gone already")
