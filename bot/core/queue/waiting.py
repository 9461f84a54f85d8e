"""The queue of a bot's waiting jobs: whose turn it is, at which place all stand, and until when."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bot.core.job import Job, work_of
from bot.core.ports.turns import Turns as TurnsPort
from bot.core.queue.turns import Entry, Load, Position, Turn, Turns
from sdxl_engine.request import ImageRequest


class Taken(NamedTuple):
    """A job whose turn has come, and the engine that is free for it."""

    job: Job
    engine: str


class LocalTurns(Turns):
    """Implements the port: turns of this bot's alone, on the engine of this process.

    clock  seconds
    """

    ENGINE = "thread"  # as metrics call it, too

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_closed = False
        self._rung = asyncio.Event()
        super().__init__(clock, self._rung.set)
        self.join(self.ENGINE)

    async def next(self) -> Turn | None:
        """See the port."""
        while not self._is_closed:
            self._rung.clear()
            if (turn := self.give()) is not None:
                return turn
            await self._rung.wait()
        return None

    def position(self, job_id: str) -> Position | None:
        """See the port."""
        return self.positions().get(job_id)

    def close(self) -> None:
        """See the port."""
        self._is_closed = True
        self._rung.set()


class JobQueue:
    """The waiting jobs; one task takes, any adds.

    turns  whose turn it is; None: of these jobs alone
    """

    def __init__(self, turns: TurnsPort | None = None) -> None:
        self._turns = LocalTurns() if turns is None else turns
        self._jobs: dict[str, Job] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._jobs.values()))

    @property
    def closed(self) -> bool:
        """Whether no more jobs are given out."""
        return self._closed

    @property
    def load(self) -> Load:
        """What there is to draw, whichever bot has it."""
        return self._turns.load

    def add(self, job: Job, *, alone: bool = False) -> None:
        """Let a job wait; until it is measured it counts as a typical one, and as no work.

        alone  it is drawn where nothing else is in hand
        """
        self._jobs[job.id] = job
        # Private channels have no community: all of a home's are one place together.
        # Plain tuples: counting the places hashes everybody's, and a dataclass's hash is slow.
        community = job.home, job.origin.venue.community
        person = job.home, job.person.id
        self._turns.add(Entry(job.id, community, person, job.weight, job.wish.model, alone=alone))

    def measure(self, job_id: str, request: ImageRequest, cost: float) -> None:
        """Know what a waiting job comes to; it keeps its place among its person's.

        cost  what it takes of its person's share, in typical jobs; see `cost_of`
        """
        self._turns.measure(job_id, work=work_of(request), cost=cost)

    async def take(self) -> Taken | None:
        """The next job whose turn comes; None once the queue is closed.

        Its engine gives no other turn until `finish`, and knows of it until `over`.
        """
        while not self._closed:
            turn = await self._turns.next()
            if turn is None or self._closed:
                return None
            job = self._jobs.pop(turn.job_id, None)
            if job is not None:
                return Taken(job, turn.engine)
            self._turns.over(turn.job_id)  # it was taken out while its turn was on the way
        return None

    def remove(self, job_id: str) -> Job | None:
        """Take one job out, wherever it stands; None if it does not wait here."""
        self._turns.remove(job_id)
        return self._jobs.pop(job_id, None)

    def close(self) -> None:
        """Give no more jobs out; those that wait stay."""
        self._closed = True
        self._turns.close()

    def begin(self, job_id: str, request: ImageRequest) -> None:
        """Its engine has it now."""
        self._turns.begin(job_id, work_of(request))

    def finish(self, job_id: str, *, drawn: bool) -> None:
        """Its engine is free for the next; only what was drawn tells how fast it goes."""
        self._turns.finish(job_id, drawn=drawn)

    def over(self, job_id: str) -> None:
        """Nothing of it is in hand any more."""
        self._turns.over(job_id)

    def position(self, job_id: str) -> Position | None:
        """Where a job stands; None if it does not wait."""
        return self._turns.position(job_id) if job_id in self._jobs else None
