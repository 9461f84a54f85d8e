"""The messages in the channels and their files: kept, changed, shown, told to the bot."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import quote

from standins.base.events import ChannelEvent, EventHub, EventKind
from standins.base.wire import Json
from standins.discord.components import (
    IS_COMPONENTS_V2,
    attachments_in,
    is_components_v2,
    shown,
    text_of,
)
from standins.discord.errors import ApiError, FormErrors, Refusal
from standins.discord.forms import Form, Upload
from standins.discord.places import check_writable
from standins.discord.rules import (
    EPHEMERAL,
    LOADING,
    MAX_ATTACHMENTS,
    SUPPRESS_EMBEDS,
    SUPPRESS_NOTIFICATIONS,
    check_message,
    check_not_empty,
    mentions,
)
from standins.discord.wire import snowflake, timestamp
from standins.discord.world import VIEW_CHANNEL, Channel, Person, World

MAX_MESSAGES_A_CHANNEL: Final = 500
MAX_FILE_BYTES: Final = 256 * 2**20

GUILDS: Final = 1 << 0
GUILD_MESSAGES: Final = 1 << 9
DIRECT_MESSAGES: Final = 1 << 12
MESSAGE_CONTENT: Final = 1 << 15

_CONTENT_FIELDS: Final = {"content": "", "embeds": [], "attachments": [], "components": []}

_SETTABLE_FLAGS: Final = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | IS_COMPONENTS_V2

DEFAULT, REPLY, CHAT_INPUT_COMMAND, CONTEXT_MENU_COMMAND = 0, 19, 20, 23


class Dispatch(Protocol):
    """Sends an event to the bot's sessions."""

    def __call__(
        self, event: str, data: Json, *, intents: int = 0, plain: Json | None = None
    ) -> None:
        """Send `data` to sessions with one of `intents` (0: to all).

        plain  what a session without the privileged message content gets instead
        """


@dataclass(slots=True, eq=False)
class Message:
    """One message.

    json       as everybody (or its one viewer) sees it
    files      its attachments, also those that `json` leaves out because components show them
    viewer_id  of an ephemeral one the only person who sees it
    on_change  called after each change and with True after the deletion
    """

    json: Json
    channel_id: int
    viewer_id: int | None = None
    files: list[Json] = field(default_factory=list)
    on_change: list[Callable[["Message", bool], None]] = field(default_factory=list)

    @property
    def id(self) -> int:
        """Its snowflake."""
        return int(self.json["id"])

    @property
    def author_id(self) -> int:
        """Who wrote it."""
        return int(self.json["author"]["id"])

    @property
    def loading(self) -> bool:
        """Whether it is only "Imagine is thinking..."."""
        return bool(self.json["flags"] & LOADING)

    def snapshot(self) -> Json:
        """Its JSON now; later changes do not touch it."""
        return copy.deepcopy(self.json)


