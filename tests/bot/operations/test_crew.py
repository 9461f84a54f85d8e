"""What one bot hears of the others, and what the chief among them does."""

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest

from bot.core.job import Origin, Record, State
from bot.core.ports.ledger import Ledger, Look
from bot.errors import LedgerError
from bot.operations.crew import Crew, keep_watch
from tests.bot.core.jobs import make_job

NOTHING = Look((), (), is_chief=False, deeds=0)


class Others:
    """A ledger with others at it, and all that is told of them: one look a call."""

    def __init__(self, *looks: Look | LedgerError) -> None:
        self._looks = list(looks)
        self.restored: list[Record] = []
        self.changes = 0
        self.wakes = 0
        self.over = asyncio.Event()

    async def news(self) -> None:
        if not self._looks:
            self.over.set()
            await asyncio.Event().wait()

    async def look(self, *, outlived: bool = False) -> Look:
        found = self._looks.pop(0)
        if isinstance(found, LedgerError):
            raise found
        return found

    def restore(
        self, records: Iterable[Record], unanswered: Iterable[tuple[Origin, str]] = ()
    ) -> None:
        self.restored += records

    def all_changed(self) -> None:
        self.changes += 1

    def wake(self) -> None:
        self.wakes += 1


def crew() -> Crew:
    return Crew(cast("Ledger", Others()))


async def watched(others: Others, chief: Crew, *, shares_pictures: bool = True) -> None:
    """Until all looks are over."""
    ledger = cast("Ledger", others)
    watch = asyncio.create_task(
        keep_watch(
            ledger,
            others,
            others,
            others,
            chief,
            NOTHING,
            outlived=False,
            shares_pictures=shares_pictures,
        )
    )
    await others.over.wait()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def test_what_is_found_is_taken_up() -> None:
    record = Record(make_job(), State.QUEUED, 0, "", told=False, started_at_s=None,
                    drawn_at_s=None, ended_at_s=None, images=())  # fmt: skip
    others = Others(NOTHING, Look((record,), (), is_chief=False, deeds=3), NOTHING)
    await watched(others, crew())
    assert others.restored == [record]
    assert others.changes == 2  # what moderators did last is another deed, twice
    assert others.wakes == 3


async def test_who_cannot_look_may_be_chief_no_more(caplog: pytest.LogCaptureFixture) -> None:
    chief, begun, ended = crew(), asyncio.Event(), asyncio.Event()

    async def duty() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    doing = asyncio.create_task(chief.does(duty))
    chief.becomes(chief=True)
    await begun.wait()
    await watched(Others(LedgerError("It is away.")), chief)
    await ended.wait()
    assert "It is away." in caplog.text
    begun.clear()
    await watched(Others(Look((), (), is_chief=True, deeds=0)), chief)
    await begun.wait()  # it is again
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)


async def test_a_duty_that_is_done_is_done_once_a_time() -> None:
    chief, times = crew(), 0
    done = asyncio.Event()

    async def duty() -> None:
        nonlocal times
        times += 1
        done.set()

    doing = asyncio.create_task(chief.does(duty))
    for time in range(1, 3):
        chief.becomes(chief=True)
        chief.becomes(chief=True)  # as it was
        await done.wait()
        assert times == time
        chief.becomes(chief=False)
        done.clear()
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    assert times == 2


async def test_what_a_duty_raises_is_raised() -> None:
    chief = crew()
    chief.becomes(chief=True)

    async def duty() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await chief.does(duty)


async def test_pictures_that_others_cannot_have_are_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    two = Look((), (), is_chief=True, deeds=0, bots=2)
    await watched(Others(NOTHING, two, two), crew(), shares_pictures=False)
    assert caplog.text.count("2 bots work with this ledger") == 1
    caplog.clear()
    await watched(Others(two), crew())
    assert not caplog.messages
