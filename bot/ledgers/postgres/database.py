"""The ledger's database in PostgreSQL."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

import psycopg

from bot.errors import LedgerError
from bot.ledgers.database import Connection, Crew
from bot.ledgers.postgres.ears import Ears
from bot.ledgers.postgres.lease import LEASE_TABLE, RENEW_EVERY_S, Lease, older, take_seat
from bot.ledgers.postgres.schema import MIGRATIONS
from bot.ledgers.postgres.session import LIMIT_S, Session, connected, shown_url
from bot.ledgers.postgres.trouble import Trouble, for_operator, for_people, trouble_of
from bot.ledgers.postgres.writer import BEGIN, PATIENCE_S, WRITE_LOCK, PostgresWriter
from bot.ledgers.write_thread import WriteThread
from bot.shared.futures import wait_for

log = logging.getLogger(__name__)

T = TypeVar("T")

FORM: Final = len(MIGRATIONS)
_READERS: Final = 2  # so that a long list holds up nobody
_TRY_EVERY_S: Final = 0.2
# Where both start at once, such as after a power cut, the server takes longer.
START_PATIENCE_S: Final = 30.0
_START_TRY_EVERY_S: Final = 1.0
# In a transaction that writes, which puts off the end of the lease as well.
_LOOK_EVERY_S: Final = RENEW_EVERY_S
_WAIT_EVERY_S: Final = 1.0
_PASSING: Final = frozenset({Trouble.AWAY, Trouble.LOCKED})
# What is read in one go is of one moment.
_BEGIN_READING: Final = """
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = '15s';
    SET LOCAL idle_in_transaction_session_timeout = '60s';
