#!/usr/bin/env bash
# discord.py 2.7.1 (Python 3.11) takes every 401 at login for a wrong token: LoginFailure, "Improper token
# has been passed", also where the answer is the page of a proxy or of a hotel's network, and Discord
# was never asked.
#
# Seen: a page with status 401 -> LoginFailure; its cause, an HTTPException, holds the page's text.
#
# What it means for a bot: LoginFailure alone is no reason to give up for good. Look at the cause:
# Discord's own 401 is JSON whose message begins with "401".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "discord.py==2.7.1" "aiohttp==3.14.5"
cat >"$folder/login.py" <<'PYTHON'
import asyncio

import discord
import discord.http
from aiohttp import web

PAGE = "<html><title>Please sign in</title></html>"


async def main() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, status=401, content_type="text/html")

    app = web.Application()
    app.router.add_get("/api/users/@me", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    discord.http.Route.BASE = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    client = discord.Client(intents=discord.Intents.none())
    try:
        await client.login("a.good.token")
    except discord.LoginFailure as error:
        said, cause = str(error), error.__cause__
    await client.close()
    await runner.cleanup()
    print(said, "<-", type(cause).__name__)
    assert said == "Improper token has been passed.", said
    assert isinstance(cause, discord.HTTPException) and cause.text == PAGE, cause


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/login.py"
