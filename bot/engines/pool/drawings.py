"""What one engine of the pool draws, by job and attempt: whoever asks for it only watches it.

A bot that dies leaves its drawing going; who asks for the same attempt later is told how far it is,
and then given the images.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from bot.errors import EngineGoneError, OldAttemptError, UnknownDrawingError
from sdxl_engine.errors import EngineError, JobCancelledError
from sdxl_engine.request import (
    NO_PICTURES,
    ImageRequest,
    Images,
    ModelCard,
    Pictures,
    Progress,
)
from sdxl_engine.sentence import say
from sdxl_engine.thread import EngineJob, EngineThread

log = logging.getLogger(__name__)

_KEPT: Final = 16  # results: four pictures of 1024 x 1024 pixels are 12.6 MB
_KEPT_S: Final = 900.0  # by then somebody has taken up what a bot left, or nobody will
_REMEMBERED: Final = 10_000  # jobs of which an older attempt is known to be old


@dataclass(frozen=True, slots=True)
class Key:
    """A drawing: a job's, of so many attempts the last that anybody knew of."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The device has all of its work: the engine is free for the next one."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images of a request, and what they say of the files that drew them."""

    request: ImageRequest
    images: Images
    card: ModelCard


Told = Progress | Sent | Drawn  # in this order; of progress, what is newest
Trouble = EngineError | EngineGoneError


@dataclass(slots=True, eq=False)
class _Drawing:
    job: EngineJob
    progress: Progress
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    sent: bool = False
    outcome: Drawn | Trouble | None = None
    ended_s: float = 0.0

    def tell(self) -> None:
        """Wake whoever watches."""
        self.changed.set()
        self.changed = asyncio.Event()


