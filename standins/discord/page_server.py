"""The playground's one page: its files, its events, and what people do on it.

    GET  /                  the page
    GET  /page/NAME         its scripts, style and icon
    GET  /page/api/events   one person's view of one channel, as server-sent events
    POST /page/api/slash    use a command
    POST /page/api/complete  what may stand in an option of a command, as the bot says
    POST /page/api/press    press a button, or choose in a menu
    POST /page/api/menu     use an app's command in the menu of a message
    POST /page/api/submit   submit a dialog, with the files in it
    POST /page/api/say      write a message
    POST /page/api/delete   delete a message

Whoever can open it acts as anybody in the world: see `standins.base.page`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from aiohttp import web

from standins.base.events import ChannelEvent
from standins.base.page import (
    PULSE_S,
    Chats,
    PageFiles,
    begin_events,
    chats_json,
    guarded,
    no_chats,
    read_json,
    refused,
    send_event,
)
from standins.base.wire import Json
from standins.discord.errors import ApiError, CommandRefused, InteractionFailed
from standins.discord.forms import Upload, read_form
from standins.discord.loopback import LoopbackDiscord
from standins.discord.places import is_reached
from standins.discord.wire import snowflake
from standins.discord.world import (
    FORUM,
    MANAGE_GUILD,
    MANAGE_MESSAGES,
    PRIVATE_CHANNELS,
    Channel,
    Person,
)


def add_page(loopback: LoopbackDiscord, chats: Chats = no_chats) -> None:
    """Serve the page from the loopback's own address; call before it starts.

    chats  the pages that it stands beside, it among them
    """
    _Page(loopback, chats).add_to(loopback.app)


class _Page:
    def __init__(self, loopback: LoopbackDiscord, chats: Chats) -> None:
        self._loopback = loopback
        self._chats = chats
        self._closing = asyncio.Event()

    def add_to(self, app: web.Application) -> None:
        PageFiles("standins.discord").add_to(app)
        app.router.add_get("/page/api/events", guarded(self._events))
        app.router.add_post("/page/api/slash", guarded(self._slash))
        app.router.add_post("/page/api/complete", guarded(self._complete))
        app.router.add_post("/page/api/press", guarded(self._press))
        app.router.add_post("/page/api/menu", guarded(self._menu))
        app.router.add_post("/page/api/submit", guarded(self._submit))
        app.router.add_post("/page/api/say", guarded(self._say))
        app.router.add_post("/page/api/delete", guarded(self._delete))
        app.on_shutdown.append(self._end_streams)

    async def _end_streams(self, _app: web.Application) -> None:
        self._closing.set()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """First the whole state, then every change to it: nothing can fall between the two."""
        person = self._person(request.query.get("as"))
        channel = self._channel(request.query.get("channel"))
        if not self._is_place(person, channel):  # it was one to whoever they were before
            channel = self._first_place(person)
        response = await begin_events(request)
        with suppress(ConnectionError):  # the reader went away
            async with self._loopback.subscribe() as queue:
                await self._stream(response, queue, person, channel)
        return response

    async def _stream(
        self,
        response: web.StreamResponse,
        queue: asyncio.Queue[ChannelEvent],
        person: Person,
        channel: Channel,
    ) -> None:
        bot, places = self._bot_json(person, channel), self._places_json(person, channel)
        await send_event(response, "state", self._state_json(person, channel))
        closing = asyncio.create_task(self._closing.wait())
        arriving = asyncio.create_task(queue.get())
        try:
            while not closing.done():
                await asyncio.wait(
                    {closing, arriving}, timeout=PULSE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not self._is_place(person, channel):  # deleted, or closed to them
                    channel = self._first_place(person)
                    bot, places = (
                        self._bot_json(person, channel),
                        self._places_json(person, channel),
                    )
                    await send_event(response, "state", self._state_json(person, channel))
                if bot != (bot := self._bot_json(person, channel)):
                    await send_event(response, "bot", bot)
                if places != (places := self._places_json(person, channel)):
                    await send_event(response, "places", places)
                if not arriving.done():
                    await response.write(b":\n\n")
                    continue
                event = arriving.result()
                arriving = asyncio.create_task(queue.get())
                name = _NAMES.get(event.kind)
                if name and event.channel_id == channel.id and event.seen_by(person.id):
                    await send_event(response, name, event.message)
        finally:
            closing.cancel()
            arriving.cancel()
            await asyncio.gather(closing, arriving, return_exceptions=True)

    def _state_json(self, person: Person, channel: Channel) -> Json:
        world = self._loopback.world
        return {
            "bot": world.user_json(world.bot),
            "guild": {"id": str(world.guild_id), "name": world.guild_name},
            "chats": chats_json(self._chats, f"{self._loopback.base_url}/"),
            "messages": self._loopback.history(channel.id, person.id),
            **self._places_json(person, channel),
            **self._bot_json(person, channel),
        }

    def _places_json(self, person: Person, channel: Channel) -> Json:
        """Who there is, and where, as the person sees it."""
        world = self._loopback.world
        return {
            "me": self._person_json(person, channel),
            "people": [self._person_json(someone, channel) for someone in world.people.values()],
            "roles": [world.role_json(role) for role in world.roles.values()],
            "channels": [self._place_json(some) for some in self._places(person)],
            "channel": self._place_json(channel),
        }

    def _is_place(self, person: Person, channel: Channel) -> bool:
        """Whether a channel is there and a person can be in it."""
        world = self._loopback.world
        is_there = channel.id in world.channels and channel.kind != FORUM
        return is_there and is_reached(person, channel, world)

    def _first_place(self, person: Person) -> Channel:
        """Where somebody is who cannot be where they want to."""
        places = (one for one in self._places(person) if one.kind != FORUM)
        return next(places, self._loopback.world.first_channel)

    def _places(self, person: Person) -> Iterator[Channel]:
        """Where somebody can be: each channel with its threads, then their direct messages."""
        world = self._loopback.world
        every = [one for one in world.channels.values() if is_reached(person, one, world)]
        for channel in every:
            if channel.parent_id is None and channel.kind not in PRIVATE_CHANNELS:
                yield channel
                yield from (one for one in every if one.parent_id == channel.id)
        yield from (one for one in every if one.kind in PRIVATE_CHANNELS)

    def _place_json(self, channel: Channel) -> Json:
        """A channel with what it is called in the list."""
        world = self._loopback.world
        with_bot = world.bot.id in channel.member_ids
        name = channel.name or (world.bot.display_name if with_bot else "Direct messages")
        shown = {**world.channel_json(channel), "name": name}
        del shown["last_message_id"]  # it says nothing of the place
        return shown

    def _person_json(self, person: Person, channel: Channel) -> Json:
        world = self._loopback.world
        moderates = self._loopback.moderates(person, channel)
        if person is world.owner:
            duty = "owner"
        elif world.permissions(person) & MANAGE_GUILD:
            duty = "manager"
        else:
            duty = "moderator" if world.permissions(person) & MANAGE_MESSAGES else ""
        roles = [str(role_id) for role_id in person.role_ids]
        return {**world.user_json(person), "roles": roles, "moderates": moderates, "duty": duty}

    def _bot_json(self, person: Person, channel: Channel) -> Json:
        commands = self._loopback.offered(user_id=person.id, channel_id=channel.id)
        return {"online": self._loopback.online, "commands": commands}

    async def _slash(self, request: web.Request) -> web.Response:
        body, files = await self._read_form(request)
        person, channel = self._person(body.get("as")), self._channel(body.get("channel"))
        name, options = body.get("name"), body.get("options")
        if not isinstance(name, str) or not isinstance(options, dict):
            raise refused(web.HTTPBadRequest, "A command needs a name and its options.")
        options |= {option: sent[0] for option, sent in files.items() if sent}
        try:
            interaction = await self._loopback.slash(
                name, options, user_id=person.id, channel_id=channel.id
            )
        except CommandRefused as error:
            raise refused(web.HTTPUnprocessableEntity, str(error)) from error
        return web.json_response({"id": str(interaction.id)})

    async def _complete(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        person, channel = self._person(body.get("as")), self._channel(body.get("channel"))
        name, options, focused = body.get("name"), body.get("options"), body.get("focused")
        if (
            not isinstance(name, str)
            or not isinstance(options, dict)
            or not isinstance(focused, str)
        ):
            raise refused(web.HTTPBadRequest, "A command needs a name, its options, and which.")
        try:
            choices = await self._loopback.complete(
                name, options, focused, user_id=person.id, channel_id=channel.id
            )
        except (CommandRefused, InteractionFailed) as error:
            raise refused(web.HTTPUnprocessableEntity, str(error)) from error
        return web.json_response({"choices": choices})

    async def _press(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        person, custom_id = self._person(body.get("as")), body.get("custom_id")
        message_id, values = snowflake(body.get("message_id")), body.get("values", [])
        if message_id is None or not isinstance(custom_id, str) or not isinstance(values, list):
            raise refused(web.HTTPBadRequest, "A press needs a message and a button or a choice.")
        try:
            interaction = await self._loopback.press(
                message_id, custom_id, user_id=person.id, values=values
            )
        except CommandRefused as error:
            raise refused(web.HTTPUnprocessableEntity, str(error)) from error
        return web.json_response({"id": str(interaction.id)})

    async def _menu(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        person, name = self._person(body.get("as")), body.get("name")
        message_id = snowflake(body.get("message_id"))
        if message_id is None or not isinstance(name, str):
            raise refused(web.HTTPBadRequest, "A menu needs a message and a command's name.")
        try:
            interaction = await self._loopback.use_on_message(message_id, name, user_id=person.id)
        except CommandRefused as error:
            raise refused(web.HTTPUnprocessableEntity, str(error)) from error
        return web.json_response({"id": str(interaction.id)})

    async def _submit(self, request: web.Request) -> web.Response:
        """Answers once the bot has: until then the dialog stays open."""
        body, files = await self._read_form(request)
        person, values = self._person(body.get("as")), body.get("values")
        interaction_id = snowflake(body.get("interaction_id"))
        if interaction_id is None or not isinstance(values, dict):
            raise refused(web.HTTPBadRequest, "A dialog needs what opened it and its values.")
        dialog = self._loopback.dialog_of(person.id)
        if dialog is None or dialog.opener.id != interaction_id:
            sentence = "This dialog is closed. Open it again."
            raise refused(web.HTTPUnprocessableEntity, sentence)
        try:
            interaction = await self._loopback.submit(dialog, values | files)
            await interaction.settled()
        except (CommandRefused, InteractionFailed) as error:
            raise refused(web.HTTPUnprocessableEntity, str(error)) from error
        return web.json_response({"id": str(interaction.id)})

    async def _read_form(self, request: web.Request) -> tuple[Json, dict[str, list[Upload | None]]]:
        """What was filled in, and the files of each field, as `files` there says."""
        limit = self._loopback.attachment_size_limit_bytes
        try:
            form = await read_form(request, file_limit_bytes=limit)
        except ApiError as error:
            if error.status == web.HTTPRequestEntityTooLarge.status_code:
                sentence = f"A file may have {limit // 2**20} MB at most. Choose a smaller one."
                raise refused(web.HTTPUnprocessableEntity, sentence) from error
            raise refused(web.HTTPBadRequest, "The page sends a form.") from error
        files = form.payload.get("files", {})
        if not isinstance(files, dict) or not all(isinstance(one, list) for one in files.values()):
            raise refused(web.HTTPBadRequest, "Files are listed by field.")
        return form.payload, {
            name: [form.uploads.get(snowflake(place) or 0) for place in places]
            for name, places in files.items()
        }

    async def _say(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        person, channel = self._person(body.get("as")), self._channel(body.get("channel"))
        content = body.get("content")
        if not isinstance(content, str):
            raise refused(web.HTTPBadRequest, "A message needs its content.")
        try:
            message = await self._loopback.say(content, user_id=person.id, channel_id=channel.id)
        except ApiError as error:
            sentence = f"The message was refused: {error.message}. Change it and send it again."
            raise refused(web.HTTPUnprocessableEntity, sentence) from error
        return web.json_response({"id": message["id"]})

    async def _delete(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        person, message_id = self._person(body.get("as")), snowflake(body.get("message_id"))
        if message_id is None:
            raise refused(web.HTTPBadRequest, "A deletion needs a message.")
        try:
            self._loopback.delete(message_id, user_id=person.id)
        except CommandRefused as error:
            raise refused(web.HTTPUnprocessableEntity, str(error)) from error
        return web.json_response({"id": str(message_id)})

    def _person(self, text: object) -> Person:
        world = self._loopback.world
        person = world.first_person if text is None else world.people.get(snowflake(text) or 0)
        if person is None or person.bot:
            raise refused(web.HTTPBadRequest, "Nobody here has this id. Reload the page.")
        return person

    def _channel(self, text: object) -> Channel:
        world = self._loopback.world
        channel = world.first_channel if text is None else world.channels.get(snowflake(text) or 0)
        if channel is None:
            raise refused(web.HTTPBadRequest, "No channel here has this id. Reload the page.")
        return channel


# The page's names for what it shows; it draws a message the same way whether new or edited.
_NAMES: Final[dict[str, str]] = {
    "message_create": "message",
    "message_update": "message",
    "message_delete": "gone",
    "interaction_create": "sent",
    "interaction_failed": "failed",
    "dialog": "dialog",
}
