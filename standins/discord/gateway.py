"""Discord's gateway, version 10: sessions that outlive their sockets, and the sockets.

A session keeps the events it has sent, so that RESUME can replay what a broken socket lost. The
framing of a socket (compression, writing in order, closing) is in `gateway_socket.py`. A session
is that of one shard: it hears of the servers that fall to it, and the first of private channels.
"""

import asyncio
import secrets
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

from standins.base.faults import Faults, GatewayFault
from standins.base.timers import Timer, Timers
from standins.base.wire import Json, parse_json
from standins.discord.gateway_socket import COMPRESSIONS, CloseSocket, Socket
from standins.discord.wire import snowflake
from standins.discord.world import PRIVILEGED_INTENTS, World

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE_STATE, RESUME = 0, 1, 2, 3, 4, 6
RECONNECT, REQUEST_MEMBERS, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 7, 8, 9, 10, 11

UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED, AUTHENTICATION_FAILED = 4001, 4002, 4003, 4004
ALREADY_AUTHENTICATED, INVALID_SEQ, RATE_LIMITED, SESSION_TIMED_OUT = 4005, 4007, 4008, 4009
INVALID_SHARD, SHARDING_REQUIRED, INVALID_VERSION = 4010, 4011, 4012
INVALID_INTENTS, DISALLOWED_INTENTS = 4013, 4014

GUILDS, GUILD_MEMBERS, MESSAGE_CONTENT = 1 << 0, 1 << 1, 1 << 15
ALL_INTENTS: Final = (1 << 26) - 1

