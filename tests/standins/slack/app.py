"""The app that tests run, and what they ask of it."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import LoopbackSlack, View

BOT_TOKEN, APP_TOKEN = "xoxb-loopback", "xapp-loopback"
IMAGINE, GALLERY, ELSEWHERE = "C0IMAGINE1", "C0GALLERY1", "C0ELSEWHERE"
PRIVATE, MOD_LOG, ARCHIVED, ANNOUNCE = "G0PRIVATE1", "G0MODLOG01", "C0ARCHIVED", "C0ANNOUNCE"
ADA, BEN, CLEO, MIA = "U0ADA00001", "U0BEN00001", "U0CLEO0001", "U0MIA00001"
GUEST, STRANGER, BOT = "U0GUEST001", "U0STRANGE1", "U0LOOPBOT1"

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000002000000030802000000368849d6"
    "0000000b49444154789c6360c0040000150001a5f645400000000049454e44ae426082"
)


@dataclass
class App:
    bolt: AsyncApp
    handler: AsyncSocketModeHandler


class refused:  # noqa: N801 - it reads as pytest.raises
    """The call in it is answered with this error, and with all of these messages."""

    def __init__(self, error: str, *messages: str, **more: object) -> None:
        self._error, self._messages, self._more = error, messages, more
        self._raises = pytest.raises(SlackApiError)

    def __enter__(self) -> None:
        self._caught = self._raises.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self._raises.__exit__(kind, error, trace)
        body: Any = self._caught.value.response.data
        assert body["error"] == self._error
        told = body.get("response_metadata", {}).get("messages", [])
        if self._messages:
            assert told == [f"[ERROR] {message}" for message in self._messages]
        assert body.items() >= self._more.items()
        return True


class Inbox:
    """What the app's listeners were given, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, one: object) -> None:
        self._queue.put_nowait(one)

    async def get(self) -> Any:
        return await self._queue.get()

    @property
    def empty(self) -> bool:
        return self._queue.empty()


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def button(action_id: str = "go", **more: object) -> Json:
    return {"type": "button", "text": plain("Go"), "action_id": action_id, **more}


def actions(*elements: Json, **more: object) -> Json:
    return {"type": "actions", "elements": list(elements), **more}


def section(text: str = "hello", **more: object) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def image(**more: object) -> Json:
    return {"type": "image", "alt_text": "a cat", **more}


def modal(*blocks: Json, **more: object) -> Json:
    return {
        "type": "modal",
        "title": plain("A title"),
        "submit": plain("Send"),
        "blocks": list(blocks) or [section()],
        **more,
    }


def words(action_id: str = "words", block_id: str = "words-block", **more: object) -> Json:
    element = {"type": "plain_text_input", "action_id": action_id, **more}
    return {"type": "input", "block_id": block_id, "label": plain("Words"), "element": element}


async def dialog_of(slack: LoopbackSlack, user: str) -> View:
    """The dialog before a person, as soon as there is one."""
    await slack.until(lambda: slack.view_of(user) is not None)
    view = slack.view_of(user)
    assert view is not None
    return view


async def uploaded(
    client: AsyncWebClient, data: bytes = PNG, filename: str = "a.png", **more: Any
) -> str:
    """The id of a file that was announced and uploaded."""
    announced = await client.files_getUploadURLExternal(filename=filename, length=len(data), **more)
    assert client.session is not None
    async with client.session.post(announced["upload_url"], data=data) as response:
        assert (response.status, await response.text()) == (200, f"OK - {len(data)}")
    return str(announced["file_id"])


async def completed(client: AsyncWebClient, data: bytes = PNG, **more: Any) -> str:
    """The id of a file that is processed and shared nowhere."""
    file_id = await uploaded(client, data, **more)
    await client.files_completeUploadExternal(files=[{"id": file_id}])
    info: Any = await client.files_info(file=file_id)
    while not info["file"]["mimetype"]:
        info = await client.files_info(file=file_id)
    return file_id
