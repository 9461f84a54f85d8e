"""Engines that outlive the bot, as machines of a pool do, without machines."""

import asyncio

from bot.core.job import Job
from bot.core.ports.engine import Attempt, OnProgress
from bot.core.queue.waiting import LocalTurns
from bot.errors import EngineGoneError
from sdxl_engine.errors import JobCancelledError
from sdxl_engine.request import NO_PICTURES, ImageRequest, Images, Pictures, Progress
from tests.fakes import FakePipeline, drawn


class FakePoolDrawing:
    """Implements `Drawing`; a test says when it is done."""

    silent_s = 0.0

    def __init__(self, attempt: Attempt, request: ImageRequest) -> None:
        self.attempt = attempt
        self.request = request
        self.watchers: list[OnProgress] = []
        self._images: asyncio.Future[Images] = asyncio.get_running_loop().create_future()

    async def sent(self) -> bool:
        """See `Drawing.sent`."""
        await asyncio.wait([self._images])
        return self._images.exception() is None

    async def images(self) -> Images:
        """See `Drawing.images`."""
        return await asyncio.shield(self._images)

    def cancel(self) -> None:
        """See `Drawing.cancel`."""
        self.end(JobCancelledError("The job was cancelled."))

    def go_on(self, step: int) -> None:
        """Tell whoever watches."""
        for watcher in self.watchers:
            watcher(Progress(step, self.request.num_inference_steps))

    def end(self, error: Exception | None = None) -> None:
        """It is drawn, or came to another end."""
        if self._images.done():
            return
        if error is None:
            self._images.set_result(drawn(self.request))
        else:
            self._images.set_exception(error)
            self._images.exception()  # perhaps nobody asks


class FakePool:
    """Implements `Engine`: each of its engines draws what it is told to, until a test says more.

    engines  their names
    """

    outlives = True
    failure = None
    silent_s = 0.0
    is_alive = False

    def __init__(self, *engines: str) -> None:
        self.engines = engines
        self.model = FakePipeline()
        self.drawings: dict[tuple[str, int], FakePoolDrawing] = {}
        self._handed_in = asyncio.Event()

    def turns(self) -> LocalTurns:
        """Turns of one bot alone."""
        turns = LocalTurns()
        turns.leave(LocalTurns.ENGINE)
        for engine in self.engines:
            turns.join(engine)
        return turns

    def start(self) -> None:
        """They were started by somebody else."""

    async def close(self, timeout_s: float) -> None:
        """They go on."""

    async def warm(self) -> FakePipeline:
        """See `Engine.warm`."""
        return self.model

    def submit(
        self,
        attempt: Attempt,
        request: ImageRequest,
        on_progress: OnProgress,
        pictures: Pictures = NO_PICTURES,
    ) -> FakePoolDrawing:
        """See `Engine.submit`."""
        key = attempt.job_id, attempt.number
        assert key not in self.drawings, "an attempt is drawn once"
        assert all(one in pictures for one in (request.source.pictures if request.source else ()))
        self.drawings[key] = FakePoolDrawing(attempt, request)
        self.drawings[key].watchers.append(on_progress)
        self._handed_in.set()
        return self.drawings[key]

    async def resume(
        self, job_id: str, number: int, on_progress: OnProgress
    ) -> FakePoolDrawing | None:
        """See `Engine.resume`."""
        drawing = self.drawings.get((job_id, number))
        if drawing is not None:
            drawing.watchers.append(on_progress)
        return drawing

    def lose(self, engine: str, *, begun: bool = True) -> None:
        """An engine is gone, with what it has."""
        for key, drawing in list(self.drawings.items()):
            if drawing.attempt.engine == engine:
                del self.drawings[key]
                drawing.end(EngineGoneError("It is gone.", begun=begun))

    async def begun(self, job: Job, number: int = 1) -> FakePoolDrawing:
        """Wait until an engine has this attempt."""
        while (job.id, number) not in self.drawings:
            self._handed_in.clear()
            await self._handed_in.wait()
        return self.drawings[job.id, number]
