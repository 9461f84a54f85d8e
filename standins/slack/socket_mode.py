"""Socket Mode: the sockets of the app, and the envelopes that go to one of them and are acked."""

import asyncio
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

from standins.base.faults import Faults, GatewayFault
from standins.base.timers import Timer, Timers
from standins.base.wire import Json, parse_json
from standins.slack.changes import Changes
from standins.slack.envelopes import ACK_DEADLINE_S, Envelope
from standins.slack.world import World

LINK_PATH: Final = "/link"
MAX_CONNECTIONS: Final = 10
PING_INTERVAL_S: Final = 30.0
CLOSING_DELAY_S: Final = 10.0  # from "disconnect" to the end of the socket
_SOCKET_LIFE_S: Final = 18_060  # about when Slack will ask it to come back


@dataclass(slots=True, eq=False)
class _Underway:
    """An envelope on its way.

    ids      under which it was sent so far
    sockets  to which
    """

    envelope: Envelope
    ids: list[str] = field(default_factory=list)
    sockets: list["_Socket"] = field(default_factory=list)
    timer: Timer | None = None


class _Socket:
    """One socket: writes from one queue, so that what is posted arrives whole and in order.

    silent    it neither says nor hears anything any more, and its connection stays open
    draining  the app was asked to come back on another
    """

    def __init__(self, response: web.WebSocketResponse, request: web.Request) -> None:
        self.silent = False
        self.draining = False
        self.ping: Timer | None = None
        self._response = response
        self._transport = request.transport
        self._outbox: asyncio.Queue[Json | bytes | None] = asyncio.Queue()
        self.writer = asyncio.create_task(self._write(), name="socket mode writer")

    def post(self, payload: Json | bytes) -> None:
        """Send it after everything posted before; bytes are a ping."""
        if not self.silent:
            self._outbox.put_nowait(payload)

    def close(self) -> None:
        """Close after everything posted before."""
        self._outbox.put_nowait(None)

    def abort(self) -> None:
        """Break the connection, as when a cable is pulled."""
        if self._transport is not None:
            self._transport.abort()

    async def _write(self) -> None:
        while True:
            item = await self._outbox.get()
            try:
                if item is None:
                    await self._response.close()
                    return
                if isinstance(item, bytes):
                    await self._response.ping(item)
                else:
                    await self._response.send_str(json.dumps(item, separators=(",", ":")))
            except ConnectionError:  # the app is gone; the reader has noticed or will
                return


