"""A loopback Slack with its page, in the loop that the browser belongs to."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.homes.slack.manifest import manifest
from standins.base.timers import ManualClock
from standins.slack.loopback import LoopbackSlack
from standins.slack.page_server import add_page
from tests.bot.conftest import SIZES
from tests.fakes import FakePipeline


@pytest_asyncio.fixture(loop_scope="session")
async def slack(clock: ManualClock) -> AsyncIterator[LoopbackSlack]:
    server = LoopbackSlack(clock=clock, rate_limits=False)
    server.world.install(manifest())
    add_page(server)
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def pipeline() -> FakePipeline:
    """Draws what is asked for on the page."""
    return FakePipeline(SIZES)
