"""The methods of files.*, and the addresses where files are uploaded and fetched."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.files import Files
from standins.slack.messages import Draft, Messages
from standins.slack.places import writable
from standins.slack.schema import Check, fields, items, string
from standins.slack.web_api import Arguments, Method
from standins.slack.world import World

MAX_CHANNELS: Final = 100
_LISTED: Final = items(
    fields({"id": string(255)}, {"title": string(255, minimum=0), "highlight_type": string(50)}),
    100,
)
# Slack answers whoever has no token as it answers a browser, and with a 200.
_SIGN_IN: Final = "<!DOCTYPE html><title>Sign in | Slack</title><p>Sign in to your workspace"


class FileMethods:
    """Takes the bot's files in, tells of them and hands them out."""

    def __init__(
        self, world: World, files: Files, messages: Messages, changed: Callable[[], None]
    ) -> None:
        self._world = world
        self._files = files
        self._messages = messages
        self._changed = changed

    def methods(self) -> Mapping[str, Method]:
        """By name."""
        writing = ("files:write",)
        return {
            "files.getUploadURLExternal": Method(self._announce, writing),
            "files.completeUploadExternal": Method(self._complete, writing),
            "files.info": Method(self._info, ("files:read",)),
            "files.delete": Method(self._delete, writing),
        }

    def _announce(self, arguments: Arguments) -> Json:
        name, length = arguments.required("filename"), arguments.number("length")
        file, url = self._files.announce(name, length, arguments.text("alt_txt") or "")
        return {"upload_url": url, "file_id": file.id}

    def _complete(self, arguments: Arguments) -> Json:
        listed = arguments.json("files")
        if listed is None:
            raise ApiError("invalid_arguments", ["missing required field: files"])
        check = Check()
        _LISTED(check, listed, "/files")
        if check.messages:
            raise ApiError("invalid_arguments", check.messages)
        names = [
            name
            for name in (
                arguments.text("channel_id"),
                *(arguments.text("channels") or "").split(","),
            )
            if name
        ]
        if len(names) > MAX_CHANNELS:
            raise ApiError("channels_limit_exceeded")
        channels = [writable(self._world, name) for name in names]
        thread_ts = arguments.text("thread_ts")
        comment, blocks = arguments.text("initial_comment"), None
        if not comment:
            blocks = arguments.json("blocks", "invalid_blocks_format")
        content = self._messages.content(Draft(comment, blocks))
        for channel in channels:
            self._messages.check_thread(channel, thread_ts)
        files = self._files.complete([(one["id"], one.get("title")) for one in listed])
        # Slack answers before it has processed and shared them: python-slack-sdk#1575.
        told = [self._files.json(file, processed=not file.looks_left) for file in files]
        for channel in channels:
            self._messages.add(
                channel, self._world.bot_user_id, content, thread_ts=thread_ts, files=files
            )
        self._changed()
        return {"files": told}

    def _info(self, arguments: Arguments) -> Json:
        file = self._files.find(arguments.required("file"))
        processed = file.look()
        return {"file": self._files.json(file, processed=processed), "comments": []}

    def _delete(self, arguments: Arguments) -> Json:
        self._files.delete(arguments.required("file"))
        self._changed()
        return {}

    async def upload(self, request: web.Request) -> web.Response:
        """The handler of upload addresses: raw bytes or one file of a form; who has it needs no
        token.
        """
        file = self._files.awaited(request.match_info["ticket"])
        if request.content_type == "multipart/form-data":
            parts = (await request.post()).values()
            data = next((one.file.read() for one in parts if isinstance(one, web.FileField)), b"")
        else:
            data = await request.read()
        if file is None:
            return web.Response(status=404, text="not_found")
        if len(data) != file.length:
            sentence = f"expected {file.length} bytes, got {len(data)}"
            return web.Response(status=400, text=sentence)
        await asyncio.to_thread(file.fill, data)
        self._changed()
        return web.Response(text=f"OK - {len(data)}")

    async def download(self, request: web.Request, *, may_read: bool) -> web.Response:
        """The handler of files' addresses.

        may_read  whether the request carries a token that opens files
        """
        _, _, file_id = request.match_info["place"].partition("-")
        try:
            file = self._files.find(file_id) if may_read else None
        except ApiError:
            return web.Response(status=404, text="not_found")
        if file is None:
            return web.Response(text=_SIGN_IN, content_type="text/html")
        return web.Response(body=file.data, content_type=file.mimetype)
