"""The list of places: channels with their threads, forums, direct messages of whoever looks."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from standins.discord.world import varied_world
from tests.standins.discord.browser import PHONE, imagine, opened
from tests.standins.discord.page_bot import COLOURS, Channel, running_channel
from tests.standins.discord.people import BEN

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def channel() -> AsyncIterator[Channel]:
    async with running_channel(world=varied_world()) as running:
        yield running


async def test_places_stand_where_they_belong(page: Page) -> None:
    rail = page.get_by_role("navigation", name="Server")
    await expect(rail.get_by_role("listitem")).to_have_text(
        ["imagine", "sketches", "gallery", "showcase", "My first picture", "Imagine"]
    )
    await expect(rail.get_by_role("button", name="showcase")).to_have_count(0)  # no place itself


@pytest.mark.parametrize("name", ["sketches", "My first picture"])
async def test_pictures_come_in_a_thread(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    await imagine(page, "a red circle")
    await expect(page.get_by_role("img")).to_have_count(len(COLOURS))
    await page.get_by_role("button", name="imagine", exact=True).click()
    await expect(page.get_by_role("img")).to_have_count(0)


async def test_direct_messages_are_of_whoever_looks(browser: Browser, channel: Channel) -> None:
    async with opened(browser, channel.loopback.base_url) as page:
        await page.get_by_role("button", name="Imagine", exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Imagine")
        await expect(page.locator("#text")).to_have_attribute(
            "placeholder", "Message Imagine or type /"
        )
        await imagine(page, "a red circle")
        await expect(page.get_by_role("img")).to_have_count(len(COLOURS))
        # Whoever they are next is not in them.
        await page.get_by_role("combobox", name="Who you are").select_option(str(BEN))
        await expect(page.get_by_role("heading", level=1)).to_have_text("imagine")
        await page.get_by_role("button", name="Imagine", exact=True).click()
        await expect(page.get_by_role("img")).to_have_count(0)


async def test_the_places_fit_a_phone(browser: Browser, channel: Channel) -> None:
    async with opened(browser, channel.loopback.base_url, size=PHONE) as page:
        await page.get_by_role("button", name="Channels").click()
        await page.get_by_role("button", name="sketches").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("sketches")
