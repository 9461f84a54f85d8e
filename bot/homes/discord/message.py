"""The one message that is a job's card: changed, read back, and found again after a restart.

Two ways lead to it: the interaction's token, for 15 minutes, and after that the bot's own, by the
message's id, where the bot is a member. Where neither does, the card is a new message with the
job's id as its nonce.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import discord

from bot.core.card import Card
from bot.core.job import Job
from bot.errors import AwayError, CardGoneError, UndeliveredError
from bot.homes.cards.desk import OnMessage
from bot.homes.cards.message import Seen
from bot.homes.discord import render
from bot.homes.discord.buttons import card_buttons

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

_ALREADY_ACKNOWLEDGED: Final = 40060
_TOKEN_IS_DEAD: Final = frozenset({10015, 50027})  # unknown webhook, invalid webhook token
_UNKNOWN_CHANNEL, _UNKNOWN_MESSAGE, _MISSING_ACCESS = 10003, 10008, 50001
_TOO_LARGE: Final = 413
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERRORS: Final = 500
CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)
EDIT_ERRORS: Final = (discord.DiscordException, *CONNECTION_ERRORS)
# Discord's own name for an interaction's answer, where the id of the message is not known.
_ORIGINAL: Final[Any] = "@original"
_SEARCHED_MESSAGES: Final = 100

GetClient = Callable[[], Awaitable[discord.Client]]


class CardMessage:
    """Implements `Message` for a job's card.

    client      waits until a client is logged in
    on_message  told when Discord says which message it is, and nobody knew yet
    """

    def __init__(self, job: Job, client: GetClient, on_message: OnMessage) -> None:
        self._job = job
        self._client = client
        self._on_message = on_message
        self._message_id = None if job.origin.message is None else int(job.origin.message)
        self._token = job.origin.token
        channel = job.origin.venue.channel
        self._channel_id = None if channel is None else int(channel)

    async def edit(self, card: Card, *, is_last: bool = False) -> None:
        """See `Message.edit`."""
        client = await self._client()
        try:
            if self._token and await self._edit_by_token(client, card):
                return
            await self._edit_by_id(client, card, may_send=is_last)
        except EDIT_ERRORS as error:
            raise translated(error) from error
        except RuntimeError as error:
            if not client.is_closed():
                raise
            raise AwayError("The client was closed meanwhile.") from error

    async def read(self) -> Seen | None:
        """See `Message.read`."""
        client = await self._client()
        try:
            message = await self._read(client)
        except (RuntimeError, *EDIT_ERRORS) as error:  # the former of a client that was closed
            if isinstance(error, discord.NotFound) and error.code == _UNKNOWN_MESSAGE:
                raise translated(error) from error
            log.info("the card cannot be read back: %r", error)
            return None
        if message is None:
            return None
        names = tuple(file.filename for file in message.attachments)
        return Seen(names, is_over=render.is_end(message.content, self._job.id))

    async def mention(self, sentence: str) -> None:
        """Say something in answer to the card that its person is told of; tried once.

        Raises discord.DiscordException, connection errors.
        """
        client = await self._client()
        person = discord.Object(int(self._job.person.id))
        text = f"<@{person.id}> {sentence}"
        mentions = discord.AllowedMentions(users=[person], replied_user=False)
        if self._channel_id is not None and self._message_id is not None:
            channel = client.get_partial_messageable(self._channel_id)
            card = channel.get_partial_message(self._message_id)
            try:
                await channel.send(text, allowed_mentions=mentions, reference=card)
            except (discord.Forbidden, discord.NotFound):
                if not self._token:
                    raise
            else:
                return
        if self._token:  # the only way where the bot is no member
            await self._webhook(client).send(text, allowed_mentions=mentions)

    async def _edit_by_token(self, client: discord.Client, card: Card) -> bool:
        """Returns whether the token still opened anything."""
        try:
            edited = await self._webhook(client).edit_message(
                self._message_id or _ORIGINAL,
                content=render.card_text(card),
                attachments=render.files(card.pictures),
                view=card_buttons(card.actions),
            )
        except discord.HTTPException as error:
            if error.code not in _TOKEN_IS_DEAD:
                raise
            log.info("the interaction's token has ended; the bot's own must do")
            self._token = ""
            return False
        await self._found(edited.id)
        return True

    async def _edit_by_id(self, client: discord.Client, card: Card, *, may_send: bool) -> None:
        if self._channel_id is None:
            raise UndeliveredError(
                "Discord no longer takes an answer to this command here. Ask with /jobs for the "
                "pictures."
            )
        channel = client.get_partial_messageable(self._channel_id)
        if self._message_id is None:
            found = await self._search(channel)
            if found is not None:
                await self._found(found.id)
        text = render.card_text(card)
        if self._message_id is not None:
            await channel.get_partial_message(self._message_id).edit(
                content=text,
                attachments=render.files(card.pictures),
                view=card_buttons(card.actions),
            )
        elif may_send:
            # Sent again with the same nonce, Discord gives back the one that is there.
            files = render.files(card.pictures) if card.pictures else []
            sent = await channel.send(text, files=files, nonce=self._job.id)
            await self._found(sent.id)

    async def _read(self, client: discord.Client) -> discord.Message | None:
        if self._token:
            try:
                return await self._webhook(client).fetch_message(self._message_id or _ORIGINAL)
            except discord.HTTPException as error:
                if error.code not in _TOKEN_IS_DEAD:
                    raise
                self._token = ""
        if self._channel_id is None:
            return None
        channel = client.get_partial_messageable(self._channel_id)
        if self._message_id is None:
            return await self._search(channel)
        return await channel.get_partial_message(self._message_id).fetch()

    async def _search(self, channel: discord.PartialMessageable) -> discord.Message | None:
        """The card among the channel's messages since the job was asked for."""
        since = datetime.fromtimestamp(self._job.asked_at_s - 60, UTC)
        try:
            async for message in channel.history(
                limit=_SEARCHED_MESSAGES, after=since, oldest_first=True
            ):
                if self._is_mine(message):
                    return message
        except discord.Forbidden:  # it may write here and not read
            log.info("the channel's messages cannot be read")
        return None

    def _is_mine(self, message: discord.Message) -> bool:
        asked_with = message.interaction_metadata
        if asked_with is not None and str(asked_with.id) == self._job.origin.event:
            return True
        return render.is_of(message.content, self._job.id)

    async def _found(self, message_id: int) -> None:
        if self._message_id is None:
            self._message_id = message_id
            await self._on_message(str(message_id))

    def _webhook(self, client: discord.Client) -> discord.Webhook:
        assert client.application_id is not None  # noqa: S101 - known once it is logged in
        return discord.Webhook.partial(client.application_id, self._token, client=client)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An interaction that Discord knows will be answered.

    message_id  of the answer; None if Discord's reply was lost
    """

    message_id: str | None


async def acknowledge(interaction: Interaction) -> Acknowledged | None:
    """Tell Discord, within its three seconds, that an answer will come.

    Returns None if nobody can see an answer: too late (10062), or answered by another process
    (40060). A connection that breaks leaves open whether Discord heard it, so it is tried once
    more: then 40060 means that it had.
    """
    try:
        return await _defer(interaction)
    except discord.HTTPException as error:
        log.warning("could not acknowledge the command: %s", error)
        return None
    except CONNECTION_ERRORS as error:
        log.warning("the connection broke while acknowledging the command: %r", error)
    try:
        return await _defer(interaction)
    except discord.HTTPException as error:
        if error.code == _ALREADY_ACKNOWLEDGED:
            return Acknowledged(None)
        log.warning("could not acknowledge the command: %s", error)
    except CONNECTION_ERRORS as error:
        log.warning("could not acknowledge the command: %r", error)
    return None


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, discord.HTTPException):
        return error.status == _TOO_MANY_REQUESTS or error.status >= _SERVER_ERRORS
    return isinstance(error, (*CONNECTION_ERRORS, discord.RateLimited))


def retry_after_s(error: Exception) -> float:
    """How long Discord wants to be left alone; 0 if it did not say."""
    if isinstance(error, discord.RateLimited):
        return error.retry_after
    if isinstance(error, discord.HTTPException) and error.status == _TOO_MANY_REQUESTS:
        try:
            return float(error.response.headers.get("Retry-After", 0))
        except ValueError:  # a proxy's own, a date
            return 0.0
    return 0.0


def translated(error: Exception) -> Exception:
    """What a failed call means for a card, as an error with a sentence for its person."""
    if is_passing(error):
        return AwayError(f"Discord did not do it: {error!r}.", retry_after_s(error))
    code = error.code if isinstance(error, discord.HTTPException) else None
    if code == _UNKNOWN_MESSAGE:
        return CardGoneError("The message for the pictures was deleted.")
    if code in {_UNKNOWN_CHANNEL, _MISSING_ACCESS}:
        return UndeliveredError(
            "The channel is gone, or closed to the bot. /jobs still has the pictures."
        )
    if isinstance(error, discord.Forbidden):
        return UndeliveredError(
            "The bot may not show pictures here. Ask a moderator to give it Attach Files and Send "
            "Messages; /jobs still has the pictures."
        )
    if isinstance(error, discord.HTTPException) and error.status == _TOO_LARGE:
        return UndeliveredError(
            "Discord finds the pictures too large. Ask for fewer or smaller ones."
        )
    log.error("Discord does not take a card: %r", error)
    return UndeliveredError(
        "Discord did not take the pictures, and it has been noted. /jobs still has them."
    )


async def _defer(interaction: Interaction) -> Acknowledged:
    response = await interaction.response.defer(thinking=True)
    message_id = None if response is None else response.message_id
    return Acknowledged(None if message_id is None else str(message_id))
