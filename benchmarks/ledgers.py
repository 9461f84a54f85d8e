"""How long does each of the ledger's databases take for what a bot does all day?

    .venv/bin/python -m benchmarks.ledgers [--jobs 100000] [--times 300]

A ledger with that many jobs on record, in a SQLite file and in a PostgreSQL of its own on this
machine, which waits for its disk as SQLite does. Both do the same things in turns, so that whatever
else the machine does meets both. Printed is how long whoever asks waits, in milliseconds: half of
the times no longer than p50, 99 of a hundred no longer than p99. The ratio is the median of each
turn's. Wants `make setup-scale` and Debian's postgresql.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.retention import NO_LIMITS, fill, new_job
from bot.core.job import Job, State
from bot.ledgers import book
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.moving import move
from bot.ledgers.postgres.records import PostgresRecords
from bot.ledgers.records import Records
from bot.ledgers.sqlite.records import SqliteRecords
from tests.bot.ledgers.postgres.server import running

AT_ONCE = 32
LIMITS = replace(NO_LIMITS, person_active=10**6, person_per_day=10**6, community_per_day=10**6)


@dataclass
class _Side:
    """One database, and the jobs that were asked for there."""

    ledger: DatabaseLedger
    waiting: list[Job] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def accept(self) -> None:
        job = new_job(next(self.numbers))
        await self.ledger.accept(job, NO_LIMITS)
        self.waiting.append(job)

    async def accept_many(self) -> None:
        await asyncio.gather(*(self.accept() for _ in range(AT_ONCE)))

    async def claim(self) -> None:
        await self.ledger.move(self.waiting.pop().id, State.RUNNING)

    async def count(self) -> None:
        await self.ledger.database.read(book.counts)

    async def check_limits(self) -> None:
        job = new_job(next(self.numbers))
        await self.ledger.check_limits(job.person, job.origin.venue, LIMITS, job.asked_at_s)

    async def get(self) -> None:
        await self.ledger.get(self.waiting[0].id)

    async def find(self) -> None:
        await self.ledger.find(limit=20)

    async def find_person(self) -> None:
        await self.ledger.find(person=new_job(next(self.numbers)).person, limit=20)


WORK: dict[str, Callable[[_Side], Awaitable[None]]] = {
    "take a job in": _Side.accept,
    f"take in {AT_ONCE} at once": _Side.accept_many,
    "begin one": _Side.claim,
    "look at one": _Side.get,
    "count them by state": _Side.count,
    "check a person's limits": _Side.check_limits,
    "find the latest 20": _Side.find,
    "find a person's latest 20": _Side.find_person,
}


async def measure(places: dict[str, Records], times: int) -> None:
    """Do all of it, in turns, and print the table."""
    sides = {name: _Side(DatabaseLedger(records.database())) for name, records in places.items()}
    for side in sides.values():
        await asyncio.to_thread(side.ledger.open)
    head = "".join(f"{name + ' p50':>16}{'p99':>9}" for name in sides)
    print(f"{'':<28}{head}{'ratio':>9}")
    try:
        for what, work in WORK.items():
            waits_ms = dict[str, list[float]]((name, []) for name in sides)
            for _ in range(times):
                for name, side in sides.items():
                    begun_s = time.perf_counter()
                    await work(side)
                    waits_ms[name].append(1_000 * (time.perf_counter() - begun_s))
            _print(what, list(waits_ms.values()))
    finally:
        for side in sides.values():
            await asyncio.to_thread(side.ledger.close)


def _print(what: str, waits_ms: list[list[float]]) -> None:
    columns = ""
    for each in waits_ms:
        p99 = statistics.quantiles(each, n=100)[-1]
        columns += f"{statistics.median(each):16.2f}{p99:9.2f}"
    one, other = waits_ms
    ratio = statistics.median(b / a for a, b in zip(one, other, strict=True))
    print(f"{what:<28}{columns}{ratio:9.2f}", flush=True)


def main() -> None:
    """Make the ledger, move a copy of it, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(is_durable=True) as server:
        fill(Path(folder), options.jobs, pictures=0)
        url = server.new_database()
        places: dict[str, Records] = {
            "SQLite": SqliteRecords(Path(folder)),
            "PostgreSQL": PostgresRecords(url),
        }
        begun_s = time.monotonic()
        move(places["SQLite"], places["PostgreSQL"], lambda _done, _total: None)
        print(f"{options.jobs} jobs, moved and read back in {time.monotonic() - begun_s:.1f} s\n")
        with server.connected(url.rpartition("/")[2]) as connection:
            connection.execute("ANALYZE")  # as PostgreSQL does by itself, a minute later
        asyncio.run(measure(places, options.times))


if __name__ == "__main__":
    main()
