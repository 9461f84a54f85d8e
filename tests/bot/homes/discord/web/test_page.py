"""What people do with the bot on the page: the real bot, a fake pipeline, headless Chromium."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import Bot, RunBot
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN
from tests.bot.homes.discord.test_options import picture
from tests.bot.homes.discord.test_presses import all_delivered
from tests.fakes import FakePipeline
from tests.standins.discord.browser import DESKTOP, Size, imagine, opened
from tests.standins.discord.web.test_reach import CHECKS

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROW = (390, 844)
EACH = [f"{label} {number}" for label in ("⤢ Larger", "🎲 Alike") for number in range(1, 5)]
BUTTONS = [*EACH, "🔁 Again", "✏️ Edit", "🔍 Look", "📋 Recipe", "🌫️ Blur", "🗑️ Delete"]
VEILED = "Spoiler: show the picture"
REPLACED = r"404 .*/attachments/"  # a preview that the finished pictures overtook


@pytest_asyncio.fixture(loop_scope="session")
async def bot(run_bot: RunBot, pipeline: FakePipeline) -> AsyncIterator[Bot]:
    async with run_bot(lambda: pipeline) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, loopback: LoopbackDiscord, bot: Bot) -> AsyncIterator[Page]:
    """Ben's, with a finished card."""
    async with page_of(browser, loopback, BEN) as shown:
        await drawn(shown, bot)
        yield shown


def page_of(
    browser: Browser, loopback: LoopbackDiscord, person_id: int, *, size: Size = DESKTOP
) -> AbstractAsyncContextManager[Page]:
    url = f"{loopback.base_url}/?as={person_id}"
    return opened(browser, url, size=size, may_log=REPLACED)


async def drawn(page: Page, bot: Bot) -> None:
    await imagine(page, "a fox")
    await expect(page.locator(".gallery img[data-loaded]")).to_have_count(4)
    await all_delivered(bot, 1)


async def typed(page: Page, command: str) -> None:
    """Paste a whole command, and send it."""
    await page.locator("#text").fill(f"{command} ")
    await page.keyboard.press("Enter")


def button(scope: Page | Locator, name: str) -> Locator:
    return scope.get_by_role("button", name=name, exact=True)


def private(page: Page) -> Locator:
    """The newest message that one person alone sees."""
    return page.locator(".message.private").last


async def test_again_draws_on_a_card_of_its_own(page: Page, pipeline: FakePipeline) -> None:
    again = button(page, "🔁 Again")
    await again.press("Enter")
    await expect(page.locator(".gallery img[data-loaded]")).to_have_count(8)
    await expect(again.first).to_be_focused()
    await expect(page.locator(".used").last).to_contain_text("Ben pressed a button")
    first, second = pipeline.requests
    assert first.seed != second.seed


async def test_what_was_drawn_is_edited_in_a_dialog(page: Page, pipeline: FakePipeline) -> None:
    edit = button(page, "✏️ Edit")
    form = page.get_by_role("dialog", name="Edit, and draw it again")
    prompt = form.get_by_label("What to draw")
    await edit.press("Enter")
    await expect(prompt).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(form).to_be_hidden()
    await expect(edit).to_be_focused()
    await edit.press("Enter")
    await expect(prompt).to_have_value("a fox")
    await prompt.fill("a red fox")
    settings = form.get_by_label("Settings")
    await settings.fill(f"{await settings.input_value()}\nstrength: 0.4")
    await upload_field(form, "A picture to start from").set_input_files([uploaded("cat.png")])
    await expect(form.get_by_role("list", name="A picture to start from")).to_have_text("cat.png")
    await button(form, "Submit").press("Enter")
    await expect(form).to_be_hidden()
    await expect(edit.first).to_be_focused()
    await expect(page.locator(".gallery img[data-loaded]")).to_have_count(8)
    second = page.locator(".message").last
    await expect(second.locator("pre")).to_have_text("a red fox")
    await expect(second).to_contain_text("from a picture, strength 0.4")
    assert [len(one) for one in pipeline.pictures] == [0, 1]


