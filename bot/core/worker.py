"""The dispatcher: takes jobs in, has them drawn one by one, has them delivered.

What it does to a job it writes into the ledger first, so that wherever it is cut off, the next
start goes on from there.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from bot.core.job import FINAL, Job, Record, State, StoredImage, cost_of, new_job_id
from bot.core.ports.ledger import Ledger
from bot.core.queue.waiting import Line
from bot.core.stage import Drawing, Paused, Stage, Uploading, Waiting
from bot.errors import (
    IllegalMoveError,
    JobRefusedError,
    LedgerError,
    PictureLostError,
    UndeliveredError,
)
from bot.gallery.disk import Album, Picture
from bot.operations.metrics import Metrics
from bot.shared.futures import wait_for
from bot.shared.job_context import in_job
from bot.shared.retry import Backoff, persist
from sdxl_engine import (
    EngineError,
    EngineJob,
    EngineThread,
    ImageRequest,
    Images,
    InvalidRequestError,
    JobCancelledError,
    Pipeline,
    Progress,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
# The pictures of a job for one try to show them; raises PictureLostError.
LendPictures = Callable[[], AbstractAsyncContextManager[tuple[Picture, ...]]]

# While one job's pictures are fetched and stored the next is drawn. More finished jobs than this
# hold the engine up: each keeps its raw pictures in memory.
_MAX_STORING: Final = 4
_MAX_UPLOADS: Final = 8  # each keeps its files in memory
_STORERS: Final = 2
# There is no time for more; the others read it when their place is restored.
_TOLD_OF_RESTART: Final = 100
_DISK_BACKOFF: Final = Backoff(first_s=0.5, limit_s=30.0)
_OUR_FAULT: Final = (
    "Something went wrong, and it has been noted. Ask again; if it stays, tell the bot's owner: "
    "job {}."
)
_NOT_SHOWN: Final = (
    "Discord did not take the pictures, and it has been noted. /jobs still has them."
)
_NO_ROOM: Final = (
    "The bot's disk is full or cannot be written. Your pictures are drawn and wait for room."
)
_RESTARTING: Final = "The bot is restarting. Your place in line is kept."


class Desk(Protocol):
    """Where people hear of their jobs."""

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        """Show where the job stands; called on the event loop, returns at once."""

    def places_changed(self) -> None:
        """Somebody came, left or was begun: waiting jobs may stand elsewhere now."""

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        """Show the pictures, and come back when they are seen.

        lend  gives them for one try; its turn and their memory are for others between two

        However often it is called, they are there once. Raises UndeliveredError, PictureLostError.
        """

    async def tell(self, job: Job, sentence: str) -> None:
        """Say how the job ended, and come back when it is said or nobody can read it."""


class Dispatcher:
    """Feeds the engine and keeps the ledger.

    engine  started by somebody else, perhaps still loading
    line    what waits; the desk may look at it
    album   keeps the pictures
    desk    hears of every stage of every job
    typical  what costs 1, in the model's own size
    """

    def __init__(
        self,
        engine: EngineThread,
        ledger: Ledger,
        line: Line,
        album: Album,
        desk: Desk,
        metrics: Metrics,
        *,
        typical: ImageRequest,
    ) -> None:
        self._typical = typical
        self._engine = engine
        self._ledger = ledger
        self._line = line
        self._album = album
        self._desk = desk
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[str, Job] = {}  # out of the line, and not drawn yet
        self._drawing: dict[str, EngineJob] = {}  # of these, what the engine has not given yet
        self._storing = asyncio.Semaphore(_MAX_STORING)
        self._uploads = asyncio.Semaphore(_MAX_UPLOADS)
        self._storers = ThreadPoolExecutor(_STORERS, thread_name_prefix="store")
        self._restored: set[str] = set()  # waiting since before this process
        self._disk_trouble = False
        self._closing_words = _RESTARTING
        self._drained = False

    @property
    def disk_is_writable(self) -> bool:
        """Whether what had to be written last could be."""
        return not self._disk_trouble

    def restore(self, records: Iterable[Record]) -> None:
        """Take up what an earlier process left; before `start`, on the event loop."""
        # What was with the engine already comes first.
        for record in sorted(records, key=lambda record: -record.attempt):
            job = record.job
            with in_job(job.id):
                log.info("restored, %s", record.state)
                if record.state is State.QUEUED:
                    self._restored.add(job.id)
                    self._wait(job)
                elif record.state is State.DRAWN:
                    self._spawn(self._deliver(job, record.images), job)
                else:
                    self._spawn(self._tell(job, record.reason), job)
        self._desk.places_changed()

    def start(self) -> "asyncio.Task[None]":
        """Begin to work; the task ends after `drain`, or with the engine's EngineStartError."""
        self._task = asyncio.create_task(self._run(), name="dispatcher")
        return self._task

    async def admit(self, job: Job) -> None:
        """Take a job in; when this returns it is on the disk and in line.

        Raises InvalidRequestError, EngineStartError, JobRefusedError, KnownJobError, LedgerError;
        nothing of the job is kept then.
        """
        if self._engine.ready.done():
            pipeline = self._engine.ready.result()
            job = self._measured(job, pipeline)
            pipeline.check(job.request)
        if self._line.closed:
            raise JobRefusedError("The bot is restarting. Ask again in a minute.")
        try:
            await self._ledger.accept(job)
        except LedgerError:
            self._disk_trouble = True
            raise
        self._disk_trouble = False
        self._wait(job)
        self._desk.places_changed()

    async def cancel(self, job_id: str, reason: str) -> None:
        """Stop a job that waits or is drawn; `reason` is what its card says then.

        Raises UnknownJobError, IllegalMoveError, LedgerError.
        """
        record = await self._ledger.move(job_id, State.CANCELLED, reason=reason)
        self._line.remove(job_id)
        self._running.pop(job_id, None)
        engine_job = self._drawing.pop(job_id, None)
        if engine_job is not None:
            engine_job.cancel()
        with in_job(job_id):
            log.info("cancelled")
            self._metrics.ended(State.CANCELLED)
            self._spawn(self._tell(record.job, reason), record.job)
        self._desk.places_changed()

    async def requeue(self, job_id: str) -> str:
        """Ask for an ended job again, as a new one on the same card; returns the new id.

        Raises UnknownJobError, IllegalMoveError, LedgerError.
        """
        record = await self._ledger.get(job_id)
        if record.state not in FINAL - {State.DELIVERED} or not record.told:
            raise IllegalMoveError(f"The job {job_id} is {record.state}; it needs no second try.")
        job = replace(record.job, id=new_job_id(), interaction_id=None, again_of=job_id)
        await self._ledger.insert(job)
        with in_job(job.id):
            log.info("asked for again, after %s", job_id)
        self._wait(job)
        self._desk.places_changed()
        return job.id

    async def drain(self, grace_s: float, *, stuck: str = "") -> None:
        """Stop: what waits stays in the ledger, what runs gets `grace_s` seconds.

        What is not drawn by then goes back to the line, and what is not delivered stays drawn: the
        next start goes on with both.

        stuck  the engine hangs, and this sentence says so: there is no grace, and it is held
               against the jobs that it has
        """
        self._closing_words = stuck or _RESTARTING
        self._line.close()
        for job in itertools.islice(self._line, _TOLD_OF_RESTART):
            self._desk.show(job, Paused(self._closing_words), at_once=True)
        if self._engine.ready.done() and not stuck:
            await self._settle(grace_s)
        self._drained = True
        doing = {*self._tasks, *([self._task] if self._task else [])}
        drawing = dict(self._drawing)
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)
        for engine_job in drawing.values():
            engine_job.cancel()
        for job in self._running.values():
            self._desk.show(job, Paused(self._closing_words), at_once=True)
            if not stuck or job.id not in drawing:
                with suppress(IllegalMoveError, LedgerError):  # then recovery sees to it
                    await self._ledger.move(job.id, State.QUEUED, blameless=True)
        self._running.clear()
        self._storers.shutdown(wait=False, cancel_futures=True)

    async def _settle(self, grace_s: float) -> None:
        """Let what is under way come to its end, as far as the time goes."""
        until_s = asyncio.get_running_loop().time() + grace_s
        while doing := {*self._tasks, *([self._task] if self._task else [])}:
            left_s = until_s - asyncio.get_running_loop().time()
            _, unfinished = await asyncio.wait(doing, timeout=max(0.0, left_s))
            if unfinished or not self._tasks:
                return

    async def _run(self) -> None:
        try:
            pipeline = await wait_for(self._engine.ready)
        except EngineError as error:
            for waiting in itertools.islice(self._line, _TOLD_OF_RESTART):
                sentence = f"{error} Your place in line is kept until the bot is mended."
                self._desk.show(waiting, Paused(sentence), at_once=True)
            raise
        for waiting in self._line:
            measured = self._measured(waiting, pipeline)
            self._line.replace(measured)
            self._show_waiting(measured)
        while True:
            await self._storing.acquire()
            job = await self._line.take()
            if job is None:
                return
            self._restored.discard(job.id)
            self._desk.places_changed()
            with in_job(job.id):
                try:
                    engine_job = await self._draw(job, pipeline)
                except BaseException:
                    self._storing.release()
                    raise
                if engine_job is None:
                    self._storing.release()
                else:
                    self._spawn(self._finish(job, engine_job), job)
                del engine_job  # it holds the pictures

    async def _draw(self, job: Job, pipeline: Pipeline) -> EngineJob | None:
        """Have it drawn; returns as soon as the engine is free for the next."""
        try:
            pipeline.check(job.request)
        except InvalidRequestError as error:
            await self._end(job, State.REJECTED, str(error))
            return None
        self._running[job.id] = job  # before it is written: a stop must know of it
        try:
            await self._surely(
                lambda: self._ledger.move(job.id, State.RUNNING, request=job.request)
            )
        except IllegalMoveError:  # cancelled in this very moment
            self._running.pop(job.id, None)
        if job.id not in self._running:  # or in the next
            return None
        try:
            engine_job = self._engine.submit(job.request, self._progress_of(job))
        except EngineError as error:
            await self._end(job, State.FAILED, str(error))
            return None
        self._drawing[job.id] = engine_job
        self._line.begin(job)
        self._show_running(job, Drawing(0, job.request.num_inference_steps))
        await wait_for(engine_job.sent)
        future = engine_job.future
        self._line.finish(drawn=not future.done() or future.exception() is None)
        return engine_job

    async def _finish(self, job: Job, engine_job: EngineJob) -> None:
        """From the engine to the disk, and on to the person."""
        try:
            stored = await self._store(job, engine_job)
        finally:
            self._storing.release()
        if stored is None:
            return
        try:
            record = await self._surely(
                lambda: self._ledger.move(job.id, State.DRAWN, images=stored)
            )
        except IllegalMoveError:  # cancelled meanwhile
            await asyncio.to_thread(self._album.forget, [job.id])
            return
        finally:
            self._running.pop(job.id, None)
        self._metrics.drawn(record)
        await self._deliver(job, stored)

    async def _store(self, job: Job, engine_job: EngineJob) -> tuple[StoredImage, ...] | None:
        try:
            images = await wait_for(engine_job.future)
            self._show_running(job, Uploading())
            return await self._surely(
                partial(self._on_storer, job, images),
                on_trouble=lambda: self._show_running(job, Paused(_NO_ROOM)),
            )
        except JobCancelledError:  # whoever cancelled it has seen to the rest
            return None
        except EngineError as error:
            await self._end(job, State.FAILED, str(error))
            return None
        except Exception:  # one job's failure, told to its owner
            log.exception("the pictures could not be made")
            await self._end(job, State.FAILED, _OUR_FAULT.format(job.id))
            return None
        finally:
            self._drawing.pop(job.id, None)

    async def _on_storer(self, job: Job, images: Images) -> tuple[StoredImage, ...]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._storers, self._album.store, job, images)

    async def _deliver(self, job: Job, stored: tuple[StoredImage, ...]) -> None:
        try:
            await self._desk.deliver(job, partial(self._lend, job.id, stored))
        except PictureLostError as error:
            log.warning("%s It is drawn again.", error)
            await self._surely(lambda: self._ledger.move(job.id, State.QUEUED))
            self._wait(job)
            self._desk.places_changed()
        except UndeliveredError as error:
            await self._end(job, State.UNDELIVERED, str(error))
        except Exception:  # as above
            log.exception("the pictures could not be delivered")
            await self._end(job, State.UNDELIVERED, _NOT_SHOWN)
        else:
            record = await self._surely(lambda: self._ledger.move(job.id, State.DELIVERED))
            self._metrics.delivered(record)
            log.info("delivered %d pictures", len(stored))

    @asynccontextmanager
    async def _lend(
        self, job_id: str, stored: tuple[StoredImage, ...]
    ) -> AsyncIterator[tuple[Picture, ...]]:
        async with self._uploads:
            yield await asyncio.to_thread(self._album.read, job_id, stored)

    async def _end(self, job: Job, state: State, sentence: str) -> None:
        with suppress(IllegalMoveError):  # it was cancelled first, and that has been told
            record = await self._surely(lambda: self._ledger.move(job.id, state, reason=sentence))
            log.info("%s: %s", state, sentence)
            self._metrics.ended(state)
            self._running.pop(job.id, None)
            # Not waited for: it may take as long as Discord is away.
            self._spawn(self._tell(record.job, sentence), job)

    async def _tell(self, job: Job, sentence: str) -> None:
        await self._desk.tell(job, sentence)
        await self._surely(lambda: self._ledger.tell(job.id))

    def _measured(self, job: Job, pipeline: Pipeline) -> Job:
        """In the model's own size where nobody chose one, and with its cost."""
        width_px, height_px = pipeline.sizes[0]
        request = job.request
        if not job.size_known:
            request = replace(request, width_px=width_px, height_px=height_px)
        typical = replace(self._typical, width_px=width_px, height_px=height_px)
        return replace(job, request=request, size_known=True, cost=cost_of(request, typical))

    def _wait(self, job: Job) -> None:
        ready = self._engine.ready
        if ready.done() and ready.exception() is None:  # else `_run` sees to it
            job = self._measured(job, ready.result())
        self._line.add(job)
        if self._line.closed:
            self._desk.show(job, Paused(self._closing_words), at_once=True)
        else:
            self._show_waiting(job)

    def _show_waiting(self, job: Job) -> None:
        warming_up = not self._engine.ready.done()
        restored = job.id in self._restored
        self._desk.show(job, Waiting(warming_up=warming_up, restored=restored))

    def _progress_of(self, job: Job) -> Callable[[Progress], None]:
        loop = asyncio.get_running_loop()

        def on_progress(progress: Progress) -> None:
            stage = Drawing(progress.step, progress.num_inference_steps, progress.previews)
            with suppress(RuntimeError):  # the loop has gone; nobody is left to tell
                loop.call_soon_threadsafe(self._show_running, job, stage)

        return on_progress

    def _show_running(self, job: Job, stage: Stage) -> None:
        if job.id in self._running:  # and was not cancelled, which its card says by now
            self._desk.show(job, stage)

    async def _surely(
        self, action: Callable[[], Awaitable[T]], on_trouble: Callable[[], None] = lambda: None
    ) -> T:
        """Write to the disk; while it cannot be written to, wait until it can."""

        async def tried() -> T:
            try:
                result = await action()
            except (LedgerError, OSError):
                self._disk_trouble = True
                on_trouble()
                raise
            self._disk_trouble = False
            return result

        return await persist(
            tried,
            "writing to the disk",
            is_passing=lambda error: isinstance(error, LedgerError | OSError),
            backoff=_DISK_BACKOFF,
        )

    def _spawn(self, work: Coroutine[Any, Any, None], job: Job) -> None:
        if self._drained:  # the next start finds in the ledger what is left to do
            work.close()
            return
        with in_job(job.id):
            task = asyncio.create_task(work, name=f"job {job.id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed: %r", task.get_name(), error, exc_info=error)
