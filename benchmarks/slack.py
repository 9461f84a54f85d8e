"""How soon does Slack hear from a bot that has both homes, and who has its engine's time?

    .venv/bin/python benchmarks/slack.py [--waiting 1000] [--times 100] [--at-once 10] [--asked 20]

The real bot in a process of its own, an unmodified discord.py and an unmodified slack_bolt over the
loopbacks, without their rate limits (they would be what is measured). While a thousand jobs wait,
half of them asked for in each home: from a command, a press and a dialog in Slack to the ack. Then
the engine's seconds of a workspace and of two servers that all want, one of which floods the bot.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import QuickPipeline, settle
from benchmarks.presses import SLOW, SlowPipeline, says
from bot.app import App, discord_home, slack_home
from bot.config.reading import SlackTokens
from bot.config.sections import (
    Config,
    DiscordConfig,
    EngineConfig,
    HealthConfig,
    JobsConfig,
    LimitsConfig,
    SlackConfig,
)
from bot.homes.slack.render import files_of
from bot.shared import descriptors
from bot.shared.secret import Secret
from sdxl_engine import ImageRequest, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from standins.discord.loopback import DEFAULT_TOKEN, LoopbackDiscord
from standins.slack.invocations import Invocation
from standins.slack.loopback import DEFAULT_APP_TOKEN, DEFAULT_BOT_TOKEN, LoopbackSlack
from standins.slack.world import Person

WANTED_S = 0.3
SERVERS, PEOPLE = 50, 10
BATCH = 50
TURNS, GO, FIRST, POLL_S = "turns.txt", "go", "the first", 0.01
# Who asks, for how many steps each, and how many times as much as the others.
FLOOD, OTHERS = ("server that floods", 20, 4), (("server", 10, 1), ("workspace", 10, 1))

Message = dict[str, Any]


class TimedPipeline(SlowPipeline):
    """Writes down how long it drew for whom, and draws nothing behind the first until it may go.

    folder  where it writes that, and finds that it may
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        """Draw as the prompt says."""
        begin_s = time.perf_counter()
        yield from super().generate(request, pictures=pictures, previews=previews)
        while request.prompt == FIRST and not (self._folder / GO).exists():
            time.sleep(POLL_S)  # on the engine's thread
        with (self._folder / TURNS).open("a") as file:
            file.write(f"{time.perf_counter() - begin_s} {request.prompt}\n")


async def serve(discord_url: str, slack_url: str, folder: Path) -> None:
    """The bot, as a process of its own."""
    descriptors.raise_limit()
    config = Config(
        engine=EngineConfig(sizes=QuickPipeline.sizes),
        discord=DiscordConfig(
            f"{discord_url}/api/v10", f"{discord_url.replace('http', 'ws')}/gateway"
        ),
        slack=SlackConfig(api_url=slack_url),
        jobs=JobsConfig(max_queued=100_000, shutdown_grace_s=0),
        limits=LimitsConfig(0, 0, 0, 0, 0),
        health=HealthConfig(port=0),
    )
    homes = [
        discord_home(config, Secret(DEFAULT_TOKEN), None),
        slack_home(config, SlackTokens(Secret(DEFAULT_BOT_TOKEN), Secret(DEFAULT_APP_TOKEN))),
    ]
    app = App(config, lambda: TimedPipeline(folder), homes, folder)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await app.run(stop)


class Town:
    """Both loopbacks, the people in them, and the bot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.discord = LoopbackDiscord(rate_limits=False)
        self.slack = LoopbackSlack(rate_limits=False)
        world = self.slack.world
        self.channel = world.channel("imagine")
        self.slackers = [f"U0CROWD{number:03}" for number in range(PEOPLE)]
        for one in self.slackers:
            world.people[one] = Person(one, one.lower(), world.team_id)
        self.channel.member_ids |= set(self.slackers)
        self.people, self.servers = settle(self.discord, 2 * PEOPLE, SERVERS)

    async def start(self) -> None:
        """Open all."""
        await asyncio.gather(self.discord.start(), self.slack.start())
        self._bot = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--serve"),
            *(self.discord.base_url, self.slack.api_url, str(self.folder)),
        )
        await asyncio.gather(
            self.discord.wait_ready(), self.discord.wait_commands(), self.slack.wait_connected()
        )

    async def close(self) -> None:
        """Close all."""
        self._bot.send_signal(signal.SIGTERM)
        await self._bot.wait()
        await asyncio.gather(self.discord.close(), self.slack.close())

    async def ask_discord(self, number: int, options: Mapping[str, object], server: int) -> None:
        """Ask for something in a server, and wait for the first words."""
        asked = await self.discord.slash(
            "imagine",
            options,
            user_id=self.people[server % 2 * PEOPLE + number % PEOPLE],  # as many in each
            channel_id=self.servers[server],
        )
        await asked.until(says("job "))

    async def ask_slack(self, number: int, text: str) -> Invocation:
        """Ask for something in the workspace, and wait for the ack."""
        user = self.slackers[number % PEOPLE]
        asked = await self.slack.slash("/imagine", text, user=user, channel=self.channel.id)
        await asked.acknowledged()
        return asked

    def cards(self) -> list[Message]:
        """What everybody sees of the bot's in Slack."""
        return [one for one in self.slack.history(self.channel.id) if one.get("metadata")]

    async def until_cards(self, count: int) -> None:
        """Wait until there are so many."""
        await self.slack.until(lambda: len(self.cards()) >= count)


