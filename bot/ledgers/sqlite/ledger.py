"""The ledger in one SQLite file.

Write-ahead log, every commit synchronised (`synchronous=FULL`): what was accepted outlives a power
cut. One connection writes, on a thread of its own; another one reads, on another.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from bot.core.job import Job, Record, State, StoredImage
from bot.core.ports.ledger import Answer, Limits, Order
from bot.errors import LedgerError
from bot.ledgers import book
from bot.ledgers.sqlite.schema import MIGRATIONS
from bot.ledgers.sqlite.write_thread import WriteThread
from bot.shared.futures import wait_for
from sdxl_engine import ImageRequest

T = TypeVar("T")

FILE_NAME: Final = "ledger.sqlite3"
LOCK_NAME: Final = "ledger.lock"
_BUSY_TIMEOUT_S: Final = 5.0
_CHECKPOINT: Final = "PRAGMA wal_checkpoint(TRUNCATE)"


def connect(path: Path, *, writes: bool = False, makes: bool = False) -> sqlite3.Connection:
    """A connection to the ledger's file; raises LedgerError.

    writes  it may write
    makes   it makes the file, or brings an older one up to date: for the one bot that owns it
    """
    try:
        if makes:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Prompts and tokens are nobody else's: the file is made before SQLite makes it.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # each is used by one thread at a time, opened by another
        )
        _prepare(connection, writes=writes or makes, makes=makes)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"The ledger {path} cannot be opened ({error}). Check its folder's permissions and "
            "free space, or [storage] folder."
        ) from error
    return connection


def _prepare(connection: sqlite3.Connection, *, writes: bool, makes: bool) -> None:
    if makes:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
    if writes:
        connection.execute("PRAGMA synchronous = FULL")
        # What retention deletes is gone, not merely out of sight.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
    else:
        connection.execute("PRAGMA query_only = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != len(MIGRATIONS):
        raise sqlite3.DatabaseError(
            f"its form is number {version}, and this version of the bot writes number "
            f"{len(MIGRATIONS)}"
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the newest form, one transaction a step; raises sqlite3.Error."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE;{step}PRAGMA user_version = {number};COMMIT;")


def is_in_use(folder: Path) -> bool:
    """Whether a bot owns the ledger in this folder now."""
    try:
        with (folder / LOCK_NAME).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class SqliteLedger:
    """Implements `Ledger`.

    folder  holds the file; one bot owns it at a time
    limits  checked in the transaction that takes a job in
    clock   seconds since 1970
    """

    def __init__(
        self, folder: Path, limits: Limits, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._clock = clock
        path = folder / FILE_NAME
        self._writer = WriteThread(partial(connect, path, makes=True))
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ledger-read")
        self._reading: sqlite3.Connection | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Take the folder, open the file and bring it up to date; raises LedgerError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder / LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
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
        self._reading = connect(self._folder / FILE_NAME)

    def close(self) -> None:
        """Finish what was begun and let go of the file."""
        self._writer.close()
        self._reader.shutdown()
        if self._reading is not None:
            self._reading.close()
        if self._lock is not None:
            os.close(self._lock)

    async def accept(self, job: Job) -> None:
        """See `Ledger.accept`."""
        await self.write(lambda connection: book.accept(connection, job, self._limits))

    async def insert(self, job: Job) -> None:
        """See `Ledger.insert`."""
        await self.write(lambda connection: book.insert(connection, job))

    async def move(
        self,
        job_id: str,
        to: State,
        *,
        reason: str = "",
        images: Sequence[StoredImage] = (),
        request: ImageRequest | None = None,
        blameless: bool = False,
    ) -> Record:
        """See `Ledger.move`."""
        at_s = self._clock()
        return await self.write(
            lambda connection: book.move(
                connection,
                job_id,
                to,
                at_s,
                reason=reason,
                images=images,
                request=request,
                blameless=blameless,
            )
        )

    async def place(self, job_id: str, message_id: int) -> None:
        """See `Ledger.place`."""
        await self.write(lambda connection: book.place(connection, job_id, message_id))

    async def tell(self, job_id: str) -> None:
        """See `Ledger.tell`."""
        await self.write(lambda connection: book.tell(connection, job_id))

    async def recover(self) -> list[Record]:
        """See `Ledger.recover`."""
        at_s = self._clock()
        return await self.write(lambda connection: book.recover(connection, at_s))

    async def get(self, job_id: str) -> Record:
        """See `Ledger.get`."""
        return await self.read(lambda connection: book.get(connection, job_id))

    async def find(
        self,
        *,
        states: Sequence[State] = (),
        user_id: int | None = None,
        guild_id: int | None = None,
        limit: int = 20,
    ) -> list[Record]:
        """See `Ledger.find`."""
        return await self.read(
            lambda connection: book.find(
                connection, states=states, user_id=user_id, guild_id=guild_id, limit=limit
            )
        )

    async def counts(self) -> dict[State, int]:
        """See `Ledger.counts`."""
        return await self.read(book.counts)

    async def orders(self) -> list[Order]:
        """See `Ledger.orders`."""
        return await self.read(book.orders)

    async def settle(self, order_id: int, answer: Answer) -> None:
        """See `Ledger.settle`."""
        await self.write(lambda connection: book.settle(connection, order_id, answer))

    async def outdated(self, before_s: float) -> list[str]:
        """See `Ledger.outdated`."""
        return await self.read(lambda connection: book.outdated(connection, before_s))

    async def forget(self, job_ids: Sequence[str], before_s: float) -> None:
        """See `Ledger.forget`."""
        await self.write(lambda connection: book.forget(connection, job_ids, before_s))
        if job_ids:
            # Their words still stand in the write-ahead log; a reader in the way leaves them there
            # until next time.
            await self.read(lambda connection: connection.execute(_CHECKPOINT).fetchone())

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this in a transaction on the writing thread."""
        return await wait_for(self._writer.submit(work))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this on the reading thread; raises LedgerError."""
        return await wait_for(self._reader.submit(self._on_reader, work))

    def _on_reader(self, work: Callable[[sqlite3.Connection], T]) -> Any:  # noqa: ANN401 - T; a submitted generic
        assert self._reading is not None  # noqa: S101 - `open` comes first
        try:
            return work(self._reading)
        except sqlite3.Error as error:
            raise LedgerError("The bot's records cannot be read. Ask again later.") from error
