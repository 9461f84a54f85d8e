"""The desk: shows each job's state on its card and hands over the pictures."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from bot.core.job import Job
from bot.core.ports.ledger import Ledger
from bot.core.queue.waiting import Line
from bot.core.stage import Drawing, Stage, Waiting
from bot.core.worker import LendPictures
from bot.errors import LedgerError, UndeliveredError
from bot.gallery.disk import Picture
from bot.homes.cards.editor import CardEditor, words_alone
from bot.homes.cards.pace import MakeThrottle, Paces, edit_throttle
from bot.homes.discord import render as card
from bot.homes.discord.message import EDIT_ERRORS, Attachment, CardMessage, Face, GetClient
from bot.shared.job_context import in_job
from bot.shared.retry import Sleep
from sdxl_engine import Images
from sdxl_engine.images import encode_preview

log = logging.getLogger(__name__)

_LOOK_AFTER_S: Final = 0.1


class CardDesk:
    """Where the dispatcher reports to: one card a job.

    line      says where a waiting job stands
    ledger    notes which message a card is, where that was not known
    client    waits until a Discord client is logged in
    throttle  makes what holds the edits of one channel apart
    clock     seconds since 1970
    """

    def __init__(
        self,
        line: Line,
        ledger: Ledger,
        client: GetClient,
        *,
        throttle: MakeThrottle = edit_throttle,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._paces = Paces(throttle)
        self._cards: dict[str, CardEditor] = {}
        self._places: dict[str, int] = {}  # of the waiting, as their cards were told last
        self._looking: asyncio.TimerHandle | None = None
        # Of their own: a preview that waits behind finished pictures is none.
        self._previews = ThreadPoolExecutor(1, thread_name_prefix="preview")

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        """Show where the job stands."""
        with in_job(job.id):
            restored = isinstance(stage, Waiting) and stage.restored
            previews = stage.previews if isinstance(stage, Drawing) else ()
            if isinstance(stage, Waiting):
                self._places.setdefault(job.id, 0)
            else:
                self._places.pop(job.id, None)
            words = partial(self._words, job, stage)
            self._card(job, restored=restored).show(
                words, previews, urgent=not isinstance(stage, Waiting), at_once=at_once
            )

    def places_changed(self) -> None:
        """Waiting jobs may stand elsewhere now: soon, and once for all changes until then, look."""
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(_LOOK_AFTER_S, self._look_at_places)

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        """Turn the card into the pictures; raises UndeliveredError, or what Discord raises."""

        @asynccontextmanager
        async def face() -> AsyncIterator[Face]:
            async with lend() as pictures:
                yield Face(card.finished_card(job), picture_files(job, pictures))

        # A card that nobody has here is an earlier process's, and may show the pictures already.
        restored = job.id not in self._cards
        editor = self._card(job, restored=restored)
        try:
            await editor.finish(face)
        finally:
            self._forget(job.id)

    async def tell(self, job: Job, sentence: str) -> None:
        """Say how the job ended, where anybody can still read it."""
        editor = self._card(job, restored=False)
        try:
            await editor.finish(words_alone(card.failed_card(job, sentence)))
        except (UndeliveredError, *EDIT_ERRORS) as error:
            log.warning("the last words of a card were lost: %r", error)
        finally:
            self._forget(job.id)

    async def close(self, timeout_s: float) -> None:
        """Wait until every card says what it must say at once, or the time is up; then stop."""
        answers = [asyncio.create_task(one.answered()) for one in self._cards.values()]
        if answers:
            _, unsaid = await asyncio.wait(answers, timeout=timeout_s)
            if unsaid:
                log.warning("%d cards could not be brought up to date", len(unsaid))
            for task in unsaid:
                task.cancel()
            await asyncio.gather(*answers, return_exceptions=True)
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(*(one.close() for one in self._cards.values()))
        self._cards.clear()
        self._previews.shutdown(wait=False, cancel_futures=True)

    def _look_at_places(self) -> None:
        self._looking = None
        for job_id, seen in self._places.items():
            position = self._line.position(job_id)
            if position is not None and position.place != seen:
                self._places[job_id] = position.place
                self._cards[job_id].look_again()

    def _card(self, job: Job, *, restored: bool) -> CardEditor:
        editor = self._cards.get(job.id)
        if editor is None:
            editor = self._cards[job.id] = CardEditor(
                CardMessage(job, self._client, partial(self._placed, job.id)),
                self._paces.of(job.channel_id),
                partial(self._preview, job.id),
                restored=restored,
                sleep=self._sleep,
            )
        return editor

    def _forget(self, job_id: str) -> None:
        self._cards.pop(job_id, None)
        self._places.pop(job_id, None)

    def _words(self, job: Job, stage: Stage) -> Face:
        position = self._line.position(job.id) if isinstance(stage, Waiting) else None
        text = card.progress_card(job, stage, position, self._clock())
        return Face(text, can_cancel=isinstance(stage, Waiting | Drawing))

    async def _placed(self, job_id: str, message_id: int) -> None:
        try:
            await self._ledger.place(job_id, message_id)
        except LedgerError:  # it is found again where it is needed
            log.warning("it could not be noted which message the card is")

    async def _preview(self, job_id: str, previews: Images) -> Attachment:
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(self._previews, encode_preview, previews)
        name = card.preview_name(job_id, file.extension)
        return Attachment(name, file.data, card.PREVIEW_ALT_TEXT)


def picture_files(job: Job, pictures: tuple[Picture, ...]) -> tuple[Attachment, ...]:
    """A job's pictures as they are attached, each with what a screen reader says of it."""
    return tuple(
        Attachment(one.filename, one.data, card.alt_text(job.request, one.index))
        for one in pictures
    )
