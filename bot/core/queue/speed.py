"""How fast jobs are drawn, measured, and when a waiting one will be."""

from typing import Final

_NEWEST_WEIGHT: Final = 0.2  # of an exponential mean: the last five jobs or so tell


class Speed:
    """How long the device takes for its work, as `work_of` counts it."""

    def __init__(self) -> None:
        self._seconds: float | None = None  # for 1

    def observe(self, work: int, seconds: float) -> None:
        """That much work took so long."""
        measured = seconds / work
        known = measured if self._seconds is None else self._seconds
        self._seconds = known + _NEWEST_WEIGHT * (measured - known)

    @property
    def unit_s(self) -> float | None:
        """How long a work of 1 takes; None until some was observed."""
        return self._seconds

    def seconds(self, work: int) -> float | None:
        """How long that much work will take; None until some was observed."""
        return None if self._seconds is None else self._seconds * work
