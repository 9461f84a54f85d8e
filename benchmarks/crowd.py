"""How quick is the bot with a thousand jobs waiting and fifty people asking at once?

    .venv/bin/python benchmarks/crowd.py [--waiting 1000] [--people 50] [--rounds 20]

The real bot and an unmodified discord.py over the loopback Discord; the engine holds one job and
draws nothing, so the line stays as long as it is. Discord's own rate limits are off: they would
be what is measured. Then the ledger alone, on a file with more and more jobs.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bot.app import App, discord_home
from bot.config.sections import (
    Config,
    DiscordConfig,
    EngineConfig,
    HealthConfig,
    JobsConfig,
    LimitsConfig,
)
from bot.core.job import Job, Origin, Person, State, Venue, new_job_id
from bot.core.policy import Limits
from bot.core.queue.waiting import JobQueue
from bot.core.wish import Usual, Wish
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.sqlite.database import SqliteDatabase
from bot.shared.secret import Secret
from sdxl_engine import ImageRequest, Progress
from sdxl_engine.request import NO_PICTURES, KnownLora, ModelCard, Pictures
from standins.discord.components import text_of
from standins.discord.loopback import DEFAULT_TOKEN, LoopbackDiscord

LAG_NAP_S = 0.005
PER_SIZE = 300


class HeldPipeline:
    """Begins a job and draws it when it is let go."""

    sizes = ((64, 64),)
    models = ("quick",)
    checks = ()
    device = "none"
    loras: Mapping[str, KnownLora] = MappingProxyType({})

    def __init__(self) -> None:
        self.go = threading.Event()

    def check(self, request: ImageRequest) -> None:
        """Everything can be drawn."""

    def resolved(self, request: ImageRequest) -> ImageRequest:
        """It has no sampler of its own."""
        return request

    def card(self, request: ImageRequest) -> ModelCard:
        """No files drew it."""
        return ModelCard(request.model or "none")

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        """Wait."""
        del pictures, previews
        self.go.wait()
        yield Progress(1, request.num_inference_steps, fetch=lambda: ())


WISH = Wish("a circle", size_px=(64, 64)).settled(Usual())


def put(job: Job, queue: JobQueue) -> None:
    """As the worker does it."""
    queue.add(job)
    queue.measure(job.id, WISH.resolve((64, 64)), 1.0)


def make_job(number: int) -> Job:
    """One of many, of a thousand people in a hundred servers."""
    return Job(
        id=new_job_id(),
        wish=WISH,
        person=Person("village", str(number % 1_000), "somebody"),
        origin=Origin(
            venue=Venue("village", str(number % 100), "1"),
            event=str(number),
            message=str(number),
            token="",
            attachment_limit_bytes=2**20,
        ),
        weight=1.0,
        asked_at_s=time.time(),
    )


async def serve(base_url: str, folder: Path) -> None:
    """The bot, as a process of its own; told to stop, it prints how late its loop woke."""
    pipeline = HeldPipeline()
    config = Config(
        engine=EngineConfig(sizes=pipeline.sizes, stuck_after_s=0),
        discord=DiscordConfig(f"{base_url}/api/v10", f"{base_url.replace('http', 'ws')}/gateway"),
        jobs=JobsConfig(max_queued=100_000, shutdown_grace_s=0),
        limits=LimitsConfig(0, 0, 0, 0, 0),
        health=HealthConfig(port=0),
    )
    home = discord_home(config, Secret(DEFAULT_TOKEN), None)
    app = App(config, lambda: pipeline, [home], folder)
    loop, stop, lags_s = asyncio.get_running_loop(), asyncio.Event(), list[float]()
    loop.add_signal_handler(signal.SIGUSR1, lags_s.clear)

    def end() -> None:
        _print("loop lag", lags_s)
        stop.set()

    loop.add_signal_handler(signal.SIGTERM, end)
    sampling = asyncio.create_task(_sample_lag(lags_s))
    serving = asyncio.create_task(app.run(stop))
    await stop.wait()
    pipeline.go.set()
    sampling.cancel()
    await asyncio.gather(serving, sampling, return_exceptions=True)


async def measure_bot(waiting: int, people: int, rounds: int, folder: Path) -> None:
    """Fill the queue, then let everybody ask at once, several times."""
    loopback = LoopbackDiscord(rate_limits=False)
    await loopback.start()
    bot = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", loopback.base_url, str(folder)
    )
    await loopback.wait_ready()
    await loopback.wait_commands()
    users = [person.id for person in loopback.world.people.values() if not person.bot]
    channels = list(loopback.world.channels)
    acks_s: list[float] = []
    accepts_s: list[float] = []

    async def ask(number: int) -> None:
        begin_s = time.perf_counter()
        interaction = await loopback.slash(
            "imagine",
            {"prompt": f"picture {number}"},
            user_id=users[number % len(users)],
            channel_id=channels[number % len(channels)],
        )
        await interaction.until(lambda _: True)
        acks_s.append(time.perf_counter() - begin_s)
        await interaction.until(lambda message: bool(text_of(message)))
        accepts_s.append(time.perf_counter() - begin_s)

    for begin in range(0, waiting, 100):
        await asyncio.gather(*map(ask, range(begin, begin + 100)))
    for crowd in (1, people):
        acks_s.clear()
        accepts_s.clear()
        bot.send_signal(signal.SIGUSR1)
        for number in range(rounds):
            begin = waiting + number * crowd
            await asyncio.gather(*map(ask, range(begin, begin + crowd)))
        print(f"{waiting} jobs wait and more; {rounds} times {crowd} ask at once", flush=True)
        _print("to Discord's acknowledgement", acks_s)
        _print("to the place in the queue on the card", accepts_s)
    bot.send_signal(signal.SIGTERM)
    await bot.wait()
    await loopback.close()


async def measure_ledger(folder: Path) -> None:
    """A job's life in a file of so many rows."""
    limits = Limits(
        queued=10**9,
        person_active=1_000,
        person_per_minute=1_000,
        person_per_day=1_000,
        community_per_minute=5_000,
        community_per_day=5_000,
    )
    ledger = DatabaseLedger(SqliteDatabase(folder))

    async def accept(job: Job) -> None:
        await ledger.accept(job, limits)

    await asyncio.to_thread(ledger.open)
    number = 0
    for rows in (0, 1_000, 10_000, 100_000):
        jobs = [make_job(n) for n in range(number, rows)]
        for begin in range(0, len(jobs), 1_000):
            await asyncio.gather(*map(accept, jobs[begin : begin + 1_000]))
        number = max(number, rows)
        mine = [make_job(n) for n in range(number, number + PER_SIZE)]
        number += PER_SIZE
        print(f"ledger with {rows} rows, {rows} of them queued")

        async def run(to: State, these: list[Job] = mine) -> list[float]:
            return await _timed(lambda job: ledger.move(job.id, to), these)

        _print("accept", await _timed(accept, mine))
        _print("begin", await run(State.RUNNING))
        _print("drawn", await run(State.DRAWN))
        _print("delivered", await run(State.DELIVERED))
    await asyncio.to_thread(ledger.close)


