"""Every call that the home makes times every fault that may strike it, and what comes of that.

What is done is written once, as a scene. It is played without a fault first: the calls that it
makes then are those that are struck, one after the other.
"""

import asyncio
import io
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from bot.app import App, slack_home
from bot.config.reading import SlackTokens
from bot.config.sections import SlackConfig
from bot.core.card import FAILURE_MARK
from bot.core.job import Origin, Venue
from bot.homes.slack import render
from bot.homes.slack.home import SlackHome
from bot.homes.slack.places import Place
from bot.shared.secret import Secret
from sdxl_engine import ImageRequest, Images, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from standins.base.faults import Fault
from standins.base.timers import ManualClock
from standins.slack.loopback import DEFAULT_APP_TOKEN, DEFAULT_BOT_TOKEN, LoopbackSlack
from standins.slack.socket_mode import LINK_PATH
from standins.slack.views import View
from standins.slack.web_api import API_PATH
from tests.bot.conftest import SIZES, Bot, ShutThrottle, make_config
from tests.bot.homes.slack.desk import GUS, MOD_LOG, admin, with_desk
from tests.bot.homes.slack.test_running import ADA, BEN, CLEO, IMAGINE, MIA, has_pictures, says
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]
Call = tuple[str, int]  # a route, and which of the calls of it

# As of tests.bot.homes.discord.matrix, without what only Discord says.
FAULTS: Final[Mapping[str, dict[str, Any]]] = {
    "broken off": {"kind": "drop_before"},
    "done, then broken off": {"kind": "drop_after"},
    "503": {"kind": "status"},
    "done, then 502": {"kind": "status_after", "status": 502, "body": "<html>bad gateway</html>"},
    "429": {"kind": "rate_limit"},
    "never": {"kind": "latency"},
}
_LIMIT_S: Final = 0.1  # of a call that never ends; any other has time, however slow the machine is
_PATIENCE_S: Final = 60.0
_ONE: Final = "a fox --count 1 --steps 1"
_SERVED: Final = {"upload": "/upload/*", "response": "/response/*", "files": "/files/*/*"}


class Recorder:
    """What the bot asked of Slack."""

    def __init__(self) -> None:
        self.routes: list[str] = []

    def watch(self, slack: LoopbackSlack) -> None:
        """Before it has started."""
        slack.app.middlewares.insert(0, self._middleware)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix(API_PATH)
        if path != LINK_PATH:
            self.routes.append(_SERVED.get(path.split("/")[1], path))
        return await handler(request)


class _Pipeline(FakePipeline):
    """Draws at once, but for what is asked to wait; a moderator is to see what is bare first."""

    def __init__(self) -> None:
        super().__init__(SIZES, checks=("nsfw",))
        self.gate = Gate()

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        self._gate = self.gate if request.prompt == "waits" else None
        yield from super().generate(request, pictures=pictures, previews=previews)

    def _draw(self, request: ImageRequest) -> Images:
        scores = {"nsfw": 0.9 if request.prompt == "bare" else 0.1}
        return tuple(replace(one, scores=scores) for one in super()._draw(request))


