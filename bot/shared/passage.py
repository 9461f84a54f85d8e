"""How much time has passed, told by two clocks that cannot be trusted alone.

The wall clock can be set wrong, and right again. The monotonic one cannot, but begins anew with
each process. So time counts that a process saw passing; between two processes the wall clock is
believed for a day, and for more only once it has stayed with that for a day.
"""

from dataclasses import dataclass, replace
from typing import Final

BELIEVED_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Passage:
    """What is known of the passing of time.

    passed_s        grows with what surely passed, never more; to be compared with itself alone
    wall_s          what the wall clock shows if it went on as it did; never set back
    doubted_s       how much the wall clock went ahead while no process looked, and is not believed
                    for; 0: nothing
    doubted_from_s  what it showed then
    """

    passed_s: float
    wall_s: float
    doubted_s: float = 0.0
    doubted_from_s: float = 0.0

    def look(self, wall_s: float, ran_s: float | None) -> "Passage":
        """What is known now.

        wall_s  what the wall clock shows
        ran_s   by the monotonic clock, since the last look; None: the first look of a process
        """
        away = ran_s is None  # for how long, the wall clock alone can tell
        ran_s = ran_s or 0.0
        now = replace(self, passed_s=self.passed_s + ran_s, wall_s=self.wall_s + ran_s)
        ahead_s = wall_s - now.wall_s
        if now.doubted_s and ahead_s < -now.doubted_s / 2:
            # It was set right again: what had passed by then is known only now.
            now = replace(now, wall_s=now.wall_s - now.doubted_s, doubted_s=0.0)
            ahead_s, away = wall_s - now.wall_s, True
        if ahead_s > 0:
            now = replace(now, wall_s=wall_s)
            if not away:  # somebody set the clock: no time passed
                now = replace(now, doubted_from_s=now.doubted_from_s + ahead_s)
            elif ahead_s <= BELIEVED_S:
                now = replace(now, passed_s=now.passed_s + ahead_s)
            else:  # what was doubted before has had its day
                now = replace(_believed(now), doubted_s=ahead_s, doubted_from_s=wall_s)
        if now.doubted_s and now.wall_s - now.doubted_from_s >= BELIEVED_S:
            return _believed(now)
        return now


def _believed(passage: Passage) -> Passage:
    return replace(passage, passed_s=passage.passed_s + passage.doubted_s, doubted_s=0.0)
