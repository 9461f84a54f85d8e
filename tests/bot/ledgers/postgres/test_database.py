"""PostgreSQL under the ledger: what was promised is there, once, however many bots work there."""

import asyncio
import itertools
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from bot.core.job import State
from bot.core.policy import Limits
from bot.core.wish import Wish
from bot.errors import IllegalMoveError, JobRefusedError, LedgerError
from bot.ledgers import book
from bot.ledgers.database import Connection
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.postgres import database, writer
from bot.ledgers.postgres.database import FORM, PostgresDatabase
from bot.ledgers.postgres.lease import LEASE_S
from bot.ledgers.postgres.records import PostgresRecords
from bot.ledgers.postgres.schema import MIGRATIONS
from bot.ledgers.postgres.session import Session, shown_url
from bot.ledgers.postgres.trouble import Trouble, for_people, trouble_of
from tests.bot.core.jobs import NOON_S, make_job
from tests.bot.ledgers.databases import server
from tests.bot.ledgers.postgres.pooler import pooled
from tests.bot.ledgers.postgres.proxy import Cut, Proxy, between
from tests.bot.ledgers.postgres.server import Server, running

pytestmark = pytest.mark.scale
LIMITS = Limits(queued=1000)


def no_sleep(_: float) -> None:
    """What is waited for by trying again is there soon."""


def quick_clock() -> Callable[[], float]:
    """Whoever looks finds that nine seconds have passed."""
    return itertools.count(step=9.0).__next__


@pytest.fixture
def url() -> str:
    return server().new_database()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with between(server().port) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    return url.replace(str(server().port), str(proxy.port))


@asynccontextmanager
async def opened(url: str, **options: object) -> AsyncIterator[DatabaseLedger]:
    ledger = DatabaseLedger(PostgresDatabase(url, **options))  # type: ignore[arg-type]
    await asyncio.to_thread(ledger.open)
    try:
        yield ledger
    finally:
        await asyncio.to_thread(ledger.close)


def look(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def silence(url: str, ledger: DatabaseLedger) -> None:
    """As if nothing had been heard of a bot for longer than its lease lasts."""
    assert look(
        url,
        f"UPDATE lease SET until_s = until_s - {2 * LEASE_S} WHERE holder = '{ledger.bot}' "  # noqa: S608 - our own words
        "RETURNING 1",
    )


async def test_what_is_written_at_once_shares_a_transaction(url: str, proxy: Proxy) -> None:
    async with opened(through(proxy, url)) as ledger:
        begun, go = threading.Event(), threading.Event()

        def hold(_: Connection) -> None:
            begun.set()
            assert go.wait(30)

        holding = asyncio.create_task(ledger.database.write(hold))
        await asyncio.to_thread(begun.wait, 30)
        before = proxy.commits
        jobs = [make_job(user_id=n) for n in range(20)]
        accepting = [asyncio.create_task(ledger.accept(job, LIMITS)) for job in jobs]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(holding, *accepting)
        assert proxy.commits == before + 2
        records = await ledger.find(limit=100)
        assert [one.job for one in reversed(records)] == jobs
        assert (await ledger.counts())[State.QUEUED] == 20


async def test_a_work_that_raises_is_undone_alone(url: str) -> None:
    def breaks_a_rule(connection: Connection) -> None:
        connection.execute("INSERT INTO counts VALUES ('queued', 7)")
        connection.execute("INSERT INTO counts VALUES ('queued', 7)")

    def has_no_room(connection: Connection) -> None:
        connection.execute("UPDATE jobs SET attempt = ?", (2**70,))

    async with opened(url) as ledger:
        first, refused, second = make_job(), make_job(user_id=2), make_job(user_id=3)
        results = await asyncio.gather(
            ledger.accept(first, LIMITS),
            ledger.database.write(breaks_a_rule),
            ledger.accept(refused, Limits(queued=1)),
            ledger.database.write(has_no_room),
            ledger.accept(second, LIMITS),
            return_exceptions=True,
        )
        assert [type(one) for one in results] == [
            type(None),
            errors.UniqueViolation,
            JobRefusedError,
            errors.NumericValueOutOfRange,
            type(None),
        ]
        assert "(" not in str(results[1])  # no values: they may be what people wrote
        assert {one.job.id for one in await ledger.find()} == {first.id, second.id}


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_the_server_is_waited_for(mode: str) -> None:
    with running() as own:
        async with opened(own.new_database()) as ledger:
            before, after = make_job(), make_job(user_id=2)
            await ledger.accept(before, LIMITS)
            await ledger.find()
            await asyncio.to_thread(own.stop, mode)
            accepting = asyncio.create_task(ledger.accept(after, LIMITS))
            reading = asyncio.create_task(ledger.find())
            await asyncio.to_thread(own.start)
            await accepting
            assert before.id in {one.job.id for one in await reading}
            assert [one.job.id for one in await ledger.find()] == [after.id, before.id]


async def test_a_server_that_starts_later_is_waited_for() -> None:
    with running() as own:
        url = own.new_database()
        own.stop()
        waits: list[float] = []

        def sleep(delay_s: float) -> None:
            waits.append(delay_s)
            if len(waits) == 2:
                own.start()

        async with opened(url, sleep=sleep) as ledger:
            await ledger.accept(make_job(), LIMITS)
        assert len(waits) == 2


async def test_one_that_never_comes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "START_PATIENCE_S", 0.0)
    never = PostgresDatabase("postgresql://bot@127.0.0.1:1/imagine")
    with pytest.raises(LedgerError, match="See that the server runs"):
        await asyncio.to_thread(never.open)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER, Cut.SILENT])
