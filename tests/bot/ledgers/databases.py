"""The ledger's databases for tests: SQLite's, or with TEST_DATABASE=postgres PostgreSQL's.

Whoever tests what a ledger keeps asks here for one by its folder, and has been tested with both:
`make test` takes the one, `make test-scale` the other.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path

import pytest

from bot.ledgers.database import Connection
from bot.ledgers.postgres import database as postgres
from bot.ledgers.postgres.database import locked, make_tables
from bot.ledgers.postgres.lease import LEASE_TABLE
from bot.ledgers.postgres.records import PostgresRecords
from bot.ledgers.postgres.session import Session
from bot.ledgers.records import Records
from bot.ledgers.sqlite.database import connect
from bot.ledgers.sqlite.records import SqliteRecords
from bot.shared.data_folder import LEDGER
from tests.bot.ledgers.postgres.server import Server, running

IN_POSTGRES = os.environ.get("TEST_DATABASE") == "postgres"
until_the_end = ExitStack()  # what conftest.py closes once all tests of a process are over
sqlite_alone = pytest.mark.skipif(IN_POSTGRES, reason="about SQLite's file")


@cache
def server() -> Server:
    """One for all tests of a process."""
    return until_the_end.enter_context(running())


@cache
def url_in(folder: Path) -> str:
    """The PostgreSQL of a folder."""
    return server().new_database()


def records_in(folder: Path) -> Records:
    """Where the ledger of this folder is."""
    return PostgresRecords(url_in(folder), folder) if IN_POSTGRES else SqliteRecords(folder)


@contextmanager
def connection_to(folder: Path) -> Iterator[Connection]:
    """A connection to a folder's ledger that may change anything; each statement counts at once."""
    if IN_POSTGRES:
        with postgres.opened(url_in(folder)) as session:
            migrate(session)
            yield session
    else:
        with closing(connect(folder / LEDGER, makes=True)) as connection:
            yield connection


def migrate(session: Session) -> None:
    """Make the tables, as the first start of a bot does."""
    with locked(session):
        session.script(LEASE_TABLE)
        make_tables(session, "postgresql://")


@cache
def _shared() -> Session:
    """Tables in which nothing stays: whoever uses them undoes it all."""
    url = server().new_database()
    with postgres.opened(url) as session:
        migrate(session)
    return until_the_end.enter_context(closing(Session(url)))


@contextmanager
def emptied() -> Iterator[Connection]:
    """A PostgreSQL ledger with nothing in it, within a transaction that is undone."""
    session = _shared()
    session.script("BEGIN")
    try:
        yield session
    finally:
        session.script("ROLLBACK")
