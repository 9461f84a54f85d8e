"""Time as the loopback sees it: an injected clock, and what falls due by it."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

Clock = Callable[[], float]


class ManualClock:
    """A clock that stands still until a test moves it.

    now_s  what it shows, in seconds
    """

    def __init__(self, now_s: float = 1_000.0) -> None:
        self.now_s = now_s
        self._watchers: list[Callable[[], None]] = []

    def __call__(self) -> float:
        """Its time now."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Move on, and run at once whatever that makes due."""
        self.now_s += seconds
        for watcher in self._watchers:
            watcher()

    def watch(self, on_advance: Callable[[], None]) -> None:
        """Call `on_advance` after every move."""
        self._watchers.append(on_advance)


class Timer:
    """One callback that will be due; `cancel` takes it back."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never run it; harmless when it has run."""
        self._callback = None

    def fire(self) -> None:
        """Run it, once."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    @property
    def cancelled(self) -> bool:
        """Whether it has run or never will."""
        return self._callback is None


class Timers:
    """Everything that waits for the clock, in one heap and behind one event loop timer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._wake: asyncio.TimerHandle | None = None
        self._sleepers: set[asyncio.Future[None]] = set()
        self._closed = False
        if isinstance(clock, ManualClock):
            clock.watch(self.run_due)

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the event loop when the clock has moved on by `delay_s`."""
        timer = Timer(callback)
        if self._closed:
            return timer
        heapq.heappush(self._heap, (self.clock() + delay_s, next(self._order), timer))
        self._arm()
        return timer

    async def sleep(self, delay_s: float) -> None:
        """Wait by the clock; `close` cancels it."""
        await self.wait(asyncio.get_running_loop().create_future(), delay_s)

    async def wait(self, future: asyncio.Future[None], timeout_s: float | None) -> None:
        """Wait for `future`, no longer than `timeout_s` by the clock; `close` cancels it."""
        timer = None if timeout_s is None else self.after(timeout_s, lambda: _settle(future))
        self._sleepers.add(future)
        try:
            await future
        finally:
            self._sleepers.discard(future)
            if timer is not None:
                timer.cancel()

    def run_due(self) -> None:
        """Run what the clock says is due."""
        while self._heap and (self._heap[0][0] <= self.clock() or self._heap[0][2].cancelled):
            heapq.heappop(self._heap)[2].fire()
        self._arm()

    def close(self) -> None:
        """Drop every timer, cancel every sleeper, and take no more timers."""
        self._closed = True
        self._heap.clear()
        self._disarm()
        for sleeper in self._sleepers:
            sleeper.cancel()

    def _arm(self) -> None:
        self._disarm()
        # A hand-moved clock runs its timers itself, so no real time is waited for.
        if self._heap and not isinstance(self.clock, ManualClock):
            delay_s = max(0.0, self._heap[0][0] - self.clock())
            self._wake = asyncio.get_running_loop().call_later(delay_s, self.run_due)

    def _disarm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
