"""The dispatcher: feeds the engine thread one job after the other and tells the desk of each."""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from bot.jobs.job import Drawing, Failed, HandedBack, Job, State, Uploading, Waiting
from bot.jobs.line import JobLine
from bot.log import in_job
from sdxl_engine import (
    EngineError,
    EngineJob,
    EngineThread,
    Images,
    JobCancelledError,
    Pipeline,
    Progress,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# While one job's pictures are fetched and uploaded the next is drawn. More finished jobs than this
# hold the engine up: each keeps its raw pictures in memory.
_MAX_DELIVERIES: Final = 4

T = TypeVar("T")


class Desk(Protocol):
    """Where people hear of their jobs."""

    def report(self, job: Job, state: State) -> None:
        """Show where the job stands; called on the event loop, returns at once."""

    async def deliver(self, job: Job, images: Images) -> None:
        """Make the files and hand them over; whatever it raises becomes the job's failure."""


async def wait_for(future: Future[T]) -> T:
    """The result of a thread's future. Cancelling the wait leaves the future alone.

    `asyncio.wrap_future` would cancel it, and with it everybody else who waits for it.
    """
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop has gone, and the waiter with it
            loop.call_soon_threadsafe(settled.set)

    future.add_done_callback(wake)
    await settled.wait()
    return future.result()


class Dispatcher:
    """Takes jobs in, has them drawn one by one, has them delivered.

    engine  started by somebody else, perhaps still loading
    desk    hears of every state of every job
    line    holds the jobs that wait
    """

    def __init__(self, engine: EngineThread, desk: Desk, line: JobLine) -> None:
        self._engine = engine
        self._desk = desk
        self._line = line
        self._task: asyncio.Task[None] | None = None
        self._taken: dict[str, Job] = {}  # out of the line, and neither delivered nor failed yet
        self._drawing: dict[str, EngineJob] = {}  # of these, what the engine has not yet given
        self._slots = asyncio.Semaphore(_MAX_DELIVERIES)

    def start(self) -> "asyncio.Task[None]":
        """Begin to work; the task ends after `drain`, or with the engine's EngineStartError."""
        self._task = asyncio.create_task(self._run(), name="dispatcher")
        return self._task

    def admit(self, job: Job) -> None:
        """Take a job in; its first report follows before this returns.

        Raises InvalidRequestError, EngineStartError, JobRefusedError; the job is then unknown here.
        """
        if self._engine.ready.done():
            pipeline = self._engine.ready.result()
            job = _with_size(job, pipeline)
            pipeline.check(job.request)
        self._line.add(job)
        self._report_place(len(self._line.waiting()), job)

    def cancel(self, job_id: str) -> bool:
        """Stop a job that waits or is drawn; returns whether there was one."""
        job = self._line.remove(job_id)
        if job is not None:
            self._desk.report(job, Failed(JobCancelledError("The job was cancelled.")))
            self._report_places()
            return True
        engine_job = self._drawing.get(job_id)
        if engine_job is None:
            return False
        engine_job.cancel()
        return True

    async def drain(self, grace_s: float) -> None:
        """Stop: waiting jobs are handed back, running ones get `grace_s` seconds and then too."""
        for job in self._line.close():
            self._desk.report(job, HandedBack())
        if self._task is None:
            return
        if self._engine.ready.done():
            await asyncio.wait([self._task], timeout=grace_s)
        self._task.cancel()
        await asyncio.wait([self._task])
        for engine_job in self._drawing.values():
            engine_job.cancel()
        self._drawing.clear()  # what they still report is about cards that have ended
        for job in self._taken.values():
            self._desk.report(job, HandedBack())

    async def _run(self) -> None:
        try:
            pipeline = await wait_for(self._engine.ready)
        except EngineError as error:
            for job in self._line.close():
                self._desk.report(job, Failed(error))
            raise
        self._report_places()
        async with asyncio.TaskGroup() as deliveries:
            while True:
                await self._slots.acquire()
                taken = await self._line.take()
                if taken is None:
                    return
                job = self._taken[taken.id] = _with_size(taken, pipeline)
                with in_job(job.id):
                    engine_job = await self._draw(job)
                    if engine_job is not None:
                        deliveries.create_task(
                            self._deliver(job, engine_job), name=f"deliver {job.id}"
                        )
                    del engine_job  # it holds the pictures

    async def _draw(self, job: Job) -> EngineJob | None:
        """Have it drawn; returns as soon as the engine is free for the next."""
        self._desk.report(job, Drawing(0, job.request.num_inference_steps))
        self._report_places()
        try:
            engine_job = self._engine.submit(job.request, self._progress_of(job))
        except EngineError as error:
            self._end(job, Failed(error))
            return None
        self._drawing[job.id] = engine_job
        await wait_for(engine_job.sent)
        return engine_job

    def _progress_of(self, job: Job) -> "Callable[[Progress], None]":
        loop = asyncio.get_running_loop()

        def on_progress(progress: Progress) -> None:
            state = Drawing(progress.step, progress.num_inference_steps, progress.previews)
            with suppress(RuntimeError):  # the loop has gone; nobody is left to tell
                loop.call_soon_threadsafe(self._report_progress, job, state)

        return on_progress

    def _report_progress(self, job: Job, state: Drawing) -> None:
        if job.id in self._drawing:
            self._desk.report(job, state)

    async def _deliver(self, job: Job, engine_job: EngineJob) -> None:
        try:
            try:
                images = await wait_for(engine_job.future)
            finally:
                self._drawing.pop(job.id, None)
            self._desk.report(job, Uploading())
            await self._desk.deliver(job, images)
        except Exception as error:  # noqa: BLE001 - one job's failure, told to its owner
            self._end(job, Failed(error))
        else:
            self._end(job)

    def _end(self, job: Job, failure: Failed | None = None) -> None:
        del self._taken[job.id]
        self._slots.release()
        if failure is not None:
            self._desk.report(job, failure)

    def _report_places(self) -> None:
        for place, job in enumerate(self._line.waiting(), start=1):
            self._report_place(place, job)

    def _report_place(self, place: int, job: Job) -> None:
        self._desk.report(job, Waiting(place, warming_up=not self._engine.ready.done()))


def _with_size(job: Job, pipeline: Pipeline) -> Job:
    if job.size_known:
        return job
    width_px, height_px = pipeline.sizes[0]
    request = replace(job.request, width_px=width_px, height_px=height_px)
    return replace(job, request=request, size_known=True)
