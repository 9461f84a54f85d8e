"""What people do with the bot on the page: the real bot, a fake pipeline, headless Chromium."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import Bot, RunBot
from tests.bot.homes.discord.test_options import picture
from tests.bot.homes.slack.test_running import ADA, BEN, CLEO
from tests.fakes import FakePipeline
from tests.standins.discord.browser import DESKTOP, Scheme, Size, opened
from tests.standins.discord.web.test_reach import CHECKS

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROW = (390, 844)


@pytest_asyncio.fixture(loop_scope="session")
async def bot(run_slack: RunBot, pipeline: FakePipeline) -> AsyncIterator[Bot]:
    async with run_slack(lambda: pipeline) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, slack: LoopbackSlack, bot: Bot) -> AsyncIterator[Page]:
    """Ben's, with a finished card."""
    async with page_of(browser, slack, BEN) as shown:
        await drawn(shown)
        yield shown


def page_of(
    browser: Browser,
    slack: LoopbackSlack,
    person: str,
    *,
    size: Size = DESKTOP,
    scheme: Scheme = "dark",
) -> AbstractAsyncContextManager[Page]:
    return opened(browser, f"{slack.base_url}/?as={person}", size=size, scheme=scheme)


async def typed(page: Page, text: str) -> None:
    await page.locator("#text").fill(text)
    await page.keyboard.press("Enter")


def pictures(scope: Page | Locator) -> Locator:
    return scope.locator(".block-image img[data-loaded]")


async def drawn(page: Page) -> None:
    await page.locator("#text").focus()
    await page.keyboard.type("/im")
    await page.keyboard.press("Enter")  # takes what is suggested
    await page.keyboard.type("a fox --seed 5")
    await page.keyboard.press("Enter")
    await expect(pictures(page)).to_have_count(4)
    await expect(button(page, "🗑️ Delete")).to_be_visible()


def button(scope: Page | Locator, name: str) -> Locator:
    return scope.get_by_role("button", name=name, exact=True)


def private(page: Page) -> Locator:
    """The newest message that one person alone sees."""
    return page.locator(".message.private").last


async def test_imagine_becomes_pictures(page: Page) -> None:
    card = page.locator(".message")
    await expect(card).to_have_count(1)
    await expect(card.locator(".content").first).to_have_text("a fox")
    await expect(card).to_contain_text("Seed 5")
    await expect(card.get_by_role("img").first).to_have_attribute("alt", "Picture 1 of 4: a fox")
    await card.get_by_role("img").nth(1).click()
    box = page.get_by_role("dialog")
    await expect(box).to_contain_text("2 of 4")
    await page.keyboard.press("Escape")
    await expect(page.locator("#text")).to_have_value("")


async def test_what_is_pressed_is_drawn_anew(page: Page, pipeline: FakePipeline) -> None:
    again = button(page, "🔁 Again")
    await again.press("Enter")
    await expect(pictures(page)).to_have_count(8)
    await expect(again.first).to_be_focused()
    first, second = pipeline.requests
    assert first.seed != second.seed


async def test_an_edit_is_filled_in(page: Page, pipeline: FakePipeline) -> None:
    await button(page, "✏️ Edit").press("Enter")
    form = page.get_by_role("dialog", name="Edit and draw again")
    prompt = form.get_by_label("What to draw")
    await expect(prompt).to_be_focused()
    await expect(prompt).to_have_value("a fox")
    await prompt.fill("a red <b>fox</b> & more")
    upload = form.locator(".field", has_text="A picture to start from").locator("input[type=file]")
    file = FilePayload(name="cat.png", mimeType="image/png", buffer=picture().data)
    await upload.set_input_files([file])
    await button(form, "Send").press("Enter")
    await expect(form).to_be_hidden()
    await expect(pictures(page)).to_have_count(8)
    second = page.locator(".message").last
    await expect(second.locator(".content").first).to_have_text("a red <b>fox</b> & more")
    await expect(second).to_contain_text("from a picture")
    assert pipeline.requests[-1].source is not None


