"""The desk: shows each job's state on its card and hands over the pictures."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from asyncio_throttle.throttler import Throttler

from bot.discord_app import card
from bot.discord_app.card_editor import CardEditor
from bot.discord_app.explain import explain
from bot.discord_app.message import EDIT_ERRORS, Attachment, Message
from bot.jobs import Drawing, Failed, HandedBack, Job, State
from bot.log import in_job
from sdxl_engine import Images
from sdxl_engine.images import describe, encode_preview, encode_within

log = logging.getLogger(__name__)

_MAX_UPLOAD_BYTES: Final = 25 * 2**20 - 64 * 2**10  # a request may hold 25 MiB, text included
_SECONDS_PER_EDIT: Final = 1.5
_ENCODERS: Final = 2

Pace = Callable[[], AbstractAsyncContextManager[object]]


def edit_pace() -> AbstractAsyncContextManager[object]:
    """Lets one edit of a card through every 1.5 seconds."""
    return Throttler(1, _SECONDS_PER_EDIT, retry_interval=0.1)


class CardDesk:
    """Where the dispatcher reports to: one card a job.

    model_name  stands beside the settings in each file
    pace        makes what holds the edits of one card apart
    """

    def __init__(self, model_name: str, pace: Pace = edit_pace) -> None:
        self._model_name = model_name
        self._pace = pace
        self._cards: dict[str, CardEditor] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encode")
        # Of their own: a preview that waits behind finished pictures is none.
        self._previews = ThreadPoolExecutor(1, thread_name_prefix="preview")

    def open(self, job_id: str, message: Message) -> None:
        """Make this message the job's card."""
        self._cards[job_id] = CardEditor(message, self._pace(), partial(self._preview, job_id))

    def report(self, job: Job, state: State) -> None:
        """Show where the job stands."""
        with in_job(job.id):
            match state:
                case Failed(error):
                    self._end(job.id, card.failed_card(job, explain(error, job.id)))
                case HandedBack():
                    self._end(job.id, card.handed_back_card(job))
                case stage:
                    previews = stage.previews if isinstance(stage, Drawing) else ()
                    self._cards[job.id].show(card.progress_card(job, stage), previews)

    async def deliver(self, job: Job, images: Images) -> None:
        """Turn the card into the pictures; raises what Discord or the connection raises."""
        attachments = await self._encode(job, images)
        await self._cards[job.id].finish(card.finished_card(job), attachments)
        del self._cards[job.id]
        log.info("delivered %d pictures", len(attachments))

    def refuse(self, job_id: str, error: Exception) -> bool:
        """End the card of a job that was not taken; returns whether there was one."""
        if job_id not in self._cards:
            return False
        self._end(job_id, card.failure_text(explain(error, job_id)))
        return True

    async def close(self, timeout_s: float) -> None:
        """Wait until the last words of every ended job are said, or the time is up."""
        if self._endings:
            _, unsaid = await asyncio.wait(self._endings, timeout=timeout_s)
            for task in unsaid:
                task.cancel()
            if unsaid:
                log.warning("%d cards could not be brought up to date", len(unsaid))
                await asyncio.wait(unsaid)
        for pool in (self._encoders, self._previews):
            pool.shutdown(wait=False, cancel_futures=True)

    def _end(self, job_id: str, text: str) -> None:
        task = asyncio.create_task(self._finish(self._cards.pop(job_id), text))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _finish(self, editor: CardEditor, text: str) -> None:
        try:
            await editor.finish(text)
        except EDIT_ERRORS as error:
            log.error("the last words of a card were lost: %r", error)  # noqa: TRY400 - no trace needed

    async def _preview(self, job_id: str, previews: Images) -> Attachment:
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(self._previews, encode_preview, previews)
        name = card.preview_name(job_id, file.extension)
        return Attachment(name, file.data, card.PREVIEW_ALT_TEXT)

    async def _encode(self, job: Job, images: Images) -> tuple[Attachment, ...]:
        parameters = describe(job.request, model=self._model_name)
        limit_bytes = min(job.attachment_limit_bytes, _MAX_UPLOAD_BYTES // len(images))
        loop = asyncio.get_running_loop()
        files = await asyncio.gather(
            *(
                loop.run_in_executor(self._encoders, encode_within, image, parameters, limit_bytes)
                for image in images
            )
        )
        return tuple(
            Attachment(
                card.picture_name(job.id, image.index, file.extension),
                file.data,
                card.alt_text(job.request, image.index),
            )
            for image, file in zip(images, files, strict=True)
        )
