"""What SQLite complains of, told apart: the disk, another program, or the file itself."""

from enum import Enum, auto
from typing import Final


class Trouble(Enum):
    """Whose fault it is."""

    DISK = auto()  # full, failing, or not ours to write
    LOCKED = auto()  # by another program
    DAMAGED = auto()  # the records themselves


_DISK_ERRORS: Final = (
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_NOLFS",
)
_LOCK_ERRORS: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")


def trouble_of(error: Exception) -> Trouble:
    """Whose fault an error of SQLite's is; what it gives no name is about what it has read."""
    name: str = getattr(error, "sqlite_errorname", "")
    if name.startswith(_LOCK_ERRORS):
        return Trouble.LOCKED
    if name.startswith(_DISK_ERRORS) and name != "SQLITE_IOERR_CORRUPTFS":
        return Trouble.DISK
    return Trouble.DISK if isinstance(error, OSError) else Trouble.DAMAGED
