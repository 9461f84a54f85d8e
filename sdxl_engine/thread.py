"""The engine thread: one thread owns the pipeline from load to close and draws jobs one by one.

A second thread waits for finished images to come from the device, so that the first can give the
device its next job meanwhile. No jax and no event loop here. The caller gets
`concurrent.futures.Future`s; an async caller wraps them and comes back to its loop with
`call_soon_threadsafe`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from functools import partial
from queue import SimpleQueue
from typing import Protocol, cast

from sdxl_engine.errors import (
    DrawError,
    EngineClosedError,
    EngineError,
    EngineFullError,
    EngineStartError,
    JobCancelledError,
)
from sdxl_engine.request import (
    NO_PICTURES,
    FetchImages,
    ImageRequest,
    Images,
    KnownLora,
    ModelCard,
    Pictures,
    Progress,
)
from sdxl_engine.sentence import say, say_many, sentence_of

log = logging.getLogger(__name__)

OnProgress = Callable[[Progress], None]


class Pipeline(Protocol):
    """What the thread needs of a pipeline; `SdxlPipeline` is the real one."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The warm sizes as (width_px, height_px); the first is drawn when none is asked for."""

    @property
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""

    @property
    def models(self) -> Sequence[str]:
        """The names of the models; the first is drawn with when none is asked for."""

    @property
    def checks(self) -> Sequence[str]:
        """The categories of the picture check; none where nobody looks."""

    @property
    def loras(self) -> Mapping[str, KnownLora]:
        """The LoRAs by name; those with a problem cannot be drawn with. Any thread may ask."""

    def check(self, request: ImageRequest) -> None:
        """Raise InvalidRequestError if the request cannot be drawn; costs no device time."""

    def resolved(self, request: ImageRequest) -> ImageRequest:
        """With the model's own sampler where the request names none."""

    def card(self, request: ImageRequest) -> ModelCard:
        """What a picture of it says of the files that drew it.

        To hash them takes seconds the first time: to be asked for on a thread.
        """

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        """Draw; the last progress fetches the images. Closing the iterator stops the work.

        pictures  those that the request starts from, by their content hashes
        """


_starting = threading.local()  # on an engine thread: what takes a sign of life of its start


def sign_of_start() -> Callable[[], None]:
    """What to call now and then while a pipeline is started: it tells that the start goes on.

    To be asked for on the thread that starts it; elsewhere nobody waits, and it does nothing.
    """
    go_on: Callable[[], None] = getattr(_starting, "go_on", lambda: None)
    return go_on


