"""The apps' commands in the menu of a message, and menus to choose from in messages."""

from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from discord import app_commands
from playwright.async_api import Browser, Page, expect

from tests.standins.discord.browser import PHONE, box_of, opened
from tests.standins.discord.client import Interaction
from tests.standins.discord.page_bot import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHECKS = (Path(__file__).parent / "checks.js").read_text()


@pytest_asyncio.fixture(loop_scope="session")
async def apps(channel: Channel) -> Channel:
    """A bot with two commands on messages, and a message to use them on."""

    async def recipe(interaction: Interaction, message: discord.Message) -> None:
        await interaction.response.send_message(f"recipe of {message.content}", ephemeral=True)

    async def silence(_interaction: Interaction, _message: discord.Message) -> None:
        """Let the three seconds pass."""

    for name, callback in (("Show Recipe", recipe), ("Silence", silence)):
        channel.bot.tree.add_command(app_commands.ContextMenu(name=name, callback=callback))
    await channel.bot.tree.sync()
    await channel.loopback.say("a fox")
    return channel


async def test_a_command_is_used_from_the_keyboard(page: Page, apps: Channel) -> None:
    button = page.get_by_role("button", name="Apps")
    await button.press("Enter")
    items = page.get_by_role("menuitem")
    await expect(items).to_have_text(["Show Recipe", "Silence"])
    await expect(items.first).to_be_focused()
    for key, index in (("ArrowDown", 1), ("ArrowDown", 0), ("ArrowUp", 1), ("Home", 0), ("End", 1)):
        await page.keyboard.press(key)
        await expect(items.nth(index)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(items.first).to_be_hidden()
    await expect(button).to_be_focused()
    await button.press("Enter")
    await page.keyboard.press("Enter")
    answer = page.locator(".message.private")
    await expect(answer).to_contain_text("recipe of a fox")
    await expect(answer.locator(".command")).to_have_text("Show Recipe")
    await expect(page.get_by_role("button", name="Apps")).to_have_count(
        1
    )  # none on what is private


async def test_a_command_is_used_by_a_right_click(page: Page, apps: Channel) -> None:
    await page.locator(".message .content").click(button="right")
    item = page.get_by_role("menuitem", name="Silence")
    await item.click()
    await expect(item).to_be_hidden()
    await expect(page.locator(".message").last).to_contain_text("Sending command…")
    apps.clock.advance(3.1)
    await expect(page.locator(".message .failed")).to_have_text("The application did not respond")


async def test_the_menu_stays_in_a_small_window(browser: Browser, apps: Channel) -> None:
    async with opened(browser, apps.loopback.base_url, size=PHONE) as page:
        button = page.get_by_role("button", name="Apps")
        await button.click()
        menu = await box_of(page.get_by_role("menu"))
        assert menu["x"] >= 0
        assert menu["x"] + menu["width"] <= PHONE[0]
        assert await page.evaluate(CHECKS) == []


async def test_the_button_comes_and_goes_with_the_commands(page: Page, apps: Channel) -> None:
    await expect(page.get_by_role("button", name="Apps")).to_have_count(1)
    for name in ("Show Recipe", "Silence"):
        apps.bot.tree.remove_command(name, type=discord.AppCommandType.message)
    await apps.bot.tree.sync()
    await expect(page.get_by_role("button", name="Apps")).to_have_count(0)


async def test_choices_in_a_message(page: Page, channel: Channel) -> None:
    heard: list[list[str]] = []
    options = [
        discord.SelectOption(label="Small", value="s", description="Quick", emoji="🐁"),
        discord.SelectOption(label="Large", value="l"),
        discord.SelectOption(label="Tall", value="t"),
    ]
    one: discord.ui.Select[Any] = discord.ui.Select(placeholder="Size", options=options)
    some: discord.ui.Select[Any] = discord.ui.Select(
        placeholder="Sizes", options=options, max_values=2
    )

    def answer(menu: "discord.ui.Select[Any]") -> None:
        async def chosen(interaction: Interaction) -> None:
            heard.append(menu.values)
            await interaction.response.send_message(f"chose {len(heard)}", ephemeral=True)

        menu.callback = chosen  # type: ignore[method-assign]  # how discord.py lets one be set

    view = discord.ui.LayoutView(timeout=None)
    for menu in (one, some):
        answer(menu)
        view.add_item(discord.ui.Container(discord.ui.ActionRow(menu)))
    room = channel.bot.get_partial_messageable(channel.loopback.world.first_channel.id)
    await room.send(view=view)
    await page.get_by_role("combobox", name="Size", exact=True).select_option("🐁 Small (Quick)")
    await expect(page.locator(".message.private")).to_contain_text("chose 1")
    summary = page.locator("summary")
    await expect(summary).to_have_text("Sizes")
    await summary.press("Enter")
    await page.get_by_role("checkbox", name="Large").check()
    await page.get_by_role("checkbox", name="Tall").check()
    assert await page.evaluate(CHECKS) == []
    await summary.press("Escape")
    await expect(page.locator(".message.private").last).to_contain_text("chose 2")
    assert heard == [["s"], ["l", "t"]]
    await expect(summary).to_be_focused()


async def test_choices_below_a_text(page: Page, channel: Channel) -> None:
    view = discord.ui.View(timeout=None)
    menu: discord.ui.UserSelect[Any] = discord.ui.UserSelect(placeholder="Who")
    view.add_item(menu)

    async def chosen(interaction: Interaction) -> None:
        await interaction.response.edit_message(content=f"it is {menu.values[0].display_name}")

    menu.callback = chosen  # type: ignore[method-assign]  # how discord.py lets one be set
    room = channel.bot.get_partial_messageable(channel.loopback.world.first_channel.id)
    await room.send("who?", view=view)
    await page.get_by_role("combobox", name="Who", exact=True).select_option("Ben")
    await expect(page.locator(".content")).to_have_text("it is Ben")