async def measure_queue() -> None:
    """The queue in memory."""
    for waiting in (1_000, 10_000, 100_000):
        queue = JobQueue()
        for number in range(waiting):
            put(make_job(number), queue)
        more = [make_job(number) for number in range(PER_SIZE)]
        print(f"queue of {waiting}")

        async def add(job: Job, queue: JobQueue = queue) -> None:
            put(job, queue)

        async def take(_: Job, queue: JobQueue = queue) -> None:
            taken = await queue.take()
            if taken is not None:
                queue.over(taken.job.id)

        _print("add", await _timed(add, more))
        _print("take", await _timed(take, more))
        begin_s = time.perf_counter()
        queue.position(more[-1].id)
        print(f"    every place, after a change    {(time.perf_counter() - begin_s) * 1e3:8.2f} ms")


async def _timed(work: Callable[[Job], Awaitable[object]], jobs: list[Job]) -> list[float]:
    seconds = []
    for job in jobs:
        begin_s = time.perf_counter()
        await work(job)
        seconds.append(time.perf_counter() - begin_s)
    return seconds


async def _sample_lag(lags_s: list[float]) -> None:
    while True:
        before_s = time.perf_counter()
        await asyncio.sleep(LAG_NAP_S)
        lags_s.append(time.perf_counter() - before_s - LAG_NAP_S)


def _print(what: str, values_s: list[float]) -> None:
    p50, p99 = np.percentile(values_s, (50, 99)) * 1e3
    print(f"    {what:<34} p50 {p50:8.2f} ms  p99 {p99:8.2f} ms", flush=True)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--waiting", type=int, default=1_000)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--serve", nargs=2, metavar=("URL", "FOLDER"), help="used by itself")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve[0], Path(arguments.serve[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(
            measure_bot(arguments.waiting, arguments.people, arguments.rounds, Path(folder))
        )
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure_ledger(Path(folder)))
    asyncio.run(measure_queue())


if __name__ == "__main__":
    main()
