#!/usr/bin/env bash
# slack_sdk 3.48.0: an upload says what it says in the address. `files_getUploadURLExternal`,
# `files_completeUploadExternal` and `files_upload_v2` are POST requests with an empty body, and with the alternative
# text, the titles, the comment and the channel in the query: so they stand in the access log of every proxy on the way,
# and in whatever logs addresses. Other methods (`chat_postMessage`) send a body. `api_call(method, data={...})` sends
# the same as a form, which Slack's documents name for these methods.
#
# Seen: 3 addresses with a text; api_call with data: /api/files.getUploadURLExternal
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "slack-sdk==3.48.0" "aiohttp==3.14.5"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

SECRET = "somebody's words"
seen = []


async def answer(request):
    seen.append(request.path_qs)
    if request.path == "/upload":
        return web.Response(text="OK")
    address = f"{request.url.origin()}/upload"
    file = {"id": "F1", "title": "t"}
    return web.json_response({"ok": True, "upload_url": address, "file_id": "F1", "files": [file]})


async def main():
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    client = AsyncWebClient(token="xoxb-1", base_url=base)
    method = "files.getUploadURLExternal"
    await client.files_getUploadURLExternal(filename="a.png", length=3, alt_txt=SECRET)
    await client.files_upload_v2(
        filename="a.png", content=b"abc", alt_txt=SECRET, title=SECRET, channel="C1"
    )
    told = len([one for one in seen if "somebody" in one])
    await client.api_call(method, data={"filename": "a.png", "length": "3", "alt_txt": SECRET})
    await runner.cleanup()
    print(told, "addresses with a text; api_call with data:", seen[-1])
    assert told == 3, "this has changed"
    assert seen[-1] == f"/api/{method}", "this has changed"


asyncio.run(main())
PYTHON
