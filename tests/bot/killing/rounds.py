"""Kills the bot again and again while people keep asking, then compares promises with the channel.

python -m tests.bot.killing.rounds --rounds 500
"""

import argparse
import asyncio
import logging
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bot.core.card import FAILURE_MARK, is_preview
from bot.core.job import FINAL
from bot.ledgers.sqlite.database import connect
from bot.shared.data_folder import LEDGER
from standins.base.faults import Fault
from standins.discord.components import files_of, text_of
from standins.discord.errors import CommandRefused, InteractionFailed
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.homes.discord import matrix

Message = dict[str, Any]

_REFUSED = "To ask again:"
_JOB = re.compile(r"\bjob ([a-z2-7]{8})\b")
_SET_ASIDE = ("The bot's process ended", "Drawing this broke off")
# What the network may do to any call; Discord's own refusals are none of its doing.
_ANSWERS: Final = tuple(answer for answer in matrix.ANSWERS if matrix.is_passing(answer))
_CALLS: Final = (
    ("POST", matrix.CALLBACK),
    ("PATCH", matrix.BY_TOKEN),
    ("PATCH", matrix.BY_ID),
    ("GET", matrix.BY_TOKEN),
    ("GET", matrix.BY_ID),
    ("GET", matrix.MESSAGES),
    ("POST", matrix.MESSAGES),
    ("POST", matrix.FOLLOW_UP),
    ("DELETE", matrix.BY_TOKEN),
)
_SETTLE_S = 60.0
_SAY_EVERY = 50


