"""A way to a server that can be cut at a chosen moment."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

COMMIT = b"COMMIT\0"  # as a query of PostgreSQL's simple protocol ends


class Cut(Enum):
    """What becomes of the next commit."""

    NOT = auto()
    BEFORE = auto()  # the connection breaks, and the server does not hear of it
    AFTER = auto()  # the server hears of it, and its answer is lost
    SILENT = auto()  # nothing comes back, and nothing breaks


class Proxy:
    """Hands on what two sides say to each other; `cut` is for one commit."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut = Cut.NOT
        self.commits = 0
        self.refuses = False  # whoever comes new
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                ours, _ = self._listener.accept()
                if self.refuses:
                    ours.close()
                    continue
                theirs = socket.create_connection(("127.0.0.1", self._to))
                self._open += [ours, theirs]
                for pair in ((ours, theirs, True), (theirs, ours, False)):
                    thread = threading.Thread(target=self._pump, args=pair)
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, to: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                if asks and data.endswith(COMMIT):
                    self.commits += 1
                    cut, self.cut = self.cut, Cut.NOT
                    if cut is Cut.SILENT:
                        continue
                    if cut is Cut.AFTER:
                        source.shutdown(socket.SHUT_RDWR)  # first: the answer comes quickly
                        to.sendall(data)
                        to.shutdown(socket.SHUT_WR)
                        return
                    if cut is Cut.BEFORE:
                        break
                to.sendall(data)
        for one in (source, to):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def break_off(self) -> None:
        """Break all connections that there are."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_off()
        for thread in self._threads:
            thread.join(30)
        for one in self._open:
            one.close()


@contextmanager
def between(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
