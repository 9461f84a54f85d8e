"""The one message that is a job's card: changed, read back, and found again after a restart.

Two ways lead to it: the interaction's token, for 15 minutes, and after that the bot's own, by the
message's id, where the bot is a member. Where neither does, the card is a new message with the
job's id as its nonce.
"""

import io
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import aiohttp
import discord

from bot.core.job import Job
from bot.errors import UndeliveredError
from bot.homes.discord.buttons import buttons_of

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

_ALREADY_ACKNOWLEDGED: Final = 40060
_TOKEN_IS_DEAD: Final = frozenset({10015, 50027})  # unknown webhook, invalid webhook token
_UNKNOWN_CHANNEL, _UNKNOWN_MESSAGE, _MISSING_ACCESS = 10003, 10008, 50001
_TOO_LARGE: Final = 413
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERRORS: Final = 500
_CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)
EDIT_ERRORS: Final = (discord.DiscordException, *_CONNECTION_ERRORS)
# Discord's own name for an interaction's answer, where the id of the message is not known.
_ORIGINAL: Final[Any] = "@original"
_SEARCHED_MESSAGES: Final = 100


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to be sent; unlike discord.File it can be sent again after a failure."""

    filename: str
    data: bytes
    alt_text: str


@dataclass(frozen=True, slots=True)
class Face:
    """What a card looks like.

    attachments  None leaves those that are there as they are
    can_cancel   it has a button that cancels the job
    """

    text: str
    attachments: tuple[Attachment, ...] | None = None
    can_cancel: bool = False


class Message(Protocol):
    """A message that can be edited and read."""

    async def edit(self, face: Face, *, is_last: bool = False) -> None:
        """Make it look like this.

        is_last  the card's last face: where there is no message to change, a new one is sent

        Raises EDIT_ERRORS, or UndeliveredError where trying again cannot help.
        """

    async def shows(self, filenames: Sequence[str]) -> bool:
        """Whether it has exactly these files now; False too where it cannot be read."""


OnMessageId = Callable[[int], Awaitable[None]]
GetClient = Callable[[], Awaitable[discord.Client]]


class CardMessage:
    """Implements `Message` for a job's card.

    client         waits until a client is logged in
    on_message_id  told when Discord says which message it is, and nobody knew yet
    """

    def __init__(self, job: Job, client: GetClient, on_message_id: OnMessageId) -> None:
        self._job = job
        self._client = client
        self._on_message_id = on_message_id
        self._message_id = job.message_id
        self._token = job.token

    async def edit(self, face: Face, *, is_last: bool = False) -> None:
        """See `Message.edit`."""
        client = await self._client()
        try:
            if self._token and await self._edit_by_token(client, face):
                return
            await self._edit_by_id(client, face, may_send=is_last)
        except discord.HTTPException as error:
            sentence = _why_never(error)
            if sentence is None:
                raise
            raise UndeliveredError(sentence) from error
        except RuntimeError as error:
            if not client.is_closed():
                raise
            raise ConnectionResetError("the client was closed meanwhile") from error

    async def shows(self, filenames: Sequence[str]) -> bool:
        """See `Message.shows`."""
        client = await self._client()
        try:
            message = await self._read(client)
        except (RuntimeError, *EDIT_ERRORS) as error:  # the former of a client that was closed
            log.info("the card cannot be read back: %r", error)
            return False
        if message is None:
            return False
        return [file.filename for file in message.attachments] == list(filenames)

    async def _edit_by_token(self, client: discord.Client, face: Face) -> bool:
        """Returns whether the token still opened anything."""
        try:
            edited = await self._webhook(client).edit_message(
                self._message_id or _ORIGINAL,
                content=face.text,
                attachments=files_of(face),
                view=buttons_of(self._job.id, can_cancel=face.can_cancel),
            )
        except discord.HTTPException as error:
            if error.code not in _TOKEN_IS_DEAD:
                raise
            log.info("the interaction's token has ended; the bot's own must do")
            self._token = ""
            return False
        await self._found(edited.id)
        return True

    async def _edit_by_id(self, client: discord.Client, face: Face, *, may_send: bool) -> None:
        channel_id = self._job.channel_id
        if channel_id is None:
            raise UndeliveredError(
                "Discord no longer takes an answer to this command here. Ask with /jobs for the "
                "pictures."
            )
        channel = client.get_partial_messageable(channel_id)
        if self._message_id is None:
            found = await self._search(channel)
            if found is not None:
                await self._found(found.id)
        view = buttons_of(self._job.id, can_cancel=face.can_cancel)
        if self._message_id is not None:
            await channel.get_partial_message(self._message_id).edit(
                content=face.text, attachments=files_of(face), view=view
            )
        elif may_send:
            # Sent again with the same nonce, Discord gives back the one that is there.
            sent = await channel.send(
                face.text, files=files_of(face) if face.attachments else [], nonce=self._job.id
            )
            await self._found(sent.id)

    async def _read(self, client: discord.Client) -> discord.Message | None:
        if self._token:
            try:
                return await self._webhook(client).fetch_message(self._message_id or _ORIGINAL)
            except discord.HTTPException as error:
                if error.code not in _TOKEN_IS_DEAD:
                    raise
                self._token = ""
        if self._job.channel_id is None:
            return None
        channel = client.get_partial_messageable(self._job.channel_id)
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
        if asked_with is not None and asked_with.id == self._job.interaction_id:
            return True
        return f"job {self._job.id}" in message.content

    async def _found(self, message_id: int) -> None:
        if self._message_id is None:
            self._message_id = message_id
            await self._on_message_id(message_id)

    def _webhook(self, client: discord.Client) -> discord.Webhook:
        assert client.application_id is not None  # noqa: S101 - known once it is logged in
        return discord.Webhook.partial(client.application_id, self._token, client=client)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An interaction that Discord knows will be answered.

    message_id  of the answer; None if Discord's reply was lost
    """

    message_id: int | None


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
    except _CONNECTION_ERRORS as error:
        log.warning("the connection broke while acknowledging the command: %r", error)
    try:
        return await _defer(interaction)
    except discord.HTTPException as error:
        if error.code == _ALREADY_ACKNOWLEDGED:
            return Acknowledged(None)
        log.warning("could not acknowledge the command: %s", error)
    except _CONNECTION_ERRORS as error:
        log.warning("could not acknowledge the command: %r", error)
    return None


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, discord.HTTPException):
        return error.status == _TOO_MANY_REQUESTS or error.status >= _SERVER_ERRORS
    return isinstance(error, (*_CONNECTION_ERRORS, discord.RateLimited))


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


def _why_never(error: discord.HTTPException) -> str | None:
    """Why the card will never look as wanted, for its person; None if that is not so."""
    if error.code == _UNKNOWN_MESSAGE:
        return "The message for the pictures was deleted. /jobs still has them."
    if error.code in {_UNKNOWN_CHANNEL, _MISSING_ACCESS}:
        return "The channel is gone, or closed to the bot. /jobs still has the pictures."
    if isinstance(error, discord.Forbidden):
        return (
            "The bot may not show pictures here. Ask a moderator to give it Attach Files and Send "
            "Messages; /jobs still has the pictures."
        )
    if error.status == _TOO_LARGE:
        return "Discord finds the pictures too large. Ask for fewer or smaller ones."
    return None


async def _defer(interaction: Interaction) -> Acknowledged:
    response = await interaction.response.defer(thinking=True)
    return Acknowledged(response.message_id if response is not None else None)


def files_of(face: Face) -> Any:  # noqa: ANN401 - discord.py's MISSING is Any
    """A face's attachments as discord.py sends them."""
    if face.attachments is None:
        return discord.utils.MISSING
    return [
        discord.File(io.BytesIO(one.data), one.filename, description=one.alt_text)
        for one in face.attachments
    ]
