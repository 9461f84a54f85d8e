"""Waiting, on the event loop, for what a thread does."""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def wait_for(future: Future[T]) -> T:
    """The result of a thread's future. Cancelling the wait leaves the future alone.

    `asyncio.wrap_future` would cancel it, and with it everybody else who waits for it.
    """
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop has gone, and the waiter with it
            loop.call_soon_threadsafe(settled.set)

    future.add_done_callback(wake)
    await settled.wait()
    return future.result()
