"""The list of places: channels with their threads, forums, direct messages of whoever looks."""

from collections.abc import AsyncIterator

import discord
import pytest
import pytest_asyncio
from discord import app_commands
from playwright.async_api import Browser, Page, expect

from standins.discord.world import Channel as Place
from standins.discord.world import varied_world
from tests.standins.discord.browser import PHONE, imagine, opened
from tests.standins.discord.cards import Card, files
from tests.standins.discord.page_bot import COLOURS, Channel, running_channel
from tests.standins.discord.people import BEN, MANAGERS, MAX, SKETCHES, TESS

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What everybody sees; the last is one's direct messages with the bot.
PLACES = [
    "imagine",
    "sketches",
    "gallery",
    "showcase",
    "My first picture",
    "late-night",
    "Imagine",
]


@pytest_asyncio.fixture(loop_scope="session")
async def channel() -> AsyncIterator[Channel]:
    async with running_channel(world=varied_world()) as running:
        yield running


async def test_places_stand_where_they_belong(page: Page) -> None:
    rail = page.get_by_role("navigation", name="Server")
    await expect(rail.get_by_role("listitem")).to_have_text([*PLACES[:-1], "mod-log", "Imagine"])
    await expect(rail.get_by_role("button", name="showcase")).to_have_count(0)  # no place itself


async def test_what_somebody_may_not_see_is_not_there(page: Page) -> None:
    people = page.get_by_role("combobox", name="Who you are")
    places = page.get_by_role("navigation", name="Server").get_by_role("listitem")
    await expect(people.locator("option")).to_have_text(
        ["Ada (owner)", "Ben", "Cleo", "Mia (moderator)", "Tess", "Max (manager)"]
    )
    await page.get_by_role("button", name="mod-log").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("mod-log")
    await people.select_option("Mia (moderator)")
    await expect(page.get_by_role("heading", level=1)).to_have_text("mod-log")
    await people.select_option("Tess")
    await expect(page.get_by_role("heading", level=1)).to_have_text("imagine")
    await expect(places).to_have_text(PLACES)


async def test_places_come_and_go_while_somebody_looks(page: Page, channel: Channel) -> None:
    world = channel.loopback.world
    places = page.get_by_role("navigation", name="Server").get_by_role("listitem")
    await page.get_by_role("button", name="sketches").click()
    await channel.loopback.say("a fox", channel_id=SKETCHES)
    await expect(page.locator(".content")).to_have_text("a fox")
    await page.locator("#text").fill("not sent yet")
    new = Place(900_000_000_000_000_399, "new", position=5)
    channel.loopback.change_channel(new)
    await expect(places.get_by_text("new", exact=True)).to_be_visible()
    await expect(page.locator("#text")).to_have_value("not sent yet")
    channel.loopback.delete_channel(SKETCHES, user_id=MAX)
    await expect(page.get_by_role("heading", level=1)).to_have_text("imagine")
    await expect(page.locator(".message")).to_have_count(0)
    await expect(places.get_by_text("sketches")).to_have_count(0)
    channel.loopback.change_channel(world.first_channel, name="pictures", topic="All of them")
    await expect(page.get_by_role("heading", level=1)).to_have_text("pictures")
    await expect(page.locator("#topic")).to_have_text("All of them")


async def test_what_a_moderator_may_delete_changes_with_their_roles(
    page: Page, channel: Channel
) -> None:
    await page.get_by_role("combobox", name="Who you are").select_option("Tess")
    await channel.loopback.say("a fox", user_id=BEN)
    await expect(page.locator(".content")).to_have_text("a fox")
    button = page.get_by_role("button", name="Delete message")
    await expect(button).to_have_count(0)
    tess = channel.loopback.world.people[TESS]
    channel.loopback.change_person(tess, role_ids=(*tess.role_ids, MANAGERS))
    await expect(button).to_have_count(1)
    await expect(page.locator("#me-duty")).to_have_text("You are the manager")


async def test_what_the_bot_writes_to_somebody_is_in_their_direct_messages(
    browser: Browser, channel: Channel
) -> None:
    bens = f"{channel.loopback.base_url}/?as={BEN}"
    async with opened(browser, bens) as page:
        ben = await channel.bot.fetch_user(BEN)
        await ben.send(view=Card(["a.png"], blurred=True), files=files("a.png"))
        await page.get_by_role("button", name="Imagine", exact=True).click()
        await expect(page.get_by_role("button", name="Spoiler")).to_have_count(1)


async def test_a_managers_command_offers_people_roles_and_channels(
    browser: Browser, channel: Channel
) -> None:
    @channel.bot.tree.command(name="allow", description="Allow somebody something")
    @app_commands.default_permissions(manage_guild=True)
    async def allow(
        interaction: discord.Interaction,
        whom: discord.Member | discord.Role,
        where: discord.TextChannel,
    ) -> None:
        await interaction.response.send_message(f"{whom.name} in {where.name}")

    await channel.bot.tree.sync()
    address = channel.loopback.base_url
    async with opened(browser, f"{address}/?as={TESS}") as page:
        await page.locator("#text").fill("/allow")
        await expect(page.locator("#menu")).to_contain_text("There is no command")
    async with opened(browser, f"{address}/?as={MAX}") as page:
        await page.locator("#text").fill("/allow ")
        offered = page.locator("#menu").get_by_role("option").locator("b")
        await expect(offered.filter(has_text="Tess")).to_have_count(1)
        await page.keyboard.type("Trusted")
        await page.keyboard.press("Tab")
        await expect(offered).to_have_text(["imagine", "gallery", "late-night", "mod-log"])
        await page.keyboard.type("mod-log")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
        await expect(page.locator(".content")).to_have_text("Trusted in mod-log")


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
