"""The one message that is a job's card: changed, read back, and found again after a restart.

Two ways lead to it: the interaction's token, for 15 minutes, and after that the bot's own, by the
message's id, where the bot is a member. Where neither does, the card is a new message with the
job's id as its nonce.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import discord
from discord.ui import LayoutView

from bot.core.card import Card
from bot.core.job import Job
from bot.errors import BotError, UndeliveredError
from bot.homes.cards.desk import OnMessage
from bot.homes.cards.message import Seen
from bot.homes.discord import render
from bot.homes.discord.calls import (
    MISSING_ACCESS,
    MISSING_PERMISSIONS,
    ORIGINAL,
    TOKEN_IS_DEAD,
    UNKNOWN_MESSAGE,
    Calls,
    GetClient,
    code_of,
    is_final,
    translated,
    webhook_of,
)
from bot.homes.discord.voice import Voice
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

T = TypeVar("T")

_SEARCHED_MESSAGES: Final = 100


class CardMessage:
    """Implements `Message` for a job's card.

    voice       of the one who asked: everybody reads the card in their language
    client      waits until a client is logged in
    calls       makes its calls
    on_message  told when Discord says which message it is, and nobody knew yet
    """

    def __init__(
        self, job: Job, voice: Voice, client: GetClient, calls: Calls, on_message: OnMessage
    ) -> None:
        self._job = job
        self._voice = voice
        self._client = client
        self._calls = calls
        self._patience = calls.patience()
        self._on_message = on_message
        self._words: list[str] = []  # of the last edit; Discord trims spaces
        self._shown: tuple[render.Seen, ...] = ()  # what its files are, as far as that is known
        self._message_id = None if job.origin.message is None else int(job.origin.message)
        self._token = job.origin.token
        # A draft is never a message of the channel: with its token every way to it ends.
        channel = None if job.showing.private else job.origin.venue.channel
        self._channel_id = None if channel is None else int(channel)

    async def edit(self, card: Card, *, is_last: bool = False) -> None:
        """See `Message.edit`."""
        client = await self._client()
        look = _Look(card, self._voice, self._shown)
        self._words = look.text.split()
        try:
            if not (self._token and await self._edit_by_token(client, look)):
                await self._edit_by_id(client, look, may_send=is_last)
            self._shown = look.pictures
        except BotError:
            raise
        except Exception as error:
            raise translated(error) from error

    async def read(self) -> Seen | None:
        """See `Message.read`."""
        client = await self._client()
        try:
            message = await self._read(client)
        except Exception as error:
            if code_of(error) == UNKNOWN_MESSAGE:
                raise translated(error) from error
            log.info("the card cannot be read back: %r", error)
            return None
        if message is None:
            return None
        text = render.text_of(message)
        names = render.files_of(message)
        return Seen(
            names,
            is_over=render.is_end(text, self._job.id),
            is_last=text.split() == self._words,
        )

    async def mention(self, sentence: str) -> None:
        """Say something in answer to the card that its person is told of; tried once.

        Raises whatever the call raises.
        """
        client = await self._client()
        person = discord.Object(int(self._job.person.id))
        text = f"<@{person.id}> {self._voice.say(sentence)}"
        mentions = discord.AllowedMentions(users=[person], replied_user=False)
        if self._channel_id is not None and self._message_id is not None:
            channel = client.get_partial_messageable(self._channel_id)
            card = channel.get_partial_message(self._message_id)
            try:
                await self._call(
                    client,
                    lambda: channel.send(text, allowed_mentions=mentions, reference=card),
                )
            except discord.HTTPException as error:
                if not self._token or not is_final(error):
                    raise
            else:
                return
        if self._token:  # the only way where the bot is no member
            webhook = webhook_of(client, self._token)
            unseen = self._job.showing.private
            await self._call(
                client, lambda: webhook.send(text, allowed_mentions=mentions, ephemeral=unseen)
            )

    async def _edit_by_token(self, client: discord.Client, look: "_Look") -> bool:
        """Returns whether the token still opened anything."""
        message_id, webhook = self._message_id or ORIGINAL, webhook_of(client, self._token)
        try:
            edited = await self._call(
                client, lambda: webhook.edit_message(message_id, **look.edit()), look.size_bytes
            )
        except discord.HTTPException as error:
            if code_of(error) not in TOKEN_IS_DEAD:
                raise
            log.info("the interaction's token has ended; the bot's own must do")
            self._token = ""
            return False
        await self._found(edited.id)
        return True

    async def _edit_by_id(self, client: discord.Client, look: "_Look", *, may_send: bool) -> None:
        if self._channel_id is None:
            raise UndeliveredError(
                say(
                    "Discord no longer takes an answer to this command here. Ask with /jobs for "
                    "the pictures."
                )
            )
        channel = client.get_partial_messageable(self._channel_id)
        message_id = self._message_id or await self._find(client, channel)
        if message_id is None and may_send:
            # Words alone: a message that is sent twice, because nobody can know of the first, must
            # not show the pictures twice. They come with the edit, by an id that is on record.
            # Sent again with the same nonce, Discord gives back the one that is there.
            sent = await self._call(
                client, lambda: channel.send(view=look.words_alone(), nonce=self._job.id)
            )
            message_id = sent.id
            await self._found(message_id)
        if message_id is not None:
            message = channel.get_partial_message(message_id)
            await self._call(client, lambda: message.edit(**look.edit()), look.size_bytes)

    async def _find(
        self, client: discord.Client, channel: discord.PartialMessageable
    ) -> int | None:
        found = await self._call(client, lambda: self._search(client, channel))
        if found is None:
            return None
        await self._found(found.id)
        return found.id

    async def _read(self, client: discord.Client) -> discord.Message | None:
        if self._token:
            message_id, webhook = self._message_id or ORIGINAL, webhook_of(client, self._token)
            try:
                return await self._call(client, lambda: webhook.fetch_message(message_id))
            except discord.HTTPException as error:
                if code_of(error) not in TOKEN_IS_DEAD:
                    raise
                self._token = ""
        if self._channel_id is None:
            return None
        channel = client.get_partial_messageable(self._channel_id)
        if self._message_id is None:
            return await self._call(client, lambda: self._search(client, channel))
        return await self._call(client, channel.get_partial_message(self._message_id).fetch)

    async def _search(
        self, client: discord.Client, channel: discord.PartialMessageable
    ) -> discord.Message | None:
        """The card among the channel's messages since the job was asked for."""
        since = datetime.fromtimestamp(self._job.asked_at_s - 60, UTC)
        try:
            async for message in channel.history(
                limit=_SEARCHED_MESSAGES, after=since, oldest_first=True
            ):
                # Others may quote a job's id.
                if message.author == client.user and self._is_mine(message):
                    return message
        except discord.HTTPException as error:
            if code_of(error) not in {MISSING_ACCESS, MISSING_PERMISSIONS}:
                raise
            # It may write here and not read.
            log.info("the channel's messages cannot be read")
        return None

    def _is_mine(self, message: discord.Message) -> bool:
        asked_with = message.interaction_metadata
        if asked_with is not None and str(asked_with.id) == self._job.origin.event:
            return True
        return render.is_of(render.text_of(message), self._job.id)

    async def _found(self, message_id: int) -> None:
        if self._message_id is None:
            self._message_id = message_id
            await self._on_message(str(message_id))

    async def _call(
        self, client: discord.Client, call: Callable[[], Awaitable[T]], size_bytes: int = 0
    ) -> T:
        return await self._calls.make(
            client,
            call,
            channel=self._channel_id,
            patience=self._patience,
            size_bytes=size_bytes,
        )


class _Look:
    """What a card looks like in Discord; made before anything is sent."""

    def __init__(self, card: Card, voice: Voice, shown: tuple[render.Seen, ...]) -> None:
        self._card = card
        self._voice = voice
        self.pictures = shown if card.pictures is None else render.seen(card.pictures, voice)
        self._view = render.card_layout(card, self.pictures, voice)
        self.text = render.card_text(card, voice, render.MAX_LAYOUT_UNITS)
        self.size_bytes = render.size_bytes(card.pictures)

    def words_alone(self) -> LayoutView:
        """The card without pictures, and with nothing to press."""
        return render.card_layout(replace(self._card, actions=()), (), self._voice)

    def edit(self) -> dict[str, Any]:
        """The arguments of an edit; files are read once, so each try needs its own."""
        return {
            "content": None,
            "embeds": [],
            "attachments": render.files(self._card.pictures, self._voice),
            "view": self._view,
        }
