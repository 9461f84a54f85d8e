"""The watches: patient with the slow, done with the dead, and a word for every long nap."""

import asyncio

import pytest

from bot.errors import EngineStuckError
from bot.operations.watch import tirelessly, watch_disk, watch_engine, watch_lag
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


async def test_a_start_may_be_silent_for_longer() -> None:
    starting = iter([True, True, True, False])
    with pytest.raises(EngineStuckError):
        await watch_engine(
            Engine(301, 1799, 1800, 301),
            300,
            is_starting=lambda: next(starting),
            sleep=FakeSleep(),
        )
    with pytest.raises(EngineStuckError) as caught:
        await watch_engine(Engine(1801), 300, is_starting=lambda: True, sleep=FakeSleep())
    assert caught.value.limit_s == 1800


class Disk:
    """Cannot be written to until it was looked at so often."""

    def __init__(self, probes: int) -> None:
        self.probes = probes

    @property
    def disk_is_writable(self) -> bool:
        return self.probes == 0

    async def probe_disk(self) -> None:
        self.probes -= 1


async def test_a_disk_is_looked_at_while_it_is_in_trouble_and_no_longer() -> None:
    disk, looks = Disk(3), 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks > 10:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await watch_disk(disk, sleep=sleep)
    assert disk.probes == 0


async def test_what_fails_beside_the_drawing_is_begun_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = [ValueError("once"), KeyError("twice")]

    async def work() -> None:
        if failures:
            raise failures.pop(0)
        raise asyncio.CancelledError

    sleep = FakeSleep()
    with pytest.raises(asyncio.CancelledError):
        await tirelessly(work, sleep=sleep)
    assert sleep.delays_s == [60, 60]
    assert "once" in caplog.text
    assert "twice" in caplog.text


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
