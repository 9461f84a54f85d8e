"""One process owns a storage folder at a time, by a lock on a file in it."""

import fcntl
import os
from pathlib import Path

from bot.errors import LedgerError
from bot.shared.private import FILE_MODE, make_folder


def own(folder: Path, name: str) -> int:
    """Take the folder, until the descriptor of its lock is closed; raises LedgerError.

    name  of the file that is locked; it is made where there is none
    """
    try:
        make_folder(folder)
        lock = os.open(folder / name, os.O_CREAT | os.O_RDWR, FILE_MODE)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise _unusable(folder, error) from error
        raise LedgerError(
            f"Another bot already works in the folder {folder}. Stop it, or give this one another "
            "[storage] folder."
        ) from error
    return lock


def is_owned(folder: Path, name: str) -> bool:
    """Whether a process owns the folder now."""
    try:
        with (folder / name).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _unusable(folder: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"The folder {folder} cannot be used ({error.strerror}). Check its permissions, or set "
        "[storage] folder to another."
    )
