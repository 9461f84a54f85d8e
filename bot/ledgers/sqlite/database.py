"""The ledger's database in one SQLite file.

Write-ahead log, every commit synchronised (`synchronous=FULL`): what was accepted outlives a power
cut. One connection writes, on a thread of its own; another one reads, on another.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, TypeVar

from bot.errors import LedgerError, LedgerLostError
from bot.ledgers.database import Connection, Crew
from bot.ledgers.ownership import is_owned, own
from bot.ledgers.sqlite.loss import (
    BESIDE,
    Mark,
    check_new,
    check_there,
    check_whole,
    last_job,
    put_aside,
)
from bot.ledgers.sqlite.schema import MIGRATIONS
from bot.ledgers.sqlite.trouble import for_operator, for_people, in_words
from bot.ledgers.sqlite.writer import SqliteWriter
from bot.ledgers.write_thread import WriteThread
from bot.shared.data_folder import LEDGER, LEDGER_LOCK
from bot.shared.futures import wait_for
from bot.shared.private import close_all_to_others, make_file, make_folder
from bot.shared.sqlite_trouble import Trouble, trouble_of

log = logging.getLogger(__name__)

T = TypeVar("T")

FORM: Final = len(MIGRATIONS)
_BUSY_TIMEOUT_S: Final = 5.0
# Most of it while others write. The last bit holds them up: for as long as this at most, where a
# reader is in its way, such as a backup.
_CHECKPOINT: Final = (
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA busy_timeout = 50",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    f"PRAGMA busy_timeout = {1000 * _BUSY_TIMEOUT_S:.0f}",
)
_TAKEN_AWAY: Final = (
    "The bot's records were taken away while it worked. Tell the bot's owner: it must be stopped, "
    "and a copy of them restored."
)


def connect(path: Path, *, writes: bool = False, makes: bool = False) -> sqlite3.Connection:
    """A connection to the ledger's file; raises LedgerError, LedgerLostError.

    writes  it may write
    makes   it makes the file, or brings an older one up to date: for the one bot that owns it, and
            has had it examined
    """
    connection = _opened(path, makes=makes)
    try:
        with in_words(path):
            _prepare(connection, path, writes=writes or makes, makes=makes)
    except BaseException:
        connection.close()
        raise
    return connection


def examine(path: Path, *, owned: bool = False) -> int | None:
    """How many jobs are on record; None: there is no ledger yet. 0.2 s for 100,000 jobs.

    owned  no other process works there

    Raises as `connect` does, LedgerLostError where the file is damaged or rows are missing.
    """
    if not check_there(path):
        return None
    with closing(_opened(path, makes=False)) as connection, in_words(path):
        connection.execute("PRAGMA query_only = ON")
        if not _form(connection, path):
            if connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is not None:
                raise sqlite3.DatabaseError("it has tables, and no form")
            check_new(path)
            return None
        _raise_damage(connection, "quick_check")
        # Whoever looks on while a bot works there need not know better than that bot.
        if owned or not is_in_use(path.parent):
            check_whole(connection, path)
        return int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])


def _opened(path: Path, *, makes: bool) -> sqlite3.Connection:
    if not makes and not check_there(path):
        raise LedgerError(f"There is no ledger in the folder {path.parent.resolve()}.")
    try:
        if makes:
            _make_private(path)
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # each is used by one thread at a time, opened by another
        )
    except (OSError, sqlite3.Error) as error:
        raise for_operator(error, path) from error


def _make_private(path: Path) -> None:
    """Prompts and tokens are nobody else's: the file is made before SQLite makes it."""
    make_folder(path.parent)
    with suppress(FileExistsError):
        os.close(make_file(path))
    ours = [path, *(path.with_name(f"{path.name}{end}") for end in BESIDE)]
    ours += [older_file(path, form) for form in range(1, FORM)]
    for failure in close_all_to_others(one for one in ours if one.exists()):
        log.warning(
            "others may be able to read the bot's records, and this account cannot change that "
            "(%s). As their owner: chmod go= %s*",
            failure,
            path.with_suffix(""),
        )


def _prepare(connection: sqlite3.Connection, path: Path, *, writes: bool, makes: bool) -> None:
    form = _form(connection, path)
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