async def test_a_picture_is_sent_along_with_a_command(page: Page, pipeline: FakePipeline) -> None:
    await page.locator("#text").fill("/imagine a hen ")
    await button(page, "+ image").click()
    image = page.get_by_label("image", exact=True)
    await expect(image).to_be_focused()
    await image.set_input_files([uploaded("hen.png")])
    await page.keyboard.press("Enter")
    await expect(page.locator(".message").last).to_contain_text("from a picture")
    await expect(page.locator(".gallery img[data-loaded]")).to_have_count(8)
    assert [len(one) for one in pipeline.pictures] == [0, 1]
    await page.locator("#text").fill("/recipe ")
    await button(page, "+ image").click()
    await image.set_input_files([uploaded("hen.png")])
    await page.keyboard.press("Enter")
    await expect(private(page)).to_contain_text("says nothing of how it was drawn")
    await page.keyboard.press("ArrowUp")  # brings the file back as well
    await expect(image).to_have_js_property("value", r"C:\fakepath\hen.png")


async def test_a_line_that_cannot_be_read_is_said(page: Page) -> None:
    await button(page, "✏️ Edit").click()
    form = page.get_by_role("dialog")
    await form.get_by_label("Settings").fill("stps: 5")
    await button(form, "Submit").click()
    await expect(form).to_be_hidden()
    await expect(private(page)).to_contain_text("Did you mean steps?")
    await expect(page.locator(".gallery")).to_have_count(1)


async def test_the_apps_menu_begins_from_a_picture_and_tells_recipes(
    page: Page, pipeline: FakePipeline
) -> None:
    apps = page.get_by_role("button", name="Apps")
    await apps.press("Enter")
    await page.get_by_role("menuitem", name="Imagine from this").press("Enter")
    form = page.get_by_role("dialog", name="Imagine from this picture")
    await form.get_by_label("What to draw").fill("a hen")
    await form.get_by_label("Picture 3").check()
    await button(form, "Submit").press("Enter")
    await expect(page.locator(".gallery img[data-loaded]")).to_have_count(8)
    await expect(page.locator(".used").last).to_contain_text("Ben used Imagine from this")
    assert [len(one) for one in pipeline.pictures] == [0, 1]
    await apps.last.press("Enter")
    await page.get_by_role("menuitem", name="Recipe").press("Enter")
    await expect(private(page)).to_contain_text("/imagine prompt:a hen")
    await expect(apps.last).to_be_focused()


async def test_a_draft_is_seen_by_one_until_it_is_published(
    browser: Browser, loopback: LoopbackDiscord, bot: Bot
) -> None:
    async with (
        page_of(browser, loopback, BEN) as bens,
        page_of(browser, loopback, ADA) as adas,
    ):
        await typed(bens, "/imagine a fox private:True")
        draft = private(bens)
        await expect(draft.locator(".gallery img[data-loaded]")).to_have_count(4)
        await expect(draft).to_contain_text("Only you can see this")
        await all_delivered(bot, 1)
        await expect(adas.locator(".message")).to_have_count(0)
        await button(draft, "📢 Publish").press("Enter")
        for page in (bens, adas):
            public = page.locator(".message:not(.private)")
            await expect(public).to_contain_text("published by ben")
            await expect(public.locator(".gallery img[data-loaded]")).to_have_count(4)
        await button(draft, "Dismiss message").press("Enter")
        await expect(bens.locator(".message.private")).to_have_count(0)
        await expect(bens.locator("#text")).to_be_focused()
        await bens.reload()
        await expect(bens.locator(".gallery img[data-loaded]")).to_have_count(4)
        await expect(bens.locator(".message.private")).to_have_count(0)


async def test_blurred_pictures_are_revealed_one_by_one(
    browser: Browser, loopback: LoopbackDiscord, page: Page
) -> None:
    async with page_of(browser, loopback, ADA) as adas:
        await button(page, "🌫️ Blur").press("Enter")
        await expect(button(page, "👁️ Unblur")).to_be_focused()
        for each in (page, adas):
            await expect(button(each, VEILED)).to_have_count(4)
        await button(adas, VEILED).nth(1).click()
        await expect(button(adas, VEILED)).to_have_count(3)
        await expect(button(adas, "Picture 2 of 4: a fox")).to_be_focused()
        await expect(button(page, VEILED)).to_have_count(4)
        await page.keyboard.press("Enter")
        for each in (page, adas):
            await expect(button(each, VEILED)).to_have_count(0)


