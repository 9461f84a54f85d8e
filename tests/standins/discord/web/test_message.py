"""Messages: the card that changes, the pictures, markup, buttons, private answers."""

import asyncio
import random
import re
import time
from pathlib import Path

import discord
import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.standins.discord.browser import box_of, imagine, opened
from tests.standins.discord.page_bot import COLOURS, Channel
from tests.standins.discord.people import BEN

pytestmark = pytest.mark.asyncio(loop_scope="session")

ATTACK = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


async def test_imagine_from_the_first_key_to_four_pictures(page: Page, channel: Channel) -> None:
    channel.bot.may_draw.clear()
    channel.bot.may_finish.clear()
    await page.locator("#text").focus()
    await page.keyboard.type("/im")
    picker = page.get_by_role("listbox")
    await expect(picker.get_by_role("option")).to_have_count(1)
    await expect(picker.get_by_role("option")).to_contain_text("Draw four pictures")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("textbox", name="prompt", exact=True)).to_be_focused()
    await page.keyboard.type("a red circle")
    await page.get_by_role("button", name="+ steps").press("Enter")
    await page.keyboard.type("12")
    await page.get_by_role("button", name="+ size").press("Enter")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("combobox", name="size")).to_have_value("96x64")
    await page.keyboard.press("Enter")

    message = page.locator(".message")
    await expect(message).to_have_count(1)
    await expect(message).to_contain_text("Ada used /imagine")
    await expect(message.locator(".tag")).to_have_text("BOT")
    await expect(message).to_contain_text("imagine is thinking…")
    channel.bot.may_draw.set()
    await expect(message).to_contain_text("step 5 of 20")
    await expect(message.locator("pre")).to_have_text("a red circle")
    await expect(message).to_contain_text("size=96x64 steps=12 guidance=None seed=None")
    channel.bot.may_finish.set()
    images = message.get_by_role("img")
    await expect(images).to_have_count(len(COLOURS))
    for n in range(len(COLOURS)):
        await expect(images.nth(n)).to_have_attribute("alt", f"a red circle (picture {n + 1})")
        await expect(images.nth(n)).to_have_js_property("naturalWidth", 64)
    boxes = [await box_of(images.nth(n)) for n in range(len(COLOURS))]
    assert boxes[0]["y"] == boxes[1]["y"] < boxes[2]["y"] == boxes[3]["y"]
    assert boxes[0]["x"] == boxes[2]["x"] < boxes[1]["x"] == boxes[3]["x"]
    await expect(page.locator("#text")).to_be_focused()
    await expect(page.locator("#announce")).to_have_text("imagine posted 4 images.")


async def test_the_pictures_place_is_kept_before_they_load(page: Page, channel: Channel) -> None:
    async def wait(route: Route) -> None:
        await may_load.wait()
        await route.continue_()

    may_load = asyncio.Event()
    await page.route("**/attachments/**", wait)
    await imagine(page, "a red circle")
    image = page.get_by_role("img").first
    await expect(image).to_have_js_property("complete", False)
    before = await box_of(image)
    may_load.set()
    await expect(image).to_have_js_property("naturalWidth", 64)
    assert await box_of(image) == before
    assert before["height"] > 100


async def test_a_picture_is_enlarged_and_paged_through_by_keyboard(page: Page) -> None:
    await imagine(page, "a red circle")
    second = page.get_by_role("button", name="picture 2")
    await second.press("Enter")
    box = page.get_by_role("dialog")
    await expect(box).to_contain_text("2 of 4")
    await expect(box.locator("figcaption")).to_have_text("a red circle (picture 2)")
    await page.keyboard.press("ArrowRight")
    await expect(box).to_contain_text("3 of 4")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(box).to_contain_text("1 of 4")
    await page.keyboard.press("ArrowLeft")
    await expect(box.get_by_role("img")).to_have_attribute("alt", "a red circle (picture 4)")
    for _ in range(12):  # round and round, never out of the dialog
        await page.keyboard.press("Tab")
        inside = "['BODY', 'DIALOG'].includes(document.activeElement.tagName) || "
        assert await page.evaluate(f"{inside} !!document.activeElement.closest('dialog')")
    await page.keyboard.press("Escape")
    await expect(box).to_be_hidden()
    await expect(second).to_be_focused()


async def test_a_picture_is_enlarged_by_click_opened_and_downloaded(
    page: Page, channel: Channel
) -> None:
    await imagine(page, "a red circle")
    await page.get_by_role("img").first.click()
    box = page.get_by_role("dialog")
    large = await box_of(box.get_by_role("img"))
    assert large["width"] == large["height"] == 3 * 64
    await box.get_by_role("button", name="Next image").click()
    await expect(box).to_contain_text("2 of 4")
    [message] = channel.loopback.history(channel.loopback.world.first_channel.id)
    attachment = message["attachments"][1]
    async with page.expect_download() as download:
        await box.get_by_role("link", name="Download").click()
    file = await download.value
    assert file.suggested_filename == "job_1.png"
    stored = channel.loopback.attachment_bytes(int(attachment["id"]))
    assert await asyncio.to_thread(Path(await file.path()).read_bytes) == stored
    link = box.get_by_role("link", name="Open original")
    assert attachment["url"].endswith(await link.get_attribute("href"))
    await page.mouse.click(5, 400)  # beside the picture
    await expect(box).to_be_hidden()


