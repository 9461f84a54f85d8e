"""The bot's answer to one interaction: acknowledged once, then edited for as long as it takes."""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import discord

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

_ALREADY_ACKNOWLEDGED: Final = 40060
_TOKEN_IS_DEAD: Final = frozenset({10015, 50027})  # unknown webhook, invalid webhook token
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERRORS: Final = 500
_CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)
EDIT_ERRORS: Final = (discord.DiscordException, *_CONNECTION_ERRORS)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to be sent; unlike discord.File it can be sent again after a failure."""

    filename: str
    data: bytes
    alt_text: str


class Message(Protocol):
    """A message that can be edited."""

    async def edit(self, text: str, attachments: Sequence[Attachment] | None = None) -> None:
        """Replace the text, and the attachments; None leaves those as they are."""


class Answer:
    """The message that an acknowledged interaction became.

    message_id  None if Discord's reply to the acknowledgement was lost
    """

    def __init__(self, interaction: Interaction, message_id: int | None) -> None:
        self._interaction = interaction
        self._message_id = message_id
        self._token_is_dead = False

    async def edit(self, text: str, attachments: Sequence[Attachment] | None = None) -> None:
        """Replace the text, and the attachments; None leaves those as they are.

        The interaction's token lives 15 minutes; after that the bot edits its message as any
        message of its own, which works where it is a member. Raises discord.HTTPException and
        the connection's errors.
        """
        if not self._token_is_dead:
            try:
                edited = await self._interaction.edit_original_response(
                    content=text, attachments=_files(attachments)
                )
            except discord.HTTPException as error:
                if error.code not in _TOKEN_IS_DEAD or self._channel_message() is None:
                    raise
                log.info("the interaction's token has ended; editing the message by its id")
                self._token_is_dead = True
            else:
                self._message_id = edited.id
                return
        message = self._channel_message()
        assert message is not None  # noqa: S101 - the token is only given up where there is one
        await message.edit(content=text, attachments=_files(attachments))

    def _channel_message(self) -> discord.PartialMessage | None:
        channel_id = self._interaction.channel_id
        if channel_id is None or self._message_id is None:
            return None
        client: discord.Client = self._interaction.client
        return client.get_partial_messageable(channel_id).get_partial_message(self._message_id)


async def acknowledge(interaction: Interaction) -> Answer | None:
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
            return Answer(interaction, None)
        log.warning("could not acknowledge the command: %s", error)
    except _CONNECTION_ERRORS as error:
        log.warning("could not acknowledge the command: %r", error)
    return None


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, discord.HTTPException):
        return error.status == _TOO_MANY_REQUESTS or error.status >= _SERVER_ERRORS
    return isinstance(error, (*_CONNECTION_ERRORS, discord.RateLimited))


async def _defer(interaction: Interaction) -> Answer:
    response = await interaction.response.defer(thinking=True)
    return Answer(interaction, response.message_id if response is not None else None)


def _files(
    attachments: Sequence[Attachment] | None,
) -> Any:  # noqa: ANN401 - discord.py's MISSING is Any
    if attachments is None:
        return discord.utils.MISSING
    return [
        discord.File(io.BytesIO(one.data), one.filename, description=one.alt_text)
        for one in attachments
    ]
