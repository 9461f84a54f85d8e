"""Which bot works with a database: one at a time, by the server's own clock.

A lock that a session holds would do, were there no pooler between that lends the session to
somebody else. So it is a row with an end, which whoever holds it puts off. And because a process
may be held up for longer than that without noticing, every transaction looks first whether the row
is still its own.

A bot that was killed left its row. The next one in the same storage folder need not wait for its
end: it holds the folder's lock, so whoever had the row from there is no more.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Final

from bot.errors import LedgerError
from bot.ledgers.database import Connection
from bot.ledgers.ownership import is_owned, own
from bot.shared.data_folder import BOT_LOCK

LEASE_S: Final = 20.0
RENEW_EVERY_S: Final = 5.0
_LOOK_EVERY_S: Final = 1.0
_NAME_BYTES: Final = 32
_TAKEN: Final = (
    "Another bot works with the bot's records by now, so this one may not write to them, and ends."
)
# Outside the forms of the other tables: who brings those up to date takes this first.
LEASE_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS lease (
        holder  TEXT NOT NULL,
        place   TEXT NOT NULL,  -- the machine and the process, for people
        mark    TEXT NOT NULL,  -- of the holder's last transaction
        until_s DOUBLE PRECISION NOT NULL
    )
"""
_NOW: Final = "extract(epoch FROM clock_timestamp())"


def _this_process() -> str:
    return f"process {os.getpid()} on {platform.node()}"


class LeaseTakenError(LedgerError):
    """Another bot has taken the database."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A bot's claim on the database.

    seat    the machine and the folder that it has to itself, see `take_seat`; "": none
    holder  differs from start to start
    place   where it runs, for people
    """

    seat: str = ""
    holder: str = field(default="", init=False)
    place: str = field(default_factory=_this_process, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holder", f"{self.seat}#{token_hex(16)}")

    def take(self, connection: Connection) -> str | None:
        """Take it, unless somebody has it: then who, for people. Inside a locked transaction."""
        other = _live(connection)
        if other is not None and not is_of(other[0], self.seat):
            return other[1]
        connection.execute("DELETE FROM lease")
        connection.execute(
            f"INSERT INTO lease (holder, place, mark, until_s) VALUES (?, ?, '', {_NOW} + ?)",  # noqa: S608 - our own text
            (self.holder, self.place, LEASE_S),
        )
        return None

    def hold(self, connection: Connection, mark: str) -> None:
        """Put its end off and leave a mark; inside a locked transaction, so that nobody takes it.

        Raises LeaseTakenError where another has it.
        """
        row = connection.execute(
            f"UPDATE lease SET until_s = {_NOW} + ?, mark = ? WHERE holder = ? RETURNING 1",  # noqa: S608 - our own text
            (LEASE_S, mark, self.holder),
        ).fetchone()
        if row is not None:
            return
        # There may be no row at all, in a database that was restored from a copy.
        if connection.execute("SELECT 1 FROM lease").fetchone() or self.take(connection):
            raise LeaseTakenError(_TAKEN)
        connection.execute("UPDATE lease SET mark = ?", (mark,))

    def last_mark(self, connection: Connection) -> str | None:
        """What its last transaction left; None: it is another's by now."""
        row = connection.execute(
            "SELECT mark FROM lease WHERE holder = ?", (self.holder,)
        ).fetchone()
        return None if row is None else str(row[0])

    def give_back(self, connection: Connection) -> None:
        """Let the next one in at once."""
        connection.execute("DELETE FROM lease WHERE holder = ?", (self.holder,))


def take_seat(folder: Path) -> tuple[int, str]:
    """Take a storage folder, for as long as the descriptor is open; and how it is called.

    Raises LedgerError.
    """
    lock = own(folder, BOT_LOCK)
    if len(os.pread(lock, _NAME_BYTES, 0)) < _NAME_BYTES:
        os.pwrite(lock, token_hex(_NAME_BYTES // 2).encode(), 0)
    return lock, _seat(lock)


def is_in_use(connection: Connection, folder: Path | None) -> bool:
    """Whether a bot works with the database now.

    folder  if it was one of this storage folder, its lock says whether it lives still
    """
    row = _live(connection)
    if row is None or folder is None or is_owned(folder, BOT_LOCK):
        return row is not None
    try:
        with (folder / BOT_LOCK).open("rb") as lock:
            return not is_of(row[0], _seat(lock.fileno()))
    except OSError:  # no bot was ever there
        return True


def is_of(holder: str, seat: str) -> bool:
    """Whether a lease was taken from there."""
    return bool(seat) and holder.startswith(f"{seat}#")


def _seat(lock: int) -> str:
    """Not the name alone: a folder that was copied has that, too."""
    found = os.fstat(lock)
    name = os.pread(lock, _NAME_BYTES, 0).decode(errors="replace")
    return f"{platform.node()}/{name}/{found.st_dev}:{found.st_ino}"


def _live(connection: Connection) -> tuple[str, str] | None:
    """Who holds it now, and from where, for people."""
    row: tuple[str, str] | None = connection.execute(
        f"SELECT holder, place FROM lease WHERE until_s > {_NOW}"  # noqa: S608 - our own text
    ).fetchone()
    return row


def wait_for_it(
    take: Callable[[], str | None],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Take it, or wait for as long as one lasts that nobody puts off; raises LedgerError."""
    until_s = clock() + LEASE_S + RENEW_EVERY_S
    while (other := take()) is not None:
        if clock() > until_s:
            raise LedgerError(
                f"Another bot already works with this database: {other}. Stop it, or give this one "
                "another [storage] database."
            )
        sleep(_LOOK_EVERY_S)