async def test_what_a_lost_answer_left_open_is_done_once(url: str, proxy: Proxy, cut: Cut) -> None:
    async with opened(through(proxy, url), limit_s=1.0) as ledger:
        job = make_job()
        await ledger.accept(job, LIMITS)
        proxy.cut = cut
        # Done twice it would not be legal; not done, the next would not.
        record = await ledger.move(job.id, State.RUNNING)
        assert (record.state, record.attempt) == (State.RUNNING, 1)
        proxy.cut = cut
        await ledger.move(job.id, State.QUEUED)
        with pytest.raises(IllegalMoveError):
            await ledger.move(job.id, State.DRAWN)
        ways = look(url, "SELECT to_state FROM transitions ORDER BY rowid")
        assert [state for (state,) in ways] == ["queued", "running", "queued"]


async def test_a_pooler_may_stand_in_between(url: str) -> None:
    """With two connections for the bot's three and for whoever looks, none keeps its own."""
    with pooled(server().port) as port:
        by_pooler = url.replace(str(server().port), str(port))
        records = PostgresRecords(by_pooler)
        async with opened(by_pooler) as ledger:
            jobs = [make_job(user_id=n) for n in range(30)]
            await asyncio.gather(*(ledger.accept(job, LIMITS) for job in jobs))
            looked = await asyncio.gather(*(ledger.get(job.id) for job in jobs))
            assert [one.job for one in looked] == jobs
            with records.writing() as connection:
                order = book.add_order(connection, jobs[0].id, "cancel", NOON_S)
            assert [one.id for one in await ledger.orders()] == [order]
            assert records.is_in_use()
        assert not records.is_in_use()
        # Nothing that was set for a transaction has stayed with a connection.
        with psycopg.connect(by_pooler, autocommit=True, prepare_threshold=None) as connection:
            settings = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
            for one in settings * 2:
                assert connection.execute(f"SHOW {one}".encode()).fetchone() == ("0",)


async def test_a_pooler_that_loses_its_server_hides_no_commit(url: str, proxy: Proxy) -> None:
    """It answers itself, with an error of its own, what the server has done."""
    with pooled(proxy.port) as port:
        async with opened(url.replace(str(server().port), str(port))) as ledger:
            job = make_job()
            await ledger.accept(job, LIMITS)
            proxy.cut = Cut.AFTER
            assert (await ledger.move(job.id, State.RUNNING)).attempt == 1
        ways = look(url, "SELECT to_state FROM transitions ORDER BY rowid")
        assert [state for (state,) in ways] == ["queued", "running"]


async def test_a_reader_whose_connection_breaks_reads_over_the_next(url: str, proxy: Proxy) -> None:
    async with opened(through(proxy, url)) as ledger:
        job = make_job()
        await ledger.accept(job, LIMITS)
        await ledger.find()
        proxy.break_off()
        assert (await ledger.get(job.id)).job == job