class Stage:
    """A bot and its Slack, for one scene after another."""

    def __init__(
        self, slack: LoopbackSlack, bot: Bot, recorder: Recorder, pipeline: _Pipeline
    ) -> None:
        self.slack, self.bot, self.recorder, self.pipeline = slack, bot, recorder, pipeline
        (home,) = bot.app.homes.values()
        assert isinstance(home, SlackHome)
        self.home = home
        self.reporters = itertools.cycle((ADA, CLEO, MIA, GUS))  # each may report so often a day

    def seen(
        self,
        wanted: Callable[[Message], bool],
        *,
        viewer: str | None = BEN,
        channel: str = IMAGINE,
    ) -> list[Message]:
        """The messages that somebody sees, of which that holds."""
        return [one for one in self.slack.history(channel, viewer=viewer) if wanted(one)]

    async def new(
        self,
        wanted: Callable[[Message], bool],
        do: Callable[[], Awaitable[object]],
        *,
        viewer: str | None = BEN,
        channel: str = IMAGINE,
    ) -> Message:
        """Do something; the message that is as wanted then, and was not before."""
        before = {one["ts"] for one in self.seen(wanted, viewer=viewer, channel=channel)}

        def found() -> list[Message]:
            there = self.seen(wanted, viewer=viewer, channel=channel)
            return [one for one in there if one["ts"] not in before]

        await do()
        await self.slack.until(lambda: bool(found()))
        return found()[0]

    async def ask(self, text: str = _ONE, *, user: str = BEN) -> None:
        """Somebody types /imagine."""
        await self.slack.slash("/imagine", text, user=user, channel=IMAGINE)

    async def card(self, text: str = _ONE) -> Message:
        """A finished card."""
        found = await self.new(has_pictures, lambda: self.ask(text))
        await self.rest()
        return found

    async def press(self, message: Message, action: str, *, user: str = BEN) -> None:
        """Somebody presses a button."""
        await self.slack.press(message, action, user=user)

    async def is_at_rest(self) -> bool:
        """Whether nothing is being done, all jobs are told, and the clerk has nothing to bring."""
        app, home = self.bot.app, self.home
        # Not by `find`: it would read hundreds of jobs each time.
        untold = "SELECT 1 FROM jobs WHERE told = 0 AND state != 'review' LIMIT 1"
        if home._doing or await app.ledger.database.read(
            lambda connection: connection.execute(untold).fetchone()
        ):
            return False
        registry = app.moderators._registry
        waiting = (registry.notices, registry.to_amend, registry.at_desks)
        return not any([await one("slack", limit=1) for one in waiting])

    async def rest(self) -> None:
        """Wait until nothing is being done."""
        calm = 0
        while calm < 2:
            await asyncio.sleep(0.002)
            calm = calm + 1 if await self.is_at_rest() else 0

    def forget(self) -> None:
        """Have everything asked anew that is remembered of people and channels."""
        self.home._people._profiles.forget()
        self.home._people._groups.forget()
        self.home._channels._open.clear()

    async def dialog(self, do: Callable[[], Awaitable[object]], user: str = BEN) -> View:
        """Do something; the dialog that opens."""
        await do()
        await self.slack.until(lambda: self.slack.view_of(user) is not None)
        view = self.slack.view_of(user)
        assert view is not None
        return view

    async def changed_tab(self, do: Callable[[], Awaitable[object]]) -> View:
        """Do something; one's tab as it looks then."""
        before = self.slack.home_view(BEN)
        old = None if before is None else before.hash

        def found() -> View | None:
            view = self.slack.home_view(BEN)
            return None if view is None or view.hash == old else view

        await do()
        await self.slack.until(lambda: found() is not None)
        await self.rest()
        view = self.slack.home_view(BEN)
        assert view is not None
        return view

    async def close_dialogs(self) -> None:
        """Nobody has one open."""
        for user in (ADA, BEN, CLEO, MIA):
            view = self.slack.view_of(user)
            if view is not None:
                await self.slack.dismiss(view, user=user, all_of_them=True)

    def failures(self, user: str) -> int:
        """How often somebody was told why not."""
        direct = self.slack.world.direct_message(user).id
        channels = [one for one in (IMAGINE, MOD_LOG, direct) if self._is_in(user, one)]
        told = sum(len(self.seen(is_failure, viewer=user, channel=channel)) for channel in channels)
        home = self.slack.home_view(user)
        return told + (home is not None and FAILURE_MARK in str(home.blocks))

    def _is_in(self, user: str, channel: str) -> bool:
        return user in self.slack.world.channels[channel].member_ids


def is_failure(message: Message) -> bool:
    """Whether it says why not."""
    return FAILURE_MARK.strip() in f"{message.get('text')}\n{render.text_of(message)}"


@dataclass(frozen=True)
class Act:
    """What is done, and struck.

    do       does it
    results  how much there is of what shall come of it, once more each time
    user     who does it
    rests    nothing else is being done before it
    lost     the answer to the first call of this route is lost, whatever else is
    reason   what comes of it is a reason why not: better twice than never
    """

    do: Callable[[], Awaitable[object]]
    results: Callable[[], int]
    user: str = BEN
    rests: bool = True
    lost: str = ""
    reason: bool = False


