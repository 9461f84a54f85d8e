"""Watches the engine thread: a device call that never returns is noticed, and ends the process."""

import asyncio
import logging
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
