"""Pictures that people send along: fetched from Slack, and kept for their job."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from bot.core.heard import Heard
from bot.core.recipe.reading import read_recipe
from bot.core.recipe.recipe import Recipe
from bot.core.studio import Studio
from bot.homes.slack import render
from bot.homes.slack.calls import CALL_ERRORS, Calls, named
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import MAX_FILE_BYTES, Source
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_AT_ONCE: Final = 4  # each may have 64 MiB in memory
_SLACKS_OWN: Final = ".slack.com"
_NOT_FETCHED: Final = say("The picture could not be fetched from Slack. Send it again.")


class Files:
    """Fetches them."""

    def __init__(self, studio: Studio, calls: Calls) -> None:
        self._studio = studio
        self._calls = calls
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def bring(self, heard: Heard, ids: Sequence[str]) -> tuple[Source, ...]:
        """Keep them for a job; returns a source of each.

        Whose limit is reached is told so before anything is fetched. Raises InvalidRequestError
        for what is no picture or cannot be fetched, GalleryError, and as `Studio.check_limits`.
        """
        await self._studio.check_limits(heard)
        async with self._places:
            files = [await self._fetched(one) for one in ids]
            return await self._studio.bring(heard.job_id, files)

    async def recipe(self, file_id: str) -> Recipe:
        """What one of them says of how it was drawn; it is not kept.

        Raises NoRecipeError, InvalidRequestError for what cannot be fetched.
        """
        async with self._places:
            return await asyncio.to_thread(read_recipe, await self._fetched(file_id))

    async def _fetched(self, file_id: str) -> bytes:
        try:
            answer = await self._calls.make("files.info", file=file_id)
            file: dict[str, Any] = dict(answer.get("file") or {})
            size_bytes = int(file.get("size") or MAX_FILE_BYTES)
            if size_bytes > MAX_FILE_BYTES:
                raise _too_large(size_bytes)
            return await self._calls.fetch(self._checked(str(file.get("url_private"))), size_bytes)
        except CALL_ERRORS as error:
            log.warning("a picture could not be downloaded: %s", named(error))
            raise InvalidRequestError(_NOT_FETCHED) from error

    def _checked(self, url: str) -> str:
        """An address of Slack's own, which alone gets the bot's token; raises ValueError."""
        host = urlsplit(url).hostname or ""
        if host.endswith(_SLACKS_OWN) or host == urlsplit(self._calls.client.base_url).hostname:
            return url
        raise ValueError("The file is not kept by Slack.")


def pictures_of(message: Mapping[str, Any]) -> list[str]:
    """The ids of the pictures that a message shares, and of those that it shows."""
    shared = [
        str(one.get("id"))
        for one in message.get("files") or ()
        if str(one.get("mimetype")).startswith("image/")
    ]
    return [*shared, *render.files_of(message).values()]


def _too_large(size_bytes: int) -> InvalidRequestError:
    return InvalidRequestError(
        say(
            "The picture's file has {size} MiB; {most} are the most. Send a smaller one.",
            size=size_bytes >> 20,
            most=MAX_FILE_BYTES >> 20,
        )
    )
