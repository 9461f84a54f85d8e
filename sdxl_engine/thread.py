"""The engine thread: one thread owns the pipeline from load to close and draws jobs one by one.

No jax and no event loop here. The caller gets a `concurrent.futures.Future`; an async caller wraps
it with `asyncio.wrap_future` and comes back to its loop with `call_soon_threadsafe`.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from typing import Protocol, cast

from sdxl_engine.errors import (
    DrawError,
    EngineClosedError,
    EngineError,
    EngineFullError,
    EngineStartError,
    JobCancelledError,
)
from sdxl_engine.request import GeneratedImage, ImageRequest, Progress

log = logging.getLogger(__name__)

Images = tuple[GeneratedImage, ...]
OnProgress = Callable[[Progress], None]


class Pipeline(Protocol):
    """What the thread needs of a pipeline; `SdxlPipeline` is the real one."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The warm sizes as (width_px, height_px), the model's own first."""

    def check(self, request: ImageRequest) -> None:
        """Raise InvalidRequestError if the request cannot be drawn; costs no device time."""

    def generate(self, request: ImageRequest) -> Iterator[Progress]:
        """Draw; the last progress carries the images. Closing the iterator stops the work."""


class EngineJob:
    """A handle on one submitted request.

    request  what is drawn
    future   its images, or the EngineError that ended it
    """

    def __init__(self, request: ImageRequest, on_progress: OnProgress | None) -> None:
        self.request = request
        self.future: Future[Images] = Future()
        self._on_progress = on_progress
        self._cancelled = threading.Event()
        self._lock = threading.Lock()  # orders cancel against the start of the drawing

    def cancel(self) -> None:
        """Stop the job: a waiting one at once, a running one at its next progress."""
        with self._lock:
            self._cancelled.set()
            if not self.future.running():
                self._fail(JobCancelledError("The job was cancelled."))

    def _run(self, pipeline: Pipeline) -> None:
        with self._lock:
            # set_running_or_notify_cancel is False for a future that somebody cancelled directly.
            if self._cancelled.is_set() or not self.future.set_running_or_notify_cancel():
                return
        try:
            self.future.set_result(self._draw(pipeline))
        except EngineError as error:
            self._fail(error)
        except Exception as error:
            log.exception("drawing failed: %s", type(error).__name__)
            failure = DrawError("Drawing failed on the device. Try again; the log has the cause.")
            failure.__cause__ = error
            self._fail(failure)

    def _draw(self, pipeline: Pipeline) -> Images:
        images: Images = ()
        # The protocol says Iterator, a generator in truth: closing it frees what it holds.
        progresses = pipeline.generate(self.request)
        with closing(cast("_Closable", progresses)):
            for progress in progresses:
                if self._cancelled.is_set():
                    raise JobCancelledError("The job was cancelled while it was drawn.")
                images = progress.images
                self._report(progress)
        return images

    def _report(self, progress: Progress) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(progress)
        except Exception:  # a broken listener must not cost anybody their images
            log.exception("a progress listener failed")

    def _fail(self, error: EngineError) -> None:
        with suppress(InvalidStateError):  # settled by the other thread a moment ago
            self.future.set_exception(error)


class _Closable(Protocol):
    def close(self) -> None: ...


class EngineThread:
    """Owns a pipeline on a thread of its own.

    start_pipeline  makes the warm pipeline; runs on the engine thread
    max_pending     how many jobs may wait behind the running one

    `ready` is settled once: with the pipeline, or with the EngineStartError that every waiter gets.
    """

    def __init__(self, start_pipeline: Callable[[], Pipeline], *, max_pending: int = 8) -> None:
        self.ready: Future[Pipeline] = Future()
        # A running future cannot be cancelled: one waiter that gives up must not spoil it for all.
        self.ready.set_running_or_notify_cancel()
        self._start_pipeline = start_pipeline
        self._jobs: queue.Queue[EngineJob] = queue.Queue(maxsize=max_pending)
        self._lock = threading.Lock()  # orders submit against close
        self._running: EngineJob | None = None
        self._closing = threading.Event()
        self._wake = threading.Semaphore(0)  # one permit a submitted job, one for close
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        """Start loading. Returns at once; wait on `ready`."""
        self._thread.start()

    def submit(self, request: ImageRequest, on_progress: OnProgress | None = None) -> EngineJob:
        """Hand a request over; returns at once.

        on_progress  called on the engine thread, so it must be quick and thread-safe

        Raises InvalidRequestError, EngineFullError, EngineClosedError, EngineStartError.
        """
        if self.ready.done():
            self.ready.result().check(request)  # a failed start is raised here
        job = EngineJob(request, on_progress)
        with self._lock:
            if self._closing.is_set():
                raise EngineClosedError("The engine is stopping. Ask again in a minute.")
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                raise EngineFullError(
                    f"The engine already holds {self._jobs.maxsize} waiting jobs. "
                    "Ask again in a minute."
                ) from None
        self._wake.release()
        return job

    def close(self, *, cancel_running: bool = False, timeout_s: float | None = None) -> bool:
        """Stop: waiting jobs end with EngineClosedError, the running one finishes or is cancelled.

        Returns whether the thread ended within `timeout_s` (None waits for as long as it takes).
        A thread that hangs in a device call is a daemon: it ends with the process.
        """
        with self._lock:
            self._closing.set()
            running = self._running
        if cancel_running and running is not None:
            running.cancel()
        self._wake.release()
        if self._thread.ident is None:
            self._settle_unstarted()
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            pipeline = self._start_pipeline()
        except BaseException as error:  # noqa: BLE001 - whatever stops the start, waiters must hear of it
            self._fail_start(error)
            return
        self.ready.set_result(pipeline)
        while True:
            self._wake.acquire()
            with self._lock:
                job = None if self._closing.is_set() else self._jobs.get_nowait()
                self._running = job
            if job is None:
                break
            job._run(pipeline)  # noqa: SLF001 - the two classes are one unit
            with self._lock:
                self._running = None
        self._drop_waiting(EngineClosedError("The engine stopped before it drew this. Ask again."))

    def _fail_start(self, error: BaseException) -> None:
        if isinstance(error, EngineError):
            failure = EngineStartError(str(error))
        else:
            failure = EngineStartError(f"The engine could not start: {error}")
        failure.__cause__ = error
        log.error("the engine could not start", exc_info=error)
        with self._lock:
            self._closing.set()
        self.ready.set_exception(failure)
        self._drop_waiting(failure)

    def _settle_unstarted(self) -> None:
        failure = EngineClosedError("The engine was closed before it started.")
        with suppress(InvalidStateError):
            self.ready.set_exception(failure)
        self._drop_waiting(failure)

    def _drop_waiting(self, error: EngineError) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            job._fail(error)  # noqa: SLF001 - the two classes are one unit
