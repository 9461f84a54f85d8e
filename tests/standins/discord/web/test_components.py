"""Messages of components alone: containers, galleries, spoilers, sections, files."""

import discord
import pytest
from playwright.async_api import Locator, Page, expect

from tests.standins.discord.browser import box_of
from tests.standins.discord.cards import Card, files
from tests.standins.discord.page_bot import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMES = ["a.png", "b.png", "c.png", "d.png"]


def room_of(channel: Channel) -> discord.PartialMessageable:
    return channel.bot.get_partial_messageable(channel.loopback.world.first_channel.id)


async def row_lengths(gallery: Locator) -> list[int]:
    """How many tiles begin at each height, from the top."""
    tops: list[float] = await gallery.evaluate(
        "(node) => [...node.children].map((tile) => tile.getBoundingClientRect().top)"
    )
    return [tops.count(top) for top in sorted(set(tops))]


async def test_a_card_reads_from_its_text_to_its_buttons(page: Page, channel: Channel) -> None:
    await room_of(channel).send(view=Card(NAMES), files=files(*NAMES))
    card = page.locator(".container")
    await expect(card.locator("h3")).to_have_text("a fox")
    await expect(card).to_have_css("border-left-color", "rgb(88, 101, 242)")
    gallery = card.get_by_role("group", name="4 pictures")
    for name in NAMES:
        await expect(gallery.get_by_role("img", name=f"a fox ({name})")).to_have_js_property(
            "naturalWidth", 6
        )
    assert await row_lengths(gallery) == [2, 2]
    order = "(node) => [...node.querySelectorAll('h3, img, hr, button:not(:has(img))')]"
    told = await page.locator(".part-components").evaluate(
        f"{order}.map((each) => each.alt || each.textContent || each.tagName)"
    )
    pictures = [f"a fox ({name})" for name in NAMES]
    assert told == ["a fox", *pictures, "HR", "again", "vary", "recipe"]
    await expect(page.locator("#announce")).to_have_text("imagine posted 4 images.")
    await page.get_by_role("button", name="recipe").press("Enter")
    await expect(page.locator(".message.private")).to_contain_text("recipe it is")


async def test_galleries_of_every_size(page: Page, channel: Channel) -> None:
    rows = {1: [1], 2: [2], 3: [2, 1], 4: [2, 2], 5: [2, 3], 6: [3, 3], 7: [1, 3, 3]}
    rows |= {8: [2, 3, 3], 9: [3, 3, 3], 10: [1, 3, 3, 3]}
    for count, expected in rows.items():
        names = [f"{n}.png" for n in range(count)]
        layout = discord.ui.LayoutView().add_item(
            discord.ui.MediaGallery(*(discord.MediaGalleryItem(f"attachment://{n}") for n in names))
        )
        await room_of(channel).send(view=layout, files=files(*names))
        gallery = page.locator(f'.gallery[data-count="{count}"]')
        await expect(gallery).to_have_count(1)
        assert await row_lengths(gallery) == expected
    tall, short = [
        await box_of(page.locator(f'.gallery[data-count="3"] > :nth-child({n})')) for n in (1, 2)
    ]
    assert tall["height"] > 1.9 * short["height"]


async def test_pictures_are_paged_through_and_follow_their_card(
    page: Page, channel: Channel
) -> None:
    sent = await room_of(channel).send(view=Card(NAMES), files=files(*NAMES))
    await page.get_by_role("button", name="a fox (b.png)").press("Enter")
    box = page.get_by_role("dialog")
    await expect(box).to_contain_text("2 of 4")
    await page.keyboard.press("ArrowRight")
    await expect(box.locator("figcaption")).to_have_text("a fox (c.png)")
    await sent.edit(view=Card(NAMES, blurred=True))  # a moderator's edit veils what is open, too
    await expect(box).to_be_hidden()
    await expect(page.get_by_role("button", name="Spoiler")).to_have_count(4)


async def test_a_spoiler_is_revealed_then_enlarged(page: Page, channel: Channel) -> None:
    sent = await room_of(channel).send(view=Card(NAMES[:2], blurred=True), files=files(*NAMES[:2]))
    veiled = page.get_by_role("button", name="Spoiler: show the picture")
    await expect(veiled).to_have_count(2)
    await expect(veiled.first.get_by_text("Spoiler")).to_be_visible()
    await veiled.first.press("Enter")
    await expect(veiled).to_have_count(1)
    shown = page.get_by_role("button", name="a fox (a.png)")
    await expect(shown).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_contain_text("1 of 1")  # not the veiled one
    await page.keyboard.press("Escape")
    await sent.edit(view=Card(NAMES[:2]))
    await expect(veiled).to_have_count(0)
    await expect(shown).to_be_focused()
    await sent.edit(view=Card(NAMES[:2], blurred=True))
    await expect(veiled).to_have_count(2)


async def test_what_an_edit_leaves_alone_stays(page: Page, channel: Channel) -> None:
    sent = await room_of(channel).send("a fox", files=files("a.png"))
    await expect(page.locator(".images img")).to_have_count(1)
    await sent.edit(content=None, view=Card(["a.png"]))
    await expect(page.locator(".images, .part-text .content")).to_have_count(0)
    image = page.locator(".gallery img")
    await expect(image).to_have_attribute("data-loaded", "")
    await image.evaluate("(node) => (node.dataset.same = 'yes')")
    await page.get_by_role("button", name="vary").focus()
    more = Card(["a.png"]).add_item(discord.ui.TextDisplay("step 5 of 20"))
    await sent.edit(view=more)
    await expect(page.locator(".part-components")).to_contain_text("step 5 of 20")
    await expect(image).to_have_attribute("data-same", "yes")
    await expect(page.get_by_role("button", name="vary")).to_be_focused()


async def test_sections_files_and_what_is_hidden(page: Page, channel: Channel) -> None:
    layout = discord.ui.LayoutView()
    layout.add_item(
        discord.ui.Section(
            "**one**", "two", accessory=discord.ui.Thumbnail("attachment://a.png", description="x")
        )
    )
    layout.add_item(discord.ui.Separator(visible=False))
    layout.add_item(discord.ui.File("attachment://b.txt"))
    layout.add_item(
        discord.ui.Container(
            discord.ui.TextDisplay("hidden"),
            discord.ui.ActionRow(Card.button("deep")),
            spoiler=True,
        )
    )
    elsewhere = discord.MediaGalleryItem("https://pictures.example/x.png", description="far away")
    layout.add_item(discord.ui.MediaGallery(elsewhere, discord.MediaGalleryItem("https://[")))
    await room_of(channel).send(view=layout, files=files("a.png", "b.txt"))
    section = page.locator(".section")
    await expect(section.locator("strong")).to_have_text("one")
    text, thumbnail = await box_of(section.locator("strong")), await box_of(section.locator("img"))
    assert thumbnail["width"] == thumbnail["height"] == 85
    assert text["x"] < thumbnail["x"]
    await expect(page.locator("hr")).to_have_count(0)
    await expect(page.get_by_role("link", name="b.txt")).to_have_attribute("download", "b.txt")
    await expect(page.get_by_role("link", name="far away")).to_have_attribute(
        "href", "https://pictures.example/x.png"
    )
    await expect(page.get_by_role("link", name="https://[")).to_have_count(1)
    deep = page.get_by_role("button", name="deep")
    await deep.focus()
    await expect(deep).not_to_be_focused()  # out of reach until it is asked for
    await page.get_by_role("button", name="Spoiler: show what is hidden").press("Enter")
    await deep.focus()
    await expect(deep).to_be_focused()
