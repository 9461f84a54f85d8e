"""How often is a card edited, and how soon does whoever presses a button see something of it?

    .venv/bin/python benchmarks/presses.py [--jobs 20] [--waiting 1000] [--presses 100]

The real bot in a process of its own and an unmodified discord.py over the loopback Discord. First
jobs of one channel, under Discord's rate limits: when their cards are edited, and what Discord
refuses. Then, without these limits (they would be what is measured), while a thousand jobs wait in
fifty channels and move up: from a press to Discord's acknowledgement, and to what the person sees.
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
from typing import Any

import numpy as np

from benchmarks.load import QuickPipeline, settle
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
from sdxl_engine import ImageRequest, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from standins.discord.components import files_of, pressable, text_of
from standins.discord.interactions import Interaction, Predicate
from standins.discord.loopback import DEFAULT_TOKEN, LoopbackDiscord
from standins.discord.ratelimits import RateLimits, Verdict

Message = dict[str, Any]

QUICK = {"prompt": "a fox", "steps": 4}
SLOW = {"prompt": "a slow fox", "steps": 20}
SLOW_STEP_S = 0.1
WINDOW_S = 5.0
CHANNELS, PEOPLE = 50, 5
AT_ONCE = 100
PACE_S, JITTER_S = 1.5, 0.1


class SlowPipeline(QuickPipeline):
    """Quick, but for what is asked to be slow: two seconds a job."""

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        """Draw as the prompt says."""
        for progress in super().generate(request, pictures=pictures, previews=previews):
            if request.prompt == SLOW["prompt"]:
                time.sleep(SLOW_STEP_S)  # on the engine's thread
            yield progress


class CountedLimits(RateLimits):
    """Discord's limits, and how many requests they refused."""

    refused = 0

    def check(self, method: str, path: str) -> Verdict:
        """Count one request to `path`."""
        verdict = super().check(method, path)
        self.refused += verdict.retry_after_s is not None
        return verdict


async def serve(base_url: str, folder: Path) -> None:
    """The bot, as a process of its own."""
    descriptors.raise_limit()
    config = Config(
        engine=EngineConfig(sizes=QuickPipeline.sizes),
        discord=DiscordConfig(f"{base_url}/api/v10", f"{base_url.replace('http', 'ws')}/gateway"),
        jobs=JobsConfig(max_queued=100_000, shutdown_grace_s=0),
        limits=LimitsConfig(0, 0, 0, 0, 0),
        health=HealthConfig(port=0),
    )
    home = discord_home(config, Secret(DEFAULT_TOKEN), None)
    app = App(config, SlowPipeline, [home], folder)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await app.run(stop)


async def start(loopback: LoopbackDiscord, folder: Path) -> asyncio.subprocess.Process:
    """The bot, online."""
    await loopback.start()
    bot = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", loopback.base_url, str(folder)
    )
    await loopback.wait_ready()
    await loopback.wait_commands()
    return bot


async def close(loopback: LoopbackDiscord, bot: asyncio.subprocess.Process) -> None:
    """Stop both."""
    bot.send_signal(signal.SIGTERM)
    await bot.wait()
    await loopback.close()


def has_pictures(message: Message) -> bool:
    """Whether finished pictures are there."""
    return any(not is_preview(file["filename"]) for file in files_of(message))


def says(words: str) -> Predicate:
    """Whether a message says this, or has a button of that id."""
    return lambda message: (
        words in text_of(message) or any(words in one["custom_id"] for one in pressable(message))
    )


async def measure_edits(jobs: int, folder: Path) -> bool:
    """Ask for so many in one channel, and look at each edit; whether they kept their pace."""
    limits = CountedLimits(time.monotonic)
    loopback = LoopbackDiscord(rate_limits=limits)
    bot = await start(loopback, folder)
    edits_s: dict[str, list[float]] = {}  # by card

    async def watch() -> None:
        async with loopback.subscribe() as events:
            while True:
                event = await events.get()
                if event.kind == "message_update":
                    edits_s.setdefault(event.message["id"], []).append(time.perf_counter())

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    begin_s = time.perf_counter()
    asked = [await loopback.slash("imagine", SLOW) for _ in range(jobs)]
    for interaction in asked:
        await interaction.until(has_pictures)
    took_s = time.perf_counter() - begin_s
    watching.cancel()
    await close(loopback, bot)
    paced_s = np.sort([at_s for each in edits_s.values() for at_s in each[1:-1]])
    all_s = np.sort([at_s for each in edits_s.values() for at_s in each])
    gaps_s = np.diff(paced_s)
    most = max(np.searchsorted(all_s, at_s + WINDOW_S) - k for k, at_s in enumerate(all_s))
    print(f"{jobs} jobs in one channel, {took_s:.0f} s: {len(all_s)} edits of their cards")
    print(f"    first words {len(edits_s)}, pictures {len(edits_s)}, between {len(paced_s)}")
    print(f"    between: one in {np.mean(gaps_s):.2f} s, two no closer than {min(gaps_s):.2f} s")
    print(f"    of all kinds within {WINDOW_S:.0f} s: most {most}")
    print(f"    refused for too many requests (429): {limits.refused}", flush=True)
    return not limits.refused and min(gaps_s) > PACE_S - JITTER_S


