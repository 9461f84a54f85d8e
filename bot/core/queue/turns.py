"""Turns: which job is drawn next, and on which engine.

One engine in this process, or many of a pool with the jobs of several bots: the order is fair over
all of it. Pure: it waits for nothing, and asks a clock that it is given.
"""

import heapq
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field, replace
from typing import Final

from bot.core.queue.fairness import FairQueue
from bot.core.queue.speed import Speed

# While one job's pictures are fetched and stored the next is drawn. More finished jobs than this
# hold their engine up: each keeps its raw pictures in memory.
_MOST_IN_HAND: Final = 4
# Every other job's stage on its card is told by these: not looked up anew for each within moments.
_FORETOLD_FOR_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A job that waits, as far as its turn depends on it.

    community, person  among whom it is shared
    weight             of this person in this community: twice the weight is twice the share of it
    model              what it is drawn with; None: with what an engine draws when nobody chooses
    cost               what it takes of its person's share, in typical jobs
    work               as `work_of` counts it; 0: not known yet
    alone              it is drawn where nothing else is in hand, for something broke down under it
    """

    job_id: str
    community: Hashable
    person: Hashable
    weight: float = 1.0
    model: str | None = None
    cost: float = 1.0
    work: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """A job's turn has come, on this engine."""

    job_id: str
    engine: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a waiting job stands.

    place       1 is the next one to be drawn
    ready_in_s  how long until it is drawn, as fast as it went lately; None: not measured yet
    """

    place: int
    ready_in_s: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to draw, over all bots.

    waiting  how many jobs
    drawing  how many engines have one
    unit_s   how long 1 takes, as `work_of` counts it, on an engine; None: not measured yet
    """

    waiting: int
    drawing: int
    unit_s: float | None

    def seconds(self, work: int) -> float | None:
        """How long that much work is drawn, as fast as it went lately; None: not measured yet."""
        return None if self.unit_s is None else self.unit_s * work


@dataclass(slots=True)
class _Engine:
    """One engine.

    models    those that it can draw; None: all
    warm      the model of its last job
    drawing   the job that the device has, or is about to
    begun_s   when the device got it; None: not yet
    in_hand   all that are not over: the one that is drawn, those whose pictures are fetched
    next_up   its turn has come, as soon as nothing else is in hand
    """

    models: Collection[str | None] | None
    warm: str | None = None
    drawing: Entry | None = None
    begun_s: float | None = None
    in_hand: dict[str, Entry] = field(default_factory=dict)
    next_up: Entry | None = None
    speed: Speed = field(default_factory=Speed)


