"""What one person alone sees: nobody can look whether it is there, as with a message that all see.

So where an answer of Slack's is lost, what somebody asked for is not sent again: it would be there
twice. Why something was not done is: better twice than never.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bot.errors import UndeliveredError
from bot.homes.cards.editor import retry_after_s
from bot.homes.slack.calls import INVALID_BLOCKS, code_of, is_passing, may_be_done
from bot.homes.slack.uploads import PROCESSING
from bot.shared.retry import Sleep, persist
from sdxl_engine.sentence import say

Send = Callable[[], Awaitable[object]]

MAYBE_LOST: Final = say("Slack may have lost the bot's answer. If you do not see it, ask again.")


class MaybeLostError(UndeliveredError):
    """Whether they see it nobody knows."""


async def send_once(
    send: Send, *, maybe_lost: str = MAYBE_LOST, sleep: Sleep = asyncio.sleep
) -> None:
    """Send it, again only where Slack surely did not take it.

    maybe_lost  told where nobody knows

    Raises MaybeLostError with that, and what `send` raises.
    """
    try:
        await _persist(send, lambda error: not may_be_done(error), sleep)
    except Exception as error:
        if may_be_done(error):
            raise MaybeLostError(maybe_lost) from error
        raise


async def send_surely(send: Send, *, sleep: Sleep = asyncio.sleep) -> None:
    """Send it until Slack says that it took it; raises what `send` raises for good."""
    await _persist(send, lambda _: True, sleep)


async def _persist(send: Send, may_repeat: Callable[[Exception], bool], sleep: Sleep) -> None:
    await persist(
        send,
        "what one person is told alone",
        is_passing=lambda error: (
            (is_passing(error) or code_of(error) == INVALID_BLOCKS) and may_repeat(error)
        ),
        retry_after_s=retry_after_s,
        backoff=PROCESSING,
        sleep=sleep,
    )
