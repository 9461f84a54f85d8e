"""The watches: patient with the slow, done with the dead, and a word for every long nap."""

import asyncio

import pytest

from bot.errors import EngineStuckError
from bot.operations.watch import watch_engine, watch_lag
from tests.fakes import FakeSleep


class Engine:
    """Has been silent for so long, at each look."""

    def __init__(self, *silences_s: float) -> None:
        self._silences_s = list(silences_s)

    @property
    def silent_s(self) -> float:
        return self._silences_s.pop(0)


async def test_only_a_silence_that_is_too_long_ends_the_watch() -> None:
    sleep = FakeSleep()
    with pytest.raises(EngineStuckError, match="does not answer"):
        await watch_engine(Engine(0, 299, 300, 1, 301), 300, sleep=sleep)
    assert sleep.delays_s == [30] * 5


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