class Turns:
    """Gives turns, for as long as there are jobs and engines that are free.

    clock    seconds
    changed  called where a turn may have come
    """

    def __init__(
        self, clock: Callable[[], float], changed: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._fair = FairQueue()
        self._waiting: dict[str, Entry] = {}
        self._engines: dict[str, _Engine] = {}
        self._where: dict[str, str] = {}  # of what is in hand
        self._speed = Speed()  # of all of them
        self._foretold: tuple[float, dict[str, Position]] | None = None

    def join(self, engine: str, models: Collection[str | None] | None = None) -> None:
        """An engine is there, or says so again.

        models  those that it can draw, None among them where it draws what nobody chose; None: all
        """
        if engine in self._engines:
            self._engines[engine].models = models
        else:
            self._engines[engine] = _Engine(models)
        self._tell()

    def leave(self, engine: str) -> list[str]:
        """It is gone, and gets no more turns; returns the jobs that it had in hand."""
        gone = self._engines.pop(engine, None)
        if gone is None:
            return []
        if gone.next_up is not None:
            self._wait(gone.next_up)
        for job_id in gone.in_hand:
            del self._where[job_id]
        self._tell()
        return list(gone.in_hand)

    def add(self, entry: Entry) -> None:
        """Let a job wait; one that is waiting already stays as it is."""
        if entry.job_id not in self._waiting and entry.job_id not in self._where:
            self._wait(entry)
            self._tell()

    def measure(self, job_id: str, *, work: int, cost: float) -> None:
        """Know what a waiting job comes to; it keeps its place among its person's."""
        if job_id in self._waiting:
            self._waiting[job_id] = replace(self._waiting[job_id], work=work, cost=cost)
            if job_id in self._fair:
                self._fair.set_cost(job_id, cost)
            self._foretold = None

    def remove(self, job_id: str) -> None:
        """Take a job out that waits, wherever it stands."""
        if self._waiting.pop(job_id, None) is not None and not self._fair.remove(job_id):
            for engine in self._engines.values():
                if engine.next_up is not None and engine.next_up.job_id == job_id:
                    engine.next_up = None
        self._tell()

    def take_up(self, entry: Entry, engine: str) -> None:
        """An engine has this job in hand already, from before."""
        self.remove(entry.job_id)
        self._hold(engine, entry)

    def give(self) -> Turn | None:
        """The next turn; None: no job waits for an engine that is free."""
        for name, engine in self._engines.items():
            if engine.drawing is None and (entry := self._next_for(engine)) is not None:
                self._hold(name, entry)
                return Turn(entry.job_id, name)
        return None

    def _next_for(self, engine: _Engine) -> Entry | None:
        in_hand = engine.in_hand.values()
        if len(in_hand) >= _MOST_IN_HAND or any(one.alone for one in in_hand):
            return None
        entry = engine.next_up
        if entry is None:
            if not self._fair:  # it rests: whoever comes now, nobody owes a turn
                self._fair = FairQueue()
                return None
            try:
                entry = self._waiting[self._fair.take(engine.warm, engine.models)]
            except IndexError:  # nothing that it can draw
                return None
        if entry.alone and engine.in_hand:
            engine.next_up = entry
            return None
        engine.next_up = None
        del self._waiting[entry.job_id]
        return entry

    def _hold(self, name: str, entry: Entry) -> None:
        engine = self._engines[name]
        engine.drawing, engine.begun_s, engine.warm = entry, None, entry.model
        engine.in_hand[entry.job_id] = entry
        self._where[entry.job_id] = name
        self._foretold = None

    def begin(self, job_id: str, work: int) -> None:
        """The device has it now, which comes to so much work."""
        engine = self._engine_of(job_id)
        if engine is not None and engine.drawing is not None:
            engine.drawing, engine.begun_s = replace(engine.drawing, work=work), self._clock()
            self._foretold = None

    def finish(self, job_id: str, *, drawn: bool) -> None:
        """The device is free for the next; only what was drawn tells how fast it goes."""
        engine = self._engine_of(job_id)
        if engine is None or engine.drawing is None or engine.drawing.job_id != job_id:
            return
        if drawn and engine.begun_s is not None:
            took_s = self._clock() - engine.begun_s
            engine.speed.observe(engine.drawing.work, took_s)
            self._speed.observe(engine.drawing.work, took_s)
        engine.drawing = engine.begun_s = None
        self._tell()

    def over(self, job_id: str) -> None:
        """Nothing of it is in hand any more."""
        self.finish(job_id, drawn=False)
        name = self._where.pop(job_id, None)
        if name is not None:
            del self._engines[name].in_hand[job_id]
            self._tell()

    @property
    def load(self) -> Load:
        """What there is to draw now."""
        drawing = sum(one.begun_s is not None for one in self._engines.values())
        return Load(len(self._waiting), drawing, self._speed.unit_s)

    def positions(self) -> dict[str, Position]:
        """Where each waiting job stands, right now, if nobody else came; in that order."""
        now_s = self._clock()
        if self._foretold is None or now_s - self._foretold[0] >= _FORETOLD_FOR_S:
            self._foretold = now_s, self._foretell(now_s)
        return self._foretold[1]

    def _foretell(self, now_s: float) -> dict[str, Position]:
        """Each job goes to the engine that is free first, as fast as these went lately."""
        chosen = [one.next_up.job_id for one in self._engines.values() if one.next_up is not None]
        order = [*chosen, *self._fair.places()]
        free = [(self._left_s(one, now_s), name) for name, one in self._engines.items()]
        if self._speed.unit_s is None or not free:
            return {job_id: Position(n, None) for n, job_id in enumerate(order, start=1)}
        heapq.heapify(free)
        found = {}
        for place, job_id in enumerate(order, start=1):
            free_in_s, name = free[0]
            ready_in_s = free_in_s + self._seconds(self._engines[name], self._waiting[job_id].work)
            heapq.heapreplace(free, (ready_in_s, name))
            found[job_id] = Position(place, ready_in_s)
        return found

    def _left_s(self, engine: _Engine, now_s: float) -> float:
        if engine.drawing is None or engine.begun_s is None:
            return 0.0
        return max(0.0, self._seconds(engine, engine.drawing.work) - (now_s - engine.begun_s))

    def _seconds(self, engine: _Engine, work: int) -> float:
        seconds = engine.speed.seconds(work)
        return (self._speed.seconds(work) or 0.0) if seconds is None else seconds

    def _engine_of(self, job_id: str) -> _Engine | None:
        return self._engines.get(self._where.get(job_id, ""))

    def _wait(self, entry: Entry) -> None:
        self._waiting[entry.job_id] = entry
        self._fair.add(
            entry.job_id,
            community=entry.community,
            person=entry.person,
            cost=entry.cost,
            weight=entry.weight,
            model=entry.model,
        )

    def _tell(self) -> None:
        self._foretold = None
        self._changed()