Scene = Callable[[Stage], Awaitable[Act]]
Wanted = Callable[[Message], bool]


def _message(
    stage: Stage, do: Callable[[], Awaitable[object]], wanted: Wanted, **where: Any
) -> Act:
    """Messages come of it."""
    user = where.pop("user", BEN)
    where.setdefault("viewer", user)
    return Act(do, lambda: len(stage.seen(wanted, **where)), user)


def _dialog(stage: Stage, do: Callable[[], Awaitable[object]], user: str = BEN) -> Act:
    """A dialog comes of it."""
    return Act(do, lambda: int(stage.slack.view_of(user) is not None), user)


def _asked(text: str, wanted: Wanted, *, forgets: bool = False) -> Scene:
    """Something is typed behind the command."""

    async def scene(stage: Stage) -> Act:
        if forgets:
            stage.forget()
        return _message(stage, lambda: stage.ask(text), wanted)

    return scene


def _why_not(scene: Scene) -> Scene:
    """What comes of it is a reason."""

    async def refused(stage: Stage) -> Act:
        return replace(await scene(stage), reason=True)

    return refused


async def _mentioned_person(stage: Stage) -> Act:
    """A mention is tried once, as the pictures are there: it comes no more than once."""

    def results() -> int:
        mentions = Counter(one.get("thread_ts") for one in stage.seen(says("pictures are there")))
        return len(stage.seen(has_pictures)) + sum(count - 1 for count in mentions.values())

    return Act(lambda: stage.ask(f"{_ONE} --tell-me"), results)


def _administered(text: str, wanted: Wanted, *, forgets: bool = False) -> Scene:
    """An admin types a command for those who keep order."""

    async def scene(stage: Stage) -> Act:
        if forgets:
            stage.forget()
        do = partial(stage.slack.slash, "/imagine-admin", text, user=ADA, channel=IMAGINE)
        return _message(stage, do, wanted, user=ADA)

    return scene


def _pressed(action: str, wanted: Wanted, *, user: str = BEN, text: str = _ONE) -> Scene:
    """A button below a finished card."""

    async def scene(stage: Stage) -> Act:
        card = await stage.card(text)
        return _message(stage, lambda: stage.press(card, action, user=user), wanted, user=user)

    return scene


async def _dialog_asked(stage: Stage) -> Act:
    return _dialog(stage, lambda: stage.ask(""))


async def _dialog_sent(stage: Stage) -> Act:
    view = await stage.dialog(lambda: stage.ask(""))
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    attached = stage.slack.attach("red.png", file.getvalue(), user=BEN)
    values = {"prompt": "a hen", "settings": "count: 1\nsteps: 1", "picture": [attached]}
    return _message(stage, lambda: stage.slack.submit(view, values, user=BEN), has_pictures)


async def _edit_begun(stage: Stage) -> Act:
    card = await stage.card()
    return _dialog(stage, lambda: stage.press(card, "v1:edit"))


async def _edit_sent(stage: Stage) -> Act:
    card = await stage.card()
    view = await stage.dialog(lambda: stage.press(card, "v1:edit"))
    values = {"prompt": "a hen"}
    return _message(stage, lambda: stage.slack.submit(view, values, user=BEN), has_pictures)


async def _shortcut(stage: Stage) -> Act:
    return _dialog(stage, lambda: stage.slack.shortcut("imagine", user=BEN))


async def _from_this(stage: Stage) -> Act:
    card = await stage.card()
    return _dialog(stage, lambda: stage.slack.message_shortcut("imagine_from", card, user=BEN))


def _mentioned(text: str, wanted: Wanted) -> Scene:
    async def scene(stage: Stage) -> Act:
        said = await stage.slack.say("look", user=BEN, channel=IMAGINE)
        mention = f"<@{stage.slack.world.bot_user_id}> {text}"
        do = partial(stage.slack.say, mention, user=BEN, channel=IMAGINE, thread_ts=said["ts"])
        return _message(stage, do, wanted)

    return scene


