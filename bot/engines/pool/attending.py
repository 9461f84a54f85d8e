"""A bot's side of the pool's turns: what it tells, in order, and what it hears."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

from bot.core.queue.turns import Entry, Load, Position, Turn
from bot.engines.pool.calls import Calls
from bot.engines.pool.described import TURNS, Beat
from bot.engines.pool.turns import Command, InHand, News, What
from bot.errors import EngineGoneError
from bot.shared.retry import Backoff, Sleep

log = logging.getLogger(__name__)

_NOTHING: Final = Load(0, 0, None)
_BACKOFF: Final = Backoff(first_s=0.2, limit_s=5.0)
# Each call costs milliseconds, and hardly a turn hangs on these (that of a suspect, which is drawn
# alone, on what is over): they wait for others for so long.
_AT_LEISURE: Final[Collection[What]] = {"begin", "over", "measure"}
_COMPANY_S: Final = 0.05
_SIGN_EVERY_S: Final = 2.0  # of life, at least: nothing else tells that this bot was killed


class PoolTurns:
    """Implements the port `Turns`: those of a pool, which all its bots share.

    calls       reach it
    models      by which names requests may choose; what names another, the first engine refuses
    on_engines  hears of the engines that there are, at first and whenever that changes
    on_places   hears that places have changed
    on_over     hears of jobs of which nothing is in hand any more

    It keeps what it has told of and is not over, and tells all of it again to whoever gives turns
    next, if that ends. To be made on an event loop.
    """

    def __init__(
        self,
        calls: Calls,
        models: Collection[str],
        *,
        on_engines: Callable[[tuple[Beat, ...]], None] = lambda _: None,
        on_places: Callable[[], None] = lambda: None,
        on_over: Callable[[str], None] = lambda _: None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.on_places = on_places
        self._calls = calls
        self._models = models
        self.on_engines = on_engines
        self.on_over = on_over
        self._sleep = sleep
        self._name = secrets.token_hex(8)
        self._waiting: dict[str, Entry] = {}
        self._in_hand: dict[str, InHand] = {}
        self._turns: asyncio.Queue[Turn | None] = asyncio.Queue()
        self._unsaid: list[Command] = []
        self._to_say = asyncio.Event()
        self._in_a_hurry = asyncio.Event()
        self._positions: Mapping[str, Position] = {}
        self._missing: set[str] = set()  # what waits and had no place when it heard of places last
        self._load = _NOTHING
        self._closed = False
        self._attends = asyncio.Event()  # it has heard something, and what it says is heard

    @property
    def load(self) -> Load:
        """See the port."""
        return self._load

    def add(self, entry: Entry) -> None:
        """See the port."""
        if entry.model is not None and entry.model not in self._models:
            entry = replace(entry, model=None)
        self._waiting[entry.job_id] = entry
        self._say("add", entry=entry)

    def measure(self, job_id: str, *, work: int, cost: float) -> None:
        """See the port."""
        entry = self._waiting.get(job_id)
        if entry is not None:
            self._waiting[job_id] = replace(entry, work=work, cost=cost)
            self._say("measure", job_id=job_id, work=work, cost=cost)

    def remove(self, job_id: str) -> None:
        """See the port."""
        if self._waiting.pop(job_id, None) is not None:
            self._say("remove", job_id=job_id)

    async def next(self) -> Turn | None:
        """See the port."""
        while not self._closed:
            turn = await self._turns.get()
            if turn is not None and not self._closed:
                return turn
        return None

    def begin(self, job_id: str, work: int) -> None:
        """See the port."""
        self._say("begin", job_id=job_id, work=work)

    def finish(self, job_id: str, *, drawn: bool) -> None:
        """See the port."""
        self._in_hand.pop(job_id, None)  # of what no device works on nobody need be told again
        self._say("finish", job_id=job_id, drawn=drawn)

    def over(self, job_id: str) -> None:
        """See the port."""
        self._in_hand.pop(job_id, None)
        self._say("over", job_id=job_id)
        self.on_over(job_id)

    def gone(self, engine: str) -> None:
        """An engine could not be reached: what is told after this is not given to it."""
        self._say("gone", engine=engine)

    def position(self, job_id: str) -> Position | None:
        """See the port."""
        return self._positions.get(job_id) if job_id in self._waiting else None

    def close(self) -> None:
        """See the port; what is in hand may still be told of, as long as `run` does."""
        self._closed = True
        for job_id in tuple(self._waiting):
            self.remove(job_id)
        self._turns.put_nowait(None)

    async def run(self) -> None:
        """Attend, however often whoever gives turns ends; until it is cancelled."""
        delays_s = _BACKOFF.delays_s()
        while True:
            self._attends.clear()
            try:
                await self._attend()
            except* EngineGoneError as group:
                log.warning("nobody gives turns: %s", group.exceptions[0])
            if self._attends.is_set():
                delays_s = _BACKOFF.delays_s()
            await self._sleep(next(delays_s))

    async def _attend(self) -> None:
        session = secrets.token_hex(8)
        self._unsaid.clear()  # it is in what is told first
        told_first = tuple(self._waiting.values()), tuple(self._in_hand.values())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(session, *told_first))
            group.create_task(self._tell(session))
            group.create_task(self._live())

    async def _live(self) -> None:
        """Say something now and then, if it is only that there is nothing to say."""
        while True:
            await self._sleep(_SIGN_EVERY_S)
            self._to_say.set()

    async def _listen(
        self, session: str, waiting: tuple[Entry, ...], in_hand: tuple[InHand, ...]
    ) -> None:
        stream = self._calls.stream(TURNS, "attend", self._name, session, waiting, in_hand)
        async with aclosing(stream) as listening:
            async for news in listening:
                self._attends.set()
                self._hear(news)
        raise EngineGoneError("It has ended.")

    def _hear(self, news: News) -> None:
        self._take(news.turns)
        if news.engines is not None:
            self.on_engines(news.engines)
        if news.load is not None:
            self._load = news.load
        if news.positions is not None:
            self._tell_again(news.positions)
            if news.positions != self._positions:
                self._positions = news.positions
                self.on_places()

    def _tell_again(self, positions: Mapping[str, Position]) -> None:
        """Of what waits and has no place: whoever had it before may have said that it is over.

        Not at once, for what was just told has none yet.
        """
        missing = self._waiting.keys() - positions
        for job_id in missing & self._missing:
            self._say("add", entry=self._waiting[job_id])
        self._missing = missing

    def _take(self, turns: tuple[Turn, ...]) -> None:
        for turn in turns:
            entry = self._waiting.pop(turn.job_id, None)
            if entry is None or self._closed:  # it was taken out while its turn was on the way
                self._say("over", job_id=turn.job_id)
            else:
                self._in_hand[turn.job_id] = InHand(entry, turn.engine)
                self._turns.put_nowait(turn)

    async def _tell(self, session: str) -> None:
        """Pass on what is said, in order: one call at a time, each with all there is."""
        await self._attends.wait()
        while True:
            await self._to_say.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_COMPANY_S):
                    await self._in_a_hurry.wait()
            self._to_say.clear()
            self._in_a_hurry.clear()
            commands, self._unsaid = tuple(self._unsaid), []
            turns = await self._calls.call(TURNS, "tell", self._name, session, commands)
            if turns is None:
                raise EngineGoneError("It does not know this bot.")
            self._take(turns)

    def _say(self, what: What, **said: Any) -> None:  # noqa: ANN401 - as `Turns` has it
        self._unsaid.append(Command(what, said))
        self._to_say.set()
        if what not in _AT_LEISURE:
            self._in_a_hurry.set()
