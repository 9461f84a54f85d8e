"""The queue of waiting jobs: who is next, at which place everybody stands, and until when."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bot.core.job import Job, work_of
from bot.core.queue.fairness import FairQueue
from bot.core.queue.speed import Speed
from sdxl_engine.request import ImageRequest


@dataclass(frozen=True, slots=True)
class Position:
    """Where a waiting job stands.

    place       1 is the next one to be drawn
    ready_in_s  how long until it is drawn, as fast as it went lately; None: not measured yet
    """

    place: int
    ready_in_s: float | None


class JobQueue:
    """The waiting jobs and the one that is drawn; one task takes, any adds.

    clock  seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fair = FairQueue()
        self._jobs: dict[str, Job] = {}
        self._work: dict[str, int] = {}  # of each, as `work_of` counts it
        self._speed = Speed()
        self._drawing: tuple[int, float] | None = None  # its work, and when it was begun
        self._closed = False
        self._changed = asyncio.Event()
        self._positions: dict[str, tuple[int, int]] | None = None  # place, work up to its end

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._jobs.values()))

    @property
    def closed(self) -> bool:
        """Whether no more jobs are given out."""
        return self._closed

    @property
    def is_drawing(self) -> bool:
        """Whether the engine has one."""
        return self._drawing is not None

    def seconds_for(self, request: ImageRequest) -> float | None:
        """How long it would be drawn, as fast as it went lately; None: not measured yet."""
        return self._speed.seconds(work_of(request))

    def add(self, job: Job) -> None:
        """Let a job wait; until it is measured it counts as a typical one, and as no work."""
        # Private channels have no community: all of a home's are one place together.
        # Plain tuples: counting the places hashes everybody's, and a dataclass's hash is slow.
        shares_with = (job.home, job.origin.venue.community)
        person = (job.home, job.person.id)
        self._fair.add(
            job.id, community=shares_with, person=person, weight=job.weight, model=job.wish.model
        )
        self._jobs[job.id] = job
        self._work[job.id] = 0
        self._positions = None
        self._changed.set()

    def measure(self, job_id: str, request: ImageRequest, cost: float) -> None:
        """Know what a waiting job comes to; it keeps its place among its person's.

        cost  what it takes of its person's share, in typical jobs; see `cost_of`
        """
        self._fair.set_cost(job_id, cost)
        self._work[job_id] = work_of(request)
        self._positions = None

    async def take(self) -> Job | None:
        """The next job, as soon as there is one; None once the queue is closed."""
        while not self._closed:
            if self._jobs:
                self._positions = None
                job_id = self._fair.take()
                del self._work[job_id]
                return self._jobs.pop(job_id)
            self._fair = FairQueue()  # the engine rests: whoever comes now, nobody owes a turn
            self._changed.clear()
            await self._changed.wait()
        return None

    def remove(self, job_id: str) -> Job | None:
        """Take one job out, wherever it stands; None if it does not wait here."""
        self._fair.remove(job_id)
        self._work.pop(job_id, None)
        self._positions = None
        return self._jobs.pop(job_id, None)

    def close(self) -> None:
        """Give no more jobs out; those that wait stay."""
        self._closed = True
        self._changed.set()

    def begin(self, request: ImageRequest) -> None:
        """The engine has this one now."""
        self._drawing = work_of(request), self._clock()

    def finish(self, *, drawn: bool) -> None:
        """The engine is free; only what was drawn tells how fast it goes."""
        if self._drawing is not None and drawn:
            work, begun_s = self._drawing
            self._speed.observe(work, self._clock() - begun_s)
        self._drawing = None

    def position(self, job_id: str) -> Position | None:
        """Where a job stands, right now; None if it does not wait."""
        if self._positions is None:
            self._positions = {}
            work = 0
            for waiting, place in self._fair.places().items():
                work += self._work[waiting]
                self._positions[waiting] = place, work
        found = self._positions.get(job_id)
        if found is None:
            return None
        place, work = found
        return Position(place, self._seconds(work))

    def _seconds(self, work: int) -> float | None:
        seconds = self._speed.seconds(work)
        if seconds is None or self._drawing is None:
            return seconds
        drawing, begun_s = self._drawing
        left_s = (self._speed.seconds(drawing) or 0) - (self._clock() - begun_s)
        return seconds + max(0.0, left_s)
