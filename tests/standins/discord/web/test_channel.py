"""The channel around the messages: people, scrolling, the connection, the bot's presence."""

import pytest
from playwright.async_api import Browser, Page, expect

from tests.standins.discord.browser import imagine, opened
from tests.standins.discord.page_bot import COLOURS, Channel, running_channel

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_people_and_channels_can_be_changed(page: Page, channel: Channel) -> None:
    await page.get_by_role("combobox", name="Who you are").select_option("Cleo")
    await expect(page.locator("#me-name")).to_have_text("Cleo")
    await page.get_by_role("button", name="gallery").click()
    await expect(page.locator("h1")).to_have_text("gallery")
    await page.locator("#text").fill("hello **there**")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message")).to_contain_text("Cleo")
    await expect(page.locator(".content strong")).to_have_text("there")
    await page.reload()
    await expect(page.locator("h1")).to_have_text("gallery")
    await expect(page.locator("#me-name")).to_have_text("Cleo")
    await page.get_by_role("button", name="imagine", exact=True).click()
    await expect(page.locator(".message")).to_have_count(0)


async def test_the_end_stays_in_sight_unless_one_reads_further_up(
    page: Page, channel: Channel
) -> None:
    for n in range(30):
        await channel.loopback.say(f"message {n}")
    await expect(page.locator(".message")).to_have_count(30)
    await expect(page.locator(".message").last).to_be_in_viewport()
    await page.locator("#scroll").evaluate("node => { node.scrollTop = 0; }")
    await expect(page.locator(".message").last).not_to_be_in_viewport()
    await page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    await channel.loopback.say("news")
    newer = page.get_by_role("button", name="New messages")
    await newer.click()
    await expect(page.get_by_text("news", exact=True)).to_be_in_viewport()
    await expect(newer).to_be_hidden()


async def test_a_lost_connection_is_shown_and_the_history_comes_back(browser: Browser) -> None:
    async with running_channel() as before:
        url = before.loopback.base_url
        shown = opened(browser, url, may_log="net::ERR")
        page = await shown.__aenter__()
        await before.loopback.say("of before")
        await expect(page.locator(".message")).to_have_count(1)
    await expect(page.get_by_text("Connection lost")).to_be_visible()
    await expect(page.locator("#bot-status")).to_have_attribute("data-online", "false")
    async with running_channel(port=int(url.rpartition(":")[2])) as after:
        await after.loopback.say("of after")
        await expect(page.locator(".content")).to_have_text(["of after"])
        await expect(page.get_by_text("Connection lost")).to_be_hidden()
        await expect(page.locator("#bot-status")).to_have_text("imagine is online")
        await imagine(page, "a red circle")
        await expect(page.get_by_role("img")).to_have_count(len(COLOURS))
        await shown.__aexit__(None, None, None)


async def test_the_bot_leaves(page: Page, channel: Channel) -> None:
    await expect(page.locator("#bot-status")).to_have_text("imagine is online")
    await channel.bot.close()
    await expect(page.locator("#bot-status")).to_have_text("imagine is offline")
