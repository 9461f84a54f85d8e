"""What happens to jobs, told to whoever listens: metrics now, audit and moderation later.

Listeners are called on the event loop, in order, and must be quick. One that raises does not stop a
job: that is logged, and the others hear all the same.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from bot.core.job import Job, Record, State

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job is in the ledger; `took_s` seconds after it was asked for."""

    job: Job
    took_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody asked, and it was not taken."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Begun:
    """An engine has the job."""

    job: Job
    engine: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """Its pictures are stored."""

    record: Record
    engine: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The engine that had it is gone, and what it had drawn with it."""

    job: Job
    engine: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over, in a final state; `record` as the ledger holds it then."""

    record: Record

    @property
    def state(self) -> State:
        """How it ended."""
        return self.record.state


Event = Accepted | Refused | Begun | Drawn | Lost | Ended
Listener = Callable[[Event], None]


class Events:
    """Hands each event to every listener."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def tell(self, event: Event) -> None:
        """It has happened."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # whoever listens must not stop what is listened to
                log.exception("a listener failed at %s", type(event).__name__)
