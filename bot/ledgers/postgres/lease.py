"""Which bots work with a database, by the server's own clock: a row each.

A lock that a session holds would do, were there no pooler between that lends the session to
somebody else. So it is a row with an end, which its bot puts off. And because a process may be held
up for longer than that without noticing, every transaction looks first whether its row is still
there: whoever deleted it has taken over what that bot had in hand.

A bot that was killed left its row. The next one in the same storage folder need not wait for its
end: it holds the folder's lock, so whoever had the row from there is no more.
"""

import os
import platform
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Final

from bot.errors import LedgerError
from bot.ledgers.database import Connection, Crew
from bot.ledgers.ownership import is_owned, own
from bot.shared.data_folder import BOT_LOCK
from bot.shared.own_version import own_version

LEASE_S: Final = 20.0
RENEW_EVERY_S: Final = 5.0
NEWS: Final = "imagine"  # the channel on which bots tell each other to look
_NAME_BYTES: Final = 32
_TAKEN: Final = (
    "Another bot has taken over what this one had in hand, for it was not heard of for too long. "
    "So it may not write to the bot's records any more, and ends."
)
# Outside the forms of the other tables: who brings those up to date looks here first. The first
# four columns are all that a bot of form 1 knows, which works alone.
LEASE_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS lease (
        holder  TEXT NOT NULL,
        place   TEXT NOT NULL,  -- the machine and the process, for people
        mark    TEXT NOT NULL,  -- of the holder's last transaction
        until_s DOUBLE PRECISION NOT NULL
    );
    ALTER TABLE lease
        ADD COLUMN IF NOT EXISTS form INTEGER NOT NULL DEFAULT 1,
        ADD COLUMN IF NOT EXISTS version TEXT NOT NULL DEFAULT '',
        ADD COLUMN IF NOT EXISTS serves TEXT NOT NULL DEFAULT '',  -- homes, for people
        ADD COLUMN IF NOT EXISTS chief SMALLINT NOT NULL DEFAULT 0,
        -- When it was last found that its end had passed; 0: never.
        ADD COLUMN IF NOT EXISTS missed_s DOUBLE PRECISION NOT NULL DEFAULT 0;
    CREATE UNIQUE INDEX IF NOT EXISTS lease_of_holder ON lease (holder);
    CREATE UNIQUE INDEX IF NOT EXISTS one_chief ON lease (chief) WHERE chief = 1;
    CREATE TABLE IF NOT EXISTS ranges (
        kind   TEXT NOT NULL,
        number INTEGER NOT NULL,
        total  INTEGER NOT NULL,
        holder TEXT NOT NULL REFERENCES lease (holder) ON DELETE CASCADE,
        PRIMARY KEY (kind, number)
    );
