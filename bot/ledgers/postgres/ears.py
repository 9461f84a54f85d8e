"""What bots call to each other through the server, so that nobody has to look all the time.

It is a hint and no more: what there is to know stands in the tables, and is looked for every few
seconds in any case. Where a pooler stands between, which would lend the session that listens to
somebody else, nothing is heard, and that is all there is.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Final

import psycopg

from bot.ledgers.postgres.lease import NEWS
from bot.ledgers.postgres.session import Session
from bot.shared.futures import wait_for

log = logging.getLogger(__name__)

_AGAIN_AFTER_S: Final = 5.0
_HEARD_OF_EVERY_S: Final = 60.0  # a round of an idle connection


class Ears:
    """Listens on a thread and a session of its own; what breaks is made anew.

    connect  opens a session; raises psycopg.Error
    bot      whose name is called; a call without a name is for all
    """

    def __init__(self, connect: Callable[[], Session], bot: str) -> None:
        self._connect = connect
        self._bot = bot
        self._ringing: Future[None] = Future()
        self._session: Session | None = None
        self._closing = threading.Event()
        self._changing = threading.Lock()  # which session it is
        self._thread = threading.Thread(target=self._main, name="ledger-ears", daemon=True)

    def open(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        with self._changing:
            self._closing.set()
            if self._session is not None:
                self._session.sever()
        self._thread.join()

    async def rang(self) -> None:
        """Wait for the next call; one that came since the last time counts."""
        try:
            await wait_for(self._ringing)
        finally:
            self._ringing = Future()

    def _ring(self) -> None:
        with suppress(InvalidStateError):  # nobody has come for the one before
            self._ringing.set_result(None)

    def _main(self) -> None:
        while not self._closing.is_set():
            try:
                if not self._listen():
                    return
            except psycopg.Error as error:
                log.debug("not listening for other bots: %s", error)
            self._closing.wait(_AGAIN_AFTER_S)

    def _listen(self) -> bool:
        """Until the connection breaks, or forever; False where it makes no sense to try again."""
        session = self._connect()
        try:
            with self._changing:
                if self._closing.is_set():
                    return False
                self._session = session
            raw = session.raw
            if session.script("SELECT pg_backend_pid()") != [raw.info.backend_pid]:
                # It answers for the server with a number of its own.
                log.info(
                    "a pooler stands before the database: other bots are looked for, not heard"
                )
                return False
            session.script(f"LISTEN {NEWS}")
            self._ring()  # whatever was called meanwhile
            while not self._closing.is_set():
                for call in raw.notifies(timeout=_HEARD_OF_EVERY_S):
                    if call.payload in {"", self._bot}:
                        self._ring()
        finally:
            with self._changing:
                self._session = None
            session.close()
        return False
