"""Typing commands: the picker, the options, what is refused, what comes back."""

import pytest
from playwright.async_api import expect

from tests.standins.discord.browser import imagine, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("option", "typed", "sentence"),
    [
        ("steps", "99", "“steps” must lie between 1 and 50, not 99."),
        ("steps", "1.5", "“steps” must be a whole number from 1 to 50, not “1.5”."),
        ("guidance", "NaN", "“guidance” must be a number from 0 to 20, not “NaN”."),
        ("guidance", "-0.1", "“guidance” must lie between 0 and 20, not -0.1."),
        ("size", "9x9", "“size” must be one of 64x64, 96x64, 64x96."),
    ],
)
async def test_a_wrong_option_is_explained_and_nothing_is_sent(
    page, channel, option, typed, sentence
):
    await page.locator("#text").fill("/imagine a fox")
    await page.get_by_role("button", name=f"+ {option}").click()
    await page.keyboard.type(typed)
    await page.keyboard.press("Enter")
    field = page.get_by_label(option, exact=True)
    await expect(page.locator("#problem")).to_have_text(sentence)
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    assert channel.loopback.history(channel.loopback.world.first_channel.id) == []
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.press("Delete")
    await expect(page.locator("#problem")).to_be_empty()
    await page.keyboard.press("Backspace")  # takes an empty optional one away
    await expect(field).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(page.locator(".message")).to_have_count(1)


async def test_the_prompt_is_required_and_limited(page):
    await page.locator("#text").fill("/imagine ")
    await page.keyboard.press("Enter")
    await expect(page.locator("#problem")).to_contain_text("“prompt” is empty.")
    await page.get_by_label("prompt", exact=True).fill("x" * 1001)
    await expect(page.locator("#hint")).to_contain_text("1001 / 1000")
    await page.keyboard.press("Enter")
    await expect(page.locator("#problem")).to_have_text(
        "“prompt” is 1,001 characters long; the limit is 1,000. Shorten it."
    )


async def test_what_discord_refuses_is_shown_and_the_command_stays(browser, channel):
    bens = f"{channel.loopback.base_url}/?as=900000000000000402"
    async with opened(browser, bens, may_log="status of 422") as page:
        await page.locator("#text").fill("/silent ")
        await page.keyboard.press("Enter")
        await expect(page.locator("#problem")).to_have_text("Ben may not use /silent.")
        await expect(page.locator(".command-name")).to_have_text("/silent")
        await expect(page.locator(".message")).to_have_count(0)


async def test_an_empty_channel_offers_examples(page):
    example = page.locator("#examples").get_by_text("a red heart on a yellow background")
    await example.click()
    prompt = page.get_by_label("prompt", exact=True)
    await expect(prompt).to_have_value("a red heart on a yellow background")
    await expect(prompt).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".message")).to_have_count(1)
    await expect(example).to_be_hidden()


async def test_the_last_command_comes_back(page):
    await imagine(page, "a red circle")
    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_label("prompt", exact=True)).to_have_value("a red circle")
    await page.keyboard.press("Escape")
    await expect(page.locator("#text")).to_be_focused()


async def test_tab_goes_from_option_to_option(page):
    await page.locator("#text").fill("/imagine a fox")
    for option in ("steps", "size", "guidance"):
        await page.get_by_role("button", name=f"+ {option}").click()
    await page.get_by_label("prompt", exact=True).focus()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("steps", exact=True)).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("size", exact=True)).to_be_focused()
    await page.keyboard.type("96")  # Tab takes what the menu offers and goes on
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("size", exact=True)).to_have_value("96x64")
    await expect(page.get_by_label("guidance", exact=True)).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await expect(page.get_by_label("size", exact=True)).to_be_focused()


async def test_pasted_lines_become_one(page):
    await page.locator("#text").fill("/imagine ")
    await page.get_by_label("prompt", exact=True).fill("a fox\n  in snow\r\n")
    await expect(page.get_by_label("prompt", exact=True)).to_have_value("a fox in snow ")


async def test_a_whole_command_can_be_pasted(page):
    command = "/imagine prompt:a fox: red seed:7 steps:3 size:96x64"
    await page.locator("#text").fill(command)
    for name, value in {
        "prompt": "a fox: red",
        "seed": "7",
        "steps": "3",
        "size": "96x64",
    }.items():
        await expect(page.get_by_label(name, exact=True)).to_have_value(value)


async def test_the_composer_is_ready_to_type_and_paste(page):
    await expect(page.locator("#text")).to_be_focused()


async def test_subcommands_and_people_are_offered(page, channel):
    await page.locator("#text").focus()
    await page.keyboard.type("/que")
    await expect(page.locator("#menu:not([hidden]) [role=option]")).to_contain_text("/queue show")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="+ of").click()
    await expect(page.locator("#menu:not([hidden]) [role=option]")).to_have_text(
        ["Ada", "Ben", "Cleo", "Mia", "imagine"]
    )
    await page.keyboard.type("be")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="+ limit").click()
    await page.keyboard.type("-3")
    await page.keyboard.press("Enter")
    await expect(page.locator(".content")).to_have_text("nothing of ben, limit -3")
    await expect(page.locator("#text")).to_be_focused()  # the answer can overtake the acceptance
    await page.keyboard.type("/queue show ")
    await page.keyboard.press("Escape")
    await page.keyboard.type("/queue show")
    await page.keyboard.press("Enter")
    await expect(page.locator(".command-name")).to_have_text("/queue show")


async def test_backspace_leads_back_to_the_picker(page):
    await page.locator("#text").fill("/imagine ")
    await page.keyboard.press("Backspace")
    await expect(page.locator("#text")).to_be_focused()
    await expect(page.locator("#menu:not([hidden]) [role=option]")).to_have_count(4)
    await page.keyboard.press("Escape")
    await expect(page.locator("#menu:not([hidden]) [role=option]")).to_have_count(0)
    await page.keyboard.type("nonsense")
    await expect(page.get_by_role("listbox")).to_contain_text("There is no command /nonsense.")
    await page.keyboard.press("Enter")
    await expect(page.locator("#problem")).to_contain_text("There is no command /nonsense.")
