"""Several ledgers at one database: in whose hands a job is, and who hears of what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from bot.core.job import Job, Record, State
from bot.core.policy import MAX_ATTEMPTS, Limits
from bot.errors import LedgerError
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.postgres import database, ears, writer
from bot.ledgers.postgres.database import PostgresDatabase
from bot.ledgers.postgres.lease import LEASE_S
from tests.bot.core.jobs import make_job
from tests.bot.ledgers.databases import server
from tests.bot.ledgers.postgres.pooler import pooled
from tests.bot.ledgers.postgres.proxy import Cut, Proxy, between

pytestmark = pytest.mark.scale
LIMITS = Limits(queued=1000)


@pytest.fixture
def url() -> str:
    return server().new_database()


@asynccontextmanager
async def opened(*urls: str, homes: tuple[str, ...] = ()) -> AsyncIterator[list[DatabaseLedger]]:
    """One at each address, each having looked once; in all homes, or in one each."""
    async with AsyncExitStack() as closing:
        found = []
        for number, url in enumerate(urls):
            ledger = DatabaseLedger(PostgresDatabase(url))
            served = [homes[number]] if homes else None
            await asyncio.to_thread(ledger.open, served)
            closing.push_async_callback(asyncio.to_thread, ledger.close)
            await ledger.look()
            found.append(ledger)
        yield found


def bury(url: str, ledger: DatabaseLedger) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE lease SET until_s = until_s - %s WHERE holder = %s",
            (2 * LEASE_S, ledger.bot),
        )


async def looked(ledger: DatabaseLedger) -> list[Record]:
    return list((await ledger.look()).records)


def ids(records: list[Record]) -> list[str]:
    return [one.job.id for one in records]


async def accepted(ledger: DatabaseLedger, count: int) -> list[Job]:
    jobs = [make_job(user_id=number) for number in range(count)]
    for job in jobs:
        await ledger.accept(job, LIMITS)
    return jobs


async def test_what_is_left_behind_is_shared_and_found_once(url: str) -> None:
    async with opened(url, url, url) as (gone, first, second):
        jobs = await accepted(gone, 9)
        bury(url, gone)
        shares = [await looked(one) for one in (first, second, first, second, first)]
        assert [len(one) for one in shares] == [5, 2, 1, 1, 0]  # half of what is left, each time
        assert ids(shares[0]) == [one.id for one in jobs[:5]]
        found = [job_id for share in shares for job_id in ids(share)]
        assert sorted(found) == sorted(one.id for one in jobs)
        assert {one.bot for one in shares[0]} == {first.bot}


async def test_a_living_bots_jobs_are_left_to_it(url: str) -> None:
    async with opened(url, url) as (first, second):
        (job,) = await accepted(first, 1)
        await first.move(job.id, State.RUNNING)
        assert await looked(second) == []
        assert (await first.get(job.id)).state is State.RUNNING
        assert await looked(first) == []  # nor is it news to the one who did it


async def test_a_bot_takes_over_what_is_in_its_homes(url: str) -> None:
    async with opened(url, url, homes=("village", "town")) as (gone, elsewhere):
        (job,) = await accepted(gone, 1)
        await gone.hear(make_job().origin, "")
        bury(url, gone)
        found = await elsewhere.look()
        assert (found.records, found.unanswered) == ((), ())
        async with opened(url, homes=("village",)) as (here,):
            assert (await here.get(job.id)).bot == here.bot  # by its first look
    async with opened(url, homes=("village",)) as (again,):
        assert (await again.get(job.id)).bot == again.bot


async def test_what_was_running_too_often_under_bots_that_went_is_set_aside(url: str) -> None:
    async with opened(url) as (last,):
        (job,) = await accepted(last, 1)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            async with opened(url) as (dying,):
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("UPDATE jobs SET bot = %s", (dying.bot,))
                await dying.move(job.id, State.RUNNING)
                bury(url, dying)
                (record,) = await looked(last)
                assert record.attempt == attempt
            await last.look()
        assert (record.state, record.set_aside) == (State.FAILED, True)


async def test_what_may_be_drawn_still_goes_on_in_other_hands(url: str) -> None:
    async with opened(url, url) as (gone, other):
        (job,) = await accepted(gone, 1)
        await gone.move(job.id, State.RUNNING)
        bury(url, gone)
        (record,) = (await other.look(outlived=True)).records
        assert (record.state, record.attempt) == (State.RUNNING, 1)


async def test_news_that_come_while_others_are_looked_at_are_news(url: str) -> None:
    async with opened(url, url, url) as (gone, first, second):
        (job,) = await accepted(gone, 1)
        bury(url, gone)
        assert ids(await looked(first)) == [job.id]
        await second.move(job.id, State.CANCELLED, reason="Cancelled.")
        (record,) = await looked(first)
        assert (record.state, record.reason) == (State.CANCELLED, "Cancelled.")
        assert await looked(first) == []


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_news_are_not_lost_with_an_answer(
    url: str, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was done, perhaps, and the bot did not hear what was found."""
    monkeypatch.setattr(writer, "PATIENCE_S", 0.0)
    monkeypatch.setattr(writer, "UNSETTLED_PATIENCE_S", 0.0)
    with between(server().port) as proxy:
        by_proxy = url.replace(str(server().port), str(proxy.port))
        async with opened(url, by_proxy) as (gone, other):
            jobs = await accepted(gone, 2)
            await gone.hear(make_job().origin, "")
            bury(url, gone)
            proxy.cut, proxy.refuses = cut, True
            with pytest.raises(LedgerError):
                await other.look()
            proxy.refuses = False
            found = await other.look()
            left = await other.look()
            records = [*found.records, *left.records]
            assert ids(records) == [one.id for one in jobs]
            assert len(found.unanswered) == 1
            assert left.unanswered == ()


