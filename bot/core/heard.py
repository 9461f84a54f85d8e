"""A wish as a home heard it, before anybody has read what is wished."""

from dataclasses import dataclass
from typing import Final

from bot.core.job import Origin, Person
from bot.core.policy import Viewer
from bot.core.rules import Circumstances

_NOTHING_KNOWN: Final = Circumstances()


@dataclass(frozen=True, slots=True)
class Heard:
    """Who wishes where, and what a job of theirs will be called.

    job_id  of `new_job_id`, so that the log has it from the first line; what it starts from was
            brought for it by `Studio.bring`
    weight  the share of its person; 1 is anybody's
    around  what rules look at besides
    unseen  its card is for its person alone, in a home that has to say so before anything else
    """

    job_id: str
    person: Person
    origin: Origin
    asked_at_s: float  # seconds since 1970
    weight: float = 1.0
    around: Circumstances = _NOTHING_KNOWN
    unseen: bool = False

    @property
    def viewer(self) -> Viewer:
        """Who wishes, and where."""
        return Viewer(self.person, self.origin.venue)