async def in_batches(do: Callable[[int], Awaitable[object]], count: int, at_once: int) -> None:
    """Do something so often, so many at once."""
    for first in range(0, count, at_once):
        await asyncio.gather(*map(do, range(first, min(first + at_once, count))))


async def measure_acks(town: Town, waiting: int, times: int, at_once: int) -> bool:
    """Print how long they take; whether they are as soon as wanted."""
    await town.ask_slack(0, "a fox --steps 4")
    await town.slack.until(lambda: any(map(files_of, town.cards())))
    (card,) = town.cards()
    slow = f"{SLOW['prompt']} --steps {SLOW['steps']}"
    await in_batches(lambda n: town.ask_slack(n, slow), waiting // 2, BATCH)
    await in_batches(lambda n: town.ask_discord(n, SLOW, n % SERVERS), waiting // 2, BATCH)
    await town.until_cards(1 + waiting // 2)

    async def command(number: int) -> Invocation:
        return await town.ask_slack(number, slow)

    async def press(number: int) -> Invocation:
        user = town.slackers[number % PEOPLE]
        pressed = await town.slack.press(card, "v1:reroll", user=user)
        await pressed.acknowledged()
        return pressed

    async def dialog(number: int) -> Invocation:
        user = town.slackers[number % PEOPLE]
        async with locks[number % PEOPLE]:  # nobody fills in two at once
            await town.ask_slack(number, "")
            await town.slack.until(lambda: town.slack.view_of(user) is not None)
            view = town.slack.view_of(user)
            if view is None:
                raise AssertionError("The dialog was closed by somebody else.")
            return await town.slack.submit(view, {"prompt": SLOW["prompt"]}, user=user)

    locks = [asyncio.Lock() for _ in range(PEOPLE)]
    soon = True
    for crowd in (1, at_once):
        print(f"{waiting} jobs wait in both homes, {crowd} at once in Slack", flush=True)
        for what in (command, press, dialog):
            acks_s = list[float]()

            async def measure(
                number: int,
                what: Callable[[int], Awaitable[Invocation]] = what,
                acks_s: list[float] = acks_s,
            ) -> None:
                done = await what(number)
                acks_s.append(float("inf") if done.ack_s is None else done.ack_s)

            await in_batches(measure, times, crowd)
            p50, p99, most = np.percentile(acks_s, (50, 99, 100)) * 1e3
            soon = soon and p99 < WANTED_S * 1e3
            what_for = f"    {what.__name__:<10}"
            print(f"{what_for} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms  most {most:7.1f} ms")
    return soon


async def measure_shares(town: Town, asked: int) -> None:
    """Print who has the engine while all want it."""
    places = (FLOOD, *OTHERS)
    await town.ask_slack(0, f"{FIRST} --steps 1")
    for place, (who, steps, times) in enumerate(places):
        for number in range(asked * times):
            if who == "workspace":
                await town.ask_slack(number, f"{who} --steps {steps}")
            else:
                await town.ask_discord(number, {"prompt": who, "steps": steps}, place)
    await town.until_cards(1 + asked)
    (town.folder / GO).touch()
    path, left = town.folder / TURNS, {who for who, _, _ in places}
    wanted = {who: asked * times for who, _, times in places}
    drawn_s: dict[str, list[float]] = {who: [] for who in left}
    seen = 0
    while all(len(times_s) < wanted[who] for who, times_s in drawn_s.items()):
        await asyncio.sleep(0.2)
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines[seen:]:
            took_s, _, who = line.partition(" ")
            if who in left and all(len(drawn_s[one]) < wanted[one] for one in left):
                drawn_s[who].append(float(took_s))
        seen = len(lines)
    total_s = sum(map(sum, drawn_s.values()))
    print(f"{len(places)} that all want, {asked} to {asked * FLOOD[2]} jobs each", flush=True)
    for who, steps, _ in places:
        share = sum(drawn_s[who]) / total_s
        turns = len(drawn_s[who])
        print(f"    {who:<20} {turns:>4} turns of {steps} steps  {share:6.1%} of the seconds")


async def measure(arguments: argparse.Namespace) -> bool:
    """Both."""
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder))
        await town.start()
        waiting, times, at_once = arguments.waiting, arguments.times, arguments.at_once
        soon = await measure_acks(town, waiting, times, at_once)
        await town.close()
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder))
        await town.start()
        await measure_shares(town, arguments.asked)
        await town.close()
    return soon


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--waiting", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=100, help="of each kind")
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--asked", type=int, default=20, help="of those that do not flood")
    parser.add_argument("--serve", nargs=3, metavar=("URL", "URL", "FOLDER"), help="used by itself")
    arguments = parser.parse_args()
    if arguments.serve:
        discord_url, slack_url, folder = arguments.serve
        asyncio.run(serve(discord_url, slack_url, Path(folder)))
        return
    if not asyncio.run(measure(arguments)):
        sys.exit(f"Slack hears later than {WANTED_S * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