class SocketMode:
    """All sockets of the app, and what is on its way to it."""

    def __init__(self, world: World, timers: Timers, faults: Faults, changes: Changes) -> None:
        self._world = world
        self._timers = timers
        self._faults = faults
        self._changes = changes
        self._tickets: set[str] = set()
        self._sockets: list[_Socket] = []
        self._connecting: set[_Socket] = set()
        self._turn = 0
        self._unacked: dict[str, _Underway] = {}

    @property
    def connections(self) -> int:
        """How many sockets are open that have been greeted."""
        return len(self._sockets)

    @property
    def draining(self) -> bool:
        """Whether a socket is open that the app was asked to leave."""
        return any(socket.draining for socket in self._sockets)

    @property
    def unacknowledged(self) -> int:
        """How many envelopes wait for their ack."""
        return len(set(self._unacked.values()))

    def new_url(self) -> str:
        """Where the app may connect, once."""
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        base = self._world.base_url.replace("http", "ws", 1)
        return f"{base}{LINK_PATH}?ticket={ticket}&app_id={self._world.app_id}"

    def send(self, envelope: Envelope) -> None:
        """Send it to one of the sockets."""
        if envelope.type != "events_api" and not self._sockets:
            envelope.on_failure()  # Slack tells the person at once: dispatch_failed
            return
        self._attempt(_Underway(envelope))

    def _attempt(self, underway: _Underway) -> None:
        envelope = underway.envelope
        envelope_id = str(uuid.uuid4())
        sent: Json = {
            "envelope_id": envelope_id,
            "payload": envelope.payload,
            "type": envelope.type,
            "accepts_response_payload": envelope.answerable,
        }
        if envelope.type == "events_api":
            sent["retry_attempt"] = envelope.attempts
            sent["retry_reason"] = "timeout" if envelope.attempts else ""
        envelope.attempts += 1
        underway.ids.append(envelope_id)
        self._unacked[envelope_id] = underway
        underway.timer = self._timers.after(ACK_DEADLINE_S, lambda: self._time_out(underway))
        socket = self._choose(underway)
        if socket is None:
            return
        underway.sockets.append(socket)
        fault = self._faults.on_gateway("ENVELOPE")
        if fault is None:
            socket.post(sent)
        else:
            self._apply(fault, socket)

    def _choose(self, underway: _Underway) -> _Socket | None:
        """One after the other, rather one that has not lost it already or is about to close."""
        if not self._sockets:
            return None
        self._turn += 1
        turned = [
            self._sockets[(self._turn + place) % len(self._sockets)]
            for place in range(len(self._sockets))
        ]
        return min(turned, key=lambda one: (one.draining, underway.sockets.count(one)))

    def _time_out(self, underway: _Underway) -> None:
        again_in_s = underway.envelope.again_in_s()
        if again_in_s is None:
            self._forget(underway)
            underway.envelope.on_failure()
            self._changes.happened()
        elif again_in_s:
            underway.timer = self._timers.after(again_in_s, lambda: self._attempt(underway))
        else:
            self._attempt(underway)

    def _forget(self, underway: _Underway) -> None:
        for envelope_id in underway.ids:
            self._unacked.pop(envelope_id, None)

    def _acknowledge(self, message: Json) -> None:
        underway = self._unacked.get(str(message.get("envelope_id")))
        if underway is None:  # too late, or twice: Slack says nothing
            return
        self._forget(underway)
        if underway.timer is not None:
            underway.timer.cancel()
        underway.envelope.ack(message.get("payload"))
        self._changes.happened()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handler of the app's sockets: one from hello to its end."""
        fault = self._faults.on_gateway("CONNECT")
        if fault is not None and fault.kind == "refuse":
            raise web.HTTPServiceUnavailable(text="upstream connect error")
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPForbidden(text="invalid ticket")
        self._tickets.discard(ticket)
        response = web.WebSocketResponse(timeout=1.0, autoping=False)
        await response.prepare(request)
        socket = _Socket(response, request)
        self._connecting.add(socket)
        try:
            if fault is not None:
                self._apply(fault, socket)
            self._greet(socket)
            async for message in response:
                if not socket.silent:
                    await self._receive(socket, response, message)
        finally:
            await self._disconnected(socket)
        return response

    def _greet(self, socket: _Socket) -> None:
        fault = None if socket.silent else self._faults.on_gateway("HELLO")
        if fault is not None:
            self._apply(fault, socket)
        if socket.silent:
            return
        if len(self._sockets) >= MAX_CONNECTIONS:
            self._ask_back(socket, "too_many_websockets", closing_delay_s=0.0)
            return
        self._sockets.append(socket)
        socket.post(
            {
                "type": "hello",
                "num_connections": len(self._sockets),
                "debug_info": {
                    "host": "applink-loopback",
                    "build_number": 1,
                    "approximate_connection_time": _SOCKET_LIFE_S,
                },
                "connection_info": {"app_id": self._world.app_id},
            }
        )
        self._ping(socket)
        self._changes.happened()

    def _ping(self, socket: _Socket) -> None:
        socket.post(b"Ping from applink-loopback")
        socket.ping = self._timers.after(PING_INTERVAL_S, lambda: self._ping(socket))

    async def _receive(
        self, socket: _Socket, response: web.WebSocketResponse, message: aiohttp.WSMessage
    ) -> None:
        if message.type is aiohttp.WSMsgType.PING:
            await response.pong(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            try:
                payload = parse_json(message.data)
            except ValueError:
                return
            fault = self._faults.on_gateway("ACK")
            if fault is not None:
                self._apply(fault, socket)
            elif isinstance(payload, dict):
                self._acknowledge(payload)

    def disconnect(self, reason: str) -> None:
        """Ask every socket to come back, as Slack does now and then; they close a while later."""
        for socket in list(self._sockets):
            self._ask_back(socket, reason, closing_delay_s=CLOSING_DELAY_S)

    def _ask_back(self, socket: _Socket, reason: str, *, closing_delay_s: float) -> None:
        socket.draining = True
        told = {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-loopback"}}
        socket.post(told)
        if closing_delay_s:
            self._timers.after(closing_delay_s, socket.close)
        else:
            socket.close()

    def _apply(self, fault: GatewayFault, socket: _Socket) -> None:
        if fault.kind == "silence":
            socket.silent = True
        elif fault.kind == "reconnect":
            self._ask_back(socket, "warning", closing_delay_s=CLOSING_DELAY_S)
        else:
            socket.silent = True
            socket.abort()

    async def close(self) -> None:
        """Close every socket."""
        for socket in list(self._connecting):
            socket.silent = False
            socket.close()
        writers = [socket.writer for socket in self._connecting]
        await asyncio.gather(*writers, return_exceptions=True)

    async def _disconnected(self, socket: _Socket) -> None:
        self._connecting.discard(socket)
        if socket in self._sockets:
            self._sockets.remove(socket)
        if socket.ping is not None:
            socket.ping.cancel()
        socket.writer.cancel()
        await asyncio.gather(socket.writer, return_exceptions=True)
        self._changes.happened()
