"""The ledger in a SQLite file, by the folder that it is in."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bot.errors import LedgerError
from bot.ledgers.copying import Source, Target
from bot.ledgers.database import Connection
from bot.ledgers.ownership import own
from bot.ledgers.sqlite.database import SqliteDatabase, connect, copy_file, examine, is_in_use
from bot.ledgers.sqlite.loss import BESIDE, Mark
from bot.ledgers.sqlite.trouble import in_words
from bot.ledgers.sqlite.whole import SqliteWhole
from bot.shared.data_folder import LEDGER, LEDGER_LOCK


class SqliteRecords:
    """Implements `Records`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / LEDGER

    @property
    def where(self) -> str:
        """See `Records.where`."""
        return f"the folder {self._folder.resolve()}"

    def database(self, *, start_empty: bool = False) -> SqliteDatabase:
        """See `Records.database`."""
        return SqliteDatabase(self._folder, start_empty=start_empty)

    def examine(self) -> int | None:
        """See `Records.examine`."""
        return examine(self._path)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """See `Records.reading`."""
        with in_words(self._path), closing(connect(self._path)) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Records.writing`."""
        with in_words(self._path), closing(connect(self._path, writes=True)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")  # what raised is undone with the connection's end

    def is_in_use(self) -> bool:
        """See `Records.is_in_use`."""
        return is_in_use(self._folder)

    @contextmanager
    def whole(self) -> Iterator[Source]:
        """See `Records.whole`."""
        with self.reading() as connection:
            yield SqliteWhole(connection, self._path)

    @contextmanager
    def filling(self) -> Iterator[Target]:
        """See `Records.filling`; pictures in the folder are no sign of a loss here."""
        lock = own(self._folder, LEDGER_LOCK)
        try:
            mark = Mark(lock, lambda: None)
            with (
                in_words(self._path),
                filled(self._path, mark.before_commit, mark.after_commit) as there,
            ):
                yield there
        finally:
            os.close(lock)

    def copy_to(self, path: Path) -> int:
        """See `Records.copy_to`."""
        with closing(connect(self._path)) as source:
            return copy_file(source, path)


@contextmanager
def filled(
    path: Path,
    before_commit: Callable[[sqlite3.Connection], None] = lambda _: None,
    after_commit: Callable[[sqlite3.Connection], None] = lambda _: None,
) -> Iterator[Target]:
    """A ledger's file to be written in one transaction; whatever raises inside undoes it.

    before_commit, after_commit  as `SqliteWriter` has them

    Raises LedgerError, and sqlite3.Error where the file cannot be written.
    """
    is_new = not path.exists() or (path.is_file() and not path.stat().st_size)
    if is_new:
        _check_nothing_beside(path)
    try:
        with closing(connect(path, writes=True, makes=is_new)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield SqliteWhole(connection, path)
            before_commit(connection)
            connection.execute("COMMIT")
            after_commit(connection)
    except BaseException:
        if is_new:
            for one in (path, *_beside(path)):
                one.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{end}") for end in BESIDE]


def _check_nothing_beside(path: Path) -> None:
    """What is left of another file would be taken for the new one's; raises LedgerError."""
    for one in _beside(path):
        if one.exists():
            raise LedgerError(
                f"{one} belongs to a ledger that is not there. Move it away, to where that is."
            )