def _raise_damage(connection: sqlite3.Connection, check: str) -> None:
    (verdict,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(" ".join(str(verdict).split()))


def _form(connection: sqlite3.Connection, path: Path) -> int:
    """The number of the ledger's form, 0: none yet; raises LedgerError if it is a newer one."""
    (form,) = connection.execute("PRAGMA user_version").fetchone()
    if form > FORM:
        raise LedgerError(
            f"The ledger {path} was written by a newer version of the bot (its form is number "
            f"{form}, this one writes {FORM}). Start that version, or go back to a copy of before."
        )
    return int(form)


def _migrate(connection: sqlite3.Connection, path: Path, form: int) -> None:
    """Bring the tables to the newest form, all or nothing; an older file is copied first."""
    if form:
        copy = older_file(path, form)
        try:
            _copy(connection, copy)
        except (OSError, sqlite3.Error) as error:
            if trouble_of(error) is Trouble.LOCKED:
                raise
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
        if not form or trouble_of(error) is Trouble.LOCKED:
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


def copy_file(connection: sqlite3.Connection, to: Path) -> int:
    """Copy the ledger's file to a new one; returns how many jobs are on record there.

    Raises OSError, and sqlite3.Error, where one of them is damaged, too.
    """
    os.close(make_file(to))
    with closing(sqlite3.connect(to)) as copy:
        connection.backup(copy)
        _raise_damage(copy, "integrity_check")
        return int(copy.execute("SELECT count(*) FROM jobs").fetchone()[0])


def is_in_use(folder: Path) -> bool:
    """Whether a bot owns the ledger in this folder now."""
    return is_owned(folder, LEDGER_LOCK)


class SqliteDatabase:
    """Implements `Database`: for one bot alone, so nobody is waited for, and no news come.

    folder       holds the file; one bot owns it at a time
    start_empty  put a ledger that is lost or damaged aside, with its pictures, and make a new one
    """

    def __init__(self, folder: Path, *, start_empty: bool = False) -> None:
        self._folder = folder
        self._path = folder / LEDGER
        self._start_empty = start_empty
        self._bot = token_hex(16)
        self._writer: WriteThread | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ledger-read")
        self._reading: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._files: list[tuple[Path, os.stat_result]] = []  # those that are written

    is_shared = False

    @property
    def bot(self) -> str:
        """See `Database.bot`."""
        return self._bot

    def open(
        self,
        serves: Collection[str] = (),  # noqa: ARG002 - for others to see
        *,
        is_stopping: Callable[[], bool] = lambda: False,  # noqa: ARG002 - nobody is waited for
    ) -> None:
        """See `Database.open`."""
        try:
            self._lock = own(self._folder, LEDGER_LOCK)
            self._open(self._lock)
        except BaseException:
            self.close()
            raise

    def _open(self, lock: int) -> None:
        try:
            self._open_writer(lock)
        except LedgerLostError as error:
            if not self._start_empty:
                raise
            place = put_aside(self._folder)
            log.warning(
                "%s Begun with an empty one, as asked; what was left is in %s, for you to delete.",
                error.found,
                place,
            )
            self._open_writer(lock)
        self._reading = connect(self._path)
        for path in (self._path, *(self._path.with_name(f"{LEDGER}{end}") for end in BESIDE)):
            with suppress(FileNotFoundError):
                self._files.append((path, path.stat()))

    def _open_writer(self, lock: int) -> None:
        examine(self._path, owned=True)
        mark = Mark(lock, self._check_in_place)
        writer = WriteThread(
            lambda: SqliteWriter(
                connect(self._path, makes=True),
                before_commit=mark.before_commit,
                after_commit=mark.after_commit,
            )
        )
        writer.open()
        self._writer = writer
        writer.submit(last_job).result()  # and the mark is what it should be

    def _check_in_place(self) -> None:
        """Raise LedgerError where what is written would be read by nobody, ever."""
        for path, found in self._files:
            try:
                now = path.stat()
            except FileNotFoundError:
                now = None
            if now is None or (now.st_dev, now.st_ino) != (found.st_dev, found.st_ino):
                log.error("%s was taken away: stop the bot, and restore a copy", path)
                raise LedgerError(_TAKEN_AWAY)

    def close(self) -> None:
        """See `Database.close`."""
        if self._writer is not None:
            self._writer.close()
        self._reader.shutdown()
        if self._reading is not None:
            self._reading.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `Database.write`."""
        assert self._writer is not None  # noqa: S101 - `open` comes first
        return await wait_for(self._writer.submit(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """See `Database.read`."""
        return await wait_for(self._reader.submit(self._on_reader, work))

    async def taken(self) -> None:
        """See `Database.taken`: the folder is its own until the process ends."""
        await asyncio.Event().wait()

    def muster(self, connection: Connection) -> Crew:  # noqa: ARG002 - it is alone
        """See `Database.muster`."""
        return Crew(self._bot, (self._bot,), is_chief=True)

    async def news(self) -> None:
        """See `Database.news`."""
        await asyncio.Event().wait()

    async def claim_range(self, kind: str, total: int) -> int | None:  # noqa: ARG002 - as above
        """See `Database.claim_range`."""
        return 0

    async def scrub(self, before_s: float) -> None:
        """See `Database.scrub`."""
        await wait_for(self._reader.submit(self._scrub, before_s))

    def _scrub(self, before_s: float) -> None:
        # What was deleted still stands in the write-ahead log; a reader in the way leaves it there
        # until next time.
        self._on_reader(lambda reading: [reading.execute(sql).fetchall() for sql in _CHECKPOINT])
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
            raise for_people(error, reading=True) from error
