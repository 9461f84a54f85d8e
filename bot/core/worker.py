"""The worker: a job's way from the queue through the engine and the gallery to its home.

What it does to a job it writes into the ledger first, so that wherever it is cut off, the next
start goes on from there.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, TypeVar

from bot.core import policy
from bot.core.audit import Deed
from bot.core.case import Case, case_of
from bot.core.clerk import Clerk
from bot.core.events import Begun, Drawn, Ended, Events, Lost
from bot.core.explain import our_fault
from bot.core.gate import Gate, Ruling, by_rules
from bot.core.job import Job, Origin, Record, State, StoredImage, cost_of
from bot.core.ports.engine import Attempt, Engine
from bot.core.ports.engine import Drawing as EngineDrawing
from bot.core.ports.gallery import Gallery, Picture
from bot.core.ports.home import Home
from bot.core.ports.ledger import Ledger
from bot.core.queue.waiting import JobQueue
from bot.core.stage import Drawing, InReview, Paused, Stage, Uploading, Waiting
from bot.core.wish import SOME_SIZE, Usual, Wish
from bot.errors import (
    CardGoneError,
    CardOverError,
    EngineGoneError,
    EngineStuckError,
    GalleryError,
    IllegalMoveError,
    LedgerError,
    PictureLostError,
    UndeliveredError,
)
from bot.shared.job_context import in_job
from bot.shared.retry import Backoff, Sleep, persist
from bot.shared.shares import Shares
from sdxl_engine.errors import EngineError, InvalidRequestError, JobCancelledError
from sdxl_engine.request import NO_PICTURES, ImageRequest, Pictures, Progress
from sdxl_engine.sentence import say, sentence_of, sentences

log = logging.getLogger(__name__)

T = TypeVar("T")
Kept = Literal["records", "pictures"]  # each may lie on a disk of its own

# Uploads, each with its files in memory: few at once, for they share the line. A slow one makes
# room for others after a while, and no community has more than its share.
_UPLOADS: Final = 8
_SLOW_UPLOADS: Final = 56
_SLOW_AFTER_S: Final = 3.0
_SHARE_OF_UPLOADS: Final = 4
# There is no time for more; the others read it when their place is restored.
_TOLD_OF_RESTART: Final = 100
_DISK_BACKOFF: Final = Backoff(first_s=0.5, limit_s=30.0)
# For so long a picture to start from is waited for: whatever is to be drawn next waits behind it.
_FETCH_S: Final = 60.0
_NOT_SHOWN: Final = say(
    "The pictures could not be shown, and it has been noted. /jobs still has them."
)
_NO_ROOM: Final = say(
    "The bot's disk is full or cannot be written. Your pictures are drawn and wait for room."
)
RESTARTING: Final = say("The bot is restarting. Your place in the queue is kept.")
# For so long a process must have been well that is to prove something against a job.
_PROVEN_S: Final = 10.0
_HELD: Final = say(
    "The bot broke down twice while this was drawn, by chance or not. It is tried once more as "
    "soon as the bot has been well for a while."
)
_HEARD: Final = say("The bot was restarted in that very moment, and your wish was lost. Ask again.")
_SOURCE_LOST: Final = say(
    "The picture that this starts from is no longer on the bot's disk. Bring it again."
)
_SOURCE_AWAY: Final = say(
    "Pictures can be neither kept nor fetched now. Tell the bot's owner, and ask again later."
)
_CARD_DELETED: Final = say("Its message was deleted, and so it was not shown.")
_OVER_BEFORE: Final = say("It was over already when the bot's records were restored from a copy.")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A job that an engine draws."""

    job: Job
    request: ImageRequest
    attempt: Attempt
    drawing: EngineDrawing


