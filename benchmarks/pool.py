"""What Ray Serve costs, and what it brings: `python -m benchmarks.pool`.

First with a fake engine that sleeps: what a job and a streamed item cost beside the engine of this
process, alone and behind others, and how close to linear 1, 2, 4 and 8 engines are. Then the
embedded model on 1 and 2 engines.

Needs `make setup-scale`.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

from bot.config.sections import Config, EngineConfig, PoolConfig, StorageConfig
from bot.core.ports.engine import Attempt, Engine
from bot.core.ports.turns import Turns
from bot.core.queue.turns import Entry
from bot.core.queue.waiting import LocalTurns
from bot.engines.loading import start_pipeline
from bot.engines.local import LocalEngine
from bot.engines.pool.attending import PoolTurns
from bot.engines.pool.calls import ServeCalls
from bot.engines.pool.cluster import Cluster
from bot.engines.pool.engine import PoolEngine
from bot.engines.pool.kinds import USUAL, kinds_of
from bot.engines.pool.replica import Patience
from sdxl_engine import GeneratedImage, ImageRequest, Images, Pipeline, Progress
from sdxl_engine.request import NO_PICTURES, ModelCard, Pictures

ENGINES: Final = (1, 2, 4, 8)
STEPS: Final = 20
_QUICK: Final = {"graceful_shutdown_timeout_s": 1}
_SIDE_PX: Final = 64
# What decoding takes, in steps: on a TPU v5e 54 ms and 80. Meanwhile the next job is handed over.
_DECODING: Final = 54 / 80


class Sleeper:
    """A pipeline whose device sleeps for a while in each step, and in what is left after them.

    Like the engine's it has given the device all of its work when that begins to decode.
    """

    def __init__(self, step_s: float, told: Path) -> None:
        self.sizes = ((_SIDE_PX, _SIDE_PX),)
        self.models = ("sleeper",)
        self.checks: tuple[str, ...] = ()
        self.loras: dict[str, Any] = {}
        self.device = "1 x bed"
        self._step_s = step_s
        self._told = told
        self._device = Lock()

    def check(self, request: ImageRequest) -> None:
        """Everything can be slept through."""

    def resolved(self, request: ImageRequest) -> ImageRequest:
        """With a sampler."""
        return replace(request, sampler=request.sampler or "euler")

    def card(self, request: ImageRequest) -> ModelCard:
        """Nothing but a name."""
        return ModelCard(request.model or "sleeper")

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,  # noqa: ARG002 - as `Pipeline` has it, and the next
        previews: bool = False,  # noqa: ARG002
    ) -> Iterator[Progress]:
        """Sleep, step by step."""
        steps = request.num_inference_steps
        times = []
        for step in range(1, steps):
            self._work(1)
            times.append(time.monotonic())
            yield Progress(step, steps)
        if steps == STEPS:
            self._told.write_text("\n".join(map(str, times)))
        self._work(1)
        yield Progress(steps, steps, fetch=partial(self._decode, request))

    def _decode(self, request: ImageRequest) -> Images:
        self._work(_DECODING)
        rgb = bytes(3 * request.width_px * request.height_px)
        return (GeneratedImage(0, 0, request.width_px, request.height_px, rgb),)

    def _work(self, steps: float) -> None:
        with self._device:
            time.sleep(steps * self._step_s)


class Driver:
    """Draws as the worker does, without a ledger."""

    def __init__(self, engine: Engine, turns: Turns) -> None:
        self._engine = engine
        self._turns = turns
        self._made = 0

    async def one(self, request: ImageRequest, heard: Callable[[Progress], None]) -> None:
        """A job, from its wish to its images."""
        await self.many(request, 1, heard)

    async def many(
        self,
        request: ImageRequest,
        count: int,
        heard: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """So many jobs, of as many people."""
        for _ in range(count):
            self._made += 1
            self._turns.add(Entry(f"{id(self)}-{self._made}", "here", self._made))
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                turn = await self._turns.next()
                assert turn is not None  # noqa: S101 - nobody closes it
                group.create_task(self._draw(Attempt(turn.job_id, 1, turn.engine), request, heard))

    async def _draw(
        self, attempt: Attempt, request: ImageRequest, heard: Callable[[Progress], None]
    ) -> None:
        drawing = self._engine.submit(attempt, request, heard)
        self._turns.begin(attempt.job_id, 1)
        self._turns.finish(attempt.job_id, drawn=await drawing.sent())
        await drawing.images()
        self._turns.over(attempt.job_id)


def of(steps: int) -> ImageRequest:
    """A request."""
    return ImageRequest(
        "x", num_inference_steps=steps, num_images=1, width_px=_SIDE_PX, height_px=_SIDE_PX
    )


async def pooled(engines: int, task: Callable[[Driver], Awaitable[Any]]) -> Any:
    """Do something with a pool, once all its engines are there."""
    calls = ServeCalls()
    turns = PoolTurns(calls, {"sleeper", "doodle"})
    engine = PoolEngine(calls, turns)
    there = asyncio.Event()
    know = turns.on_engines

    def count(beats: Sequence[Any]) -> None:
        know(tuple(beats))
        if len(beats) == engines:
            there.set()

    turns.on_engines = count
    attending = asyncio.create_task(engine.run())
    try:
        await there.wait()
        return await task(Driver(engine, turns))
    finally:
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)
        await engine.close(5)


async def here(start: Callable[[], Pipeline], task: Callable[[Driver], Awaitable[Any]]) -> Any:
    """Do it with the engine of this process."""
    engine = LocalEngine(start)
    engine.start()
    await engine.warm()
    try:
        return await task(Driver(engine, LocalTurns()))
    finally:
        await engine.close(5)


async def job_s(driver: Driver) -> float:
    """The median of what a job takes that is drawn at once."""
    took = []
    for _ in range(60):
        begun_s = time.monotonic()
        await driver.one(of(1), lambda _: None)
        took.append(time.monotonic() - begun_s)
    return statistics.median(took[10:])


def item_s(told: Path) -> Callable[[Driver], Awaitable[float]]:
    """The median of how long a streamed item is on its way."""

    async def measure(driver: Driver) -> float:
        late: list[float] = []
        for _ in range(10):
            heard: dict[int, float] = {}

            def hear(progress: Progress, heard: dict[int, float] = heard) -> None:
                heard.setdefault(progress.step, time.monotonic())

            await driver.one(of(STEPS), hear)
            times = map(float, told.read_text().split())  # noqa: ASYNC240 - nothing else runs
            late += [heard[n] - at_s for n, at_s in enumerate(times, start=1) if n in heard]
        return statistics.median(late)

    return measure


def throughput(request: ImageRequest, count: int) -> Callable[[Driver], Awaitable[float]]:
    """How many jobs a second."""

    async def measure(driver: Driver) -> float:
        await driver.many(request, 8)
        begun_s = time.monotonic()
        await driver.many(request, count)
        return count / (time.monotonic() - begun_s)

    return measure


def deploy(cluster: Cluster, engines: int, start: Callable[[], Pipeline]) -> None:
    """Have so many."""
    pool = PoolConfig(resources=(("CPU", 0.1),), least=engines, most=engines)
    kinds = kinds_of(Config(pool=pool))
    cluster.deploy(kinds, lambda _: start, Patience(0, 0), options=_QUICK)
    while True:  # those before are gone, too
        time.sleep(0.5)
        kind = cluster.status().kinds.get(USUAL)
        if kind is not None and kind.replicas == {"RUNNING": engines}:
            return


def doodle_config(folder: Path) -> Config:
    """The embedded model, whose programs are kept here."""
    return Config(
        engine=EngineConfig(images_per_request=1, prompt_chunks=1),
        storage=StorageConfig(folder=folder),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-model", action="store_true", help="leave the embedded model out")
    parser.add_argument("--step-ms", type=float, default=25.0, help="what a step sleeps")
    args = parser.parse_args()
    step_s = args.step_ms / 1000
    cluster = Cluster()
    cluster.join()
    try:
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "told"
            at_once, slow = partial(Sleeper, 0.0, told), partial(Sleeper, step_s, told)
            deploy(cluster, 1, at_once)
            local_s, pool_s = asyncio.run(here(at_once, job_s)), asyncio.run(pooled(1, job_s))
            print(f"a job: here {1e3 * local_s:.2f} ms, pool {1e3 * pool_s:.2f} ms")
            print(f"  Ray's part {1e3 * (pool_s - local_s):.2f} ms (at most 5)")
            deploy(cluster, 1, slow)
            local_s = asyncio.run(here(slow, item_s(told)))
            pool_s = asyncio.run(pooled(1, item_s(told)))
            print(f"an item: here {1e3 * local_s:.2f} ms, pool {1e3 * pool_s:.2f} ms")
            print(f"  Ray's part {1e3 * (pool_s - local_s):.2f} ms (at most 1)")
            alone = asyncio.run(here(slow, throughput(of(STEPS), 16)))
            print(f"here: {alone:.2f} jobs/s")
            first = 0.0
            for engines in ENGINES:
                deploy(cluster, engines, slow)
                rate = asyncio.run(pooled(engines, throughput(of(STEPS), 16 * engines)))
                if not first:
                    first = rate
                    print(f"  a job that others follow: {1e3 / rate - 1e3 / alone:.2f} ms of Ray's")
                print(
                    f"{engines} engines: {rate:.2f} jobs/s, {rate / first / engines:.1%} of linear"
                )
            if not args.no_model:
                embedded(cluster, Path(folder))
    finally:
        cluster.take_down()
        cluster.leave()


def embedded(cluster: Cluster, folder: Path) -> None:
    """The embedded model, here and on one and two engines."""
    start = partial(start_pipeline, doodle_config(folder))
    request = ImageRequest(
        "a red circle", num_inference_steps=20, num_images=1, width_px=128, height_px=128
    )
    rates = {"here": asyncio.run(here(start, throughput(request, 8)))}
    for engines in (1, 2):
        deploy(cluster, engines, start)
        rates[f"{engines} engines"] = asyncio.run(pooled(engines, throughput(request, 8 * engines)))
    for name, rate in rates.items():
        print(f"embedded, {name}: {rate:.2f} jobs/s, {rate / rates['here']:.2f} of here")


if __name__ == "__main__":
    main()
