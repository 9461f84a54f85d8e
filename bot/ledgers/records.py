"""Where the ledger is: in a file of the storage folder, or in a database that has an address.

For commands that look into it beside a running bot, and for whoever opens it for the bot itself.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from bot.errors import LedgerError
from bot.ledgers.copying import Source, Target
from bot.ledgers.database import Connection, Database
from bot.ledgers.sqlite.records import SqliteRecords


class Records(Protocol):
    """One ledger, by where it is; every method raises LedgerError, in words for an operator."""

    @property
    def where(self) -> str:
        """For people, such as "the folder data"; nothing in it opens anything."""

    def database(self, *, start_empty: bool = False) -> Database:
        """For the one bot that works there; not opened yet.

        start_empty  put a ledger that is lost or damaged aside, and make a new one
        """

    def examine(self) -> int | None:
        """How many jobs are on record; None: there is no ledger yet."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection to look with, all of one moment where the database can."""

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction beside the bot's; whatever raises inside undoes it."""

    def is_in_use(self) -> bool:
        """Whether a bot works there now."""

    def whole(self) -> AbstractContextManager[Source]:
        """All of the ledger, of one moment, however long it is read; beside a bot, too."""

    def filling(self) -> AbstractContextManager[Target]:
        """A ledger to be written there in one transaction, while no bot can begin to work there.

        It is made where there is none; whatever raises inside undoes that, too.
        """

    def copy_to(self, path: Path) -> int:
        """Write all of it, of one moment, to a new ledger's file; returns how many jobs there are.

        Beside a bot, too. Raises sqlite3.Error as well, where that file cannot be written.
        """


def records_of(folder: Path, url: str) -> Records:
    """Those of a configuration; raises LedgerError where what they need is not installed.

    url  "": in the folder
    """
    if not url:
        return SqliteRecords(folder)
    try:
        from bot.ledgers.postgres.records import PostgresRecords  # noqa: PLC0415 - few have it
    except ImportError as error:
        raise LedgerError(
            "A ledger in PostgreSQL needs psycopg, which is not installed here: make setup-scale."
        ) from error
    return PostgresRecords(url, folder)
