"""What one person is told alone, in a message of the bot's to them."""

import logging
from typing import Final

from bot.core.case import Notice
from bot.errors import BotError, UndeliveredError
from bot.homes.slack import posted, render
from bot.homes.slack.calls import Calls, code_of, named, translated
from bot.homes.slack.voice import Voice

log = logging.getLogger(__name__)

_SEARCHED_MESSAGES: Final = 20


class DirectMessages:
    """Tells people what is for them, each once."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def tell(self, notice: Notice, voice: Voice) -> None:
        """See `Home.notify`."""
        text = render.failure_text(notice.sentence, voice)
        try:
            opened = await self._calls.make("conversations.open", users=notice.to.id)
            channel = str(opened["channel"]["id"])
            # The answer of an earlier try may have been lost, with an earlier process perhaps.
            if await self._is_told(channel, notice.number):
                return
            await self._calls.make(
                "chat.postMessage",
                channel,
                text=text,
                metadata=posted.metadata("notice", notice.number),
            )
        except BotError:
            raise
        except Exception as error:
            if code_of(error) is None:
                raise translated(error) from error
            log.info("somebody takes no direct messages: %s", named(error))
            raise UndeliveredError(f"They take no messages of the bot: {named(error)}.") from error

    async def _is_told(self, channel: str, number: int) -> bool:
        found = await self._calls.make(
            "conversations.history", channel, limit=_SEARCHED_MESSAGES, include_all_metadata=True
        )
        messages = found.get("messages") or ()
        return any(posted.about(one, "notice") == number for one in messages)
