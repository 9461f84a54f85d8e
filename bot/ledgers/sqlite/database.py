"""The ledger's database in one SQLite file.

Write-ahead log, every commit synchronised (`synchronous=FULL`): what was accepted outlives a power
cut. One connection writes, on a thread of its own; another one reads, on another.
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from bot.errors import LedgerError
from bot.ledgers.database import Connection
from bot.ledgers.sqlite.schema import MIGRATIONS
from bot.ledgers.sqlite.write_thread import WriteThread
from bot.shared.data_folder import LEDGER, LEDGER_LOCK
from bot.shared.futures import wait_for
from bot.shared.private import FILE_MODE, close_all_to_others, make_file, make_folder

log = logging.getLogger(__name__)

T = TypeVar("T")

FORM: Final = len(MIGRATIONS)
_BUSY_TIMEOUT_S: Final = 5.0
_BESIDE: Final = ("-wal", "-shm", "-journal")  # SQLite's own, beside the file and named after it
_CHECKPOINT: Final = "PRAGMA wal_checkpoint(TRUNCATE)"


def connect(path: Path, *, writes: bool = False, makes: bool = False) -> sqlite3.Connection:
    """A connection to the ledger's file; raises LedgerError.

    writes  it may write
    makes   it makes the file, or brings an older one up to date: for the one bot that owns it
    """
    try:
        if makes:
            _make_private(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # each is used by one thread at a time, opened by another
        )
        try:
            _prepare(connection, path, writes=writes or makes, makes=makes)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"The ledger {path} cannot be opened ({error}). Check its folder's permissions and "
            "free space, or [storage] folder."
        ) from error
    return connection


def _make_private(path: Path) -> None:
    """Prompts and tokens are nobody else's: the file is made before SQLite makes it."""
    make_folder(path.parent)
    with suppress(FileExistsError):
        os.close(make_file(path))
    ours = [path, *(path.with_name(f"{path.name}{end}") for end in _BESIDE)]
    ours += [older_file(path, form) for form in range(1, FORM)]
    for failure in close_all_to_others(one for one in ours if one.exists()):
        log.warning(
            "others may be able to read the bot's records, and this account cannot change that "
            "(%s). As their owner: chmod go= %s*",
            failure,
            path.with_suffix(""),
        )


def _prepare(connection: sqlite3.Connection, path: Path, *, writes: bool, makes: bool) -> None:
    form = _form(connection)
    if form > FORM:
        raise LedgerError(
            f"The ledger {path} was written by a newer version of the bot (its form is number "
            f"{form}, this one writes {FORM}). Start that version, or go back to a copy of before."
        )
    if writes:
        # What is deleted is gone, not merely out of sight: of old rows, and of old tables as well.
        connection.execute("PRAGMA secure_delete = ON")
    if makes:
        if form < FORM:
            _migrate(connection, path, form)
        connection.execute("PRAGMA journal_mode = WAL")
    elif form < FORM:
        raise LedgerError(
            f"The ledger {path} was written by an older version of the bot (its form is number "
            f"{form}, this one writes {FORM}). Start the bot once: it brings it up to date."
        )
    if writes:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    else:
        connection.execute("PRAGMA query_only = ON")


def _form(connection: sqlite3.Connection) -> int:
    (form,) = connection.execute("PRAGMA user_version").fetchone()
    return int(form)


def _migrate(connection: sqlite3.Connection, path: Path, form: int) -> None:
    """Bring the tables to the newest form, all or nothing; an older file is copied first."""
    if form:
        copy = older_file(path, form)
        try:
            _copy(connection, copy)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"Before the ledger {path} is brought up to date it must be copied to {copy.name} "
                f"beside it, and that failed ({error}). Nothing was changed. Make room, and start "
                "again."
            ) from error
        log.info("bringing the ledger from form %d to %d; kept as it was: %s", form, FORM, copy)
    steps = "".join(MIGRATIONS[form:])
    try:
        # Without foreign keys, which a table that takes another's place would break in between.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.executescript(f"BEGIN IMMEDIATE;{steps}PRAGMA user_version = {FORM};COMMIT;")
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if not form:
            raise
        raise LedgerError(
            f"The ledger {path} could not be brought up to date ({error}). Nothing was changed. "
            "Make room, and start again."
        ) from error


def older_file(path: Path, form: int) -> Path:
    """Where a ledger of an older form is kept."""
    return path.with_name(f"{path.stem}.form{form}{path.suffix}")


def _copy(connection: sqlite3.Connection, to: Path) -> None:
    draft = to.with_name(f".{to.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        os.close(make_file(draft))
        with closing(sqlite3.connect(draft)) as copy:
            connection.backup(copy)
        draft.replace(to)
    finally:
        draft.unlink(missing_ok=True)


def is_in_use(folder: Path) -> bool:
    """Whether a bot owns the ledger in this folder now."""
    try:
        with (folder / LEDGER_LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class SqliteDatabase:
    """Implements `Database`.

    folder  holds the file; one bot owns it at a time
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / LEDGER
        self._writer = WriteThread(partial(connect, self._path, makes=True))
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ledger-read")
        self._reading: sqlite3.Connection | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """See `Database.open`."""
        try:
            make_folder(self._folder)
            self._lock = os.open(self._folder / LEDGER_LOCK, os.O_CREAT | os.O_RDWR, FILE_MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerError(
                f"Another bot already works in the folder {self._folder}. Stop it, or give this "
                "one another [storage] folder."
            ) from error
        except OSError as error:
            raise LedgerError(
                f"The folder {self._folder} cannot be used ({error.strerror}). Check its "
                "permissions, or set [storage] folder to another."
            ) from error
        self._writer.open()
        self._reading = connect(self._path)

    def close(self) -> None:
        """See `Database.close`."""
        self._writer.close()
        self._reader.shutdown()
        if self._reading is not None:
            self._reading.close()
        if self._lock is not None:
            os.close(self._lock)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `Database.write`."""
        return await wait_for(self._writer.submit(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """See `Database.read`."""
        return await wait_for(self._reader.submit(self._on_reader, work))

    async def scrub(self, before_s: float) -> None:
        """See `Database.scrub`."""
        await wait_for(self._reader.submit(self._scrub, before_s))

    def _scrub(self, before_s: float) -> None:
        # What was deleted still stands in the write-ahead log; a reader in the way leaves it there
        # until next time.
        self._on_reader(lambda reading: reading.execute(_CHECKPOINT).fetchone())
        for form in range(1, FORM):
            copy = older_file(self._path, form)
            with suppress(OSError):  # none, or not ours to delete: asked again next time
                if copy.stat().st_mtime < before_s:
                    copy.unlink()
                    log.info("deleted the older ledger %s: its days are over", copy)

    def _on_reader(self, work: Callable[[sqlite3.Connection], T]) -> Any:  # noqa: ANN401 - T; a submitted generic
        assert self._reading is not None  # noqa: S101 - `open` comes first
        try:
            return work(self._reading)
        except sqlite3.Error as error:
            raise LedgerError("The bot's records cannot be read. Ask again later.") from error
