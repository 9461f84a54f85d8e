"""What people delete in Discord itself, passed on to those who keep pictures."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from bot.core.moderators import Moderators
from bot.errors import GalleryError, LedgerError
from bot.homes.discord.intake import HOME
from bot.shared.retry import Backoff, Sleep, persist

log = logging.getLogger(__name__)

_BACKOFF: Final = Backoff(attempts=10)  # some minutes: others wait behind it


class Deletions:
    """One after the other, in their order, each until it is done."""

    def __init__(self, moderators: Moderators, *, sleep: Sleep = asyncio.sleep) -> None:
        self._moderators = moderators
        self._sleep = sleep
        self._waiting: deque[Callable[[], Awaitable[None]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def message(self, message_id: int) -> None:
        """A message was deleted; whose, is looked up."""
        self._add(partial(self._moderators.message_gone, HOME, str(message_id)))

    def channel(self, guild_id: int, channel_id: int) -> None:
        """A channel, or a thread, was deleted with all that is in it."""
        gone = partial(self._moderators.channel_gone, HOME, str(guild_id), str(channel_id))
        self._add(gone)

    async def close(self, timeout_s: float) -> None:
        """Finish what was heard of, or give it up after so many seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _add(self, deletion: Callable[[], Awaitable[None]]) -> None:
        self._waiting.append(deletion)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._pass_on(), name="deletions")

    async def _pass_on(self) -> None:
        while self._waiting:
            deletion = self._waiting.popleft()
            try:
                await persist(
                    deletion,
                    "deleting what was deleted in Discord",
                    is_passing=lambda error: isinstance(error, LedgerError | GalleryError),
                    backoff=_BACKOFF,
                    sleep=self._sleep,
                )
            except Exception:  # of one message; the others are to go all the same
                log.exception("what was deleted in Discord is still kept")
