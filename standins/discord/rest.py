"""Discord's REST API, version 10: the routes.

Each handler reads its request, calls one method of the part that knows the rules, and writes the
answer down. What goes for every request is in `middleware.py`.
"""

from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from standins.base.events import ChannelEvent, EventHub
from standins.base.timers import Clock
from standins.base.wire import Json
from standins.discord.commands import CommandRegistry
from standins.discord.errors import ApiError, Refusal, form_error
from standins.discord.forms import Form, read_form, read_json
from standins.discord.interactions import Interactions
from standins.discord.messages import REPLY, Message, Messages
from standins.discord.middleware import API_PATH, json_response
from standins.discord.places import check_recipient, needed_to_write
from standins.discord.wire import snowflake
from standins.discord.world import (
    MANAGE_MESSAGES,
    READ_MESSAGE_HISTORY,
    VIEW_CHANNEL,
    Channel,
    World,
)

Routes = list[tuple[str, str, Handler]]

NONCE_LIVES_S: Final = 300.0  # "the past few minutes", by the documents
_MAX_HISTORY: Final = 100
_MAX_OWN_GUILDS: Final = 200
_MESSAGE: Final = "/channels/{channel_id}/messages/{message_id}"
_WEBHOOK: Final = "/webhooks/{application_id}/{token}"
_COMMANDS: Final = "/applications/{application_id}/commands"
_GUILD_COMMANDS: Final = "/applications/{application_id}/guilds/{guild_id}/commands"