async def test_what_is_deleted_leaves_the_open_picture_as_well(
    browser: Browser, loopback: LoopbackDiscord, page: Page
) -> None:
    async with page_of(browser, loopback, ADA) as adas:
        await button(adas, "Picture 2 of 4: a fox").press("Enter")
        box = adas.get_by_role("dialog")
        await expect(box).to_contain_text("2 of 4")
        await button(page, "🗑️ Delete").press("Enter")
        await expect(box).to_be_hidden()
        for each in (page, adas):
            card = each.locator(".message")
            await expect(card).to_contain_text("Deleted by the one who asked.")
            await expect(card.locator("img")).to_have_count(0)
            await expect(card).to_be_focused()


async def test_one_picture_is_looked_at_and_liked(page: Page) -> None:
    await button(page, "🔍 Look").press("Enter")
    alone = private(page)
    await expect(button(alone, "Picture 1 of 4: a fox")).to_be_visible()
    await button(alone, "3").press("Enter")
    await expect(button(alone, "Picture 3 of 4: a fox")).to_be_visible()
    await button(alone, "🤍 Like").press("Enter")
    await expect(button(alone, "💛 Liked")).to_be_focused()
    await typed(page, "/favourites")
    await expect(private(page).get_by_role("group", name="1 picture")).to_be_visible()
    await expect(button(private(page), "Picture 3 of 4: a fox")).to_be_visible()


async def test_ones_own_pictures_are_leafed_through(page: Page) -> None:
    for prompt in ("a hen", "a cat"):
        await imagine(page, prompt)
        await expect(page.locator("pre", has_text=prompt)).to_be_visible()
    await expect(page.locator(".gallery img[data-loaded]")).to_have_count(12)
    await typed(page, "/history")
    leaf = private(page)
    await expect(leaf.locator(".gallery img[data-loaded]")).to_have_count(9)
    await button(leaf, "Older ▶").press("Enter")
    await expect(leaf).to_contain_text("page 2")
    await expect(leaf.locator(".gallery img[data-loaded]")).to_have_count(3)
    await expect(button(leaf, "Older ▶")).to_have_count(0)
    await button(leaf, "◀ Newer").press("Enter")
    await expect(leaf).to_contain_text("page 1")
    await button(leaf, "🔍 9").press("Enter")
    await expect(private(page)).to_contain_text("prompt:a fox")


async def test_tab_reaches_every_button(page: Page) -> None:
    await button(page, "Picture 1 of 4: a fox").focus()
    reached: list[str] = []
    while "🗑️ Delete" not in reached:
        reached.append(
            await page.evaluate(
                "() => { const it = document.activeElement;"
                " return it.textContent || it.querySelector('img').alt; }"
            )
        )
        await page.keyboard.press("Tab")
    assert reached == [*(f"Picture {number} of 4: a fox" for number in range(1, 5)), *BUTTONS]


async def test_everything_fits_a_phone(
    browser: Browser, loopback: LoopbackDiscord, bot: Bot
) -> None:
    async with page_of(browser, loopback, BEN, size=NARROW) as page:
        await drawn(page, bot)
        for name in BUTTONS:
            await button(page, name).click(trial=True)  # in sight, and nothing lies over it
        assert await page.evaluate(CHECKS) == []
        await button(page, "✏️ Edit").click()
        form = page.get_by_role("dialog")
        await upload_field(form, "A mask for it").set_input_files([uploaded("a_mask" * 20)])
        assert await page.evaluate(CHECKS) == []
        await button(form, "Submit").click(trial=True)
        await button(form, "Cancel").click()
        await button(page, "🔍 Look").click()
        await button(private(page), "4").click(trial=True)
        assert await page.evaluate(CHECKS) == []
        await button(page, "🌫️ Blur").click()
        await expect(button(page, VEILED)).to_have_count(4)
        await typed(page, f"/imagine {'a_very_long_word' * 20} private:True")
        await expect(private(page).locator(".gallery img[data-loaded]")).to_have_count(4)
        await button(private(page), "📢 Publish").click(trial=True)
        assert await page.evaluate(CHECKS) == []
        await typed(page, "/history")
        await button(private(page), "🔍 8").click(trial=True)
        assert await page.evaluate(CHECKS) == []


def upload_field(form: Locator, name: str) -> Locator:
    return form.locator(".field", has_text=name).locator("input[type=file]")


def uploaded(name: str) -> FilePayload:
    return FilePayload(name=name, mimeType="image/png", buffer=picture().data)
