"""What the ledger needs of a database: four ways in, and one to be rid of what was deleted."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Crew:
    """The bots that work with a database now.

    bot       this one; a bot's name is another at each start
    living    the names of all, this one among them
    is_chief  whether this one does what is to be done once; one of them does
    """

    bot: str
    living: tuple[str, ...]
    is_chief: bool


class Database(Protocol):
    """Runs work in transactions; every method but `close` raises LedgerError."""

    @property
    def bot(self) -> str:
        """The name of the bot that works with it; another at each start."""

    @property
    def is_shared(self) -> bool:
        """Whether other bots may work with it at the same time."""

    def open(
        self, serves: Collection[str] = (), *, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Begin to work with it, bring its tables to the newest form; called once, on a thread.

        Bots that know an older form alone are waited for.

        serves       the names of the homes that the bot is in
        is_stopping  whether that wait is to end, with a LedgerError
        """

    def close(self) -> None:
        """Finish what was begun and let go; called on a thread."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do this in a transaction; when it returns, it is durable."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do this beside the writing."""

    async def taken(self) -> None:
        """Wait until another bot has this one's work, and it must end; raises LedgerError then."""

    def muster(self, connection: Connection) -> Crew:
        """Who works with it now; inside a transaction that writes."""

    async def news(self) -> None:
        """Wait until another bot may have done something that concerns this one.

        It is a hint: there may be nothing. There is one every few seconds at least, where there may
        be other bots.
        """

    async def claim_range(self, kind: str, total: int) -> int | None:
        """Take one of so many ranges, counted from 0, of what bots share among them.

        It is this bot's for as long as it works here, and asked again it is the same. None: bots
        have all of them, or some that are out of another total. A bot alone takes the first.
        """

    async def scrub(self, before_s: float) -> None:
        """Leave nothing behind of what was deleted, nor copies made before then."""


def equals(column: str, value: object) -> tuple[str, tuple[object, ...]]:
    """A condition that a column holds this, which may be nothing; and its parameters.

    SQLite says `IS ?` for it, PostgreSQL something that no index is used for.
    """
    return (f"{column} IS NULL", ()) if value is None else (f"{column} = ?", (value,))
