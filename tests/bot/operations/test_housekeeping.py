"""Retention and orders, with an injected clock and no waiting."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from bot.core.job import State
from bot.core.policy import Limits, Owner
from bot.core.ports.ledger import Answer
from bot.errors import IllegalMoveError
from bot.gallery.disk import DiskGallery
from bot.ledgers import book
from bot.ledgers.database import Connection
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.sqlite.database import SqliteDatabase
from bot.operations.housekeeping import keep_clean, keep_orders
from tests.bot.core.jobs import NOON_S, make_job

DAY_S = 86_400


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[DatabaseLedger]:
    ledger = DatabaseLedger(SqliteDatabase(tmp_path), clock=lambda: NOON_S)
    await asyncio.to_thread(ledger.open)
    yield ledger
    await asyncio.to_thread(ledger.close)


class Once:
    """A sleep that ends the loop after so many rounds."""

    def __init__(self, rounds: int = 1) -> None:
        self._left = rounds

    async def __call__(self, delay_s: float) -> None:
        self._left -= 1
        if self._left == 0:
            raise asyncio.CancelledError


async def test_prompts_and_pictures_go_when_their_days_are_over(
    tmp_path: Path, ledger: DatabaseLedger
) -> None:
    gallery, old, waiting = DiskGallery(tmp_path / "images", "doodle"), make_job(), make_job()
    for job in (old, waiting):
        await ledger.accept(job, Limits())
        (tmp_path / "images" / job.id).mkdir(parents=True)
        (tmp_path / "images" / job.id / "a.png").write_bytes(b"png")
    await ledger.move(old.id, State.CANCELLED)
    await ledger.tell(old.id)
    with pytest.raises(asyncio.CancelledError):
        await keep_clean(ledger, gallery, 30, clock=lambda: NOON_S + 30 * DAY_S, sleep=Once())
    assert len(await ledger.find()) == 2
    with pytest.raises(asyncio.CancelledError):
        await keep_clean(ledger, gallery, 30, clock=lambda: NOON_S + 30 * DAY_S + 1, sleep=Once())
    assert [record.job.id for record in await ledger.find()] == [waiting.id]
    assert [path.name for path in (tmp_path / "images").iterdir()] == [waiting.id]


class CutOffError(Exception):
    """The process ends here."""


async def test_pictures_outlive_no_row_that_knows_of_them(
    tmp_path: Path, ledger: DatabaseLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off between the two deletions, the next round finds what is left."""
    gallery, old = DiskGallery(tmp_path / "images", "doodle"), make_job()
    await ledger.accept(old, Limits())
    await ledger.move(old.id, State.CANCELLED)
    await ledger.tell(old.id)
    (tmp_path / "images" / old.id).mkdir(parents=True)
    with monkeypatch.context() as cut:
        cut.setattr(ledger.database, "write", AsyncMock(side_effect=CutOffError))
        with pytest.raises(CutOffError):
            await keep_clean(ledger, gallery, 30, clock=lambda: NOON_S + 31 * DAY_S)
    assert list((tmp_path / "images").iterdir()) == []
    assert [record.job.id for record in await ledger.find()] == [old.id]
    with pytest.raises(asyncio.CancelledError):
        await keep_clean(ledger, gallery, 30, clock=lambda: NOON_S + 31 * DAY_S, sleep=Once())
    assert await ledger.find() == []


class Boss:
    """Carries out what it is told, and refuses one."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def cancel(self, job_id: str, by: Owner) -> None:
        if job_id in self.done:
            raise IllegalMoveError("It is cancelled already.")
        self.done.append(job_id)

    async def repeat(self, job_id: str) -> str:
        return "newnewne"


async def test_orders_are_carried_out_once_and_answered(ledger: DatabaseLedger) -> None:
    job = make_job()
    await ledger.accept(job, Limits())

    def order(connection: Connection) -> list[int]:
        return [
            book.add_order(connection, job.id, kind, NOON_S)
            for kind in ("cancel", "cancel", "requeue")
        ]

    ids, boss = await ledger.database.write(order), Boss()
    with pytest.raises(asyncio.CancelledError):
        await keep_orders(ledger, boss, sleep=Once(3))

    def answers(connection: Connection) -> list[Answer | None]:
        return [book.answer(connection, order_id) for order_id in ids]

    assert await ledger.database.read(answers) == [
        Answer(f"The job {job.id} is cancelled.", done=True),
        Answer("It is cancelled already.", done=False),
        Answer(f"The job {job.id} waits again as newnewne.", done=True),
    ]
    assert boss.done == [job.id]
    assert await ledger.orders() == []


async def test_a_ledger_that_fails_for_a_while_stops_nothing(ledger: DatabaseLedger) -> None:
    job = make_job()
    await ledger.accept(job, Limits())
    await ledger.database.write(
        lambda connection: book.add_order(connection, job.id, "cancel", NOON_S)
    )
    await ledger.database.write(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(asyncio.CancelledError):
        await keep_orders(ledger, Boss(), sleep=Once(2))
    with pytest.raises(asyncio.CancelledError):
        await keep_clean(ledger, DiskGallery(Path("none"), ""), 2, sleep=Once(2))
