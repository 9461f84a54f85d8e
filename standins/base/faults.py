"""Faults put in on purpose: slow, failing, limiting and vanishing answers, a sick gateway."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from standins.base.timers import Timers
from standins.base.wire import Json

RestKind = Literal["latency", "status", "status_after", "rate_limit", "drop_before", "drop_after"]
GatewayKind = Literal["drop", "reconnect", "invalid_session", "silence", "refuse"]


@dataclass(kw_only=True, slots=True, eq=False)
class _Matched:
    """What both sorts of fault share.

    nth    the first matching occasion that it strikes, from 1
    count  how many occasions it strikes, None: all of them
    fired  how many it has struck
    """

    nth: int = 1
    count: int | None = 1
    fired: int = 0
    seen: int = 0
    _struck: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_fired(self) -> None:
        """Wait until it has struck once."""
        await self._struck.wait()

    def strike(self) -> bool:
        """Count one matching occasion; whether the fault strikes it."""
        self.seen += 1
        if self.seen < self.nth or (self.count is not None and self.fired >= self.count):
            return False
        self.fired += 1
        self._struck.set()
        return True


@dataclass(kw_only=True, slots=True, eq=False)
class Fault(_Matched):
    """A fault on requests.

    kind     latency      acted on only when `gate` is set or `seconds` have gone by on the clock;
                          with neither, never
             status       answered with `status` and `body`, not acted on
             status_after acted on, and then answered so
             rate_limit   answered with a 429 of `retry_after_s`, not acted on
             drop_before  the connection breaks, not acted on
             drop_after   acted on, then the connection breaks without an answer
    method   "PATCH"; "*": any
    content_type  of a body that is a text; any other is JSON, and says so
    route    below the API's path: "/webhooks/*/*/messages/@original", "/chat.postMessage"; * is one
             segment, ** any number
    """

    kind: RestKind
    method: str = "*"
    route: str = "/**"
    gate: asyncio.Event | None = None
    seconds: float | None = None
    status: int = 503
    body: Json | str | list[object] | None = field(
        default_factory=lambda: {"message": "503: Unavailable", "code": 0}
    )
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float = 0.01
    is_global: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Whether it is about this request."""
        parts = re.split(r"(\*\*|\*)", self.route)
        wild = {"*": "[^/]+", "**": ".*"}
        pattern = "".join(wild.get(part, re.escape(part)) for part in parts)
        return self.method in {"*", method} and re.fullmatch(pattern, path) is not None


@dataclass(kw_only=True, slots=True, eq=False)
class GatewayFault(_Matched):
    """A fault on the gateway.

    kind       drop             the socket breaks, as when a cable is pulled
               reconnect        Discord's op 7, Slack's "disconnect"
               invalid_session  op 9, `resumable` or not; of Discord alone
               silence          the connection goes on but never hears or says anything again
               refuse           a connect is answered with a 503
    on         what sets it off, just before it would be handled: "CONNECT", "IDENTIFY", "RESUME",
               "HEARTBEAT", or an event on its way to the bot, such as "INTERACTION_CREATE" (which
               is kept, and replayed on RESUME); of Slack "CONNECT", "HELLO", and "ENVELOPE" or
               "ACK", which is lost (over HTTP the first of them, by "silence" the request, by any
               other the answer to it)
    resumable  of invalid_session
    """

    kind: GatewayKind
    on: str
    resumable: bool = False

    def __post_init__(self) -> None:
        if self.kind == "refuse" and self.on != "CONNECT":
            raise ValueError('Only a connect can be refused: on="CONNECT".')


AnyFault = TypeVar("AnyFault", Fault, GatewayFault)


class Faults:
    """All faults; the first that matches and strikes has its way."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._rest: list[Fault] = []
        self._gateway: list[GatewayFault] = []

    def add(self, fault: AnyFault) -> AnyFault:
        """Put a fault in; returns it, to look at `fired` later."""
        if isinstance(fault, Fault):
            self._rest.append(fault)
        else:
            self._gateway.append(fault)
        return fault

    def clear(self) -> None:
        """Take all faults out."""
        self._rest.clear()
        self._gateway.clear()

    def on_request(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request."""
        return next((f for f in self._rest if f.matches(method, path) and f.strike()), None)

    def on_gateway(self, occasion: str) -> GatewayFault | None:
        """The fault that strikes this occasion."""
        return next((f for f in self._gateway if f.on == occasion and f.strike()), None)

    async def hold(self, fault: Fault) -> None:
        """Wait as a latency fault says; closing the server ends it."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def watch(gate: asyncio.Event) -> None:
            await gate.wait()
            if not opened.done():
                opened.set_result(None)

        watcher = None if fault.gate is None else asyncio.create_task(watch(fault.gate))
        try:
            await self._timers.wait(opened, fault.seconds)
        finally:
            if watcher is not None:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
