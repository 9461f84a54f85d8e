"""The first answer to a command or a press: within three seconds, and known for what it was."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import discord

from bot.errors import AwayError
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.calls import ALREADY_ACKNOWLEDGED, code_of
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

# Two tries within Discord's three seconds, and a last one that tells what came of them.
_TRIES_S: Final = (1.2, 1.2, 5.0)
_PRESS_S: Final = 2.5  # of the three
_requests: ContextVar[list[str] | None] = ContextVar("requests", default=None)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An interaction that Discord knows will be answered.

    message_id  of the answer; None if Discord's reply was lost
    unseen      the answer is for the one who asked alone
    """

    message_id: str | None
    unseen: bool


async def acknowledge(
    interaction: Interaction, *, unseen: bool, text: str | None = None
) -> Acknowledged | None:
    """Tell Discord that an answer will come, `unseen` by others or not.

    text  what stands there until then; None: Discord's own "thinking..."

    Returns None if nobody can see an answer: too late (10062), or answered by another process
    (40060). Where an answer was lost Discord may have heard it all the same, so it is told once
    more: then 40060 means that it had. Raises AwayError if that stays open.
    """
    with _counted() as requests:
        for limit_s in _TRIES_S:
            try:
                async with asyncio.timeout(limit_s):
                    response = await _first(interaction, text, unseen=unseen)
            except Exception as error:  # noqa: BLE001 - whatever came back, it is tried again
                if interaction.response.is_done():  # the answer came, and makes no sense
                    log.warning("an acknowledgement's answer cannot be understood: %r", error)
                    return Acknowledged(None, unseen)
                code = code_of(error)
                if code == ALREADY_ACKNOWLEDGED and len(requests) > 1:
                    return Acknowledged(None, unseen)
                log.warning("could not acknowledge the command: %r", error)
                if code is not None:
                    return None
            else:
                message_id = None if response is None else response.message_id
                return Acknowledged(None if message_id is None else str(message_id), unseen)
    raise AwayError(say("The connection to Discord broke in that very moment. Ask again."))


async def _first(
    interaction: Interaction, text: str | None, *, unseen: bool
) -> discord.InteractionCallbackResponse[Any] | None:
    if text is None:
        return await interaction.response.defer(thinking=True, ephemeral=unseen)
    return await interaction.response.send_message(text, ephemeral=unseen, suppress_embeds=True)


async def acknowledge_press(interaction: Interaction, *, unseen: bool) -> None:
    """Tell Discord that the answer comes; what is wanted is done, whatever becomes of that.

    unseen  the answer is a new message, for one alone; else the message that was pressed changes
    """
    try:
        async with asyncio.timeout(_PRESS_S):
            await interaction.response.defer(ephemeral=unseen, thinking=unseen)
    except Exception as error:  # noqa: BLE001 - whatever Discord answered
        log.warning("a press was not acknowledged: %r", error)


def counting_trace() -> aiohttp.TraceConfig:
    """For a client whose acknowledgements are counted.

    discord.py repeats some failed requests by itself, and tells nobody: whether somebody else was
    quicker, or its own first try had arrived, only the number of its requests tells.
    """
    trace = aiohttp.TraceConfig()

    async def count(
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        request: aiohttp.TraceRequestStartParams,
    ) -> None:
        requests = _requests.get()
        if requests is not None:
            requests.append(request.method)

    trace.on_request_start.append(count)
    return trace


@contextmanager
def _counted() -> Iterator[list[str]]:
    """The requests that are begun inside."""
    requests: list[str] = []
    reset = _requests.set(requests)
    try:
        yield requests
    finally:
        _requests.reset(reset)
