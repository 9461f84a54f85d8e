"""The playground's page of Slack: its files, its events, and what people do on it.

    GET  /                  the page
    GET  /page/NAME         its scripts, style and icon
    GET  /page/file/ID      a file that somebody shared
    GET  /page/api/events   one person's view of one channel, as server-sent events
    POST /page/api/slash    use a command
    POST /page/api/say      write a message, with files
    POST /page/api/press    press a button or choose in a menu, of a message, dialog or home tab
    POST /page/api/shortcut  use a shortcut, on a message or alone
    POST /page/api/submit   submit a dialog, with the files in it
    POST /page/api/dismiss  close a dialog
    POST /page/api/home     open the app's home tab
    POST /page/api/delete   delete a message, or dismiss what one person alone sees

Whoever can open it acts as anybody in the world: see `standins.base.page`.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

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
from standins.base.wire import Json, parse_json
from standins.slack.blocks import every_element
from standins.slack.composing import composed, escaped
from standins.slack.errors import ActionRefused
from standins.slack.invocations import Invocation
from standins.slack.loopback import MAX_REQUEST_BYTES, LoopbackSlack
from standins.slack.views import View
from standins.slack.world import Channel, Person

_FILE_ID: Final = re.compile(r"F[A-Z0-9]{8,}")
_SHOWN: Final = re.compile(r"image/(png|jpeg|gif|webp)")

Upload = tuple[str, bytes]  # its name


def add_page(loopback: LoopbackSlack, chats: Chats = no_chats) -> None:
    """Serve the page from the loopback's own address; call before it starts.

    chats  the pages that it stands beside, it among them
    """
    _Page(loopback, chats).add_to(loopback.app)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one person sees of one channel.

    around    who and what there is
    messages  by their time, oldest first
    view      the dialog before them, and the app's home tab; None: none
    """

    around: Json
    messages: dict[str, Json]
    view: Json | None
    home: Json | None

    def changes_since(self, before: "_Seen") -> Iterator[tuple[str, object]]:
        """What to tell whoever saw it as it was: the names of events, and their data."""
        if self.around != before.around:
            yield "around", self.around
        for ts in before.messages.keys() - self.messages.keys():
            yield "gone", {"ts": ts}
        for ts, message in self.messages.items():
            if message != before.messages.get(ts):
                yield "message", message
        if self.view != before.view:
            yield "view", self.view
        if self.home != before.home:
            yield "home", self.home