@dataclass
class Tally:
    """What came of it all.

    asked        commands that Discord took
    accepted     of these, those whose person saw a place in the queue, or more
    lost         accepted, and neither pictures nor a reason in the end
    thinking     commands that were acknowledged, and have no answer in the end
    innocent     jobs that were set aside, though no job of this test breaks anything
    twice        jobs whose pictures stand on more than one message
    redrawn      jobs that were drawn, and were drawn again
    unaccounted  rows of the ledger that are not over and told
    """

    rounds: int = 0
    asked: int = 0
    accepted: int = 0
    pictures: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    restarts_s: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    innocent: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    redrawn: int = 0
    unaccounted: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        restart_s = sorted(self.restarts_s)[len(self.restarts_s) // 2]
        return (
            f"{self.rounds} kills, {self.asked} asked, {self.accepted} accepted: "
            f"{self.pictures} with pictures, {sum(self.reasons.values())} with a reason "
            f"{dict(self.reasons)}; lost {len(self.lost)}, thinking for ever {len(self.thinking)}, "
            f"set aside {len(self.innocent)}, shown twice {len(self.twice)}, drawn "
            f"again after drawing {self.redrawn}, unaccounted {len(self.unaccounted)}; online "
            f"again after {restart_s:.2f} s (median)"
        )


class Crowd:
    """People who ask, and what they saw."""

    def __init__(self, loopback: LoopbackDiscord, chance: random.Random) -> None:
        self._loopback = loopback
        self._chance = chance
        self._people = [one.id for one in loopback.world.people.values() if not one.bot]
        self._channels = list(loopback.world.channels)
        self.asked: list[Interaction] = []
        self.promised: set[int] = set()  # interactions whose person saw a place in the queue
        self._watchers: set[asyncio.Task[None]] = set()

    async def keep_asking(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 0.07))
            if self._loopback.online and self._loopback.commands():
                await self.ask()

    async def ask(self) -> None:
        try:
            interaction = await self._loopback.slash(
                "imagine",
                {"prompt": f"picture {len(self.asked)}", "steps": self._chance.randint(1, 12)},
                user_id=self._chance.choice(self._people),
                channel_id=self._chance.choice(self._channels),
            )
        except CommandRefused:
            return
        self.asked.append(interaction)
        watcher = asyncio.create_task(self._watch(interaction))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def close(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def _watch(self, interaction: Interaction) -> None:
        try:
            message = await interaction.until(lambda message: bool(text_of(message)))
        except InteractionFailed:
            return
        if _REFUSED not in text_of(message):
            self.promised.add(interaction.id)


async def kill_rounds(
    rounds: int, folder: Path, seed: int, on_kill: Callable[[int], None] = lambda _: None
) -> Tally:
    """Kill the bot `rounds` times, let it come to rest, and look.

    on_kill  told after each how many there were
    """
    chance = random.Random(seed)
    loopback = LoopbackDiscord(rate_limits=False)
    await loopback.start()
    crowd, shown = Crowd(loopback, chance), dict[str, set[str]]()
    tally = Tally(rounds=rounds)
    looking = asyncio.create_task(_look(loopback, shown))
    asking = asyncio.create_task(crowd.keep_asking())
    try:
        for kill in range(1, rounds + 1):
            process = await _start(loopback, folder)
            begin_s = time.monotonic()
            if chance.random() < 0.9:  # else somewhere between its start and its first word
                await loopback.wait_ready()
                tally.restarts_s.append(time.monotonic() - begin_s)
            while chance.random() < 0.6:  # a network that fails as well
                method, route = chance.choice(_CALLS)
                answer = matrix.ANSWERS[chance.choice(_ANSWERS)]
                fault = Fault(method=method, route=route, nth=chance.randint(1, 4), **answer)
                loopback.faults.add(fault)
            await asyncio.sleep(chance.uniform(0, 1.0))
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await loopback.wait_offline()
            on_kill(kill)
        asking.cancel()
        loopback.faults.clear()
        process = await _start(loopback, folder)
        try:
            await _settle(crowd, folder)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
    finally:
        for task in (looking, asking):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task  # one that failed has counted nothing
        await crowd.close()
        await loopback.close()
    _count(tally, crowd, shown, folder)
    return tally


async def _start(loopback: LoopbackDiscord, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bot.killing.bot",
        loopback.base_url,
        str(folder),
        env={**os.environ, "DISCORD_TOKEN": loopback.token},
    )


async def _look(loopback: LoopbackDiscord, shown: dict[str, set[str]]) -> None:
    """On which messages each job's pictures ever stood."""
    async with loopback.subscribe() as events:
        while True:
            event = await events.get()
            if event.kind not in {"message_create", "message_update"}:
                continue
            for file in files_of(event.message):
                if not is_preview(file["filename"]):
                    job_id = file["filename"].split("_")[0]
                    shown.setdefault(job_id, set()).add(event.message["id"])


async def _settle(crowd: Crowd, folder: Path) -> None:
    """Wait until the ledger says that all is over and told, and every promise has its end."""
    until_s = time.monotonic() + _SETTLE_S
    while time.monotonic() < until_s:
        if not _open_jobs(folder) and all(map(_is_over, _promised(crowd))) and not _thinking(crowd):
            return
        await asyncio.sleep(0.1)


def _promised(crowd: Crowd) -> list[Interaction]:
    return [one for one in crowd.asked if one.id in crowd.promised]


def _thinking(crowd: Crowd) -> list[Interaction]:
    return [one for one in crowd.asked if one.thinking]


def _is_over(interaction: Interaction) -> bool:
    message = interaction.original
    return message is not None and (_has_pictures(message) or _is_reason(message))


def _has_pictures(message: Message) -> bool:
    names = [file["filename"] for file in files_of(message)]
    found = _JOB.search(text_of(message))
    return found is not None and names == [f"{found[1]}_{n}.png" for n in range(4)]


def _is_reason(message: Message) -> bool:
    return text_of(message).startswith(FAILURE_MARK) and not files_of(message)


def _open_jobs(folder: Path) -> list[str]:
    with closing(connect(folder / LEDGER)) as connection:
        rows = connection.execute("SELECT id, state, told FROM jobs WHERE told = 0").fetchall()
    return [f"{job_id} {state}" for job_id, state, _ in rows]


def _count(tally: Tally, crowd: Crowd, shown: dict[str, set[str]], folder: Path) -> None:
    tally.asked = len(crowd.asked)
    for interaction in _promised(crowd):
        tally.accepted += 1
        message = interaction.original
        if message is not None and _has_pictures(message):
            tally.pictures += 1
        elif message is not None and _is_reason(message):
            tally.reasons[text_of(message).splitlines()[0][3:60]] += 1
        else:
            tally.lost.append("gone" if message is None else text_of(message))
    tally.thinking = [str(one.id) for one in _thinking(crowd)]
    tally.innocent = [why for why in tally.reasons if why.startswith(_SET_ASIDE)]
    tally.twice = [job_id for job_id, messages in shown.items() if len(messages) > 1]
    tally.unaccounted = _open_jobs(folder)
    with closing(sqlite3.connect(folder / LEDGER)) as connection:
        (tally.redrawn,) = connection.execute(
            "SELECT count(*) FROM transitions WHERE from_state = 'drawn' AND to_state = 'queued'"
        ).fetchone()
        states = {state for (state,) in connection.execute("SELECT DISTINCT state FROM jobs")}
    tally.unaccounted += sorted(states - FINAL)


def main() -> None:
    """Read the arguments, and fail if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    # A request that breaks off because the bot was killed is what is tested, and no error.
    logging.getLogger("standins").setLevel(logging.CRITICAL)

    def on_kill(kills: int) -> None:
        if kills % _SAY_EVERY == 0:
            sys.stderr.write(f"killed {kills} times of {arguments.rounds}\n")

    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(kill_rounds(arguments.rounds, Path(folder), arguments.seed, on_kill))
    sys.stdout.write(f"seed {arguments.seed}: {tally}\n")
    broken = [*tally.lost, *tally.thinking, *tally.innocent, *tally.twice, *tally.unaccounted]
    if broken:
        sys.exit(str(broken))


if __name__ == "__main__":
    main()
