"""An office for a test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.ledgers.ledger import DatabaseLedger
from bot.shared.retry import Sleep
from sdxl_engine import Pipeline
from tests.bot.core.fake_pool import FakePool
from tests.bot.core.office import MakeLedger, Office, OpenOffice
from tests.fakes import FakeHome, FakePipeline


@pytest.fixture
def office(tmp_path: Path) -> OpenOffice:
    """Opens an office; the next one in the same test finds what the last one left."""

    @asynccontextmanager
    async def open_office(
        start: Callable[[], Pipeline] = FakePipeline,
        home: FakeHome | None = None,
        make_ledger: MakeLedger = DatabaseLedger,
        sleep: Sleep = asyncio.sleep,
        *,
        pool: FakePool | None = None,
        logs_prompts: bool = False,
    ) -> AsyncIterator[Office]:
        office = Office(
            tmp_path,
            start,
            home or FakeHome(),
            make_ledger,
            sleep,
            pool=pool,
            logs_prompts=logs_prompts,
        )
        await asyncio.to_thread(office.ledger.open)
        found = await office.ledger.look(outlived=office.engine.outlives)
        office.worker.restore(found.records, found.unanswered)
        task = office.worker.start()
        clerk = asyncio.create_task(office.clerk.run())
        office.engine.start()
        try:
            yield office
        finally:
            await office.worker.drain(0)
            clerk.cancel()
            await asyncio.gather(task, clerk, return_exceptions=True)
            await office.engine.close(timeout_s=10)
            office.gallery.close()
            await asyncio.to_thread(office.ledger.close)

    return open_office
