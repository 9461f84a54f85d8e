"""Ask the real bot for a picture in a Discord on this machine: no account, no network.

python examples/ask.py "a blue star" star.png
"""

import asyncio
import os
import sys
from pathlib import Path

from standins.discord import LoopbackDiscord
from standins.discord.components import files_of


async def ask(prompt: str) -> bytes:
    """Start `imagine serve`, type /imagine, return the first of its pictures."""
    discord = LoopbackDiscord()
    await discord.start()
    settings = os.environ | {
        "DISCORD_TOKEN": discord.token,
        "IMAGINE_DISCORD__API_URL": discord.api_url,
        "IMAGINE_DISCORD__GATEWAY_URL": discord.gateway_url,
        "IMAGINE_HEALTH__PORT": "0",
        "IMAGINE_STORAGE__FOLDER": "out/ask",  # not where a bot that you run keeps its records
    }
    bot = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot", "serve", env=settings)
    try:
        await asyncio.gather(discord.wait_ready(), discord.wait_commands())
        asked = await discord.slash("imagine", {"prompt": prompt})
        card = await asked.until(lambda card: ".png" in str(files_of(card)))  # not a preview
        return await discord.download(files_of(card)[0])
    finally:
        bot.terminate()
        await bot.wait()
        await discord.close()


if __name__ == "__main__":
    picture = asyncio.run(asyncio.wait_for(ask(sys.argv[1]), timeout=300))
    Path(sys.argv[2]).write_bytes(picture)
