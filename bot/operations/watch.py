"""Watches the engine, which may hang, and the event loop, which anything that blocks holds up."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from bot.errors import EngineStuckError
from bot.shared.retry import Sleep

log = logging.getLogger(__name__)

_LOOKS: Final = 10  # within the time that a silence may last


class Lives(Protocol):
    """What gives signs of life; the engine thread."""

    @property
    def silent_s(self) -> float:
        """For how many seconds what it has in hand has given none."""


async def watch_engine(
    engine: Lives, stuck_after_s: float, *, sleep: Sleep = asyncio.sleep
) -> None:
    """Raise EngineStuckError once a job has given no sign of life for `stuck_after_s` seconds.

    Nothing in this process can stop a thread that hangs in the device's driver.
    """
    while True:
        await sleep(stuck_after_s / _LOOKS)
        silent_s = engine.silent_s
        if silent_s > stuck_after_s:
            log.critical("the device has not answered for %.0f s", silent_s)
            raise EngineStuckError(
                "The device does not answer, so the bot restarts itself. Your place is kept."
            )


async def watch_lag(
    observe: Callable[[float], object] = lambda _: None,
    *,
    interval_s: float = 1.0,
    warn_above_s: float = 0.25,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Warn of every nap that took longer than asked for; runs until it is cancelled.

    A loop that is blocked makes the bot miss the three seconds that a home gives it to answer.

    observe       told how late each waking was, in seconds
    interval_s    the length of a nap
    warn_above_s  how much longer is worth a line
    """
    while True:
        before_s = clock()
        await sleep(interval_s)
        lag_s = clock() - before_s - interval_s
        observe(lag_s)
        if lag_s > warn_above_s:
            log.warning("the event loop was blocked for %.2f s", lag_s)
