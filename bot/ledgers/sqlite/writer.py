"""What writes to a SQLite file."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

from bot.errors import LedgerError
from bot.ledgers.sqlite.trouble import for_people
from bot.ledgers.write_thread import Outcome, Work, outcome_of

log = logging.getLogger(__name__)


class SqliteWriter:
    """Implements `Writer`.

    connection     in autocommit mode
    before_commit  called with each transaction; what it raises undoes it, LedgerError or OSError
    after_commit   called when it is on the disk; raises nothing
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        before_commit: Callable[[sqlite3.Connection], None] = lambda _: None,
        after_commit: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._before_commit = before_commit
        self._after_commit = after_commit

    def write(self, works: Sequence[Work]) -> list[Outcome]:
        """See `Writer.write`."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [outcome_of(connection, work, _is_its_own) for work in works]
            self._before_commit(connection)
            connection.execute("COMMIT")
            self._after_commit(connection)
        except (sqlite3.Error, OSError, LedgerError) as error:
            log.error("the ledger cannot be written: %s", error)  # noqa: TRY400 - it says it all
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if isinstance(error, LedgerError):
                raise
            raise for_people(error) from error
        return outcomes

    def close(self) -> None:
        """See `Writer.close`."""
        self._connection.close()


def _is_its_own(error: Exception) -> bool:
    """Only what breaks a rule of the tables is the work's own; of SQLite's others is the disk's."""
    return not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.IntegrityError)
