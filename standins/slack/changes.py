"""Waits for what becomes true as the world changes."""

import asyncio
from collections.abc import Callable

Predicate = Callable[[], bool]


class Changes:
    """Asks again, at every change, whether what somebody waits for has come true.

    count  how often something has changed
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiters: list[tuple[Predicate, asyncio.Future[None]]] = []

    def happened(self) -> None:
        """Something has changed; never waits."""
        self.count += 1
        for predicate, future in list(self._waiters):
            if future.done():
                continue
            try:
                come_true = predicate()
            except Exception as error:  # noqa: BLE001 - the fault is of whoever waits, and goes there
                future.set_exception(error)
                continue
            if come_true:
                future.set_result(None)

    async def until(self, predicate: Predicate) -> None:
        """Wait until `predicate` holds; at once if it does."""
        if predicate():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        try:
            await future
        finally:
            self._waiters.remove(waiter)
