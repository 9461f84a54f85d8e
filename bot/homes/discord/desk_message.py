"""The one message that shows a case to moderators, in the channel that is their desk."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import discord
from discord import ButtonStyle
from discord.ui import ActionRow, Container, LayoutView, TextDisplay

from bot.core.case import AtDesk, Case, DeskAct
from bot.core.desk_card import DeskCard, desk_card
from bot.core.job import Record
from bot.core.ports.gallery import Picture
from bot.errors import BotError, UndeliveredError
from bot.homes.discord import render
from bot.homes.discord.buttons import DeskPress, Press, PressButton
from bot.homes.discord.calls import (
    MISSING_ACCESS,
    MISSING_PERMISSIONS,
    UNKNOWN_CHANNEL,
    UNKNOWN_MESSAGE,
    Calls,
    GetClient,
    code_of,
    is_passing,
    translated,
)
from bot.homes.discord.sharded import server_of
from bot.homes.discord.voice import Voice
from bot.languages.languages import Languages
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

T = TypeVar("T")

PRESSES: Final[dict[DeskAct, DeskPress]] = {
    "approve": "approve",
    "blur": "veil",
    "delete": "strike",
    "warn": "warn",
    "block": "block",
    "unblock": "unblock",
}
_STYLES: Final[dict[DeskAct, ButtonStyle]] = {
    "approve": ButtonStyle.success,
    "delete": ButtonStyle.danger,
    "block": ButtonStyle.danger,
}
_SEARCHED_MESSAGES: Final = 100
_MAX_LINE_UNITS: Final = 200
_LEAST_PROMPT_UNITS: Final = 200
# For whoever reads the log: what is to be done about a desk that cannot be written to.
_WHY: Final = {
    UNKNOWN_CHANNEL: "The desk's channel is gone. Name another with /imagine-admin desk.",
    MISSING_ACCESS: "The bot does not see the desk's channel. Give it View Channel there, or name "
    "another with /imagine-admin desk.",
    MISSING_PERMISSIONS: "The bot may not write at the desk. Give it Send Messages and Attach "
    "Files there, or name another with /imagine-admin desk.",
    UNKNOWN_MESSAGE: "Somebody deleted its message there.",
}


class DeskMessages:
    """Shows cases, each once.

    client  waits until a client is logged in
    """

    def __init__(self, client: GetClient, calls: Calls, languages: Languages) -> None:
        self._client = client
        self._calls = calls
        self._languages = languages
        self._patience = calls.patience()

    async def show(self, one: AtDesk, pictures: Sequence[Picture]) -> str:
        """See `Home.show_case`."""
        client = await self._client()
        look = _Look(one, pictures, Voice(self._languages, await _locale_of(client, one.case)))
        try:
            channel_id, message_id = _place_of(one)
            channel = client.get_partial_messageable(channel_id)
            # Where it is not known any more, an earlier process may have put another in its place.
            if message_id is None or not await self._edit(client, channel, message_id, look):
                message_id = await self._call(
                    client, channel, lambda: _find(client, channel, one.case)
                )
                if message_id is not None:
                    await self._edit(client, channel, message_id, look)
            if message_id is None:
                sent = await self._call(
                    client, channel, lambda: channel.send(**look.sent()), look.size_bytes
                )
                message_id = sent.id
                # Where an earlier process's came first Discord gives back that one, as it was.
                if not look.is_shown_by(sent):
                    await self._edit(client, channel, message_id, look)
        except BotError:
            raise
        except Exception as error:
            raise _said(error) from error
        return f"{channel_id}/{message_id}"

    async def _edit(
        self,
        client: discord.Client,
        channel: discord.PartialMessageable,
        message_id: int,
        look: "_Look",
    ) -> bool:
        """Whether it shows the case now: where it was deleted undecided, another has to."""
        message = channel.get_partial_message(message_id)
        try:
            await self._call(client, channel, lambda: message.edit(**look.edit()), look.size_bytes)
        except discord.NotFound as error:
            if code_of(error) != UNKNOWN_MESSAGE or not look.is_undecided:
                raise
            return False
        return True

    async def _call(
        self,
        client: discord.Client,
        channel: discord.PartialMessageable,
        call: Callable[[], Awaitable[T]],
        size_bytes: int = 0,
    ) -> T:
        return await self._calls.make(
            client, call, channel=channel.id, patience=self._patience, size_bytes=size_bytes
        )


class _Look:
    """What a case looks like in Discord."""

    def __init__(self, one: AtDesk, pictures: Sequence[Picture], voice: Voice) -> None:
        # Another desk is another message, as is one in the place of another; a nonce has 25
        # characters.
        self._nonce = f"{one.case.id}{(one.case.message or one.desk or '')[-16:]}"
        self.is_undecided = one.case.state == "open" and one.case.kind != "refused"
        self._card = desk_card(one, pictures)
        self._voice = voice
        self._view = desk_layout(self._card, one, voice)
        self.size_bytes = render.size_bytes(self._card.pictures)

    def is_shown_by(self, message: discord.Message) -> bool:
        """Whether a message has its words and its pictures."""
        shown = [one for one in self._view.walk_children() if isinstance(one, TextDisplay)]
        words = "\n".join(one.content for one in shown).split()  # Discord trims spaces
        there = render.files_of(message)
        return render.text_of(message).split() == words and len(there) == len(self._card.pictures)

    def sent(self) -> dict[str, Any]:
        """The arguments of a new message: sent again, Discord gives back the one that is there."""
        return {"view": self._view, "files": self._files() or None, "nonce": self._nonce}

    def edit(self) -> dict[str, Any]:
        """The arguments of an edit."""
        return {"view": self._view, "attachments": self._files()}

    def _files(self) -> Any:  # noqa: ANN401 - as `render.files`
        return render.files(self._card.pictures, self._voice)


def desk_layout(shown: DeskCard, one: AtDesk, voice: Voice) -> LayoutView:
    """A case, whose pictures' files are there or come with it."""

    def lines(texts: Sequence[str]) -> str:
        return "\n".join(render.words(text, voice, _MAX_LINE_UNITS) for text in texts)

    head = "\n".join([f"**{voice.say(shown.title)}**", lines(shown.facts), *_link(one, voice)])
    last = voice.say(say("case {case}", case=one.case.id))  # by which it is found again
    room = render.MAX_LAYOUT_UNITS - render.units(head) - render.units(last) - 3  # line breaks
    notes = render.cut(lines(shown.notes), room - _LEAST_PROMPT_UNITS)
    prompt = render.code(shown.prompt, room - render.units(notes)) if shown.prompt else ""
    text = "\n".join(filter(None, [head, prompt, notes, last]))
    parts: list[Any] = [TextDisplay(text)]
    if shown.pictures:
        parts.append(render.gallery(render.seen(shown.pictures, voice)))
    buttons = [
        PressButton(
            Press(PRESSES[one_of.act], one.case.id),
            voice.say(one_of.label),
            _STYLES.get(one_of.act, ButtonStyle.secondary),
        )
        for one_of in shown.buttons
    ]
    view = LayoutView(timeout=None)
    view.add_item(Container(*parts, ActionRow(*buttons)))
    return view


