#!/usr/bin/env bash
# discord.py 2.7.1 (Python 3.11) asks again by itself after a 500, 502, 504 or 524, five times in all, and
# not after a 503: that one is raised at the first answer. "It retries 5xx" is what one remembers, and a
# bot that relies on it is knocked over by the very status that means "come again later".
#
# Seen: 500 -> 5 requests, 502 -> 5, 503 -> 1, 504 -> 5.
#
# What it means for a bot: the retries around discord.py must count 503 as passing themselves.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "discord.py==2.7.1" "aiohttp==3.14.5"
cat >"$folder/count.py" <<'PYTHON'
import asyncio

import discord
import discord.http
from aiohttp import web


async def requests_of(status: int) -> int:
    seen = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        return web.json_response({"message": "no", "code": 0}, status=status)

    app = web.Application()
    app.router.add_get("/api/users/@me", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    discord.http.Route.BASE = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    client = discord.Client(intents=discord.Intents.none())
    try:
        await client.login("any")
    except discord.HTTPException as error:
        assert error.status == status
    await client.close()
    await runner.cleanup()
    return seen


async def main() -> None:
    seen = [await requests_of(status) for status in (500, 502, 503, 504)]
    print(seen)
    assert seen == [5, 5, 1, 5], seen


async def at_once(_: float) -> None:
    """In the place of its waits of 1, 3, 5, 7 and 9 seconds."""


class Hasty:
    def __getattr__(self, name: str) -> object:
        return at_once if name == "sleep" else getattr(asyncio, name)


discord.http.asyncio = Hasty()
asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/count.py"
