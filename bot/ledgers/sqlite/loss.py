"""How a ledger that lost what was in it is told from one that is new.

Beside the ledger, in the file that locks it, stands the number of the last job taken in. A ledger
that ends before it has lost its end: the write-ahead log was deleted, say. A backup has no such
file, so one that takes the place of the whole folder is never mistaken for a loss.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from bot.errors import LedgerError, LedgerLostError
from bot.ledgers.database import Connection
from bot.ledgers.sqlite.trouble import for_operator, mend
from bot.shared.data_folder import IMAGES, LEDGER, LEDGER_LOCK

_MARK_BYTES: Final = 20
BESIDE: Final = ("-wal", "-shm", "-journal")  # SQLite's own, beside the file and named after it


def check_there(path: Path) -> bool:
    """Whether there is a ledger; raises LedgerLostError if there was one, and its file is gone."""
    if path.exists() and not path.is_file():  # nor is a pipe opened, which would not come back
        raise LedgerLostError(f"The ledger {path} is no file.", mend(path))
    if _size(path):
        return True
    check_new(path)
    return False


def check_new(path: Path) -> None:
    """Raise LedgerLostError if a ledger that is empty, or not there, once was another."""
    remains = _remains(path)
    if remains:
        state = "is empty" if path.exists() else "is not there"
        raise LedgerLostError(
            f"The ledger {path} {state}, though {remains}: what was on record is lost.", mend(path)
        )


def check_whole(connection: Connection, path: Path) -> None:
    """Raise LedgerLostError if rows are missing that were there."""
    (jobs,) = connection.execute("SELECT count(*) FROM counts").fetchone()
    if not jobs and (remains := _remains(path, of_file=False)):  # never one, not even deleted
        raise LedgerLostError(
            f"The ledger {path} holds no job, though {remains}: what was on record is lost.",
            mend(path),
        )
    last, mark = last_job(connection), read_mark(path.parent)
    if last < mark:
        raise LedgerLostError(
            f"The ledger {path} lacks what was written last: it ends with job number {last}, and "
            f"{mark} were taken in.",
            f"If you put an older copy there, delete {path.parent / LEDGER_LOCK}. If not, perhaps "
            f"{path.name}-wal was deleted. {mend(path)}",
        )


def last_job(connection: Connection) -> int:
    """The number of the last job; 0: there is none."""
    (number,) = connection.execute("SELECT max(number) FROM jobs").fetchone()
    return int(number or 0)


def read_mark(folder: Path) -> int:
    """The number of the last job that was taken in there; 0: none, or nobody knows."""
    with suppress(OSError):
        return _number_in((folder / LEDGER_LOCK).read_bytes())
    return 0


def _number_in(mark: bytes) -> int:
    with suppress(ValueError):
        return int(mark)
    return 0


class Mark:
    """Keeps that number; what is on the disk is never more than what the ledger holds.

    descriptor  of the file that locks the ledger
    in_place    raises LedgerError where the ledger's files are no longer those that are written
    """

    def __init__(self, descriptor: int, in_place: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._in_place = in_place
        self._number = _number_in(os.pread(descriptor, _MARK_BYTES, 0))

    def before_commit(self, connection: Connection) -> None:
        """What was last is deleted now: the mark goes down first, and durably. Raises OSError."""
        self._in_place()
        last = last_job(connection)
        if last < self._number:
            self._write(last)
            os.fsync(self._descriptor)

    def after_commit(self, connection: Connection) -> None:
        """What is last now is durable; that a power cut loses the mark of it does no harm."""
        with suppress(OSError):
            self.set(last_job(connection))

    def set(self, number: int) -> None:
        """Write it down; raises OSError."""
        if number != self._number:
            self._write(number)

    def _write(self, number: int) -> None:
        os.pwrite(self._descriptor, b"%0*d" % (_MARK_BYTES, number), 0)
        self._number = number


def put_aside(folder: Path) -> Path:
    """Move what is left of the ledger, and its pictures, into a folder of their own; returns it.

    Raises LedgerError.
    """
    day = time.strftime("%Y-%m-%d", time.gmtime())
    try:
        place = Path(tempfile.mkdtemp(prefix=f"lost-{day}-", dir=folder))
        # The pictures last: as long as they are there, what was begun here is noticed.
        for name in (LEDGER, *(f"{LEDGER}{end}" for end in BESIDE), IMAGES):
            with suppress(FileNotFoundError):
                (folder / name).rename(place / name)
        (folder / LEDGER_LOCK).write_bytes(b"")
    except OSError as error:
        raise LedgerError(
            f"What is left of the ledger in {folder} cannot be put aside ({error}). Move "
            f"{LEDGER}*, {IMAGES} and {LEDGER_LOCK} away, and start again."
        ) from error
    return place


def _remains(path: Path, *, of_file: bool = True) -> str:
    """What tells that there was a ledger with jobs; "" if nothing does.

    of_file  also what could not be beside a file that has anything in it
    """
    album = path.parent / IMAGES
    if _has_pictures(album):
        return f"there are pictures in {album}"
    if of_file and _size(path.with_name(f"{path.name}-wal")):
        return f"{path.name}-wal holds the last of it"
    mark = read_mark(path.parent) if of_file else 0
    return f"jobs were taken in, {mark} in all" if mark else ""


def _has_pictures(album: Path) -> bool:
    with suppress(OSError):
        return any(not picture.name.startswith(".") for picture in album.glob("[!.]*/*"))
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise for_operator(error, path) from error
