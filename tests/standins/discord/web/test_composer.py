"""Typing commands: the picker, the options, what is refused, what comes back."""

import asyncio

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.standins.discord.browser import box_of, imagine, opened
from tests.standins.discord.page_bot import Channel
from tests.standins.discord.people import ADA, BEN

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
    page: Page, channel: Channel, option: str, typed: str, sentence: str
) -> None:
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


async def test_the_prompt_is_required_and_limited(page: Page) -> None:
    await page.locator("#text").fill("/imagine ")
    await page.keyboard.press("Enter")
    await expect(page.locator("#problem")).to_contain_text("“prompt” is empty.")
    await page.get_by_label("prompt", exact=True).fill("x" * 1001)
    await expect(page.locator("#hint")).to_contain_text("1001 / 1000")
    await page.keyboard.press("Enter")
    await expect(page.locator("#problem")).to_have_text(
        "“prompt” is 1,001 characters long; the limit is 1,000. Shorten it."
    )


async def test_what_discord_refuses_is_shown_and_the_command_stays(
    browser: Browser, channel: Channel
) -> None:
    async with opened(browser, channel.loopback.base_url, may_log="status of 422") as page:
        gate = await held(page, "slash", refusal="Ada may not use /silent.")
        gate.set()
        await page.locator("#text").fill("/silent ")
        await page.keyboard.press("Enter")
        await expect(page.locator("#problem")).to_have_text("Ada may not use /silent.")
        await expect(page.locator(".command-name")).to_have_text("/silent")
        await expect(page.locator(".message")).to_have_count(0)


async def test_an_empty_channel_offers_examples(page: Page) -> None:
    example = page.locator("#examples").get_by_text("a red heart on a yellow background")
    await example.click()
    prompt = page.get_by_label("prompt", exact=True)
    await expect(prompt).to_have_value("a red heart on a yellow background")
    await expect(prompt).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".message")).to_have_count(1)
    await expect(example).to_be_hidden()


async def test_the_last_command_comes_back(page: Page) -> None:
    await imagine(page, "a red circle")
    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_label("prompt", exact=True)).to_have_value("a red circle")
    await page.keyboard.press("Escape")
    await expect(page.locator("#text")).to_be_focused()


async def test_tab_goes_from_option_to_option(page: Page) -> None:
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


async def test_pasted_lines_become_one(page: Page) -> None:
    await page.locator("#text").fill("/imagine ")
    await page.get_by_label("prompt", exact=True).fill("a fox\n  in snow\r\n")
    await expect(page.get_by_label("prompt", exact=True)).to_have_value("a fox in snow ")


async def test_a_whole_command_can_be_pasted(page: Page) -> None:
    command = "/imagine prompt:a fox: red seed:7 steps:3 size:96x64"
    await page.locator("#text").fill(command)
    for name, value in {
        "prompt": "a fox: red",
        "seed": "7",
        "steps": "3",
        "size": "96x64",
    }.items():
        await expect(page.get_by_label(name, exact=True)).to_have_value(value)


async def test_the_composer_is_ready_to_type_and_paste(page: Page) -> None:
    await expect(page.locator("#text")).to_be_focused()


async def test_subcommands_and_people_are_offered(page: Page, channel: Channel) -> None:
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


async def test_backspace_leads_back_to_the_picker(page: Page) -> None:
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


async def held(page: Page, what: str, refusal: str = "") -> asyncio.Event:
    """Hold the page's next requests of this kind back; returns the gate that lets them go.

    refusal  they never arrive: the page is answered with this
    """
    gate = asyncio.Event()

    async def hold(route: Route) -> None:
        await gate.wait()
        if refusal:
            await route.fulfill(status=422, json={"refusal": refusal})
        else:
            await route.continue_()

    await page.route(f"**/page/api/{what}", hold)
    return gate


async def test_what_is_typed_right_after_enter_stays(page: Page, channel: Channel) -> None:
    gate = await held(page, "say")
    text = page.locator("#text")
    await text.focus()
    async with page.expect_request("**/page/api/say"):
        await page.keyboard.type("one")
        await page.keyboard.press("Enter")
    await page.keyboard.type("two")
    await expect(text).to_have_value("two")
    gate.set()
    await expect(page.locator(".content")).to_have_text(["one"])
    await expect(text).to_have_value("two")
    await page.keyboard.press("Enter")
    await expect(page.locator(".content")).to_have_text(["one", "two"])


async def test_what_is_typed_right_after_a_command_stays(page: Page, channel: Channel) -> None:
    gate = await held(page, "slash")
    async with page.expect_request("**/page/api/slash"):
        await imagine(page, "a red circle")
    await page.keyboard.type("nice")
    await expect(page.locator("#text")).to_have_value("nice")
    gate.set()
    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.locator("#text")).to_have_value("nice")


