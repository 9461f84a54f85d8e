"""A small real app behind the page: slack_bolt over the loopback, its pace in the test's hands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.timers import ManualClock
from standins.base.wire import Json
from standins.slack.loopback import LoopbackSlack
from standins.slack.page_server import add_page
from tests.standins.slack.app import (
    APP_TOKEN,
    BOT_TOKEN,
    Inbox,
    actions,
    button,
    modal,
    plain,
    section,
    words,
)

MANIFEST: Final[Json] = {
    "features": {
        "slash_commands": [
            {"command": "/say", "description": "Repeat a text", "usage_hint": "a text"},
            {"command": "/ask", "description": "Open a form"},
            {"command": "/silent", "description": "Never answer"},
        ],
        "shortcuts": [
            {"name": "Ask", "type": "global", "callback_id": "ask", "description": "Ask"},
            {"name": "Quote", "type": "message", "callback_id": "quote", "description": "Quote"},
        ],
        "app_home": {"home_tab_enabled": True},
    },
    "settings": {
        "event_subscriptions": {
            "bot_events": ["app_home_opened", "app_mention", "message.channels", "message.im"]
        }
    },
    "oauth_config": {
        "scopes": {
            "bot": [
                "app_mentions:read",
                "channels:history",
                "channels:read",
                "chat:write",
                "commands",
                "files:read",
                "files:write",
                "im:history",
                "users:read",
            ]
        }
    },
}
SIZES: Final = [{"text": plain(name), "value": name} for name in ("small", "large")]


def choice(kind: str, **more: object) -> Json:
    return {"type": kind, "action_id": kind, **more}


def asked(element: Json, label: str, **more: object) -> Json:
    kind = element["type"]
    return {"type": "input", "block_id": kind, "label": plain(label), "element": element, **more}


FORM: Final = modal(
    section("Fill it *in*"),
    words("prompt", "prompt", multiline=True, max_length=20),
    asked(choice("static_select", options=SIZES), "Size"),
    asked(choice("radio_buttons", options=SIZES), "Shape", optional=True),
    asked(choice("multi_users_select"), "People", optional=True),
    asked(choice("checkboxes", options=SIZES), "Extras", optional=True),
    asked(choice("datepicker"), "Day", optional=True),
    asked(
        choice("conversations_select", default_to_current_conversation=True), "Where", optional=True
    ),
    asked(choice("file_input", max_files=2), "Files", optional=True, hint=plain("Two at most")),
    actions(button("inside"), block_id="inside"),
    callback_id="form",
    notify_on_close=True,
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything behind one page.

    client  of the app
    heard   what the app was told, without what is only text
    """

    slack: LoopbackSlack
    client: AsyncWebClient
    clock: ManualClock
    heard: Inbox


def listening(bolt: AsyncApp, heard: Inbox, over: asyncio.Event) -> None:
    """Everything that the app answers to; what it does not it does until it is `over`."""

    @bolt.command("/say")
    async def say(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        text = section(body["text"] or "nothing")
        row = actions(button(), button("ignored", text=plain("Ignored"), style="danger"))
        await client.chat_postMessage(
            channel=body["channel_id"], text=body["text"] or "nothing", blocks=[text, row]
        )

    @bolt.action("go")
    async def go(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        message = body["message"]
        blocks = [section("gone on"), *message["blocks"][1:]]
        await client.chat_update(
            channel=body["channel"]["id"], ts=message["ts"], text="gone on", blocks=blocks
        )

    @bolt.action("ignored")
    async def ignored() -> None:
        heard.put("ignored")
        await over.wait()

    @bolt.command("/silent")
    async def silent() -> None:
        heard.put("silent")
        await over.wait()

    @bolt.command("/ask")
    @bolt.shortcut("ask")
    async def ask(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=FORM)

    @bolt.shortcut("quote")
    async def quote(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.chat_postEphemeral(
            channel=body["channel"]["id"],
            user=body["user"]["id"],
            text=f"you chose: {body['message']['text']}",
        )

    @bolt.view("form")
    async def form(ack: AsyncAck, view: Json) -> None:
        values = view["state"]["values"]
        if values["prompt"]["prompt"]["value"] == "wrong":
            await ack(response_action="errors", errors={"prompt": "That is wrong."})
            return
        await ack()
        heard.put(values)

    @bolt.view_closed("form")
    async def closed(ack: AsyncAck) -> None:
        await ack()
        heard.put("closed")

    @bolt.action("inside")
    async def inside(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        more = {**FORM, "blocks": [section("pressed inside"), *FORM["blocks"][1:]]}
        await client.views_update(view_id=body["view"]["id"], view=more)

    @bolt.event("app_mention")
    async def mentioned(event: Json, client: AsyncWebClient) -> None:
        heard.put(event["text"])
        await client.chat_postMessage(
            channel=event["channel"], thread_ts=event.get("thread_ts", event["ts"]), text="here"
        )

    @bolt.event("app_home_opened")
    async def opened(event: Json, client: AsyncWebClient) -> None:
        blocks = [section("your *home*"), actions(button("in_home"))]
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    @bolt.action("in_home")
    async def in_home(ack: AsyncAck) -> None:
        await ack()
        heard.put("home")

    @bolt.event("message")
    async def ignore() -> None:
        """Whatever else is said."""


@asynccontextmanager
async def running_workspace() -> AsyncIterator[Workspace]:
    """A loopback with the page, and the app connected to it.

    The clock stands still, so no deadline passes on a slow machine unless a test moves it.
    """
    clock = ManualClock()
    slack = LoopbackSlack(clock=clock, rate_limits=False)
    slack.world.install(MANIFEST)
    add_page(slack)
    await slack.start()
    heard = Inbox()
    client: Any = AsyncWebClient(BOT_TOKEN, base_url=slack.api_url, retry_handlers=[])
    bolt = AsyncApp(client=client)
    over = asyncio.Event()
    listening(bolt, heard, over)
    handler = AsyncSocketModeHandler(bolt, APP_TOKEN)
    try:
        await handler.connect_async()
        await slack.wait_connected()
        yield Workspace(slack, client, clock, heard)
    finally:
        over.set()
        await handler.close_async()
        await slack.close()
