"""The pictures of the page in the README: the real playground in headless Chromium.

    python -m tests.screenshot

Starts `imagine playground` on a free port with the configuration of the working directory and
records of its own, does what a person would, and writes docs/playground.webp, edit.webp, look.webp,
draft.webp, history.webp, phone.webp, desk.webp and slack.webp.
"""

import asyncio
import io
import os
import signal
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Locator, Page, expect

from tests.standins.discord.browser import opened, running_browser

DOCS = Path(__file__).parent.parent / "docs"
DESKTOP, TALL, PHONE, WORKSPACE = (1000, 880), (1000, 1200), (390, 844), (1000, 760)
START_S, WAIT_S = 600, 180  # loading and compiling on a slow machine; for one thing on the page
QUALITY = 90
PAGES = 2


async def main() -> None:
    """Take the pictures."""
    expect.set_options(timeout=WAIT_S * 1000)
    with tempfile.TemporaryDirectory() as folder:
        playground = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "playground", "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "IMAGINE_PLAYGROUND__FOLDER": folder},
        )
        try:
            url, slack_url = await asyncio.wait_for(_addresses(playground), START_S)
            async with running_browser() as browser:
                await _visit(browser, url)
                await _order(browser, url)
                await _workspace(browser, slack_url)
        finally:
            if playground.returncode is None:
                playground.send_signal(signal.SIGTERM)
            await playground.wait()


async def _visit(browser: Browser, url: str) -> None:
    async with opened(browser, url, size=DESKTOP) as page:
        # The size of the model is known, and with it what the commands offer.
        await expect(page.locator("#examples")).to_be_visible()
        await _send(page, "/imagine a dolphin with a party hat in a pool seed:2167581657")
        await _loaded(page.locator(".gallery"), 4)
        await _take(page, "playground")
        await page.get_by_role("button", name="✏️ Edit").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await _take(page, "edit")
    async with opened(browser, url, size=PHONE) as page:
        await _loaded(page.locator(".gallery"), 4)
        await _take(page, "phone")
    async with opened(browser, url, size=TALL) as page:
        await page.get_by_role("button", name="🔍 Look").click()
        await _take(await _whispered(page, ".images", 1), "look")
        await _send(page, "/imagine a yellow star in a night sky seed:5 private:True")
        await _take(await _whispered(page, ".gallery", 4), "draft")
        await _send(page, "/imagine a red boat on the sea seed:5")
        boats = page.locator(".message:not(.private)", has_text="a red boat")
        await _loaded(boats.locator(".gallery"), 4)
        await _send(page, "/history")
        await _take(await _whispered(page, ".gallery", 9), "history")


async def _order(browser: Browser, url: str) -> None:
    """What a moderator sees of pictures that wait for one."""
    async with opened(browser, url, size=DESKTOP) as page:
        for command, words in (
            ("desk channel:mod-log", "decide in"),
            ("policy review:True", "yes"),
        ):
            await _send(page, f"/imagine-admin {command}")
            await page.keyboard.press("Enter")  # the first one chose what is offered
            await expect(page.locator(".message.private").last).to_contain_text(words)
        await _send(page, "/imagine a green frog on a leaf seed:5")
        await expect(page.get_by_text("A moderator looks at the pictures")).to_be_visible()
        await page.locator("#channels").get_by_text("mod-log").click()
        await _loaded(page.locator(".gallery"), 4)
        await _take(page.locator(".message").last, "desk")


async def _workspace(browser: Browser, url: str) -> None:
    async with opened(browser, url, size=WORKSPACE) as page:
        await _send(page, "/imagine a dolphin with a party hat in a pool --seed 2167581657")
        await _loaded(page.locator(".part-blocks"), 4)
        await _take(page, "slack")


async def _send(page: Page, command: str) -> None:
    await page.locator("#text").fill(f"{command} ")
    await page.keyboard.press("Enter")


async def _whispered(page: Page, gallery: str, pictures: int) -> Locator:
    message = page.locator(".message.private").last
    await _loaded(message.locator(gallery), pictures)
    return message


async def _loaded(gallery: Locator, pictures: int) -> None:
    await expect(gallery.locator("img[data-loaded]")).to_have_count(pictures)


async def _take(shown: Page | Locator, name: str) -> None:
    page = shown if isinstance(shown, Page) else shown.page
    await page.mouse.move(0, 0)  # nothing is pointed at
    picture = Image.open(io.BytesIO(await shown.screenshot()))
    path = DOCS / f"{name}.webp"
    picture.convert("RGB").save(path, quality=QUALITY)
    sys.stdout.write(f"{path}\n")


async def _addresses(playground: asyncio.subprocess.Process) -> list[str]:
    """Of Discord's page and Slack's."""
    assert playground.stdout is not None
    found: list[str] = []
    async for line in playground.stdout:
        found += [word for word in line.decode().split() if word.startswith("http://127.0.0.1:")]
        if len(found) == PAGES:
            return found
    raise SystemExit("The playground did not start; its own words are above.")


if __name__ == "__main__":
    asyncio.run(main())
