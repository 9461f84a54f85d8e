"""The ledger in a SQLite file, by the folder that it is in."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bot.ledgers.database import Connection
from bot.ledgers.sqlite.database import SqliteDatabase, connect, examine, is_in_use
from bot.ledgers.sqlite.trouble import in_words
from bot.shared.data_folder import LEDGER


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
    def reading(self) -> Iterator[Connection]:
        """See `Records.reading`."""
        with in_words(self._path), closing(connect(self._path)) as connection:
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
