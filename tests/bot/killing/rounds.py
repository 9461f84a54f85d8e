"""Kills the bot again and again while people ask and press, then looks for broken promises.

python -m tests.bot.killing.rounds --rounds 500

With TEST_DATABASE=postgres its ledger is in a PostgreSQL, which is killed as well. And with
--bots 2 --engines 2 there are two bots, and two engines on Ray Serve: whichever it is dies.
"""

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from bot.core.job import FINAL, State
from bot.shared.data_folder import IMAGES
from standins.base.faults import Fault
from standins.discord.components import text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.slack.loopback import DEFAULT_APP_TOKEN, DEFAULT_BOT_TOKEN, LoopbackSlack
from tests.bot.homes.discord import matrix
from tests.bot.homes.discord.desk import set_up
from tests.bot.killing.crowd import (
    Crowd,
    is_answered,
    is_deleted,
    is_in_review,
    is_reason,
)
from tests.bot.killing.moderators import DESK, Moderators
from tests.bot.killing.order import Order, is_told, order_of
from tests.bot.killing.pool import Engines
from tests.bot.killing.slackers import Slackers, are_answered, broken
from tests.bot.ledgers.databases import (
    IN_POSTGRES,
    records_in,
    server,
    until_the_end,
    url_in,
)
from tests.standins.slack.ports import PATH, held_port

_SET_ASIDE = ("The bot's process ended", "Drawing this broke off")
_OUR_FAULT = "Something went wrong, and it has been noted"
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
End = Literal["pictures", "deleted", "reason", "held", "removed", "lost"]
_SAY_EVERY = 50
PRESSES_IN_PEACE = 30
_ACTS_IN_PEACE = 12


