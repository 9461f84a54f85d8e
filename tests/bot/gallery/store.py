"""A store that speaks S3 on this machine, and what may stand between it and the bot."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from moto.server import ThreadedMotoServer

HOST = "127.0.0.1"
ACCESS, SECRET, PASSWORD = "a-key-that-nobody-reads", "a-secret-that-nobody-reads", "hunter2"


class Answer(NamedTuple):
    """What is sent back; `length` in the place of the body's own."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int | None = None


# What becomes of a request: its answer, of the answer that the store gives.
Fault = Callable[[Answer], Answer]


def refused(status: int, code: str) -> Fault:
    """An error as S3 words it, which here repeats what it should not."""
    body = (
        f"<Error><Code>{code}</Code><Message>No.</Message>"
        f"<AWSAccessKeyId>{ACCESS}</AWSAccessKeyId></Error>"
    )
    return lambda _: Answer(status, {"Content-Type": "application/xml"}, body.encode())


def busy(_: Answer) -> Answer:
    """A load balancer's, without a word of S3's."""
    return Answer(503, {}, b"")


def web_page(_: Answer) -> Answer:
    """As of a proxy that wants somebody to log in."""
    return Answer(200, {"Content-Type": "text/html"}, b"<html></html>")


def cut(answer: Answer) -> Answer:
    """The connection breaks half way."""
    return answer._replace(body=answer.body[: len(answer.body) // 2], length=len(answer.body))


def changed(answer: Answer) -> Answer:
    """One bit of what comes is another."""
    return answer._replace(body=bytes([answer.body[0] ^ 1]) + answer.body[1:])


class Between:
    """Stands before a store and passes on what it is asked, but for `faults`.

    faults  one for each request that comes next, None for none; those of one method alone under it
    seen    every request's method, as it came
    most    how many there were at the same time
    """

    def __init__(self, store_port: int) -> None:
        self._store_port = store_port
        self.faults: list[Fault | None] = []
        self.faults_of: dict[str, list[Fault | None]] = {}
        self.seen: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """What is sent back."""
        with self._lock:
            self.seen.append(method)
            self._now += 1
            self.most = max(self.most, self._now)
            faults = self.faults_of.get(method) or self.faults
            fault = faults.pop(0) if faults else None
        self.arrived.release()
        self.open.wait()
        try:
            connection = HTTPConnection(HOST, self._store_port)
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            answer = Answer(got.status, dict(got.getheaders()), got.read())
            connection.close()
        finally:
            with self._lock:
                self._now -= 1
        return answer if fault is None else fault(answer)


@contextmanager
def standing_before(store_port: int) -> Iterator[tuple[Between, int]]:
    """One that is up, and its port."""
    between = Between(store_port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {
                name: value for name, value in self.headers.items() if name.lower() != "expect"
            }
            answer = between.answer(self.command, self.path, headers, body)
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                    self.send_header(name, value)
            length = len(answer.body) if answer.length is None else answer.length
            if answer.status != 204:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.length is not None

        do_GET = do_PUT = do_DELETE = handle_any  # noqa: N815 - as http.server calls them

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield between, server.server_port
    finally:
        between.open.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_store() -> Iterator[int]:
    """A store that is up; its port."""
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()
