"""Commands that run until somebody stops them, and the one way to begin again."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import NoReturn

from bot.cli.exit_codes import OK
from bot.shared import descriptors

log = logging.getLogger(__name__)

OnStop = Callable[[asyncio.Event], Coroutine[None, None, None]]


def run_until_stopped(run: OnStop) -> int:
    """Run until it ends or the process is told to stop; a second signal ends it at once."""

    async def supervised() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def on_signal(number: signal.Signals) -> None:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            log.info("%s: stopping; once more stops at once", number.name)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        await run(stop)

    asyncio.run(supervised())
    return OK


def start_anew() -> NoReturn:
    """Take this process' place with the same command: nothing else ends a thread that hangs."""
    logging.shutdown()
    sys.stdout.flush()
    # A device's driver opens files of its own; one that stays open keeps the device taken.
    descriptors.close_all()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command