MAX_PAYLOAD_BYTES: Final = 4_096
MAX_REPLAY_EVENTS: Final = 1_000
MAX_PAYLOADS, PAYLOADS_WINDOW_S = 120, 60.0
RESUME_WINDOW_S: Final = 180.0  # how long a session waits for its bot to come back
MISSED_HEARTBEAT_FACTOR: Final = 1.5
IDENTIFY_WINDOW_S: Final = 5.0  # in which a shard and those that share its key identify once
# discord.py notes when it sent a heartbeat after it has sent it. An answer that comes sooner, as
# only one from the same machine can, looks to it like one that took a whole interval.
ACK_DELAY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of all that there is to hear, from 0."""

    id: int
    count: int

    def hears(self, guild_id: int | None) -> bool:
        """Whether what happens in a server falls to it; None: in a private channel."""
        return (0 if guild_id is None else (guild_id >> 22) % self.count) == self.id


@dataclass(slots=True, eq=False)
class Session:
    """What IDENTIFY began: it lives until the bot says goodbye or stays away too long.

    seq     of the last event sent
    replay  the last events, to be sent again on RESUME
    """

    intents: int
    shard: Shard
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    seq: int = 0
    replay: deque[Json] = field(default_factory=lambda: deque(maxlen=MAX_REPLAY_EVENTS))
    socket: Socket | None = None
    expiry: Timer | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    """One socket and what the gateway knows of it.

    heartbeat    runs when the bot has been quiet for too long
    acknowledging  the answer to its last heartbeat, on its way
    received_at  when its last payloads came in
    """

    socket: Socket
    session: Session | None = None
    heartbeat: Timer | None = None
    acknowledging: asyncio.TimerHandle | None = None
    received_at: deque[float] = field(default_factory=deque)


class Gateway:
    """All sessions of the bot.

    identifies          how many IDENTIFYs were accepted
    identified          how many of each shard
    resumes             how many RESUMEs were accepted
    ready               set while a bot listens that has got READY and its guild (or has resumed)
    away                set while none does
    recommended_shards  how many bots are told to have
    least_shards        with fewer nobody may identify
    max_concurrency     how many shards may identify at the same time
    limits_identifies   whether those beyond are told that their session is invalid
    """

    def __init__(
        self, world: World, timers: Timers, faults: Faults, token: str, heartbeat_interval_s: float
    ) -> None:
        self.identifies = 0
        self.identified: Counter[Shard] = Counter()
        self.resumes = 0
        self.recommended_shards = 1
        self.least_shards = 1
        self.max_concurrency = 1
        self.limits_identifies = False
        self.ready = asyncio.Event()
        self.away = asyncio.Event()
        self.away.set()
        self._world = world
        self._timers = timers
        self._faults = faults
        self._token = token
        self._interval_s = heartbeat_interval_s
        self._sessions: dict[str, Session] = {}
        self._connections: set[_Connection] = set()
        self._identified_at: dict[int, float] = {}  # by the key that shards share
        self._changed = asyncio.Event()  # somebody came or went

    @property
    def url(self) -> str:
        """Where bots connect."""
        return self._world.base_url.replace("http", "ws", 1) + "/gateway"

    @property
    def connected(self) -> list[Session]:
        """The sessions that a bot listens to now."""
        return [session for session in self._sessions.values() if session.socket is not None]

    def listening(self, shard_id: int) -> int:
        """How many sessions of a shard a bot listens to now; Discord allows any number."""
        return sum(session.shard.id == shard_id for session in self.connected)

    async def wait_listening(self, *shard_ids: int) -> None:
        """Wait until each of these shards, and no other, has somebody who listens, once."""
        wanted = Counter(shard_ids)
        while Counter(session.shard.id for session in self.connected) != wanted:
            self._changed.clear()
            await self._changed.wait()

    def limits_json(self) -> Json:
        """What bots are told of how they may connect."""
        return {
            "url": self.url,
            "shards": self.recommended_shards,
            "session_start_limit": {
                "total": 1_000,
                "remaining": 1_000,
                "reset_after": 0,
                "max_concurrency": self.max_concurrency,
            },
        }

    def dispatch(
        self, event: str, data: Json, *, intents: int = 0, plain: Json | None = None
    ) -> None:
        """Send an event to every session that it falls to, with one of `intents` (0: any).

        plain  what a session without the privileged message content gets instead
        """
        guild_id = snowflake(data.get("guild_id")) if isinstance(data, dict) else None
        for session in list(self._sessions.values()):  # a fault may end one on the way
            if session.shard.hears(guild_id) and (not intents or session.intents & intents):
                full = plain is None or session.intents & MESSAGE_CONTENT
                self._send(session, event, data if full or plain is None else plain)

    def drop(self, shard_id: int | None = None) -> None:
        """Break the sockets, as when a cable is pulled; the sessions live on.

        shard_id  of this shard alone; None: all
        """
        self._strike(GatewayFault(kind="drop", on=""), shard_id)

    def reconnect(self, shard_id: int | None = None) -> None:
        """Ask bots to come back (op 7); the rest as of `drop`."""
        self._strike(GatewayFault(kind="reconnect", on=""), shard_id)

    def invalidate(self, shard_id: int | None = None, *, resumable: bool) -> None:
        """Tell bots that their session is invalid (op 9); the rest as of `drop`."""
        self._strike(GatewayFault(kind="invalid_session", on="", resumable=resumable), shard_id)

    def _strike(self, fault: GatewayFault, shard_id: int | None) -> None:
        for session in self.connected:
            if shard_id in {None, session.shard.id}:
                self._apply(fault, session.socket, session)

    def ask_heartbeat(self) -> None:
        """Ask every bot for a heartbeat at once (op 1)."""
        for session in self.connected:
            if session.socket is not None:
                session.socket.post({"op": HEARTBEAT, "d": None})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handler of GET /gateway: one socket from HELLO to its end."""
        fault = self._faults.on_gateway("CONNECT")
        if fault is not None and fault.kind == "refuse":
            raise web.HTTPServiceUnavailable(text="upstream connect error")
        if request.query.get("compress", "") not in COMPRESSIONS:
            raise web.HTTPBadRequest(text="unknown compression")
        response = web.WebSocketResponse(timeout=1.0)
        await response.prepare(request)
        connection = _Connection(Socket(response, request))
        self._connections.add(connection)
        try:
            if fault is not None:
                self._apply(fault, connection.socket, None)
            self._greet(connection, request)
            async for message in response:
                self._receive(connection, message)
        except CloseSocket as end:
            connection.socket.close(end.code, str(end))
            await connection.socket.writer
        finally:
            await self._disconnected(connection, response.close_code)
        return response

    def _greet(self, connection: _Connection, request: web.Request) -> None:
        if request.query.get("v") != "10" or request.query.get("encoding", "json") != "json":
            raise CloseSocket(INVALID_VERSION, "Invalid API version.")
        hello = {"heartbeat_interval": round(self._interval_s * 1_000)}
        connection.socket.post({"op": HELLO, "d": hello, "s": None, "t": None})
        self._expect_heartbeat(connection)

    async def close(self) -> None:
        """Send every bot away; it may come back to resume."""
        for connection in self._connections:
            connection.socket.silent = False
            connection.socket.close(1001, "Going away.")
        writers = [connection.socket.writer for connection in self._connections]
        await asyncio.gather(*writers, return_exceptions=True)

    async def _disconnected(self, connection: _Connection, code: int | None) -> None:
        self._connections.discard(connection)
        if connection.heartbeat is not None:
            connection.heartbeat.cancel()
        if connection.acknowledging is not None:
            connection.acknowledging.cancel()
        connection.socket.writer.cancel()
        await asyncio.gather(connection.socket.writer, return_exceptions=True)
        session = connection.session
        if session is None or session.socket is not connection.socket:
            return
        session.socket = None
        self._refresh_ready()
        if code in {1000, 1001}:  # the bot said goodbye
            self._forget(session)
        else:
            session.expiry = self._timers.after(RESUME_WINDOW_S, lambda: self._forget(session))

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        self._refresh_ready()

    def _refresh_ready(self) -> None:
        now, before = (self.ready, self.away) if self.connected else (self.away, self.ready)
        now.set()
        before.clear()
        self._changed.set()

    def _expect_heartbeat(self, connection: _Connection) -> None:
        if connection.heartbeat is not None:
            connection.heartbeat.cancel()
        deadline_s = self._interval_s * MISSED_HEARTBEAT_FACTOR
        connection.heartbeat = self._timers.after(deadline_s, lambda: self._time_out(connection))

    def _time_out(self, connection: _Connection) -> None:
        if connection.session is not None:
            self._forget(connection.session)
        connection.socket.close(SESSION_TIMED_OUT, "Session timed out.")

    def _receive(self, connection: _Connection, message: aiohttp.WSMessage) -> None:
        if connection.socket.silent:
            return
        if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            return
        now = self._timers.clock()
        recent = connection.received_at
        recent.append(now)
        while recent[0] <= now - PAYLOADS_WINDOW_S:
            recent.popleft()
        if len(recent) > MAX_PAYLOADS:
            raise CloseSocket(RATE_LIMITED, "You are being rate limited.")
        try:
            payload = parse_json(message.data) if len(message.data) <= MAX_PAYLOAD_BYTES else None
        except ValueError:
            payload = None
        if not isinstance(payload, dict):
            raise CloseSocket(DECODE_ERROR, "Error while decoding payload.")
        self._handle(connection, payload.get("op"), payload.get("d"))

    def _handle(self, connection: _Connection, op: object, data: object) -> None:
        body = data if isinstance(data, dict) else {}
        op = op if isinstance(op, int) and not isinstance(op, bool) else -1
        occasion = {HEARTBEAT: "HEARTBEAT", IDENTIFY: "IDENTIFY", RESUME: "RESUME"}.get(op)
        fault = None if occasion is None else self._faults.on_gateway(occasion)
        if fault is not None:
            self._apply(fault, connection.socket, connection.session)
        elif op == HEARTBEAT:
            self._expect_heartbeat(connection)
            connection.acknowledging = asyncio.get_running_loop().call_later(
                ACK_DELAY_S,
                connection.socket.post,
                {"op": HEARTBEAT_ACK, "d": None, "s": None, "t": None},
            )
        elif op in {IDENTIFY, RESUME}:
            if connection.session is not None:
                raise CloseSocket(ALREADY_AUTHENTICATED, "Already authenticated.")
            if body.get("token") != self._token:
                raise CloseSocket(AUTHENTICATION_FAILED, "Authentication failed.")
            if op == IDENTIFY:
                self._identify(connection, body)
            else:
                self._resume(connection, body)
        elif connection.session is None:
            raise CloseSocket(NOT_AUTHENTICATED, "Not authenticated.")
        elif op == REQUEST_MEMBERS:
            self._send_members(connection.session, body)
        elif op not in {PRESENCE, VOICE_STATE}:
            raise CloseSocket(UNKNOWN_OPCODE, "Unknown opcode.")

    def _identify(self, connection: _Connection, body: Json) -> None:
        shard = _shard(body.get("shard", [0, 1]))
        if shard is None:
            raise CloseSocket(INVALID_SHARD, "Invalid shard.")
        if shard.count < self.least_shards:
            raise CloseSocket(SHARDING_REQUIRED, "Sharding required.")
        intents = body.get("intents")
        if not isinstance(intents, int) or intents & ~ALL_INTENTS:
            raise CloseSocket(INVALID_INTENTS, "Invalid intent(s).")
        if intents & PRIVILEGED_INTENTS & ~self._world.privileged_intents:
            raise CloseSocket(DISALLOWED_INTENTS, "Disallowed intent(s).")
        if self._is_too_soon(shard):
            connection.socket.post({"op": INVALID_SESSION, "d": False, "s": None, "t": None})
            return
        session = Session(intents, shard, socket=connection.socket)
        connection.session = self._sessions[session.id] = session
        self.identifies += 1
        self.identified[shard] += 1
        guild_id = str(self._world.guild_id)
        member = self._world.bot_is_member and shard.hears(self._world.guild_id)
        ready = {
            "v": 10,
            "user": self._world.own_user_json(),
            "guilds": [{"id": guild_id, "unavailable": True}] if member else [],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "session_type": "normal",
            "shard": [shard.id, shard.count],
            "application": {
                "id": str(self._world.application_id),
                "flags": self._world.application_json()["flags"],
            },
        }
        self._send(session, "READY", ready)
        if member and intents & GUILDS:
            all_members = bool(intents & GUILD_MEMBERS)
            guild = self._world.created_guild_json(all_members=all_members)
            self._send(session, "GUILD_CREATE", guild)
        self._refresh_ready()

    def _is_too_soon(self, shard: Shard) -> bool:
        """Whether another one with its key has just begun; if not, this one has."""
        key, now = shard.id % self.max_concurrency, self._timers.clock()
        last = self._identified_at.get(key)
        if self.limits_identifies and last is not None and now - last < IDENTIFY_WINDOW_S:
            return True
        self._identified_at[key] = now
        return False

    def _resume(self, connection: _Connection, body: Json) -> None:
        session = self._sessions.get(str(body.get("session_id")))
        seq = body.get("seq")
        oldest = session.replay[0]["s"] if session is not None and session.replay else 0
        if session is None or not isinstance(seq, int) or seq < oldest - 1:
            connection.socket.post({"op": INVALID_SESSION, "d": False, "s": None, "t": None})
            return
        if seq > session.seq:
            self._forget(session)
            raise CloseSocket(INVALID_SEQ, "Invalid seq.")
        if session.socket is not None:  # the bot came back before its old socket was missed
            session.socket.abort()
        if session.expiry is not None:
            session.expiry.cancel()
        session.socket = connection.socket
        connection.session = session
        self.resumes += 1
        self._refresh_ready()
        for payload in list(session.replay):
            if payload["s"] > seq:
                connection.socket.post(payload)
        self._send(session, "RESUMED", {})

    def _send_members(self, session: Session, body: Json) -> None:
        if not session.shard.hears(self._world.guild_id):
            return
        people = self._world.people
        asked = body.get("user_ids")
        ids = [snowflake(one) for one in (asked if isinstance(asked, list) else [asked])]
        if asked is not None:
            found = [people[one] for one in ids if one in people]
        else:
            start = str(body.get("query") or "").lower()
            found = [one for one in people.values() if one.username.startswith(start)]
            found = found[: snowflake(body.get("limit")) or len(found)]
        chunk: Json = {
            "guild_id": str(self._world.guild_id),
            "members": [self._world.member_json(person) for person in found],
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [str(one) for one in ids if asked is not None and one not in people],
        }
        if body.get("nonce") is not None:
            chunk["nonce"] = body["nonce"]
        self._send(session, "GUILD_MEMBERS_CHUNK", chunk)

    def _send(self, session: Session, event: str, data: Json) -> None:
        session.seq += 1
        payload: Json = {"op": DISPATCH, "t": event, "s": session.seq, "d": data}
        session.replay.append(payload)
        if session.socket is None:
            return
        fault = self._faults.on_gateway(event)
        if fault is None:
            session.socket.post(payload)
        else:
            self._apply(fault, session.socket, session)

    def _apply(self, fault: GatewayFault, socket: Socket | None, session: Session | None) -> None:
        if socket is None:
            return
        if fault.kind == "silence":
            socket.silent = True
        elif fault.kind == "reconnect":
            socket.post({"op": RECONNECT, "d": None, "s": None, "t": None})
        elif fault.kind == "invalid_session":
            if session is not None and not fault.resumable:
                self._forget(session)
            socket.post({"op": INVALID_SESSION, "d": fault.resumable, "s": None, "t": None})
        else:
            socket.abort()


def _shard(said: object) -> Shard | None:
    """The shard that a bot says it is; None: there is no such one."""
    match said:
        case [int(number), int(count)] if 0 <= number < count:
            return Shard(number, count)
    return None
