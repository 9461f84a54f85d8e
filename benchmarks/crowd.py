"""How quick is the bot with a thousand jobs in line and fifty people asking at once?

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
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np

from bot.app import Service
from bot.config.sections import (
    Config,
    DiscordConfig,
    EngineConfig,
    HealthConfig,
    JobsConfig,
    LimitsConfig,
)
from bot.core.job import Job, State, new_job_id
from bot.core.ports.ledger import Limits
from bot.core.queue.waiting import Line
from bot.homes.discord.sync import CommandRecord
from bot.ledgers.sqlite.ledger import SqliteLedger
from bot.shared.secret import Secret
from sdxl_engine import ImageRequest, Progress
from standins.discord.loopback import DEFAULT_TOKEN, LoopbackDiscord

LAG_NAP_S = 0.005
PER_SIZE = 300


class HeldPipeline:
    """Begins a job and draws it when it is let go."""

    sizes = ((64, 64),)

    def __init__(self) -> None:
        self.go = threading.Event()

    def check(self, request: ImageRequest) -> None:
        """Everything can be drawn."""

    def generate(self, request: ImageRequest, *, previews: bool = False) -> Iterator[Progress]:
        """Wait."""
        del previews
        self.go.wait()
        yield Progress(1, request.num_inference_steps, fetch=lambda: ())


def make_job(number: int) -> Job:
    """One of many, of a thousand people in a hundred servers."""
    return Job(
        id=new_job_id(),
        request=ImageRequest("a circle", width_px=64, height_px=64),
        size_known=True,
        user_id=number % 1_000,
        user_name="somebody",
        guild_id=number % 100,
        channel_id=1,
        message_id=number,
        token="",
        interaction_id=number,
        attachment_limit_bytes=2**20,
        weight=1.0,
        cost=1.0,
        asked_at_s=time.time(),
    )


async def serve(base_url: str, folder: Path) -> None:
    """The bot, as a process of its own; told to stop, it prints how late its loop woke."""
    pipeline = HeldPipeline()
    service = Service(
        Config(
            engine=EngineConfig(sizes=pipeline.sizes, stuck_after_s=0),
            discord=DiscordConfig(
                f"{base_url}/api/v10", f"{base_url.replace('http', 'ws')}/gateway"
            ),
            jobs=JobsConfig(max_queued=100_000, shutdown_grace_s=0),
            limits=LimitsConfig(0, 0, 0, 0, 0),
            health=HealthConfig(port=0),
        ),
        Secret(DEFAULT_TOKEN),
        lambda: pipeline,
        CommandRecord(None),
        folder,
    )
    loop, stop, lags_s = asyncio.get_running_loop(), asyncio.Event(), list[float]()
    loop.add_signal_handler(signal.SIGUSR1, lags_s.clear)
    loop.add_signal_handler(signal.SIGTERM, lambda: (_print("loop lag", lags_s), stop.set()))
    sampling = asyncio.create_task(_sample_lag(lags_s))
    serving = asyncio.create_task(service.run(stop))
    await stop.wait()
    pipeline.go.set()
    sampling.cancel()
    await asyncio.gather(serving, sampling, return_exceptions=True)


async def measure_bot(waiting: int, people: int, rounds: int, folder: Path) -> None:
    """Fill the line, then let everybody ask at once, several times."""
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
        await interaction.until(lambda message: bool(message["content"]))
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
        print(f"{waiting} jobs in line and more; {rounds} times {crowd} ask at once", flush=True)
        _print("to Discord's acknowledgement", acks_s)
        _print("to the place in line on the card", accepts_s)
    bot.send_signal(signal.SIGTERM)
    await bot.wait()
    await loopback.close()


async def measure_ledger(folder: Path) -> None:
    """A job's life in a file of so many rows."""
    ledger = SqliteLedger(
        folder,
        Limits(
            queued=10**9,
            user_active=1_000,
            user_per_minute=1_000,
            user_per_day=1_000,
            guild_per_minute=5_000,
            guild_per_day=5_000,
        ),
    )
    await asyncio.to_thread(ledger.open)
    number = 0
    for rows in (0, 1_000, 10_000, 100_000):
        jobs = [make_job(n) for n in range(number, rows)]
        for begin in range(0, len(jobs), 1_000):
            await asyncio.gather(*map(ledger.accept, jobs[begin : begin + 1_000]))
        number = max(number, rows)
        mine = [make_job(n) for n in range(number, number + PER_SIZE)]
        number += PER_SIZE
        print(f"ledger with {rows} rows, {rows} of them queued")

        async def run(to: State, these: list[Job] = mine) -> list[float]:
            return await _timed(lambda job: ledger.move(job.id, to), these)

        _print("accept", await _timed(ledger.accept, mine))
        _print("begin", await run(State.RUNNING))
        _print("drawn", await run(State.DRAWN))
        _print("delivered", await run(State.DELIVERED))
    await asyncio.to_thread(ledger.close)


async def measure_line() -> None:
    """The line in memory."""
    for waiting in (1_000, 10_000, 100_000):
        line = Line()
        for number in range(waiting):
            line.add(make_job(number))
        more = [make_job(number) for number in range(PER_SIZE)]
        print(f"line of {waiting}")

        async def add(job: Job, line: Line = line) -> None:
            line.add(job)

        async def take(_: Job, line: Line = line) -> None:
            await line.take()

        _print("add", await _timed(add, more))
        _print("take", await _timed(take, more))
        begin_s = time.perf_counter()
        line.position(more[-1].id)
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
    asyncio.run(measure_line())


if __name__ == "__main__":
    main()
