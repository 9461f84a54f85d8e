"""Watches the event loop: whatever blocks it makes the bot miss Discord's three seconds."""

import asyncio
import logging
import time
from collections.abc import Callable

from bot.shared.retry import Sleep

log = logging.getLogger(__name__)


async def watch_lag(
    observe: Callable[[float], object] = lambda _: None,
    *,
    interval_s: float = 1.0,
    warn_above_s: float = 0.25,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Warn of every nap that took longer than asked for; runs until it is cancelled.

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
