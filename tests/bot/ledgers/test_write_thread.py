"""The writing thread: what is promised is on the disk, and only that."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.errors import BotError, LedgerError
from bot.ledgers.sqlite.writer import SqliteWriter
from bot.ledgers.write_thread import WriteThread
from bot.shared.futures import wait_for

Connection = sqlite3.Connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "file.sqlite3")) as connection:
        connection.execute("CREATE TABLE words (word TEXT NOT NULL)")
    return tmp_path / "file.sqlite3"


@pytest.fixture
def writer(path: Path) -> Iterator[WriteThread]:
    thread = WriteThread(
        lambda: SqliteWriter(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    )
    thread.open()
    yield thread
    thread.close()


def words(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM words")]


def write(word: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute("INSERT INTO words VALUES (?)", (word,))
        return word

    return work


def held(writer: WriteThread) -> threading.Event:
    """Holds the thread up, so that what comes now becomes one transaction."""
    begun, go = threading.Event(), threading.Event()

    def work(_: Connection) -> None:
        begun.set()
        assert go.wait(30)

    writer.submit(work)
    assert begun.wait(30)
    return go


def test_a_result_means_that_it_is_on_the_disk(writer: WriteThread, path: Path) -> None:
    assert writer.submit(write("a")).result(30) == "a"
    assert words(path) == ["a"]


def refuses(_: Connection) -> None:
    raise BotError("no")


def breaks_a_rule_of_the_table(connection: Connection) -> None:
    connection.execute("INSERT INTO words VALUES (NULL)")


@pytest.mark.parametrize(
    ("fails", "failure"),
    [(refuses, BotError), (breaks_a_rule_of_the_table, sqlite3.IntegrityError)],
)
def test_many_who_wait_share_a_transaction_and_one_that_raises_is_undone_alone(
    writer: WriteThread,
    path: Path,
    fails: Callable[[Connection], None],
    failure: type[Exception],
) -> None:
    def refuse(connection: Connection) -> None:
        write("never")(connection)
        fails(connection)

    go = held(writer)
    first, refused = writer.submit(write("a")), writer.submit(refuse)
    last = writer.submit(write("b"))
    assert words(path) == []
    go.set()
    assert first.result(30) == "a"
    assert last.result(30) == "b"
    with pytest.raises(failure):
        refused.result(30)
    assert words(path) == ["a", "b"]


def test_a_full_disk_fails_all_that_would_have_been_written(
    writer: WriteThread, path: Path
) -> None:
    def fill(connection: Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    writer.submit(fill).result(30)
    go = held(writer)
    small, large = writer.submit(write("small")), writer.submit(write("x" * 100_000))
    go.set()
    for future in (small, large):
        with pytest.raises(LedgerError, match="disk is full or cannot be written"):
            future.result(30)
    assert words(path) == []
    writer.submit(lambda connection: connection.execute("PRAGMA max_page_count = 9999")).result(30)
    assert writer.submit(write("x" * 100_000)).result(30)


def test_a_read_only_disk_is_the_same_sentence(writer: WriteThread) -> None:
    writer.submit(lambda connection: connection.execute("PRAGMA query_only = ON")).result(30)
    with pytest.raises(LedgerError, match="disk is full or cannot be written"):
        writer.submit(write("a")).result(30)


async def test_a_waiter_that_gives_up_does_not_undo_it(writer: WriteThread, path: Path) -> None:
    go = held(writer)
    waiting = asyncio.create_task(wait_for(writer.submit(write("a"))))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    go.set()
    await wait_for(writer.submit(write("b")))
    assert words(path) == ["a", "b"]


def test_what_is_no_error_of_a_database_ends_no_thread(writer: WriteThread, path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteWriter, "write", lambda _self, _works: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            writer.submit(write("a")).result(30)
    writer.submit(write("b")).result(30)
    assert words(path) == ["b"]


def test_a_connection_that_fails_is_told_to_who_opens() -> None:
    def fail() -> SqliteWriter:
        raise LedgerError("no file")

    thread = WriteThread(fail)
    with pytest.raises(LedgerError, match="no file"):
        thread.open()
    with pytest.raises(LedgerError, match="closed"):
        thread.submit(write("a")).result(30)
    thread.close()


def test_closing_writes_what_waits_and_takes_no_more(path: Path) -> None:
    thread = WriteThread(lambda: SqliteWriter(sqlite3.connect(path, isolation_level=None)))
    thread.open()
    go = held(thread)
    futures = [thread.submit(write(str(n))) for n in range(3)]
    closer = threading.Thread(target=thread.close)
    closer.start()
    go.set()
    closer.join(30)
    assert [future.result(30) for future in futures] == ["0", "1", "2"]
    assert words(path) == ["0", "1", "2"]
    with pytest.raises(LedgerError, match="closed"):
        thread.submit(write("late")).result(30)
    thread.close()