async def test_a_server_that_stays_away_is_said_and_nothing_is_lost(
    url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE_S", 0.0)
    monkeypatch.setattr(writer, "UNSETTLED_PATIENCE_S", 0.0)
    monkeypatch.setattr(database, "PATIENCE_S", 0.0)
    async with opened(through(proxy, url)) as ledger:
        job = make_job()
        await ledger.accept(job, LIMITS)
        proxy.cut, proxy.refuses = Cut.BEFORE, True
        with pytest.raises(LedgerError, match="cannot be reached now"):
            await ledger.move(job.id, State.RUNNING)
        proxy.refuses = False
        assert (await ledger.get(job.id)).state is State.QUEUED
        assert (await ledger.move(job.id, State.RUNNING)).attempt == 1


async def test_somebody_who_holds_the_records_locked_is_said(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BEGIN", writer.BEGIN.replace("'5s'", "'10ms'"))
    async with opened(url) as ledger:
        with closing(Session(url)) as other:
            other.script(f"BEGIN; SELECT pg_advisory_xact_lock({writer.WRITE_LOCK})")
            with pytest.raises(LedgerError, match="holds the bot's records locked"):
                await ledger.accept(make_job(), LIMITS)
        await ledger.accept(make_job(), LIMITS)


async def test_bots_work_side_by_side(url: str) -> None:
    async with opened(url, sleep=pytest.fail) as first:
        async with opened(url, sleep=pytest.fail) as second:
            jobs = [make_job(), make_job(user_id=2)]
            await asyncio.gather(first.accept(jobs[0], LIMITS), second.accept(jobs[1], LIMITS))
            for ledger in (first, second):
                assert {one.job.id for one in await ledger.find()} == {one.id for one in jobs}
        assert PostgresRecords(url).is_in_use()
        await first.accept(make_job(user_id=3), LIMITS)
    assert not PostgresRecords(url).is_in_use()


async def test_a_bot_whose_work_another_took_over_writes_nothing(url: str) -> None:
    async with opened(url) as paused:
        job = make_job()
        await paused.accept(job, LIMITS)
        async with opened(url) as next_one:
            silence(url, paused)  # it was held up for so long
            assert [one.job.id for one in (await next_one.look()).records] == [job.id]
            await next_one.move(job.id, State.RUNNING)
            with pytest.raises(LedgerError, match="may not write"):
                await paused.move(job.id, State.CANCELLED)
            assert (await next_one.get(job.id)).state is State.RUNNING
            with pytest.raises(LedgerError, match="and ends"):
                await paused.database.taken()
            assert PostgresRecords(url).is_in_use()
    assert not PostgresRecords(url).is_in_use()


async def test_a_bot_that_only_came_late_goes_on(url: str) -> None:
    """Nobody has looked meanwhile, so nobody has what it had in hand."""
    async with opened(url) as late:
        job = make_job()
        await late.accept(job, LIMITS)
        silence(url, late)
        assert (await late.move(job.id, State.RUNNING)).attempt == 1
        assert (await late.look()).records == ()


async def test_who_was_away_with_all_others_buries_nobody(url: str) -> None:
    """The server was gone for a minute, and the first to come back must not end the others."""
    async with opened(url) as first, opened(url) as second:
        job = make_job()
        await second.accept(job, LIMITS)
        silence(url, first)
        silence(url, second)
        assert (await first.look()).records == ()
        await second.move(job.id, State.RUNNING)
        # Once all have had the time to come back, who has not is gone.
        look(url, f"UPDATE lease SET missed_s = missed_s - {LEASE_S + 1} RETURNING 1")  # noqa: S608 - as above
        silence(url, second)
        assert [one.job.id for one in (await first.look()).records] == [job.id]


async def test_a_bot_whose_row_is_gone_ends(url: str) -> None:
    async with opened(url) as ledger:
        with psycopg.connect(url, autocommit=True) as connection:  # restored from a dump, say
            connection.execute("DELETE FROM lease")
        with pytest.raises(LedgerError, match="may not write"):
            await ledger.accept(make_job(), LIMITS)
        with pytest.raises(LedgerError, match="and ends"):
            await ledger.database.taken()


async def test_a_copy_of_a_living_bots_folder_is_another_place(url: str, tmp_path: Path) -> None:
    async with opened(url, folder=tmp_path / "data") as living:
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
        async with opened(url, folder=tmp_path / "copy"):
            await living.accept(make_job(), LIMITS)


async def test_older_bots_are_waited_for_before_tables_are_changed(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    older = PostgresDatabase(url)
    await asyncio.to_thread(older.open)
    waits: list[float] = []

    def sleep(delay_s: float) -> None:
        assert look(url, "SELECT to_regclass('orders') IS NOT NULL") == [(True,)]
        waits.append(delay_s)
        if len(waits) == 3:
            older.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "FORM", FORM + 1)
        patch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "DROP TABLE orders CASCADE;"))
        stopped = PostgresDatabase(url, sleep=no_sleep)
        with pytest.raises(LedgerError, match="was stopped while it waited"):
            await asyncio.to_thread(stopped.open, is_stopping=lambda: True)
        await asyncio.to_thread(stopped.close)
        async with opened(url, sleep=sleep):
            pass
        assert look(url, "SELECT to_regclass('orders') IS NULL") == [(True,)]
    assert len(waits) == 3
    said = [one for one in caplog.messages if "cannot be changed before it has ended" in one]
    assert len(said) == 1
    with pytest.raises(LedgerError, match="newer version of the bot"):
        await asyncio.to_thread(PostgresDatabase(url).open)


