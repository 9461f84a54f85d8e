"""What writes to PostgreSQL: all that waits in one transaction, and one transaction at a time.

Each book's transaction reads, decides and writes as if nobody else wrote meanwhile. SQLite grants
that by its one writer; here every transaction that writes holds one advisory lock, whichever
process it is of. What is lost by it is little: all that a bot has to write shares one.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psycopg

from bot.errors import LedgerError
from bot.ledgers.postgres.lease import RENEW_EVERY_S, Lease, taken
from bot.ledgers.postgres.session import LIMIT_S, Session
from bot.ledgers.postgres.trouble import Trouble, for_people, trouble_of
from bot.ledgers.write_thread import Outcome, Work, outcome_of

log = logging.getLogger(__name__)

# The number has no meaning but to be ours.
WRITE_LOCK: Final = 0x1DA6_0B07
# One round trip; a pooler hands on what is set for one transaction alone.
BEGIN: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL synchronous_commit = on;
    SET LOCAL lock_timeout = '5s';
    SET LOCAL statement_timeout = '15s';
    SET LOCAL idle_in_transaction_session_timeout = '15s';
    SELECT pg_advisory_xact_lock({WRITE_LOCK});
    SELECT pg_current_xact_id()::text, (SELECT holder FROM lease);
"""  # noqa: S608 - our own text
# For so long a server that is away is waited for, before who asks reads that it is: longer than one
# takes to start again.
PATIENCE_S: Final = 10.0
# And for so long where a transaction's end was not heard: who asks must not read that nothing was
# written of what was.
UNSETTLED_PATIENCE_S: Final = 120.0
_TRY_EVERY_S: Final = 0.2


class _AwayError(Exception):
    """The server was lost on the way; nothing was written, or nobody knows.

    transaction  which perhaps was committed; None: none was
    """

    def __init__(self, cause: psycopg.Error, transaction: str | None = None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.transaction = transaction


class PostgresWriter:
    """Implements `Writer`. What is lost with a connection is done again over the next.

    connect  opens a session; raises psycopg.Error
    lease    this bot's, taken already
    limit_s  how long one try may take
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        lease: Lease,
        *,
        limit_s: float = LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect = connect
        self._lease = lease
        self._limit_s = limit_s
        self._clock = clock
        self._sleep = sleep
        self._session: Session | None = None
        self._renewed_s = -RENEW_EVERY_S

    def write(self, works: Sequence[Work]) -> list[Outcome]:
        """See `Writer.write`."""
        begun_s = self._clock()
        unsettled: str | None = (
            None  # a transaction of which it is not known whether it was committed
        )
        outcomes: list[Outcome] = []
        while True:
            try:
                session = self._opened()
                with session.within(self._limit_s):
                    if unsettled is not None:
                        if _was_committed(session, unsettled, self._sleep):
                            return outcomes
                        unsettled = None
                    transaction = self._begin(session)
                    outcomes = [outcome_of(session, work, _is_its_own) for work in works]
                    self._commit(session, transaction)
            except _AwayError as error:
                unsettled = error.transaction or unsettled
                cause = error.cause
            except psycopg.Error as error:
                cause = error
            except LedgerError as error:
                log.error("the ledger cannot be written: %s", error)  # noqa: TRY400 - it says it all
                self.close()
                raise
            else:
                return outcomes
            self.close()
            patience_s = PATIENCE_S if unsettled is None else UNSETTLED_PATIENCE_S
            if trouble_of(cause) is not Trouble.AWAY or self._clock() - begun_s >= patience_s:
                log.error("the ledger cannot be written: %s", " ".join(str(cause).split()))
                raise for_people(cause) from cause
            self._sleep(_TRY_EVERY_S)

    def _opened(self) -> Session:
        if self._session is None:
            self._session = self._connect()
        return self._session

    def _begin(self, session: Session) -> str:
        transaction, holder = session.script(BEGIN)
        if holder != self._lease.holder:
            raise taken()
        now_s = self._clock()
        if now_s - self._renewed_s >= RENEW_EVERY_S:
            self._lease.renew(session)
            self._renewed_s = now_s
        return str(transaction)

    def _commit(self, session: Session, transaction: str) -> None:
        try:
            session.script("COMMIT")
        except psycopg.Error as error:
            # An answer that never came may have been yes.
            raise _AwayError(error, transaction if error.sqlstate is None else None) from error

    def close(self) -> None:
        """See `Writer.close`; what was begun is undone."""
        if self._session is not None:
            with suppress(psycopg.Error):
                self._session.close()
            self._session = None


def _was_committed(session: Session, transaction: str, sleep: Callable[[float], None]) -> bool:
    """What became of a transaction whose end was not heard.

    One that goes on is ended by the server, as soon as it notices that nobody is there.
    """
    while True:
        (status,) = session.script(f"SELECT pg_xact_status('{int(transaction)}'::xid8)")
        if status != "in progress":
            return bool(status == "committed")
        sleep(_TRY_EVERY_S)


def _is_its_own(error: Exception) -> bool:
    """Only what breaks a rule of the tables is the work's own; other errors are the server's."""
    return not isinstance(error, psycopg.Error) or trouble_of(error) is Trouble.OURS
