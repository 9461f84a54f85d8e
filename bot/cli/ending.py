"""How the process ends when its command is done."""

import logging
import os
import sys
from typing import NoReturn, Protocol


class Engine(Protocol):
    """Whoever has a thread in the device."""

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs, though it was told to stop."""


class Ending:
    """Knows which engines a command started, and so whether the process may end as usual.

    An engine that is closed may still hang in a device call or in a compilation. Leaving in the
    ordinary way would tear the runtime down under it, which crashes.
    """

    def __init__(self) -> None:
        self._engines: list[Engine] = []

    def minds(self, engine: Engine) -> None:
        """A command has started this engine, and closes it before it returns or raises."""
        self._engines.append(engine)

    @property
    def is_held_up(self) -> bool:
        """Whether an engine still runs."""
        return any(engine.is_alive for engine in self._engines)

    def leave(self, code: int) -> NoReturn:
        """End the process now; everything of ours is closed already."""
        if self.is_held_up:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(code)
        sys.exit(code)
