"""Whether everybody can read and reach everything, and nothing foreign gets in."""

from pathlib import Path

import discord
import pytest
from playwright.async_api import Browser, Page, expect

from tests.standins.discord.browser import DESKTOP, PHONE, Scheme, Size, imagine, opened
from tests.standins.discord.cards import Card, files
from tests.standins.discord.page_bot import COLOURS, Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHECKS = (Path(__file__).parent / "checks.js").read_text()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_everybody_can_read_and_reach_everything(
    browser: Browser, channel: Channel, scheme: Scheme, size: Size
) -> None:
    world = channel.loopback.world
    async with opened(browser, channel.loopback.base_url, scheme=scheme, size=size) as page:
        assert await page.evaluate(CHECKS) == []
        await imagine(page, "a red circle " + "and_a_very_long_word" * 8)
        await expect(page.get_by_role("img")).to_have_count(len(COLOURS))
        text = "`code` **bold** <#1>\n> quote\n-# small"
        await channel.loopback.slash("say", {"text": text, "private": True})
        await expect(page.locator(".message.private")).to_have_count(1)
        await channel.loopback.slash("silent", {})
        channel.clock.advance(3.1)
        await expect(page.locator(".message .failed")).to_have_count(1)
        assert await page.evaluate(CHECKS) == []
        await page.locator("#text").fill("/")
        assert await page.evaluate(CHECKS) == []
        await page.locator("#text").fill("/imagine " + "long prompt " * 30)
        await page.get_by_role("button", name="+ steps").click()
        await page.keyboard.type("99")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="+ size").click()
        assert await page.evaluate(CHECKS) == []
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        if size == PHONE:
            await page.get_by_role("button", name="Channels").click()
            await expect(page.get_by_role("button", name="gallery")).to_be_visible()
            assert await page.evaluate(CHECKS) == []
            await page.keyboard.press("Escape")
        await page.get_by_role("img").first.click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await page.evaluate(CHECKS) == []
        await page.keyboard.press("Escape")
        await channel.loopback.say(f"<@{world.first_person.id}> `look` **here**")
        room = channel.bot.get_partial_messageable(world.first_channel.id)
        shown = room.get_partial_message(int(channel.loopback.history(room.id)[0]["id"]))
        await room.send("there", reference=shown.to_reference())
        card = Card(["a.png", "b.png"], blurred=True).add_item(
            discord.ui.File("attachment://c.txt")
        )
        await room.send(view=card, files=files("a.png", "b.png", "c.txt"))
        await expect(page.get_by_role("button", name="Spoiler")).to_have_count(2)
        await expect(page.get_by_role("button", name="replies to")).to_have_count(1)
        await expect(page.locator(".message.for-me")).to_have_count(1)
        await page.get_by_role("button", name="Delete message").last.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await page.evaluate(CHECKS) == []
        assert world.first_channel.name == await page.locator("h1").text_content()


async def test_the_policy_holds_whatever_gets_into_the_page(
    browser: Browser, channel: Channel
) -> None:
    attempts = {
        "require-trusted-types-for": "document.body.innerHTML = '<b>x</b>'",
        "script-src-elem": "import('data:text/javascript,1').catch(() => {})",
        "style-src-attr": "document.body.setAttribute('style', 'color: red')",
        "img-src": "new Image().src = 'https://pictures.example/x.png'",
        "connect-src": "fetch('https://elsewhere.example/').catch(() => {})",
    }
    async with opened(
        browser, channel.loopback.base_url, may_log="Content Security|TrustedHTML"
    ) as page:
        for directive, attempt in attempts.items():
            blocked = await page.evaluate(
                """(attempt) => new Promise((done) => {
                    const hear = (event) => done(event.effectiveDirective);
                    document.addEventListener("securitypolicyviolation", hear, { once: true });
                    try { eval(attempt); } catch { /* the event tells */ }
                })""",
                attempt,
            )
            assert blocked == directive


async def test_the_checks_find_what_is_wrong(page: Page) -> None:
    await page.evaluate(
        """() => {
            const bad = document.createElement("div");
            const image = document.createElement("img");
            const grey = document.createElement("p");
            grey.textContent = "hard to read";
            grey.style.color = "#333";
            grey.style.width = "3000px";
            bad.append(document.createElement("button"), image, grey);
            document.querySelector("#scroll").append(bad);
        }"""
    )
    complaints = " ".join(await page.evaluate(CHECKS))
    for complaint in ("no name", "no alt text", "contrast 1.", "out of the window"):
        assert complaint in complaints
