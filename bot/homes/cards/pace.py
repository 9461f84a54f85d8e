"""How often cards are edited: never one a step, and together no more than a channel bears."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakValueDictionary

from asyncio_throttle.throttler import Throttler

# The strictest home takes five edits in five seconds in a channel; pictures need some of them.
_SECONDS_PER_EDIT: Final = 1.5


class Acquires(Protocol):
    """What lets one through every so often; asyncio-throttle's Throttler."""

    async def acquire(self) -> None:
        """Wait until the next may pass."""


MakeThrottle = Callable[[], Acquires]


def edit_throttle() -> Acquires:
    """Lets one edit through every 1.5 seconds."""
    throttle: Acquires = Throttler(1, _SECONDS_PER_EDIT, retry_interval=0.1)
    return throttle


class Pace:
    """The edits of one channel: first come first served, what is drawn before what waits."""

    def __init__(self, throttle: Acquires) -> None:
        # A throttle has no line of its own and asks the clock: only the first may wait at it.
        self._line = asyncio.Lock()
        # Of those in no hurry one at a time joins the line; so nobody in a hurry waits for more.
        self._unhurried = asyncio.Lock()
        self._throttle = throttle

    async def turn(self, is_wanted: Callable[[], bool], *, urgent: bool) -> bool:
        """Wait for one's turn; False, and no turn is used up, if it is not wanted by then."""
        if urgent:
            return await self._in_line(is_wanted)
        async with self._unhurried:
            return await self._in_line(is_wanted)

    async def _in_line(self, is_wanted: Callable[[], bool]) -> bool:
        async with self._line:
            if not is_wanted():
                return False
            await self._throttle.acquire()
            return True


class Paces:
    """A pace for each channel that has cards."""

    def __init__(self, make_throttle: MakeThrottle) -> None:
        self._make_throttle = make_throttle
        self._paces: WeakValueDictionary[str | None, Pace] = WeakValueDictionary()

    def of(self, channel: str | None) -> Pace:
        """The pace of this channel; keep it as long as cards are edited there."""
        pace = self._paces.get(channel)
        if pace is None:
            pace = self._paces[channel] = Pace(self._make_throttle())
        return pace
