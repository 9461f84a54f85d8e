"""Where an app may listen, and a Slack that tells it over HTTP."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from standins.base.timers import Clock
from standins.slack.loopback import LoopbackSlack

PATH: Final = "/slack/events"


@contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nothing else is given before its server listens there."""
    with socket.socket() as holder:
        # Both have SO_REUSEADDR, and this one does not listen: so the server may have it, too.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@asynccontextmanager
async def slack_over_http(clock: Clock, port: int) -> AsyncIterator[LoopbackSlack]:
    """One that sends what it tells to that port."""
    loopback = LoopbackSlack(
        clock=clock, rate_limits=False, request_url=f"http://127.0.0.1:{port}{PATH}"
    )
    await loopback.start()
    try:
        yield loopback
    finally:
        await loopback.close()
