#!/usr/bin/env bash
# slack_bolt 1.30.0: `authorize` of an App, or an AsyncApp, cannot be a bound method. Bolt looks at the names of the
# function's arguments to see what it wants, finds `self` among those of a method, warns "self is not a valid argument",
# and passes it by name all the same: the call fails with a TypeError, every command and every press is answered with a
# 500, and nothing reaches a listener. A plain function, or one made inside a method, works.
#
# Seen: AsyncApp: method 500, function 200; App: method 500, function 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "slack-bolt==1.30.0" "slack-sdk==3.48.0" "aiohttp==3.14.5"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import logging

from slack_bolt import App
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request import BoltRequest
from slack_bolt.request.async_request import AsyncBoltRequest

logging.disable()
COMMAND = {"command": "/x", "team_id": "T1", "user_id": "U2", "text": "", "trigger_id": "1"}
RESULT = AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-1", bot_user_id="U1")


class Shop:
    async def later(self, team_id):
        return RESULT

    def now(self, team_id):
        return RESULT


async def function(team_id):
    return RESULT


def function_at_once(team_id):
    return RESULT


async def answered(authorize):
    app = AsyncApp(authorize=authorize, signing_secret="s")

    @app.command("/x")
    async def x(ack):
        await ack()

    request = AsyncBoltRequest(mode="socket_mode", body=COMMAND)
    return (await app.async_dispatch(request)).status


def answered_at_once(authorize):
    app = App(authorize=authorize, signing_secret="s")

    @app.command("/x")
    def x(ack):
        ack()

    return app.dispatch(BoltRequest(mode="socket_mode", body=COMMAND)).status


method = asyncio.run(answered(Shop().later))
plain = asyncio.run(answered(function))
at_once, plain_at_once = answered_at_once(Shop().now), answered_at_once(function_at_once)
print("AsyncApp: method", method, "function", plain)
print("App: method", at_once, "function", plain_at_once)
assert (method, plain, at_once, plain_at_once) == (500, 200, 500, 200), "this has changed"
PYTHON
