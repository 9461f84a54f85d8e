"""What `imagine doctor` finds."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line.

    what  is so
    mend  what to do about it, "" where nothing need be done
    """

    level: Level
    what: str
    mend: str = ""
