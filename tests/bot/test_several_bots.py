"""Several whole bots at one PostgreSQL: what one leaves another goes on with, and once."""

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bot.app import App
from bot.config.sections import (
    Config,
    HealthConfig,
    JobsConfig,
    PolicyConfig,
    StorageConfig,
)
from bot.core.job import Job, Showing, State, Venue
from bot.core.policy import Actor
from bot.core.rules import Place, Rules
from bot.core.stage import Drawing, Stage, Waiting
from bot.errors import IllegalMoveError, JobRefusedError, LedgerError
from bot.ledgers.postgres import database
from bot.ledgers.postgres.lease import LEASE_S
from bot.ledgers.postgres.records import PostgresRecords
from bot.ledgers.postgres.schema import MIGRATIONS
from bot.ledgers.registry import DatabaseRegistry
from sdxl_engine import Pipeline
from tests.bot.core.jobs import HOME, heard_of, make_job, make_person
from tests.bot.ledgers.databases import server
from tests.bot.ledgers.postgres.pooler import pooled
from tests.fakes import FakeHome, FakePipeline, Gate

pytestmark = pytest.mark.scale

OURS = Venue(HOME, "3", "2")
MANAGER = Actor(make_person(7), None, OURS)


class Bot:
    """A whole one, with a home of its own in the same village."""

    def __init__(self, url: str, folder: Path, start: Callable[[], Pipeline]) -> None:
        self.home = FakeHome()
        config = Config(
            health=HealthConfig(port=0),
            storage=StorageConfig(pictures=folder.parent / "pictures"),
            policy=PolicyConfig(picture_review=(("skin", 0.5),), picture_block=(("skin", 0.8),)),
        )
        records = PostgresRecords(url, folder)
        self.app = App(
            config, start, [lambda _queue, _ledger, _bots: self.home], folder, records=records
        )
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(self.app.run(self.stop))

    @property
    def name(self) -> str:
        return self.app.ledger.bot

    async def ready(self) -> None:
        while self.app.engine.model is None:  # it is warm once all else is there
            if self.running.done():
                await self.running
            await asyncio.to_thread(bool)  # a thread's turn

    async def ask(self, job: Job) -> None:
        await self.app.studio.ask(heard_of(job), job.wish, parent=job.parent, showing=job.showing)

    async def until_stage(self, job: Job, kind: type[Stage]) -> None:
        await self.home.until(lambda: any(isinstance(one, kind) for one in self.home.stages(job)))

    async def end(self) -> None:
        self.stop.set()
        with suppress(LedgerError):
            await self.running


@pytest.fixture
def url() -> str:
    return server().new_database()


@pytest.fixture(autouse=True)
def _called_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself: whatever is found here was heard of."""
    monkeypatch.setattr(database, "_LOOK_EVERY_S", 3_600.0)


@asynccontextmanager
async def bots(
    url: str, folder: Path, *starts: Callable[[], Pipeline]
) -> AsyncIterator[tuple[Bot, ...]]:
    """So many bots, the first one chief."""
    async with AsyncExitStack() as ending:
        found = []
        for number, start in enumerate(starts):
            one = Bot(url, folder / str(number), start)
            ending.push_async_callback(one.end)
            await one.ready()
            found.append(one)
        yield tuple(found)


def tell(url: str, sql: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql.encode(), values).fetchall()


def silence(url: str, silent: Bot | str, hearing: Bot) -> None:
    """Nothing was heard of one for longer than its lease lasts, and another looks."""
    name = silent if isinstance(silent, str) else silent.name
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE lease SET until_s = until_s - %s WHERE holder = %s", (2 * LEASE_S, name)
        )
        connection.execute("SELECT pg_notify('imagine', %s)", (hearing.name,))


async def told(bot: Bot, job: Job) -> None:
    while not (await bot.app.ledger.get(job.id)).told:
        pass  # reading takes a thread's turn


async def test_what_a_silent_bot_had_in_hand_another_brings(url: str, tmp_path: Path) -> None:
    gate = Gate()
    async with bots(url, tmp_path, partial(FakePipeline, gate=gate), FakePipeline) as (
        first,
        other,
    ):
        drawn, waiting = make_job(), make_job(user_id=2)
        await first.ask(drawn)
        await first.until_stage(drawn, Drawing)
        await first.ask(waiting)
        silence(url, first, other)
        for job in (drawn, waiting):
            await other.home.until(partial(other.home.delivered.__contains__, job.id))
            assert Waiting(warming_up=False, restored=True) in other.home.stages(job)
            await told(other, job)
        gate.open()
        with pytest.raises(LedgerError, match="taken over what this one had in hand"):
            await first.running  # it finds that out by itself, when its pictures are there
        assert first.home.delivered == {}
        assert [await attempts(other, job) for job in (drawn, waiting)] == [2, 1]


async def attempts(bot: Bot, job: Job) -> int:
    return (await bot.app.ledger.get(job.id)).attempt


async def test_a_stop_hands_over_at_once(url: str, tmp_path: Path) -> None:
    gate = Gate()
    async with bots(url, tmp_path, partial(FakePipeline, gate=gate), FakePipeline) as (
        first,
        other,
    ):
        jobs = [make_job(user_id=number) for number in range(3)]
        for job in jobs:
            await first.ask(job)
        await first.until_stage(jobs[0], Drawing)
        stopping = asyncio.create_task(first.end())
        gate.open()
        await stopping
        for job in jobs:
            await told(other, job)
        shown = [*first.home.delivered, *other.home.delivered]
        assert sorted(shown) == sorted(job.id for job in jobs)


async def test_what_was_killed_is_taken_over(url: str, tmp_path: Path) -> None:
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _KILLED, url], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    begun, event, name = killed.stdout.decode().split()
    async with bots(url, tmp_path, FakePipeline) as (next_one,):
        assert next_one.home.delivered == {}  # it may live still, for all that can be known
        silence(url, name, next_one)
        await next_one.home.until(lambda: begun in next_one.home.delivered)
        await next_one.home.until(lambda: event in next_one.home.apologies)


_KILLED = """
import asyncio, os, signal, sys
from bot.core.job import State
from bot.core.policy import Limits
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.postgres.database import PostgresDatabase
from tests.bot.core.jobs import make_job

