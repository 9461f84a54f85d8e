"""How an error of a command or a press reaches the one person whom it concerns, and nobody else."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import discord
from discord import InteractionResponseType, app_commands

from bot.core.explain import explain
from bot.errors import JobRefusedError, UndeliveredError
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.calls import (
    ALREADY_ACKNOWLEDGED,
    ORIGINAL,
    TOO_MANY_FOLLOW_UPS,
    UNKNOWN_MESSAGE,
    Calls,
    GetClient,
    code_of,
    is_final,
    webhook_of,
)
from bot.homes.discord.render import failure_text, refused_text
from bot.homes.discord.voice import Voice, voice_of
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_MESSAGE: Final = InteractionResponseType.channel_message
_DEFERRED_MESSAGE: Final = InteractionResponseType.deferred_channel_message
_DEFERRED_UPDATE: Final = InteractionResponseType.deferred_message_update
_OUTDATED: Final = say("This command has changed. Restart Discord, then ask again.")


async def refuse(
    interaction: Interaction,
    error: Exception,
    job_id: str,
    again: Mapping[str, str] | None = None,
    *,
    thinking: bool = False,
) -> bool:
    """Say what went wrong, unseen by others; whatever was shown meanwhile is taken back.

    again     the options of /imagine that ask for the same without typing it anew
    thinking  the first answer, if there was one, was that a card will come

    Returns whether it was said.
    """
    text = _text(error, job_id, again, voice_of(interaction))
    kind = interaction.response.type

    async def tell() -> None:
        nonlocal kind
        if interaction.client.is_closed():
            raise UndeliveredError("Another client has taken the place of the one that heard it.")
        if kind is None:
            try:
                await interaction.response.send_message(text, ephemeral=True, suppress_embeds=True)
            except discord.HTTPException as refused:
                if code_of(refused) != ALREADY_ACKNOWLEDGED:
                    raise
                # Its acknowledgement's answer was lost. What was pressed is no message of its own.
                is_press = interaction.type is discord.InteractionType.component
                kind = _DEFERRED_UPDATE if is_press and not thinking else _DEFERRED_MESSAGE
            else:
                return
        if kind is _DEFERRED_MESSAGE or (thinking and kind is _MESSAGE):
            # Everybody sees "thinking", or what stands there for it. A follow-up straight after it
            # would take its place, and be as public: it goes first.
            await _take_back(interaction)
            kind = _DEFERRED_UPDATE
        await interaction.followup.send(text, ephemeral=True, suppress_embeds=True)

    return await _said(interaction.client.calls, tell, "a refusal")


async def say_instead_of_card(
    live: GetClient, calls: Calls, token: str, sentence: str, voice: Voice
) -> bool:
    """Put a sentence in the place of "thinking...", of which no job came.

    live   waits for a client that is logged in: the one that heard of it may be gone
    token  of the interaction
    voice  of the one who asked

    Returns whether it was said, or nobody can see it.
    """
    text = failure_text(sentence, voice)
    is_final_word = False

    async def tell() -> None:
        nonlocal is_final_word
        webhook = webhook_of(await live(), token)
        try:
            try:
                await webhook.edit_message(ORIGINAL, content=text)
            except discord.NotFound as error:
                if code_of(error) != UNKNOWN_MESSAGE:
                    raise
                # It was being refused: what everybody saw is taken back already.
                await webhook.send(text, ephemeral=True)
        except discord.HTTPException as error:
            is_final_word = is_final(error)
            raise

    return await _said(calls, tell, "a sentence in the place of a card") or is_final_word


async def _said(calls: Calls, tell: Callable[[], Awaitable[None]], what: str) -> bool:
    try:
        await calls.surely(tell, what)
    except Exception as unsaid:  # noqa: BLE001 - whatever Discord answered
        if code_of(unsaid) == TOO_MANY_FOLLOW_UPS:  # said five times, and each answer got lost
            return True
        log.warning("the person could not be told: %r", unsaid)
        return False
    return True


def _text(error: Exception, job_id: str, again: Mapping[str, str] | None, voice: Voice) -> str:
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        log.warning("outdated command: %s", error)
        return failure_text(_OUTDATED, voice)
    sentence = explain(error, job_id)
    refused = error if isinstance(error, JobRefusedError) else None
    if again is None or (refused is not None and not refused.repeatable):
        return failure_text(sentence, voice)
    return refused_text(sentence, None if refused is None else refused.again_at_s, again, voice)


async def _take_back(interaction: Interaction) -> None:
    try:
        await interaction.delete_original_response()
    except discord.NotFound as error:
        if code_of(error) != UNKNOWN_MESSAGE:
            raise
        log.debug("it is gone already")