async def test_a_bot_of_an_older_form_that_wakes_too_late_writes_nothing(url: str) -> None:
    async with opened(url) as paused:
        silence(url, paused)
        look(url, "UPDATE lease SET form = form - 1 RETURNING 1")
        async with opened(url, sleep=pytest.fail):
            with pytest.raises(LedgerError, match="may not write"):
                await paused.accept(make_job(), LIMITS)


async def test_the_row_of_a_bot_that_knew_no_others_is_waited_for(url: str) -> None:
    with closing(Session(url)) as session:
        session.script(
            "CREATE TABLE lease (holder TEXT NOT NULL, place TEXT NOT NULL, mark TEXT NOT NULL, "
            "until_s DOUBLE PRECISION NOT NULL);"
            "INSERT INTO lease VALUES ('old', 'there', '', extract(epoch FROM now()) + 1000);"
        )
        session.script(MIGRATIONS[0])
        session.execute("UPDATE form SET number = 1")

        def sleep(_: float) -> None:
            session.script("DELETE FROM lease")  # it was stopped

        async with opened(url, sleep=sleep) as ledger:
            await ledger.accept(make_job(), LIMITS)


async def test_ranges_are_shared_out(url: str) -> None:
    async with opened(url) as first, opened(url) as third:
        async with opened(url) as second:
            assert [await one.claim_range("shards", 2) for one in (first, second)] == [0, 1]
            assert await first.claim_range("shards", 2) == 0
            assert await third.claim_range("shards", 2) is None
            assert await third.claim_range("shards", 3) is None  # others count otherwise
            assert await third.claim_range("sockets", 2) == 0
        assert await third.claim_range("shards", 2) == 1  # it was given back
        silence(url, third)
        assert await first.claim_range("shards", 4) == 0  # of another total, alone
    async with opened(url) as alone:
        assert await alone.claim_range("shards", 1) == 0


async def test_a_killed_bot_of_this_folder_works_here_no_more(url: str, tmp_path: Path) -> None:
    records = PostgresRecords(url, tmp_path)
    killed = records.database()
    await asyncio.to_thread(killed.open)
    assert records.is_in_use()
    killed._leave_seat()
    assert not records.is_in_use()
    assert PostgresRecords(url).is_in_use()  # from elsewhere nobody can know
    await asyncio.to_thread(killed.close)
    with pytest.raises(LedgerError, match="closed"):
        await killed.read(lambda _: None)


async def test_who_follows_a_killed_bot_in_its_folder_need_not_wait(
    url: str, tmp_path: Path
) -> None:
    killed = PostgresDatabase(url, tmp_path)
    await asyncio.to_thread(killed.open)
    with pytest.raises(LedgerError, match="already works in the folder"):
        await asyncio.to_thread(PostgresDatabase(url, tmp_path).open)
    killed._leave_seat()  # as the system does for a process that has ended
    async with opened(url, folder=tmp_path, sleep=pytest.fail) as next_one:
        await next_one.accept(make_job(), LIMITS)
    assert (tmp_path / "bot.lock").stat().st_mode & 0o077 == 0
    await asyncio.to_thread(killed.close)