def _read_back(scene: Scene) -> Scene:
    """The first words were written, and their answer was lost."""

    async def before(stage: Stage) -> Act:
        return replace(await scene(stage), lost="/chat.postMessage")

    return before


async def _looked_further(stage: Stage) -> Act:
    card = await stage.card("a fox --steps 1 --count 2")
    alone = await stage.new(_is_alone, lambda: stage.press(card, "v1:open:0"))
    do = partial(stage.press, alone, "v1:look:1")
    return _message(stage, do, lambda message: "v1:like:1" in str(message))


async def _liked(stage: Stage) -> Act:
    card = await stage.card()
    alone = await stage.new(_is_alone, lambda: stage.press(card, "v1:open:0"))
    do = partial(stage.press, alone, "v1:like:0")
    return _message(stage, do, lambda message: "v1:unlike:0" in str(message))


async def _shown_again(stage: Stage) -> Act:
    """The pictures of a job that could not be shown where it was asked for."""
    refusal = {"ok": False, "error": "is_archived"}
    refused = Fault(kind="status", route="/chat.update", status=200, body=refusal, count=None)
    stage.slack.faults.add(refused)
    await stage.ask()
    await refused.wait_fired()
    await stage.rest()
    stage.slack.faults.clear()
    listed = await stage.new(lambda one: "v1:show:0" in str(one), lambda: stage.ask("jobs"))
    return _message(stage, lambda: stage.press(listed, "v1:show:0"), _is_alone)


async def _listed(stage: Stage) -> Act:
    await stage.card()
    return _message(stage, lambda: stage.ask("jobs"), says("Your jobs"))


async def _cancelled(stage: Stage) -> Act:
    await stage.new(says("waits"), lambda: stage.ask("waits --count 1 --steps 1"))
    card = await stage.new(says("a hen"), lambda: stage.ask("a hen --count 1 --steps 1"))

    async def do() -> None:
        await stage.press(card, "v1:cancel")
        told = stage.failures(BEN)
        await stage.slack.until(
            lambda: (
                says("Cancelled by")(stage.slack.message(IMAGINE, card["ts"]))
                or stage.failures(BEN) > told
            )
        )
        stage.pipeline.gate.let_through(1)

    return replace(_message(stage, do, says("Cancelled by")), rests=False)


async def _draft_deleted(stage: Stage) -> Act:
    draft = await stage.card(f"{_ONE} --private")
    return _message(stage, lambda: stage.press(draft, "v1:delete"), says("Deleted by"))


async def _unblurred(stage: Stage) -> Act:
    card = await stage.card(f"{_ONE} --spoiler")
    return _message(
        stage, lambda: stage.press(card, "v1:unblur"), lambda one: _is_sharp(one, card["ts"])
    )


async def _report_begun(stage: Stage) -> Act:
    card = await stage.card()
    do = partial(stage.slack.message_shortcut, "report", card, user=CLEO)
    return _dialog(stage, do, CLEO)


async def _report_sent(stage: Stage) -> Act:
    card = await stage.card()
    who = next(stage.reporters)
    view = await stage.dialog(lambda: stage.slack.message_shortcut("report", card, user=who), who)
    do = partial(stage.slack.submit, view, {"reason": "bad"}, user=who)
    return _message(stage, do, says("Reported. A moderator"), user=who)


async def _case(stage: Stage) -> Message:
    """A case of pictures that wait for a moderator."""
    case = await stage.new(
        has_pictures,
        lambda: stage.ask("bare --count 1 --steps 1"),
        viewer=MIA,
        channel=MOD_LOG,
    )
    await stage.rest()
    return case


async def _held(stage: Stage) -> Act:
    do = partial(stage.ask, "bare --count 1 --steps 1")
    return _message(stage, do, has_pictures, user=MIA, channel=MOD_LOG)


