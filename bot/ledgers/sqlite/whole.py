"""A whole ledger in a SQLite file, as `bot.ledgers.copying` reads and writes it."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.ledgers.copying import Row, Rows, Table
from bot.ledgers.sqlite.trouble import in_words


class SqliteWhole:
    """Implements `Source` and `Target`.

    connection  in a transaction
    """

    keeps_nul = True

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def columns(self, table: Table) -> list[str]:
        """See `Source.columns`."""
        found = self._connection.execute(f"SELECT * FROM {table.name} LIMIT 0").description  # noqa: S608 - our own names
        names = [name for name, *_ in found]
        # Its own number of a row is a column that only who asks for it sees.
        return [*(one for one in table.key if one not in names), *names]

    def count(self, table: Table) -> int:
        """See `Source.count`."""
        return self._number(f"SELECT count(*) FROM {table.name}")  # noqa: S608 - our own names

    def rows(self, table: Table, columns: Sequence[str]) -> Rows:
        """See `Source.rows`."""
        with in_words(self._path):
            yield from self._connection.execute(
                f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {', '.join(table.key)}"  # noqa: S608 - our own names
            )

    def last_given(self, table: Table) -> int:
        """See `Source.last_given`."""
        last = self._number(f"SELECT max({table.key[0]}) FROM {table.name}")  # noqa: S608 - our own names
        if self._is_never_given_again(table):
            sql = f"SELECT max(seq) FROM sqlite_sequence WHERE name = '{table.name}'"  # noqa: S608 - our own names
            last = max(last, self._number(sql))
        return last

    def fill(self, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """See `Target.fill`."""
        marks = ", ".join("?" * len(columns))
        self._connection.execute(f"DELETE FROM {table.name}")  # noqa: S608 - our own names
        self._connection.executemany(
            f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - our own names
            rows,
        )

    def give_after(self, table: Table, number: int) -> None:
        """See `Target.give_after`."""
        if self._is_never_given_again(table):
            self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
            self._connection.execute(
                "INSERT INTO sqlite_sequence VALUES (?, ?)", (table.name, number)
            )

    def _is_never_given_again(self, table: Table) -> bool:
        """Whether the file knows which number was the highest ever."""
        sql = f"SELECT sql LIKE '%AUTOINCREMENT%' FROM sqlite_schema WHERE name = '{table.name}'"  # noqa: S608 - our own names
        return bool(self._number(sql))

    def _number(self, sql: str) -> int:
        (number,) = self._connection.execute(sql).fetchone()
        return int(number or 0)
