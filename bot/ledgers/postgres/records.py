"""The ledger in PostgreSQL, by its address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bot.errors import LedgerError
from bot.ledgers.copying import Source, Target, copy
from bot.ledgers.database import Connection
from bot.ledgers.postgres import database
from bot.ledgers.postgres.database import FORM, PostgresDatabase, form_of
from bot.ledgers.postgres.lease import LEASE_TABLE, is_in_use
from bot.ledgers.postgres.session import Session, shown_url
from bot.ledgers.postgres.whole import PATIENCE, PostgresWhole
from bot.ledgers.sqlite.records import filled


class PostgresRecords:
    """Implements `Records`.

    folder  the storage folder of the bot that works with it

    Raises LedgerError where the address is none.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            why = " ".join(str(error).split())
            raise LedgerError(
                f"The address of the ledger's database cannot be understood: {why}. Correct "
                "[storage] database."
            ) from error
        self._url = url
        self._folder = folder

    @property
    def where(self) -> str:
        """See `Records.where`."""
        return shown_url(self._url)

    def database(self, *, start_empty: bool = False) -> PostgresDatabase:
        """See `Records.database`."""
        if start_empty:
            raise LedgerError(
                "To begin with an empty ledger in PostgreSQL, make a new database and name that: "
                "--start-empty is for a ledger in the storage folder."
            )
        return PostgresDatabase(self._url, self._folder)

    def examine(self) -> int | None:
        """See `Records.examine`."""
        with database.opened(self._url) as session:
            if not self._form(session):
                return None
            (jobs,) = session.script("SELECT count(*) FROM jobs")
            return int(jobs)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See `Records.reading`."""
        with self._opened() as session, database.reading(session):
            session.script(PATIENCE)  # a pager takes its time, and so does a copy
            yield session

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Records.writing`."""
        with self._opened() as session, database.writing(session):
            yield session

    def is_in_use(self) -> bool:
        """See `Records.is_in_use`."""
        with self._opened() as session:
            return is_in_use(session, self._folder)

    @contextmanager
    def whole(self) -> Iterator[Source]:
        """See `Records.whole`."""
        with self.reading() as session:
            yield PostgresWhole(session, self._url)

    @contextmanager
    def filling(self) -> Iterator[Target]:
        """See `Records.filling`."""
        with database.opened(self._url) as session, database.locked(session):
            session.script(PATIENCE)
            session.script(LEASE_TABLE)
            database.make_tables(session, self._url)
            if is_in_use(session, self._folder):
                raise LedgerError(f"A bot works with {self.where}. Stop it, and try again.")
            yield PostgresWhole(session, self._url)

    def copy_to(self, path: Path) -> int:
        """See `Records.copy_to`."""
        with filled(path) as there, self.whole() as here:
            return copy(here, there).rows["jobs"]

    @contextmanager
    def _opened(self) -> Iterator[Session]:
        with database.opened(self._url) as session:
            if not self._form(session):
                raise LedgerError(f"There is no ledger in {self.where}.")
            yield session

    def _form(self, session: Session) -> int:
        form = form_of(session, self._url)
        if 0 < form < FORM:
            raise LedgerError(
                f"The ledger in {self.where} was written by an older version of the bot (its form "
                f"is number {form}, this one writes {FORM}). Start the bot once: it brings it up "
                "to date."
            )
        return form
