"""Whose turn it is, as a bot's queue sees it: told in this process, or by a pool of engines."""

from typing import Protocol

from bot.core.queue.turns import Entry, Load, Position, Turn


class Turns(Protocol):
    """What is told returns at once, and is heard in this order; none of it raises."""

    @property
    def load(self) -> Load:
        """What there is to draw, over all bots."""

    def add(self, entry: Entry) -> None:
        """Let a job wait."""

    def measure(self, job_id: str, *, work: int, cost: float) -> None:
        """Know what a waiting job comes to; it keeps its place among its person's."""

    def remove(self, job_id: str) -> None:
        """Take a job out that waits, wherever it stands."""

    async def next(self) -> Turn | None:
        """The next turn of a job of this bot's, as soon as there is one; None once it is closed.

        The turn of a job that was removed may still come, where that was said too late.
        """

    def begin(self, job_id: str, work: int) -> None:
        """The device has it now, which comes to so much work."""

    def finish(self, job_id: str, *, drawn: bool) -> None:
        """The device is free for the next; only what was drawn tells how fast it goes."""

    def over(self, job_id: str) -> None:
        """Nothing of it is in hand any more."""

    def position(self, job_id: str) -> Position | None:
        """Where a waiting job stands, as far as it is known; None if it does not wait."""

    def close(self) -> None:
        """Give no more turns; what waits waits for another bot."""
