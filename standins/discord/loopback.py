"""A Discord of one's own on 127.0.0.1: the server, and what people do in it."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from standins.base.events import ChannelEvent, EventHub, Predicate
from standins.base.faults import Faults
from standins.base.ports import listen
from standins.base.timers import Clock, Timers
from standins.base.wire import Json
from standins.discord.commands import CommandRegistry
from standins.discord.errors import CommandRefused
from standins.discord.forms import MAX_REQUEST_BYTES, Form, Upload
from standins.discord.gateway import GUILD_MEMBERS, GUILDS, Gateway
from standins.discord.guard import GATEWAY_PATH, guard
from standins.discord.interactions import Dialog, Interaction, Interactions
from standins.discord.messages import Message, Messages
from standins.discord.middleware import API_PATH, api_middleware
from standins.discord.person import (
    choose_in_menu,
    focused_option,
    press_component,
    submit_dialog,
    type_command,
)
from standins.discord.places import (
    check_may_write,
    check_reached,
    installs_of,
    is_offered,
    is_reached,
    of_place,
)
from standins.discord.ratelimits import RateLimits
from standins.discord.resolved import Resolved
from standins.discord.rest import RestApi
from standins.discord.world import (
    MANAGE_CHANNELS,
    MANAGE_MESSAGES,
    MANAGE_THREADS,
    PRIVATE_CHANNELS,
    THREADS,
    VIEW_CHANNEL,
    Channel,
    Person,
    Role,
    World,
    default_world,
)

DEFAULT_TOKEN: Final = "loopback-token"  # noqa: S105 - opens nothing but a loopback server
MIN_TOGETHER, MAX_TOGETHER = 2, 100  # messages that are deleted by one request
_SHUTDOWN_TIMEOUT_S: Final = 2.0

_log = logging.getLogger(__name__)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record tells of a fault here; that a client speaks no HTTP is the client's."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


_log.addFilter(_is_ours)


class LoopbackDiscord:
    """A server that speaks Discord's REST API and gateway, version 10, and holds to its rules.

    token                        the bot token that it accepts
    clock                        seconds; a ManualClock stands still until a test moves it
    rate_limits                  whether to limit as Discord does (with a clock that stands still
                                 a limit never ends: switch them off, or move the clock)
    attachment_size_limit_bytes  of one file
    heartbeat_interval_s         how often bots must send a heartbeat
    world                        with everything in it; None: the default one

    An unmodified discord.py comes here when `discord.http.Route.BASE` is `api_url` and
    `discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY` is `yarl.URL(gateway_url)`.
    `app` takes more routes until `start`; `world`, `faults`, `gateway` and `registry` are for tests
    to look at and to change.
    """

    def __init__(
        self,
        *,
        token: str = DEFAULT_TOKEN,
        clock: Clock = time.monotonic,
        rate_limits: bool | RateLimits = True,
        attachment_size_limit_bytes: int = 10 * 2**20,
        heartbeat_interval_s: float = 41.25,
        world: World | None = None,
    ) -> None:
        self.token = token
        self.attachment_size_limit_bytes = attachment_size_limit_bytes
        world = self.world = world or default_world()
        self.timers = Timers(clock)
        self.faults = Faults(self.timers)
        self.gateway = Gateway(self.world, self.timers, self.faults, token, heartbeat_interval_s)
        self.registry = CommandRegistry(world.application_id, world.snowflakes, clock)
        self._hub = EventHub()
        self._messages = Messages(world, self._hub, self.gateway.dispatch)
        self._interactions = Interactions(world, self._messages, self._hub, self.timers)
        limits = RateLimits(clock) if rate_limits is True else rate_limits or None
        self.app = web.Application(
            middlewares=[
                guard(lambda: urlsplit(self.world.base_url).hostname),
                api_middleware(token, self.faults, limits),
            ],
            client_max_size=MAX_REQUEST_BYTES,
        )
        RestApi(
            world=world,
            hub=self._hub,
            messages=self._messages,
            interactions=self._interactions,
            commands=self.registry,
            gateway=self.gateway.limits_json,
            attachment_size_limit_bytes=attachment_size_limit_bytes,
            clock=clock,
        ).add_routes(self.app)
        self.app.router.add_get(GATEWAY_PATH, self.gateway.serve)
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """The server's address, such as http://127.0.0.1:8080; it must have started."""
        if not self.world.base_url:
            raise RuntimeError("The loopback Discord has no address before it has started.")
        return self.world.base_url

    @property
    def api_url(self) -> str:
        """What stands in for https://discord.com/api/v10."""
        return self.base_url + API_PATH

    @property
    def gateway_url(self) -> str:
        """What stands in for wss://gateway.discord.gg."""
        return self.base_url.replace("http", "ws", 1) + GATEWAY_PATH

    @property
    def online(self) -> bool:
        """Whether a bot listens."""
        return self.gateway.ready.is_set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes any free one. Raises PortTakenError."""
        listener = listen(host, port)
        self.world.base_url = f"http://{host}:{listener.getsockname()[1]}"
        self._runner = web.AppRunner(
            self.app, access_log=None, logger=_log, shutdown_timeout=_SHUTDOWN_TIMEOUT_S
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        """Send the bots away and stop listening."""
        await self.gateway.close()
        self.timers.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def slash(
        self,
        name: str,
        options: Mapping[str, object],
        *,
        user_id: int | None = None,
        channel_id: int | None = None,
    ) -> Interaction:
        """A person types a command.

        name     "imagine", or "group sub" with subcommands
        options  by name; of an attachment option an `Upload`
        user_id, channel_id  who and where, the first of the world unless given

        Returns once the bot has been sent it. Raises CommandRefused.
        """
        person, channel = self._person(user_id), self._channel(channel_id)
        data = type_command(
            self.registry.all(),
            name,
            options,
            person=person,
            channel=channel,
            world=self.world,
            messages=self._messages,
        )
        return self._use(data, person, channel)

    async def use_on_message(
        self, message_id: int, name: str, *, user_id: int | None = None
    ) -> Interaction:
        """A person chooses an app's command in the menu of a message; raises CommandRefused."""
        person = self._person(user_id)
        message = self._visible(message_id, person)
        return self._use_on(message, name, person, self._channel(message.channel_id))

    async def use_on_person(
        self,
        target_id: int,
        name: str,
        *,
        user_id: int | None = None,
        channel_id: int | None = None,
    ) -> Interaction:
        """A person chooses an app's command in the menu of a person; raises CommandRefused."""
        target, channel = self.world.people[target_id], self._channel(channel_id)
        return self._use_on(target, name, self._person(user_id), channel)

    async def complete(
        self,
        name: str,
        options: Mapping[str, object],
        focused: str,
        *,
        user_id: int | None = None,
        channel_id: int | None = None,
    ) -> list[Json]:
        """What the bot offers while a person fills in the option `focused`: names and values.

        Arguments as `slash`. Raises CommandRefused, and InteractionFailed if it does not answer.
        """
        person, channel = self._person(user_id), self._channel(channel_id)
        commands = self.registry.all()
        data = type_command(
            commands,
            name,
            options,
            person=person,
            channel=channel,
            world=self.world,
            messages=self._messages,
            focused=focused,
        )
        option = focused_option(commands, data)
        completion = self._interactions.complete(
            data["name"], option, person, channel, self._owners(data, person, channel)
        )
        self._send(completion, data)
        return await completion.choices

    async def press(
        self,
        message_id: int,
        custom_id: str,
        *,
        user_id: int | None = None,
        values: Sequence[str] = (),
    ) -> Interaction:
        """A person presses a button, or chooses `values` of a menu; raises CommandRefused."""
        person = self._person(user_id)
        message = self._visible(message_id, person)
        resolved = Resolved(self.world, self._messages, person, self._channel(message.channel_id))
        data = press_component(message.snapshot(), custom_id, values, resolved)
        interaction = self._interactions.press(custom_id, person, message)
        self._send(interaction, data)
        return interaction

    async def submit(self, dialog: Dialog, values: Mapping[str, object]) -> Interaction:
        """The person before whom a dialog is submits it; raises CommandRefused.

        values  by custom_id: a text, the value of a radio, the truth of a checkbox, and of
                everything else a list of values, ids, or `Upload`s. What is not named stays as the
                bot filled it in
        """
        if not dialog.is_open:
            raise CommandRefused("The dialog is closed.")
        person, channel = dialog.opener.person, dialog.opener.channel
        resolved = Resolved(self.world, self._messages, person, channel)
        data = submit_dialog(dialog.form, values, resolved, self.attachment_size_limit_bytes)
        interaction = self._interactions.submit(dialog)
        self._send(interaction, data)
        return interaction

    def dialog_of(self, user_id: int) -> Dialog | None:
        """The dialog that a person has before them: the one opened last, None once it is closed."""
        return self._interactions.dialog_of(self._person(user_id))

    async def say(
        self,
        content: str,
        *files: Upload,
        user_id: int | None = None,
        channel_id: int | None = None,
    ) -> Json:
        """A person writes a message, with files.

        Raises CommandRefused, and ApiError as the API would refuse it.
        """
        person, channel = self._person(user_id), self._channel(channel_id)
        check_may_write(person, channel, self.world, files=bool(files))
        form = Form({"content": content}, dict(enumerate(files)))
        return self._messages.create(channel, person, form).snapshot()

    def change_channel(self, channel: Channel, **changes: object) -> None:
        """Change a channel of the world, or put it there, as a moderator would; the bot hears."""
        is_new = channel.id not in self.world.channels
        self.world.channels[channel.id] = channel
        for name, value in changes.items():
            setattr(channel, name, value)
        self._tell_channel(channel, "CREATE" if is_new else "UPDATE")

    def delete_channel(self, channel_id: int, *, user_id: int | None = None) -> None:
        """A person deletes a channel with its threads, or a thread, and all messages there.

        Raises CommandRefused where Discord's client would not offer it.
        """
        person, channel, world = self._person(user_id), self._channel(channel_id), self.world
        needed = MANAGE_THREADS if channel.kind in THREADS else MANAGE_CHANNELS
        permissions = world.permissions(person, channel)
        if not is_reached(person, channel, world) or needed & ~permissions:
            raise CommandRefused(f"{person.display_name} may not delete this channel.")
        within = [one for one in world.channels.values() if one.parent_id == channel.id]
        for gone in (*within, channel):
            self._messages.forget(gone)
            del world.channels[gone.id]
        self._tell_channel(channel, "DELETE")

    def _tell_channel(self, channel: Channel, what: str) -> None:
        self._hub.publish(ChannelEvent("channels_change", channel.id))
        world = self.world
        if channel.kind in PRIVATE_CHANNELS or not world.has_bot(channel):
            return
        told = world.channel_json(channel)
        if channel.kind not in THREADS:
            self.gateway.dispatch(f"CHANNEL_{what}", told, intents=GUILDS)
        elif world.bot_permissions(channel) & VIEW_CHANNEL:
            if what == "DELETE":
                told = {name: told[name] for name in ("id", "guild_id", "parent_id", "type")}
            self.gateway.dispatch(f"THREAD_{what}", told, intents=GUILDS)

    def change_role(self, role: Role, **changes: object) -> None:
        """Change a role of the world, or put it there, as the owner would; the bot hears."""
        is_new = role.id not in self.world.roles
        self.world.roles[role.id] = role
        for name, value in changes.items():
            setattr(role, name, value)
        event = "GUILD_ROLE_CREATE" if is_new else "GUILD_ROLE_UPDATE"
        self._tell_guild(event, {"role": self.world.role_json(role)}, GUILDS)

    def delete_role(self, role: Role) -> None:
        """Take a role from the world and from all who have it, as the owner would; the bot hears.

        Raises CommandRefused for the one that everybody has and for a bot's own.
        """
        if role.id == self.world.guild_id or role.bot_id is not None:
            raise CommandRefused(f"The role {role.name} cannot be deleted.")
        del self.world.roles[role.id]
        for channel in self.world.channels.values():
            channel.overwrites.pop(role.id, None)
        self._tell_guild("GUILD_ROLE_DELETE", {"role_id": str(role.id)}, GUILDS)
        for person in self.world.people.values():
            if role.id in person.role_ids:
                left = tuple(one for one in person.role_ids if one != role.id)
                self.change_person(person, role_ids=left)

    def change_person(self, person: Person, **changes: object) -> None:
        """Change a person of the world, such as their roles; the bot hears if it may."""
        for name, value in changes.items():
            setattr(person, name, value)
        intents = GUILDS | GUILD_MEMBERS if person is self.world.bot else GUILD_MEMBERS
        self._tell_guild("GUILD_MEMBER_UPDATE", self.world.member_json(person), intents)

    def _tell_guild(self, event: str, data: Json, intents: int) -> None:
        self._hub.publish(ChannelEvent("channels_change", self.world.guild_id))
        if self.world.bot_is_member:
            told = {"guild_id": str(self.world.guild_id), **data}
            self.gateway.dispatch(event, told, intents=intents)

    def delete(self, message_id: int, *, user_id: int | None = None) -> None:
        """A person deletes a message: their own, or as a moderator anybody's.

        Raises CommandRefused where Discord's client would not offer it.
        """
        person = self._person(user_id)
        message = self._visible(message_id, person)
        if message.viewer_id is not None:
            raise CommandRefused("What only one person sees is dismissed, not deleted.")
        moderates = self.moderates(person, self._channel(message.channel_id))
        if message.author_id != person.id and not moderates:
            raise CommandRefused(f"{person.display_name} may not delete this message.")
        self._messages.delete(message)

    def delete_together(self, message_ids: Sequence[int], *, user_id: int | None = None) -> None:
        """Somebody who moderates has messages of one channel deleted at once, by another bot.

        Raises CommandRefused where that bot would not do it for them.
        """
        person = self._person(user_id)
        messages = [self._visible(one, person) for one in dict.fromkeys(message_ids)]
        channels = {message.channel_id for message in messages}
        if len(channels) != 1 or not MIN_TOGETHER <= len(messages) <= MAX_TOGETHER:
            raise CommandRefused(
                f"{MIN_TOGETHER} to {MAX_TOGETHER} messages of one channel are deleted together."
            )
        channel = self._channel(channels.pop())
        hidden = any(message.viewer_id is not None for message in messages)
        if hidden or not self.moderates(person, channel):
            raise CommandRefused(f"{person.display_name} may not delete these messages.")
        self._messages.delete_together(channel, messages)

    def moderates(self, person: Person, channel: Channel) -> bool:
        """Whether somebody may delete what others wrote in a channel."""
        return bool(self.world.permissions(person, channel) & MANAGE_MESSAGES)

    def offered(self, *, user_id: int | None = None, channel_id: int | None = None) -> list[Json]:
        """The commands that a person is offered in a channel, in menus too."""
        person, channel, world = self._person(user_id), self._channel(channel_id), self.world
        every = of_place(self.registry.all(), channel, world).values()
        return [command for command in every if is_offered(command, person, channel, world)]

    def commands(self) -> list[Json]:
        """The commands as registered, the guild's own before the global ones."""
        return self.registry.all()

    def history(self, channel_id: int, viewer_id: int | None = None) -> list[Json]:
        """What a person (None: everybody) sees in a channel, oldest first."""
        return self._messages.history(channel_id, viewer_id)

    async def wait_ready(self) -> None:
        """Wait until a bot listens that has got READY and its guild."""
        await self.gateway.ready.wait()

    async def wait_offline(self) -> None:
        """Wait until no bot listens."""
        await self.gateway.away.wait()

    async def wait_commands(self) -> None:
        """Wait until commands are registered."""
        await self.registry.registered.wait()

    def subscribe(self) -> AbstractAsyncContextManager[asyncio.Queue[ChannelEvent]]:
        """A queue of everything that happens in the channels while the context is open."""
        return self._hub.subscribe()

    async def wait_for(self, predicate: Predicate) -> ChannelEvent:
        """The first event from now on that satisfies `predicate`."""
        return await self._hub.wait_for(predicate)

    def attachment_bytes(self, attachment_id: int) -> bytes:
        """A stored file; raises KeyError when it is gone."""
        upload = self._messages.file(attachment_id)
        if upload is None:
            raise KeyError(attachment_id)
        return upload.data

    async def download(self, attachment: Json) -> bytes:
        """The file behind an attachment object, over HTTP as a viewer gets it."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(attachment["url"], raise_for_status=True) as response,
        ):
            return await response.read()

    def _use_on(
        self, target: Message | Person, name: str, person: Person, channel: Channel
    ) -> Interaction:
        data = choose_in_menu(
            self.registry.all(),
            name,
            target,
            person=person,
            channel=channel,
            world=self.world,
            messages=self._messages,
        )
        return self._use(data, person, channel)

    def _use(self, data: Json, person: Person, channel: Channel) -> Interaction:
        owners = self._owners(data, person, channel)
        interaction = self._interactions.use(data, person, channel, owners)
        self._send(interaction, data)
        return interaction

    def _owners(self, data: Json, person: Person, channel: Channel) -> Json:
        command = next(one for one in self.registry.all() if one["id"] == data["id"])
        return self.world.installs(person, channel, installs_of(command))

    def _visible(self, message_id: int, person: Person) -> Message:
        message = self._messages.find(message_id)
        if message is None or message.viewer_id not in {None, person.id}:
            raise CommandRefused("The message is gone.")
        check_reached(person, self._channel(message.channel_id), self.world)
        return message

    def _send(self, interaction: Interaction, data: Json) -> None:
        limit = self.attachment_size_limit_bytes
        payload = self._interactions.payload(interaction, data, limit)
        self.gateway.dispatch("INTERACTION_CREATE", payload)

    def _person(self, user_id: int | None) -> Person:
        return self.world.first_person if user_id is None else self.world.people[user_id]

    def _channel(self, channel_id: int | None) -> Channel:
        world = self.world
        return world.first_channel if channel_id is None else world.channels[channel_id]
