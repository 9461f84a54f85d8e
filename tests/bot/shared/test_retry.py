"""Trying again: longer and longer, never for what cannot pass."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from bot.shared.retry import Backoff, bounded_s, persist
from tests.fakes import FakeSleep


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


def passing(error: Exception) -> bool:
    return isinstance(error, OSError)


def test_delays_double_with_jitter_up_to_the_limit() -> None:
    delays = list(Backoff(first_s=1, limit_s=8, attempts=7).delays_s())
    assert len(delays) == 6
    for delay, longest in zip(delays, [1, 2, 4, 8, 8, 8], strict=True):
        assert longest / 2 <= delay <= longest


async def test_it_is_done_in_the_end() -> None:
    sleep = FakeSleep()
    action = failing(OSError(), OSError())
    assert await persist(action, "it", is_passing=passing, backoff=Backoff(), sleep=sleep) == "done"
    assert len(sleep.delays_s) == 2


async def test_only_what_fails_again_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    action = failing(OSError(), OSError(), OSError())
    await persist(action, "it", is_passing=passing, backoff=Backoff(), sleep=FakeSleep())
    assert [one.levelname for one in caplog.records] == ["INFO", "WARNING", "WARNING"]


async def test_what_does_not_pass_is_raised_at_once() -> None:
    sleep = FakeSleep()
    with pytest.raises(ValueError, match="no"):
        await persist(
            failing(ValueError("no")), "it", is_passing=passing, backoff=Backoff(), sleep=sleep
        )
    assert sleep.delays_s == []


async def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    sleep = FakeSleep()
    backoff = Backoff(attempts=3)
    with pytest.raises(OSError, match="3"):
        await persist(
            failing(*(OSError(str(n)) for n in range(1, 5))),
            "it",
            is_passing=passing,
            backoff=backoff,
            sleep=sleep,
        )
    assert len(sleep.delays_s) == 2


async def test_no_delay_is_shorter_than_the_other_side_asked_for() -> None:
    sleep = FakeSleep()
    await persist(
        failing(OSError("5"), OSError("0")),
        "it",
        is_passing=passing,
        retry_after_s=lambda error: float(str(error)),
        backoff=Backoff(),
        sleep=sleep,
    )
    assert sleep.delays_s[0] == 5
    assert 1 <= sleep.delays_s[1] <= 2


async def test_being_cancelled_is_no_failure() -> None:
    started = asyncio.Event()

    async def action() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(
        persist(action, "it", is_passing=lambda _: True, backoff=Backoff(), sleep=FakeSleep())
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("asked_s", "granted_s"),
    [(0, 0), (7.5, 7.5), (1e9, 900), (float("inf"), 0), (float("nan"), 0), (-3, 0)],
)
async def test_nobody_is_left_alone_for_ever(asked_s: float, granted_s: float) -> None:
    assert bounded_s(asked_s) == granted_s
    sleep = FakeSleep()
    await persist(
        failing(OSError()),
        "it",
        is_passing=passing,
        retry_after_s=lambda _: asked_s,
        backoff=Backoff(first_s=0.002),
        sleep=sleep,
    )
    assert sleep.delays_s[0] <= max(granted_s, 0.002)