async def test_an_enlarged_preview_becomes_the_finished_picture(
    page: Page, channel: Channel
) -> None:
    channel.bot.may_finish.clear()
    channel.bot.previews = True
    await imagine(page, "a red circle")
    await page.get_by_role("button", name="preview").press("Enter")
    box = page.get_by_role("dialog")
    await expect(box).to_contain_text("1 of 1")
    await expect(box.get_by_role("button", name="Next image")).to_be_hidden()
    channel.bot.may_finish.set()
    await expect(box).to_contain_text(f"1 of {len(COLOURS)}")
    await expect(box.get_by_role("img")).to_have_attribute("alt", "a red circle (picture 1)")
    [message] = channel.loopback.history(channel.loopback.world.first_channel.id)
    finished = message["attachments"][0]["url"]
    source = await box.get_by_role("img").get_attribute("src")
    assert source is not None
    assert finished.endswith(source)
    await page.keyboard.press("ArrowRight")
    await expect(box).to_contain_text(f"2 of {len(COLOURS)}")
    await page.keyboard.press("Escape")
    await expect(page.locator(".message")).to_be_focused()  # the preview's button is gone


async def test_an_enlarged_picture_stays_while_others_change(page: Page, channel: Channel) -> None:
    await imagine(page, "a red circle")
    await page.get_by_role("button", name="picture 3").press("Enter")
    box = page.get_by_role("dialog")
    await expect(box).to_contain_text("3 of 4")
    room = channel.bot.get_channel(channel.loopback.world.first_channel.id)
    assert isinstance(room, discord.TextChannel)
    [message] = [message async for message in room.history()]
    # What is taken away while it is still fetched is a complaint of the console.
    loaded = page.locator(".images img[data-loaded]")
    await expect(loaded).to_have_count(4)
    await message.edit(attachments=message.attachments[1:])
    await expect(box).to_contain_text("2 of 3")
    await expect(box.get_by_role("img")).to_have_attribute("alt", "a red circle (picture 3)")
    await expect(loaded).to_have_count(3)
    await message.edit(attachments=message.attachments[1:2])
    await expect(box).to_contain_text("1 of 1")
    await expect(box.get_by_role("img")).to_have_attribute("alt", "a red circle (picture 2)")
    await expect(loaded).to_have_count(1)
    await message.delete()
    await expect(box).to_be_hidden()
    await expect(page.locator("#text")).to_be_focused()


async def test_hostile_text_stays_text(page: Page, channel: Channel) -> None:
    await imagine(page, ATTACK)
    await expect(page.locator(".message pre")).to_have_text(ATTACK)
    await page.locator("#text").fill("/say")
    await page.keyboard.press("Enter")
    await page.get_by_label("text", exact=True).fill(f"{ATTACK} [x](javascript:alert(1)) ||s||")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message").last).to_contain_text(
        f"{ATTACK} [x](javascript:alert(1))"
    )
    await page.locator("#text").fill(ATTACK)
    await page.keyboard.press("Enter")
    await expect(page.locator(".message")).to_have_count(3)
    await expect(page.get_by_role("img")).to_have_count(len(COLOURS))
    assert await page.locator(".message script, .message a").count() == 0
    assert await page.title() == "#imagine · Playground"


async def test_markdown_becomes_elements(page: Page, channel: Channel) -> None:
    text = (
        "**bold *both*** __under__ ~~gone~~ `**code**` \\*plain\\* snake_case_name _em_ "
        "<@900000000000000402> <@&900000000000000201> <#900000000000000302> </imagine:1> <t:0:D> "
        "[there](https://example.org/a?b=1) [not](javascript:alert(1))\n"
        "# Head\n-# small\n> quoted\n- item\n```py\n**as it is**\n```"
    )
    await channel.loopback.slash("say", {"text": text})
    content = page.locator(".content")
    await expect(content.locator("strong")).to_have_text("bold both")
    await expect(content.locator("strong em")).to_have_text("both")
    await expect(content.locator("u")).to_have_text("under")
    await expect(content.locator("s")).to_have_text("gone")
    await expect(content.locator("code")).to_have_text("**code**")
    await expect(content.locator("em").last).to_have_text("em")
    await expect(content).to_contain_text("*plain* snake_case_name")
    await expect(content.locator(".mention")).to_have_text(
        ["@Ben", "@Painters", "#gallery", "/imagine"]
    )
    await expect(content.locator("time")).to_have_text("1 January 1970")
    await expect(content.locator("a")).to_have_text("there")
    await expect(content.locator("a")).to_have_attribute("href", "https://example.org/a?b=1")
    await expect(content).to_contain_text("[not](javascript:alert(1))")
    await expect(content.locator("h3")).to_have_text("Head")
    await expect(content.locator(".small")).to_have_text("small")
    await expect(content.locator("blockquote")).to_have_text("quoted")
    await expect(content.locator("pre")).to_have_text("**as it is**")