"""
_NOW: Final = "extract(epoch FROM clock_timestamp())"


def _this_process() -> str:
    return f"process {os.getpid()} on {platform.node()}"


class LeaseTakenError(LedgerError):
    """Another bot has deleted this one's row."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One bot's row.

    seat    the machine and the folder that it has to itself, see `take_seat`; "": none
    holder  differs from start to start
    place   where it runs, for people
    """

    seat: str = ""
    holder: str = field(default="", init=False)
    place: str = field(default_factory=_this_process, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holder", f"{self.seat}#{token_hex(16)}")

    def succeed(self, connection: Connection) -> None:
        """Delete what a killed bot left of the same seat. Inside a locked transaction, as all."""
        for (holder,) in connection.execute("SELECT holder FROM lease").fetchall():
            if is_of(holder, self.seat):
                connection.execute("DELETE FROM lease WHERE holder = ?", (holder,))

    def take(self, connection: Connection, form: int, serves: Collection[str]) -> None:
        """Work here from now on.

        form  of the tables, which are of it by now: no bot may go on that knows an older one alone
        """
        connection.execute("DELETE FROM lease WHERE form < ?", (form,))
        connection.execute(
            "INSERT INTO lease (holder, place, mark, until_s, form, version, serves) "  # noqa: S608 - our own text
            f"VALUES (?, ?, '', {_NOW} + ?, ?, ?, ?)",
            (self.holder, self.place, LEASE_S, form, own_version(), ", ".join(sorted(serves))),
        )

    def hold(self, connection: Connection, mark: str) -> None:
        """Put its end off and leave a mark; raises LeaseTakenError where it is gone."""
        row = connection.execute(
            f"UPDATE lease SET until_s = {_NOW} + ?, mark = ?, "  # noqa: S608 - our own text
            f"missed_s = CASE WHEN until_s < {_NOW} THEN {_NOW} ELSE missed_s END "
            "WHERE holder = ? RETURNING 1",
            (LEASE_S, mark, self.holder),
        ).fetchone()
        if row is None:
            raise LeaseTakenError(_TAKEN)

    def muster(self, connection: Connection) -> Crew:
        """Who works here now, this bot among them; somebody is chief among them."""
        self._bury(connection)
        connection.execute(
            "UPDATE lease SET chief = 1 WHERE holder = ? "
            "AND NOT EXISTS (SELECT 1 FROM lease WHERE chief = 1)",
            (self.holder,),
        )
        rows = connection.execute("SELECT holder, chief FROM lease").fetchall()
        (is_chief,) = (bool(chief) for holder, chief in rows if holder == self.holder)
        return Crew(self.holder, tuple(holder for holder, _ in rows), is_chief=is_chief)

    def _bury(self, connection: Connection) -> None:
        """Delete the rows whose end has passed.

        Where the server was away for all, all ends have passed: who found its own so lets the
        others come back first.
        """
        gone = connection.execute(
            f"DELETE FROM lease WHERE until_s < {_NOW} AND {_NOW} - ? > "  # noqa: S608 - our own text
            "(SELECT missed_s FROM lease WHERE holder = ?) RETURNING 1",
            (LEASE_S, self.holder),
        ).fetchall()
        if gone:
            _tell_all(connection)

    def claim(self, connection: Connection, kind: str, total: int) -> int | None:
        """See `Database.claim_range`."""
        self._bury(connection)
        rows = connection.execute(
            "SELECT number, total, holder FROM ranges WHERE kind = ?", (kind,)
        ).fetchall()
        for number, of, holder in rows:
            if holder == self.holder and of == total:
                return int(number)
        others = {number: of for number, of, holder in rows if holder != self.holder}
        free = sorted(set(range(total)) - others.keys())
        if not free or set(others.values()) - {total}:
            return None
        connection.execute("DELETE FROM ranges WHERE kind = ? AND holder = ?", (kind, self.holder))
        connection.execute(
            "INSERT INTO ranges (kind, number, total, holder) VALUES (?, ?, ?, ?)",
            (kind, free[0], total, self.holder),
        )
        return free[0]

    def last_mark(self, connection: Connection) -> str | None:
        """What its last transaction left; None: its row is gone."""
        row = connection.execute(
            "SELECT mark FROM lease WHERE holder = ?", (self.holder,)
        ).fetchone()
        return None if row is None else str(row[0])

    def give_back(self, connection: Connection) -> None:
        """Let others have at once what was in hand."""
        connection.execute("DELETE FROM lease WHERE holder = ?", (self.holder,))
        _tell_all(connection)


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

    folder  if one was of this storage folder, its lock says whether it lives still
    """
    holders = [
        holder
        for (holder,) in connection.execute(f"SELECT holder FROM lease WHERE until_s > {_NOW}")  # noqa: S608 - our own text
    ]
    if not holders or folder is None or is_owned(folder, BOT_LOCK):
        return bool(holders)
    try:
        with (folder / BOT_LOCK).open("rb") as lock:
            seat = _seat(lock.fileno())
    except OSError:  # no bot was ever there
        return True
    return not all(is_of(holder, seat) for holder in holders)


def is_of(holder: str, seat: str) -> bool:
    """Whether a row was taken from there."""
    return bool(seat) and holder.startswith(f"{seat}#")


def older(connection: Connection, form: int) -> str | None:
    """A bot that works here and knows an older form of the tables alone: where, for people."""
    row = connection.execute(
        f"SELECT place FROM lease WHERE until_s > {_NOW} AND form < ?",  # noqa: S608 - our own text
        (form,),
    ).fetchone()
    return None if row is None else str(row[0])


def _seat(lock: int) -> str:
    """Not the name alone: a folder that was copied has that, too."""
    found = os.fstat(lock)
    name = os.pread(lock, _NAME_BYTES, 0).decode(errors="replace")
    return f"{platform.node()}/{name}/{found.st_dev}:{found.st_ino}"


def _tell_all(connection: Connection) -> None:
    connection.execute("SELECT pg_notify(?, '')", (NEWS,))