async def test_messages_sent_quickly_arrive_in_their_order(page: Page, channel: Channel) -> None:
    gate = await held(page, "say")
    await page.locator("#text").focus()
    for text in ("one", "two", "three"):
        await page.keyboard.type(text)
        await page.keyboard.press("Enter")
    gate.set()
    await expect(page.locator(".content")).to_have_text(["one", "two", "three"])


async def test_what_is_refused_comes_back(browser: Browser, channel: Channel) -> None:
    address = channel.loopback.base_url
    async with opened(browser, address, may_log="status of 422") as page:
        await page.route(
            "**/page/api/say",
            lambda route: route.fulfill(status=422, json={"refusal": "The message was refused."}),
        )
        text = page.locator("#text")
        await text.fill("one")
        await page.keyboard.press("Enter")
        await expect(page.locator("#problem")).to_have_text("The message was refused.")
        await expect(text).to_have_value("one")


async def test_what_is_refused_does_not_push_away_what_is_typed_meanwhile(
    browser: Browser, channel: Channel
) -> None:
    async with opened(browser, channel.loopback.base_url, may_log="status of 422") as page:
        gate = await held(page, "slash", refusal="Ada may not use /silent.")
        await page.locator("#text").fill("/silent ")
        async with page.expect_request("**/page/api/slash"):
            await page.keyboard.press("Enter")
        await page.keyboard.type("hm")
        gate.set()
        await expect(page.locator("#problem")).to_have_text(
            "Ada may not use /silent. Press ↑ in an empty line to get it back."
        )
        await expect(page.locator("#text")).to_have_value("hm")
        await page.locator("#text").fill("")
        await page.keyboard.press("ArrowUp")
        await expect(page.locator(".command-name")).to_have_text("/silent")


async def test_shift_enter_breaks_the_line_of_a_message(page: Page, channel: Channel) -> None:
    text = page.locator("#text")
    await text.focus()
    low = await box_of(text)
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await expect(text).to_have_value("one\ntwo")
    high = await box_of(text)
    assert high["height"] > low["height"]
    await expect(page.locator(".message")).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(page.locator(".content")).to_have_text("one\ntwo")
    [message] = channel.loopback.history(channel.loopback.world.first_channel.id)
    assert message["content"] == "one\ntwo"
    await expect(text).to_have_value("")


async def test_shift_enter_never_sends_a_command(page: Page, channel: Channel) -> None:
    await page.locator("#text").focus()
    await page.keyboard.type("/im")
    await page.keyboard.press("Shift+Enter")  # nor does it take the menu's command
    await expect(page.locator(".command-name")).to_have_count(0)
    await page.locator("#text").fill("/imagine a foxin snow")
    prompt = page.get_by_label("prompt", exact=True)
    for _ in "in snow":
        await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("lying ")
    await expect(prompt).to_have_value("a fox lying in snow")
    await page.get_by_role("button", name="+ size").click()
    await page.keyboard.press("Shift+Enter")
    await page.get_by_role("button", name="Send").press("Shift+Enter")
    await expect(page.locator(".command-name")).to_have_text("/imagine")
    assert channel.loopback.history(channel.loopback.world.first_channel.id) == []
    await prompt.press("Enter")
    await expect(page.locator(".message")).to_have_count(1)


async def test_a_command_pasted_over_several_lines(page: Page) -> None:
    await page.locator("#text").fill("/imagine\nprompt:a fox\n  in snow\nseed:7\n")
    await expect(page.get_by_label("prompt", exact=True)).to_have_value("a fox in snow")
    await expect(page.get_by_label("seed", exact=True)).to_have_value("7")


async def test_what_the_bot_offers_is_shown_by_name_and_sent_by_value(
    page: Page, channel: Channel
) -> None:
    await page.locator("#text").fill("/say hi ")
    await page.get_by_role("button", name="+ voice").click()
    voice = page.get_by_label("voice", exact=True)
    offered = page.locator("#menu").get_by_role("option")
    await expect(offered).to_have_text(["alto", "bass"])
    await page.keyboard.type("b")
    await expect(offered).to_have_text(["bass"])
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(voice).to_have_value("bass")
    await page.keyboard.press("Enter")
    await expect(page.locator(".content")).to_have_text("hi (b)")
    await page.locator("#text").fill("/say hi voice:tenor")
    await page.keyboard.press("Enter")
    await expect(page.locator(".content").last).to_have_text("hi (tenor)")


async def test_what_is_not_for_somebody_is_not_offered_to_them(
    browser: Browser, channel: Channel
) -> None:
    bens = f"{channel.loopback.base_url}/?as={BEN}"
    async with opened(browser, bens) as page:
        await page.locator("#text").fill("/")
        names = page.locator("#menu").get_by_role("option").locator("b")
        await expect(names).to_have_text(["/imagine", "/say", "/queue show"])
        await page.get_by_role("combobox", name="Who you are").select_option(str(ADA))
        await page.locator("#text").fill("/")
        await expect(names).to_have_text(["/imagine", "/say", "/silent", "/queue show"])
