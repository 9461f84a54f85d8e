"""The one thread that writes to a database; one transaction serves all who wait for it."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from bot.errors import LedgerError
from bot.ledgers.database import Connection
from sdxl_engine.sentence import sentence_of

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a work: its value, or what it raised."""

    value: Any = None
    error: Exception | None = None


class Writer(Protocol):
    """Writes to a database, on one thread."""

    def write(self, works: Sequence[Work]) -> list[Outcome]:
        """Do these in one transaction, in order; when it returns, all of it is durable.

        A work that raises is undone alone. Raises LedgerError where nothing of it was written.
        """

    def close(self) -> None:
        """Let go of the database."""


class WriteThread:
    """Owns the writer, from open to close.

    connect  makes it; runs on the thread
    idle_s   after so long without work the writer is given none to do, and may look around; None:
             it is left alone

    A future is settled when its work is on the disk: one synchronisation of the disk serves all who
    waited for it. A work that raises is undone alone; where the disk fails, so does all that was to
    be written with it. A future that its waiter cancelled is written all the same.
    """

    def __init__(self, connect: Callable[[], Writer], *, idle_s: float | None = None) -> None:
        self._connect = connect
        self._idle_s = idle_s
        self._works: SimpleQueue[tuple[Work, Future[Any]] | None] = SimpleQueue()
        self._closing = threading.Lock()  # between "is it closed?" and the work that is put in
        self._closed = False
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="ledger", daemon=True)

    def open(self) -> None:
        """Start, and wait until the writer is there; raises what `connect` raises."""
        self._thread.start()
        self._opened.result()

    def submit(self, work: Callable[[Any], T]) -> Future[T]:
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
            writer = self._connect()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever opened
            with self._closing:
                self._closed = True
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            while (batch := self._next()) is not None:
                _write(writer, batch)
        finally:
            writer.close()

    def _next(self) -> list[tuple[Work, Future[Any]]] | None:
        """Everything that waits, at least one if the thread is not idle; None: that was all."""
        try:
            first = self._works.get(timeout=self._idle_s)
        except Empty:
            return []
        if first is None:
            return None
        batch = [first]
        with suppress(Empty):
            while (another := self._works.get_nowait()) is not None:
                batch.append(another)
            self._works.put(None)  # the end, for the next round
        return batch


def outcome_of(
    connection: Connection, work: Work, is_its_own: Callable[[Exception], bool]
) -> Outcome:
    """Do one work inside a transaction; what it raises undoes it alone.

    is_its_own  whether an error is the work's; one of the database's is raised
    """
    connection.execute("SAVEPOINT work")
    try:
        value = work(connection)
    except Exception as error:
        if not is_its_own(error):
            raise
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        return Outcome(error=error)
    connection.execute("RELEASE work")
    return Outcome(value)


def _write(writer: Writer, batch: Sequence[tuple[Work, "Future[Any]"]]) -> None:
    try:
        outcomes = writer.write([work for work, _ in batch])
    except LedgerError as error:
        for _, future in batch:
            failure = LedgerError(sentence_of(error))
            failure.__cause__ = error.__cause__ or error
            _settle(future.set_exception, failure)
        return
    except Exception as error:  # of no database: whoever waits hears of it, and the thread goes on
        log.exception("the ledger could not be written")
        for _, future in batch:
            _settle(future.set_exception, error)
        return
    for (_, future), outcome in zip(batch, outcomes, strict=True):
        if outcome.error is not None:
            _settle(future.set_exception, outcome.error)
        else:
            _settle(future.set_result, outcome.value)


def _settle(settle: Callable[[Any], None], value: object) -> None:
    with suppress(InvalidStateError):  # its waiter cancelled it
        settle(value)
