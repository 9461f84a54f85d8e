"""From what Slack tells to a job: heard, taken in, or refused to the one who asked."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bot.core.explain import explain
from bot.core.heard import Heard
from bot.core.job import Origin, Person, Venue, new_job_id
from bot.core.policy import Actor
from bot.core.rules import Circumstances
from bot.core.studio import Studio
from bot.errors import KnownJobError, UndeliveredError
from bot.homes.slack import render
from bot.homes.slack.calls import NO_PLACE, Calls, code_of, named
from bot.homes.slack.channels import Channels
from bot.homes.slack.direct_messages import DirectMessages
from bot.homes.slack.people import Known, People
from bot.homes.slack.places import HOME, Place, community_of
from bot.homes.slack.private_words import MaybeLostError, send_once, send_surely
from bot.homes.slack.voice import Voice
from bot.languages.languages import Languages
from bot.shared.job_context import in_job
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_NOT_THERE: Final = NO_PLACE | {"user_not_in_channel"}
# No card of Slack's has a file in it that is larger than this.
_FILE_LIMIT_BYTES: Final = 50 * 2**20


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that somebody did in Slack.

    event         what was done, once in all of Slack
    response_url  where it can be answered, for half an hour; empty: nowhere
    tab           what the home tab shows in which it was done; None: elsewhere
    """

    event: str
    user: str
    community: str | None
    place: Place | None
    response_url: str = ""
    tab: str | None = None

    @property
    def venue(self) -> Venue:
        """Where it was done."""
        return Venue(HOME, self.community, None if self.place is None else str(self.place))


Ask = Callable[[Heard], Awaitable[object]]
# Says something in the home tab in which somebody did what they did.
Note = Callable[["Asked", Sequence[render.Block]], Awaitable[None]]
_ASKED_FOR: Final = say("Asked for. The pictures come into your messages with the bot.")


def asked_of(body: Mapping[str, Any]) -> Asked:
    """What was done, of a command, a press, a shortcut or a mention."""
    event: Mapping[str, Any] = body.get("event") or {}
    message: Mapping[str, Any] = body.get("message") or {}
    container: Mapping[str, Any] = body.get("container") or {}
    channel = (
        body.get("channel_id")
        or (body.get("channel") or {}).get("id")
        or event.get("channel")
        or container.get("channel_id")
    )
    thread = event.get("thread_ts") or message.get("thread_ts") or container.get("thread_ts")
    if thread == message.get("ts"):  # others answered it; itself it is in the channel
        thread = None
    home: Mapping[str, Any] = body.get("view") or event.get("view") or {}
    kept = _kept(home) if home.get("type") == "home" else {}
    channel = channel or kept.get("channel")
    return Asked(
        event=str(body.get("event_id") or body.get("trigger_id") or ""),
        user=str(body.get("user_id") or (body.get("user") or {}).get("id") or event.get("user")),
        community=_community_of(body),
        place=Place(str(channel), str(thread) if thread else None) if channel else None,
        response_url=str(body.get("response_url") or ""),
        tab=kept.get("tab"),
    )


def _community_of(body: Mapping[str, Any]) -> str | None:
    """Where something was done.

    Of an event whose person may come from another workspace, `authorizations` and `context_...`
    say where the bot is, and `team_id` may be theirs. Of what is pressed `team` is where the app
    is installed, and nothing where an organisation has it: then the card says in which workspace
    the bot has put it, and beyond cards it is the workspace that the person works in.
    """
    here: Mapping[str, Any] = next(iter(body.get("authorizations") or ()), {})
    pressed: Mapping[str, Any] = body if body.get("type") == "block_actions" else {}
    told = (
        here.get("team_id"),
        body.get("context_team_id"),
        body.get("team_id"),
        (body.get("team") or {}).get("id"),
        (pressed.get("message") or {}).get("team"),
        (body.get("view") or {}).get("app_installed_team_id"),
        (body.get("user") or {}).get("team_id"),
    )
    organisations = (
        here.get("enterprise_id"),
        body.get("enterprise_id"),
        (body.get("enterprise") or {}).get("id"),
    )
    return community_of(
        next((str(one) for one in told if str(one or "").startswith("T")), None),
        next((str(one) for one in organisations if one), None),
    )


