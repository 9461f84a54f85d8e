"""A PostgreSQL of the tests' own: on a free port of this machine, in a folder that goes with it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg

# Where Debian and others put it: not all of it is on the PATH.
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
SETTINGS = {"max_connections": "60", "shared_buffers": "32MB"}
# Nothing of it outlives the tests, and a disk that is waited for proves nothing here.
HASTY = {"fsync": "off", "full_page_writes": "off"}


def program(name: str) -> str:
    """Where one of PostgreSQL's programs is; raises FileNotFoundError."""
    there = sorted(path for one in FOLDERS for path in Path("/").glob(f"{one[1:]}/{name}"))
    found = str(there[-1]) if there else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"There is no {name} here: apt-get install postgresql.")
    return found


class Server:
    """One server; `url` is of its own database.

    is_durable  what is committed outlives the machine
    """

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        self._folder = folder
        self._settings = SETTINGS if is_durable else SETTINGS | HASTY
        # It refuses to run as root; another account has what it writes.
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "--auth=trust", "--username=bot", "--encoding=UTF8", "--no-sync")
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()
        self.port = free_port()

    def start(self) -> None:
        settings = [
            word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")
        ]
        place = ["-p", str(self.port), "-k", str(self._folder), "-h", "127.0.0.1"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [program("postgres"), "-D", str(self._data), *place, *settings],
                user=self._user,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        while True:  # until it answers, or has ended
            assert self._process.poll() is None, (self._folder / "log").read_text()
            with suppress(psycopg.OperationalError), self.connected("postgres"):
                return

    def stop(self, mode: str = "fast") -> None:
        """As `pg_ctl stop`: smart, fast, or immediate, which is how a machine dies."""
        if self._process is not None:
            self._run("pg_ctl", "stop", "-m", mode, "-w", check=False)
            self._process.wait(60)
            self._process = None

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://bot@127.0.0.1:{self.port}/{database}"

    def connected(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def new_database(self) -> str:
        """The url of one with nothing in it."""
        name = f"ledger{next(self._numbers)}"
        with self.connected("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        return self.url(name)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, name: str, *words: str, check: bool = True) -> None:
        subprocess.run(  # noqa: S603 - our own words
            [program(name), "-D", str(self._data), *words],
            user=self._user,
            cwd=self._folder,
            check=check,
            capture_output=True,
            timeout=120,
        )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running(*, is_durable: bool = False) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="imagine-postgres-"))
    try:
        server = Server(folder, is_durable=is_durable)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