class _Page:
    def __init__(self, loopback: LoopbackSlack, chats: Chats) -> None:
        self._loopback = loopback
        self._chats = chats
        self._closing = asyncio.Event()

    def add_to(self, app: web.Application) -> None:
        PageFiles("standins.slack").add_to(app)
        app.router.add_get("/page/file/{id}", guarded(self._file))
        app.router.add_get("/page/api/events", guarded(self._events))
        app.router.add_post("/page/api/slash", guarded(self._slash))
        app.router.add_post("/page/api/say", guarded(self._say))
        app.router.add_post("/page/api/press", guarded(self._press))
        app.router.add_post("/page/api/shortcut", guarded(self._shortcut))
        app.router.add_post("/page/api/submit", guarded(self._submit))
        app.router.add_post("/page/api/dismiss", guarded(self._dismiss))
        app.router.add_post("/page/api/home", guarded(self._home))
        app.router.add_post("/page/api/delete", guarded(self._delete))
        app.on_shutdown.append(self._end_streams)

    async def _end_streams(self, _app: web.Application) -> None:
        self._closing.set()

    async def _file(self, request: web.Request) -> web.Response:
        """A picture to be looked at, or whatever else to be saved."""
        file_id = request.match_info["id"]
        try:
            data, file = self._loopback.file_bytes(file_id), self._loopback.file(file_id)
        except KeyError as error:
            raise web.HTTPNotFound from error
        if _SHOWN.fullmatch(file.mimetype):
            return web.Response(body=data, content_type=file.mimetype)
        headers = {"Content-Disposition": "attachment"}
        return web.Response(body=data, content_type="application/octet-stream", headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """First the whole state, then every change to it: nothing can fall between the two."""
        person = self._person(request.query.get("as"))
        channel = self._channel(request.query.get("channel"), person)
        response = await begin_events(request)
        with suppress(ConnectionError):  # the reader went away
            await self._stream(response, person, channel)
        return response

    async def _stream(self, response: web.StreamResponse, person: Person, channel: Channel) -> None:
        loopback = self._loopback
        count, seen = loopback.change_count, self._seen(person, channel)
        await send_event(response, "state", self._state_json(seen))
        closing = asyncio.create_task(self._closing.wait())
        try:
            while not closing.done():
                changing = asyncio.create_task(self._changed_since(count))
                try:
                    await asyncio.wait(
                        {closing, changing}, timeout=PULSE_S, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    changing.cancel()
                    await asyncio.gather(changing, return_exceptions=True)
                if person.id not in channel.member_ids:  # it is closed to them
                    channel = self._channel(None, person)
                    seen = self._seen(person, channel)
                    await send_event(response, "state", self._state_json(seen))
                count, now = loopback.change_count, self._seen(person, channel)
                for name, data in now.changes_since(seen):
                    await send_event(response, name, data)
                seen = now
                await response.write(b":\n\n")
        finally:
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)

    async def _changed_since(self, count: int) -> None:
        await self._loopback.until(lambda: self._loopback.change_count > count)

    def _state_json(self, seen: _Seen) -> Json:
        return {
            **seen.around,
            "chats": chats_json(self._chats, f"{self._loopback.base_url}/"),
            "messages": list(seen.messages.values()),
            "view": seen.view,
            "home": seen.home,
        }

    def _seen(self, person: Person, channel: Channel) -> _Seen:
        history = self._loopback.history(channel.id, viewer=person.id)
        view = self._loopback.view_of(person.id)
        home = self._loopback.home_view(person.id)
        return _Seen(
            self._around_json(person, channel),
            {message["ts"]: self._with_pictures(message) for message in history},
            None if view is None else self._view_json(view),
            None if home is None else self._view_json(home),
        )

    def _around_json(self, person: Person, channel: Channel) -> Json:
        """Who there is, and where, as the person sees it, and what the app offers them."""
        world = self._loopback.world
        features = world.features
        return {
            "team": {"id": world.team_id, "name": world.team_name},
            "bot": world.bot.profile_json(),
            "online": self._loopback.connections > 0,
            "me": person.profile_json(),
            "people": [one.profile_json() for one in world.people.values()],
            "groups": [{"id": one.id, "handle": one.handle} for one in world.user_groups.values()],
            "channels": [self._place_json(one) for one in self._places(person)],
            "channel": self._place_json(channel),
            "commands": features.get("slash_commands", []),
            "shortcuts": features.get("shortcuts", []),
            "has_home": features.get("app_home", {}).get("home_tab_enabled", False),
        }

    def _places(self, person: Person) -> Iterator[Channel]:
        """Where somebody is: their channels, then their direct messages with the app."""
        world = self._loopback.world
        direct = world.direct_message(person.id)
        yield from (
            one
            for one in world.channels.values()
            if one.user_id is None and person.id in one.member_ids
        )
        yield direct

    def _place_json(self, channel: Channel) -> Json:
        world = self._loopback.world
        told = channel.json(world.bot_user_id)
        has_bot = world.has_bot(channel)
        return {
            **told,
            "name": channel.name if channel.user_id is None else world.bot.real_name,
            "has_bot": has_bot,
        }

    def _with_pictures(self, message: Json) -> Json:
        """A message with what its blocks and it show of files."""
        ids = [str(one.get("id")) for one in message.get("files", ())]
        return {**message, "pictures": self._pictures(message.get("blocks", []), ids)}

    def _view_json(self, view: View) -> Json:
        told = view.json(self._loopback.world)
        return {**told, "pictures": self._pictures(view.blocks, [])}

    def _pictures(self, blocks: list[Json], ids: list[str]) -> Json:
        """What the page shows of files, by what names them."""
        told: Json = {}
        for name in [*ids, *_named_in(blocks)]:
            found = _FILE_ID.search(name)
            try:
                file = self._loopback.file(found[0] if found else "")
                self._loopback.file_bytes(file.id)
            except KeyError:  # it is gone
                continue
            width, height = file.size_px or (None, None)
            told[name] = {
                "id": file.id,
                "url": f"/page/file/{file.id}",
                "filename": file.name,
                "is_picture": _SHOWN.fullmatch(file.mimetype) is not None,
                "description": file.alt_txt,
                "width": width,
                "height": height,
            }
        return told

    def _behind(self, command: str, text: str) -> str:
        """What is typed behind a command, as its app wants it."""
        world = self._loopback.world
        known = world.features.get("slash_commands", ())
        wants_links = any(one["command"] == command and one.get("should_escape") for one in known)
        return composed(text, world) if wants_links else escaped(text)

    async def _slash(self, request: web.Request) -> web.Response:
        body, _ = await _read(request)
        person, channel = self._place(body)
        command, _, text = _text(body, "text").strip().partition(" ")
        with _refusals():
            invocation = await self._loopback.slash(
                command, self._behind(command, text), user=person.id, channel=channel.id
            )
        return await _answered(invocation, command)

    async def _say(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        person, channel = self._place(body)
        thread_ts = _text(body, "thread_ts") if body.get("thread_ts") is not None else None
        with _refusals():
            message = await self._loopback.say(
                composed(_text(body, "text"), self._loopback.world),
                user=person.id,
                channel=channel.id,
                thread_ts=thread_ts,
                files=files,
            )
        return web.json_response({"ts": message["ts"]})

    async def _press(self, request: web.Request) -> web.Response:
        body, _ = await _read(request)
        person, action_id = self._person(body.get("as")), _text(body, "action_id")
        value = body.get("value")
        if isinstance(value, list) and not all(isinstance(one, str) for one in value):
            raise refused(web.HTTPBadRequest, "What is chosen is a text, or several.")
        if not isinstance(value, str | list | None):
            raise refused(web.HTTPBadRequest, "What is chosen is a text, or several.")
        with _refusals():
            if body.get("view") is None:
                message = {"ts": _text(body, "ts")}
                invocation = await self._loopback.press(
                    message, action_id, user=person.id, value=value
                )
            else:
                invocation = await self._loopback.press_in_view(
                    self._view(body, person), action_id, user=person.id, value=value
                )
        return await _answered(invocation, "The button")

    async def _shortcut(self, request: web.Request) -> web.Response:
        body, _ = await _read(request)
        person, callback_id = self._person(body.get("as")), _text(body, "callback_id")
        with _refusals():
            if body.get("ts") is None:
                invocation = await self._loopback.shortcut(callback_id, user=person.id)
            else:
                invocation = await self._loopback.message_shortcut(
                    callback_id, {"ts": _text(body, "ts")}, user=person.id
                )
        return await _answered(invocation, "The shortcut")

    async def _submit(self, request: web.Request) -> web.Response:
        """Answers once the app has: until then the dialog stays open."""
        body, files = await _read(request)
        person, values = self._person(body.get("as")), body.get("values")
        places = body.get("files", {})
        if not isinstance(values, dict) or not isinstance(places, dict):
            raise refused(web.HTTPBadRequest, "A dialog needs its values.")
        view = self._view(body, person)
        with _refusals():
            given = {
                name: [self._loopback.attach(*one, user=person.id) for one in _chosen(files, which)]
                for name, which in places.items()
            }
            submission = await self._loopback.submit(view, {**values, **given}, user=person.id)
        if submission.failed:
            raise refused(web.HTTPUnprocessableEntity, "The app did not respond. Send it again.")
        names = {block["block_id"]: one["action_id"] for block, one in every_element(view.blocks)}
        problems = {names[block_id]: said for block_id, said in submission.errors.items()}
        return web.json_response({"problems": problems, "keep": not submission.closed})

    async def _dismiss(self, request: web.Request) -> web.Response:
        body, _ = await _read(request)
        person = self._person(body.get("as"))
        with _refusals():
            await self._loopback.dismiss(self._view(body, person), user=person.id)
        return web.json_response({})

    async def _home(self, request: web.Request) -> web.Response:
        body, _ = await _read(request)
        await self._loopback.open_home(self._person(body.get("as")).id)
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.Response:
        body, _ = await _read(request)
        person = self._person(body.get("as"))
        with _refusals():
            await self._loopback.delete({"ts": _text(body, "ts")}, user=person.id)
        return web.json_response({})

    def _view(self, body: Json, person: Person) -> View:
        """The dialog or home tab that the page means, if it is still before the person."""
        shown = (self._loopback.view_of(person.id), self._loopback.home_view(person.id))
        for view in shown:
            if view is not None and view.id == body.get("view"):
                return view
        sentence = "This dialog is closed. Open it again."
        raise refused(web.HTTPUnprocessableEntity, sentence)

    def _place(self, body: Json) -> tuple[Person, Channel]:
        person = self._person(body.get("as"))
        channel = self._loopback.world.channels.get(str(body.get("channel")))
        if channel is None:
            raise refused(web.HTTPBadRequest, "No channel here has this id. Reload the page.")
        return person, channel

    def _person(self, user: object) -> Person:
        people = self._loopback.world.people
        if user is None:
            return next(one for one in people.values() if not one.is_bot)
        person = people.get(str(user))
        if person is None or person.is_bot:
            raise refused(web.HTTPBadRequest, "Nobody here has this id. Reload the page.")
        return person

    def _channel(self, channel_id: str | None, person: Person) -> Channel:
        """Where somebody wants to be, or where they can be."""
        places = list(self._places(person))
        return next((one for one in places if one.id == channel_id), places[0])


@contextmanager
def _refusals() -> Iterator[None]:
    """What Slack's client does not let somebody do is said on the page."""
    try:
        yield
    except ActionRefused as error:
        raise refused(web.HTTPUnprocessableEntity, str(error)) from error


async def _answered(invocation: Invocation, what: str) -> web.Response:
    """An answer once the app has taken it, or a refusal in Slack's words when it has not."""
    await invocation.acknowledged()
    if invocation.failed:
        sentence = f"{what} failed, because the app did not respond. Try it again."
        raise refused(web.HTTPUnprocessableEntity, sentence)
    return web.json_response({})


async def _read(request: web.Request) -> tuple[Json, list[Upload]]:
    """What the page sends: JSON, or a form with it and files."""
    if request.content_type != "multipart/form-data":
        return await read_json(request), []
    try:
        form = await request.post()
        body = parse_json(str(form.get("payload_json")))
    except web.HTTPRequestEntityTooLarge as error:
        most = MAX_REQUEST_BYTES // 2**20
        sentence = f"Files may have {most} MB together. Choose smaller ones."
        raise refused(web.HTTPUnprocessableEntity, sentence) from error
    except (ValueError, web.RequestPayloadError) as error:
        raise refused(web.HTTPBadRequest, "The page sends a form.") from error
    if not isinstance(body, dict):
        raise refused(web.HTTPBadRequest, "The page sends a JSON object.")
    files = [one for one in form.values() if isinstance(one, web.FileField)]
    return body, [(one.filename, one.file.read()) for one in files]


def _chosen(files: list[Upload], places: object) -> list[Upload]:
    """Those of the files that a field holds."""
    known: Any = places if isinstance(places, list) else []
    if not all(isinstance(one, int) and 0 <= one < len(files) for one in known):
        raise refused(web.HTTPBadRequest, "Files are listed by field.")
    return [files[one] for one in known]


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise refused(web.HTTPBadRequest, f"The page says {name} as a text.")
    return value


def _named_in(value: object) -> Iterator[str]:
    """What names a file, an id or an address, anywhere in blocks."""
    if isinstance(value, list):
        for one in value:
            yield from _named_in(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == "slack_file" and isinstance(one, dict):
                yield str(one.get("id") or one.get("url"))
            else:
                yield from _named_in(one)
