"""Edits of one card: paced, only the latest, the last one surely and once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Final

from bot.errors import UndeliveredError
from bot.homes.cards.pace import Pace
from bot.homes.discord.message import (
    EDIT_ERRORS,
    Attachment,
    Face,
    Message,
    is_passing,
    retry_after_s,
)
from bot.shared.retry import Backoff, Sleep, persist
from sdxl_engine import Images

log = logging.getLogger(__name__)

MakePicture = Callable[[Images], Awaitable[Attachment]]
# A face for one try. Between tries, which may be an hour apart, nobody holds its pictures.
LendFace = Callable[[], AbstractAsyncContextManager[Face]]

# About a day: the pictures are safe, and so is what is to be said.
_LAST_EDIT: Final = Backoff(attempts=2_000)


def words_alone(text: str) -> LendFace:
    """A face that takes everything but these words away."""
    return lambda: nullcontext(Face(text, ()))


class CardEditor:
    """Keeps one message up to date without an edit for every step.

    message   what is edited
    pace      of its channel
    picture   makes one file of previews
    restored  an earlier process had this card; what it shows is not known
    """

    def __init__(
        self,
        message: Message,
        pace: Pace,
        picture: MakePicture,
        *,
        restored: bool = False,
        backoff: Backoff = _LAST_EDIT,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._message = message
        self._pace = pace
        self._picture = picture
        self._backoff = backoff
        self._sleep = sleep
        self._in_doubt = restored
        self._words: Callable[[], Face] = lambda: Face("")
        self._previews: Images = ()
        self._shown: tuple[Face, Images] = (Face(""), ())
        self._at_once = True  # the first face answers a person
        self._answered = asyncio.Event()
        self._urgent = False
        self._turn: asyncio.Task[bool] | None = None
        self._changed = asyncio.Event()
        self._editing = asyncio.Lock()  # a later edit must not overtake an earlier one
        self._finished = False
        self._task = asyncio.create_task(self._keep_up(), name="card")

    def show(
        self,
        words: Callable[[], Face],
        previews: Images = (),
        *,
        urgent: bool = False,
        at_once: bool = False,
    ) -> None:
        """Want this on the card; the next one takes its place if it comes first.

        words     asked when the card's turn has come, so that what they say is so
        previews  shown as one picture; without any the picture that is there stays
        urgent    from now on its turns come before those of cards that only wait
        at_once   wait for no turn
        """
        self._words, self._previews = words, previews
        if at_once:
            self._at_once = True
            self._answered.clear()
        if self._turn is not None and (at_once or urgent > self._urgent):
            self._turn.cancel()  # it stands in the wrong line
        self._urgent = urgent
        self._changed.set()

    def look_again(self) -> None:
        """What the words say may have changed."""
        self._changed.set()

    async def answered(self) -> None:
        """Wait until what was wanted at once has been tried."""
        await self._answered.wait()

    async def finish(self, lend: LendFace) -> None:
        """Show this, now, whatever else was wanted; nothing is shown after it but another finish.

        Comes back when it is there. Where an answer was lost, or an earlier process may have done
        it, the card is read first. Raises UndeliveredError, discord.HTTPException for what no
        second try can mend, and what `lend` raises.
        """
        self._finished = True

        async def put() -> None:
            async with lend() as face:
                names = [one.filename for one in face.attachments or ()]
                if self._in_doubt and names and await self._message.shows(names):
                    log.info("the pictures are there already")
                    return
                self._in_doubt = True
                await self._message.edit(face, is_last=True)

        async with self._editing:
            self._task.cancel()
            await asyncio.wait([self._task])
            await persist(
                put,
                "the last edit of a card",
                is_passing=is_passing,
                retry_after_s=retry_after_s,
                backoff=self._backoff,
                sleep=self._sleep,
            )

    async def close(self) -> None:
        """Show nothing any more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def _is_new(self) -> bool:
        return (self._words(), self._previews) != self._shown

    async def _keep_up(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self._at_once and not await self._wait_for_turn():
                continue
            face, previews = self._words(), self._previews
            picture = face
            if previews:
                picture = await self._with_preview(face, previews)
            async with self._editing:
                if self._finished:
                    return
                if await self._edit(picture):
                    self._shown = face, previews
            self._at_once = False
            self._answered.set()

    async def _wait_for_turn(self) -> bool:
        self._turn = asyncio.create_task(self._pace.turn(self._is_new, urgent=self._urgent))
        try:
            await asyncio.wait([self._turn])
            return not self._turn.cancelled() and self._turn.result()
        finally:
            self._turn.cancel()
            self._turn = None

    async def _with_preview(self, face: Face, previews: Images) -> Face:
        try:
            return replace(face, attachments=(await self._picture(previews),))
        except Exception:  # the words matter more
            log.exception("a preview could not be made")
            return face

    async def _edit(self, face: Face) -> bool:
        """Returns whether there is nothing more to try."""
        try:
            await self._message.edit(face)
        except (UndeliveredError, *EDIT_ERRORS) as error:
            if not is_passing(error):
                # Deleted, say. The pictures will be tried all the same.
                log.warning("the card cannot be edited: %r", error)
                return True
            log.info("an edit of the card failed, it is tried again: %r", error)
            await self._sleep(retry_after_s(error))
            self._changed.set()
            return False
        return True