async def test_an_idle_bot_keeps_its_lease(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "RENEW_EVERY_S", 0.01)
    async with opened(url):
        (first,) = look(url, "SELECT until_s FROM lease")
        while look(url, "SELECT until_s FROM lease") == [first]:
            pass  # looking takes as long as it takes


def test_an_address_that_is_none_is_said() -> None:
    with pytest.raises(LedgerError, match=r"cannot be understood: .*sslmod.*\[storage\] database"):
        PostgresRecords("postgresql://bot@localhost/imagine?sslmod=require")


def test_it_is_said_what_is_wrong_with_a_database() -> None:
    own = server()
    with pytest.raises(LedgerError, match=r"cannot be used.*See that the server runs"):
        PostgresRecords("postgresql://bot@127.0.0.1:1/imagine").examine()
    missing = own.url("missing")
    with pytest.raises(LedgerError, match=r"PostgreSQL at '127.0.0.1:\d+', database 'missing'"):
        PostgresRecords(missing).examine()
    with own.connected("postgres") as connection:
        connection.execute(
            b"CREATE DATABASE plain ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' "
            b"TEMPLATE template0"
        )
    with pytest.raises(LedgerError, match="a database in UTF8"):
        PostgresRecords(own.url("plain")).examine()


def test_a_ledger_is_made_by_the_first_start_alone(url: str) -> None:
    records = PostgresRecords(url)
    assert records.examine() is None
    with pytest.raises(LedgerError, match="There is no ledger in PostgreSQL at"), records.reading():
        pass
    with pytest.raises(LedgerError, match="make a new database"):
        records.database(start_empty=True)
    one = records.database()
    one.open()
    one.close()
    assert records.examine() == 0


def test_forms_are_told_apart(url: str) -> None:
    with closing(Session(url)) as session:
        session.script(MIGRATIONS[0])
        session.execute("UPDATE form SET number = ?", (FORM + 1,))
        for open_it in (PostgresRecords(url).examine, PostgresDatabase(url).open):
            with pytest.raises(LedgerError, match="newer version of the bot"):
                open_it()
        session.execute("UPDATE form SET number = ?", (FORM,))
    assert PostgresRecords(url).examine() == 0


async def test_what_no_text_can_hold_is_replaced(url: str) -> None:
    job = make_job(wish=Wish("a\0b", seed=2**32 - 1))
    job = replace(job, person=replace(job.person, name="x\0y"))
    async with opened(url) as ledger:
        await ledger.accept(job, LIMITS)
        kept = (await ledger.get(job.id)).job
        assert kept.wish == job.wish
        assert kept.person.name == "x\N{REPLACEMENT CHARACTER}y"


@pytest.mark.parametrize(
    ("error", "trouble", "words"),
    [
        (errors.DiskFull, Trouble.FULL, "cannot be written"),
        (errors.ReadOnlySqlTransaction, Trouble.FULL, "cannot be written"),
        (errors.AdminShutdown, Trouble.AWAY, "cannot be reached"),
        (errors.CannotConnectNow, Trouble.AWAY, "cannot be reached"),
        (errors.TooManyConnections, Trouble.AWAY, "cannot be reached"),
        (errors.IdleInTransactionSessionTimeout, Trouble.AWAY, "cannot be reached"),
        (errors.DeadlockDetected, Trouble.AWAY, "cannot be reached"),
        (psycopg.OperationalError, Trouble.AWAY, "cannot be reached"),
        (errors.LockNotAvailable, Trouble.LOCKED, "locked"),
        (errors.QueryCanceled, Trouble.LOCKED, "locked"),
        (errors.DataCorrupted, Trouble.DAMAGED, "damaged"),
        (errors.UndefinedTable, Trouble.DAMAGED, "damaged"),
    ],
)
def test_every_trouble_has_its_words(
    error: Callable[[], psycopg.Error], trouble: Trouble, words: str
) -> None:
    assert trouble_of(error()) is trouble
    assert words in str(for_people(error()))


def test_an_address_is_shown_without_what_opens_it() -> None:
    said = shown_url("postgresql://bot@db.example:6543/imagine?sslkey=secret&user=other")
    assert said == "PostgreSQL at 'db.example:6543', database 'imagine'"


def test_its_own_server_is_nobody_elses(url: str) -> None:
    assert isinstance(server(), Server)
    assert look(url, "SELECT inet_server_addr()::text") == [("127.0.0.1/32",)]
