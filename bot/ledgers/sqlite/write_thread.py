"""The one thread that writes to a SQLite file; one transaction serves all who wait for it."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from bot.errors import LedgerError
from bot.ledgers.sqlite.trouble import for_people
from sdxl_engine.sentence import sentence_of

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]


class WriteThread:
    """Owns the writing connection, from open to close.

    connect        makes the connection, in autocommit mode; runs on the thread
    before_commit  called with each transaction; what it raises undoes it, LedgerError or OSError
    after_commit   called when it is on the disk; raises nothing

    A future is settled when its work is on the disk: one synchronisation of the disk serves all who
    waited for it. A work that raises is undone alone; where the disk fails, so does all that was to
    be written with it. A future that its waiter cancelled is written all the same.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        before_commit: Callable[[sqlite3.Connection], None] = lambda _: None,
        after_commit: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._works: SimpleQueue[tuple[Work, Future[Any]] | None] = SimpleQueue()
        self._closing = threading.Lock()  # between "is it closed?" and the work that is put in
        self._closed = False
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="ledger", daemon=True)

    def open(self) -> None:
        """Start, and wait until the connection is there; raises what `connect` raises."""
        self._thread.start()
        self._opened.result()

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Have this done in a transaction; the future raises what it raises, or LedgerError."""
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                future.set_exception(LedgerError("The ledger is closed."))
            else:
                self._works.put((work, future))
        return future

    def close(self) -> None:
        """Write what was submitted, then end."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._works.put(None)
        if self._thread.ident is not None:  # it was started
            self._thread.join()

    def _main(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever opened
            with self._closing:
                self._closed = True
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            while batch := self._next():
                self._write(connection, batch)
        finally:
            connection.close()

    def _next(self) -> list[tuple[Work, Future[Any]]]:
        """Everything that waits, at least one; empty when there will be no more."""
        first = self._works.get()
        if first is None:
            return []
        batch = [first]
        with suppress(Empty):
            while (another := self._works.get_nowait()) is not None:
                batch.append(another)
            self._works.put(None)  # the end, for the next round
        return batch

    def _write(self, connection: sqlite3.Connection, batch: list[tuple[Work, Future[Any]]]) -> None:
        outcomes: list[Callable[[], None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, future in batch:
                outcomes.append(_outcome(connection, work, future))
            self._before_commit(connection)
            connection.execute("COMMIT")
            self._after_commit(connection)
        except (sqlite3.Error, OSError, LedgerError) as error:
            log.error("the ledger cannot be written: %s", error)  # noqa: TRY400 - it says it all
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            for _, future in batch:
                words = error if isinstance(error, LedgerError) else for_people(error)
                failure = LedgerError(sentence_of(words))
                failure.__cause__ = error
                _settle(future.set_exception, failure)
        else:
            for settle in outcomes:
                settle()


def _outcome(
    connection: sqlite3.Connection, work: Work, future: "Future[Any]"
) -> Callable[[], None]:
    """Do one work inside the transaction; returns what tells of it once all is committed."""
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except Exception as error:
        # Only what breaks a rule of the tables is the work's own; of SQLite's others is the disk's.
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            raise
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        failure = error
        return lambda: _settle(future.set_exception, failure)
    connection.execute("RELEASE work")
    return lambda: _settle(future.set_result, result)


def _settle(settle: Callable[[Any], None], value: object) -> None:
    with suppress(InvalidStateError):  # its waiter cancelled it
        settle(value)
