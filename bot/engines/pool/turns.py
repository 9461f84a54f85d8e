"""Whose turn it is, over all bots of a pool and all its engines: one replica of Ray Serve.

What it knows, it is told: by bots what waits, by engines that they live. So it may end at any
time: the next one is told the same again.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bot.core.queue.turns import Entry, Load, Position, Turn, Turns
from bot.engines.pool.described import Beat
from bot.engines.pool.drawings import Key

log = logging.getLogger(__name__)

_SILENT_S: Final = 5.0  # then an engine counts as gone
# And then a bot: of one that was killed Ray Serve says nothing, and goes on with its call.
_BOT_SILENT_S: Final = 10.0
_GONE_S: Final = 30.0  # so long an engine that a bot could not reach gets no turn
_PLACES_EVERY_S: Final = 1.0  # at most so often a bot hears where its jobs stand
_HEARD_ALL_S: Final = 4.0  # by then every engine that lives has said so

What = Literal["add", "measure", "remove", "begin", "finish", "over", "gone"]


@dataclass(frozen=True, slots=True)
class Command:
    """What a bot tells: as `Turns` is told, and which engine is gone; with what goes with it."""

    what: What
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InHand:
    """A job of a bot's that an engine draws."""

    entry: Entry
    engine: str


@dataclass(frozen=True, slots=True)
class News:
    """What a bot hears: turns of its jobs, and what has changed of the rest (None: nothing has).

    engines    those that there are
    positions  of its jobs that wait
    """

    turns: tuple[Turn, ...] = ()
    engines: tuple[Beat, ...] | None = None
    positions: Mapping[str, Position] | None = None
    load: Load | None = None


