"""The loop's watchman warns of naps that took too long, and only of those."""

import asyncio

import pytest

from bot.operations.lag import watch_lag


async def test_only_long_naps_are_told(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    naps_s = [1.0, 1.2, 3.5]

    async def sleep(_: float) -> None:
        nonlocal now_s
        if not naps_s:
            raise asyncio.CancelledError
        now_s += naps_s.pop(0)

    with pytest.raises(asyncio.CancelledError):
        await watch_lag(clock=lambda: now_s, sleep=sleep)
    assert [record.getMessage() for record in caplog.records] == [
        "the event loop was blocked for 2.50 s"
    ]