async def main():
    ledger = DatabaseLedger(PostgresDatabase(sys.argv[1]))
    ledger.open()
    job, heard = make_job(), make_job()
    await ledger.accept(job, Limits(queued=9))
    await ledger.move(job.id, State.RUNNING)
    await ledger.hear(heard.origin, "")
    print(job.id, heard.origin.event, ledger.bot, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("is_drawn", [True, False])
async def test_a_cancel_reaches_the_bot_that_has_the_job(
    url: str, tmp_path: Path, *, is_drawn: bool
) -> None:
    gate = Gate()
    async with bots(url, tmp_path, partial(FakePipeline, gate=gate), FakePipeline) as (
        first,
        other,
    ):
        jobs = [make_job(), make_job(user_id=2)]
        await first.ask(jobs[0])
        await first.until_stage(jobs[0], Drawing)
        await first.ask(jobs[1])
        job = jobs[not is_drawn]
        await other.app.studio.cancel(job.id, Actor(job.person))
        await first.home.until(lambda: job.id in first.home.told)
        await told(first, job)
        gate.open()
        rest = jobs[is_drawn]
        await first.home.until(lambda: rest.id in first.home.delivered)
        assert "Cancelled by" in first.home.told[job.id]
        assert list(first.home.delivered) == [rest.id]
        assert (other.home.shown, other.home.told) == ([], {})
        line = b'jobs_ended_total{state="cancelled"} 1.0'
        assert [line in one.app.metrics.text() for one in (first, other)] == [False, True]


async def test_it_is_enough_to_look(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler in transaction mode lends the session that listens to somebody else."""
    monkeypatch.setattr(database, "_LOOK_EVERY_S", 0.01)
    gate = Gate()
    with pooled(server().port) as port:
        by_pooler = url.replace(str(server().port), str(port))
        async with bots(by_pooler, tmp_path, partial(FakePipeline, gate=gate), FakePipeline) as (
            first,
            other,
        ):
            job = make_job()
            await first.ask(job)
            await first.until_stage(job, Drawing)
            await other.app.studio.cancel(job.id, Actor(job.person))
            await first.home.until(lambda: job.id in first.home.told)
            gate.open()


async def test_a_card_that_another_finds_gone_is_let_go_without_a_word(
    url: str, tmp_path: Path
) -> None:
    gate = Gate()
    async with bots(url, tmp_path, partial(FakePipeline, gate=gate), FakePipeline) as (
        first,
        other,
    ):
        job = make_job()
        await first.ask(job)
        await first.until_stage(job, Drawing)
        await first.app.ledger.place(job.id, "9")
        await other.app.moderators.message_gone(HOME, "9")
        await first.home.until(lambda: job.id in first.home.forgotten)
        gate.open()
        record = await other.app.ledger.get(job.id)
        assert (record.state, record.told) == (State.CANCELLED, True)
        assert (first.home.told, other.home.told) == ({}, {})


async def test_what_another_approves_the_bot_that_has_it_shows(url: str, tmp_path: Path) -> None:
    seeing = partial(FakePipeline, checks=("skin",), scores={"skin": 0.9})
    async with bots(url, tmp_path, FakePipeline, seeing) as (chief, other):
        await chief.app.moderators.set_desk("8", MANAGER)
        job = make_job()
        while True:  # until it has heard that there is a desk
            with suppress(JobRefusedError):
                await other.ask(job)
                break
        await chief.home.until(lambda: bool(chief.home.cases))  # the chief alone brings it
        (case,) = chief.home.cases.values()
        assert (case.case.kind, case.case.job_id) == ("held", job.id)
        await chief.app.moderators.decide(case.case.id, "approve", MANAGER)
        await other.home.until(lambda: job.id in other.home.delivered)
        assert (chief.home.delivered, other.home.cases) == ({}, {})


async def test_a_card_that_is_not_told_is_nobody_elses(url: str, tmp_path: Path) -> None:
    async with bots(url, tmp_path, FakePipeline, FakePipeline) as (chief, other):
        other.home.deliveries_open.clear()
        job = make_job()
        await other.ask(job)
        await other.home.until(lambda: other.home.arrivals == 1)
        blurred = Showing(spoiler=True, held=True)
        await chief.app.ledger.show_as(job.id, blurred, before=job.showing, amend=True)
        with pytest.raises(IllegalMoveError, match="not over yet"):
            await chief.app.studio.delete(job.id, Actor(job.person))
        later = make_job(user_id=2)
        await chief.ask(later)
        await told(chief, later)
        await chief.app.ledger.show_as(later.id, blurred, before=later.showing, amend=True)
        await chief.home.until(lambda: bool(chief.home.amended))  # the oldest first, and not that
        assert [one.job.id for one in chief.home.amended] == [later.id]
        other.home.deliveries_open.set()
        await chief.home.until(lambda: len(chief.home.amended) == 2)  # then the clerk does it
        assert chief.home.amended[1].job.id == job.id
        assert chief.home.amended[1].job.showing == blurred
        assert other.home.amended == []


async def test_there_is_one_chief_and_another_after_it(url: str, tmp_path: Path) -> None:
    async with bots(url, tmp_path, FakePipeline, FakePipeline, FakePipeline) as three:
        first = three[0]
        assert chiefs(url) == [first.name]
        job = make_job()
        other = three[1]
        await other.ask(job)
        await told(other, job)
        await first.end()
        while not (found := chiefs(url)):
            await asyncio.to_thread(bool)  # a thread's turn
        chief = next(one for one in three if one.name == found[0])
        assert chief is not first
        # What was done once is done by the next, and by nobody else.
        await chief.app.ledger.show_as(job.id, Showing(spoiler=True), before=Showing(), amend=True)
        await chief.home.until(lambda: bool(chief.home.amended))
        assert [len(one.home.amended) for one in three if one is not chief] == [0, 0]


def chiefs(url: str) -> list[object]:
    return [name for (name,) in tell(url, "SELECT holder FROM lease WHERE chief = 1")]


async def test_what_moderators_say_to_one_holds_with_all(url: str, tmp_path: Path) -> None:
    async with bots(url, tmp_path, FakePipeline, FakePipeline) as (first, other):
        await first.ask(make_job())  # it knows by now what holds there
        await other.app.moderators.pause(MANAGER, "Tidying up.")

        async def until_refused() -> None:
            for user_id in itertools.count(2):
                await first.ask(make_job(user_id=user_id))

        with pytest.raises(JobRefusedError, match=r"Tidying up\."):
            await until_refused()  # it hears of it in a moment


async def test_what_two_say_at_once_both_stands(url: str, tmp_path: Path) -> None:
    async with bots(url, tmp_path, FakePipeline, FakePipeline) as (first, other):
        both = first.app.moderators, other.app.moderators
        await asyncio.gather(*(one.house(MANAGER) for one in both))
        await asyncio.gather(
            both[0].pause(MANAGER, "Tidying up."),
            both[1].set_keep_days(5, MANAGER),
            both[0].set_rules(Place("2"), Rules(count=1), MANAGER),
            both[1].set_rules(Place("2"), Rules(daily=3), MANAGER),
        )
        registry = DatabaseRegistry(first.app.ledger.database)
        house = await registry.house(HOME, "3")
        assert (house.paused, house.keep_days) == ("Tidying up.", 5)
        assert house.rules == {Place("2"): Rules(count=1, daily=3)}


async def test_a_bot_that_waits_for_an_older_one_can_be_stopped(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bots(url, tmp_path, FakePipeline):
        monkeypatch.setattr(database, "FORM", database.FORM + 1)
        monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "SELECT 1;"))
        monkeypatch.setattr(database, "_WAIT_EVERY_S", 0.01)
        newer = Bot(url, tmp_path / "newer", FakePipeline)
        newer.stop.set()
        await newer.running  # without a word, and without having begun
        assert newer.app.engine.model is None


async def test_a_wait_is_said_and_ends_with_the_older_bot(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with bots(url, tmp_path, FakePipeline) as (older,):
        job = make_job()
        older.home.deliveries_open.clear()
        await older.ask(job)
        await older.home.until(lambda: older.home.arrivals == 1)
        monkeypatch.setattr(database, "FORM", database.FORM + 1)
        monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "SELECT 1;"))
        monkeypatch.setattr(database, "_WAIT_EVERY_S", 0.01)
        newer = Bot(url, tmp_path / "newer", FakePipeline)
        try:
            while "This one waits" not in caplog.text:
                await asyncio.to_thread(bool)  # a thread's turn
            older.app._config = replace(older.app._config, jobs=JobsConfig(shutdown_grace_s=0))
            await older.end()
            await newer.home.until(lambda: job.id in newer.home.delivered)
        finally:
            await newer.end()
