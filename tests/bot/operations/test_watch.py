"""The watchdog: patient with the slow, done with the dead."""

import pytest

from bot.errors import EngineStuckError
from bot.operations.watch import watch_engine
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
