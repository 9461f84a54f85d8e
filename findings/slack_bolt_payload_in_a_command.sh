#!/usr/bin/env bash
# slack_bolt 1.30.0, HTTP mode: a slash command in which somebody writes the word "payload" is lost. Bolt takes a form
# for an interaction's as soon as that word stands anywhere in it, finds no field of that name, and goes on with an empty
# body: no listener matches, and whoever typed it is told that the app did not respond. In Socket Mode, where the body
# comes parsed, the same command is heard.
#
# Seen: "a rocket" heard, 200; "a rocket with its payload" not heard, 404; over Socket Mode heard, 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "slack-bolt==1.30.0" "slack-sdk==3.48.0"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import time
from urllib.parse import urlencode

from slack_bolt import App
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request import BoltRequest
from slack_sdk.signature import SignatureVerifier

logging.disable()
RESULT = AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-1", bot_user_id="U1")
heard = []
app = App(authorize=lambda team_id: RESULT, signing_secret="s", process_before_response=True)


@app.command("/draw")
def draw(ack, command):
    heard.append(command["text"])
    ack()


def command(text):
    return {"command": "/draw", "team_id": "T1", "user_id": "U2", "trigger_id": "1", "text": text}


def sent(text):
    body, now = urlencode(command(text)), str(int(time.time()))
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": now,
        "x-slack-signature": SignatureVerifier("s").generate_signature(timestamp=now, body=body),
    }
    return app.dispatch(BoltRequest(body=body, headers=headers)).status


def told(text):
    return app.dispatch(BoltRequest(mode="socket_mode", body=command(text))).status


answers = sent("a rocket"), sent("a rocket with its payload"), told("a rocket with its payload")
print("heard", heard, "answers", answers)
assert answers == (200, 404, 200), "this has changed"
assert heard == ["a rocket", "a rocket with its payload"], "this has changed"
PYTHON
