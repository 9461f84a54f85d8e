"""A Slack of one's own on 127.0.0.1: the server, and what people do in it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from standins.base.faults import Faults
from standins.base.guard import guard
from standins.base.ports import listen
from standins.base.timers import Clock, Timers
from standins.base.wire import Json, parse_json
from standins.slack.changes import Changes
from standins.slack.chat import Chat
from standins.slack.conversations import Conversations
from standins.slack.errors import ActionRefused, ApiError
from standins.slack.file_methods import FileMethods
from standins.slack.files import File, Files
from standins.slack.invocations import Invocation, ResponseUrls, Submission, Triggers
from standins.slack.limits import RateLimits
from standins.slack.messages import Message, Messages
from standins.slack.people import People
from standins.slack.request_url import RequestUrl
from standins.slack.socket_mode import LINK_PATH, SocketMode
from standins.slack.tokens import BotTokens, Pair
from standins.slack.view_methods import ViewMethods
from standins.slack.views import View, Views
from standins.slack.web_api import (
    API_PATH,
    Arguments,
    Method,
    WebApi,
    faulty,
    json_response,
)
from standins.slack.world import Channel, Person, World, default_world

DEFAULT_BOT_TOKEN: Final = "xoxb-loopback"  # noqa: S105 - opens nothing but a loopback server
DEFAULT_APP_TOKEN: Final = "xapp-loopback"  # noqa: S105 - as above
DEFAULT_SIGNING_SECRET: Final = "signing-loopback"  # noqa: S105 - as above
MAX_REQUEST_BYTES: Final = 25 * 2**20
_SHUTDOWN_TIMEOUT_S: Final = 2.0


class LoopbackSlack:
    """A server that speaks Slack's Web API and Socket Mode or HTTP, and holds to its rules.

    bot_token, app_token  what it accepts
    request_url           where the app is told of everything, signed with `signing_secret`; empty:
                          it is told over Socket Mode
    clock                 seconds; a ManualClock stands still until a test moves it
    rate_limits           whether to limit as Slack does (with a clock that stands still a limit
                          never ends: switch them off, or move the clock)
    processing_looks      how often a freshly completed file is still found unprocessed when
                          something looks at it: files.info, a block that names it
    world                 with everything in it; None: the default one

    An unmodified slack_bolt comes here when its client has `base_url=api_url`. `app` takes more
    routes until `start`; `world`, `faults` and `timers` are for tests to look at and to change;
    `methods` are those of the Web API.
    """

    def __init__(
        self,
        *,
        bot_token: str = DEFAULT_BOT_TOKEN,
        app_token: str = DEFAULT_APP_TOKEN,
        request_url: str = "",
        signing_secret: str = DEFAULT_SIGNING_SECRET,
        clock: Clock = time.monotonic,
        rate_limits: bool = True,
        processing_looks: int = 1,
        world: World | None = None,
    ) -> None:
        self.bot_token, self.app_token = bot_token, app_token
        self.request_url, self.signing_secret = request_url, signing_secret
        world = self.world = world or default_world()
        self.timers = Timers(clock)
        self.faults = Faults(self.timers)
        self._changes = Changes()
        changed = self._changes.happened
        self._files = Files(world, processing_looks)
        self._messages = Messages(world, self._files, changed)
        self._views = Views(world, self._files.may_be_shown, changed)
        self._triggers = Triggers(self.timers)
        self._response_urls = ResponseUrls(world, self._messages, self.timers, changed)
        self._socket_mode = SocketMode(world, self.timers, self.faults, self._changes)
        self._request_url: RequestUrl | None = None
        if request_url:
            self._request_url = RequestUrl(
                request_url, signing_secret, self.timers, self.faults, self._changes
            )
        self._people = People(
            world,
            self._messages,
            self._views,
            self._triggers,
            self._response_urls,
            (self._request_url or self._socket_mode).send,
            self.timers,
        )
        self._file_methods = FileMethods(world, self._files, self._messages, changed)
        self._bot_tokens = BotTokens(world, bot_token, clock)
        self.methods: Mapping[str, Method] = {
            "auth.test": Method(self._auth_test),
            "oauth.v2.access": Method(self._bot_tokens.refresh, tokenless=True),
            "apps.connections.open": Method(self._open_connection, app_level=True),
            **Chat(world, self._messages).methods(),
            **Conversations(world, self._messages, changed).methods(),
            **self._file_methods.methods(),
            **ViewMethods(world, self._views, self._triggers).methods(),
        }
        self._web_api = WebApi(
            world,
            self.methods,
            bot_tokens=self._bot_tokens,
            app_token=app_token,
            limits=RateLimits(clock) if rate_limits else None,
        )
        self.app = web.Application(
            middlewares=[
                guard(lambda: urlsplit(self.world.base_url).hostname),
                faulty(self.faults, spared=LINK_PATH),
            ],
            client_max_size=MAX_REQUEST_BYTES,
        )
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """The server's address, such as http://127.0.0.1:8080; it must have started."""
        if not self.world.base_url:
            raise RuntimeError("The loopback Slack has no address before it has started.")
        return self.world.base_url

    @property
    def api_url(self) -> str:
        """What stands in for https://slack.com/api/."""
        return f"{self.base_url}{API_PATH}/"

    @property
    def connections(self) -> int:
        """How many sockets the app has open; 1 where its request URL has answered a challenge."""
        if self._request_url is not None:
            return int(self._request_url.is_answering)
        return self._socket_mode.connections

    @property
    def draining(self) -> bool:
        """Whether a socket is open that the app was asked to leave."""
        return self._socket_mode.draining

    @property
    def unacknowledged(self) -> int:
        """How many things the app was told and has not acked, and may still."""
        return (self._request_url or self._socket_mode).unacknowledged

    @property
    def change_count(self) -> int:
        """How often something has changed; with `until` one waits for the next time."""
        return self._changes.count

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes any free one. Raises PortTakenError."""
        listener = listen(host, port)
        self.world.base_url = f"http://{host}:{listener.getsockname()[1]}"
        router = self.app.router
        router.add_route("*", API_PATH + "/{method}", self._web_api.serve)
        router.add_post("/upload/{ticket}", self._file_methods.upload)
        router.add_get("/files/{place}/{name}", self._download)
        router.add_post("/response/{key}", self._respond)
        router.add_get(LINK_PATH, self._socket_mode.serve)
        self._runner = web.AppRunner(
            self.app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        """Send the app away and stop listening."""
        await self._socket_mode.close()
        if self._request_url is not None:
            await self._request_url.close()
        self.timers.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def wait_connected(self) -> None:
        """Wait until a socket is open and was greeted, or the request URL answers a challenge."""
        if self._request_url is not None:
            await self._request_url.wait_verified()
        await self.until(lambda: self.connections > 0)

    async def slash(self, command: str, text: str, *, user: str, channel: str) -> Invocation:
        """A person types a command; raises ActionRefused.

        Returns once the app has been sent it, as everything does that a person does here.
        """
        return self._people.slash(command, text, self._person(user), self._channel(channel))

    async def press(
        self,
        message: Json,
        action_id: str,
        *,
        user: str,
        value: str | Sequence[str] | None = None,
    ) -> Invocation:
        """A person presses a button or chooses in a menu of a message; raises ActionRefused.

        value  of a menu what is chosen, a list where it takes several; of a button none, or its
               own to tell it from others
        """
        return self._people.press(self._seen(message), action_id, self._person(user), value)

    async def press_in_view(
        self,
        view: View,
        action_id: str,
        *,
        user: str,
        value: str | Sequence[str] | None = None,
    ) -> Invocation:
        """The same in a dialog or in the home tab; raises ActionRefused."""
        return self._people.press_in_view(view, action_id, self._person(user), value)

    async def message_shortcut(self, callback_id: str, message: Json, *, user: str) -> Invocation:
        """A person chooses a shortcut in a message's menu; raises ActionRefused."""
        return self._people.use_on_message(callback_id, self._seen(message), self._person(user))

    async def shortcut(self, callback_id: str, *, user: str) -> Invocation:
        """A person chooses a shortcut that belongs to no message."""
        return self._people.use(callback_id, self._person(user))

    async def submit(self, view: View, values: Mapping[str, object], *, user: str) -> Submission:
        """A person submits a dialog; returns when the app has answered, or has failed to.

        values  by action_id; what is not named stays as it is. Raises ActionRefused
        """
        submission = self._people.submit(view, values, self._person(user))
        await submission.acknowledged()
        return submission

    async def dismiss(self, view: View, *, user: str, all_of_them: bool = False) -> None:
        """A person closes a dialog, or all that lie on each other; raises ActionRefused."""
        self._people.dismiss(view, self._person(user), all_of_them=all_of_them)

    async def say(
        self,
        text: str,
        *,
        user: str,
        channel: str,
        thread_ts: str | None = None,
        files: Sequence[tuple[str, bytes]] = (),
    ) -> Json:
        """A person writes a message; raises ActionRefused.

        files  names and bytes
        """
        person, place = self._person(user), self._channel(channel)
        added = [self._files.add(person, name, data) for name, data in files]
        return self._told(self._people.say(text, person, place, thread_ts, added))

    async def delete(self, message: Json, *, user: str) -> None:
        """A person deletes a message, their own or as an admin anybody's; raises ActionRefused.

        What only they see they dismiss so.
        """
        self._people.delete(self._seen(message), self._person(user))

    async def upload_as(self, user: str, channel: str, filename: str, data: bytes) -> Json:
        """A person shares a picture; the file. Raises ActionRefused."""
        message = await self.say("", user=user, channel=channel, files=[(filename, data)])
        file: Json = message["files"][0]
        return file

    async def open_home(self, user: str) -> None:
        """A person opens the app's home tab."""
        self._people.open_home(self._person(user))

    async def promote(self, user: str, *, is_admin: bool = True) -> None:
        """Somebody makes a person an admin of the workspace, or no longer one."""
        person = self._person(user)
        person.is_admin = is_admin
        event = {"type": "user_change", "user": person.profile_json()}
        self._people.tell(event | {"event_ts": self.world.new_ts()})

    async def regroup(self, group: str, users: Sequence[str]) -> None:
        """Somebody changes who is in a user group."""
        found = self.world.user_groups[group]
        before, after = set(found.user_ids), set(users)
        found.user_ids = list(users)
        event = {
            "type": "subteam_members_changed",
            "subteam_id": group,
            "team_id": found.team_id or self.world.team_id,
            "added_users": sorted(after - before),
            "removed_users": sorted(before - after),
        }
        self._people.tell(event | {"event_ts": self.world.new_ts()})

    async def uninstall(self) -> None:
        """Somebody removes the app from the workspace."""
        await self.revoke_tokens()
        self._people.tell({"type": "app_uninstalled", "event_ts": self.world.new_ts()})
        self.world.installation = "uninstalled"

    async def remove_from(self, team_id: str) -> None:
        """Somebody takes the app away from one workspace of the organisation."""
        self.world.teams[team_id].has_app = False
        now = self.world.new_ts()
        self._people.tell({"type": "team_access_revoked", "team_ids": [team_id], "event_ts": now})

    async def revoke_tokens(self) -> None:
        """Somebody takes the bot's token back."""
        tokens = {"oauth": [], "bot": [self.world.bot_user_id]}
        event = {"type": "tokens_revoked", "tokens": tokens, "event_ts": self.world.new_ts()}
        self._people.tell(event)
        self.world.installation = "revoked"

    async def rotate_tokens(self) -> Pair:
        """Somebody switches token rotation on and installs the app anew; what to give to the bot.

        A token lives for 12 hours of the clock from now on.
        """
        return self._bot_tokens.rotate()

    async def disconnect_sockets(self, reason: str = "refresh_requested") -> None:
        """Ask the app to come back on new sockets, as Slack does; the old ones close later."""
        self._socket_mode.disconnect(reason)

    def history(self, channel: str, *, viewer: str | None = None) -> list[Json]:
        """What a person (None: everybody) sees in a channel, oldest first, replies too."""
        messages = self._messages.of(self._channel(channel))
        return [self._told(one) for one in messages if one.viewer_id in {None, viewer}]

    def message(self, channel: str, ts: str) -> Json:
        """A message; raises KeyError."""
        message = self._messages.find(channel, ts)
        if message is None:
            raise KeyError(ts)
        return self._told(message)

    def attach(self, name: str, data: bytes, *, user: str) -> Json:
        """A person puts a file into a dialog: what to submit as one of a file_input's."""
        return self._files.json(self._files.add(self._person(user), name, data, given=True))

    def file(self, file_id: str) -> File:
        """What is known of a file; raises KeyError when there is none."""
        return self._files.any(file_id)

    def file_bytes(self, file_id: str) -> bytes:
        """A file; raises KeyError when it is gone."""
        file = self._files.any(file_id)
        if file.state == "deleted":
            raise KeyError(file_id)
        return file.data

    def view_of(self, user: str) -> View | None:
        """The dialog before a person, None: no one."""
        return self._views.top(self._person(user).id)

    def home_of(self, user: str) -> Json | None:
        """A person's home tab, None before it was published."""
        home = self._views.home(self._person(user).id)
        return None if home is None else home.json(self.world)

    def home_view(self, user: str) -> View | None:
        """The same, to press in."""
        return self._views.home(self._person(user).id)

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until `predicate` holds; it is asked at every change."""
        await self._changes.until(predicate)

    def _auth_test(self, _: Arguments) -> Json:
        world = self.world
        told: Json = {
            "url": f"https://{world.team_domain}.slack.com/",
            "team": world.team_name,
            "user": world.bot.name,
            "team_id": world.team_id,
            "user_id": world.bot_user_id,
            "bot_id": world.bot_id,
            "is_enterprise_install": False,
        }
        if (enterprise := world.enterprise) is not None:
            told |= {
                "team": enterprise["name"],
                "team_id": enterprise["id"],
                "enterprise_id": enterprise["id"],
                "is_enterprise_install": True,
            }
        return told

    def _open_connection(self, _: Arguments) -> Json:
        return {"url": self._socket_mode.new_url()}

    async def _respond(self, request: web.Request) -> web.Response:
        try:
            body = parse_json(await request.read())
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return json_response({"ok": False, "error": "invalid_payload"}, 400)
        try:
            self._response_urls.use(request.match_info["key"], body)
        except ApiError as error:
            return json_response(error.body, 404)
        return web.Response(text="ok")

    async def _download(self, request: web.Request) -> web.Response:
        try:
            self._web_api.check_token(request, Arguments({}))
            may_read = "files:read" in self.world.scopes
        except ApiError:
            may_read = False
        return await self._file_methods.download(request, may_read=may_read)

    def _told(self, message: Message) -> Json:
        told = self._messages.json(message) | {"channel": message.channel.id}
        if message.viewer_id is not None:
            told |= {"is_ephemeral": True, "viewer": message.viewer_id}
        return told

    def _seen(self, message: Json) -> Message:
        found = self._messages.find_ts(str(message.get("ts") or message.get("message_ts")))
        if found is None:
            raise ActionRefused("The message is gone.")
        return found

    def _person(self, user: str) -> Person:
        return self.world.people[user]

    def _channel(self, channel: str) -> Channel:
        return self.world.channels[channel]
