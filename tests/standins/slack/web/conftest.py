"""For each test a workspace with a real app of slack_bolt, and a page on it."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.standins.discord.browser import opened
from tests.standins.slack.web.page_app import Workspace, running_workspace


@pytest_asyncio.fixture(loop_scope="session")
async def workspace() -> AsyncIterator[Workspace]:
    async with running_workspace() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, workspace: Workspace) -> AsyncIterator[Page]:
    async with opened(browser, workspace.slack.base_url) as shown:
        yield shown