def _link(one: AtDesk, voice: Voice) -> Iterator[str]:
    """Where its card is, for those who moderate; a draft is no message of the channel."""
    record = one.record
    if record is not None and _is_in_channel(record):
        venue, message = record.job.origin.venue, record.job.origin.message
        url = f"https://discord.com/channels/{venue.community}/{venue.channel}/{message}"
        yield f"[{voice.say(say('Its message'))}]({url})"


def _is_in_channel(record: Record) -> bool:
    origin = record.job.origin
    is_known = origin.venue.channel is not None and origin.message is not None
    return is_known and not record.job.showing.private


def _place_of(one: AtDesk) -> tuple[int, int | None]:
    """The channel and the message of a case, wherever the desk is now."""
    if one.case.message is not None:
        channel, _, message = one.case.message.partition("/")
        return int(channel), int(message)
    if one.desk is None:
        raise UndeliveredError("Its community has no desk. Name one with /imagine-admin desk.")
    return int(one.desk), None


async def _locale_of(client: discord.Client, case: Case) -> str:
    """The language of a server, as it says itself."""
    guild = await server_of(client, case.venue.community)
    return "" if guild is None else guild.preferred_locale.value


async def _find(
    client: discord.Client, channel: discord.PartialMessageable, case: Case
) -> int | None:
    """The message of a case, of which the answer may have been lost with an earlier process."""
    since = datetime.fromtimestamp(case.at_s - 60, UTC)
    try:
        async for message in channel.history(
            limit=_SEARCHED_MESSAGES, after=since, oldest_first=False
        ):
            if message.author == client.user and render.is_of(render.text_of(message), case.id):
                return message.id
    except discord.HTTPException as error:
        if code_of(error) not in {MISSING_ACCESS, MISSING_PERMISSIONS}:
            raise
        log.info("the desk's messages cannot be read")  # it may write there and not read
    return None


def _said(error: Exception) -> BotError:
    code = code_of(error)
    if code in _WHY:
        return UndeliveredError(_WHY[code])
    if is_passing(error):
        return translated(error)
    log.error("Discord does not take a case: %r", error)
    return UndeliveredError(f"Discord does not take it: {error!r}.")