def _decided(act: str) -> Scene:
    """A moderator decides; what they are told."""

    async def scene(stage: Stage) -> Act:
        if act == "block":  # as they were before
            unblocking = await admin(stage.slack, f"unblock <@{BEN}>")
            await stage.slack.until(lambda: bool(unblocking.responses))
            await stage.rest()
        case = await _case(stage)
        do: Callable[[], Awaitable[object]] = partial(stage.press, case, f"desk:{act}", user=MIA)
        if act in {"delete", "warn", "block"}:
            view = await stage.dialog(do, MIA)
            do = partial(stage.slack.submit, view, {"reason": "why"}, user=MIA)
        return _message(stage, do, _is_answer, user=MIA, channel=MOD_LOG)

    return scene


async def _approved(stage: Stage) -> Act:
    """The same, as the one sees it who asked."""
    case = await _case(stage)
    return _message(stage, lambda: stage.press(case, "desk:approve", user=MIA), has_pictures)


async def _warned(stage: Stage) -> Act:
    case = await _case(stage)
    view = await stage.dialog(lambda: stage.press(case, "desk:warn", user=MIA), MIA)
    do = partial(stage.slack.submit, view, {"reason": "why"}, user=MIA)
    direct = stage.slack.world.direct_message(BEN).id
    return _message(stage, do, says("A moderator warns you"), channel=direct)


async def _why_asked(stage: Stage) -> Act:
    case = await _case(stage)
    return _dialog(stage, lambda: stage.press(case, "desk:warn", user=MIA), MIA)


def _sent_file(text: str, command: str, user: str) -> Scene:
    """A file comes in a direct message."""

    async def scene(stage: Stage) -> Act:
        await stage.card()
        do = partial(stage.slack.slash, command, text, user=user, channel=IMAGINE)
        direct = stage.slack.world.direct_message(user).id
        return _message(stage, do, lambda one: bool(one.get("files")), user=user, channel=direct)

    return scene


async def _erased(stage: Stage) -> Act:
    question = await stage.new(says("Really erase"), lambda: stage.ask("privacy erase"))
    return _message(stage, lambda: stage.press(question, "privacy:erase"), says("Erased:"))


def _in_tab(words: str, label: str = "") -> Scene:
    """Something is looked at in the bot's own tab, behind a button of it."""

    async def scene(stage: Stage) -> Act:
        await stage.card()
        stage.home._tab._files.clear()

        do: Callable[[], Awaitable[object]] = partial(stage.slack.open_home, BEN)
        if label:
            view = await stage.changed_tab(do)
            (button, *_) = (
                element
                for block in view.blocks
                for element in (*block.get("elements", ()), block.get("accessory", {}))
                if element.get("type") == "button" and label in element["text"]["text"]
            )
            do = partial(
                stage.slack.press_in_view,
                view,
                button["action_id"],
                user=BEN,
                value=button["value"],
            )
        before = stage.slack.home_view(BEN)
        old = None if before is None else before.hash

        def results() -> int:
            view = stage.slack.home_view(BEN)
            return int(view is not None and view.hash != old and words in str(view.blocks))

        return Act(do, results)

    return scene


async def _settings_begun(stage: Stage) -> Act:
    return _dialog(stage, lambda: stage.ask("settings"))


async def _settings_sent(stage: Stage) -> Act:
    view = await stage.dialog(lambda: stage.ask("settings"))
    do = partial(stage.slack.submit, view, {"settings": "steps: 3"}, user=BEN)
    return _message(stage, do, says("*Yours*: 3 steps"))


def _apologized(*, in_thread: bool) -> Scene:
    """After a restart: somebody was heard, and nothing came of it."""

    async def scene(stage: Stage) -> Act:
        where = IMAGINE
        token = ""
        if in_thread:
            said = await stage.slack.say("look", user=BEN, channel=IMAGINE)
            where = str(Place(IMAGINE, said["ts"]))
        else:
            asked = await stage.slack.slash("/imagine", "help", user=BEN, channel=IMAGINE)
            await stage.slack.until(lambda: bool(asked.responses))
            token = asked.response_url or ""
        origin = Origin(Venue("slack", "T", where), "1", None, token, 2**20)
        do = partial(stage.home.apologize, origin, "The bot was restarted.", "")
        return _message(stage, do, says("The bot was restarted."))

    return scene


