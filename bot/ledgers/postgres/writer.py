"""What writes to PostgreSQL: all that waits in one transaction, and one transaction at a time.

Each book's transaction reads, decides and writes as if nobody else wrote meanwhile. SQLite grants
that by its one writer; here every transaction that writes holds one advisory lock, whichever
process it is of. What is lost by it is little: all that a bot has to write shares one.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Final

import psycopg

from bot.ledgers.postgres.lease import Lease, LeaseTakenError
from bot.ledgers.postgres.session import Session
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
"""
# For so long a server that is away is waited for, before who asks reads that it is: longer than one
# takes to start again.
PATIENCE_S: Final = 10.0
# And for so long where a transaction's end was not heard: who asks must not read that nothing was
# written of what was.
UNSETTLED_PATIENCE_S: Final = 120.0
_TRY_EVERY_S: Final = 0.2


class PostgresWriter:
    """Implements `Writer`. What is lost with a connection is done again over the next.

    Where the answer to a commit is lost, nobody knows whether it was done. So each transaction
    leaves a mark of its own in the lease's row, which the next one finds there, or does not: in
    whatever state the server came back.

    connect  opens a session; raises psycopg.Error
    lease    this bot's, taken already
    taken    told once another bot has the lease
    limit_s  how long one try may take
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        lease: Lease,
        *,
        taken: Callable[[LeaseTakenError], None],
        limit_s: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._connect = connect
        self._lease = lease
        self._taken = taken
        self._limit_s = limit_s
        self._clock = clock
        self._sleep = sleep
        self._session: Session | None = None

    def write(self, works: Sequence[Work]) -> list[Outcome]:
        """See `Writer.write`."""
        begun_s = self._clock()
        unsettled: str | None = None  # the mark of a transaction whose end was not heard
        outcomes: list[Outcome] = []
        tries = 0
        while True:
            mark = token_hex(8)
            is_ending = False
            tries += 1
            try:
                session = self._opened()
                with session.within(self._limit_s):
                    session.script(BEGIN)
                    if unsettled is not None and self._lease.last_mark(session) == unsettled:
                        session.script("ROLLBACK")
                        return outcomes
                    unsettled = None
                    self._lease.hold(session, mark)
                    outcomes = [outcome_of(session, work, _is_its_own) for work in works]
                    is_ending = True
                    session.script("COMMIT")
            except psycopg.Error as error:
                self.close()
                trouble = trouble_of(error)
                if is_ending and trouble is Trouble.AWAY:
                    unsettled = mark
                # Who holds the lock may be what is left of the try before.
                may_pass = trouble is Trouble.AWAY or (trouble is Trouble.LOCKED and tries > 1)
                patience_s = PATIENCE_S if unsettled is None else UNSETTLED_PATIENCE_S
                # One that took all the time deserves another over a new connection.
                is_over = tries > 1 and self._clock() - begun_s >= patience_s
                if is_over or not may_pass:
                    log.error("the ledger cannot be written: %s", error)  # noqa: TRY400 - it says it all
                    raise for_people(error) from error
                self._sleep(_TRY_EVERY_S)
            except LeaseTakenError as error:
                self.close()
                self._taken(error)
                raise
            except BaseException:
                self.close()
                raise
            else:
                return outcomes

    def _opened(self) -> Session:
        if self._session is None:
            self._session = self._connect()
        return self._session

    def close(self) -> None:
        """See `Writer.close`; what was begun is undone."""
        if self._session is not None:
            with suppress(psycopg.Error):
                self._session.close()
            self._session = None


def _is_its_own(error: Exception) -> bool:
    """Only what breaks a rule of the tables is the work's own; other errors are the server's."""
    return not isinstance(error, psycopg.Error) or trouble_of(error) is Trouble.OURS
