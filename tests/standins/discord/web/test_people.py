"""What people may do on the page, and what is about them: moderators, pings, replies."""

import discord
import pytest
from playwright.async_api import Browser, Page, expect

from tests.standins.discord.browser import imagine, opened
from tests.standins.discord.page_bot import COLOURS, Channel
from tests.standins.discord.people import ADA, BEN, CLEO, MIA, PAINTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")


def page_of(channel: Channel, person: int) -> str:
    """The address of the page as one person sees it."""
    return f"{channel.loopback.base_url}/?as={person}"


async def test_the_menu_says_who_moderates(page: Page) -> None:
    people = page.get_by_role("combobox", name="Who you are")
    await expect(people.locator("option")).to_have_text(
        ["Ada (owner)", "Ben", "Cleo", "Mia (moderator)"]
    )
    await people.select_option("Mia (moderator)")
    await expect(page.locator("#me-name")).to_have_text("Mia")
    await expect(page.locator("#me-duty")).to_have_text("You are the moderator")
    await people.select_option("Cleo")
    await expect(page.locator("#me-duty")).to_have_text("You are")


async def test_a_moderator_deletes_what_the_bot_wrote(browser: Browser, channel: Channel) -> None:
    async with (
        opened(browser, page_of(channel, MIA)) as moderators,
        opened(browser, page_of(channel, BEN)) as bens,
    ):
        await imagine(bens, "a red circle")
        await expect(moderators.get_by_role("img")).to_have_count(len(COLOURS))
        button = moderators.get_by_role("button", name="Delete message")
        question = moderators.get_by_role("dialog", name="Delete this message?")
        await button.press("Enter")
        await expect(question).to_contain_text("What imagine wrote goes for everybody")
        await expect(moderators.get_by_role("button", name="Keep it")).to_be_focused()
        await moderators.keyboard.press("Escape")
        await expect(question).to_be_hidden()
        await expect(moderators.locator(".message")).to_have_count(1)
        await expect(button).to_be_focused()
        await button.press("Enter")
        await moderators.get_by_role("button", name="Delete", exact=True).click()
        for page in (moderators, bens):
            await expect(page.locator(".message")).to_have_count(0)
        await expect(moderators.locator("#text")).to_be_focused()
        assert channel.loopback.history(channel.loopback.world.first_channel.id) == []


async def test_others_delete_only_what_they_wrote(browser: Browser, channel: Channel) -> None:
    async with opened(browser, page_of(channel, BEN)) as page:
        await channel.loopback.say("of Ada", user_id=ADA)
        await channel.loopback.say("of Ben", user_id=BEN)
        await channel.loopback.slash("say", {"text": "hush", "private": True}, user_id=BEN)
        await expect(page.locator(".content")).to_have_text(["of Ada", "of Ben", "hush"])
        button = page.get_by_role("button", name="Delete message")
        await expect(button).to_have_count(1)
        await page.get_by_text("of Ben").hover()
        await button.click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.locator(".content")).to_have_text(["of Ada", "hush"])


async def test_a_message_that_goes_meanwhile_takes_the_question_along(
    browser: Browser, channel: Channel
) -> None:
    async with opened(browser, page_of(channel, MIA)) as page:
        said = await channel.loopback.say("x", user_id=BEN)
        await page.get_by_role("button", name="Delete message").press("Enter")
        question = page.get_by_role("dialog", name="Delete this message?")
        await expect(question).to_be_visible()
        channel.loopback.delete(int(said["id"]), user_id=BEN)
        await expect(page.locator(".message")).to_have_count(0)
        await expect(question).to_be_hidden()


async def test_a_ping_is_marked_for_the_one_it_names(browser: Browser, channel: Channel) -> None:
    async with (
        opened(browser, page_of(channel, ADA)) as adas,
        opened(browser, page_of(channel, BEN)) as bens,
    ):
        for page in (adas, bens):
            await expect(page.locator("#bot-status")).to_have_text("imagine is online")
        room = channel.bot.get_partial_messageable(channel.loopback.world.first_channel.id)
        text = f"<@{ADA}> <@{BEN}>"
        await room.send(text, allowed_mentions=only(ADA))
        for page, marked in ((adas, 1), (bens, 0)):
            await expect(page.locator(".mention")).to_have_text(["@Ada", "@Ben"])
            await expect(page.locator(".message.for-me")).to_have_count(marked)
        await expect(adas.locator("#announce")).to_have_text("imagine mentions you: @Ada @Ben")
        await channel.loopback.say(f"<@&{PAINTERS}>", user_id=CLEO)
        await expect(bens.locator(".message.for-me")).to_have_count(1)  # Ben is a painter
        await channel.loopback.say("@everyone", user_id=CLEO)
        await expect(bens.locator(".message.for-me")).to_have_count(2)
        await expect(adas.locator(".message.for-me")).to_have_count(2)


async def test_a_reply_leads_back_to_its_message(browser: Browser, channel: Channel) -> None:
    async with opened(browser, page_of(channel, BEN)) as page:
        asked = await channel.loopback.say("the first", user_id=BEN)
        for n in range(30):
            await channel.loopback.say(f"message {n}")
        room = channel.bot.get_partial_messageable(channel.loopback.world.first_channel.id)
        first = room.get_partial_message(int(asked["id"]))
        await room.send("done", reference=first.to_reference())
        target = page.locator(".message").first
        await expect(page.get_by_text("done", exact=True)).to_be_in_viewport()
        await expect(target).not_to_be_in_viewport()
        await page.get_by_role("button", name="replies to Ben").click()
        await expect(target).to_be_in_viewport()
        await expect(target).to_be_focused()
        channel.loopback.delete(first.id)
        await expect(page.get_by_text("the first")).to_have_count(0)
        await page.get_by_role("button", name="replies to Ben").click()
        await expect(page.locator(".failed")).to_have_text(
            "The message that this replies to is gone."
        )


def only(user_id: int) -> discord.AllowedMentions:
    """Ping this one alone."""
    return discord.AllowedMentions(
        everyone=False, roles=False, users=[discord.Object(user_id)], replied_user=False
    )
