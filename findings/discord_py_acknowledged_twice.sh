#!/usr/bin/env bash
# discord.py 2.7.1 (Python 3.11) acknowledges an interaction again by itself when the first answer is a
# 502, as a gateway in front of Discord gives it though Discord acted. Discord then says 40060, "already
# been acknowledged", and that is what the caller gets: an error that reads as if somebody else had been
# quicker, for an acknowledgement of its own that worked.
#
# Seen: 2 requests, HTTPException with code 40060.
#
# What it means for a bot: whoever takes 40060 for "another process has it" leaves people with
# "thinking..." for ever. Count the requests, by `http_trace` of the client, to tell the two apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "discord.py==2.7.1" "aiohttp==3.14.5"
cat >"$folder/twice.py" <<'PYTHON'
import asyncio

import aiohttp
import discord
from aiohttp import web
from discord.webhook import async_


async def main() -> None:
    acknowledged = 0

    async def callback(_: web.Request) -> web.Response:
        nonlocal acknowledged
        acknowledged += 1
        if acknowledged == 1:  # done, and then the answer is lost on its way
            return web.Response(text="<html>Bad Gateway</html>", status=502, content_type="text/html")
        body = b'{"message": "Interaction has already been acknowledged.", "code": 40060}'
        return web.Response(body=body, status=400, content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/interactions/1/token/callback", callback)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    discord.http.Route.BASE = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    async with aiohttp.ClientSession() as session:
        try:
            await async_.AsyncWebhookAdapter().create_interaction_response(
                1, "token", session=session, params=async_.interaction_response_params(type=5)
            )
        except discord.HTTPException as error:
            code = error.code
    await runner.cleanup()
    print(acknowledged, code)
    assert (acknowledged, code) == (2, 40060), (acknowledged, code)


async def at_once(_: float) -> None:
    """In the place of its wait of a second."""


class Hasty:
    def __getattr__(self, name: str) -> object:
        return at_once if name == "sleep" else getattr(asyncio, name)


async_.asyncio = Hasty()
asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/twice.py"