"""


class PostgresDatabase:
    """Implements `Database`: bots work with it from wherever they are.

    url      without a password: libpq finds that in PGPASSWORD or its password file
    folder   a storage folder; the next bot there need not wait for the lease of one that was killed
    limit_s  how long one transaction may take before its connection is broken off
    """

    def __init__(
        self,
        url: str,
        folder: Path | None = None,
        *,
        limit_s: float = LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        self._folder = folder
        self._seat: int | None = None
        self._lease = Lease()
        self._limit_s = limit_s
        self._clock = clock
        self._sleep = sleep
        self._writer = WriteThread(self._writing, idle_s=RENEW_EVERY_S)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="ledger-read")
        self._idle = SimpleQueue[Session]()  # sessions that nobody reads with
        self._taken: Future[None] = Future()
        self._ears: Ears | None = None
        self._serves: tuple[str, ...] = ()
        self._is_stopping: Callable[[], bool] = lambda: False

    is_shared = True

    @property
    def bot(self) -> str:
        """See `Database.bot`."""
        return self._lease.holder

    def open(
        self, serves: Collection[str] = (), *, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """See `Database.open`."""
        self._serves, self._is_stopping = tuple(serves), is_stopping
        try:
            if self._folder is not None:
                self._seat, seat = take_seat(self._folder)
                self._lease = Lease(seat)
            self._writer.open()
        except BaseException:
            self._readers.shutdown()
            self._leave_seat()
            raise
        self._ears = Ears(lambda: Session(self._url), self.bot)
        self._ears.open()

    def _writing(self) -> PostgresWriter:
        """Have the tables made, and take the lease; a server that only starts is waited for."""
        until_s = self._clock() + START_PATIENCE_S
        while True:
            try:
                self._make_ready()
                break
            except LedgerError as error:
                cause = error.__cause__
                may_pass = isinstance(cause, psycopg.Error) and trouble_of(cause) in _PASSING
                if not may_pass or self._clock() >= until_s:
                    raise
                log.warning("waiting for the ledger's database: %s", error)
                self._sleep(_START_TRY_EVERY_S)
        return PostgresWriter(
            lambda: Session(self._url),
            self._lease,
            taken=self._end,
            limit_s=self._limit_s,
            clock=self._clock,
            sleep=self._sleep,
        )

    def _make_ready(self) -> None:
        """Begin to work here, once nobody does who knows an older form of the tables alone."""
        session = connected(self._url)
        said = False
        try:
            with in_words(self._url):
                while (other := self._take(session)) is not None:
                    if self._is_stopping():
                        raise LedgerError("The bot was stopped while it waited for another one.")
                    if not said:
                        log.warning(
                            "an older version of the bot works with this database: %s. The tables "
                            "cannot be changed before it has ended: stop it. This one waits.",
                            other,
                        )
                        said = True
                    self._sleep(_WAIT_EVERY_S)
        finally:
            session.close()

    def _take(self, session: Session) -> str | None:
        """Make the tables, and begin to work here; or who is to be waited for, for people."""
        with locked(session):
            session.script(LEASE_TABLE)
            self._lease.succeed(session)
            other = older(session, FORM)
            if other is None:
                make_tables(session, self._url)
                self._lease.take(session, FORM, self._serves)
            return other

    def _end(self, error: LedgerError) -> None:
        with suppress(InvalidStateError):  # it was said before
            self._taken.set_exception(error)

    def close(self) -> None:
        """See `Database.close`."""
        if self._ears is not None:
            self._ears.close()
        self._writer.close()
        self._readers.shutdown()
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()
        with suppress(LedgerError, psycopg.Error), opened(self._url) as session, writing(session):
            self._lease.give_back(session)
        self._leave_seat()

    def _leave_seat(self) -> None:
        if self._seat is not None:
            os.close(self._seat)
            self._seat = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `Database.write`."""
        return await wait_for(self._writer.submit(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """See `Database.read`."""
        try:
            reading = self._readers.submit(self._read, work)
        except RuntimeError as error:
            raise LedgerError("The ledger is closed.") from error
        return await wait_for(reading)

    async def taken(self) -> None:
        """See `Database.taken`."""
        await wait_for(self._taken)

    def muster(self, connection: Connection) -> Crew:
        """See `Database.muster`."""
        return self._lease.muster(connection)

    async def news(self) -> None:
        """See `Database.news`."""
        assert self._ears is not None  # noqa: S101 - `open` comes first
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                await self._ears.rang()

    async def claim_range(self, kind: str, total: int) -> int | None:
        """See `Database.claim_range`."""
        return await self.write(lambda connection: self._lease.claim(connection, kind, total))

    async def scrub(self, before_s: float) -> None:
        """See `Database.scrub`: PostgreSQL does it by itself, when it vacuums and archives."""

    def _read(self, work: Callable[[Connection], T]) -> T:
        until_s = self._clock() + PATIENCE_S
        tries = 0
        while True:
            session: Session | None = None
            tries += 1
            try:
                with suppress(Empty):
                    session = self._idle.get_nowait()
                session = session or Session(self._url)
                with session.within(self._limit_s), reading(session):
                    result = work(session)
            except psycopg.Error as error:
                if session is not None:
                    session.close()
                is_over = tries > 1 and self._clock() >= until_s
                if trouble_of(error) is not Trouble.AWAY or is_over:
                    raise for_people(error) from error
                self._sleep(_TRY_EVERY_S)
            except BaseException:
                if session is not None:
                    self._idle.put(session)
                raise
            else:
                self._idle.put(session)
                return result


def make_tables(session: Session, url: str) -> None:
    """Make the tables, or bring an older form of them up to date, inside a locked transaction.

    Raises LedgerError.
    """
    form = form_of(session, url)
    if form == FORM:
        return
    if form:
        log.info("bringing the ledger from form %d to %d", form, FORM)
    session.script("".join(MIGRATIONS[form:]))
    session.execute("UPDATE form SET number = ?", (FORM,))


def form_of(session: Connection, url: str) -> int:
    """The number of the ledger's form, 0: there is none; raises LedgerError if it is newer."""
    (there,) = session.execute("SELECT to_regclass('form') IS NOT NULL").fetchone()
    if not there:
        return 0
    (form,) = session.execute("SELECT number FROM form").fetchone()
    if form > FORM:
        raise LedgerError(
            f"The ledger in {shown_url(url)} was written by a newer version of the bot (its form "
            f"is number {form}, this one writes {FORM}). Start that version."
        )
    return int(form)


@contextmanager
def opened(url: str) -> Iterator[Session]:
    """A session of one's own, for as long as it is needed; raises LedgerError."""
    session = connected(url)
    try:
        with in_words(url):
            yield session
    finally:
        session.close()


@contextmanager
def reading(session: Session) -> Iterator[None]:
    """A transaction that reads, all of it of one moment."""
    session.script(_BEGIN_READING)
    try:
        yield
    finally:
        if not session.is_broken:
            session.script("ROLLBACK")


@contextmanager
def writing(session: Session) -> Iterator[None]:
    """A transaction that writes, while nobody else does."""
    session.script(BEGIN)
    with _ended(session):
        yield


@contextmanager
def locked(session: Session) -> Iterator[None]:
    """As `writing`, for what takes as long as it takes, and where there may be no tables yet."""
    session.script(
        f"BEGIN; SET LOCAL lock_timeout = '20s'; SELECT pg_advisory_xact_lock({WRITE_LOCK})"
    )
    with _ended(session):
        yield


@contextmanager
def _ended(session: Session) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if not session.is_broken:
            session.script("ROLLBACK")
        raise
    session.script("COMMIT")


@contextmanager
def in_words(url: str) -> Iterator[None]:
    """Raise every error of PostgreSQL's inside as the LedgerError that says it to an operator."""
    try:
        yield
    except psycopg.Error as error:
        raise for_operator(error, shown_url(url)) from error
