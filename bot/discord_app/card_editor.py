"""Edits of one card: paced, only the latest, the last one surely."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from bot.backoff import Backoff, Sleep, persist
from bot.discord_app.message import EDIT_ERRORS, Attachment, Message, is_passing
from sdxl_engine import Images

log = logging.getLogger(__name__)

MakePicture = Callable[[Images], Awaitable[Attachment]]

_LAST_EDIT: Final = Backoff(attempts=5)


class CardEditor:
    """Keeps one message up to date without an edit for every step.

    message  what is edited
    pace     entered before every edit that is not the last; lets one through every so often
    picture  makes one file of previews
    """

    def __init__(
        self,
        message: Message,
        pace: AbstractAsyncContextManager[object],
        picture: MakePicture,
        *,
        backoff: Backoff = _LAST_EDIT,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._message = message
        self._pace = pace
        self._picture = picture
        self._backoff = backoff
        self._sleep = sleep
        self._wanted: tuple[str, Images] = ("", ())
        self._changed = asyncio.Event()
        self._editing = asyncio.Lock()  # a later edit must not overtake an earlier one
        self._finished = False
        self._task = asyncio.create_task(self._keep_up(), name="card")

    def show(self, text: str, previews: Images = ()) -> None:
        """Want this text on the card; the next one takes its place if it comes first.

        previews  shown as one picture; without any the picture that is there stays
        """
        if (text, previews) != self._wanted:
            self._wanted = (text, previews)
            self._changed.set()

    async def finish(self, text: str, attachments: Sequence[Attachment] = ()) -> None:
        """Show this, now, whatever else was wanted; nothing is shown after it but another finish.

        Raises discord.HTTPException or the connection's error if several attempts fail.
        """
        self._finished = True
        async with self._editing:
            self._task.cancel()
            await asyncio.wait([self._task])
            await persist(
                lambda: self._message.edit(text, attachments),
                "the last edit of a card",
                is_passing=is_passing,
                backoff=self._backoff,
                sleep=self._sleep,
            )

    async def _keep_up(self) -> None:
        while True:
            await self._changed.wait()
            async with self._pace:
                self._changed.clear()
                text, previews = self._wanted
                picture = await self._preview(previews) if previews else None
                async with self._editing:
                    if self._finished:
                        return
                    await self._edit(text, picture)

    async def _preview(self, previews: Images) -> list[Attachment] | None:
        try:
            return [await self._picture(previews)]
        except Exception:  # the words matter more
            log.exception("a preview could not be made")
            return None

    async def _edit(self, text: str, picture: list[Attachment] | None) -> None:
        try:
            await self._message.edit(text, picture)
        except EDIT_ERRORS as error:
            if not is_passing(error):
                # Deleted, say. The pictures will be tried all the same.
                log.warning("the card cannot be edited: %r", error)
                return
            log.info("an edit of the card failed, it is tried again: %r", error)
            self._changed.set()
