"""For each test a channel with a real bot, and a page on it."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.standins.discord.browser import opened
from tests.standins.discord.page_bot import Channel, running_channel


@pytest_asyncio.fixture(loop_scope="session")
async def channel() -> AsyncIterator[Channel]:
    async with running_channel() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, channel: Channel) -> AsyncIterator[Page]:
    async with opened(browser, channel.loopback.base_url) as shown:
        yield shown
