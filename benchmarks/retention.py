"""Who asks while old jobs are deleted: how long do they wait until they are taken in?

    .venv/bin/python benchmarks/retention.py [--jobs 100000] [--pictures 4] [--every-ms 20]

A real ledger whose jobs are all outdated, with their pictures in an album; the keeper deletes them,
and in the same event loop newcomers are taken in, one after the other. First as it is when nothing
is deleted. `--pictures 0` leaves the album out.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from bot.core.job import Job, Origin, Person, Venue, new_job_id
from bot.core.policy import Limits
from bot.core.wish import Usual, Wish
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.ledgers import wish_json
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.sqlite.database import SqliteDatabase, connect
from bot.operations.housekeeping import keep_clean
from bot.shared.data_folder import IMAGES, LEDGER
from sdxl_engine.request import ModelCard

KEEP_DAYS = 30
DAY_S = 86_400.0
WISH = Wish("a red circle on a blue background, in the evening", size_px=(64, 64)).settled(Usual())
PICTURE = bytes(1_000)
NO_LIMITS = Limits(queued=1_000_000)


async def measure(folder: Path, pictures: int, every_s: float) -> None:
    """Accept alone for a while, then beside the deletion, and print both."""
    ledger = DatabaseLedger(SqliteDatabase(folder))
    await asyncio.to_thread(ledger.open)
    print(f"{'':<24}{'asked':>7}{'p50':>8}{'p99':>8}{'max':>8}   ms     deleted in")
    try:
        until_s = time.monotonic() + 3
        _print(
            "nothing is deleted", await _ask(ledger, every_s, lambda: time.monotonic() > until_s)
        )
        begun_s = time.monotonic()
        keeping = asyncio.create_task(
            keep_clean(
                ledger,
                ObjectGallery(Folder(folder / IMAGES), lambda _: ModelCard("none")),
                KEEP_DAYS,
                _NobodyWaits(),
                sleep=_end,
            )
        )
        waits_s = await _ask(ledger, every_s, keeping.done)
        await asyncio.gather(keeping, return_exceptions=True)
        took_s = time.monotonic() - begun_s
        _print(f"with {pictures} pictures each", waits_s, f"{took_s:10.1f} s")
        if any(record.told for record in await ledger.find(limit=1_000_000)):
            print("not all were deleted")
    finally:
        await asyncio.to_thread(ledger.close)


class _NobodyWaits:
    """There are no pictures for moderators here."""

    async def give_up(self, job_id: str, days: int) -> None:
        raise NotImplementedError(f"{job_id} after {days} days")


async def _end(_: float) -> None:
    """After the first round."""
    raise asyncio.CancelledError


_numbers = itertools.count()


async def _ask(ledger: DatabaseLedger, every_s: float, over: Callable[[], bool]) -> list[float]:
    waits_s = []
    while not over():
        job = new_job(next(_numbers))
        begun_s = time.perf_counter()
        await ledger.accept(job, NO_LIMITS)
        waits_s.append(time.perf_counter() - begun_s)
        await asyncio.sleep(every_s)
    return waits_s


def new_job(number: int) -> Job:
    """Asked for now, by one of a thousand people in one of a hundred communities."""
    venue = Venue("village", str(number % 100), "1")
    return Job(
        id=new_job_id(),
        wish=WISH,
        person=Person("village", str(number % 1_000), "somebody"),
        origin=Origin(venue, f"new {number}", None, "token", 2**20),
        weight=1.0,
        asked_at_s=time.time(),
    )


def fill(folder: Path, jobs: int, pictures: int) -> None:
    """A ledger and an album as a busy bot leaves them after its days are over."""
    now_s = time.time()
    old_s = now_s - (KEEP_DAYS + 1) * DAY_S
    ids = [new_job_id() for _ in range(jobs)]
    with closing(connect(folder / LEDGER, makes=True)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO people VALUES ('village', ?, 'somebody', ?, ?, 0)",
            [(str(number), old_s, old_s) for number in range(1_000)],
        )
        connection.executemany(
            "INSERT INTO jobs (number, id, state, attempt, home, person, community, channel, "
            "message, token, event, attachment_limit_bytes, weight, wish, told, asked_at_s, "
            "started_at_s, drawn_at_s, ended_at_s, kept_since_s) VALUES (?, ?, 'delivered', 1, "
            "'village', ?, ?, '1', ?, '', ?, 1000000, 1, ?, 1, ?, ?, ?, ?, ?)",
            [
                (
                    number,
                    job_id,
                    str(number % 1_000),
                    str(number % 100),
                    str(number),
                    str(number),
                    wish_json.write(WISH),
                    *(old_s + number / jobs,) * 5,
                )
                for number, job_id in enumerate(ids, 1)
            ],
        )
        connection.executemany(
            "INSERT INTO images VALUES (?, ?, 1, ?, ?, 1000)",
            [
                (number, index, f"{job_id}_{index}.png", "ab" * 32)
                for number, job_id in enumerate(ids, 1)
                for index in range(4)
            ],
        )
        ways = (
            (None, "queued"),
            ("queued", "running"),
            ("running", "drawn"),
            ("drawn", "delivered"),
        )
        connection.executemany(
            "INSERT INTO transitions VALUES (?, ?, ?, ?, '')",
            [(number, old_s, *way) for number in range(1, jobs + 1) for way in ways],
        )
        # The bot has looked at the clock until a moment ago: what is old is surely old.
        connection.execute("INSERT INTO clock VALUES (?, ?, 0, 0)", (now_s, now_s))
        connection.execute("COMMIT")
    for job_id in ids if pictures else ():
        (folder / IMAGES / job_id).mkdir(parents=True)
        for index in range(pictures):
            (folder / IMAGES / job_id / f"{job_id}_{index}.png").write_bytes(PICTURE)


def _print(what: str, waits_s: list[float], took: str = "") -> None:
    p50_ms, p99_ms = 1000 * np.percentile(waits_s, [50, 99])
    print(
        f"{what:<24}{len(waits_s):>7}{p50_ms:8.1f}{p99_ms:8.1f}{1000 * max(waits_s):8.1f}   {took}"
    )


def main() -> None:
    """Fill, delete, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--every-ms", type=float, default=20.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), arguments.jobs, arguments.pictures)
        asyncio.run(measure(Path(name), arguments.pictures, arguments.every_ms / 1000))


if __name__ == "__main__":
    main()
