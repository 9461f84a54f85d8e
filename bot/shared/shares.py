"""Places for what is done at the same time: so many at all, and no owner more than a share."""

import asyncio
import math
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class _Place:
    owner: Hashable
    is_slow: bool = False


class Shares:
    """So many places, handed out in turn among the owners who wait.

    places        how many may be taken at once
    share         of these, how many by one owner
    slow_after_s  whoever holds one longer gives it back to others, and goes on without
    slow          how many may go on so at once; they count to their owner's share
    """

    def __init__(
        self, places: int, share: int, *, slow_after_s: float = math.inf, slow: int = 0
    ) -> None:
        self._free = places
        self._share = share
        self._slow_after_s = slow_after_s
        self._slow_free = slow
        self._taken: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._overdue: OrderedDict[_Place, None] = OrderedDict()  # slow, and still with a place

    @asynccontextmanager
    async def place(self, owner: Hashable) -> AsyncIterator[None]:
        """Wait for a place, and hold it inside."""
        await self._take(owner)
        place = _Place(owner)
        timer = None
        if math.isfinite(self._slow_after_s):
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._slow_after_s, self._is_overdue, place)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            self._leave(place)

    async def _take(self, owner: Hashable) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # admitted in this very moment
                self._leave(_Place(owner))
            raise

    def _leave(self, place: _Place) -> None:
        self._taken[place.owner] -= 1
        if not self._taken[place.owner]:
            del self._taken[place.owner]
        self._overdue.pop(place, None)
        if place.is_slow:
            self._slow_free += 1
            self._let_go_on()
        else:
            self._free += 1
        self._admit()

    def _is_overdue(self, place: _Place) -> None:
        self._overdue[place] = None
        self._let_go_on()
        self._admit()

    def _let_go_on(self) -> None:
        """Take their places from those that are slow, as many as may go on without."""
        while self._overdue and self._slow_free:
            place, _ = self._overdue.popitem(last=False)
            place.is_slow = True
            self._slow_free -= 1
            self._free += 1

    def _admit(self) -> None:
        """Let in whoever may, one of each owner in turn."""
        admitted = True
        while admitted and self._free:
            admitted = False
            for owner in tuple(self._waiting):
                admitted |= self._admit_one(owner)

    def _admit_one(self, owner: Hashable) -> bool:
        turns = self._waiting[owner]
        while turns and turns[0].done():  # who waited there has given up
            turns.popleft()
        may = bool(turns and self._free) and self._taken[owner] < self._share
        if may:
            turns.popleft().set_result(None)
            self._free -= 1
            self._taken[owner] += 1
            self._waiting.move_to_end(owner)
        if not turns:
            del self._waiting[owner]
        return may
