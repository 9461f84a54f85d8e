"""What one person is told alone, in a message of the bot's to them."""

import logging
from collections.abc import Mapping
from typing import Final

from bot.core.case import Notice
from bot.errors import BotError, UndeliveredError
from bot.homes.slack import render
from bot.homes.slack.calls import Calls, code_of, named, translated
from bot.homes.slack.posted import Posted, metadata
from bot.homes.slack.voice import Voice

log = logging.getLogger(__name__)

# As many as one page has. Between a try whose answer was lost and the next nobody writes so many to
# the bot.
_SEARCHED_MESSAGES: Final = 200


class DirectMessages:
    """Tells people what is for them."""

    def __init__(self, calls: Calls, posted: Posted) -> None:
        self._calls = calls
        self._posted = posted

    async def say(self, user: str, said: Mapping[str, object]) -> None:
        """Say something to somebody, by the arguments of the call; raises as `Calls`."""
        await self._calls.make("chat.postMessage", await self._channel(user), **said)

    async def tell(self, notice: Notice, voice: Voice) -> None:
        """Tell it once; see `Home.notify`."""
        text = render.failure_text(notice.sentence, voice)
        try:
            channel = await self._channel(notice.to.id)
            # The answer of an earlier try may have been lost, with an earlier process perhaps.
            if await self._is_told(channel, notice.number):
                return
            await self._calls.make(
                "chat.postMessage",
                channel,
                text=text,
                metadata=metadata("notice", notice.number),
            )
        except BotError:
            raise
        except Exception as error:
            if code_of(error) is None:
                raise translated(error) from error
            log.info("somebody takes no direct messages: %s", named(error))
            raise UndeliveredError(f"They take no messages of the bot: {named(error)}.") from error

    async def _channel(self, user: str) -> str:
        opened = await self._calls.make("conversations.open", users=user)
        return str(opened["channel"]["id"])

    async def _is_told(self, channel: str, number: int) -> bool:
        # `Home.notify` is called once the bot knows its own name.
        found = await self._calls.make(
            "conversations.history", channel, limit=_SEARCHED_MESSAGES, include_all_metadata=True
        )
        messages = found.get("messages") or ()
        return any(self._posted.about(one, "notice") == number for one in messages)
