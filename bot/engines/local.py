"""The engine in this process: one thread that owns the pipeline, seen from the event loop."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from bot.core.ports.engine import Attempt, Model, OnProgress
from bot.shared.futures import wait_for
from sdxl_engine import EngineError, EngineJob, EngineThread, ImageRequest, Images, Pipeline
from sdxl_engine.request import NO_PICTURES, Pictures, Progress


class LocalDrawing:
    """Implements `Drawing`."""

    def __init__(self, attempt: Attempt, job: EngineJob) -> None:
        self.attempt = attempt
        self._job = job

    @property
    def silent_s(self) -> float:
        """See `Drawing.silent_s`."""
        return self._job.silent_s

    async def sent(self) -> bool:
        """See `Drawing.sent`."""
        await wait_for(self._job.sent)
        future = self._job.future
        return not future.done() or future.exception() is None

    async def images(self) -> Images:
        """See `Drawing.images`."""
        return await wait_for(self._job.future)

    def cancel(self) -> None:
        """See `Drawing.cancel`."""
        self._job.cancel()


class LocalEngine:
    """Implements `Engine`.

    start_pipeline  makes the warm pipeline; runs on the engine's thread
    """

    def __init__(
        self, start_pipeline: Callable[[], Pipeline], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._thread = EngineThread(start_pipeline, clock=clock)

    @property
    def outlives(self) -> bool:
        """See `Engine.outlives`."""
        return False

    @property
    def model(self) -> Model | None:
        """See `Engine.model`."""
        ready = self._thread.ready
        return ready.result() if ready.done() and ready.exception() is None else None

    @property
    def failure(self) -> EngineError | None:
        """See `Engine.failure`; a new one each time, for raising it again grows its trace."""
        ready = self._thread.ready
        failure = ready.exception() if ready.done() else None
        if not isinstance(failure, EngineError):
            return None
        again = type(failure)(str(failure))
        again.__cause__ = failure
        return again

    @property
    def silent_s(self) -> float:
        """See `Engine.silent_s`."""
        return self._thread.silent_s

    @property
    def is_alive(self) -> bool:
        """Whether a thread still runs, which `close` could not end."""
        return self._thread.is_alive

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    async def run(self) -> None:
        """Begin to load, and stay until it is cancelled: the thread goes on by itself."""
        self.start()
        await asyncio.Event().wait()

    async def warm(self) -> Model:
        """See `Engine.warm`."""
        return await wait_for(self._thread.ready)

    def submit(
        self,
        attempt: Attempt,
        request: ImageRequest,
        on_progress: OnProgress,
        pictures: Pictures = NO_PICTURES,
    ) -> LocalDrawing:
        """See `Engine.submit`."""
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            with suppress(RuntimeError):  # the loop has gone; nobody is left to tell
                loop.call_soon_threadsafe(on_progress, progress)

        return LocalDrawing(attempt, self._thread.submit(request, report, pictures))

    async def resume(
        self,
        job_id: str,
        number: int,
        on_progress: OnProgress,
    ) -> None:
        """See `Engine.resume`."""

    async def close(self, timeout_s: float) -> None:
        """Stop what is drawn at its next step, and wait at most so long for it."""
        await asyncio.to_thread(self._thread.close, cancel_running=True, timeout_s=timeout_s)
