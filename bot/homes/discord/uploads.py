"""Pictures that people send along: fetched from Discord, and kept for their job."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import discord

from bot.core.heard import Heard
from bot.core.studio import Studio
from bot.homes.discord.calls import DISCORD_ERRORS
from bot.homes.discord.render import name_in
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import MAX_FILE_BYTES, Source
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_DOWNLOADING_S: Final = 30.0
_AT_ONCE: Final = 4  # each may have 64 MiB in memory


# What somebody sent along, or what a gallery shows, of which nobody says how large it is.
Sent = discord.Attachment | discord.UnfurledMediaItem


class Uploads:
    """Fetches them."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def bring(self, heard: Heard, attachments: Sequence[Sent]) -> tuple[Source, ...]:
        """Keep them for a job; returns a source of each.

        Whose limit is reached is told so before anything is fetched. Raises InvalidRequestError
        for what is no picture or cannot be fetched, GalleryError, and as `Studio.check_limits`.
        """
        await self._studio.check_limits(heard)
        async with self._places:
            files = [await download(one) for one in attachments]
            return await self._studio.bring(heard.job_id, files)

    async def read(self, attachment: Sent) -> bytes:
        """The file of one; raises InvalidRequestError."""
        async with self._places:
            return await download(attachment)


def name_of(attachment: Sent) -> str:
    """What its file is called."""
    if isinstance(attachment, discord.Attachment):
        return attachment.filename
    return name_in(attachment.url)


async def download(attachment: Sent) -> bytes:
    """A file that somebody sent along; raises InvalidRequestError."""
    size = attachment.size if isinstance(attachment, discord.Attachment) else 0
    if size > MAX_FILE_BYTES:
        raise InvalidRequestError(
            say(
                "The picture's file has {size} MiB; {most} are the most. Send a smaller one.",
                size=size >> 20,
                most=MAX_FILE_BYTES >> 20,
            )
        )
    try:
        async with asyncio.timeout(_DOWNLOADING_S):
            return await attachment.read()
    except DISCORD_ERRORS as error:
        log.warning("a picture could not be downloaded: %r", error)
        raise InvalidRequestError(
            say("The picture could not be fetched from Discord. Send it again.")
        ) from error