@dataclass(slots=True, eq=False)
class _Bot:
    """One that listens.

    heard_s  when it said anything last
    turns    that it has not heard of yet
    engines  of which of their changes it has heard
    hurry    there is a turn for it
    changed  there is anything for it
    """

    session: str
    heard_s: float
    turns: list[Turn] = field(default_factory=list)
    engines: int = -1
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Have it look."""
        self.changed.set()

    def take_turns(self) -> tuple[Turn, ...]:
        """It hears of them now."""
        turns = tuple(self.turns)
        self.turns.clear()
        return turns


@dataclass(slots=True)
class _Job:
    """One that waits, or that an engine has.

    bot     whose it is; it may be gone
    engine  None: it waits
    """

    entry: Entry
    bot: str
    engine: str | None = None


class TurnsReplica:
    """Gives turns to the bots that listen, on the engines that live.

    engines         what Serve deploys beside it
    owner           the process that has them
    clock           seconds
    places_every_s  at most so often a bot hears where its jobs stand
    """

    def __init__(
        self,
        *engines: object,  # noqa: ARG002 - Serve's, whom it hears by itself
        owner: str = "",
        clock: Callable[[], float] = time.monotonic,
        places_every_s: float = _PLACES_EVERY_S,
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._places_every_s = places_every_s
        self._turns = Turns(clock)
        self._jobs: dict[str, _Job] = {}
        self._bots: dict[str, _Bot] = {}
        self._engines: dict[str, tuple[Beat, float]] = {}  # as heard last, and when
        self._gone_s: dict[str, float] = {}  # what a bot could not reach, and when
        self._changes = 0  # of which engines there are
        self._beaten = asyncio.Event()  # another one each time
        self._begun_s = clock()

    async def attend(
        self, bot: str, session: str, waiting: tuple[Entry, ...], in_hand: tuple[InHand, ...]
    ) -> AsyncGenerator[News]:
        """Listen from now on; what was known of the bot is brought up to what it says now.

        waiting  its jobs, those first that waited first
        in_hand  what engines draw for it
        """
        listener = _Bot(session, self._clock())
        before = self._bots.pop(bot, None)
        self._bots[bot] = listener
        if before is not None:
            before.wake()
        self._reconcile(bot, waiting, in_hand)
        self._give()
        try:
            while self._bots.get(bot) is listener:
                yield self._news_for(bot, listener)
                await self._something_for(listener)
        finally:
            if self._bots.get(bot) is listener:
                self._part_from(bot)

    async def tell(
        self, bot: str, session: str, commands: tuple[Command, ...]
    ) -> tuple[Turn, ...] | None:
        """Do as a bot says, in this order; None: it has to attend anew.

        Returns the turns that it has not heard of yet, which saves those that come of it a way.
        Without commands it is a sign of life.
        """
        listener = self._bots.get(bot)
        if listener is None or listener.session != session:
            return None
        listener.heard_s = self._clock()
        for command in commands:
            self._do(bot, command)
        self._give(asking=listener)
        return listener.take_turns()

    async def beat(self, beat: Beat) -> int:
        """An engine lives; returns how many jobs wait that it could draw."""
        now_s = self._clock()
        for bot, listener in tuple(self._bots.items()):
            if now_s - listener.heard_s > _BOT_SILENT_S:
                self._part_from(bot)
        if now_s - self._gone_s.get(beat.engine, now_s - _GONE_S) >= _GONE_S:
            is_new = beat.engine not in self._engines
            self._engines[beat.engine] = beat, now_s
            if is_new:
                self._join(beat)
            self._tidy(beat)
        self._expire()
        self._beaten.set()
        self._beaten = asyncio.Event()
        self._give()
        return sum(
            job.engine is None and job.entry.model in beat.draws for job in self._jobs.values()
        )

    async def where(self, key: Key) -> str | None:
        """Which engine draws this, or has drawn it; None: none of them.

        That is known once all of them have said after this what they have.
        """
        asked_s = self._clock()
        while True:
            for engine, (beat, _) in self._engines.items():
                if key in beat.held:
                    return engine
            have_said = all(heard_s > asked_s for _, heard_s in self._engines.values())
            if have_said and self._clock() - self._begun_s >= _HEARD_ALL_S:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARD_ALL_S):
                    await self._beaten.wait()
            self._expire()

    async def whose(self) -> str:
        """The process that has the engines."""
        return self._owner

    async def engines(self) -> tuple[tuple[Beat, ...], Load]:
        """Those that there are, as they said last; and what there is to draw."""
        self._expire()
        return tuple(beat for beat, _ in self._engines.values()), self._turns.load

    def _part_from(self, bot: str) -> None:
        """It has left, was killed, or was cut off: what waits, waits until somebody tells of it."""
        log.info("a bot has left, or was cut off: %s", bot)
        self._bots.pop(bot).wake()
        for job_id in self._of(bot):
            if self._jobs[job_id].engine is None:
                self._forget(job_id)

    def _reconcile(self, bot: str, waiting: tuple[Entry, ...], in_hand: tuple[InHand, ...]) -> None:
        """What waits goes on waiting where it stands, and what is drawn is drawn."""
        engines = {one.entry.job_id: one.engine for one in in_hand}
        goes_on = {
            **{entry.job_id: None for entry in waiting},
            **engines,
        }
        for job_id in self._of(bot):
            if job_id not in goes_on or self._jobs[job_id].engine != goes_on[job_id]:
                self._forget(job_id)
        for one in in_hand:
            self._take_up(_Job(one.entry, bot, one.engine))
        for entry in waiting:
            self._add(bot, entry)

    def _do(self, bot: str, command: Command) -> None:
        match command.what:
            case "add":
                self._add(bot, **command.said)
            case "over" | "remove" if self._is_anothers(bot, **command.said):
                log.info("another bot has %s by now", command.said["job_id"])
            case "over":
                self._forget(**command.said)
            case "remove":
                if self._waits(**command.said):
                    self._forget(**command.said)
            case "gone":
                self._gone(**command.said)
            case "measure" | "begin" | "finish":
                getattr(self._turns, command.what)(**command.said)

    def _gone(self, engine: str) -> None:
        """A bot could not reach an engine: it gets no turns for a while."""
        self._gone_s[engine] = self._clock()
        self._leave(engine)

    def _add(self, bot: str, entry: Entry) -> None:
        """Let it wait; if it is in hand somewhere, that is somebody's who has gone."""
        job = self._jobs.get(entry.job_id)
        if job is not None and job.engine is None:
            job.bot = bot
            return
        if job is not None:
            self._forget(entry.job_id)
        self._jobs[entry.job_id] = _Job(entry, bot)
        self._turns.add(entry)

    def _take_up(self, job: _Job) -> None:
        """An engine has it; if its device works on it, it gets no other turn."""
        job_id = job.entry.job_id
        known = self._jobs.get(job_id)
        self._jobs[job_id] = job
        if known is not None and known.engine == job.engine:
            return
        beat, _ = self._engines.get(job.engine or "", (None, 0.0))
        if beat is not None and beat.drawing is not None and beat.drawing.job_id == job_id:
            self._turns.take_up(job.entry, beat.engine)

    def _is_anothers(self, bot: str, job_id: str) -> bool:
        """Whether it was taken over from this bot, which has not ended yet."""
        job = self._jobs.get(job_id)
        return job is not None and job.bot != bot and job.bot in self._bots

    def _waits(self, job_id: str) -> bool:
        return job_id in self._jobs and self._jobs[job_id].engine is None

    def _of(self, bot: str) -> list[str]:
        return [job_id for job_id, job in self._jobs.items() if job.bot == bot]

    def _forget(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)
        self._turns.remove(job_id)
        self._turns.over(job_id)

    def _join(self, beat: Beat) -> None:
        log.info("engine %s is there: %s", beat.engine, beat.warm.device)
        self._changes += 1
        self._turns.join(beat.engine, beat.draws)
        if beat.drawing is not None:
            job_id = beat.drawing.job_id
            known = self._jobs.get(job_id)
            # Of what nobody has told of yet it is enough to know that it is drawn.
            entry = Entry(job_id, None, None) if known is None else known.entry
            self._jobs[job_id] = _Job(entry, "" if known is None else known.bot, beat.engine)
            self._turns.take_up(entry, beat.engine)

    def _tidy(self, beat: Beat) -> None:
        """Whose bot is gone is in hand for as long as it is drawn."""
        for job_id, job in tuple(self._jobs.items()):
            is_drawn = beat.drawing is not None and beat.drawing.job_id == job_id
            if job.engine == beat.engine and job.bot not in self._bots and not is_drawn:
                self._forget(job_id)

    def _expire(self) -> None:
        now_s = self._clock()
        for engine, (_, heard_s) in tuple(self._engines.items()):
            if now_s - heard_s > _SILENT_S:
                self._leave(engine)
        self._gone_s = {
            engine: gone_s for engine, gone_s in self._gone_s.items() if now_s - gone_s < _GONE_S
        }

    def _leave(self, engine: str) -> None:
        if self._engines.pop(engine, None) is None:
            return
        log.warning("engine %s is gone", engine)
        self._changes += 1
        self._turns.leave(engine)
        for job_id, job in tuple(self._jobs.items()):
            if job.engine == engine and job.bot not in self._bots:
                del self._jobs[job_id]

    def _give(self, asking: _Bot | None = None) -> None:
        """Give what turns there are; who asks hears of its own in the answer."""
        while (turn := self._turns.give()) is not None:
            job = self._jobs[turn.job_id]
            job.engine = turn.engine
            bot = self._bots[job.bot]
            bot.turns.append(turn)
            if bot is not asking:
                bot.hurry.set()
        for bot in self._bots.values():
            bot.wake()

    async def _something_for(self, listener: _Bot) -> None:
        """Wait for it: for a turn not at all, for the rest until some has come together."""
        await listener.changed.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._places_every_s):
                await listener.hurry.wait()
        listener.hurry.clear()

    def _news_for(self, bot: str, listener: _Bot) -> News:
        if listener.turns:  # the rest waits: to look up all places takes a while
            return News(listener.take_turns())
        listener.changed.clear()
        self._expire()
        engines = None
        if listener.engines != self._changes:
            listener.engines = self._changes
            engines = tuple(beat for beat, _ in self._engines.values())
        positions = self._turns.positions()
        waiting = [job_id for job_id in self._of(bot) if job_id in positions]
        mine = {job_id: positions[job_id] for job_id in waiting}
        return News((), engines, mine, self._turns.load)
