"""The methods of chat.* and reactions.*."""

import re
from collections.abc import Mapping

from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.messages import MAX_UPDATE_TEXT, Content, Draft, Message, Messages
from standins.slack.places import readable, writable
from standins.slack.web_api import Arguments, Method
from standins.slack.world import World

_EMOJI = re.compile(r"[a-z0-9_+'\-]+(::skin-tone-[2-6])?")
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{6}")


class Chat:
    """Writes, changes and deletes the bot's messages."""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._messages = messages

    def methods(self) -> Mapping[str, Method]:
        """By name."""
        writing = ("chat:write",)
        return {
            "chat.postMessage": Method(self._post, writing),
            "chat.postEphemeral": Method(self._post_ephemeral, writing),
            "chat.update": Method(self._update, writing),
            "chat.delete": Method(self._delete, writing),
            "chat.getPermalink": Method(self._permalink),
            "reactions.add": Method(self._react, ("reactions:write",)),
        }

    def _post(self, arguments: Arguments) -> Json:
        channel = writable(self._world, arguments.required("channel"))
        message = self._messages.add(
            channel,
            self._world.bot_user_id,
            self._content(arguments),
            thread_ts=_thread(arguments),
            broadcast=arguments.flag("reply_broadcast"),
        )
        told = self._messages.json(message)
        return {"channel": channel.id, "ts": message.ts, "message": told}

    def _post_ephemeral(self, arguments: Arguments) -> Json:
        channel = writable(self._world, arguments.required("channel"))
        user_id = arguments.required("user")
        if user_id not in channel.member_ids:
            raise ApiError("user_not_in_channel")
        message = self._messages.add(
            channel,
            self._world.bot_user_id,
            self._content(arguments),
            thread_ts=_thread(arguments),
            viewer_id=user_id,
        )
        return {"message_ts": message.ts}

    def _update(self, arguments: Arguments) -> Json:
        message = self._own(arguments, "cant_update_message")
        if len(arguments.text("text") or "") > MAX_UPDATE_TEXT:
            raise ApiError("msg_too_long")
        self._messages.change(message, self._content(arguments))
        told = self._messages.json(message)
        return {
            "channel": message.channel.id,
            "ts": message.ts,
            "text": message.text,
            "message": told,
        }

    def _delete(self, arguments: Arguments) -> Json:
        message = self._own(arguments, "cant_delete_message")
        self._messages.delete(message)
        return {"channel": message.channel.id, "ts": message.ts}

    def _permalink(self, arguments: Arguments) -> Json:
        channel = readable(self._world, arguments.required("channel"), inside=False)
        message = self._there(channel.id, arguments.required("message_ts"))
        place = f"archives/{channel.id}/p{message.ts.replace('.', '')}"
        permalink = f"https://{self._world.team_domain}.slack.com/{place}"
        if message.thread_ts is not None:
            permalink += f"?thread_ts={message.thread_ts}&cid={channel.id}"
        return {"channel": channel.id, "permalink": permalink}

    def _react(self, arguments: Arguments) -> Json:
        name = arguments.required("name").strip(":")
        if not _EMOJI.fullmatch(name):
            raise ApiError("invalid_name")
        channel = readable(self._world, arguments.required("channel"))
        message = self._there(channel.id, arguments.required("timestamp"))
        if channel.is_archived:
            raise ApiError("is_archived")
        self._messages.react(message, name, self._world.bot_user_id)
        return {}

    def _own(self, arguments: Arguments, error: str) -> Message:
        channel = readable(self._world, arguments.required("channel"), inside=False)
        message = self._there(channel.id, arguments.required("ts"))
        if message.user_id != self._world.bot_user_id:
            raise ApiError(error)
        if channel.is_archived:
            raise ApiError("is_archived")
        return message

    def _content(self, arguments: Arguments) -> Content:
        return self._messages.content(
            Draft(
                arguments.text("text"),
                arguments.json("blocks", "invalid_blocks_format"),
                arguments.json("attachments", "invalid_attachments"),
                arguments.json("metadata", "invalid_metadata_format"),
            )
        )

    def _there(self, channel_id: str, ts: str) -> Message:
        message = self._messages.find(channel_id, ts)
        if message is None or message.viewer_id is not None:  # an ephemeral one is nowhere stored
            raise ApiError("message_not_found")
        return message


def _thread(arguments: Arguments) -> str | None:
    thread_ts = arguments.text("thread_ts")
    if thread_ts is not None and not _TS.fullmatch(thread_ts):
        raise ApiError("invalid_thread_ts", [f"{thread_ts} is not a valid thread_ts"])
    return thread_ts