@dataclass
class Tally:
    """What came of it all.

    rounds       how often the bot was killed
    databases    how often its database was
    engines      how often an engine of a pool was
    begun_again  how often a job was begun that had been begun before
    asked        commands and dialogs that Discord took
    dialogs      of these, dialogs
    pressed      presses that Discord took
    twins        of these, pairs of the same button by the same person within 10 ms
    made         jobs of presses
    accepted     commands and presses whose person saw a place in the queue, or more
    deleted      of these, those whose pictures were deleted by a press
    removed      of these, those whose card was deleted in Discord itself
    held         of these, those that wait for a moderator still
    last         what came of the wishes that were accepted last, when nobody killed the bot
    cut_off      presses that make no job, and whose bot was killed before it answered
    late         presses in peace at the end that were not heard in time, as Discord has told
    lost         accepted, and neither pictures nor a reason in the end
    thinking     acknowledged, for a job, and without an answer in the end
    silent       as that, or pressed in peace at the end: and whoever did it was told nothing
    innocent     jobs that were set aside, though no job of this test breaks anything
    twice        jobs whose pictures stand on more than one message
    two_jobs     presses, or twins, of which more than one job came
    undeleted    jobs whose deleted pictures are there, or were again
    exposed      drafts that everybody saw
    our_fault    commands and presses that were told that something went wrong, nobody knows what
    redrawn      jobs that were drawn, and were drawn again
    unaccounted  rows of the ledger that are not over and told
    order        what was promised to those who keep order
    slack_asked  commands and presses that the bot heard in Slack
    slack_cards  messages there in the end
    slack        promises to those in Slack that were not kept
    """

    rounds: int = 0
    databases: int = 0
    engines: int = 0
    begun_again: int = 0
    asked: int = 0
    dialogs: int = 0
    pressed: int = 0
    twins: int = 0
    made: int = 0
    accepted: int = 0
    pictures: int = 0
    deleted: int = 0
    removed: int = 0
    held: int = 0
    last: Counter[End] = field(default_factory=Counter)
    cut_off: int = 0
    late: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    restarts_s: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    innocent: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    two_jobs: list[str] = field(default_factory=list)
    undeleted: list[str] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)
    our_fault: list[str] = field(default_factory=list)
    redrawn: int = 0
    unaccounted: list[str] = field(default_factory=list)
    order: Order = field(default_factory=Order)
    slack_asked: int = 0
    slack_cards: int = 0
    slack: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Every promise that was not kept."""
        ours = [
            f"{what}: {one}"
            for what in (
                "lost",
                "thinking",
                "silent",
                "innocent",
                "twice",
                "two_jobs",
                "undeleted",
                "exposed",
                "our_fault",
                "unaccounted",
            )
            for one in getattr(self, what)
        ]
        return [*ours, *self.order.broken, *(f"in Slack: {one}" for one in self.slack)]

    def __str__(self) -> str:
        restart_s = sorted(self.restarts_s or [0.0])[len(self.restarts_s) // 2]
        return (
            f"{self.rounds} kills, {self.databases} of the database, {self.engines} of engines, "
            f"{self.begun_again} jobs begun again, {self.asked} asked "
            f"({self.dialogs} in a dialog), {self.pressed} pressed "
            f"({self.twins} of them twice at once, {self.made} made a job), "
            f"{self.accepted} accepted: {self.pictures} with pictures, {self.deleted} with "
            f"pictures that were deleted, {self.removed} with a message that was, {self.held} wait "
            f"for a moderator, in peace at the end {dict(self.last)}, "
            f"{sum(self.reasons.values())} with a reason {dict(self.reasons)}; lost "
            f"{len(self.lost)}, thinking for ever {len(self.thinking)}, told nothing "
            f"{len(self.silent)}, set aside {len(self.innocent)}, shown twice {len(self.twice)}, "
            f"two jobs of one press {len(self.two_jobs)}, not deleted after all "
            f"{len(self.undeleted)}, drafts shown to all {len(self.exposed)}, our fault "
            f"{len(self.our_fault)}, drawn again after drawing {self.redrawn}, unaccounted "
            f"{len(self.unaccounted)}; presses that a kill cut off {self.cut_off}, in peace not "
            f"heard in time {self.late} of {PRESSES_IN_PEACE}; online again after "
            f"{restart_s:.2f} s (median); {self.order}; in Slack {self.slack_asked} asked, "
            f"{self.slack_cards} messages, promises broken {len(self.slack)}"
        )


async def kill_rounds(
    rounds: int,
    folder: Path,
    seed: int,
    on_kill: Callable[[int], None] = lambda _: None,
    *,
    over_http: bool = False,
    bots: int = 1,
    engines: int = 0,
) -> Tally:
    """Kill the bot `rounds` times, let it come to rest, and look.

    on_kill    told after each how many there were
    over_http  Slack tells the bot over HTTP, else over Socket Mode
    bots       of them one is killed each time, which does not wait for the others
    engines    of a pool that draws for all; 0: each draws for itself
    """
    with held_port() if over_http else nullcontext() as port:
        url = f"http://127.0.0.1:{port}{PATH}" if over_http else ""
        slack = LoopbackSlack(rate_limits=False, request_url=url)
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(Engines(engines)) if engines else None
            company = Company(folder, slack, bots, pool)
            return await _kill_rounds(rounds, folder, random.Random(seed), company, on_kill)


async def _kill_rounds(
    rounds: int,
    folder: Path,
    chance: random.Random,
    company: "Company",
    on_kill: Callable[[int], None],
) -> Tally:
    loopback, slack = company.loopback, company.slack
    set_up(loopback)
    await asyncio.gather(loopback.start(), slack.start())
    slackers = Slackers(slack, chance)
    crowd, tally = Crowd(loopback, chance, DESK), Tally(rounds=rounds)
    moderators = Moderators(loopback, chance, crowd)
    at_work = [asyncio.create_task(one.keep_looking()) for one in (crowd, moderators)]
    busy: list[asyncio.Task[None]] = []
    try:
        await _take_office(company, moderators)
        busy = [asyncio.create_task(one.keep_busy()) for one in (crowd, moderators, slackers)]
        if IN_POSTGRES:
            busy.append(asyncio.create_task(_kill_databases(tally, chance)))
        if company.pool is not None:
            busy.append(asyncio.create_task(company.pool.keep_dying(chance)))
        await _keep_killing(rounds, company, slackers, tally, chance, on_kill)
        for one in busy:
            one.cancel()
        loopback.faults.clear()
        in_peace = len(crowd.pressed)
        await company.start()
        await company.wait_ready()
        try:
            await slackers.end()
            await crowd.keep_busy(presses=in_peace + PRESSES_IN_PEACE)
            acts = await moderators.end(_ACTS_IN_PEACE)
            await _until(lambda: all(one.is_answered for one in acts))
            last_asked = await crowd.each_asks()
            await _until(lambda: _is_settled(crowd, in_peace, last_asked, folder))
        finally:
            await company.kill_all()
    finally:
        for task in (*at_work, *busy):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task  # one that failed has counted nothing
        await company.kill_all()  # where something failed; else they are gone
        await moderators.close()
        await crowd.close()
        await asyncio.gather(loopback.close(), slack.close())
    tally.engines = 0 if company.pool is None else company.pool.killed
    _count(tally, crowd, in_peace, folder)
    accepted = [asked for asked in last_asked if asked.id in crowd.promised]
    tally.last = Counter(_end_of(crowd, asked) for asked in accepted)
    _count_in_slack(tally, slackers, folder)
    tally.order = order_of(loopback, crowd, moderators, acts, last_asked, folder, chance)
    return tally


async def _keep_killing(
    rounds: int,
    company: "Company",
    slackers: Slackers,
    tally: Tally,
    chance: random.Random,
    on_kill: Callable[[int], None],
) -> None:
    for kill in range(1, rounds + 1):
        await company.start()
        begin_s = time.monotonic()
        if chance.random() < 0.9:  # else somewhere between its start and its first word
            await company.loopback.wait_ready()
            tally.restarts_s.append(time.monotonic() - begin_s)
        _break_network(company.loopback, chance)
        slackers.break_network()
        await asyncio.sleep(chance.uniform(0, company.lives_s))
        await company.kill(chance)
        on_kill(kill)


async def _take_office(company: "Company", moderators: Moderators) -> None:
    """Have first processes hear where the desk is."""
    await company.start()
    await company.wait_ready()
    await company.loopback.wait_commands()
    await moderators.take_office()
    await company.kill_all()


def _break_network(loopback: LoopbackDiscord, chance: random.Random) -> None:
    """Have some of the next calls fail."""
    while chance.random() < 0.6:
        method, route = chance.choice(_CALLS)
        answer = matrix.ANSWERS[chance.choice(_ANSWERS)]
        fault = Fault(method=method, route=route, nth=chance.randint(1, 4), **answer)
        loopback.faults.add(fault)


async def _kill_databases(tally: Tally, chance: random.Random) -> None:
    """Have the database die, and come back, over and over."""
    while True:
        await asyncio.sleep(chance.uniform(1.0, 5.0))
        mode = chance.choice(["fast", "immediate"])
        # What was begun is ended: a server that is half up would be nobody's.
        await asyncio.shield(asyncio.to_thread(server().restart, mode))
        tally.databases += 1


@dataclass
class Company:
    """The bots that are killed.

    bots  how many there are
    pool  of engines; None: each bot has its own
    """

    folder: Path
    slack: LoopbackSlack
    bots: int
    pool: Engines | None
    loopback: LoopbackDiscord = field(default_factory=lambda: LoopbackDiscord(rate_limits=False))
    _processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def lives_s(self) -> float:
        """For how long at most nobody is killed; two take turns in starting."""
        return 1.0 if self.bots == 1 else 3.0

    async def start(self) -> None:
        """Start all that are not there."""
        for bot in range(self.bots):
            if bot not in self._processes:
                self._processes[bot] = await self._start(bot)

    async def wait_ready(self) -> None:
        """Wait until each listens."""
        await self.loopback.gateway.wait_listening(*range(self.bots))

    async def kill(self, chance: random.Random) -> None:
        """Kill one."""
        await self._kill(chance.choice(sorted(self._processes)))

    async def kill_all(self) -> None:
        for bot in tuple(self._processes):
            await self._kill(bot)

    async def _kill(self, bot: int) -> None:
        process = self._processes.pop(bot)
        with suppress(ProcessLookupError):  # one that another took over has ended by itself
            process.send_signal(signal.SIGKILL)
        await process.wait()
        if not self._processes:
            await self.loopback.wait_offline()

    async def _start(self, bot: int) -> asyncio.subprocess.Process:
        pool = {} if self.pool is None else self.pool.environ
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bot.killing.bot",
            self.loopback.base_url,
            str(self.folder),
            self.slack.api_url,
            env={
                **os.environ,
                "DISCORD_TOKEN": self.loopback.token,
                "SLACK_BOT_TOKEN": DEFAULT_BOT_TOKEN,
                "LEDGER_URL": url_in(self.folder) if IN_POSTGRES else "",
                "BOT": str(bot),
                "BOTS": str(self.bots),
                **pool,
                **_told_over(self.slack),
            },
        )


def _told_over(slack: LoopbackSlack) -> dict[str, str]:
    if not slack.request_url:
        return {"SLACK_APP_TOKEN": DEFAULT_APP_TOKEN}
    port = str(urlsplit(slack.request_url).port)
    return {"SLACK_SIGNING_SECRET": slack.signing_secret, "SLACK_PORT": port}


async def _until(holds: Callable[[], bool]) -> None:
    """Wait until it does, or is not to be expected any more."""
    until_s = time.monotonic() + _SETTLE_S
    while time.monotonic() < until_s:
        if holds():
            return
        await asyncio.sleep(0.1)


def _is_settled(crowd: Crowd, in_peace: int, last_asked: list[Interaction], folder: Path) -> bool:
    """Whether by the ledger all is over and told, and every promise has its end."""
    return (
        not _open_jobs(folder)
        and is_told(folder)
        and are_answered(folder)
        and all(_is_over(crowd, one) for one in _promised(crowd))
        and not _thinking(crowd)
        and not _silent(crowd, in_peace)
        and all(map(is_answered, last_asked))
    )


def _promised(crowd: Crowd) -> list[Interaction]:
    return [one for one in crowd.wishes if one.id in crowd.promised]


def _thinking(crowd: Crowd) -> list[Interaction]:
    return [one for one in crowd.wishes if one.thinking]


def _silent(crowd: Crowd, in_peace: int) -> list[Interaction]:
    """Those whose person was owed a word, and has none.

    in_peace  how many presses there were before the last process, which nobody killed
    """
    acknowledged = [one for one in crowd.wishes if one.acknowledged]
    owed = {one.id: one for one in (*acknowledged, *crowd.pressed[in_peace:])}
    return [one for one in owed.values() if not is_answered(one)]


def _is_over(crowd: Crowd, interaction: Interaction) -> bool:
    message = interaction.original
    if message is None:
        return interaction.id in crowd.removed
    has_end = is_deleted(message) or is_reason(message) or is_in_review(message)
    return has_end or crowd.has_pictures(interaction)


def _open_jobs(folder: Path) -> list[str]:
    with records_in(folder).reading() as connection:
        rows = connection.execute(
            "SELECT id, state, told FROM jobs WHERE told = 0 AND state != ?", (State.REVIEW,)
        ).fetchall()
    return [f"{job_id} {state}" for job_id, state, _ in rows]


def _end_of(crowd: Crowd, interaction: Interaction) -> End:
    """What came of a wish that was accepted."""
    message = interaction.original
    if message is None:
        return "removed" if interaction.id in crowd.removed else "lost"
    if crowd.has_pictures(interaction):
        return "pictures"
    if is_deleted(message):
        return "deleted"
    if is_reason(message):
        return "reason"
    return "held" if is_in_review(message) else "lost"


def _count(tally: Tally, crowd: Crowd, in_peace: int, folder: Path) -> None:
    tally.asked, tally.pressed = len(crowd.asked), len(crowd.pressed)
    tally.dialogs, tally.twins = crowd.dialogs, len(crowd.twins)
    for interaction in _promised(crowd):
        tally.accepted += 1
        message = interaction.original
        match _end_of(crowd, interaction):
            case "pictures":
                tally.pictures += 1
            case "deleted":
                tally.deleted += 1
            case "reason" if message is not None:
                tally.reasons[text_of(message).splitlines()[0][3:34]] += 1
            case "held":
                tally.held += 1
            case "removed":
                tally.removed += 1
            case _:
                tally.lost.append("gone" if message is None else text_of(message))
    tally.thinking = [str(one.id) for one in _thinking(crowd)]
    tally.silent = [f"{one.id} {one.name}" for one in _silent(crowd, in_peace)]
    tally.cut_off = sum(
        one.id not in crowd.wanted and one.acknowledged and not is_answered(one)
        for one in crowd.pressed[:in_peace]
    )
    tally.late = sum(one.state == "failed" for one in crowd.pressed[in_peace:])
    tally.our_fault = [
        one.name
        for one in (*crowd.asked, *crowd.pressed)
        if any(
            _OUR_FAULT in text_of(message) for message in (one.answer, *one.followups) if message
        )
    ]
    tally.innocent = [why for why in tally.reasons if why.startswith(_SET_ASIDE)]
    tally.twice = [job_id for job_id, messages in crowd.shown.items() if len(messages) > 1]
    tally.unaccounted = _open_jobs(folder)
    with records_in(folder).reading() as connection:
        (tally.redrawn,) = connection.execute(
            "SELECT count(*) FROM transitions WHERE from_state = 'drawn' AND to_state = 'queued'"
        ).fetchone()
        (tally.begun_again,) = connection.execute(
            "SELECT count(*) - count(DISTINCT job) FROM transitions WHERE to_state = 'running'"
        ).fetchone()
        rows = connection.execute("SELECT id, event, state, deleted, private FROM jobs").fetchall()
    tally.unaccounted += sorted({state for _, _, state, *_ in rows} - FINAL - {State.REVIEW})
    jobs_of = Counter(event for _, event, *_ in rows)
    for presses in (*((one,) for one in crowd.pressed), *crowd.twins):
        jobs = sum(jobs_of[str(one.id)] for one in presses)
        if jobs > 1:
            tally.two_jobs.append(f"{jobs} of {presses[0].name}")
    tally.made = sum(jobs_of[str(one.id)] for one in crowd.pressed)
    tally.exposed = [job_id for job_id, *_, private in rows if private and job_id in crowd.shown]
    deleted = {job_id for job_id, _, _, by, _ in rows if by is not None}
    there = {path.name for path in (folder / IMAGES).iterdir()}
    tally.undeleted = sorted(crowd.undone | (crowd.deleted - deleted) | (deleted & there))


def _count_in_slack(tally: Tally, slackers: Slackers, folder: Path) -> None:
    tally.slack_asked = sum(one.acked for one in slackers.asked)
    tally.slack_cards = len(list(slackers.messages()))
    tally.slack = list(broken(slackers, folder))


def main() -> None:
    """Read the arguments, and fail if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--over-http", action="store_true", help="Slack in its HTTP mode")
    parser.add_argument("--bots", type=int, default=1, help="more than one need --engines")
    parser.add_argument("--engines", type=int, default=0, help="on Ray Serve, for all bots")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    # A request that breaks off because the bot was killed is what is tested, and no error.
    logging.getLogger("standins").setLevel(logging.CRITICAL)

    def on_kill(kills: int) -> None:
        if kills % _SAY_EVERY == 0:
            sys.stderr.write(f"killed {kills} times of {arguments.rounds}\n")

    with until_the_end, tempfile.TemporaryDirectory() as folder:
        killing = kill_rounds(
            arguments.rounds,
            Path(folder),
            arguments.seed,
            on_kill,
            over_http=arguments.over_http,
            bots=arguments.bots,
            engines=arguments.engines,
        )
        tally = asyncio.run(killing)
    sys.stdout.write(f"seed {arguments.seed}: {tally}\n")
    if tally.broken:
        sys.exit("\n".join(tally.broken))


if __name__ == "__main__":
    main()