@dataclass
class Spot:
    """A message with buttons, and who presses them."""

    message: Message
    user_id: int

    def custom_id(self, start: str) -> str:
        """Of its first button of this kind."""
        ids = [str(one["custom_id"]) for one in pressable(self.message)]
        return next(one for one in ids if one.startswith(f"v1:{start}"))


@dataclass(frozen=True)
class Kind:
    """One kind of press.

    start  of the button's id
    seen   whether a message is what the person pressed for
    """

    name: str
    start: str
    seen: Predicate
    spots: list[Spot]


class Pressing:
    """People who press beside a long queue."""

    def __init__(self, loopback: LoopbackDiscord) -> None:
        self._loopback = loopback
        self._people, self._channels = settle(loopback, PEOPLE, CHANNELS)
        finished, looks, pages = list[Spot](), list[Spot](), list[Spot]()
        self._finished, self._looks, self._pages = finished, looks, pages
        self._waiting: list[Spot] = []
        self._kinds = (
            Kind("reroll", "reroll", says("job "), finished),
            Kind("look", "open", has_pictures, finished),
            Kind("recipe", "recipe", says("/imagine"), finished),
            Kind("like", "like", says("v1:unlike"), looks),
            Kind("page", "page:drawn:1", says("page 2"), pages),
            Kind("cancel", "cancel", says("Cancelled by the one who asked"), self._waiting),
            # Last: of what is deleted nothing can be made.
            Kind("delete", "delete", says("Deleted by the one who asked"), finished),
        )

    async def fill(self, waiting: int, presses: int) -> None:
        """Have jobs drawn and looked at, as many as will be pressed, and then so many wait."""
        self._finished += await self._ask(QUICK, presses, has_pictures)
        for spot in self._finished:
            opened = await self._press(spot, "open")
            self._looks.append(Spot(await opened.until(has_pictures), spot.user_id))
            history = await self._loopback.slash("history", {}, user_id=spot.user_id)
            self._pages.append(Spot(await history.until(says("page 1")), spot.user_id))
        # From the end: they are not drawn meanwhile.
        self._waiting += reversed(await self._ask(SLOW, waiting, says("job ")))

    async def measure(self, part: slice, at_once: int) -> None:
        """Press each kind on this part of what there is, so many at once; print what was seen."""
        for kind in self._kinds:
            spots, acks_s, seen_s = kind.spots[part], list[float](), list[float]()
            for first in range(0, len(spots), at_once):
                some = spots[first : first + at_once]
                await asyncio.gather(*(self._time(kind, one, acks_s, seen_s) for one in some))
            print_row(f"{kind.name}: acknowledged", acks_s)
            print_row(f"{kind.name}: seen", seen_s)

    async def _ask(
        self, options: Mapping[str, object], jobs: int, is_there: Predicate
    ) -> list[Spot]:
        async def ask(number: int) -> Spot:
            user_id = self._people[number % len(self._people)]
            asked = await self._loopback.slash(
                "imagine",
                options,
                user_id=user_id,
                channel_id=self._channels[number % len(self._channels)],
            )
            return Spot(await asked.until(is_there), user_id)

        spots = []
        for first in range(0, jobs, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, jobs))
            spots += await asyncio.gather(*map(ask, numbers))
        return spots

    async def _time(self, kind: Kind, spot: Spot, acks_s: list[float], seen_s: list[float]) -> None:
        begin_s = time.perf_counter()
        pressed = await self._press(spot, kind.start)
        await pressed.until(lambda _: True)
        acks_s.append(time.perf_counter() - begin_s)
        await pressed.until(kind.seen)
        seen_s.append(time.perf_counter() - begin_s)

    async def _press(self, spot: Spot, start: str) -> Interaction:
        message_id, custom_id = int(spot.message["id"]), spot.custom_id(start)
        return await self._loopback.press(message_id, custom_id, user_id=spot.user_id)


async def measure_presses(waiting: int, presses: int, at_once: int, folder: Path) -> None:
    """Let people press, one after the other and then many at once."""
    loopback = LoopbackDiscord(rate_limits=False)
    bot = await start(loopback, folder)
    pressing = Pressing(loopback)
    await pressing.fill(waiting, 2 * presses)
    for part, crowd in ((slice(presses), 1), (slice(presses, 2 * presses), at_once)):
        print(f"{waiting} jobs wait and move up, {crowd} press at once", flush=True)
        await pressing.measure(part, crowd)
    await close(loopback, bot)


def print_row(what: str, values_s: list[float]) -> None:
    """A row of the table."""
    p50, p99 = np.percentile(values_s, (50, 99)) * 1e3
    print(f"    {what:<24} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms", flush=True)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20, help="in one channel")
    parser.add_argument("--waiting", type=int, default=1_000)
    parser.add_argument("--presses", type=int, default=100, help="of each kind")
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--serve", nargs=2, metavar=("URL", "FOLDER"), help="used by itself")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve[0], Path(arguments.serve[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        kept_pace = asyncio.run(measure_edits(arguments.jobs, Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        waiting, presses, at_once = arguments.waiting, arguments.presses, arguments.at_once
        asyncio.run(measure_presses(waiting, presses, at_once, Path(folder)))
    if not kept_pace:
        sys.exit("the cards of one channel were edited too often")


if __name__ == "__main__":
    main()