async def test_a_mention_in_a_thread_is_answered_there(page: Page) -> None:
    await button(page, "Reply in thread").press("Enter")
    thread = page.get_by_role("complementary", name="Thread")
    await expect(thread.get_by_label("Reply", exact=True)).to_be_focused()
    await page.keyboard.type("@ima")
    await page.keyboard.press("Enter")
    await page.keyboard.type("a hen --count 1")
    await page.keyboard.press("Enter")
    await expect(thread.locator(".message").last).to_contain_text("a hen")
    await expect(pictures(thread.locator(".message").last)).to_have_count(1)
    await expect(button(page.locator("#messages"), "2 replies")).to_be_visible()
    await expect(page.locator("#messages .message")).to_have_count(1)


async def test_a_shortcut_starts_from_a_picture_that_somebody_shared(
    page: Page, slack: LoopbackSlack, pipeline: FakePipeline
) -> None:
    file = ("hen.png", picture().data)
    await slack.say("my hen", user=CLEO, channel="C0IMAGINE1", files=[file])
    shared = page.locator(".message", has_text="my hen")
    await shared.get_by_role("button", name="More actions").press("Enter")
    await page.get_by_role("menuitem", name="Imagine from this").press("Enter")
    form = page.get_by_role("dialog", name="Imagine from this")
    await form.get_by_label("What to draw").fill("a hen")
    await button(form, "Send").press("Enter")
    await expect(page.locator(".message").last).to_contain_text("from a picture")
    await expect(pictures(page.locator(".message").last)).to_have_count(4)
    assert pipeline.requests[-1].source is not None


async def test_the_global_shortcut_asks_where(page: Page) -> None:
    await button(page, "Shortcuts").press("Enter")
    await page.get_by_role("menuitem", name="Imagine").press("Enter")
    form = page.get_by_role("dialog", name="Imagine")
    where = form.get_by_label("Where")
    await expect(where.locator("option:checked")).to_have_text("#imagine")
    await where.select_option("#gallery")
    await form.get_by_label("What to draw").fill("a hen")
    await button(form, "Send").press("Enter")
    await expect(form).to_be_hidden()
    await page.locator("#channels").get_by_role("button", name="gallery").click()
    await expect(page.locator("h1")).to_have_text("gallery")
    await expect(pictures(page)).to_have_count(4)


async def test_a_report_reaches_the_bot_with_its_dialog(page: Page) -> None:
    await button(page, "More actions").press("Enter")
    await page.get_by_role("menuitem", name="Report").press("Enter")
    form = page.get_by_role("dialog", name="Report these pictures")
    await form.get_by_label("Why").fill("not a fox")
    await button(form, "Send").press("Enter")
    await expect(private(page)).to_contain_text("Nobody takes reports here")


async def test_what_one_person_alone_sees(
    browser: Browser, slack: LoopbackSlack, page: Page
) -> None:
    async with page_of(browser, slack, ADA) as adas:
        await button(adas, "🗑️ Delete").wait_for()
        await button(page, "📋 Recipe").press("Enter")
        await expect(private(page).locator("pre")).to_contain_text("/imagine a fox --seed 5")
        await expect(private(page)).to_contain_text("Only visible to you")
        await expect(adas.locator(".message")).to_have_count(1)
        await button(page, "Dismiss message").press("Enter")
        await expect(page.locator(".message")).to_have_count(1)
        await button(page, "🗑️ Delete").press("Enter")
        await expect(adas.locator(".message")).to_contain_text("Deleted by")
        await expect(adas.locator(".message img")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESKTOP, NARROW], ids=["desktop", "phone"])
async def test_everybody_can_read_and_reach_cards(
    browser: Browser, slack: LoopbackSlack, bot: Bot, scheme: Scheme, size: Size
) -> None:
    async with page_of(browser, slack, BEN, size=size, scheme=scheme) as page:
        assert await page.evaluate(CHECKS) == []
        await drawn(page)
        await button(page, "🗑️ Delete").click(trial=True)  # in sight, and nothing lies over it
        assert await page.evaluate(CHECKS) == []
        await button(page, "✏️ Edit").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await page.evaluate(CHECKS) == []
        await page.keyboard.press("Escape")
        await typed(page, f"/imagine {'a_very_long_word' * 20} --private")
        await expect(pictures(private(page))).to_have_count(4)
        assert await page.evaluate(CHECKS) == []
        await button(page, "Reply in thread").click()
        await expect(page.locator("#thread")).to_be_visible()
        assert await page.evaluate(CHECKS) == []
