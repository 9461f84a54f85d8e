"""The pool of engines, as a bot sees it."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final, TypeVar

from bot.core.ports.engine import Attempt, OnProgress
from bot.engines.pool.attending import PoolTurns
from bot.engines.pool.calls import Calls
from bot.engines.pool.described import TURNS, Beat, kind_and_unique
from bot.engines.pool.drawings import Drawn, Key, Sent
from bot.engines.pool.model import PoolModel
from bot.engines.pool.replica import Failed
from bot.errors import EngineGoneError, UnknownDrawingError
from bot.shared.retry import Sleep
from sdxl_engine.errors import EngineClosedError, EngineError, JobCancelledError
from sdxl_engine.request import NO_PICTURES, ImageRequest, Images, Pictures, Progress
from sdxl_engine.sentence import say

T = TypeVar("T")

log = logging.getLogger(__name__)

_FIRST_WORD_S: Final = 30.0  # an engine that is there says at once that it has a job
_ASKS_EVERY_S: Final = 0.5  # for a drawing, while some engines may not have been heard of


class PoolDrawing:
    """Implements `Drawing`: an engine's, watched from here; to be made on an event loop.

    request  None: it is only watched
    """

    def __init__(
        self,
        engine: "PoolEngine",
        attempt: Attempt,
        request: ImageRequest | None,
        pictures: Pictures,
        on_progress: OnProgress,
    ) -> None:
        self._engine = engine
        self.attempt = attempt
        self._request = request
        self._pictures = pictures
        self._on_progress = on_progress
        self._sign_s = engine.clock()
        loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[bool] = loop.create_future()
        self._sent: asyncio.Future[bool] = loop.create_future()
        self._images: asyncio.Future[Images] = loop.create_future()
        self._images.add_done_callback(_looked_at)
        self._task = asyncio.create_task(self._watch(), name=f"watch {attempt.job_id}")

    @property
    def silent_s(self) -> float:
        """See `Drawing.silent_s`; since the engine said anything."""
        return 0.0 if self._images.done() else self._engine.clock() - self._sign_s

    async def is_there(self) -> bool:
        """Wait until it is known whether the engine has it, or had it."""
        if await asyncio.shield(self._begun):
            return True
        return not isinstance(self._images.exception(), UnknownDrawingError | EngineGoneError)

    async def sent(self) -> bool:
        """See `Drawing.sent`."""
        return await asyncio.shield(self._sent)

    async def images(self) -> Images:
        """See `Drawing.images`."""
        return await asyncio.shield(self._images)

    def cancel(self) -> None:
        """See `Drawing.cancel`."""
        self._end(JobCancelledError(say("The job was cancelled.")))
        self._task.cancel()  # what it may not have told the engine yet, it never will
        self._engine.let_go(self.attempt.job_id)

    def abandon(self) -> None:
        """Watch it no longer; the engine goes on with it."""
        self._task.cancel()
        self._end(EngineClosedError(say("The bot is stopping.")))

    async def _watch(self) -> None:
        attempt = self.attempt
        key = Key(attempt.job_id, attempt.number)
        kind, _ = kind_and_unique(attempt.engine)
        stream = self._engine.calls.stream(
            kind, "watch", attempt.engine, key, self._request, self._pictures
        )
        try:
            async with aclosing(stream) as told:
                async with asyncio.timeout(_FIRST_WORD_S) as first_word:
                    async for one in told:
                        first_word.reschedule(None)
                        self._hear(one)
        except EngineGoneError as error:
            self._engine.is_gone(attempt)
            self._end(error)
        except TimeoutError:
            self._engine.let_go(attempt.job_id)  # it may have begun all the same
            self._engine.is_gone(attempt)
            self._end(EngineGoneError("The engine did not say that it has the job.", begun=False))
        except Exception:
            log.exception("a drawing could not be watched")
        finally:  # whatever it was, nobody waits for ever; what is settled stays
            self._end(EngineGoneError("The engine said nothing of what became of the job."))

    def _hear(self, told: object) -> None:
        self._sign_s = self._engine.clock()
        match told:
            case Progress():
                _settle(self._begun, True)
                if not self._images.done():
                    self._show(told)
            case Sent():
                _settle(self._sent, True)
            case Drawn(request, images, card):
                self._engine.known.remember(request, card)
                _settle(self._sent, True)
                _settle(self._images, images)
            case Failed(error):
                self._end(error)

    def _show(self, progress: Progress) -> None:
        try:
            self._on_progress(progress)
        except Exception:  # it costs nobody their images
            log.exception("progress could not be shown")

    def _end(self, error: Exception) -> None:
        _settle(self._begun, False)
        _settle(self._sent, False)
        if not self._images.done():
            self._images.set_exception(error)


class PoolEngine:
    """Implements `Engine`: all engines of a pool.

    calls     reach it
    turns     say which engines there are; what is over for them, is let go of here
    outlives  whether the engines go on when this process ends
    clock     seconds
    """

    def __init__(
        self,
        calls: Calls,
        turns: PoolTurns,
        *,
        outlives: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.outlives = outlives
        self.calls = calls
        self.clock = clock
        self.known = PoolModel(calls)
        self._turns = turns
        self._sleep = sleep
        self._is_known = asyncio.Event()
        self._drawings: dict[str, tuple[Attempt, PoolDrawing]] = {}
        self._spoken: set[asyncio.Task[None]] = set()
        turns.on_engines = self._know
        turns.on_over = self.let_go

    @property
    def model(self) -> PoolModel | None:
        """See `Engine.model`."""
        return self.known if self._is_known.is_set() else None

    @property
    def failure(self) -> EngineError | None:
        """See `Engine.failure`: there may be an engine at any time."""
        return None

    @property
    def silent_s(self) -> float:
        """See `Engine.silent_s`: the pool replaces an engine that hangs by itself."""
        return 0.0

    @property
    def is_alive(self) -> bool:
        """Whether a thread still runs; there is none."""
        return False

    async def run(self) -> None:
        """Be in touch with the pool, until it is cancelled."""
        self.known.loop = asyncio.get_running_loop()
        await self._turns.run()

    async def warm(self) -> PoolModel:
        """See `Engine.warm`."""
        await self._is_known.wait()
        return self.known

    def submit(
        self,
        attempt: Attempt,
        request: ImageRequest,
        on_progress: OnProgress,
        pictures: Pictures = NO_PICTURES,
    ) -> PoolDrawing:
        """See `Engine.submit`."""
        return self._watched(attempt, request, on_progress, pictures)

    async def resume(self, job_id: str, number: int, on_progress: OnProgress) -> PoolDrawing | None:
        """See `Engine.resume`."""
        await self._is_known.wait()  # what they draw with: the images are looked at by that
        place = await self._where(Key(job_id, number))
        if place is None:
            return None
        drawing = self._watched(Attempt(job_id, number, place), None, on_progress, NO_PICTURES)
        return drawing if await drawing.is_there() else None

    def let_go(self, job_id: str) -> None:
        """Nobody here wants it any more, whether it is drawn or was."""
        attempt, _ = self._drawings.pop(job_id, (None, None))
        if attempt is not None:
            kind, _ = kind_and_unique(attempt.engine)
            key = Key(attempt.job_id, attempt.number)
            self._tell(kind, "let_go", attempt.engine, key)

    def is_gone(self, attempt: Attempt) -> None:
        """Its engine could not be reached: nobody need try that again for a while."""
        self._drawings.pop(attempt.job_id, None)
        self._turns.gone(attempt.engine)

    async def close(self, timeout_s: float) -> None:
        """Watch no longer; what engines draw goes on. Waits so long until that is said."""
        for _, drawing in self._drawings.values():
            drawing.abandon()
        if self._spoken:
            await asyncio.wait(self._spoken, timeout=timeout_s)

    def _watched(
        self,
        attempt: Attempt,
        request: ImageRequest | None,
        on_progress: OnProgress,
        pictures: Pictures,
    ) -> PoolDrawing:
        drawing = PoolDrawing(self, attempt, request, pictures, on_progress)
        self._drawings[attempt.job_id] = attempt, drawing
        return drawing

    async def _where(self, key: Key) -> str | None:
        while True:
            with suppress(EngineGoneError):
                place: str | None = await self.calls.call(TURNS, "where", key)
                return place
            await self._sleep(_ASKS_EVERY_S)

    def _know(self, engines: tuple[Beat, ...]) -> None:
        self.known.know(engines)
        if engines:
            self._is_known.set()

    def _tell(self, deployment: str, method: str, *args: object) -> None:
        """Say something that nobody waits for."""

        async def say_it() -> None:
            try:
                await self.calls.call(deployment, method, *args)
            except EngineGoneError as error:
                log.debug("%s was not heard: %s", method, error)

        task = asyncio.create_task(say_it(), name=method)
        self._spoken.add(task)
        task.add_done_callback(self._spoken.discard)


def _settle(future: "asyncio.Future[T]", value: T) -> None:
    if not future.done():
        future.set_result(value)


def _looked_at(future: "asyncio.Future[Images]") -> None:
    """Nobody may wait for it: what it ended with is said elsewhere, too."""
    if not future.cancelled():
        future.exception()
