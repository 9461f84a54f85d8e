"""The picture in the README: the real playground, one /imagine in headless Chromium.

    python -m tests.screenshot ["PROMPT"]

Starts `imagine playground` on a free port with the configuration of the working directory, types
the prompt as a person would, waits for the four pictures and writes docs/playground.png.
"""

import asyncio
import signal
import sys
from pathlib import Path

from tests.standins.discord.browser import imagine, opened, running_browser

PICTURE = Path(__file__).parent.parent / "docs" / "playground.png"
SIZE_PX = (1200, 820)
START_S, DRAW_S = 600, 600  # loading and compiling on a slow machine; one request


async def main(prompt: str) -> None:
    """Take the picture."""
    playground = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "playground", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        url = await asyncio.wait_for(_address(playground), START_S)
        async with running_browser() as browser, opened(browser, url, size=SIZE_PX) as page:
            await page.wait_for_selector('#bot-status[data-online="true"]', timeout=START_S * 1000)
            await page.wait_for_selector("#examples:not([hidden])", timeout=START_S * 1000)
            await imagine(page, prompt)
            await page.wait_for_selector(
                ".gallery button:nth-child(4) img[data-loaded]", timeout=DRAW_S * 1000
            )
            await page.wait_for_function("[...document.images].every((image) => image.complete)")
            PICTURE.parent.mkdir(exist_ok=True)
            await page.screenshot(path=PICTURE)
    finally:
        if playground.returncode is None:
            playground.send_signal(signal.SIGTERM)
        await playground.wait()
    sys.stdout.write(f"{PICTURE}\n")


async def _address(playground: asyncio.subprocess.Process) -> str:
    assert playground.stdout is not None
    async for line in playground.stdout:
        for word in line.decode().split():
            if word.startswith("http://127.0.0.1:"):
                return word
    raise SystemExit("The playground did not start; its own words are above.")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2] or ["a dolphin with a party hat in a pool"]))
