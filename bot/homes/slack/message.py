"""The one message that is a job's card: posted, changed, read back, found again after a restart.

It bears the job's id in its metadata. Pictures are files that nobody sees until the message names
them, so a try that broke off shows nothing. A draft is a message that one person alone sees, which
Slack lets nobody read or change: it is sent when all is there.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from bot.core.card import Card, Slot, is_preview
from bot.core.job import Job
from bot.errors import BotError, CardGoneError, UndeliveredError
from bot.homes.cards.desk import OnMessage
from bot.homes.cards.message import Seen
from bot.homes.slack import render
from bot.homes.slack.calls import (
    NO_CHANNEL,
    NO_PLACE,
    Answer,
    Calls,
    code_of,
    named,
    translated,
)
from bot.homes.slack.carousels import Carousels
from bot.homes.slack.channels import NOTHING_SHOWN
from bot.homes.slack.direct_messages import DirectMessages
from bot.homes.slack.pictures import blurred
from bot.homes.slack.places import Place, place_of
from bot.homes.slack.posted import Posted, metadata
from bot.homes.slack.private_words import send_once
from bot.homes.slack.uploads import Instead, Uploads, delete_file
from bot.homes.slack.voice import Voice
from sdxl_engine.sentence import say, sentence_of

log = logging.getLogger(__name__)

_NO_PLACE: Final = say("Slack no longer takes an answer here. `/imagine jobs` has the pictures.")
_MAYBE_LOST: Final = say(
    "Slack may have lost the pictures. If you do not see them, `/imagine jobs` still has them."
)


Said = Mapping[str, Any]  # the arguments of a call
# Gives the file of a picture that the card does not have as it is to be shown, by its name.
FindPicture = Callable[[str], Awaitable[bytes]]


class CardMessage:
    """Implements `Message` for a job's card.

    voice       of the one who asked: everybody reads the card in their language
    carousels   where several pictures are shown beside each other
    on_message  told when Slack says which message it is, and nobody knew yet
    is_new      nobody has tried to post it yet, so it is not searched for
    find        None: whatever is to be shown comes with it, or is there already
    """

    def __init__(
        self,
        job: Job,
        voice: Voice,
        calls: Calls,
        posted: Posted,
        direct: DirectMessages,
        carousels: Carousels,
        on_message: OnMessage,
        *,
        is_new: bool,
        find: FindPicture | None = None,
    ) -> None:
        self._job = job
        self._voice = voice
        self._calls = calls
        self._posted = posted
        self._direct = direct
        self._carousels = carousels
        self._on_message = on_message
        self._is_new = is_new
        self._find_picture = find
        self._uploads = Uploads(calls)
        self._words: list[str] = []  # of the last edit
        self._slots: tuple[Slot, ...] = ()  # the pictures that it shows
        self._files: frozenset[str] = frozenset()  # of these, as Slack names them
        self._told_no_place = False
        self._seen: set[str] = set()  # files that were there when it was amended
        self._ts = job.origin.message
        # Who alone sees it knows; what is published says so already.
        is_published = job.parent is not None and job.parent.act == "publish"
        self._asker = "" if job.showing.private or is_published else job.person.name

    async def edit(self, card: Card, *, is_last: bool = False) -> None:
        """See `Message.edit`."""
        try:
            place = self._place()
            if self._job.showing.private:
                if is_last:
                    await self._send_alone(place, card)
                return
            if self._ts is None and not self._is_new:
                await self._find(place)
            await self._put(place, card, is_last=is_last)
        except BotError:
            raise
        except Exception as error:
            raise translated(error) from error

    async def amend(self, card: Card) -> None:
        """Look like this, and keep no file that was there and is shown no more; as `edit`."""
        try:
            if self._ts is not None and not self._job.showing.private:
                there = render.files_of(await self._read(self._place()))
                self._uploads.know(there)
                self._seen |= {*there.values()}
            await self.edit(card)
            for file_id in self._seen - self._files:
                await delete_file(self._calls, file_id)
        except BotError:
            raise
        except Exception as error:
            raise translated(error) from error

    async def read(self) -> Seen | None:
        """See `Message.read`."""
        if self._job.showing.private:
            return None
        try:
            place = self._place()
            found = await self._read(place) if self._ts else await self._find(place)
        except CardGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever Slack said, it cannot be read
            log.info("the card cannot be read back: %s", named(error))
            return None
        if found is None:
            return None
        return Seen(
            tuple(
                render.name_in(one, blurred=self._job.showing.spoiler)
                for one in render.files_of(found)
            ),
            is_over=render.is_end(found, self._job.id),
            is_last=render.text_of(found).split() == self._words,
        )

    async def mention(self, sentence: str) -> None:
        """Say something in answer to the card that its person is told of; tried once.

        Raises whatever the call raises.
        """
        place = self._place()
        text = f"<@{self._job.person.id}> {self._voice.say(sentence)}"
        if self._job.showing.private:
            await self._post_alone(place, {"text": text})
            return
        await self._calls.make(
            "chat.postMessage", place.channel, text=text, thread_ts=place.thread or self._ts
        )

    def _place(self) -> Place:
        place = place_of(self._job.origin.venue)
        if place is None:
            raise UndeliveredError(_NO_PLACE)
        return place

    async def _put(self, place: Place, card: Card, *, is_last: bool) -> None:
        if card.pictures is not None:
            self._slots = tuple(one for one in card.pictures if not is_preview(one.filename))
        said, carousel = await self._said(card)
        if self._ts is None:
            was_new, self._is_new = self._is_new, False
            try:
                sent = await self._show(
                    "chat.postMessage", place, {**said, "thread_ts": place.thread}, carousel
                )
            except Exception as error:
                # Slack has refused it: there is none to be found.
                self._is_new = was_new and code_of(error) is not None
                if code_of(error) in NO_PLACE and not is_last:
                    await self._say_no_place(error)
                raise
            self._ts = str(sent["ts"])
            await self._on_message(self._ts)
        else:
            await self._show("chat.update", place, {**said, "ts": self._ts}, carousel)

    async def _show(
        self, method: str, place: Place, said: Said, carousel: list[render.Block] | None
    ) -> Answer:
        """Make a call that shows the card, with a carousel where the workspace has them."""
        community = self._job.origin.venue.community
        if carousel is None or not self._carousels.may_be_in(community):
            return await self._uploads.show(method, place.channel, said)
        instead = Instead(said["blocks"], partial(self._carousels.are_missing, community))
        return await self._uploads.show(
            method, place.channel, {**said, "blocks": carousel}, instead
        )

    async def _say_no_place(self, error: Exception) -> None:
        """Tell the one who asked at once, and have nothing drawn; raises CardGoneError."""
        sentence = NOTHING_SHOWN.get(code_of(error) or "", sentence_of(translated(error)))
        told, self._told_no_place = self._told_no_place, True
        said = {"text": render.failure_text(sentence, self._voice)}
        if told:  # by the edit before
            pass
        elif self._job.origin.token:
            alone = {"response_type": "ephemeral", "replace_original": False}
            await self._calls.respond(self._job.origin.token, said | alone)
        else:
            await self._direct.say(self._job.person.id, said)
        raise CardGoneError(sentence) from error

    async def _said(self, card: Card) -> tuple[dict[str, Any], list[render.Block] | None]:
        """The arguments of a call that shows a card, once its files are there.

        Beside them, the blocks that show the same with a carousel; None where there is none.
        """
        files = {one.filename: await self._file(one) for one in self._slots}
        self._files = frozenset(files.values())
        drawn = partial(render.card_blocks, card, self._slots, files, self._voice, self._asker)
        blocks, carousel = drawn(in_carousel=False), drawn(in_carousel=True)
        self._words = render.text_of({"blocks": blocks}).split()  # the same in both
        said = {
            "text": render.fallback(card, self._voice),
            "blocks": blocks,
            "metadata": metadata("job", self._job.id),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return said, None if carousel == blocks else carousel

    async def _file(self, slot: Slot) -> str:
        name = render.name_of(slot)
        if slot.data is None and not self._uploads.knows(name):
            self._uploads.know(render.files_of(await self._read(self._place())))
        data = b""
        if not self._uploads.knows(name):
            data = slot.data if slot.data is not None else await self._found(slot.filename)
            data = await blurred(data) if slot.spoiler else data
        return await self._uploads.id_of(name, data, render.file_alt_text(slot, self._voice))

    async def _found(self, filename: str) -> bytes:
        if self._find_picture is None:
            raise UndeliveredError(_NO_PLACE)
        return await self._find_picture(filename)

    async def _send_alone(self, place: Place, card: Card) -> None:
        self._slots = card.pictures or ()
        said, carousel = await self._said(card)
        del said["metadata"]  # nobody will read it
        if not self._slots:
            await self._post_alone(place, said)
            return
        post = partial(self._post_alone, place, said, carousel)
        await send_once(post, maybe_lost=_MAYBE_LOST, sleep=self._calls.sleep)

    async def _post_alone(
        self, place: Place, said: Said, carousel: list[render.Block] | None = None
    ) -> None:
        """Say something to the one who asked; where the bot is not in, by what they asked with."""
        user = self._job.person.id
        try:
            to_them = {**said, "user": user, "thread_ts": place.thread}
            await self._show("chat.postEphemeral", place, to_them, carousel)
        except Exception as error:
            if code_of(error) not in NO_CHANNEL or not self._job.origin.token:
                raise
            await self._calls.respond(
                self._job.origin.token,
                {**said, "response_type": "ephemeral", "replace_original": False},
            )

    async def _read(self, place: Place) -> Mapping[str, Any]:
        """The message as it stands; raises CardGoneError."""
        assert self._ts is not None  # noqa: S101 - by our own callers
        method = "conversations.history" if place.thread is None else "conversations.replies"
        # Two, for what a thread hangs on may come along.
        around = {"oldest": self._ts, "latest": self._ts, "inclusive": True, "limit": 2}
        found = await self._calls.make(method, place.channel, ts=place.thread, **around)
        for message in found.get("messages") or ():
            if message.get("ts") == self._ts:
                its: Mapping[str, Any] = message
                return its
        raise CardGoneError(say("The message for the pictures was deleted."))

    async def _find(self, place: Place) -> Mapping[str, Any] | None:
        """The card among the messages since the job was asked for."""
        found = await self._posted.find(place, "job", self._job.id, self._job.asked_at_s)
        if found is None:
            self._is_new = True
            return None
        self._ts = str(found["ts"])
        await self._on_message(self._ts)
        return found