class Worker:
    """Feeds the engines and keeps the ledger.

    engine      started by somebody else, perhaps still loading
    queue       what waits; homes may look at it
    homes       hear of every stage of every job of theirs, by name
    gate        says what may be shown
    clerk       is woken where moderators are to see something
    usual       what is drawn where a wish leaves it open; such a job costs 1
    last_words  what a card says of a job that waits, or is drawn, when the bot stops
    sleep       until this process has been well for a while
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        queue: JobQueue,
        gallery: Gallery,
        homes: Mapping[str, Home],
        events: Events,
        *,
        gate: Gate,
        clerk: Clerk,
        usual: Usual,
        last_words: str = RESTARTING,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._gate = gate
        self._clerk = clerk
        self._clock = clock
        self._usual = usual
        self._sleep = sleep
        self._engine = engine
        self._ledger = ledger
        self._queue = queue
        self._gallery = gallery
        self._homes = homes
        self._events = events
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[str, Job] = {}  # out of the queue, and not drawn yet
        self._fetching: dict[str, asyncio.Task[Pictures]] = {}  # of these, what they start from
        self._drawing: dict[str, EngineDrawing] = {}  # of these, what the engine has not given yet
        self._uploads = Shares(
            _UPLOADS, _SHARE_OF_UPLOADS, slow_after_s=_SLOW_AFTER_S, slow=_SLOW_UPLOADS
        )
        self._restored: set[str] = set()  # waiting since before this process
        self._held: dict[str, tuple[Job, asyncio.Task[None]]] = {}  # not in the queue yet
        self._disk_trouble: set[Kept] = set()
        self._last_words = last_words
        self._drained = False
        self._typical: ImageRequest | None = None  # what costs 1; None while there is no model

    @property
    def disk_is_writable(self) -> bool:
        """Whether what had to be written last could be."""
        return not self._disk_trouble

    @property
    def typical(self) -> ImageRequest | None:
        """What is drawn where a wish leaves everything open; None while there is no model."""
        return self._typical

    @property
    def takes_jobs(self) -> bool:
        """Whether what is taken in now will be drawn in this process."""
        return not self._queue.closed

    def restore(
        self, records: Iterable[Record], unanswered: Iterable[tuple[Origin, str]] = ()
    ) -> None:
        """Take up what another process left, or changed of what this one has in hand.

        On the event loop; what an earlier process of this bot left, before `start`.

        unanswered  where somebody wished something, and no job came of it; and their locale
        """
        # What was with the engine already comes first.
        for record in sorted(records, key=lambda record: -record.attempt):
            job = record.job
            with in_job(job.id):
                if record.set_aside:
                    self._events.tell(Ended(record))
                if not self.serves(job):
                    log.warning("left alone: the bot is not in its home, %s, now", job.home)
                    continue
                log.info("restored, %s", record.state)
                if record.state is State.QUEUED:
                    self._restored.add(job.id)
                    self._let_wait(record)
                elif record.state is State.RUNNING:
                    if job.id not in self._running:  # or there is other news of it
                        self._running[job.id] = job
                        self._spawn(self._resume(job, record.attempt), job.id)
                elif record.state is State.DRAWN:
                    self._spawn(self._deliver(job, record.images), job.id)
                elif record.state is State.REVIEW:
                    self._show(job, InReview())
                else:
                    self._let_go(job)
                    words = self._homes[job.home].forget(job) if record.told else self._tell(record)
                    self._spawn(words, job.id)
        for origin, locale in unanswered:
            if origin.venue.home in self._homes:
                self._spawn(self._apologize(origin, locale))
        self._places_changed()

    def start(self) -> "asyncio.Task[None]":
        """Begin to work; the task ends after `drain`, or with the engine's EngineStartError."""
        self._task = asyncio.create_task(self._run(), name="worker")
        return self._task

    def serves(self, job: Job) -> bool:
        """Whether the bot is in the job's home now."""
        return job.home in self._homes

    async def prepare(self, wish: Wish) -> ImageRequest:
        """What the engine would be asked for, as far as it can be known and checked now.

        Raises InvalidRequestError.
        """
        model = self._engine.model
        request = wish.resolve(SOME_SIZE if model is None else model.sizes[0])
        if model is not None:
            request = model.resolved(request)
            # On a thread: the first to name a LoRA has its file looked at.
            await asyncio.to_thread(model.check, request)
        return request

    def enqueue(self, job: Job, *, alone: bool = False) -> None:
        """Let a job wait that is in the ledger.

        alone  something broke down under it before: it is drawn with nothing else in hand
        """
        self._queue.add(job, alone=alone)
        self._measure(job)
        if self._queue.closed:
            self._show(job, Paused(self._last_words), at_once=True)
        else:
            self._show_waiting(job)
        self._places_changed()

    def hand_over(self, record: Record) -> None:
        """Bring its home, or the moderators, pictures that are drawn, as the ledger holds it.

        Where another bot has the job in hand, that one does: it hears of it by the ledger.
        """
        if not self._has(record):
            return
        if record.state is State.REVIEW:
            self._show(record.job, InReview())
            self._clerk.wake()
        else:
            self._spawn(self._deliver(record.job, record.images), record.job.id)

    def withdraw(self, record: Record) -> None:
        """Let go of a job that the ledger holds as over, and say so; as `hand_over`."""
        self._let_go(record.job)
        self._clerk.wake()  # moderators may have had it before them
        with in_job(record.job.id):
            log.info("%s: %s", record.state, record.reason)
            self._events.tell(Ended(record))
            if self._has(record):
                self._spawn(self._tell(record), record.job.id)
        self._places_changed()

    def _has(self, record: Record) -> bool:
        """Whether it is in this bot's hands, so that its card is this bot's to edit."""
        return record.bot == self._ledger.bot

    def card_gone(self, job: Job) -> None:
        """Its card was deleted before it was over: it shall not be drawn, nor shown anywhere."""
        self._spawn(self._close_silently(job, State.CANCELLED, _CARD_DELETED), job.id)

    def card_over(self, job: Job, *, shows_pictures: bool) -> None:
        """Its card tells its end, of which the ledger, restored from a copy, knows nothing."""
        state = State.DELIVERED if shows_pictures else State.CANCELLED
        reason = "" if shows_pictures else _OVER_BEFORE
        self._spawn(self._close_silently(job, state, reason), job.id)

    async def drain(
        self, grace_s: float, *, stuck: EngineStuckError | None = None, disowned: bool = False
    ) -> None:
        """Stop: what waits stays in the ledger, what runs gets `grace_s` seconds.

        What is not drawn by then goes back to the queue, and what is not delivered stays drawn: the
        next start goes on with both.

        stuck  the engine hangs: there is no grace, and it is held against the jobs under which it
               fell silent, and no others
        disowned  another bot has in hand what this one had: there is no grace, nothing is written,
                  and their cards are that one's to edit
        """
        if disowned:
            await self._drop_all()
            return
        silent_s = {job_id: drawing.silent_s for job_id, drawing in self._drawing.items()}
        self._last_words = sentence_of(stuck) if stuck else self._last_words
        self._queue.close()
        held = tuple(self._held.values())
        for _, waiting in held:
            waiting.cancel()
        for job in itertools.islice((*(job for job, _ in held), *self._queue), _TOLD_OF_RESTART):
            self._show(job, Paused(self._last_words), at_once=True)
        await asyncio.gather(*(waiting for _, waiting in held), return_exceptions=True)
        if self._engine.model is not None and not stuck:
            await self._settle(grace_s)
        self._drained = True
        doing = {*self._tasks, *([self._task] if self._task else [])}
        drawing = dict(self._drawing)
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)
        if not self._engine.outlives:
            for engine_drawing in drawing.values():
                engine_drawing.cancel()
        for job in tuple(self._running.values()):  # somebody may cancel one meanwhile
            self._show(job, Paused(self._last_words), at_once=True)
            if job.id in drawing and self._engine.outlives:  # whoever takes it up goes on with it
                continue
            with suppress(IllegalMoveError, LedgerError):  # then recovery sees to it
                if stuck and silent_s.get(job.id, 0.0) > stuck.limit_s:
                    await self._hold_against(job, silent_s[job.id])
                else:
                    await self._ledger.move(job.id, State.QUEUED, blameless=True)
        self._running.clear()

    async def _drop_all(self) -> None:
        self._queue.close()
        self._drained = True
        drawing = tuple(self._drawing.values())
        doing = {*self._tasks, *([self._task] if self._task else [])}
        doing |= {waiting for _, waiting in self._held.values()}
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)
        for engine_drawing in () if self._engine.outlives else drawing:
            engine_drawing.cancel()

    async def _hold_against(self, job: Job, silent_s: float) -> None:
        """The device fell silent under it: it is tried once more, or no more."""
        attempt = (await self._ledger.get(job.id)).attempt
        state, reason = policy.after_hang(attempt, silent_s)
        record = await self._ledger.move(job.id, state, reason=reason)
        if state is State.FAILED:  # the next start says so
            self._events.tell(Ended(record))

    async def surely(
        self,
        action: Callable[[], Awaitable[T]],
        on_trouble: Callable[[], None] = lambda: None,
        *,
        kept: Kept = "records",
    ) -> T:
        """Write or read what is kept; while that cannot be done, wait until it can."""
        return await persist(
            partial(self.noting_trouble, action, on_trouble, kept=kept),
            f"reaching the {kept}",
            is_passing=lambda error: isinstance(error, LedgerError | GalleryError),
            backoff=_DISK_BACKOFF,
        )

    async def noting_trouble(
        self,
        action: Callable[[], Awaitable[T]],
        on_trouble: Callable[[], None] = lambda: None,
        *,
        kept: Kept = "records",
    ) -> T:
        """Write to the disk, once; `disk_is_writable` tells how it went."""
        try:
            result = await action()
        except (LedgerError, GalleryError):
            self._disk_trouble.add(kept)
            on_trouble()
            raise
        self._disk_trouble.discard(kept)
        return result

    async def probe_disk(self) -> None:
        """Find out whether what could not be written can be by now; never raises."""
        with suppress(LedgerError, GalleryError):
            if "records" in self._disk_trouble:
                await self.noting_trouble(self._ledger.probe)
            if "pictures" in self._disk_trouble:
                await self.noting_trouble(self._gallery.probe, kept="pictures")

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
            model = await self._engine.warm()
        except EngineError as error:
            for waiting in itertools.islice(self._queue, _TOLD_OF_RESTART):
                kept = say("Your place in the queue is kept until the bot is mended.")
                sentence = sentences(sentence_of(error), kept)
                self._show(waiting, Paused(sentence), at_once=True)
            raise
        typical = Wish("what people ask for").settled(self._usual)
        self._typical = typical.resolve(model.sizes[0])
        for waiting in self._queue:
            self._measure(waiting)
            self._show_waiting(waiting)
        while (taken := await self._queue.take()) is not None:
            job = taken.job
            self._restored.discard(job.id)
            self._running[job.id] = job  # before anything is awaited: a stop must know of it
            self._spawn(self._draw(job, taken.engine), job.id)
            self._places_changed()

    def _let_wait(self, record: Record) -> None:
        """Put a job back into the queue, as its earlier attempts allow it."""
        if policy.draws_when_proven(record.attempt):
            self._hold(record.job)
        else:
            self.enqueue(record.job, alone=policy.draws_alone(record.attempt))

    def _hold(self, job: Job) -> None:
        """Let it into the queue once this process has been well for a while."""
        waiting = asyncio.create_task(self._enqueue_when_proven(job), name=f"held {job.id}")
        waiting.add_done_callback(self._ended)
        self._held[job.id] = job, waiting
        self._show(job, Paused(_HELD), at_once=True)

    async def _enqueue_when_proven(self, job: Job) -> None:
        with suppress(EngineError):  # then its place is kept, as everybody's
            await self._engine.warm()
            await self._sleep(_PROVEN_S)
            del self._held[job.id]
            self.enqueue(job, alone=True)

    async def _draw(self, job: Job, engine: str) -> None:
        """All of its way from here on; the engine gets its next job as soon as it is free."""
        try:
            began = await self._begin(job, engine)
        except Exception:
            log.exception("it could not be begun")  # one job's failure, told to its owner
            await self._end(job, State.FAILED, our_fault(job.id))
        else:
            if began is not None:
                await self._follow(began)

    async def _begin(self, job: Job, engine: str) -> _Begun | None:
        """Have it drawn; None: it came to another end."""
        ready = await self._ready(job)
        if ready is None or job.id not in self._running:  # cancelled meanwhile
            return None
        request, pictures = ready
        job = replace(job, wish=replace(job.wish, size_px=(request.width_px, request.height_px)))
        self._running[job.id] = job
        try:
            record = await self.surely(
                lambda: self._ledger.move(job.id, State.RUNNING, wish=job.wish)
            )
        except IllegalMoveError:  # in this very moment
            self._runs_no_more(job.id)
            return None
        if job.id not in self._running:  # or in the next
            return None
        attempt = Attempt(job.id, record.attempt, engine)
        try:
            drawing = self._engine.submit(attempt, request, partial(self._progress, job), pictures)
        except EngineError as error:
            await self._end(job, State.FAILED, sentence_of(error))
            return None
        self._events.tell(Begun(job, engine))
        self._queue.begin(job.id, request)
        return _Begun(job, request, attempt, drawing)

    async def _ready(self, job: Job) -> tuple[ImageRequest, Pictures] | None:
        """What the engine is asked for, and what it starts from; None: it came to another end."""
        try:
            request = await self.prepare(job.wish)
            return request, await self._brought(job, request)
        except InvalidRequestError as error:
            await self._end(job, State.REJECTED, sentence_of(error))
        except (PictureLostError, GalleryError) as error:
            log.warning("%s", error)
            is_lost = isinstance(error, PictureLostError)
            await self._end(job, State.FAILED, _SOURCE_LOST if is_lost else sentence_of(error))
        return None

    async def _resume(self, job: Job, number: int) -> None:
        """Go on with what an engine draws, or has drawn, since an earlier process asked for it."""
        steps = job.wish.num_inference_steps or 0  # it is settled, as of all that were begun
        self._show_running(job, Drawing(0, steps, restored=True))
        try:
            drawing = await self._engine.resume(job.id, number, partial(self._progress, job))
            request = await self.prepare(job.wish)
        except EngineError as error:
            await self._end(job, State.FAILED, sentence_of(error))
            return
        if drawing is None:
            await self._put_back(job, EngineGoneError("No engine has it.", begun=True))
        elif job.id not in self._running:  # cancelled meanwhile
            drawing.cancel()
        else:
            log.info("an engine has it still")
            await self._follow(_Begun(job, request, drawing.attempt, drawing))

    async def _follow(self, begun: _Begun) -> None:
        """From the engine to the gallery, and on to the person."""
        job, drawing = begun.job, begun.drawing
        self._drawing[job.id] = drawing
        self._show_running(job, Drawing(0, begun.request.num_inference_steps))
        self._queue.finish(job.id, drawn=await drawing.sent())
        kept = await self._store(begun)
        if kept is not None:
            await self._pass_on(begun, *kept)

    async def _put_back(self, job: Job, error: EngineGoneError) -> None:
        """Its engine is gone: it is drawn on another, if that does not happen too often."""
        log.warning("%s", error)
        with suppress(IllegalMoveError):  # it was cancelled meanwhile
            record = await self.surely(lambda: self._ledger.get(job.id))
            state, reason = State.QUEUED, ""
            if error.begun:
                state, reason = policy.after_crash(record.attempt)
            record = await self.surely(
                lambda: self._ledger.move(
                    job.id, state, reason=reason, blameless=not error.begun, attempt=record.attempt
                )
            )
            self._runs_no_more(job.id)
            if record.state is State.QUEUED:
                self._let_wait(record)
            else:
                self.withdraw(record)

    async def _brought(self, job: Job, request: ImageRequest) -> Pictures:
        """The pictures that it starts from; none once it is cancelled.

        Raises PictureLostError, GalleryError where they cannot be fetched for a while.
        """
        source = request.source
        if source is None:
            return NO_PICTURES
        fetching = asyncio.create_task(
            self.surely(lambda: self._gallery.brought(job.id, source.pictures), kept="pictures"),
            name=f"fetch {job.id}",
        )
        self._fetching[job.id] = fetching
        try:
            async with asyncio.timeout(_FETCH_S):
                await asyncio.wait([fetching])
        except TimeoutError:
            raise GalleryError(_SOURCE_AWAY) from None
        finally:
            self._fetching.pop(job.id, None)
            fetching.cancel()
        return NO_PICTURES if fetching.cancelled() else fetching.result()

    async def _pass_on(
        self, begun: _Begun, ruling: Ruling, stored: tuple[StoredImage, ...]
    ) -> None:
        """From the gallery to the person, or to those who look at it first."""
        job, request = begun.job, begun.request
        job = replace(job, showing=ruling.showing)
        is_held = ruling.measure == "block" or job.showing.awaits_review
        case = await self._case(job, request, ruling, is_held=is_held)
        try:
            record = await self.surely(
                lambda: self._ledger.move(
                    job.id,
                    State.REVIEW if is_held else State.DRAWN,
                    images=stored,
                    showing=job.showing,
                    case=case,
                    deed=None if case is None else by_rules("hold", job, ruling.findings),
                    attempt=begun.attempt.number,
                )
            )
        except IllegalMoveError:  # cancelled meanwhile
            await self.surely(lambda: self._gallery.forget([job.id]), kept="pictures")
            return
        finally:
            self._runs_no_more(job.id)
        job = replace(job, showing=record.job.showing)  # a moderator may have blurred it meanwhile
        self._events.tell(Drawn(record, begun.attempt.engine))
        self._clerk.wake()  # moderators may have seen its prompt, and see its pictures now
        if is_held:
            log.info("a moderator looks at it first")
            self._show(job, InReview())
        else:
            await self._deliver(job, stored)

    async def _case(
        self, job: Job, request: ImageRequest, ruling: Ruling, *, is_held: bool
    ) -> Case | None:
        """What moderators are to see of it; None: nothing."""
        if is_held:
            # A word may be why, and none is where the place has all looked at.
            words = await self.surely(lambda: self._gate.read(job, request))
            return case_of(job, "held", (*words, *ruling.findings), self._clock())
        if ruling.findings:
            return case_of(job, "blurred", ruling.findings, self._clock())
        return None

    async def _store(self, begun: _Begun) -> tuple[Ruling, tuple[StoredImage, ...]] | None:
        """What may be shown of it, and the files; None: it came to another end."""
        job, request = begun.job, begun.request
        try:
            images = await begun.drawing.images()
            ruling = await self.surely(lambda: self._gate.look(job, images, self._engine.model))
            if ruling.refused is not None:  # before anything of it is on the disk
                deed = by_rules("refuse", job, ruling.findings)
                await self._end(job, State.CANCELLED, ruling.refused, deed)
                return None
            self._show_running(job, Uploading())
            stored = await self.surely(
                lambda: self._gallery.store(job, request, images),
                on_trouble=lambda: self._show_running(job, Paused(_NO_ROOM)),
                kept="pictures",
            )
        except JobCancelledError as error:
            if job.id in self._running:  # the engine did, or another bot
                await self._put_back(job, EngineGoneError(str(error)))
            return None  # else whoever cancelled it has seen to the rest
        except EngineGoneError as error:
            self._events.tell(Lost(job, begun.attempt.engine))
            await self._put_back(job, error)
            return None
        except EngineError as error:
            await self._end(job, State.FAILED, sentence_of(error))
            return None
        except Exception:  # one job's failure, told to its owner
            log.exception("the pictures could not be made")
            await self._end(job, State.FAILED, our_fault(job.id))
            return None
        else:
            return ruling, stored
        finally:
            self._drawing.pop(job.id, None)

    async def _deliver(self, job: Job, stored: tuple[StoredImage, ...]) -> None:
        home = self._homes[job.home]
        try:
            await home.deliver(job, partial(self._lend, job, stored))
        except PictureLostError as error:
            log.warning("%s It is drawn again.", error)
            with suppress(IllegalMoveError):  # its card was deleted meanwhile
                await self.surely(lambda: self._ledger.move(job.id, State.QUEUED))
                self.enqueue(job)
        except CardGoneError:
            await self._close_silently(job, State.CANCELLED, _CARD_DELETED)
        except CardOverError:
            await self._close_silently(job, State.CANCELLED, _OVER_BEFORE)
        except UndeliveredError as error:
            await self._end(job, State.UNDELIVERED, sentence_of(error))
        except Exception:  # as above
            log.exception("the pictures could not be delivered")
            await self._end(job, State.UNDELIVERED, _NOT_SHOWN)
        else:
            with suppress(IllegalMoveError):  # its card was deleted in this very moment
                record = await self.surely(lambda: self._ledger.move(job.id, State.DELIVERED))
                log.info("delivered %d pictures", len(stored))
                self._events.tell(Ended(record))
                self._clerk.wake()  # they may be to be shown otherwise by now
                message = record.job.origin.message  # by now it is known
                await self._mention(replace(job, origin=replace(job.origin, message=message)), home)

    async def _mention(self, job: Job, home: Home) -> None:
        if job.parent is not None and job.parent.act == "publish":  # they have just seen to it
            return
        try:
            if job.showing.mention or await self._ledger.wants_mention(job.person):
                await home.mention(job)
        except Exception:  # a courtesy: what was promised is done
            log.exception("the person could not be mentioned")

    @asynccontextmanager
    async def _lend(
        self, job: Job, stored: tuple[StoredImage, ...]
    ) -> AsyncIterator[tuple[Picture, ...]]:
        venue = job.origin.venue
        owner = venue.home, venue.community or venue.channel
        async with AsyncExitStack() as held:

            async def read() -> tuple[Picture, ...]:
                async with AsyncExitStack() as one_try:  # between two the place is for others
                    await one_try.enter_async_context(self._uploads.place(owner))
                    pictures = await self._gallery.read(job.id, stored)
                    held.push_async_exit(one_try.pop_all())
                return pictures

            yield await self.surely(read, kept="pictures")

    async def _end(self, job: Job, state: State, sentence: str, deed: Deed | None = None) -> None:
        with suppress(IllegalMoveError):  # it was cancelled first, and that has been told
            record = await self.surely(
                lambda: self._ledger.move(job.id, state, reason=sentence, deed=deed)
            )
            self._runs_no_more(job.id)
            # Not waited for: telling may take as long as the home is away.
            self.withdraw(record)

    async def _close_silently(self, job: Job, state: State, reason: str) -> None:
        """Bring a job to its end of which nothing can, or need, be said any more."""
        with in_job(job.id), suppress(IllegalMoveError):  # it came to another end first
            if state is State.CANCELLED:  # the pictures first: cut off in between, it is done again
                await self.surely(lambda: self._gallery.forget([job.id]), kept="pictures")
            record = await self.surely(
                lambda: self._ledger.move(job.id, state, reason=reason, silently=True)
            )
            log.info("%s: %s", state, reason or "its card shows its pictures")
            self._let_go(job)
            await self._homes[job.home].forget(job)
            self._clerk.wake()  # as above
            self._events.tell(Ended(record))
            self._places_changed()

    async def _tell(self, record: Record) -> None:
        job = record.job
        try:
            # It may have been stopped while its pictures were being shown.
            takes_back = record.state is State.CANCELLED
            await self._homes[job.home].tell(job, record.reason, takes_back=takes_back)
        except Exception:  # what cannot be said must not be tried at every start, for ever
            log.exception("the last words of a card could not be made")
        if record.state is not State.UNDELIVERED:  # files of a try that a crash cut off
            await self.surely(lambda: self._gallery.forget_drawn([job.id]), kept="pictures")
        await self.surely(lambda: self._ledger.tell(job.id))

    async def _apologize(self, origin: Origin, locale: str) -> None:
        try:
            await self._homes[origin.venue.home].apologize(origin, _HEARD, locale)
        except Exception:  # as above
            log.exception("a wish that was lost could not be answered")
        await self.surely(lambda: self._ledger.answered(origin))

    def _let_go(self, job: Job) -> None:
        self._queue.remove(job.id)
        self._restored.discard(job.id)
        _, waiting = self._held.pop(job.id, (job, None))
        if waiting is not None:
            waiting.cancel()
        self._runs_no_more(job.id)
        drawing = self._drawing.pop(job.id, None)
        if drawing is not None:
            drawing.cancel()

    def _runs_no_more(self, job_id: str) -> None:
        self._running.pop(job_id, None)
        fetching = self._fetching.pop(job_id, None)
        if fetching is not None:
            fetching.cancel()
        self._queue.over(job_id)

    def _measure(self, job: Job) -> None:
        if self._typical is None:  # `_run` sees to it, as soon as the model is known
            return
        with suppress(InvalidRequestError):  # said when its turn has come
            request = job.wish.resolve((self._typical.width_px, self._typical.height_px))
            self._queue.measure(job.id, request, cost_of(request, self._typical))

    def _show_waiting(self, job: Job) -> None:
        warming_up = self._engine.model is None
        restored = job.id in self._restored
        self._show(job, Waiting(warming_up=warming_up, restored=restored))

    def _progress(self, job: Job, progress: Progress) -> None:
        previews = progress.previews
        if previews and not self._gate.passes(job, previews, self._engine.model):
            previews = ()
        self._show_running(job, Drawing(progress.step, progress.num_inference_steps, previews))

    def _show_running(self, job: Job, stage: Stage) -> None:
        if job.id in self._running:  # and was not cancelled, which its card says by now
            self._show(job, stage)

    def _show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        self._homes[job.home].show(job, stage, at_once=at_once)

    def _places_changed(self) -> None:
        for home in self._homes.values():
            home.places_changed()

    def _spawn(self, work: Coroutine[Any, Any, None], job_id: str = "") -> None:
        if self._drained:  # the next start finds in the ledger what is left to do
            work.close()
            return
        with in_job(job_id):
            task = asyncio.create_task(work, name=f"job {job_id}" if job_id else "apology")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed: %r", task.get_name(), error, exc_info=error)
