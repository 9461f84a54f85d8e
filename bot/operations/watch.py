"""Watches the engine, which may hang, the disk, which may be full, and the event loop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from bot.errors import EngineStuckError
from bot.shared.retry import Sleep
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_LOOKS: Final = 10  # within the time that a silence may last
# Compiling one program gives no sign of life, and took eleven minutes on two busy cores.
_STARTING_TAKES: Final = 6
_AGAIN_AFTER_S: Final = 60.0
_PROBE_EVERY_S: Final = 2.0


async def tirelessly(work: Callable[[], Awaitable[None]], *, sleep: Sleep = asyncio.sleep) -> None:
    """Do work that never ends, and begin it anew after what nobody foresaw.

    People are served without it; it is no reason to end the bot.
    """
    while True:
        try:
            await work()
        except Exception:
            log.exception("what is done beside the drawing failed, and is begun anew")
        await sleep(_AGAIN_AFTER_S)


class Lives(Protocol):
    """What gives signs of life; the engine thread."""

    @property
    def silent_s(self) -> float:
        """For how many seconds what it has in hand has given none."""


class Writes(Protocol):
    """What writes to the disk; the worker."""

    @property
    def disk_is_writable(self) -> bool:
        """Whether what had to be written last could be."""

    async def probe_disk(self) -> None:
        """Find out whether it can be now; never raises."""


def silence_limit_s(stuck_after_s: float, *, starting: bool) -> float:
    """How long the engine may be silent; while it loads and compiles longer than later."""
    return stuck_after_s * (_STARTING_TAKES if starting else 1)


async def watch_engine(
    engine: Lives,
    stuck_after_s: float,
    *,
    is_starting: Callable[[], bool] = lambda: False,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Raise EngineStuckError once the engine has given no sign of life for too long.

    stuck_after_s  how long, while it draws; see `silence_limit_s`

    Nothing in this process can stop a thread that hangs in the device's driver.
    """
    while True:
        await sleep(stuck_after_s / _LOOKS)
        silent_s, starting = engine.silent_s, is_starting()
        limit_s = silence_limit_s(stuck_after_s, starting=starting)
        if silent_s > limit_s:
            doing = "while it was made ready" if starting else "for a job"
            log.critical("the device has not answered %s, for %.0f s", doing, silent_s)
            raise EngineStuckError(
                say("The device does not answer, so the bot restarts itself. Your place is kept."),
                limit_s,
            )


async def watch_disk(disk: Writes, *, sleep: Sleep = asyncio.sleep) -> None:
    """While nothing could be written, see whether it can be by now; runs until it is cancelled."""
    while True:
        await sleep(_PROBE_EVERY_S)
        if not disk.disk_is_writable:
            await disk.probe_disk()


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
