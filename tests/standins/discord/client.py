"""A real discord.py bot for the loopback, small enough to see through."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from standins.base.wire import Json
from standins.discord import LoopbackDiscord

# What the tests share the types of.
Interaction = discord.Interaction[discord.Client]
Handler = Callable[[Interaction], Awaitable[None]]
Serve = Callable[[LoopbackDiscord], Awaitable[LoopbackDiscord]]
Answer = tuple[int, Any]  # a request's status and JSON body
Post = Callable[..., Awaitable[Answer]]  # of a payload and files, each a name and its bytes

_NOTED = frozenset(
    {
        "connect",
        "ready",
        "resumed",
        "disconnect",
        "message",
        "message_edit",
        "raw_message_delete",
        "raw_bulk_message_delete",
        "guild_channel_update",
        "guild_channel_delete",
        "thread_delete",
        "raw_thread_delete",
        "guild_role_create",
        "guild_role_update",
        "guild_role_delete",
        "member_update",
    }
)


class Bot(discord.Client):
    """An unmodified client with one command, /imagine, whose handler a test may swap."""

    def __init__(
        self, *, intents: discord.Intents | None = None, heartbeat_timeout: float = 60.0
    ) -> None:
        super().__init__(
            intents=intents or discord.Intents.default(),
            guild_ready_timeout=0.0,
            heartbeat_timeout=heartbeat_timeout,
        )
        self.tree = app_commands.CommandTree(self)
        self.handler: Handler = _defer
        self.seen: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.tree.command(name="imagine", description="Draw a picture")(self._imagine)

    @app_commands.describe(prompt="What to draw", steps="How long to look")
    async def _imagine(
        self,
        interaction: Interaction,
        prompt: app_commands.Range[str, 1, 1000],
        steps: app_commands.Range[int, 1, 50] = 20,
    ) -> None:
        self.seen.put_nowait(("imagine", (prompt, steps)))
        await self.handler(interaction)

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Identify at once; discord.py waits 5 s before it identifies again."""

    async def on_error(self, event: str, *_: object, **__: object) -> None:
        raise AssertionError(event)

    def dispatch(self, event: str, /, *args: object, **options: object) -> None:
        if event in _NOTED:
            self.seen.put_nowait((event, args))
        super().dispatch(event, *args, **options)

    async def saw(self, event: str) -> Any:
        """Wait for an event; those before it are skipped."""
        while True:
            name, what = await self.seen.get()
            if name == event:
                return what


async def _defer(interaction: Interaction) -> None:
    await interaction.response.defer(thinking=True)


@contextmanager
def pointed_at(loopback: LoopbackDiscord) -> Iterator[None]:
    """Send every client of this process to a loopback that has started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Route, "BASE", loopback.api_url)
        patch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(loopback.gateway_url))
        yield


@asynccontextmanager
async def online(bot: discord.Client, loopback: LoopbackDiscord) -> AsyncIterator[None]:
    """Log a bot in and wait until it is ready; log it out at the end."""
    running = asyncio.create_task(bot.start(loopback.token))
    ready = asyncio.create_task(loopback.wait_ready())
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield
    finally:
        ready.cancel()
        await bot.close()
        await asyncio.gather(running, ready, return_exceptions=True)


@asynccontextmanager
async def running(
    loopback: LoopbackDiscord,
    *,
    intents: discord.Intents | None = None,
    heartbeat_timeout: float = 60.0,
) -> AsyncIterator[Bot]:
    """A bot that is logged in, synced and ready."""
    bot = Bot(intents=intents, heartbeat_timeout=heartbeat_timeout)
    async with online(bot, loopback):
        yield bot


class Api:
    """Plain requests, for what discord.py would never send."""

    def __init__(self, session: aiohttp.ClientSession, loopback: LoopbackDiscord) -> None:
        self._session = session
        self._loopback = loopback

    async def __call__(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> Answer:
        """Status and JSON body (None without one) of a request below /api/v10."""
        headers = {"Authorization": f"Bot {token or self._loopback.token}"}
        url = self._loopback.api_url + path
        async with self._session.request(method, url, headers=headers, **options) as response:
            return response.status, await response.json() if response.status != 204 else None


class RawGateway:
    """A gateway connection without a library, to break its rules with."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, compressed: bool) -> None:
        self._socket = socket
        self._inflate = zlib.decompressobj() if compressed else None

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, loopback: LoopbackDiscord, query: str = "v=10&encoding=json"
    ) -> AsyncIterator["RawGateway"]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{loopback.gateway_url}?{query}") as socket,
        ):
            yield cls(socket, compressed="zlib" in query)

    async def send(self, op: object, data: object = None) -> None:
        await self._socket.send_json({"op": op, "d": data})

    async def send_text(self, text: str) -> None:
        await self._socket.send_str(text)

    async def identify(self, token: str, intents: int = 1, **more: object) -> None:
        properties = {"os": "linux", "browser": "test", "device": "test"}
        await self.send(2, {"token": token, "intents": intents, "properties": properties, **more})

    async def resume(self, token: str, session_id: str, seq: int) -> None:
        await self.send(6, {"token": token, "session_id": session_id, "seq": seq})

    async def receive(self) -> Json:
        data: bytes = (await self._socket.receive()).data
        if self._inflate is not None:
            assert data.endswith(b"\x00\x00\xff\xff")
            data = self._inflate.decompress(data)
        payload: Json = json.loads(data)
        return payload

    async def event(self, name: str) -> Json:
        """The next event of this name; what comes before is skipped."""
        while True:
            payload = await self.receive()
            if payload["t"] == name:
                return payload

    async def closed(self) -> int | None:
        """The code that the server closes with; what comes before is skipped."""
        async for _ in self._socket:
            pass
        return self._socket.close_code

    async def close(self, code: int) -> None:
        await self._socket.close(code=code)
