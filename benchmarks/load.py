"""Does every card come right when fifty servers ask at once, and does the bot stay as it is?

    .venv/bin/python benchmarks/load.py [--jobs 1250] [--people 300] [--servers 50] [--fast]

The real bot in a process of its own and an unmodified discord.py over the loopback Discord, which
takes five edits in five seconds in a channel, whoever makes them and whichever way. A few
milliseconds a step stand in for the device. `--fast` leaves the limits out: then it is the bot's
own memory, descriptors and threads that are looked at, over many jobs.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

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
from bot.core.card import is_preview
from bot.shared import descriptors
from bot.shared.secret import Secret
from sdxl_engine import GeneratedImage, ImageRequest, Progress
from sdxl_engine.request import NO_PICTURES, KnownLora, ModelCard, Pictures
from standins.base.timers import Clock
from standins.discord.components import files_of, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import DEFAULT_TOKEN, LoopbackDiscord
from standins.discord.ratelimits import RateLimits, Verdict
from standins.discord.world import Channel, Person

SIDE_PX = 64
STEPS = 4
STEP_S = 0.004
EDITS, WINDOW_S = 5, 5.0
SAMPLE_EVERY_S = 0.5
PATIENCE_S = 1_800


class QuickPipeline:
    """Draws grey squares, a few milliseconds a step."""

    sizes = ((SIDE_PX, SIDE_PX),)
    models = ("quick",)
    checks = ()
    device = "none"
    loras: Mapping[str, KnownLora] = MappingProxyType({})

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
        """Take the time of a step, so many times."""
        del pictures, previews
        steps = request.num_inference_steps
        images = tuple(
            GeneratedImage(k, 0, SIDE_PX, SIDE_PX, bytes(3 * SIDE_PX**2))
            for k in range(request.num_images)
        )
        for step in range(1, steps + 1):
            time.sleep(STEP_S)  # on the engine's thread, where the device would be waited for
            yield Progress(step, steps, fetch=None if step < steps else lambda: images)


class ChannelLimits(RateLimits):
    """Five edits in five seconds in a channel, by the interaction's token as well as by the bot's.

    channels  where each token was given
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.channels: dict[str, int] = {}

    def check(self, method: str, path: str) -> Verdict:
        """Count one request to `path`."""
        parts = path.split("/")
        if method == "PATCH" and parts[1] == "webhooks":
            channel = str(self.channels[parts[3]])
            left, reset_after_s = self._count(("edits", channel), EDITS, WINDOW_S)
            if left < 0:
                return Verdict({}, reset_after_s)
        return super().check(method, path)


@dataclass
class Sample:
    """What a process holds."""

    rss_mib: float
    files: int
    threads: int


def look_at(pid: int) -> Sample:
    """A process, now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = dict(line.split(":", 1) for line in status.splitlines())
    return Sample(
        rss_mib=int(found["VmRSS"].split()[0]) / 1024,
        files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(found["Threads"]),
    )


async def serve(base_url: str, folder: Path) -> None:
    """The bot, as a process of its own."""
    descriptors.raise_limit()
    config = Config(
        engine=EngineConfig(sizes=QuickPipeline.sizes, default_steps=STEPS),
        discord=DiscordConfig(f"{base_url}/api/v10", f"{base_url.replace('http', 'ws')}/gateway"),
        jobs=JobsConfig(max_queued=100_000, shutdown_grace_s=0),
        limits=LimitsConfig(0, 0, 0, 0, 0),
        health=HealthConfig(port=0),
    )
    app = App(config, QuickPipeline, [discord_home(config, Secret(DEFAULT_TOKEN), None)], folder)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await app.run(stop)


def settle(loopback: LoopbackDiscord, people: int, servers: int) -> tuple[list[int], list[int]]:
    """Found servers of one channel each, and have people live there; returns both's ids."""
    world = loopback.world
    for number in range(people):
        person_id = 910_000_000_000_000_000 + number
        world.people[person_id] = Person(person_id, f"person{number}", f"Person {number}")
    for number in range(servers):
        channel_id = 920_000_000_000_000_000 + number
        world.channels[channel_id] = Channel(
            channel_id, f"channel{number}", guild_id=930_000_000_000_000_000 + number
        )
    return list(world.people)[-people:], list(world.channels)[-servers:]


