"""A whole ledger, row by row, from one database to another, and the proof that it arrived."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Protocol

from bot.errors import LedgerError

Row = tuple[Any, ...]
Rows = Generator[Row, None, None]
Show = Callable[[int, int], None]

_SHOWN_EVERY: Final = 1_000  # rows
NUL: Final = "\0"
INSTEAD: Final = "\N{REPLACEMENT CHARACTER}"  # where a database has no sign for it


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the ledger.

    key          its rows are read in the order of these columns, texts by their bytes in UTF-8
    is_numbered  the database gives its rows their numbers, which are the key
    """

    name: str
    key: tuple[str, ...]
    is_numbered: bool = False


# A row stands behind those that it refers to. The counts come last: triggers count jobs, too.
TABLES: Final = (
    Table("people", ("home", "id")),
    Table("jobs", ("number",), is_numbered=True),
    Table("images", ("job", "place")),
    Table("transitions", ("rowid",), is_numbered=True),
    Table("orders", ("id",), is_numbered=True),
    Table("clock", ("passed_s",)),
    Table("unanswered", ("home", "event")),
    Table("favourites", ("number",), is_numbered=True),
    Table("defaults", ("home", "whose", "id")),
    Table("houses", ("home", "community")),
    Table("rules", ("home", "community", "channel", "role")),
    Table("terms", ("home", "community", "text")),
    Table("blocks", ("home", "community", "person")),
    Table("cases", ("number",), is_numbered=True),
    Table("reports", ("number",), is_numbered=True),
    Table("notices", ("number",), is_numbered=True),
    Table("audit", ("number",)),
    Table("counts", ("state",)),
)
# What a bot leaves that nobody has asked for anything yet.
_OF_NOBODY: Final = frozenset({"clock", "counts"})


class Source(Protocol):
    """A whole ledger to be read, all of one moment; every method raises LedgerError."""

    def columns(self, table: Table) -> list[str]:
        """The names of a table's columns, the key among them."""

    def count(self, table: Table) -> int:
        """How many rows it has."""

    def rows(self, table: Table, columns: Sequence[str]) -> Rows:
        """All of them in the order of the key, never all at once in memory.

        To be closed before what they are read from is.
        """

    def last_given(self, table: Table) -> int:
        """The highest number that is not given again; of a table that is numbered."""


class Target(Source, Protocol):
    """A whole ledger to be written, in one transaction."""

    keeps_nul: bool
    """Whether a text may hold the character NUL."""

    def fill(self, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Have these rows in it and no others; they come in the order of the key."""

    def give_after(self, table: Table, number: int) -> None:
        """Give no number up to this one to another row, where the database can know that."""


@dataclass(slots=True)
class Copied:
    """What was copied.

    rows      how many of each table
    replaced  how many texts held the character NUL, and have another in its place
    """

    rows: dict[str, int] = field(default_factory=dict)
    replaced: int = 0


def is_empty(ledger: Source) -> bool:
    """Whether nobody is on record there, and nothing that anybody did."""
    return not any(ledger.count(one) for one in TABLES if one.name not in _OF_NOBODY)


def copy(source: Source, target: Target, show: Show = lambda _done, _total: None) -> Copied:
    """Copy all that is on record into an empty ledger, and read it back there.

    show  is told how many rows were read, of how many; each is read on both sides

    Raises LedgerError, also where what is read back is not what was written.
    """
    copied, seals = Copied(), dict[str, _Seal]()
    counted = _Counted(show, 2 * sum(source.count(table) for table in TABLES))
    for table in TABLES:
        columns, seal = source.columns(table), _Seal()
        with closing(source.rows(table, columns)) as rows:
            kept = rows if target.keeps_nul else _without_nul(table, columns, rows, copied)
            target.fill(table, columns, counted.through(seal.over(kept)))
        if table.is_numbered:
            target.give_after(table, source.last_given(table))
        copied.rows[table.name] = seal.rows
        seals[table.name] = seal
    for table in TABLES:
        columns, seal = source.columns(table), _Seal()
        with closing(target.rows(table, columns)) as rows:
            for _ in counted.through(seal.over(rows)):
                pass
        if seal != seals[table.name]:
            raise LedgerError(
                f"What was written to the table {table.name} is not what is read back from it "
                f"({seals[table.name]} and {seal}), so nothing was kept of the copy."
            )
    return copied


class _Seal:
    """How many rows there were, and the hash of all of them in their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = sha256()

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        """These rows, as they are."""
        for row in rows:
            self.rows += 1
            self._hash.update(repr(row).encode())  # numbers to their last digit
            yield row

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Seal) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f"{self.rows} rows, SHA-256 {self._hash.hexdigest()[:16]}"


class _Counted:
    """Shows how many rows went by."""

    def __init__(self, show: Show, total: int) -> None:
        self._show = show
        self._total = total
        self._done = 0

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._done += 1
            if not self._done % _SHOWN_EVERY:
                self._show(self._done, self._total)
            yield row


def _without_nul(
    table: Table, columns: Sequence[str], rows: Iterable[Row], copied: Copied
) -> Iterator[Row]:
    """The rows with another character in the place of NUL, as a bot writes them there itself."""
    keys = [columns.index(one) for one in table.key]
    for row in rows:
        held = [place for place, value in enumerate(row) if isinstance(value, str) and NUL in value]
        if held and (table.name == "audit" or not set(keys).isdisjoint(held)):
            raise LedgerError(
                f"The table {table.name} holds a text with the character NUL, which PostgreSQL "
                "knows no sign for, where no other may stand in its place: this ledger can only be "
                "in SQLite."
            )
        copied.replaced += len(held)
        yield (
            tuple(
                value.replace(NUL, INSTEAD) if place in held else value
                for place, value in enumerate(row)
            )
            if held
            else row
        )
