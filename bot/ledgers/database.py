"""What the ledger needs of a database: four ways in, and one to be rid of what was deleted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Cursor(Protocol):
    """The rows of one statement."""

    def fetchone(self) -> Any:  # noqa: ANN401 - a row's types are the table's
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One connection, inside a transaction; `sqlite3.Connection` is one."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement; a question mark stands for each parameter."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each row of parameters."""


class Database(Protocol):
    """Runs work in transactions; every method but `close` raises LedgerError."""

    def open(self) -> None:
        """Take the database, bring its tables to the newest form; called once, on a thread."""

    def close(self) -> None:
        """Finish what was begun and let go; called on a thread."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do this in a transaction; when it returns, it is durable."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do this beside the writing."""

    async def taken(self) -> None:
        """Wait until another bot has taken it, and this one must end; raises LedgerError then."""

    async def scrub(self, before_s: float) -> None:
        """Leave nothing behind of what was deleted, nor copies made before then."""


def equals(column: str, value: object) -> tuple[str, tuple[object, ...]]:
    """A condition that a column holds this, which may be nothing; and its parameters.

    SQLite says `IS ?` for it, PostgreSQL something that no index is used for.
    """
    return (f"{column} IS NULL", ()) if value is None else (f"{column} = ?", (value,))
