"""How the process ends when its command is done."""

import logging
import os
import sys
from typing import NoReturn, Protocol


class Threaded(Protocol):
    """Whoever has threads in the device, or in a store."""

    @property
    def is_alive(self) -> bool:
        """Whether one of them still runs, though it was told to stop."""


class Ending:
    """Knows whose threads a command started, and so whether the process may end as usual.

    An engine that is closed may still hang in a device call or in a compilation. Leaving in the
    ordinary way would tear the runtime down under it, which crashes. And it would wait for whatever
    is asked of a store that says nothing.
    """

    def __init__(self) -> None:
        self._threaded: list[Threaded] = []

    def minds(self, threaded: Threaded) -> None:
        """A command has started this, and closes it before it returns or raises."""
        self._threaded.append(threaded)

    @property
    def is_held_up(self) -> bool:
        """Whether any of it still runs."""
        return any(one.is_alive for one in self._threaded)

    def leave(self, code: int) -> NoReturn:
        """End the process now; everything of ours is closed already."""
        if self.is_held_up:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(code)
        sys.exit(code)