class EngineJob:
    """A handle on one submitted request.

    request   what is drawn
    pictures  those that it starts from
    sent      settled once the device has all of the job's work, or the job has ended without: the
              time to hand in the next one
    future    its images, or the EngineError that ended it
    """

    def __init__(
        self,
        request: ImageRequest,
        pictures: Pictures,
        on_progress: OnProgress | None,
        withdraw: Callable[["EngineJob"], bool],
        clock: Callable[[], float],
    ) -> None:
        self.request = request
        self.pictures = pictures
        self.future: Future[Images] = Future()
        self.sent: Future[None] = Future()
        self.future.add_done_callback(partial(_settled, self.sent))
        self._on_progress = on_progress
        self._withdraw = withdraw
        self._clock = clock
        self._cancelled = threading.Event()
        self._sign_of_life_s: float | None = None  # while the threads have it

    def cancel(self) -> None:
        """Stop the job: a waiting one at once, a running one at its next progress."""
        self._cancelled.set()
        if self._withdraw(self):
            self._fail(JobCancelledError(say("The job was cancelled.")))

    @property
    def silent_s(self) -> float:
        """For how many seconds it has given no sign of life; 0 while no thread works on it."""
        sign_s = self._sign_of_life_s
        return 0.0 if sign_s is None else self._clock() - sign_s

    def _live(self) -> None:
        self._sign_of_life_s = self._clock()

    def _rest(self) -> None:
        """No thread works on it now: its silence means nothing."""
        self._sign_of_life_s = None

    def _draw(self, pipeline: Pipeline) -> FetchImages | None:
        """Have the pipeline draw; None if the job has ended, by an error or otherwise."""
        self._live()
        # False for a future that somebody cancelled directly.
        if not self.future.set_running_or_notify_cancel():
            return None
        try:
            return self._generate(pipeline)
        except BaseException as error:  # noqa: BLE001 - a job fails alone, even on SystemExit
            self._fail_with(error)
            return None
        finally:
            self._rest()

    def _finish(self, fetch: FetchImages) -> None:
        """Wait for the images."""
        self._live()
        try:
            images = fetch()
            self._check_wanted()
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail_with(error)
        else:
            self.future.set_result(images)
        finally:
            self._rest()

    def _generate(self, pipeline: Pipeline) -> FetchImages:
        fetch: FetchImages | None = None
        # Nobody to look at previews: none are made.
        progresses = pipeline.generate(
            self.request, pictures=self.pictures, previews=self._on_progress is not None
        )
        # The protocol says Iterator, a generator in truth: closing it frees what it holds.
        with closing(cast("_Closable", progresses)):
            for progress in progresses:
                self._live()
                self._check_wanted()
                fetch = progress.fetch
                self._report(progress)
        assert fetch is not None  # noqa: S101 - the pipeline's promise
        return fetch

    def _check_wanted(self) -> None:
        if self._cancelled.is_set():
            raise JobCancelledError(say("The job was cancelled while it was drawn."))

    def _report(self, progress: Progress) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(progress)
        except Exception:  # a broken listener must not cost anybody their images
            log.exception("a progress listener failed")

    def _fail_with(self, error: BaseException) -> None:
        if isinstance(error, EngineError):
            self._fail(error)
            return
        log.error("drawing failed: %s", type(error).__name__, exc_info=error)
        failure = DrawError(say("Drawing failed on the device. Try again; the log has the cause."))
        failure.__cause__ = error
        self._fail(failure)

    def _fail(self, error: EngineError) -> None:
        with suppress(InvalidStateError):  # its awaiter cancelled the future itself
            self.future.set_exception(error)


def _settled(sent: "Future[None]", _ended: object = None) -> None:
    with suppress(InvalidStateError):  # sent before, and now the job has ended
        sent.set_result(None)


class _Closable(Protocol):
    def close(self) -> None: ...


