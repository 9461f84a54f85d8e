"""A loopback Discord with its page, in the loop that the browser belongs to."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from standins.base.timers import ManualClock
from standins.discord.loopback import LoopbackDiscord
from standins.discord.page_server import add_page
from tests.bot.conftest import SIZES
from tests.fakes import FakePipeline


@pytest_asyncio.fixture(loop_scope="session")
async def loopback(clock: ManualClock) -> AsyncIterator[LoopbackDiscord]:
    server = LoopbackDiscord(clock=clock, rate_limits=False)
    add_page(server)
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def pipeline() -> FakePipeline:
    """Draws what is asked for on the page."""
    return FakePipeline(SIZES)
