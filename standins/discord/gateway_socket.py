"""One gateway socket: JSON in order, compressed as the bot asked, closed with Discord's codes."""

import asyncio
import json
import zlib
from collections.abc import Callable
from typing import Final

from aiohttp import web

from standins.base.wire import Json

_ZSTD_FRAME_START: Final = b"\x28\xb5\x2f\xfd\x00\x38"  # no checksum, no length, 128 KiB window
_ZSTD_MAX_BLOCK_BYTES: Final = 2**17


class CloseSocket(Exception):  # noqa: N818 - the way out of handling a payload, not a failure
    """The gateway ends this socket with a close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Socket:
    """Writes from one queue, so that whatever is posted arrives whole and in order.

    silent  it neither says nor closes anything any more, and its connection stays open
    """

    def __init__(self, response: web.WebSocketResponse, request: web.Request) -> None:
        self.silent = False
        self._response = response
        self._transport = request.transport
        self._compress = _COMPRESSIONS[request.query.get("compress", "")]()
        self._outbox: asyncio.Queue[Json | CloseSocket] = asyncio.Queue()
        self.writer = asyncio.create_task(self._write(), name="gateway socket writer")

    def post(self, payload: Json) -> None:
        """Send it after everything posted before."""
        if not self.silent:
            self._outbox.put_nowait(payload)

    def close(self, code: int, reason: str) -> None:
        """Close after everything posted before."""
        self._outbox.put_nowait(CloseSocket(code, reason))

    def abort(self) -> None:
        """Break the connection, as when a cable is pulled."""
        if self._transport is not None:
            self._transport.abort()

    async def _write(self) -> None:
        while True:
            item = await self._outbox.get()
            try:
                if isinstance(item, CloseSocket):
                    await self._response.close(code=item.code, message=str(item).encode())
                    return
                text = json.dumps(item, separators=(",", ":"))
                if self._compress is None:
                    await self._response.send_str(text)
                else:
                    await self._response.send_bytes(self._compress(text.encode()))
            except ConnectionError:  # the bot is gone; the reader has noticed or will
                return


def _zlib_stream() -> Callable[[bytes], bytes]:
    """One deflate stream for the whole connection, flushed after each payload."""
    deflate = zlib.compressobj()
    return lambda data: deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)


def _zstd_stream() -> Callable[[bytes], bytes]:
    """One zstd frame for the whole connection, of raw blocks (RFC 8878, 3.1.1.2).

    Python before 3.14 has no zstd compressor; a stream that is not squeezed needs none.
    """
    start = _ZSTD_FRAME_START

    def encode(data: bytes) -> bytes:
        nonlocal start
        parts, start = [start], b""
        for at in range(0, len(data), _ZSTD_MAX_BLOCK_BYTES):
            block = data[at : at + _ZSTD_MAX_BLOCK_BYTES]
            parts += [(len(block) << 3).to_bytes(3, "little"), block]
        return b"".join(parts)

    return encode


_COMPRESSIONS: Final[dict[str, Callable[[], Callable[[bytes], bytes] | None]]] = {
    "": lambda: None,
    "zlib-stream": _zlib_stream,
    "zstd-stream": _zstd_stream,
}
COMPRESSIONS = frozenset(_COMPRESSIONS)
