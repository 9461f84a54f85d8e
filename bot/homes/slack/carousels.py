"""Which workspaces have carousels.

Nobody can ask Slack beforehand. A workspace that does not have them refuses a message with one,
which is remembered for a while: it may get them later.
"""

import time
from collections.abc import Callable
from typing import Final

_REMEMBERED_S: Final = 6 * 3600.0


class Carousels:
    """Remembers, for one process, which communities have shown that they have none.

    clock  seconds
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._missing: dict[str | None, float] = {}  # by community, until when that is believed

    def may_be_in(self, community: str | None) -> bool:
        """Whether it is worth trying to show one there."""
        return self._missing.get(community, 0.0) <= self._clock()

    def are_missing(self, community: str | None) -> None:
        """What has none was shown there, and one was refused."""
        now_s = self._clock()
        self._missing = {one: until for one, until in self._missing.items() if until > now_s}
        self._missing[community] = now_s + _REMEMBERED_S