def tab_metadata(asked: Asked, tab: str) -> str:
    """What goes with a home tab: where else the bot talks with its person, and what it shows."""
    return json.dumps({"channel": asked.place and asked.place.channel, "tab": tab})


def _kept(home: Mapping[str, Any]) -> dict[str, str]:
    try:
        kept = json.loads(home.get("private_metadata") or "{}")
    except ValueError:  # of another version
        return {}
    return {name: str(kept[name]) for name in ("channel", "tab") if kept.get(name)}


class Intake:
    """Takes in what is wished, whether it was typed or pressed; answers those who ask.

    moderators  the ids of user groups whose members keep order
    new         the jobs that are asked for here, and have no card yet
    note        how somebody is answered who asks in the bot's own tab
    """

    def __init__(
        self,
        studio: Studio,
        calls: Calls,
        direct: DirectMessages,
        people: People,
        channels: Channels,
        languages: Languages,
        moderators: frozenset[str],
        new: set[str],
        note: Note,
    ) -> None:
        self._studio = studio
        self._calls = calls
        self._direct = direct
        self._people = people
        self._channels = channels
        self._languages = languages
        self._moderators = moderators
        self._new = new
        self._note = note

    async def hear(self, asked: Asked) -> bool:
        """Note that something may be wished, before Slack is told that it was heard.

        However this process ends, they are told something. Never raises; takes a second at most.
        Returns whether it is noted; else `UNNOTED` is what they are told.
        """
        # Who they are is asked of Slack later: nothing is told to anybody before this.
        return await self._studio.hear(_origin_of(asked), "")

    async def answered(self, asked: Asked) -> None:
        """They have an answer, and no job came of it. Never raises."""
        await self._studio.answered(_origin_of(asked))

    async def take(self, asked: Asked, ask: Ask) -> None:
        """Have something asked of the studio; a card of its own follows, or a refusal."""
        asked_at_s = time.time()
        job_id = new_job_id()
        with in_job(job_id):
            known = await self._people.known(asked.user, asked.community)
            person = person_of(asked, known)
            origin = _origin_of(asked)
            try:
                if asked.place is not None:
                    await self._channels.check(asked.place.channel)
                around = await self.around(asked)
                self._new.add(job_id)
                await ask(Heard(job_id, person, origin, asked_at_s, around=around))
                if asked.tab is not None:
                    await self.tell(asked, (await self.voice(asked)).say(_ASKED_FOR))
            except KnownJobError as error:  # its first telling is being answered
                log.warning("%s", error)
                self._new.discard(job_id)
                await self._studio.let_go(job_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked must hear
                self._new.discard(job_id)
                await self._studio.let_go(job_id)
                if await self.refuse(asked, error, job_id):
                    await self._studio.answered(origin)

    async def actor(self, asked: Asked) -> Actor:
        """Who did it, and what else they may do there."""
        known = await self._people.known(asked.user, asked.community)
        venue = asked.venue if asked.community is not None else None
        moderates = known.manages or await self._is_moderator(asked)
        return Actor(
            person_of(asked, known),
            moderates=venue if moderates else None,
            manages=venue if known.manages else None,
        )

    async def around(self, asked: Asked) -> Circumstances:
        """What the rules of a place look at besides; Slack knows no places for adults."""
        place = asked.place
        within = None if place is None or place.thread is None else place.channel
        groups = await self._people.groups(asked.user, asked.community)
        known = groups is not None
        return Circumstances(groups or frozenset(), within, adult=False, knows_roles=known)

    async def _is_moderator(self, asked: Asked) -> bool:
        if not self._moderators:
            return False
        groups = await self._people.groups(asked.user, asked.community)
        return bool((groups or frozenset()) & self._moderators)

    async def person(self, user: str) -> Person:
        """Somebody whom somebody else named."""
        known = await self._people.known(user)
        return Person(HOME, user, known.name, known.locale)

    async def is_bot(self, user: str) -> bool:
        """Whether one whom somebody named is a program."""
        return (await self._people.known(user)).is_bot

    async def voice(self, asked: Asked) -> Voice:
        """In which somebody is answered."""
        return Voice(
            self._languages, (await self._people.known(asked.user, asked.community)).locale
        )

    async def refuse(self, asked: Asked, error: Exception, job_id: str) -> bool:
        """Say what went wrong, unseen by others; returns whether it was said."""
        sentence = explain(error, job_id)
        text = render.failure_text(sentence, await self.voice(asked))
        try:
            await send_surely(partial(self._send, asked, text), sleep=self._calls.sleep)
        except Exception as failure:  # noqa: BLE001 - whatever Slack answered
            log.warning("the person could not be told: %s", named(failure))
            return False
        return True

    async def told(self, asked: Asked, do: Callable[[], Awaitable[object]]) -> None:
        """Do something; whoever wanted it hears why it cannot be done."""
        try:
            await do()
        except Exception as error:  # noqa: BLE001 - whatever it is
            await self.refuse(asked, error, new_job_id())

    async def answer(self, asked: Asked, sentence: str) -> bool:
        """Answer somebody alone, in their language; returns whether it was said."""
        return await self.tell(asked, (await self.voice(asked)).say(sentence))

    async def tell(
        self,
        asked: Asked,
        text: str,
        blocks: list[render.Block] | None = None,
        *,
        anew: bool = True,
    ) -> bool:
        """Answer somebody alone; returns whether it was said.

        anew  beside what is there; else in the place of what was pressed, which they alone see
        """
        # What is in the place of another is there once, however often it is sent.
        send = send_once if anew else send_surely
        try:
            await send(partial(self._send, asked, text, blocks, anew=anew), sleep=self._calls.sleep)
        except MaybeLostError as error:
            return await self.refuse(asked, error, new_job_id())
        except Exception as error:  # noqa: BLE001 - whatever Slack answered
            log.warning("the person could not be told: %s", named(error))
            return False
        return True

    async def _send(
        self,
        asked: Asked,
        text: str,
        blocks: list[render.Block] | None = None,
        *,
        anew: bool = True,
    ) -> None:
        said: dict[str, Any] = {"text": text, "blocks": blocks or [render.section(text)]}
        if asked.tab is not None:
            await self._note(asked, said["blocks"])
            return
        if asked.response_url:
            alone = {"response_type": "ephemeral", "replace_original": not anew}
            try:
                await self._calls.respond(asked.response_url, said | alone)
            except UndeliveredError as error:  # half an hour is over, or all its answers are given
                if not anew:
                    raise
                log.info("answered in another way: %s", error)
            else:
                return
        if asked.place is None or not await self._is_said_in(asked.place, asked.user, said):
            await self._direct.say(asked.user, said)

    async def _is_said_in(self, place: Place, user: str, said: Mapping[str, Any]) -> bool:
        """Say it where others do not see it; returns whether Slack lets the bot speak there."""
        try:
            await self._calls.make(
                "chat.postEphemeral", place.channel, user=user, thread_ts=place.thread, **said
            )
        except Exception as error:
            if code_of(error) not in _NOT_THERE:
                raise
            return False
        return True


def _origin_of(asked: Asked) -> Origin:
    return Origin(asked.venue, asked.event, None, asked.response_url, _FILE_LIMIT_BYTES)


def person_of(asked: Asked, known: Known) -> Person:
    """Who did it."""
    return Person(HOME, asked.user, known.name, known.locale)
