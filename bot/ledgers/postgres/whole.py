"""A whole ledger in PostgreSQL, as `bot.ledgers.copying` reads and writes it."""

from collections.abc import Iterable, Sequence
from typing import Final

from bot.ledgers.copying import Row, Rows, Table
from bot.ledgers.postgres.database import in_words
from bot.ledgers.postgres.session import Session

# What copies a ledger takes as long as it takes.
PATIENCE: Final = """
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
"""
_AT_ONCE: Final = 1_000  # rows of one answer
_TEXT: Final = 25  # as PostgreSQL numbers its types


class PostgresWhole:
    """Implements `Source` and `Target`.

    session  in a transaction
    """

    keeps_nul = False

    def __init__(self, session: Session, url: str) -> None:
        self._session = session
        self._url = url

    def columns(self, table: Table) -> list[str]:
        """See `Source.columns`."""
        return list(self._types(table))

    def count(self, table: Table) -> int:
        """See `Source.count`."""
        (rows,) = self._session.script(f"SELECT count(*) FROM {table.name}")  # noqa: S608 - our own names
        return int(rows)

    def rows(self, table: Table, columns: Sequence[str]) -> Rows:
        """See `Source.rows`."""
        types = self._types(table)
        # However this database sorts, these are sorted by their bytes.
        order = [f'{one} COLLATE "C"' if types[one] == _TEXT else one for one in table.key]
        sql = f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {', '.join(order)}"  # noqa: S608 - our own names
        with in_words(self._url), self._session.raw.cursor(name="whole") as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(sql.encode())
            yield from cursor

    def last_given(self, table: Table) -> int:
        """See `Source.last_given`."""
        (column,) = table.key
        (sequence,) = self._session.script(
            f"SELECT pg_get_serial_sequence('{table.name}', '{column}')"
        )
        (number,) = self._session.script(
            f"SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM {sequence}"  # noqa: S608 - the server's own name
        )
        return int(number)

    def fill(self, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """See `Target.fill`."""
        # What triggers make of rows is copied as it stands; and one row that is changed with each
        # of a hundred thousand others would be as many versions of itself to look through.
        self._session.script(
            f"ALTER TABLE {table.name} DISABLE TRIGGER USER; DELETE FROM {table.name}"  # noqa: S608 - our own names
        )
        sql = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN"
        with self._session.raw.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            for row in rows:
                copy.write_row(row)
        self._session.script(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")

    def give_after(self, table: Table, number: int) -> None:
        """See `Target.give_after`."""
        (column,) = table.key
        # Unlike setval it is undone with the transaction.
        self._session.script(
            f"ALTER TABLE {table.name} ALTER COLUMN {column} RESTART WITH {int(number) + 1}"
        )

    def _types(self, table: Table) -> dict[str, int]:
        found = self._session.execute(f"SELECT * FROM {table.name} LIMIT 0").description  # noqa: S608 - our own names
        return {one.name: one.type_code for one in found or ()}
