"""Slack as a home: its cards and its connection, put together."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from slack_bolt.app.async_app import AsyncApp

from bot.core import card
from bot.core.case import AtDesk, Notice
from bot.core.job import Job, Origin, Record
from bot.core.moderators import Moderators
from bot.core.policy import Viewer
from bot.core.ports.gallery import Picture
from bot.core.ports.home import LendPictures
from bot.core.ports.ledger import Ledger
from bot.core.privacy import Privacy
from bot.core.queue.waiting import JobQueue
from bot.core.stage import Stage
from bot.core.studio import UNNOTED, Studio
from bot.errors import NotAllowedError, PictureLostError, UndeliveredError, UnknownJobError
from bot.homes.cards.desk import CardDesk, OnMessage
from bot.homes.cards.editor import is_away, retry_after_s
from bot.homes.cards.pace import MakeThrottle, edit_throttle
from bot.homes.slack import dialogs, home_tab, render, typed
from bot.homes.slack.admin_command import AdminCommand
from bot.homes.slack.buttons import (
    ACTION,
    DESK_ACTION,
    MAKING,
    PRIVACY_ACTION,
    desk_press_of,
    press_of,
)
from bot.homes.slack.calls import Calls, named
from bot.homes.slack.carousels import Carousels
from bot.homes.slack.channels import Channels
from bot.homes.slack.connection import SlackConnection, WayIn
from bot.homes.slack.desk_message import DeskMessages
from bot.homes.slack.desk_presses import DeskPresses
from bot.homes.slack.direct_files import DirectFiles
from bot.homes.slack.direct_messages import DirectMessages
from bot.homes.slack.editing import Editing
from bot.homes.slack.files import Files
from bot.homes.slack.home_tab import HomeTab, tab_of
from bot.homes.slack.imagine_command import ImagineCommand
from bot.homes.slack.intake import Asked, Intake, asked_of
from bot.homes.slack.lists import Lists
from bot.homes.slack.manifest import (
    ADMIN_COMMAND,
    CHANNEL_EVENTS,
    COMMAND,
    GROUP_EVENTS,
    IMAGINE,
    IMAGINE_FROM,
    PERSON_EVENT,
    RECIPE,
    REPORT,
    SHUT_OUT_EVENTS,
    TEAM_SHUT_OUT_EVENT,
)
from bot.homes.slack.message import CardMessage, FindPicture
from bot.homes.slack.people import People
from bot.homes.slack.pictures import blank
from bot.homes.slack.places import HOME, place_of
from bot.homes.slack.posted import Posted
from bot.homes.slack.presses import Presses
from bot.homes.slack.privacy_command import PrivacyCommand
from bot.homes.slack.private_words import send_surely
from bot.homes.slack.recipes import Recipes
from bot.homes.slack.rotation import RotationSettings
from bot.homes.slack.settings import Settings
from bot.homes.slack.shows import Shows
from bot.homes.slack.uploads import PROCESSING
from bot.homes.slack.voice import Voice
from bot.languages.languages import Languages
from bot.shared.retry import Sleep, persist
from bot.shared.secret import Secret
from sdxl_engine.sentence import say, sentence_of

log = logging.getLogger(__name__)

Body = dict[str, Any]
Ack = Callable[..., Awaitable[object]]
Send = Callable[[Asked, dialogs.Filled], Awaitable[None]]
OfMessage = Callable[[Asked, dict[str, Any]], Awaitable[None]]

_CALLS_AT_ONCE: Final = 64
_LOST: Final = say("The bot no longer keeps these pictures, so they stay as they are shown.")


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """What a Slack home is told.

    bot_token   the bot's (xoxb-)
    way_in      over which it is told
    api_url     empty is the real Slack
    moderators  the ids of user groups whose members keep order
    rotation    what the bot's next token is bought with; None: its token never ends
    """

    bot_token: Secret
    way_in: WayIn
    api_url: str = ""
    moderators: frozenset[str] = frozenset()
    rotation: RotationSettings | None = None


class SlackHome:
    """Implements `Home`.

    queue, ledger  as `CardDesk` needs them
    languages      those in which people are answered
    throttle       makes what holds the edits of one channel apart
    call_limit_s   how long a call may take that carries no pictures; None is the usual time
    now            seconds since 1970, by which a token ends
    clock          seconds, by which a call that Slack limited is left alone
    """

    name = HOME

    def __init__(
        self,
        settings: SlackSettings,
        queue: JobQueue,
        ledger: Ledger,
        languages: Languages,
        *,
        throttle: MakeThrottle = edit_throttle,
        call_limit_s: float | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._languages = languages
        self._sleep = sleep
        self._connection = SlackConnection(
            settings.bot_token,
            settings.way_in,
            settings.api_url,
            settings.rotation,
            clock=now,
            sleep=sleep,
        )
        self._calls = Calls(
            self._connection.client,
            _CALLS_AT_ONCE,
            limit_s=call_limit_s,
            renewing=self._connection.call,
            clock=clock,
            sleep=sleep,
        )
        self._carousels = Carousels()
        self._channels = Channels(self._calls)
        self._people = People(self._calls, lambda: self._connection.home)
        self._desk = CardDesk(queue, ledger, self._message, throttle=throttle, sleep=sleep)
        self._posted = Posted(self._calls, lambda: self._connection.home, self._connection.ready)
        self._cases = DeskMessages(self._calls, self._posted)
        self._direct = DirectMessages(self._calls, self._posted)
        self._new: set[str] = set()  # jobs that were taken in here, and have no card yet
        self._doing: set[asyncio.Task[None]] = set()

    @property
    def is_online(self) -> bool:
        """See `Home.is_online`."""
        return self._connection.is_online

    # Slack tells each thing to one of those who are connected, whichever.
    stands_by = False
    shards = ()

    def attend(self, studio: Studio, moderators: Moderators, privacy: Privacy) -> None:
        """See `Home.attend`."""
        self._studio = studio
        self._moderators = moderators
        self._privacy = privacy
        self._desk.report_to(studio)
        self._tab = HomeTab(studio, self._calls, self._people, self._languages, sleep=self._sleep)

    async def run(self) -> None:
        """See `Home.run`."""
        await self._connection.run(self._listen)

    async def offer(self, sizes: tuple[tuple[int, int], ...]) -> None:
        """See `Home.offer`; here they are typed, and nothing is offered."""

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        """See `Home.show`."""
        self._desk.show(job, stage, at_once=at_once)

    def places_changed(self) -> None:
        """See `Home.places_changed`."""
        self._desk.places_changed()

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        """See `Home.deliver`."""
        await self._desk.deliver(job, lend)

    async def tell(self, job: Job, sentence: str, *, takes_back: bool) -> None:
        """See `Home.tell`."""
        await self._desk.tell(job, sentence, takes_back=takes_back)

    async def mention(self, job: Job) -> None:
        """See `Home.mention`."""
        try:
            await self._message(job, _unheard).mention(say("Your pictures are there."))
        except Exception as error:  # noqa: BLE001 - whatever Slack answered: tried once
            log.warning("the person could not be mentioned: %s", named(error))

    async def apologize(self, origin: Origin, sentence: str, locale: str) -> None:
        """See `Home.apologize`."""
        await self._connection.ready()
        text = render.failure_text(sentence, Voice(self._languages, locale))
        place = place_of(origin.venue)
        try:
            if origin.token:
                said = {"text": text, "response_type": "ephemeral", "replace_original": False}
                respond = partial(self._calls.respond, origin.token, said)
                await send_surely(respond, sleep=self._sleep)
            elif place is not None:  # it was said in a thread, and so is this
                post = partial(
                    self._calls.make,
                    "chat.postMessage",
                    place.channel,
                    text=text,
                    thread_ts=place.thread,
                )
                await send_surely(post, sleep=self._sleep)
        except Exception as error:  # noqa: BLE001 - whatever Slack answered: it is too late
            log.info("the person could not be told: %s", named(error))

    async def amend(self, record: Record) -> None:
        """See `Home.amend`."""
        message = self._message(record.job, _unheard, partial(self._stored, record))
        is_there = record.deleted is None
        shown = card.standing_card(record) if is_there else card.deleted_card(record)
        # By one and the same message, which knows what it has uploaded already.
        await persist(
            lambda: message.amend(shown),
            "a change of a finished card",
            is_passing=is_away,
            retry_after_s=retry_after_s,
            backoff=PROCESSING,
            sleep=self._sleep,
        )
        if not is_there:
            await self._tab.forget(record.job.id)

    async def show_case(self, one: AtDesk, pictures: Sequence[Picture]) -> str:
        """See `Home.show_case`."""
        await self._connection.ready()
        return await self._cases.show(one, pictures, Voice(self._languages, ""))

    async def notify(self, notice: Notice) -> None:
        """See `Home.notify`."""
        await self._connection.ready()
        await self._direct.tell(notice, Voice(self._languages, notice.to.locale))

    async def forget(self, job: Job) -> None:
        """See `Home.forget`."""
        await self._desk.forget(job)

    async def close(self, timeout_s: float) -> None:
        """See `Home.close`."""
        await self._desk.close(timeout_s)
        for task in self._doing:
            task.cancel()
        await asyncio.gather(*self._doing, return_exceptions=True)
        await self._people.close()
        await self._connection.close()

    def _listen(self, app: AsyncApp) -> None:
        intake = Intake(
            self._studio,
            self._calls,
            self._direct,
            self._people,
            self._channels,
            self._languages,
            self._settings.moderators,
            self._new,
            self._tab.note,
        )
        shows = Shows(self._calls, intake)
        files = Files(self._studio, self._calls)
        editing = Editing(self._studio, intake, self._calls, files)
        files_alone = DirectFiles(self._calls, sleep=self._sleep)
        privacy = PrivacyCommand(self._privacy, intake, files_alone)
        settings = Settings(self._studio, intake, self._calls)
        lists = Lists(self._studio, intake)
        command = ImagineCommand(self._studio, intake, editing, lists, privacy, settings)
        admin = AdminCommand(self._studio, self._moderators, intake, self._channels, files_alone)
        recipes = Recipes(self._studio, intake, files, self._posted)
        presses = Presses(self._studio, intake, editing, shows, recipes, self.amend, self._tab)
        desk = DeskPresses(self._moderators, intake, self._calls, self._posted)
        self._listen_to_order(app, intake, admin, desk, privacy)

        senders: dict[str, Send] = dict.fromkeys(("edit", "new", "from"), editing.sent)
        senders["settings"] = settings.sent

        # What is done may take its time, and Slack wants to hear within three seconds.
        @app.command(COMMAND)
        async def imagine(ack: Ack, body: Body) -> None:
            asked = asked_of(body)
            await self._hear(intake, asked)
            await ack()
            self._do(command.run(asked, str(body.get("text") or "")))

        @app.action(ACTION)
        async def pressed(ack: Ack, body: Body, action: Body) -> None:
            asked, press = asked_of(body), press_of(action)
            if press is not None and press.kind in MAKING:
                await self._hear(intake, asked)
            await ack()
            if press is not None:
                self._do(presses.press(asked, press))

        @app.shortcut(IMAGINE)
        async def begun(ack: Ack, body: Body) -> None:
            await ack()
            self._do(command.run(asked_of(body), ""))

        menu = {IMAGINE_FROM: editing.begin_from, RECIPE: recipes.of_message, REPORT: desk.report}
        for callback_id, do in menu.items():
            self._listen_in_menu(app, callback_id, intake, do)

        self._listen_to_dialogs(app, intake, senders, desk.sent)
        self._listen_to_talk(app, intake, command)
        self._listen_in_tab(app, intake, settings)
        self._listen_beside(app)

    async def _hear(self, intake: Intake, asked: Asked) -> None:
        """Have it noted that something is wished, or say that it is not."""
        if not await intake.hear(asked):
            self._do(intake.answer(asked, UNNOTED))

    def _listen_to_dialogs(
        self, app: AsyncApp, intake: Intake, senders: Mapping[str, Send], of_desk: Send
    ) -> None:
        """To whoever filled one in."""

        @app.view(dialogs.CALLBACK)
        async def sent(ack: Ack, body: Body) -> None:
            read = dialogs.read(body)
            if read is not None and (wrong := dialogs.problems(read[1])):
                voice = await intake.voice(read[0])
                errors = {field: voice.plain(sentence) for field, sentence in wrong.items()}
                await ack(response_action="errors", errors=errors)
                return
            wished = read is not None and read[1].kind in {"edit", "new", "from"}
            if read is not None and wished:
                await self._hear(intake, read[0])
            await ack()
            if read is not None:
                asked, filled = read
                send = senders.get(filled.kind, of_desk)
                self._do(intake.told(asked, partial(send, asked, filled)))

    def _listen_to_talk(self, app: AsyncApp, intake: Intake, command: ImagineCommand) -> None:
        """To whoever mentions the bot, or writes to it alone."""

        @app.event("app_mention")
        async def mentioned(body: Body, event: Body) -> None:
            if event.get("user"):  # else it is a program's, and nobody's wish
                await self._hear(intake, asked_of(body))
                said = typed.behind_mention(event.get("text", ""))
                self._do(command.mentioned(asked_of(body), said))

        @app.event("message")
        async def written(body: Body, event: Body) -> None:
            # To the bot alone, as if it talked; what it says itself, and files, are none of that.
            is_talk = event.get("channel_type") == "im" and not event.get("subtype")
            if is_talk and event.get("user") and not event.get("bot_id"):
                self._do(command.explain(asked_of(body)))

    def _listen_in_menu(
        self, app: AsyncApp, callback_id: str, intake: Intake, do: OfMessage
    ) -> None:
        """To whoever chooses that in the menu of a message."""

        @app.shortcut(callback_id)
        async def chosen(ack: Ack, body: Body) -> None:
            await ack()
            asked, message = asked_of(body), body.get("message") or {}
            self._do(intake.told(asked, partial(do, asked, message)))

    def _listen_in_tab(self, app: AsyncApp, intake: Intake, settings: Settings) -> None:
        """To whoever opens the bot's own tab, and presses there."""

        @app.event("app_home_opened")
        async def opened(body: Body, event: Body) -> None:
            if event.get("tab") == "home":
                asked = asked_of(body)
                self._do(self._tab.show(asked, tab_of(asked.tab)))

        @app.action(home_tab.ACTION)
        async def pressed_in_tab(ack: Ack, body: Body, action: Body) -> None:
            await ack()
            asked, value = asked_of(body), str(action.get("value"))
            if str(action.get("action_id")).startswith("tab:settings"):
                self._do(intake.told(asked, partial(settings.begin, asked, value)))
            else:
                self._do(intake.told(asked, partial(self._tab.show, asked, tab_of(value))))

    def _listen_beside(self, app: AsyncApp) -> None:
        """To what nobody asks for, and to the rest."""
        for name in SHUT_OUT_EVENTS:

            @app.event(name)
            async def shut_out(event: Body) -> None:
                # Whatever is asked of Slack from now on says so for itself, each job once.
                if event.get("type") != "tokens_revoked" or (event.get("tokens") or {}).get("bot"):
                    log.error(
                        "The workspace no longer lets the bot in (%s). Install the app anew and "
                        "give the bot its new SLACK_BOT_TOKEN.",
                        event.get("type"),
                    )

        @app.event(TEAM_SHUT_OUT_EVENT)
        async def shut_out_of(event: Body) -> None:
            log.error(
                "Workspaces of the organisation have taken the bot away: %s. In the others it "
                "goes on. Whoever administers the organisation can add it there again.",
                ", ".join(map(str, event.get("team_ids") or ())),
            )

        for name in CHANNEL_EVENTS:

            @app.event(name)
            async def changed(event: Body) -> None:
                self._channels.changed(str(event.get("channel") or ""))

        @app.event(PERSON_EVENT)
        async def person_changed(event: Body) -> None:
            self._people.changed(str((event.get("user") or {}).get("id")))

        for name in GROUP_EVENTS:

            @app.event(name)
            async def groups_changed() -> None:
                self._people.groups_changed()

        @app.event(re.compile(".*"))
        async def ignored() -> None:
            """Whatever else Slack tells."""

    def _listen_to_order(
        self,
        app: AsyncApp,
        intake: Intake,
        admin: AdminCommand,
        desk: DeskPresses,
        privacy: PrivacyCommand,
    ) -> None:
        """What those do who keep order, and what people do about what is kept of them."""

        @app.action(DESK_ACTION)
        async def decided(ack: Ack, body: Body, action: Body) -> None:
            await ack()
            press = desk_press_of(action)
            if press is not None:
                asked = asked_of(body)
                self._do(intake.told(asked, partial(desk.press, asked, *press)))

        @app.command(ADMIN_COMMAND)
        async def keep_order(ack: Ack, body: Body) -> None:
            await ack()
            self._do(admin.run(asked_of(body), str(body.get("text") or "")))

        @app.action(PRIVACY_ACTION)
        async def chosen(ack: Ack, body: Body, action: Body) -> None:
            await ack()
            found = PRIVACY_ACTION.fullmatch(str(action.get("action_id")))
            if found is not None:
                asked = asked_of(body)
                self._do(intake.told(asked, partial(privacy.press, asked, found[1])))

    def _do(self, doing: Awaitable[object]) -> None:
        """Do something that somebody waits for, until it is done or the bot is closed."""

        async def done() -> None:
            try:
                await doing
            except Exception:
                log.exception("what was asked could not be done")

        task = asyncio.create_task(done())
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    def _message(
        self, job: Job, on_message: OnMessage, find: FindPicture | None = None
    ) -> CardMessage:
        voice = Voice(self._languages, job.person.locale)
        is_new = job.id in self._new
        self._new.discard(job.id)
        return CardMessage(
            job,
            voice,
            self._calls,
            self._posted,
            self._direct,
            self._carousels,
            on_message,
            is_new=is_new,
            find=find,
        )

    async def _stored(self, record: Record, filename: str) -> bytes:
        """A picture of a job's, which its own person may always see; raises UndeliveredError."""
        job = record.job
        (index,) = (one.index for one in record.images if one.filename == filename)
        viewer = Viewer(job.person, job.origin.venue)
        try:
            return (await self._studio.picture(job.id, index, viewer)).data
        except PictureLostError as error:
            if job.showing.spoiler:  # it must be hidden all the same
                return blank()
            raise UndeliveredError(_LOST) from error
        except (UnknownJobError, NotAllowedError) as error:  # deleted in this very moment
            raise UndeliveredError(sentence_of(error)) from error


async def _unheard(_message: str) -> None:
    """Which message it is is known where a card was shown."""
