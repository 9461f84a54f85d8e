"""The SQLite ledger as the bot opens it: one owner, two connections, a file that keeps secrets."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.core.job import State
from bot.core.ports.ledger import Limits
from bot.errors import LedgerError, UnknownJobError
from bot.ledgers.sqlite.ledger import FILE_NAME, SqliteLedger, is_in_use
from tests.bot.core.jobs import NOON_S, make_job


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(folder, Limits(queued=1000), clock=lambda: NOON_S)
    await asyncio.to_thread(ledger.open)
    try:
        yield ledger
    finally:
        await asyncio.to_thread(ledger.close)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.glob(f"{FILE_NAME}*")}


def holds(folder: Path, word: str) -> bool:
    return any(word.encode() in path.read_bytes() for path in folder.iterdir())


async def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path) -> None:
    job = make_job()
    async with opened(tmp_path) as ledger:
        await ledger.accept(job)
        assert (await ledger.get(job.id)).state is State.QUEUED
    async with opened(tmp_path) as ledger:
        (record,) = await ledger.recover()
    assert record.job == job


async def test_one_bot_owns_a_folder(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path)
    async with opened(tmp_path):
        assert is_in_use(tmp_path)
        with pytest.raises(LedgerError, match="Another bot already works in the folder"):
            await asyncio.to_thread(SqliteLedger(tmp_path, Limits()).open)
    assert not is_in_use(tmp_path)


async def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be used"):
        await asyncio.to_thread(SqliteLedger(tmp_path / "file" / "data", Limits()).open)


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await ledger.accept(make_job())
        assert modes(tmp_path) == {0o600}


async def test_what_is_forgotten_stands_in_no_file(tmp_path: Path) -> None:
    word = "unmistakable"
    async with opened(tmp_path) as ledger:
        job = make_job(f"an {word} circle")
        await ledger.accept(job)
        await ledger.move(job.id, State.CANCELLED)
        await ledger.tell(job.id)
        assert holds(tmp_path, word)
        assert await ledger.outdated(NOON_S + 1) == [job.id]
        await ledger.forget([job.id], NOON_S + 1)
        assert not holds(tmp_path, word)
        with pytest.raises(UnknownJobError):
            await ledger.get(job.id)


async def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        jobs = [make_job(user_id=n) for n in range(20)]
        await asyncio.gather(*(ledger.accept(job) for job in jobs))
        records, counts = await asyncio.gather(ledger.find(limit=100), ledger.counts())
    assert len(records) == 20
    assert counts[State.QUEUED] == 20