def _is_alone(message: Message) -> bool:
    return has_pictures(message) and "viewer" in message


def _is_answer(message: Message) -> bool:
    return message.get("viewer") == MIA and not is_failure(message)


def _is_sharp(message: Message, ts: str) -> bool:
    return message["ts"] == ts and has_pictures(message) and ".blurred" not in str(message)


SCENES: Final[Mapping[str, Scene]] = {
    "command": _asked(_ONE, has_pictures, forgets=True),
    "command, two pictures": _asked("a fox --count 2 --steps 1", has_pictures),
    "command, card read back": _read_back(_asked(_ONE, has_pictures)),
    "command, refused": _why_not(_asked("a fox --steps many", says("--steps needs"))),
    "command, with a mention of its person": _mentioned_person,
    "draft": _asked(f"{_ONE} --private", _is_alone),
    "draft, deleted": _draft_deleted,
    "mention": _mentioned(_ONE, has_pictures),
    "mention, card read back": _read_back(_mentioned(_ONE, has_pictures)),
    "mention, refused": _why_not(_mentioned("a fox --steps many", says("--steps needs"))),
    "dialog": _dialog_asked,
    "dialog, sent": _dialog_sent,
    "shortcut": _shortcut,
    "shortcut of a message": _from_this,
    "jobs": _listed,
    "queue": _asked("queue", says("wait")),
    "help": _asked("help", says("Flags may follow")),
    "settings": _settings_begun,
    "settings, sent": _settings_sent,
    "privacy": _asked("privacy", says("is kept")),
    "privacy export": _sent_file("privacy export", "/imagine", BEN),
    "privacy export, answered": _asked("privacy export", says("direct messages to you")),
    "privacy erase": _asked("privacy erase", says("Really erase")),
    "privacy erase, pressed": _erased,
    "reroll": _pressed("v1:reroll", has_pictures),
    "upscale": _pressed("v1:upscale:0", has_pictures),
    "vary": _pressed("v1:strong:0", has_pictures),
    "publish": _pressed("v1:publish", says("published by"), text=f"{_ONE} --private"),
    "recipe": _pressed("v1:recipe", says("To ask again"), user=CLEO),
    "look": _pressed("v1:open:0", _is_alone, user=CLEO),
    "look further": _looked_further,
    "like": _liked,
    "show again": _shown_again,
    "cancel": _cancelled,
    "delete": _pressed("v1:delete", says("Deleted by")),
    "blur": _pressed("v1:blur", lambda one: ".blurred" in str(one)),
    "unblur": _unblurred,
    "edit": _edit_begun,
    "edit, sent": _edit_sent,
    "report": _report_begun,
    "report, sent": _report_sent,
    "case": _held,
    "case, shown": _approved,
    "case, why": _why_asked,
    **{f"case, {act}": _decided(act) for act in ("approve", "blur", "delete", "block")},
    "warning": _warned,
    "admin desk": _administered(f"desk <#{MOD_LOG}|>", says(f"<#{MOD_LOG}>"), forgets=True),
    "admin audit": _administered("audit", says("desk")),
    "admin export": _sent_file("export csv", "/imagine-admin", ADA),
    "tab": _in_tab("page 1"),
    "tab, look": _in_tab("Larger", "Look"),
    "apology": _why_not(_apologized(in_thread=False)),
    "apology in a thread": _why_not(_apologized(in_thread=True)),
}


# Every call that there is, and a scene that makes it.
ROUTES: Final[Mapping[str, str]] = {
    "/chat.postEphemeral": "draft",
    "/chat.postMessage": "command",
    "/chat.update": "command",
    "/conversations.history": "command",
    "/conversations.info": "command",
    "/conversations.open": "warning",
    "/conversations.replies": "mention",
    "/files.completeUploadExternal": "command",
    "/files.delete": "delete",
    "/files.getUploadURLExternal": "command",
    "/files.info": "dialog, sent",
    "/files/*/*": "dialog, sent",
    "/response/*": "help",
    "/upload/*": "command",
    "/usergroups.list": "command",
    "/users.info": "command",
    "/views.open": "dialog",
    "/views.publish": "tab",
}
OTHER_ROUTES: Final = frozenset(_SERVED.values())  # none of the Web API's methods


