#!/usr/bin/env bash
# slack_sdk 3.48.0 with aiohttp 3.14.5: every call of AsyncWebClient with a client's id and secret, as `oauth_v2_access`
# makes to turn a refresh token into the next one, goes by aiohttp's BasicAuth, of which aiohttp warns that it will go
# away. Where warnings are errors the token is not renewed. The same call with an Authorization header made by hand
# (`api_call(..., headers=...)`) warns of nothing, and the server sees the same header.
#
# Seen: oauth_v2_access: DeprecationWarning; by a header: no warning; both headers alike
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "slack-sdk==3.48.0" "aiohttp==3.14.5"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import base64
import warnings

from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

seen = []


async def access(request):
    seen.append(request.headers["Authorization"])
    return web.json_response({"ok": True, "access_token": "xoxe.xoxb-2", "refresh_token": "xoxe-2"})


async def warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await call
    return sorted({one.category.__name__ for one in caught if "BasicAuth" in str(one.message)})


async def main():
    app = web.Application()
    app.router.add_post("/oauth.v2.access", access)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    client = AsyncWebClient(base_url=f"http://127.0.0.1:{port}/", retry_handlers=[])
    asked = {"grant_type": "refresh_token", "refresh_token": "xoxe-1"}
    own = await warned(client.oauth_v2_access(client_id="1.2", client_secret="3", **asked))
    header = {"Authorization": "Basic " + base64.b64encode(b"1.2:3").decode()}
    made = await warned(client.api_call("oauth.v2.access", data=asked, headers=header))
    await runner.cleanup()
    print("oauth_v2_access:", own, "by a header:", made, "alike:", len(set(seen)) == 1)
    assert (own, made, len(set(seen))) == (["DeprecationWarning"], [], 1), "this has changed"


asyncio.run(main())
PYTHON