class Messages:
    """All messages of the world.

    Whatever is done here is published to the people (`hub`) and dispatched to the bot.

    max_file_bytes  of all files together; beyond it the oldest files go
    """

    def __init__(
        self,
        world: World,
        hub: EventHub,
        dispatch: Dispatch,
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._world = world
        self._hub = hub
        self._dispatch = dispatch
        self._channels: dict[int, OrderedDict[int, Message]] = {}
        self._files: OrderedDict[int, Upload] = OrderedDict()
        self._file_bytes = 0
        self._max_file_bytes = max_file_bytes

    def find(self, message_id: int) -> Message | None:
        """The message wherever it is."""
        for messages in self._channels.values():
            if message_id in messages:
                return messages[message_id]
        return None

    def get(self, channel_id: int, message_id: int) -> Message:
        """The message as the bot may fetch it; raises ApiError 10008."""
        message = self._in(channel_id).get(message_id)
        if message is None or message.viewer_id is not None:
            raise ApiError(Refusal.UNKNOWN_MESSAGE)
        return message

    def history(self, channel_id: int, viewer_id: int | None = None) -> list[Json]:
        """What a person (None: the bot) sees in a channel, oldest first."""
        return [
            message.snapshot()
            for message in self._in(channel_id).values()
            if message.viewer_id in {None, viewer_id}
        ]

    def file(self, attachment_id: int) -> Upload | None:
        """A stored file, None if it never was or is gone."""
        return self._files.get(attachment_id)

    def create(
        self,
        channel: Channel,
        author: Person,
        form: Form,
        *,
        viewer_id: int | None = None,
        extra: Mapping[str, object] | None = None,
        loading: bool = False,
    ) -> Message:
        """A new message; raises ApiError.

        viewer_id  makes it ephemeral
        extra      more members of its JSON, such as `interaction_metadata`
        loading    it is a "thinking" one, so it may be empty
        """
        payload = form.payload
        if channel.id not in self._world.channels:  # it went before an answer came
            raise ApiError(Refusal.UNKNOWN_CHANNEL)
        check_message(payload, {})
        is_archived = viewer_id is None and check_writable(
            channel, self._permissions(channel, author), is_new=True
        )
        flags = (payload.get("flags") or 0) & _SETTABLE_FLAGS
        flags |= (LOADING if loading else 0) | (EPHEMERAL if viewer_id is not None else 0)
        message = Message(
            {
                "id": str(self._world.snowflakes.new()),
                "channel_id": str(channel.id),
                "type": DEFAULT,
                "content": "",
                "author": self._world.user_json(author),
                "timestamp": timestamp(),
                "edited_timestamp": None,
                "tts": bool(payload.get("tts")),
                "pinned": False,
                "mentions": [],
                "mention_roles": [],
                "mention_everyone": False,
                "attachments": [],
                "embeds": [],
                "components": [],
                **(extra or {}),
                "flags": flags,
            },
            channel.id,
            viewer_id,
        )
        if payload.get("nonce") is not None:
            message.json["nonce"] = payload["nonce"]
        changed, files, new = self._filled(message, form)
        changed |= self._pings(changed, channel, author, form)
        if not loading:
            check_not_empty(changed)
        if is_archived:
            channel.archived = False
            self._dispatch("THREAD_UPDATE", self._world.channel_json(channel), intents=GUILDS)
        self._keep(message, changed, files, new)
        channel.last_message_id = message.id
        in_channel = self._in(channel.id)
        in_channel[message.id] = message
        self._tell("message_create", message)
        while len(in_channel) > MAX_MESSAGES_A_CHANNEL:
            self._drop_files(next(iter(in_channel.values())))
            in_channel.popitem(last=False)
        return message

    def edit(self, message: Message, channel: Channel, author: Person, form: Form) -> Message:
        """Change what the form names and nothing else; raises ApiError."""
        check_message(form.payload, message.json)
        if message.viewer_id is None:
            check_writable(channel, self._permissions(channel, author), is_new=False)
        changed, files, new = self._filled(message, form)
        is_v2 = is_components_v2(changed)
        # Whom it pings is read anew with its text, and only then.
        if ("components" if is_v2 else "content") in form.payload:
            changed |= self._pings(changed, channel, author, form)
        flags = form.payload.get("flags")
        if flags is not None:
            changed["flags"] = changed["flags"] & ~SUPPRESS_EMBEDS | flags & SUPPRESS_EMBEDS
        changed["flags"] &= ~LOADING
        changed["edited_timestamp"] = timestamp()
        check_not_empty(changed)
        self._keep(message, changed, files, new)
        self._tell("message_update", message)
        return message

    def delete(self, message: Message) -> None:
        """Take it away, with its files."""
        self._take_away(message)
        self._tell("message_delete", message)

    def delete_together(self, channel: Channel, messages: Sequence[Message]) -> None:
        """Take many away at once; the bot hears of all of them in one event."""
        for message in messages:
            self._take_away(message)
            self._show("message_delete", message)
        if self._world.bot_permissions(channel) & VIEW_CHANNEL:
            ids = [str(message.id) for message in messages]
            data = {"ids": ids, "channel_id": str(channel.id)}
            guild = {"guild_id": str(self._world.guild_of(channel))}
            self._dispatch("MESSAGE_DELETE_BULK", data | guild, intents=GUILD_MESSAGES)

    def forget(self, channel: Channel) -> None:
        """A channel goes, and all that is in it; of single messages the bot hears nothing."""
        for message in list(self._in(channel.id).values()):
            self._take_away(message)
            self._show("message_delete", message)
        del self._channels[channel.id]

    def attach(self, channel_id: int, upload: Upload) -> Json:
        """Store a file and return its attachment object."""
        attachment_id = self._world.snowflakes.new()
        self._store(attachment_id, upload)
        return self._attachment_json(channel_id, attachment_id, upload, {})

    def _take_away(self, message: Message) -> None:
        self._in(message.channel_id).pop(message.id, None)
        self._drop_files(message)

    def _in(self, channel_id: int) -> OrderedDict[int, Message]:
        return self._channels.setdefault(channel_id, OrderedDict())

    def _permissions(self, channel: Channel, author: Person) -> int:
        world = self._world
        by_bot = author is world.bot
        return world.bot_permissions(channel) if by_bot else world.permissions(author, channel)

    def _pings(self, message: Json, channel: Channel, author: Person, form: Form) -> Json:
        """Whom the message pings now."""
        world, permissions = self._world, self._permissions(channel, author)
        allowed, replied_to = (
            form.payload.get("allowed_mentions"),
            message.get("referenced_message"),
        )
        return mentions(text_of(message), allowed, world, permissions, replied_to)

    def _filled(self, message: Message, form: Form) -> tuple[Json, list[Json], dict[int, Upload]]:
        """The message's JSON with the form's content in it, its files, and the new ones by id."""
        payload, changed = form.payload, message.snapshot()
        if is_components_v2(changed, payload):
            changed["flags"] |= IS_COMPONENTS_V2
        if "content" in payload:
            changed["content"] = (payload["content"] or "").strip()
        files, named, new = self._attachments(message, form)
        if "embeds" in payload:
            urls = {one["filename"]: one["url"] for one in files}
            changed["embeds"] = [_embed_json(embed, urls) for embed in payload["embeds"] or []]
        if "components" in payload:
            components = payload["components"] or []
            changed["components"] = shown(components, named, self._world.snowflakes)
        taken = attachments_in(changed["components"])
        changed["attachments"] = [one for one in files if one["id"] not in taken]
        return changed, files, new

    def _attachments(
        self, message: Message, form: Form
    ) -> tuple[list[Json], dict[str, Json], dict[int, Upload]]:
        """All files, those that `attachment://` reaches by their names, and the new ones by id."""
        present = {int(one["id"]): one for one in message.files}
        listed = form.payload.get("attachments")
        if listed is None:
            listed = [*present.values(), *({"id": at} for at in form.uploads)]
        elif missing := form.uploads.keys() - {snowflake(item["id"]) for item in listed}:
            listed = [*listed, *({"id": at} for at in sorted(missing))]
        if len(listed) > MAX_ATTACHMENTS:
            raise ApiError(Refusal.TOO_MANY_ATTACHMENTS)
        result: list[Json] = []
        named: dict[str, Json] = {}
        new: dict[int, Upload] = {}
        errors = FormErrors()
        for place, item in enumerate(listed):
            reference = snowflake(item["id"])
            if reference in form.uploads:
                upload = form.uploads[reference]
                attachment_id = self._world.snowflakes.new()
                new[attachment_id] = upload
                one = self._attachment_json(message.channel_id, attachment_id, upload, item)
            elif reference in present:
                one = present[reference]
            else:
                sentence = "Attachment data cannot be found"
                errors.add(("attachments", place, "id"), "ATTACHMENT_NOT_FOUND", sentence)
                continue
            if message.viewer_id is not None:
                one["ephemeral"] = True
            result.append(one)
            # A kept file that is listed without its name is kept, but not found by its name.
            if reference in form.uploads or item.get("filename"):
                named[one["filename"]] = one
        errors.check()
        return result, named, new

    def _attachment_json(
        self, channel_id: int, attachment_id: int, upload: Upload, item: Json
    ) -> Json:
        path = f"/attachments/{channel_id}/{attachment_id}/{quote(upload.filename)}"
        attachment: Json = {
            "id": str(attachment_id),
            "filename": upload.filename,
            "size": len(upload.data),
            "url": self._world.base_url + path,
            "proxy_url": self._world.base_url + path,
            "content_type": upload.content_type,
        }
        if upload.width_px is not None:
            attachment |= {"width": upload.width_px, "height": upload.height_px}
        if item.get("description"):
            attachment["description"] = item["description"]
        return attachment

    def _keep(
        self, message: Message, changed: Json, files: list[Json], new: Mapping[int, Upload]
    ) -> None:
        left = {one["id"] for one in files}
        for one in message.files:
            if one["id"] not in left:
                self._drop_file(int(one["id"]))
        for attachment_id, upload in new.items():
            self._store(attachment_id, upload)
        message.json, message.files = changed, files

    def _store(self, attachment_id: int, upload: Upload) -> None:
        self._files[attachment_id] = upload
        self._file_bytes += len(upload.data)
        while self._file_bytes > self._max_file_bytes:
            self._drop_file(next(iter(self._files)))

    def _drop_files(self, message: Message) -> None:
        for one in message.files:
            self._drop_file(int(one["id"]))

    def _drop_file(self, attachment_id: int) -> None:
        upload = self._files.pop(attachment_id, None)
        self._file_bytes -= 0 if upload is None else len(upload.data)

    def _show(self, kind: EventKind, message: Message) -> Json:
        """Tell the people, and whoever waits for the message; returns what they are told."""
        deleted = kind == "message_delete"
        seen = message.snapshot()
        if deleted:
            seen = {"id": seen["id"], "channel_id": seen["channel_id"]}
        for listener in message.on_change:
            listener(message, deleted)
        self._hub.publish(ChannelEvent(kind, message.channel_id, seen, message.viewer_id))
        return seen

    def _tell(self, kind: EventKind, message: Message) -> None:
        """Tell everybody, the bot too."""
        seen = self._show(kind, message)
        channel = self._world.channels[message.channel_id]
        # An ephemeral message is its viewer's alone; the bot hears of it only in its own answers.
        readable = self._world.bot_permissions(channel) & VIEW_CHANNEL
        if message.viewer_id is not None or not readable:
            return
        guild_id, data, plain = self._world.guild_of(channel), seen, None
        if guild_id is not None:
            data = {**seen, "guild_id": str(guild_id)}
        if kind != "message_delete":
            author = self._world.people[int(seen["author"]["id"])]
            if guild_id is not None:
                data["member"] = self._world.member_json(author, with_user=False)
            pinged = any(one["id"] == str(self._world.bot.id) for one in seen["mentions"])
            # What is written to the bot itself is its own to read.
            if not author.bot and not pinged and guild_id is not None:
                plain = {**data, **copy.deepcopy(_CONTENT_FIELDS)}
        intents = DIRECT_MESSAGES if guild_id is None else GUILD_MESSAGES
        self._dispatch(kind.upper(), data, intents=intents, plain=plain)


def _embed_json(embed: Json, files: Mapping[str, str]) -> Json:
    """A rich embed as Discord shows it, with `attachment://` addresses resolved."""
    shown: Json = {"type": "rich", **{name: value for name, value in embed.items() if value}}
    for part in ("image", "thumbnail", "footer", "author"):
        picture = dict(shown.get(part) or {})
        for name in ("url", "icon_url"):
            scheme, _, filename = str(picture.get(name) or "").partition("://")
            if scheme == "attachment" and filename in files:
                picture[name] = files[filename]
        if picture:
            shown[part] = picture
    if "fields" in shown:
        shown["fields"] = [{"inline": False, **item} for item in shown["fields"]]
    return shown
