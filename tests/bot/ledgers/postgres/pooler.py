"""PgBouncer in front of a server: it lends connections by the transaction."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bot.ledgers.postgres.server import free_port

_SETTINGS = """
[databases]
* = host=127.0.0.1 port={to} user=bot
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""


@contextmanager
def pooled(to: int) -> Iterator[int]:
    """The port of one, with two connections of its own to a server's port for all who ask."""
    folder = Path(tempfile.mkdtemp(prefix="imagine-pgbouncer-"))
    user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
    try:
        port = free_port()
        (folder / "settings.ini").write_text(_SETTINGS.format(to=to, port=port))
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own words
                [_program(), str(folder / "settings.ini")], user=user, stdout=log, stderr=log
            )
        try:
            while True:  # until it answers, or has ended
                assert process.poll() is None, (folder / "log").read_text()
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
            yield port
        finally:
            process.kill()
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> str:
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise FileNotFoundError("There is no pgbouncer here: apt-get install pgbouncer.")
    return found