class RestApi:
    """The routes below /api/v10, and the files."""

    def __init__(
        self,
        *,
        world: World,
        hub: EventHub,
        messages: Messages,
        interactions: Interactions,
        commands: CommandRegistry,
        gateway: Callable[[], Json],
        attachment_size_limit_bytes: int,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._nonces: dict[tuple[int, object], float] = {}  # until when each is known
        self._world = world
        self._hub = hub
        self._messages = messages
        self._interactions = interactions
        self._commands = commands
        self._gateway = gateway
        self._file_limit_bytes = attachment_size_limit_bytes

    def add_routes(self, app: web.Application) -> None:
        """Put every route on the application."""
        routes: Routes = [
            ("GET", "/users/@me", self._own_user),
            ("POST", "/users/@me/channels", self._open_direct_messages),
            ("GET", "/users/{user_id}", self._user),
            ("GET", "/applications/@me", self._application),
            ("GET", "/oauth2/applications/@me", self._application),
            ("GET", "/gateway/bot", self._gateway_address),
            ("GET", "/users/@me/guilds", self._own_guilds),
            ("GET", "/guilds/{guild_id}", self._guild),
            ("GET", "/guilds/{guild_id}/roles", self._roles),
            ("GET", "/guilds/{guild_id}/channels", self._channels),
            ("GET", "/guilds/{guild_id}/members/{user_id}", self._member),
            ("GET", "/channels/{channel_id}", self._channel),
            ("POST", "/channels/{channel_id}/typing", self._typing),
            ("GET", "/channels/{channel_id}/messages", self._history),
            ("POST", "/channels/{channel_id}/messages", self._create_message),
            ("GET", _MESSAGE, self._get_message),
            ("PATCH", _MESSAGE, self._edit_message),
            ("DELETE", _MESSAGE, self._delete_message),
            ("POST", "/interactions/{interaction_id}/{token}/callback", self._callback),
            ("POST", _WEBHOOK, self._follow_up),
            ("GET", _WEBHOOK + "/messages/{message_id}", self._get_answer),
            ("PATCH", _WEBHOOK + "/messages/{message_id}", self._edit_answer),
            ("DELETE", _WEBHOOK + "/messages/{message_id}", self._delete_answer),
        ]
        for commands in (_COMMANDS, _GUILD_COMMANDS):
            routes += [
                ("GET", commands, self._list_commands),
                ("PUT", commands, self._put_commands),
                ("POST", commands, self._create_command),
                ("GET", commands + "/{command_id}", self._get_command),
                ("PATCH", commands + "/{command_id}", self._edit_command),
                ("DELETE", commands + "/{command_id}", self._delete_command),
            ]
        for method, path, handler in routes:
            app.router.add_route(method, API_PATH + path, handler)
        app.router.add_get("/attachments/{channel_id}/{attachment_id}/{filename}", self._file)

    async def _own_user(self, _: web.Request) -> web.Response:
        return json_response(self._world.own_user_json())

    async def _user(self, request: web.Request) -> web.Response:
        person = self._world.people.get(_id(request, "user_id"))
        if person is None:
            raise ApiError(Refusal.UNKNOWN_USER)
        return json_response(self._world.user_json(person))

    async def _open_direct_messages(self, request: web.Request) -> web.Response:
        """Those with a person are there once, however often they are opened."""
        form = await self._form(request)
        recipient = form.payload.get("recipient_id")
        if recipient is None:
            raise form_error(("recipient_id",), "BASE_TYPE_REQUIRED", "This field is required")
        person = self._world.people.get(snowflake(recipient) or 0)
        if person is None or person.bot:
            raise ApiError(Refusal.INVALID_RECIPIENT)
        return json_response(self._world.channel_json(self._world.direct_messages(person)))

    async def _application(self, _: web.Request) -> web.Response:
        return json_response(self._world.application_json())

    async def _gateway_address(self, _: web.Request) -> web.Response:
        return json_response(self._gateway())

    async def _own_guilds(self, request: web.Request) -> web.Response:
        limit = _whole(request, "limit", _MAX_OWN_GUILDS, default=_MAX_OWN_GUILDS)
        guilds = [self._world.own_guild_json()] if self._world.bot_is_member else []
        before, after = (
            snowflake(request.query.get("before")),
            snowflake(request.query.get("after")),
        )
        found = [
            {**guild, **self._counts(request)}
            for guild in guilds
            if (before is None or int(guild["id"]) < before)
            and (after is None or int(guild["id"]) > after)
        ]
        return json_response(found[:limit])

    async def _guild(self, request: web.Request) -> web.Response:
        if not self._is_own_guild(request):
            raise ApiError(Refusal.UNKNOWN_GUILD)
        return json_response({**self._world.guild_json(), **self._counts(request)})

    async def _roles(self, request: web.Request) -> web.Response:
        self._check_guild(request)
        return json_response([self._world.role_json(role) for role in self._world.roles.values()])

    async def _channels(self, request: web.Request) -> web.Response:
        """All of them: a bot is told also of those that it may not see."""
        self._check_guild(request)
        world = self._world
        return json_response([world.channel_json(channel) for channel in world.guild_channels()])

    def _counts(self, request: web.Request) -> Json:
        if request.query.get("with_counts") not in {"1", "true"}:
            return {}
        return {
            "approximate_member_count": len(self._world.people),
            "approximate_presence_count": len(self._world.people),
        }

    async def _member(self, request: web.Request) -> web.Response:
        self._check_guild(request)
        person = self._world.people.get(_id(request, "user_id"))
        if person is None:
            raise ApiError(Refusal.UNKNOWN_MEMBER)
        return json_response(self._world.member_json(person))

    async def _channel(self, request: web.Request) -> web.Response:
        return json_response(self._world.channel_json(self._open_channel(request)))

    async def _typing(self, request: web.Request) -> web.Response:
        channel = self._writable_channel(request)
        self._hub.publish(ChannelEvent("typing", channel.id))
        return _no_content()

    async def _history(self, request: web.Request) -> web.Response:
        channel = self._open_channel(request)
        limit = _whole(request, "limit", _MAX_HISTORY, default=50)
        before = snowflake(request.query.get("before"))
        after = snowflake(request.query.get("after"))
        found = self._messages.history(channel.id)
        if not self._world.bot_permissions(channel) & READ_MESSAGE_HISTORY:
            found = []
        if before is not None:
            found = [message for message in found if int(message["id"]) < before]
        if after is not None:
            found = [message for message in found if int(message["id"]) > after][:limit]
        return json_response(found[::-1][:limit])

    async def _create_message(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        channel = self._writable_channel(request, files=bool(form.uploads))
        check_recipient(channel, self._world)
        sent = self._sent_before(channel, form)
        if sent is None:
            extra = self._reply(channel, form)
            message = self._messages.create(channel, self._world.bot, form, extra=extra)
            sent = message.snapshot()
            self._nonces[channel.id, form.payload.get("nonce")] = self._clock() + NONCE_LIVES_S
        return json_response(sent)

    def _sent_before(self, channel: Channel, form: Form) -> Json | None:
        """With `enforce_nonce` a repeated nonce gives the message that is already there."""
        nonce = form.payload.get("nonce")
        if nonce is None or not form.payload.get("enforce_nonce"):
            return None
        if self._clock() > self._nonces.get((channel.id, nonce), 0.0):
            return None
        history = self._messages.history(channel.id)
        return next((one for one in reversed(history) if one.get("nonce") == nonce), None)

    def _reply(self, channel: Channel, form: Form) -> Json:
        reference = form.payload.get("message_reference")
        if not isinstance(reference, dict):
            return {}
        if not self._world.bot_permissions(channel) & READ_MESSAGE_HISTORY:
            raise ApiError(Refusal.CANNOT_REPLY)
        try:
            target = self._messages.get(channel.id, snowflake(reference.get("message_id")) or 0)
        except ApiError:
            if reference.get("fail_if_not_exists", True):
                sentence = "Unknown message"
                code = "MESSAGE_REFERENCE_UNKNOWN_MESSAGE"
                raise form_error(("message_reference",), code, sentence) from None
            return {}
        place: Json = {"type": 0, "channel_id": str(channel.id), "message_id": str(target.id)}
        guild_id = self._world.guild_of(channel)
        if guild_id is not None:
            place["guild_id"] = str(guild_id)
        return {
            "type": REPLY,
            "message_reference": place,
            "referenced_message": target.snapshot(),
        }

    async def _get_message(self, request: web.Request) -> web.Response:
        return json_response(self._message(request).snapshot())

    async def _edit_message(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        message = self._message(request)
        bot = self._world.bot
        if message.author_id != bot.id:
            raise ApiError(Refusal.NOT_THE_AUTHOR)
        channel = self._world.channels[message.channel_id]
        return json_response(self._messages.edit(message, channel, bot, form).snapshot())

    async def _delete_message(self, request: web.Request) -> web.Response:
        message, bot = self._message(request), self._world.bot
        channel = self._world.channels[message.channel_id]
        moderates = self._world.bot_permissions(channel) & MANAGE_MESSAGES
        if message.author_id != bot.id and not moderates:
            raise ApiError(Refusal.MISSING_PERMISSIONS)
        self._messages.delete(message)
        return _no_content()

    async def _callback(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        interaction_id = _id(request, "interaction_id")
        token = request.match_info["token"]
        described = self._interactions.callback(interaction_id, token, form)
        if request.query.get("with_response") in {"1", "true"}:
            return json_response(described)
        return _no_content()

    async def _follow_up(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        interaction = self._interactions.answered(*_webhook(request))
        return json_response(self._interactions.follow_up(interaction, form))

    async def _get_answer(self, request: web.Request) -> web.Response:
        return json_response(self._answer(request).snapshot())

    async def _edit_answer(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        interaction = self._interactions.answered(*_webhook(request))
        reference = request.match_info["message_id"]
        return json_response(self._interactions.edit(interaction, reference, form))

    async def _delete_answer(self, request: web.Request) -> web.Response:
        interaction = self._interactions.answered(*_webhook(request))
        self._interactions.delete(interaction, request.match_info["message_id"])
        return _no_content()

    async def _list_commands(self, request: web.Request) -> web.Response:
        return json_response(self._commands.listed(self._scope(request)))

    async def _put_commands(self, request: web.Request) -> web.Response:
        payload = await read_json(request)
        return json_response(self._commands.put(self._scope(request), payload))

    async def _create_command(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        command, is_new = self._commands.create(self._scope(request), form.payload)
        return json_response(command, 201 if is_new else 200)

    async def _get_command(self, request: web.Request) -> web.Response:
        scope = self._scope(request)
        return json_response(self._commands.get(scope, _id(request, "command_id")))

    async def _edit_command(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        scope = self._scope(request)
        command = self._commands.edit(scope, _id(request, "command_id"), form.payload)
        return json_response(command)

    async def _delete_command(self, request: web.Request) -> web.Response:
        self._commands.delete(self._scope(request), _id(request, "command_id"))
        return _no_content()

    async def _file(self, request: web.Request) -> web.Response:
        attachment_id = snowflake(request.match_info["attachment_id"])
        upload = self._messages.file(attachment_id or 0)
        if upload is None or upload.filename != request.match_info["filename"]:
            raise web.HTTPNotFound(text="This content is no longer available.")
        headers = {
            "Content-Type": upload.content_type,
            "Cache-Control": "public, max-age=31536000",
            # A file is somebody's upload: it is shown, never run as a page of this address.
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return web.Response(body=upload.data, headers=headers)

    async def _form(self, request: web.Request) -> Form:
        return await read_form(request, file_limit_bytes=self._file_limit_bytes)

    def _scope(self, request: web.Request) -> int | None:
        """The guild whose commands are meant, None: the global ones."""
        if _id(request, "application_id") != self._world.application_id:
            raise ApiError(Refusal.NOT_YOUR_APPLICATION)
        return self._check_guild(request) if "guild_id" in request.match_info else None

    def _check_guild(self, request: web.Request) -> int:
        if not self._is_own_guild(request):
            raise ApiError(Refusal.MISSING_ACCESS)
        return self._world.guild_id

    def _is_own_guild(self, request: web.Request) -> bool:
        return self._world.bot_is_member and _id(request, "guild_id") == self._world.guild_id

    def _open_channel(self, request: web.Request) -> Channel:
        channel = self._world.channels.get(_id(request, "channel_id"))
        if channel is None:
            raise ApiError(Refusal.UNKNOWN_CHANNEL)
        if not self._world.bot_permissions(channel) & VIEW_CHANNEL:
            raise ApiError(Refusal.MISSING_ACCESS)
        return channel

    def _writable_channel(self, request: web.Request, *, files: bool = False) -> Channel:
        channel = self._open_channel(request)
        if needed_to_write(channel, files=files) & ~self._world.bot_permissions(channel):
            raise ApiError(Refusal.MISSING_PERMISSIONS)
        return channel

    def _message(self, request: web.Request) -> Message:
        channel = self._open_channel(request)
        return self._messages.get(channel.id, _id(request, "message_id"))

    def _answer(self, request: web.Request) -> Message:
        interaction = self._interactions.answered(*_webhook(request))
        return interaction.own_message(request.match_info["message_id"])


def _webhook(request: web.Request) -> tuple[int, str]:
    return _id(request, "application_id"), request.match_info["token"]


def _id(request: web.Request, name: str) -> int:
    text = request.match_info[name]
    value = snowflake(text)
    if value is None:
        sentence = f'Value "{text}" is not snowflake.'
        raise form_error((name,), "NUMBER_TYPE_COERCE", sentence)
    return value


def _whole(request: web.Request, name: str, most: int, *, default: int) -> int:
    """A whole number of the query, from 1 to `most`."""
    value = snowflake(request.query.get(name, str(default)))
    if value is None or not 1 <= value <= most:
        sentence = f"int value should be between 1 and {most}."
        raise form_error((name,), "NUMBER_TYPE_RANGE", sentence)
    return value


def _no_content() -> web.Response:
    return web.Response(status=204)
