"""A loopback Slack whose clock stands still, and a real slack_bolt in front of it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from standins.slack import LoopbackSlack, ManualClock
from tests.standins.slack.app import APP_TOKEN, BOT_TOKEN, App


@pytest.fixture
def clock() -> ManualClock:
    """The loopback's clock; it stands still until a test moves it."""
    return ManualClock()


@pytest.fixture
async def slack(clock: ManualClock) -> AsyncIterator[LoopbackSlack]:
    """A loopback without limits."""
    loopback = LoopbackSlack(clock=clock, rate_limits=False)
    await loopback.start()
    yield loopback
    await loopback.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """For requests that no client of Slack's makes."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def client(slack: LoopbackSlack, session: aiohttp.ClientSession) -> AsyncWebClient:
    """The bot's client of the Web API."""
    return AsyncWebClient(BOT_TOKEN, base_url=slack.api_url, retry_handlers=[], session=session)


@pytest.fixture
async def app(slack: LoopbackSlack, client: AsyncWebClient) -> AsyncIterator[App]:
    """An app of slack_bolt, connected; tests put listeners on `app.bolt`."""
    bolt = AsyncApp(name="tests", client=client)  # or it would read the files of the stack for one
    handler = AsyncSocketModeHandler(bolt, APP_TOKEN)
    await handler.connect_async()
    await slack.wait_connected()
    yield App(bolt, handler)
    await handler.close_async()