class EngineThread:
    """Owns a pipeline on a thread of its own.

    start_pipeline  makes the warm pipeline; runs on the engine thread
    max_pending     how many jobs may wait behind the running one, at least 1
    clock           seconds

    `ready` is settled once: with the pipeline, or with the error that every waiter gets.
    """

    def __init__(
        self,
        start_pipeline: Callable[[], Pipeline],
        *,
        max_pending: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_pending < 1:
            raise ValueError("max_pending must be at least 1")
        self.ready: Future[Pipeline] = Future()
        # A running future cannot be cancelled: one waiter that gives up must not spoil it for all.
        self.ready.set_running_or_notify_cancel()
        self._start_pipeline = start_pipeline
        self._max_pending = max_pending
        self._clock = clock
        self._changed = threading.Condition()  # guards the next five
        self._waiting: deque[EngineJob] = deque()
        self._running: EngineJob | None = None
        self._fetched: EngineJob | None = None
        self._closing = False
        self._started = False
        self._start_sign_s: float | None = None
        self._drawn: SimpleQueue[tuple[EngineJob, FetchImages] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._main, "engine"), (self._finish_jobs, "fetch"))
        ]

    @property
    def is_alive(self) -> bool:
        """Whether one of the threads still runs.

        A process that ends in the ordinary way while it does is aborted by the runtime: leave with
        `os._exit` if `close` could not end it.
        """
        return any(thread.is_alive() for thread in self._threads)

    @property
    def silent_s(self) -> float:
        """For how many seconds what is in hand (the start, a job) has given no sign of life."""
        with self._changed:
            jobs = (self._running, self._fetched)
        starting_s = 0.0
        if self._start_sign_s is not None and not self.ready.done():
            starting_s = self._clock() - self._start_sign_s
        return max([starting_s, *(job.silent_s for job in jobs if job is not None)])

    def start(self) -> None:
        """Start loading; returns at once, wait on `ready`. Raises EngineClosedError."""
        with self._changed:
            if self._closing:
                raise EngineClosedError(say("The engine was closed before it started."))
            self._started = True
            self._start_sign_s = self._clock()
            for thread in self._threads:
                thread.start()

    def submit(
        self,
        request: ImageRequest,
        on_progress: OnProgress | None = None,
        pictures: Pictures = NO_PICTURES,
    ) -> EngineJob:
        """Hand a request over; returns at once.

        pictures     those that it starts from, by their content hashes
        on_progress  called on the engine thread, so it must be quick and thread-safe

        Raises InvalidRequestError, EngineFullError, EngineClosedError, EngineStartError.
        """
        if self.ready.done():
            failure = self.ready.exception()
            if failure is not None:
                # A new one each time: raising the same object again would grow its traceback.
                raise type(failure)(sentence_of(failure)) from failure
            self.ready.result().check(request)
        job = EngineJob(request, pictures, on_progress, self._withdraw, self._clock)
        with self._changed:
            if self._closing:
                raise EngineClosedError(say("The engine is stopping. Ask again in a minute."))
            if len(self._waiting) == self._max_pending:
                raise EngineFullError(
                    say_many(
                        "The engine already holds {count} waiting job. Ask again in a minute.",
                        "The engine already holds {count} waiting jobs. Ask again in a minute.",
                        self._max_pending,
                    )
                )
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def close(self, *, cancel_running: bool = False, timeout_s: float | None = None) -> bool:
        """Stop: waiting jobs end now with EngineClosedError, the running one finishes.

        cancel_running  end the running one at its next progress instead
        timeout_s       wait at most so long for it; None for as long as it takes

        Returns whether the threads have ended; if not, see `is_alive`.
        """
        with self._changed:
            self._closing = True
            running = self._running
            started = self._started
            self._changed.notify_all()
        stopped = EngineClosedError(say("The engine stopped before it drew this. Ask again."))
        self._fail_waiting(stopped)
        self._settle(error=stopped)
        if cancel_running and running is not None:
            running.cancel()
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads if started else ():
            thread.join(None if until_s is None else max(0, until_s - time.monotonic()))
        return not self.is_alive

    def _main(self) -> None:
        try:
            self._draw_jobs()
        finally:
            self._drawn.put(None)

    def _draw_jobs(self) -> None:
        _starting.go_on = self._start_goes_on
        try:
            pipeline = self._start_pipeline()
        except BaseException as error:  # noqa: BLE001 - whatever stops the start, waiters must hear
            self._fail_start(error)
            return
        self._settle(pipeline)
        while (job := self._next()) is not None:
            fetch = job._draw(pipeline)  # noqa: SLF001 - the two classes are one unit
            with self._changed:
                self._running = None
            if fetch is not None:
                self._drawn.put((job, fetch))
                _settled(job.sent)
            del job, fetch  # its images belong to whoever asked for them

    def _finish_jobs(self) -> None:
        while (drawn := self._drawn.get()) is not None:
            job, fetch = drawn
            with self._changed:
                self._fetched = job
            job._finish(fetch)  # noqa: SLF001 - as above
            with self._changed:
                self._fetched = None
            del drawn, job, fetch

    def _next(self) -> EngineJob | None:
        """The next job, as soon as there is one; None once the engine is closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting)
            self._running = None if self._closing else self._waiting.popleft()
            return self._running

    def _withdraw(self, job: EngineJob) -> bool:
        """Take a job out of the line; returns whether it was there."""
        with self._changed:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            return True

    def _start_goes_on(self) -> None:
        self._start_sign_s = self._clock()

    def _fail_start(self, error: BaseException) -> None:
        # Our own errors say all there is; anything else needs its trace.
        trace = None if isinstance(error, EngineError) else error
        log.error("the engine could not start: %s", error, exc_info=trace)
        said = sentence_of(error)
        is_own = isinstance(error, EngineError)
        failure = EngineStartError(
            said if is_own else say("The engine could not start: {why}", why=said)
        )
        failure.__cause__ = error
        self._settle(error=failure)
        with self._changed:
            self._closing = True
        self._fail_waiting(failure)

    def _settle(self, pipeline: Pipeline | None = None, error: EngineError | None = None) -> None:
        with suppress(InvalidStateError):  # settled before: `close` came while it was loading
            if pipeline is not None:
                self.ready.set_result(pipeline)
            else:
                self.ready.set_exception(error)

    def _fail_waiting(self, error: EngineError) -> None:
        with self._changed:
            jobs, self._waiting = self._waiting, deque()
        for job in jobs:
            job._fail(error)  # noqa: SLF001 - the two classes are one unit
