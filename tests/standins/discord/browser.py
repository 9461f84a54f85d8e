"""One headless Chromium a test session, and a page that must stay without errors."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    FloatRect,
    Locator,
    Page,
    async_playwright,
    expect,
)

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Size = tuple[int, int]  # of the window, in pixels
Scheme = Literal["dark", "light"]

DESKTOP, PHONE = (1280, 800), (360, 740)
WAIT_MS = 15_000  # far more than anything here takes
expect.set_options(timeout=WAIT_MS)


def chromium_path() -> str:
    """Where Chromium is; skips the test, or fails it where browsers are required."""
    path = shutil.which("chromium")
    if path is None:
        reason = "no chromium on this machine (Debian: apt install chromium)"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium under Playwright, which downloads nothing."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(), args=list(ARGUMENTS)
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser,
    url: str,
    *,
    size: Size = DESKTOP,
    scheme: Scheme = "dark",
    may_log: str = "",
) -> AsyncIterator[Page]:
    """A page in a context of its own. Whatever the console complains about fails the test.

    may_log  a pattern of the complaints that belong to the test, such as a refused connection
    """
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        reduced_motion="reduce",
        locale="en-GB",
    )
    context.set_default_timeout(WAIT_MS)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def hear(message: ConsoleMessage) -> None:
        said = f"{message.text} {message.location['url']}"
        if message.type in {"error", "warning"} and not (may_log and re.search(may_log, said)):
            complaints.append(said)

    page.on("console", hear)
    try:
        await page.goto(url)
        await page.wait_for_selector("body[data-ready]")
        yield page
    finally:
        await context.close()
    assert not complaints, complaints


async def box_of(node: Locator) -> FloatRect:
    """Where a node is on the page; it must be shown."""
    box = await node.bounding_box()
    assert box is not None
    return box


async def imagine(page: Page, prompt: str) -> None:
    """Type the command as people do: its name, a blank, the prompt, Enter."""
    await page.locator("#text").focus()
    await page.keyboard.type("/imagine ")
    await page.keyboard.type(prompt)
    await page.keyboard.press("Enter")