async def test_the_time_that_is_left_runs_down(page: Page, channel: Channel) -> None:
    await channel.loopback.slash("say", {"text": f"ready <t:{int(time.time()) + 40}:R>"})
    moment = page.locator(".content time")
    await expect(moment).to_have_text(re.compile(r"in \d+ seconds"))
    first = await moment.inner_text()
    await expect(moment).not_to_have_text(first)
    seconds = [int(text.split()[1]) for text in (first, await moment.inner_text())]
    assert 40 >= seconds[0] > seconds[1]


async def test_no_text_breaks_the_markdown(page: Page) -> None:
    pieces = [
        "*",
        "**",
        "_",
        "__",
        "~~",
        "`",
        "```",
        "\n",
        "> ",
        "# ",
        "- ",
        "\\",
        "<t:1:R>",
        "<@1>",
    ]
    pieces += ["<b>", "&lt;", "a", " ", "🦊", "\u202e", "<t:999999999999>", "<script>"]
    choose = random.Random(7)
    texts = ["".join(choose.choices(pieces, k=choose.randrange(1, 60))) for _ in range(400)]
    texts += [piece * (2000 // len(piece)) for piece in pieces] + ["*a " * 660, "_*" * 1000]
    found = await page.evaluate(
        """async (texts) => {
            const { markdown } = await import("/page/markdown.js");
            const names = new Set();
            const start = performance.now();
            for (const text of texts) {
                const holder = document.createElement("div");
                holder.append(...markdown(text));
                for (const node of holder.querySelectorAll("*")) names.add(node.localName);
            }
            return { names: [...names].sort(), ms: performance.now() - start };
        }""",
        texts,
    )
    allowed = {"blockquote", "code", "div", "em", "h3", "pre", "s", "span", "strong", "time", "u"}
    assert set(found["names"]) == allowed
    assert found["ms"] < 10_000


async def test_an_ephemeral_answer_says_so_and_can_be_dismissed(
    browser: Browser, page: Page, channel: Channel
) -> None:
    await page.locator("#text").fill("/say hush")
    await page.get_by_role("button", name="+ private").click()
    await page.keyboard.type("t")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    message = page.locator(".message")
    await expect(message).to_contain_text("Only you can see this")
    bens = f"{channel.loopback.base_url}/?as={BEN}"
    async with opened(browser, bens) as other:
        await expect(other.locator("#me-name")).to_have_text("Ben")
        await expect(other.locator(".message")).to_have_count(0)
    await message.get_by_role("button", name="Dismiss message").click()
    await expect(message).to_have_count(0)
    await expect(page.locator("#text")).to_be_focused()


async def test_the_bot_that_never_answers(page: Page, channel: Channel) -> None:
    await page.locator("#text").fill("/silent ")
    await page.keyboard.press("Enter")
    row = page.locator(".message")
    await expect(row).to_contain_text("Sending command…")
    channel.clock.advance(3.1)
    await expect(row).to_contain_text("The application did not respond")
    await row.get_by_role("button", name="Dismiss message").click()
    await expect(row).to_have_count(0)


async def test_buttons_are_pressed(page: Page, channel: Channel) -> None:
    await channel.loopback.slash("say", {"text": "first"})
    await page.get_by_role("button", name="Again").press("Enter")
    await expect(page.locator(".content")).to_have_text("again, Ada")
    await expect(page.get_by_role("button", name="Again")).to_be_focused()
    async with page.expect_response("**/page/api/press"):
        await page.get_by_role("button", name="Ignored").click()
    channel.clock.advance(3.1)
    await expect(page.locator(".failed")).to_have_text("The application did not respond")


async def test_a_failure_that_overtakes_the_answer_to_its_press_stays(
    page: Page, channel: Channel
) -> None:
    async def late(route: Route) -> None:
        answer = await route.fetch()
        channel.clock.advance(3.1)
        await expect(failure).to_have_text("The application did not respond")
        await route.fulfill(response=answer)

    failure = page.locator(".failed")
    await channel.loopback.slash("say", {"text": "first"})
    await page.route("**/page/api/press", late)
    button = page.get_by_role("button", name="Ignored")
    async with page.expect_response("**/page/api/press"):
        await button.click()
    await expect(button).not_to_have_attribute("aria-disabled", "true")
    await expect(failure).to_have_text("The application did not respond")
