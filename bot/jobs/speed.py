"""How fast jobs are drawn, measured, and when a waiting one will be."""

from typing import Final

_NEWEST_WEIGHT: Final = 0.2  # of an exponential mean: the last five jobs or so tell


class Speed:
    """Seconds that a typical job takes the device; None until one was drawn."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def observe(self, cost: float, seconds: float) -> None:
        """A job of this cost took so long."""
        measured = seconds / cost
        known = measured if self._seconds is None else self._seconds
        self._seconds = known + _NEWEST_WEIGHT * (measured - known)

    def seconds(self, cost: float) -> float | None:
        """How long jobs of this cost, all together, will take."""
        return None if self._seconds is None else self._seconds * cost