class Drawings:
    """Belongs to one event loop.

    thread  what draws
    kept    how many results wait for somebody to take them
    kept_s  for how long, in seconds of the clock
    """

    def __init__(
        self,
        thread: EngineThread,
        *,
        kept: int = _KEPT,
        kept_s: float = _KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._thread = thread
        self._kept = kept
        self._kept_s = kept_s
        self._clock = clock
        self._held: dict[str, tuple[int, _Drawing]] = {}  # by job, in the order of their begin
        self._newest: OrderedDict[str, int] = OrderedDict()  # of each job's attempts
        self._cards: set[asyncio.Task[None]] = set()

    def held(self) -> tuple[Key, ...]:
        """What is drawn, and what was and waits for somebody to take it."""
        self._tidy()
        return tuple(Key(job_id, attempt) for job_id, (attempt, _) in self._held.items())

    def drawing(self) -> Key | None:
        """What the device works on, or will next; None: it is free."""
        return next(
            (
                Key(job_id, attempt)
                for job_id, (attempt, one) in self._held.items()
                if one.outcome is None and not one.sent
            ),
            None,
        )

    def begin(self, key: Key, request: ImageRequest, pictures: Pictures = NO_PICTURES) -> None:
        """Have it drawn, unless it is; an earlier attempt is drawn no further.

        Raises OldAttemptError, and whatever `EngineThread.submit` does.
        """
        self._tidy()
        self._check_newest(key)
        if self._find(key) is not None:
            return
        self._drop(key.job_id)
        loop = asyncio.get_running_loop()

        def on_loop(hear: Callable[[], None]) -> None:
            with suppress(RuntimeError):  # the loop has gone, and with it whoever watched
                loop.call_soon_threadsafe(hear)

        def report(progress: Progress) -> None:
            on_loop(lambda: self._progress(drawing, progress))

        job = self._thread.submit(request, report, pictures)
        # The thread may have begun; what it reports comes after this.
        drawing = _Drawing(job, Progress(0, request.num_inference_steps))
        self._held[key.job_id] = key.attempt, drawing
        job.sent.add_done_callback(lambda _: on_loop(partial(self._sent, drawing)))
        job.future.add_done_callback(lambda _: on_loop(partial(self._ended, drawing)))

    async def watch(self, key: Key) -> AsyncGenerator[Told]:
        """What becomes of it, from now on; at once how far it is.

        However slow whoever watches is, of each drawing there are no more items than the engine
        reports. Raises OldAttemptError, UnknownDrawingError, and the trouble that ends it.
        """
        self._check_newest(key)
        drawing = self._find(key)
        if drawing is None:
            raise UnknownDrawingError(say("The engine does not draw that."))
        shown: Progress | None = None
        sent = False
        while True:
            changed = drawing.changed
            outcome = drawing.outcome
            if isinstance(outcome, Trouble):
                # A new one each time: raising the same object again would grow its trace.
                raise _again(outcome)
            if shown is not drawing.progress:
                shown = drawing.progress
                yield shown
            elif drawing.sent and not sent:
                sent = True
                yield Sent()
            elif outcome is not None:
                yield outcome
                return
            else:
                await changed.wait()

    def let_go(self, key: Key) -> None:
        """Nobody wants it any more: it is drawn no further, and its images are forgotten."""
        if self._find(key) is not None:
            self._drop(key.job_id)

    def fail(self, error: Trouble) -> None:
        """Tell all who watch that nothing will come of it: the device does not answer."""
        for _, drawing in self._held.values():
            self._settle(drawing, error)

    def _find(self, key: Key) -> _Drawing | None:
        attempt, drawing = self._held.get(key.job_id, (None, None))
        return drawing if attempt == key.attempt else None

    def _check_newest(self, key: Key) -> None:
        newest = max(key.attempt, self._newest.get(key.job_id, key.attempt))
        if key.attempt < newest:
            raise OldAttemptError(say("This job is drawn anew; an earlier attempt is over."))
        self._newest[key.job_id] = newest
        self._newest.move_to_end(key.job_id)
        while len(self._newest) > _REMEMBERED:
            self._newest.popitem(last=False)

    def _drop(self, job_id: str) -> None:
        _, drawing = self._held.pop(job_id, (0, None))
        if drawing is not None:
            drawing.job.cancel()
            self._settle(drawing, JobCancelledError(say("The job was cancelled.")))

    def _progress(self, drawing: _Drawing, progress: Progress) -> None:
        drawing.progress = replace(progress, fetch=None)  # the engine's own affair
        drawing.tell()

    def _sent(self, drawing: _Drawing) -> None:
        future = drawing.job.future
        if not future.done() or future.exception() is None:
            drawing.sent = True
            drawing.tell()

    def _ended(self, drawing: _Drawing) -> None:
        error = drawing.job.future.exception()
        if isinstance(error, EngineError):
            self._settle(drawing, error)
        else:
            task = asyncio.get_running_loop().create_task(self._sign(drawing))
            self._cards.add(task)
            task.add_done_callback(self._cards.discard)

    async def _sign(self, drawing: _Drawing) -> None:
        """Have its images, with what only this engine knows of them."""
        request = drawing.job.request
        try:
            card = await asyncio.to_thread(self._thread.ready.result().card, request)
        except Exception:  # the pictures are drawn, and say a little less of themselves
            log.exception("what drew the pictures could not be found out")
            card = ModelCard(request.model or self._thread.ready.result().models[0])
        self._settle(drawing, Drawn(request, drawing.job.future.result(), card))

    def _settle(self, drawing: _Drawing, outcome: Drawn | Trouble) -> None:
        if drawing.outcome is None:
            drawing.outcome = outcome
            drawing.ended_s = self._clock()
            drawing.tell()
            self._tidy()

    def _tidy(self) -> None:
        """Forget the oldest results, of too many or too long ago."""
        ended = sorted(
            (drawing.ended_s, job_id)
            for job_id, (_, drawing) in self._held.items()
            if drawing.outcome is not None
        )
        too_many = len(ended) - self._kept
        for n, (ended_s, job_id) in enumerate(ended):
            if n < too_many or self._clock() - ended_s > self._kept_s:
                del self._held[job_id]


def _again(error: Trouble) -> Trouble:
    again = copy(error)
    again.__cause__ = error
    return again
