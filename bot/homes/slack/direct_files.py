"""Files for one person alone, in a message of the bot's to them."""

import asyncio
from collections.abc import Mapping
from typing import Final

from bot.errors import UndeliveredError
from bot.homes.slack.calls import Calls, code_of, is_passing, translated
from bot.homes.slack.uploads import PROCESSING, Uploads
from bot.shared.retry import Sleep, persist
from sdxl_engine.sentence import say

SENT: Final = say("It is in the bot's direct messages to you.")
_NOT_TAKEN: Final = say(
    "Slack did not take the file. Ask who manages the workspace whether the bot may send you one."
)


class DirectFiles:
    """Sends them, however often a call fails, once."""

    def __init__(self, calls: Calls, *, sleep: Sleep = asyncio.sleep) -> None:
        self._calls = calls
        self._sleep = sleep

    async def send(self, user: str, files: Mapping[str, bytes], text: str) -> None:
        """Send files by their names, with a text that has its markup.

        Raises AwayError, UndeliveredError.
        """
        uploads = Uploads(self._calls)

        async def send() -> None:
            opened = await self._calls.make("conversations.open", users=user)
            await uploads.share(files, str(opened["channel"]["id"]), text)

        try:
            await persist(
                send,
                "a file for one alone",
                is_passing=is_passing,
                backoff=PROCESSING,
                sleep=self._sleep,
            )
        except Exception as error:
            if code_of(error) is None:
                raise translated(error) from error
            raise UndeliveredError(_NOT_TAKEN) from error
