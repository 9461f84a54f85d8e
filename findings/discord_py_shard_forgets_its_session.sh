#!/usr/bin/env bash
# discord.py 2.7.1 (Python 3.11), AutoShardedClient: a shard whose connection breaks asks for its session again at the
# first try only. Where that try fails, as while the gateway restarts, the next one begins another session, and what
# was told meanwhile is never heard. Client asks for its session at the next try too, and hears it.
#
# Seen, at a gateway that closes the first connection (4000), answers the second try with 502, and tells what was missed
# to whoever resumes, as Discord does:
#   Client: IDENTIFY refused RESUME meanwhile
#   AutoShardedClient: IDENTIFY refused IDENTIFY nothing
#
# What it means for a bot: with shards, messages of a short outage are lost that a Client would have heard. Fetch what
# matters whenever a session has begun.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "discord.py==2.7.1" "aiohttp==3.14.5"
cat >"$folder/session.py" <<'PYTHON'
import asyncio
import json
import logging

import discord
import discord.http
import yarl
from aiohttp import WSMsgType, web
from discord.gateway import DiscordWebSocket

logging.getLogger("discord").setLevel(logging.CRITICAL)
BOT = {"id": "1", "username": "bot", "discriminator": "0000", "avatar": None, "bot": True}
APP = {
    "id": "1", "flags": 0, "name": "bot", "description": "", "icon": None, "rpc_origins": [],
    "bot_public": True, "bot_require_code_grant": False, "summary": "", "verify_key": "", "owner": BOT,
}  # fmt: skip
USER = {"id": "7", "username": "ada", "discriminator": "0", "avatar": None, "global_name": None}
MESSAGE = {
    "id": "9", "channel_id": "8", "author": USER, "content": "meanwhile", "type": 0, "pinned": False,
    "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False,
    "mention_everyone": False, "mentions": [], "mention_roles": [], "attachments": [], "embeds": [],
    "flags": 0,
}  # fmt: skip


class Gateway:
    """Ends its first connection, refuses the second, and has a message to tell by then."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.again = asyncio.Event()

    async def about(self, request: web.Request) -> web.Response:
        body = json.dumps(APP if "applications" in request.path else BOT).encode()
        return web.Response(body=body, content_type="application/json")

    async def connect(self, request: web.Request) -> web.StreamResponse:
        if len(self.seen) == 1:
            self.seen.append("refused")
            raise web.HTTPBadGateway
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 40_000}})
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            match message.json()["op"]:
                case 1:
                    await socket.send_json({"op": 11})
                case 2:
                    self.seen.append("IDENTIFY")
                    await socket.send_json({"op": 0, "t": "READY", "s": 1, "d": self._ready()})
                    if len(self.seen) == 1:
                        await socket.close(code=4000)
                    else:
                        self.again.set()
                case 6:
                    self.seen.append("RESUME")
                    await socket.send_json({"op": 0, "t": "MESSAGE_CREATE", "s": 2, "d": MESSAGE})
                    await socket.send_json({"op": 0, "t": "RESUMED", "s": 3, "d": {}})
                    self.again.set()
        return socket

    def _ready(self) -> dict[str, object]:
        return {
            "v": 10, "user": BOT, "guilds": [], "session_id": "session", "application": APP,
            "shard": [0, 1], "resume_gateway_url": str(DiscordWebSocket.DEFAULT_GATEWAY),
        }  # fmt: skip


async def outage(client: discord.Client) -> list[str]:
    """What a client's gateway saw, and what the client heard at last."""
    gateway, heard = Gateway(), []
    app = web.Application()
    app.router.add_get("/api/users/@me", gateway.about)
    app.router.add_get("/api/oauth2/applications/@me", gateway.about)
    app.router.add_get("/gateway", gateway.connect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    discord.http.Route.BASE = f"http://127.0.0.1:{port}/api"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://127.0.0.1:{port}/gateway")

    @client.event
    async def on_message(message: discord.Message) -> None:
        heard.append(message.content)

    running = asyncio.create_task(client.start("a.good.token"))
    back = asyncio.create_task(gateway.again.wait())
    await asyncio.wait([running, back], timeout=60, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(1)  # what was sent arrives
    await client.close()
    await running
    await runner.cleanup()
    return [*gateway.seen, *(heard or ["nothing"])]


async def main() -> None:
    plain = await outage(discord.Client(intents=discord.Intents.all(), max_messages=None))
    shards = await outage(
        discord.AutoShardedClient(intents=discord.Intents.all(), shard_count=1, max_messages=None)
    )
    print("Client:", *plain)
    print("AutoShardedClient:", *shards)
    assert plain == ["IDENTIFY", "refused", "RESUME", "meanwhile"], plain
    assert shards == ["IDENTIFY", "refused", "IDENTIFY", "nothing"], shards


asyncio.run(main())
PYTHON
timeout 200 "$folder/venv/bin/python" "$folder/session.py"
