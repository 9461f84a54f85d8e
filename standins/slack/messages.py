"""The messages of all channels, and who may write, change and see them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from standins.base.wire import Json
from standins.slack.blocks import check_message_blocks
from standins.slack.errors import ApiError
from standins.slack.files import File, Files
from standins.slack.schema import Check
from standins.slack.world import Channel, World

MAX_TEXT: Final = 40_000  # what is longer is cut off
MAX_UPDATE_TEXT: Final = 4_000
MAX_ATTACHMENTS: Final = 100
MAX_METADATA_CHARS: Final = 8_000


@dataclass(slots=True)
class Draft:
    """What the app would say, as it sent it; None where nothing was given."""

    text: object = None
    blocks: object = None
    attachments: object = None
    metadata: object = None


@dataclass(slots=True)
class Content:
    """What is said: a draft that holds to Slack's rules."""

    text: str | None = None
    blocks: list[Json] | None = None
    attachments: list[Json] | None = None
    metadata: Json | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see in it."""
        return not ((self.text or "").strip() or self.blocks or self.attachments)


@dataclass(slots=True, eq=False)
class Message:
    """One message.

    viewer_id  the only person who sees it, of an ephemeral one
    thread_ts  of a reply, its parent
    """

    channel: Channel
    ts: str
    user_id: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    files: list[File] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    viewer_id: str | None = None
    edited_ts: str | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)


class Messages:
    """All messages.

    changed  is called after every change
    """

    def __init__(self, world: World, files: Files, changed: Callable[[], None]) -> None:
        self._world = world
        self._files = files
        self._changed = changed
        self._messages: dict[tuple[str, str], Message] = {}

    def content(self, draft: Draft) -> Content:
        """The draft, with the ids that Slack adds; raises ApiError."""
        blocks: list[Json] | None = None
        if draft.text is not None and not isinstance(draft.text, str):
            raise ApiError("invalid_arguments", ["must provide a string [json-pointer:/text]"])
        if draft.blocks is not None:
            if not isinstance(draft.blocks, list):
                raise ApiError("invalid_blocks_format")
            check = Check(self._files.may_be_shown, self._world.missing_blocks)
            blocks = check_message_blocks(draft.blocks, check)
        text = None if draft.text is None else draft.text[:MAX_TEXT]
        return Content(text, blocks, _attachments(draft.attachments), _metadata(draft.metadata))

    def add(
        self,
        channel: Channel,
        user_id: str,
        content: Content,
        *,
        thread_ts: str | None = None,
        broadcast: bool = False,
        viewer_id: str | None = None,
        files: Sequence[File] = (),
    ) -> Message:
        """Say it; raises ApiError."""
        parent = None if thread_ts is None else self._parent(channel, thread_ts)
        if content.is_empty and not files:
            raise ApiError("no_text")
        message = Message(
            channel,
            self._world.new_ts(),
            user_id,
            content.text or "",
            content.blocks or [],
            content.attachments or [],
            content.metadata,
            list(files),
            None if parent is None else parent.ts,
            broadcast,
            viewer_id,
        )
        self._messages[channel.id, message.ts] = message
        if viewer_id is None:
            for file in files:
                file.shares.setdefault(channel.id, []).append(message.ts)
        self._changed()
        return message

    def change(self, message: Message, content: Content) -> None:
        """Say it anew; what the content leaves open stays. Raises ApiError."""
        new = Content(
            message.text if content.text is None else content.text,
            message.blocks if content.blocks is None else content.blocks,
            message.attachments if content.attachments is None else content.attachments,
            message.metadata if content.metadata is None else content.metadata,
        )
        untouched = content.text is None and content.blocks is None and content.attachments is None
        if untouched or (new.is_empty and not message.files):
            raise ApiError("no_text")
        message.text, message.blocks = new.text or "", new.blocks or []
        message.attachments, message.metadata = new.attachments or [], new.metadata
        message.edited_ts = self._world.new_ts()
        self._changed()

    def delete(self, message: Message) -> None:
        """Take it away."""
        del self._messages[message.channel.id, message.ts]
        for file in message.files:
            if message.ts in file.shares.get(message.channel.id, []):
                file.shares[message.channel.id].remove(message.ts)
        self._changed()

    def find(self, channel_id: str, ts: str) -> Message | None:
        """The message, None when there is none."""
        return self._messages.get((channel_id, ts))

    def of(self, channel: Channel) -> list[Message]:
        """All of a channel, oldest first."""
        return [one for one in self._messages.values() if one.channel is channel]

    def replies(self, parent: Message) -> list[Message]:
        """What was said in its thread, oldest first."""
        return [one for one in self.of(parent.channel) if one.thread_ts == parent.ts]

    def check_thread(self, channel: Channel, thread_ts: str | None) -> None:
        """Raise ApiError where there is no such thread."""
        if thread_ts is not None:
            self._parent(channel, thread_ts)

    def find_ts(self, ts: str) -> Message | None:
        """The message of this time in whatever channel, for no two have one."""
        return next((one for one in self._messages.values() if one.ts == ts), None)

    def _parent(self, channel: Channel, thread_ts: str) -> Message:
        parent = self.find(channel.id, thread_ts)
        if parent is None or parent.viewer_id is not None:
            raise ApiError("thread_not_found")
        if parent.thread_ts is None:
            return parent
        return self._parent(channel, parent.thread_ts)

    def json(self, message: Message, *, metadata: bool = True) -> Json:
        """The message object."""
        world = self._world
        told: Json = {
            "type": "message",
            "user": message.user_id,
            "text": message.text,
            "ts": message.ts,
            "team": world.people[message.user_id].team_id,
        }
        if message.user_id == world.bot_user_id:
            told["team"] = world.team(message.channel.team_id).id
            told |= {"bot_id": world.bot_id, "app_id": world.app_id}
            told["bot_profile"] = {
                "id": world.bot_id,
                "app_id": world.app_id,
                "name": world.bot.name,
            }
        if message.blocks:
            told["blocks"] = message.blocks
        if message.attachments:
            told["attachments"] = message.attachments
        if metadata and message.metadata is not None:
            told["metadata"] = message.metadata
        if message.files:
            told["files"] = [self._files.json(file) for file in message.files]
        if message.edited_ts is not None:
            told["edited"] = {"user": message.user_id, "ts": message.edited_ts}
        if message.reactions:
            told["reactions"] = [
                {"name": name, "users": list(users), "count": len(users)}
                for name, users in message.reactions.items()
            ]
        return told | self._thread_json(message)

    def _thread_json(self, message: Message) -> Json:
        if message.thread_ts is not None:
            parent = self.find(message.channel.id, message.thread_ts)
            told: Json = {"thread_ts": message.thread_ts}
            if parent is not None:
                told["parent_user_id"] = parent.user_id
            if message.broadcast:
                told["subtype"] = "thread_broadcast"
            return told
        replies = [one for one in self.replies(message) if one.viewer_id is None]
        if not replies:
            return {}
        users = list(dict.fromkeys(reply.user_id for reply in replies))
        return {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users_count": len(users),
            "latest_reply": replies[-1].ts,
            "reply_users": users,
        }

    def react(self, message: Message, name: str, user_id: str) -> None:
        """Put an emoji below it; raises ApiError."""
        users = message.reactions.setdefault(name, [])
        if user_id in users:
            raise ApiError("already_reacted")
        users.append(user_id)
        self._changed()


def _attachments(attachments: object) -> list[Json] | None:
    if attachments is None:
        return None
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise ApiError("invalid_attachments")
    if len(attachments) > MAX_ATTACHMENTS:
        raise ApiError("too_many_attachments")
    return attachments


def _metadata(metadata: object) -> Json | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or set(metadata) != {"event_type", "event_payload"}:
        raise ApiError("invalid_metadata_format")
    kind = metadata["event_type"]
    if not isinstance(kind, str) or not kind or not isinstance(metadata["event_payload"], dict):
        raise ApiError("invalid_metadata_format")
    if len(json.dumps(metadata)) > MAX_METADATA_CHARS:
        raise ApiError("metadata_too_large")
    return metadata