@dataclass
class Row:
    """What came of a scene.

    calls     that it makes when nothing is wrong
    problems  what must not be, by call and fault
    """

    calls: list[Call] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Stage]:
    """A bot and its Slack."""
    clock = ManualClock(time.time())
    slack, recorder, pipeline = (
        LoopbackSlack(clock=clock, rate_limits=False),
        Recorder(),
        _Pipeline(),
    )
    recorder.watch(slack)
    await slack.start()
    waited = ManualClock()

    async def sleep(seconds: float) -> None:
        waited.advance(seconds)
        await asyncio.sleep(0.001)

    config = replace(
        make_config(grace_s=0),
        slack=SlackConfig(api_url=slack.api_url, moderators=("S0MODERATE",)),
    )
    make = slack_home(
        config,
        SlackTokens(Secret(DEFAULT_BOT_TOKEN), Secret(DEFAULT_APP_TOKEN)),
        throttle=ShutThrottle,
        clock=waited,
        sleep=sleep,
    )
    bot = Bot(App(config, lambda: pipeline, [make], folder))
    try:
        await slack.wait_connected()
        stage = Stage(slack, bot, recorder, pipeline)
        await with_desk(slack)
        yield stage
    finally:
        pipeline.gate.open()
        bot.stop.set()
        await asyncio.gather(bot.task, return_exceptions=True)
        await slack.close()


async def play(stage: Stage, scene: Scene, faults: Mapping[Call, str]) -> tuple[list[Call], str]:
    """Play a scene; the calls that it made, and what is wrong with its end.

    faults  the one call that is struck, and by what; none: nothing is wrong
    """
    problem = ""
    await stage.rest()
    await stage.close_dialogs()
    act = await scene(stage)
    if act.rests:
        await stage.rest()
    results, failures = act.results(), stage.failures(act.user)
    if act.lost:
        stage.slack.faults.add(Fault(kind="drop_after", route=act.lost))
    stage.home._calls._limit_s = _LIMIT_S if "never" in faults.values() else _PATIENCE_S
    put = [
        stage.slack.faults.add(Fault(route=route, nth=nth, **FAULTS[fault]))
        for (route, nth), fault in faults.items()
    ]
    stage.recorder.routes.clear()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await act.do()
            for fault in put:
                await fault.wait_fired()
            while True:
                await stage.rest()
                came, told = act.results() - results, stage.failures(act.user) - failures
                if came or told:
                    break
                await asyncio.sleep(0.005)
            await stage.rest()
    except TimeoutError:
        problem = "it never came to an end"
    finally:
        stage.slack.faults.clear()
    came, told = act.results() - results, stage.failures(act.user) - failures
    if (came > 1 and not act.reason) or (not came and not told):
        problem += f"{came} results, {told} reasons"
    if not faults and told > came:  # what shall come of it may be a reason
        problem += f"{told} reasons, with nothing wrong"
    counted: Counter[str] = Counter()
    calls = []
    for route in stage.recorder.routes:
        counted[route] += 1
        if (route, counted[route]) != (act.lost, 1):
            calls.append((route, counted[route]))
    return calls, problem


async def row(name: str, folder: Path) -> Row:
    """A scene, with each of its calls struck by each fault, in one bot."""
    found = Row()
    async with opened(folder) as stage:
        scene = SCENES[name]
        await play(stage, scene, {})  # what is asked of Slack once only is asked now
        before, _ = await play(stage, scene, {})
        calls, problem = await play(stage, scene, {})
        # Of what is left to do of one play some may be done in the next: not each has that call.
        found.calls = [one for one in calls if one in before]
        if problem:
            found.problems["nothing"] = problem
            return found
        for call in found.calls:
            for fault in FAULTS:
                _, problem = await play(stage, scene, {call: fault})
                if problem:
                    found.problems[f"{call[0]} {call[1]}, {fault}"] = problem
    return found
