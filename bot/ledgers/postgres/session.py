"""A connection to PostgreSQL that speaks as `bot.ledgers.database.Connection` does."""

import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bot.errors import LedgerError
from bot.ledgers.postgres.trouble import for_operator
from bot.shared.shown import shown

_STATEMENTS: Final = 1_000  # of the books'; some depend on how much is asked for
_CONNECT_TIMEOUT_S: Final = 5
# A server whose machine is gone is given up after so long without a sign of it: it is asked for one
# after a third of that, and twice more.
_SILENCE_MS: Final = 15_000
_ASKED_EVERY_S: Final = _SILENCE_MS // 3_000
# What takes longer than the server's own limits for it.
LIMIT_S: Final = 30.0
_OLDEST: Final = 130_000  # as libpq counts: 13; what is older nobody keeps up any more


class Session:
    """Implements `Connection` over one of psycopg's, in autocommit mode.

    Prepares nothing and sets nothing that would outlive a transaction, so a pooler that lends
    connections by the transaction may stand in between.
    """

    def __init__(self, url: str) -> None:
        """Raises psycopg.Error."""
        self._closing = threading.Lock()
        self.raw = psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name="imagine",
            client_encoding="utf8",
            keepalives_idle=_ASKED_EVERY_S,
            keepalives_interval=_ASKED_EVERY_S,
            keepalives_count=2,
            tcp_user_timeout=_SILENCE_MS,
        )

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "psycopg.Cursor[Any]":
        """See `Connection.execute`."""
        with _briefly():
            return self.raw.execute(_translated(sql), [_plain(one) for one in parameters])

    def executemany(
        self, sql: str, parameters: Iterable[Sequence[Any]], /
    ) -> "psycopg.Cursor[Any]":
        """See `Connection.executemany`."""
        cursor = self.raw.cursor()
        rows = [[_plain(one) for one in row] for row in parameters]
        with _briefly():
            cursor.executemany(_translated(sql), rows)
        return cursor

    def script(self, sql: str) -> list[Any]:
        """Run several statements that have no parameters; the last one's first row."""
        with _briefly():
            cursor = self.raw.execute(sql.encode())
            while cursor.nextset():
                pass
        return list(cursor.fetchone() or ()) if cursor.description else []

    @contextmanager
    def within(self, limit_s: float) -> Iterator[None]:
        """Break the connection off if what is done inside takes longer.

        A server that goes on holding a connection and does not answer has no other end: what is set
        on its side is its to keep, and TCP sees nothing wrong.
        """
        timer = threading.Timer(limit_s, self.sever)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def sever(self) -> None:
        """Break it off, from whichever thread: who waits for an answer finds it broken."""
        with (
            self._closing,  # or its number may be another's by now
            suppress(OSError, psycopg.Error),  # it is over already
            socket.socket(fileno=os.dup(self.raw.fileno())) as ours,
        ):
            ours.shutdown(socket.SHUT_RDWR)

    @property
    def is_broken(self) -> bool:
        """Whether it is of no use any more."""
        return self.raw.closed

    def close(self) -> None:
        """Let go."""
        with self._closing:
            self.raw.close()


def connected(url: str) -> Session:
    """A session with a server that is new enough; raises LedgerError, for who runs the bot."""
    try:
        session = Session(url)
    except psycopg.Error as error:
        raise for_operator(error, shown_url(url)) from error
    info = session.raw.info
    version, encoding = info.server_version, info.parameter_status("server_encoding")
    if version < _OLDEST or encoding != "UTF8":
        session.close()
        raise LedgerError(
            f"The ledger in {shown_url(url)} needs PostgreSQL 13 or newer and a database in UTF8; "
            f"this is version {version // 10_000}, in {encoding}."
        )
    return session


def shown_url(url: str) -> str:
    """Where a database is, for people: nothing that opens it."""
    parts = conninfo_to_dict(url)
    host = parts.get("host") or os.environ.get("PGHOST", "this machine")
    where = f"{host}:{parts.get('port') or os.environ.get('PGPORT', '5432')}"
    return f"PostgreSQL at {shown(where)}, database {shown(str(parts.get('dbname', '')))}"


@contextmanager
def _briefly() -> Iterator[None]:
    """Leave of an error what went wrong, and not with which values: those are people's."""
    try:
        yield
    except psycopg.Error as error:
        if error.diag.message_primary is not None:
            error.args = (error.diag.message_primary,)
        raise


@lru_cache(_STATEMENTS)
def _translated(sql: str) -> bytes:
    """As psycopg has it: %s for a parameter, %% for itself. No SQL of ours asks a question."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _plain(value: object) -> object:
    """What PostgreSQL takes for what SQLite does."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        # Texts of ours may remember what they were made of, or be names of states; and PostgreSQL
        # has no sign for the character that ends a text in C.
        return str.__str__(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value
