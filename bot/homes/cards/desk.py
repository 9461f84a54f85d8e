"""The desk: shows each job's state on its card and hands over the pictures, in any home."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

from bot.core import card
from bot.core.card import Card, Slot
from bot.core.job import Job
from bot.core.ports.home import LendPictures
from bot.core.ports.ledger import Ledger
from bot.core.queue.waiting import JobQueue
from bot.core.stage import Drawing, Stage, Waiting
from bot.errors import AwayError, LedgerError, UndeliveredError
from bot.homes.cards.editor import CardEditor, words_alone
from bot.homes.cards.message import Message, Seen
from bot.homes.cards.pace import MakeThrottle, Paces, edit_throttle
from bot.shared.job_context import in_job
from bot.shared.retry import Sleep
from sdxl_engine.images import encode_preview
from sdxl_engine.request import Images

log = logging.getLogger(__name__)

_LOOK_AFTER_S: Final = 0.1

# Told when a home says which message a card is, and nobody knew yet.
OnMessage = Callable[[str], Awaitable[None]]
MakeMessage = Callable[[Job, OnMessage], Message]


class HearsOfCards(Protocol):
    """Who is told what a card turned out to be; the studio."""

    def card_gone(self, job: Job) -> None:
        """It was deleted before its job was over."""

    def card_over(self, job: Job, *, shows_pictures: bool) -> None:
        """It tells its job's end already."""


class CardDesk:
    """One card a job.

    queue     says where a waiting job stands
    ledger    notes which message a card is, where that was not known
    message   makes a home's message of a job
    throttle  makes what holds the edits of one channel apart
    clock     seconds since 1970
    """

    def __init__(
        self,
        queue: JobQueue,
        ledger: Ledger,
        message: MakeMessage,
        *,
        throttle: MakeThrottle = edit_throttle,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._message = message
        self._clock = clock
        self._sleep = sleep
        self._paces = Paces(throttle)
        self._cards: dict[str, CardEditor] = {}
        self._places: dict[str, int] = {}  # of the waiting, as their cards were told last
        self._looking: asyncio.TimerHandle | None = None
        self._hears: HearsOfCards | None = None
        # Of their own: a preview that waits behind finished pictures is none.
        self._previews = ThreadPoolExecutor(1, thread_name_prefix="preview")

    def report_to(self, studio: HearsOfCards) -> None:
        """Tell this one what cards turn out to be; before any is shown."""
        self._hears = studio

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        """See `Home.show`."""
        with in_job(job.id):
            restored = isinstance(stage, Waiting | Drawing) and stage.restored
            previews = stage.previews if isinstance(stage, Drawing) else ()
            if isinstance(stage, Waiting):
                self._places.setdefault(job.id, 0)
            else:
                self._places.pop(job.id, None)
            look = partial(self._look, job, stage)
            self._card(job, restored=restored).show(
                look, previews, urgent=not isinstance(stage, Waiting), at_once=at_once
            )

    def places_changed(self) -> None:
        """Waiting jobs may stand elsewhere now: soon, and once for all changes until then, look."""
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(_LOOK_AFTER_S, self._look_at_places)

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        """See `Home.deliver`."""

        @asynccontextmanager
        async def lend_card() -> AsyncIterator[Card]:
            async with lend() as pictures:
                yield card.finished_card(job, pictures)

        # A card that nobody has here is an earlier process's, and may show the pictures already.
        restored = job.id not in self._cards
        editor = self._card(job, restored=restored)
        try:
            await editor.finish(lend_card)
        finally:
            self._let_go(job.id)

    async def tell(self, job: Job, sentence: str, *, takes_back: bool) -> None:
        """See `Home.tell`."""
        editor = self._card(job, restored=job.id not in self._cards)
        try:
            last = words_alone(card.failed_card(job, sentence))
            await editor.finish(last, takes_back=takes_back)
        except (UndeliveredError, AwayError) as error:
            log.warning("the last words of a card were lost: %s", error)
        finally:
            self._let_go(job.id)

    async def forget(self, job: Job) -> None:
        """See `Home.forget`."""
        editor = self._cards.get(job.id)
        self._let_go(job.id)
        if editor is not None:
            await editor.close()

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
        self._places.clear()
        await asyncio.gather(*(one.close() for one in self._cards.values()))
        self._cards.clear()
        if self._looking is not None:
            self._looking.cancel()
        self._previews.shutdown(wait=False, cancel_futures=True)

    def _look_at_places(self) -> None:
        self._looking = None
        for job_id, seen in self._places.items():
            position = self._queue.position(job_id)
            if position is not None and position.place != seen:
                self._places[job_id] = position.place
                self._cards[job_id].look_again()

    def _card(self, job: Job, *, restored: bool) -> CardEditor:
        editor = self._cards.get(job.id)
        if editor is None:
            editor = self._cards[job.id] = CardEditor(
                self._message(job, partial(self._placed, job.id)),
                self._paces.of(job.origin.venue.channel),
                partial(self._preview, job),
                partial(self._over, job),
                restored=restored,
                sleep=self._sleep,
            )
        return editor

    def _over(self, job: Job, seen: Seen | None) -> None:
        assert self._hears is not None  # noqa: S101 - `report_to` comes first
        if seen is None:
            self._hears.card_gone(job)
        else:
            self._hears.card_over(job, shows_pictures=seen.has_pictures)

    def _let_go(self, job_id: str) -> None:
        self._cards.pop(job_id, None)
        self._places.pop(job_id, None)

    def _look(self, job: Job, stage: Stage) -> Card:
        position = self._queue.position(job.id) if isinstance(stage, Waiting) else None
        return card.progress_card(job, stage, position, self._clock())

    async def _placed(self, job_id: str, message: str) -> None:
        try:
            await self._ledger.place(job_id, message)
        except LedgerError:  # it is found again where it is needed
            log.warning("it could not be noted which message the card is")

    async def _preview(self, job: Job, previews: Images) -> Slot:
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(self._previews, encode_preview, previews)
        return card.preview_slot(job, file.extension, file.data)
