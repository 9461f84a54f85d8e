"""Dialogs that the bot opens, as forms on the page."""

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from tests.standins.discord.browser import DESKTOP, PHONE, Scheme, Size, opened
from tests.standins.discord.cards import png
from tests.standins.discord.client import Interaction
from tests.standins.discord.forms import Choices, Settings
from tests.standins.discord.page_bot import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHECKS = (Path(__file__).parent / "checks.js").read_text()


class Door(discord.ui.View):
    """Two buttons, each of which opens a dialog."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.settings, self.choices = Settings(), Choices()

    @discord.ui.button(label="Settings")
    async def set(self, interaction: Interaction, _button: "discord.ui.Button[Any]") -> None:
        await interaction.response.send_modal(self.settings)

    @discord.ui.button(label="Choices")
    async def choose(self, interaction: Interaction, _button: "discord.ui.Button[Any]") -> None:
        await interaction.response.send_modal(self.choices)


@pytest_asyncio.fixture(loop_scope="session")
async def door(channel: Channel) -> Door:
    view = Door()
    room = channel.bot.get_partial_messageable(channel.loopback.world.first_channel.id)
    await room.send("Come in", view=view)
    return view


async def open_form(page: Page, name: str) -> Locator:
    await page.get_by_role("button", name=name, exact=True).press("Enter")
    form = page.get_by_role("dialog", name=name)
    await expect(form).to_be_visible()
    return form


async def test_a_form_is_filled_in_and_answered(page: Page, door: Door) -> None:
    form = await open_form(page, "Settings")
    prompt = form.get_by_label("Prompt")
    await expect(prompt).to_be_focused()
    await expect(prompt).to_have_value("a fox")
    await expect(form.locator(".counter")).to_have_text("5 / 100")
    await prompt.fill("a hen")
    await prompt.press("Enter")  # another line, for the text may have several
    await prompt.press("Backspace")
    await form.get_by_label("Size").select_option("96x64")
    await form.get_by_label("Calm").check()
    await form.get_by_label("Pictures", exact=True).set_input_files(
        [
            FilePayload(name=name, mimeType="image/png", buffer=png())
            for name in ("a.png", "b.png", "c.png")
        ]
    )
    submit = form.get_by_role("button", name="Submit")
    await submit.press("Enter")
    await expect(form.get_by_role("alert").filter(has_text="at most 2 files")).to_be_visible()
    await form.get_by_role("button", name="Remove b.png").press("Enter")
    await submit.press("Enter")
    await expect(form).to_be_hidden()
    await expect(page.locator(".content", has_text="set: a hen")).to_be_visible()
    await expect(page.locator(".used").last).to_contain_text("Ada filled in a form")
    heard = await door.settings.heard.get()
    assert heard == {"prompt": "a hen", "size": ["96x64"], "mood": "c", "files": [png(), png()]}
    await expect(page.get_by_role("button", name="Settings", exact=True)).to_be_focused()


async def test_files_are_dropped(page: Page, door: Door) -> None:
    form = await open_form(page, "Settings")
    dropped = await page.evaluate_handle(
        """() => {
            const dropped = new DataTransfer();
            dropped.items.add(new File(["x"], "x.png", { type: "image/png" }));
            return dropped;
        }"""
    )
    zone = form.locator(".drop")
    await zone.dispatch_event("dragover", {"dataTransfer": dropped})
    await expect(form.locator(".upload")).to_have_class("upload over")
    await zone.dispatch_event("drop", {"dataTransfer": dropped})
    await expect(form.locator(".upload li")).to_have_text("x.png")
    await form.get_by_label("Prompt").press("Tab")
    await form.get_by_role("button", name="Submit").click()
    assert (await door.settings.heard.get())["files"] == [b"x"]


async def test_choices_are_made(page: Page, door: Door) -> None:
    form = await open_form(page, "Choices")
    await expect(form.get_by_label("b", exact=True)).to_be_checked()
    await form.get_by_label("b", exact=True).uncheck()
    submit = form.get_by_role("button", name="Submit")
    await submit.press("Enter")
    await expect(form.get_by_role("alert").filter(has_text="required")).to_have_count(1)
    for name in ("a", "c", "Private"):
        await form.get_by_label(name, exact=True).check()
    people = form.locator("summary")
    await people.press("Enter")
    for name in ("Ada", "Ben"):
        await form.get_by_label(name, exact=True).check()
    await people.press("Escape")  # closes the list alone
    await expect(people).to_have_text("Ada, Ben")
    await form.get_by_label("Role").select_option("Painters")
    await form.get_by_label("Where").select_option("#gallery")
    await submit.press("Enter")
    await expect(form).to_be_hidden()
    await expect(page.locator(".content", has_text="chosen")).to_be_visible()
    assert await door.choices.heard.get() == {
        "extras": ["a", "c"],
        "private": True,
        "people": ["ada", "ben"],
        "roles": ["Painters"],
        "place": ["gallery"],
    }


async def test_a_form_is_left(page: Page, channel: Channel, door: Door) -> None:
    for leave in ("Escape", "Cancel", "Close"):
        form = await open_form(page, "Settings")
        await form.get_by_label("Prompt").fill("not this")
        if leave == "Escape":
            await page.keyboard.press(leave)
        else:
            await form.get_by_role("button", name=leave).click()
        await expect(form).to_be_hidden()
    form = await open_form(page, "Settings")
    await expect(form.get_by_label("Prompt")).to_have_value("a fox")
    await form.get_by_label("Prompt").fill("")
    await form.get_by_role("button", name="Submit").click()
    await expect(form.get_by_label("Prompt")).to_be_focused()
    await expect(form.get_by_label("Prompt")).to_have_attribute("aria-invalid", "true")
    await form.get_by_label("Prompt").fill("a")
    await expect(form.get_by_label("Prompt")).not_to_have_attribute("aria-invalid", "true")
    assert door.settings.heard.empty()
    await page.locator("#me").select_option(str(list(channel.loopback.world.people)[1]))
    await expect(form).to_be_hidden()  # it was another person's


async def test_a_form_that_nobody_answers_stays(
    browser: Browser, channel: Channel, door: Door
) -> None:
    asked = asyncio.Event()

    async def ignore(_: Interaction) -> None:
        asked.set()

    door.settings.on_submit = ignore  # type: ignore[method-assign]  # a dialog that hangs
    async with opened(browser, channel.loopback.base_url, may_log="422") as page:
        form = await open_form(page, "Settings")
        await form.get_by_label("Prompt").fill("keep this")
        await form.get_by_role("button", name="Submit").click()
        await expect(form.get_by_role("button", name="Submitting…")).to_be_visible()
        await asked.wait()
        channel.clock.advance(3.1)
        await expect(form.get_by_role("alert").last).to_have_text(
            "The application did not respond."
        )
        await expect(form.get_by_label("Prompt")).to_have_value("keep this")
        await expect(form.get_by_role("button", name="Submit", exact=True)).to_be_enabled()


async def test_a_command_that_opens_a_form_leaves_no_row(page: Page, channel: Channel) -> None:
    class Short(discord.ui.Modal, title="Short"):
        say: discord.ui.Label[Any] = discord.ui.Label(
            text="Say", component=discord.ui.TextInput(custom_id="say")
        )

        async def on_submit(self, interaction: Interaction, /) -> None:
            await interaction.response.send_message("said")

    async def ask(interaction: Interaction) -> None:
        """Ask."""
        await interaction.response.send_modal(Short())

    channel.bot.tree.command(name="ask", description="Ask")(ask)
    await channel.bot.tree.sync()
    await channel.loopback.slash("ask", {})
    form = page.get_by_role("dialog", name="Short")
    await form.get_by_label("Say").fill("hello")
    await expect(page.locator("#messages .message")).to_have_count(0)
    await page.keyboard.press("Enter")  # in a single line it submits
    await expect(form).to_be_hidden()
    await expect(page.locator(".used")).to_have_text("AAda used /ask")


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_everybody_can_read_and_reach_forms(
    browser: Browser, channel: Channel, door: Door, scheme: Scheme, size: Size
) -> None:
    async with opened(browser, channel.loopback.base_url, scheme=scheme, size=size) as page:
        form = await open_form(page, "Settings")
        await form.get_by_label("Prompt").fill("")
        await form.get_by_role("button", name="Submit").click()
        assert await page.evaluate(CHECKS) == []
        await page.keyboard.press("Escape")
        form = await open_form(page, "Choices")
        await form.locator("summary").click()
        assert await page.evaluate(CHECKS) == []