async def test_a_call_is_heard_when_it_concerns_this_bot(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOOK_EVERY_S", 3_600.0)
    async with opened(url, url) as (first, second):
        for one in (first, second):
            await one.news()  # from the start
        (job,) = await accepted(first, 1)
        hearing = asyncio.create_task(first.news())
        await second.move(job.id, State.CANCELLED)
        await hearing
        hearing = asyncio.create_task(second.news())
        await asyncio.to_thread(first.close)  # whoever goes, calls all
        await hearing


async def test_who_listens_listens_again_over_the_next_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOOK_EVERY_S", 3_600.0)
    monkeypatch.setattr(ears, "_AGAIN_AFTER_S", 0.0)
    with between(server().port) as proxy:
        async with opened(through(proxy, url), url) as (hearing, other):
            await hearing.news()
            proxy.break_off()
            await hearing.news()  # it may have missed something
            (job,) = await accepted(hearing, 1)
            waiting = asyncio.create_task(hearing.news())
            await other.move(job.id, State.CANCELLED)
            await waiting
            assert ids(await looked(hearing)) == [job.id]


def through(proxy: Proxy, url: str) -> str:
    return url.replace(str(server().port), str(proxy.port))


async def test_nobody_listens_through_a_pooler(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "_LOOK_EVERY_S", 0.0)
    caplog.set_level("INFO")
    with pooled(server().port) as port:
        async with opened(url.replace(str(server().port), str(port))) as (ledger,):
            await ledger.news()  # it comes all the same
            while "looked for, not heard" not in caplog.text:
                await asyncio.to_thread(bool)  # a thread's turn
        with psycopg.connect(url, autocommit=True) as connection:
            listening = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            ).fetchone()
        assert listening == (0,)


async def test_one_bot_is_chief(url: str) -> None:
    async with opened(url, url) as (first, second):
        assert [(await one.look()).is_chief for one in (first, second)] == [True, False]
        bury(url, first)
        assert (await second.look()).is_chief
        with pytest.raises(LedgerError, match="and ends"):
            await first.look()
        assert (await second.look()).bots == 1


async def test_an_event_that_two_bots_hear_becomes_one_job(url: str) -> None:
    async with opened(url, url) as (first, second):
        jobs = [make_job(event="same"), make_job(event="same")]
        done = await asyncio.gather(
            first.accept(jobs[0], LIMITS), second.accept(jobs[1], LIMITS), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in done) == ["KnownJobError", "NoneType"]
