"""How an error of a command or a press reaches the one person whom it concerns, and nobody else."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord
from discord import InteractionResponseType, app_commands

from bot.core.explain import explain
from bot.core.wish import Wish
from bot.errors import JobRefusedError
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.calls import UNKNOWN_MESSAGE, Calls, code_of
from bot.homes.discord.render import failure_text, refused_text

log = logging.getLogger(__name__)

# Discord's own name for an interaction's answer.
_ORIGINAL: Final[Any] = "@original"
_APPLICATION: Final = 3
_OUTDATED: Final = "This command has changed. Restart Discord, then ask again."


async def refuse(
    interaction: Interaction,
    error: Exception,
    job_id: str,
    wish: Wish | None = None,
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

    return await _said(interaction.client.calls, say, "a refusal")


async def say_instead_of_card(
    client: discord.Client, calls: Calls, token: str, sentence: str
) -> None:
    """Put a sentence in the place of "thinking...", of which no job came.

    token  of the interaction

    Comes back when it is said, or nobody can see it.
    """
    assert client.application_id is not None  # noqa: S101 - known once it is logged in
    # As an interaction's own: only an application's webhook may say something to one alone.
    webhook = discord.Webhook.from_state(
        {"id": client.application_id, "type": _APPLICATION, "token": token},
        client._connection,  # noqa: SLF001 - discord.py's own way makes one of an interaction only
    )
    text = failure_text(sentence)

    async def say() -> None:
        try:
            await webhook.edit_message(_ORIGINAL, content=text)
        except discord.NotFound as error:
            if code_of(error) != UNKNOWN_MESSAGE:
                raise
            # It was being refused: what everybody saw is taken back already.
            await webhook.send(text, ephemeral=True)

    await _said(calls, say, "a sentence in the place of a card")


async def _said(calls: Calls, say: Callable[[], Awaitable[None]], what: str) -> bool:
    try:
        await calls.surely(say, what)
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