def is_right(interaction: Interaction) -> bool:
    """Whether a card shows its four pictures, and says nothing of an earlier time."""
    message = interaction.original
    if message is None or not text_of(message).startswith("```"):
        return False
    names = [file["filename"] for file in files_of(message)]
    return len(names) == 4 and not any(map(is_preview, names))  # noqa: PLR2004 - pictures


async def measure(arguments: argparse.Namespace, folder: Path) -> bool:
    """Ask, wait, look; returns whether all came right."""
    limits = ChannelLimits(time.monotonic)
    loopback = LoopbackDiscord(rate_limits=False if arguments.fast else limits)
    await loopback.start()
    people, channels = settle(loopback, arguments.people, arguments.servers)
    bot = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", loopback.base_url, str(folder)
    )
    await loopback.wait_ready()
    await loopback.wait_commands()
    acks_s: list[float] = []
    asked: list[Interaction] = []
    samples: list[Sample] = []

    async def sample() -> None:
        while True:
            samples.append(look_at(bot.pid))
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def ask(number: int) -> None:
        begin_s = time.perf_counter()
        interaction = await loopback.slash(
            "imagine",
            {"prompt": f"picture {number}", "steps": STEPS},
            user_id=people[number % len(people)],
            channel_id=channels[number % len(channels)],
        )
        limits.channels[interaction.token] = interaction.channel_id
        asked.append(interaction)
        await interaction.until(lambda _: True)
        acks_s.append(time.perf_counter() - begin_s)
        await interaction.until(lambda _: is_right(interaction))

    sampling = asyncio.create_task(sample())
    begin_s = time.perf_counter()
    asking: list[asyncio.Task[Any]] = []
    for number in range(arguments.jobs):
        asking.append(asyncio.create_task(ask(number)))
        await asyncio.sleep(arguments.every_s)
    done, late = await asyncio.wait(asking, timeout=PATIENCE_S)
    took_s = time.perf_counter() - begin_s
    for task in late:
        task.cancel()
    sampling.cancel()
    await asyncio.gather(sampling, *late, return_exceptions=True)
    bot.send_signal(signal.SIGTERM)
    await bot.wait()
    await loopback.close()

    right = sum(map(is_right, asked))
    unheard = sum(not one.acknowledged for one in asked)
    failed = sum(task.exception() is not None for task in done)
    print(f"{len(asked)} jobs of {len(people)} people in {len(channels)} servers: {took_s:.0f} s")
    print(f"    cards right {right}, unacknowledged {unheard}, failed {failed}")
    p50, p99 = np.percentile(acks_s, (50, 99)) * 1e3
    print(f"    acknowledged after p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {max(acks_s):.2f} s")
    for part in range(5):
        piece = samples[len(samples) * part // 5 : len(samples) * (part + 1) // 5]
        print(
            f"    {20 * part:3} to {20 * (part + 1):3} % of the time:"
            f"  RSS {np.median([one.rss_mib for one in piece]):6.1f} MiB"
            f"  files {np.median([one.files for one in piece]):4.0f}"
            f" (most {max(one.files for one in piece)})"
            f"  threads {np.median([one.threads for one in piece]):.0f}"
        )
    return right == len(asked) and not unheard


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_250)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--servers", type=int, default=50)
    parser.add_argument("--every-s", type=float, default=0.005, help="between two who ask")
    parser.add_argument("--fast", action="store_true", help="without Discord's limits")
    parser.add_argument("--serve", nargs=2, metavar=("URL", "FOLDER"), help="used by itself")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve[0], Path(arguments.serve[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        if not asyncio.run(measure(arguments, Path(folder))):
            sys.exit("not every card came right")


if __name__ == "__main__":
    main()
