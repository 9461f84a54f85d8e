"""A small real bot behind the page: discord.py over the loopback, its pace in the test's hands."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import discord
from discord import app_commands
from PIL import Image

from standins.base.timers import ManualClock
from standins.discord.loopback import LoopbackDiscord
from standins.discord.page_server import add_page
from standins.discord.world import World
from tests.standins.discord.client import online, pointed_at

COLOURS = ("#c0392b", "#2e6db4", "#2f855a", "#d69e2e")
SIZE_PX = 64

Interaction = discord.Interaction[Any]


class Again(discord.ui.View):
    """Two buttons: one edits its message, one is never answered."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Again", style=discord.ButtonStyle.primary, custom_id="again")
    async def again(self, interaction: Interaction, _button: "discord.ui.Button[Again]") -> None:
        await interaction.response.edit_message(content=f"again, {interaction.user.display_name}")

    @discord.ui.button(label="Ignored", custom_id="ignored")
    async def ignored(self, _interaction: Interaction, _button: "discord.ui.Button[Again]") -> None:
        """Let the three seconds pass."""


class PageBot(discord.Client):
    """Commands that show every kind of answer.

    may_draw, may_finish  /imagine waits for them after deferring and after its first progress
    previews              whether its first progress shows a picture
    voices                what may stand in /say's option of that name
    silent_about_voices   never say so
    heard                 what was typed, as text and as voice, when they were asked for
    refusals              what Discord said of those that it did not take
    """

    def __init__(self) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
        )
        self.may_draw = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.previews = False
        self.voices = [app_commands.Choice(name=name, value=name[0]) for name in ("alto", "bass")]
        self.silent_about_voices = False
        self.heard: asyncio.Queue[tuple[str | None, str]] = asyncio.Queue()
        self.refusals: asyncio.Queue[discord.HTTPException] = asyncio.Queue()
        self.may_draw.set()
        self.may_finish.set()
        self.tree = app_commands.CommandTree(self)
        self.tree.command(description="Draw four pictures")(self.imagine)
        say = self.tree.command(description="Repeat a text")(self.say)
        say.autocomplete("voice")(self.offer_voices)
        self.tree.command(description="Never answer")(self.silent)
        queue = app_commands.Group(name="queue", description="What waits")
        queue.command(description="Show what waits")(self.show)
        self.tree.add_command(queue)

    async def setup_hook(self) -> None:
        await self.tree.sync()

    @app_commands.choices(
        size=[app_commands.Choice(name=size, value=size) for size in ("64x64", "96x64", "64x96")]
    )
    async def imagine(
        self,
        interaction: Interaction,
        prompt: app_commands.Range[str, 1, 1000],
        size: str | None = None,
        steps: app_commands.Range[int, 1, 50] | None = None,
        guidance: app_commands.Range[float, 0.0, 20.0] | None = None,
        seed: app_commands.Range[int, 0, 4294967295] | None = None,
    ) -> None:
        await interaction.response.defer(thinking=True)
        settings = f"size={size} steps={steps} guidance={guidance} seed={seed}"
        card = f"```\n{prompt.replace('`', '')}\n```\n{settings}"
        await self.may_draw.wait()
        preview = [discord.File(_png("#777777"), "preview.png")] if self.previews else []
        await interaction.edit_original_response(
            content=f"{card}\n`█░░░` step 5 of 20", attachments=preview
        )
        await self.may_finish.wait()
        files = [
            discord.File(_png(colour), f"job_{n}.png", description=f"{prompt} (picture {n + 1})")
            for n, colour in enumerate(COLOURS)
        ]
        await interaction.edit_original_response(content=card, attachments=files)

    async def offer_voices(
        self, interaction: Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        self.heard.put_nowait((interaction.namespace.text, current))
        if self.silent_about_voices:
            await asyncio.Event().wait()
        choices = [one for one in self.voices if one.name.startswith(current)]
        try:
            await interaction.response.autocomplete(choices)
        except discord.HTTPException as error:
            self.refusals.put_nowait(error)
            raise
        return choices

    async def say(
        self,
        interaction: Interaction,
        text: str,
        private: bool = False,
        voice: str | None = None,
    ) -> None:
        said = text if voice is None else f"{text} ({voice})"
        await interaction.response.send_message(said, ephemeral=private, view=Again())

    async def show(
        self, interaction: Interaction, of: discord.User | None = None, limit: int = 5
    ) -> None:
        await interaction.response.send_message(f"nothing of {of and of.name}, limit {limit}")

    @app_commands.default_permissions(administrator=True)
    async def silent(self, interaction: Interaction) -> None:
        """Let the three seconds pass."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Everything behind one page."""

    loopback: LoopbackDiscord
    bot: PageBot
    clock: ManualClock


@asynccontextmanager
async def running_channel(port: int = 0, world: World | None = None) -> AsyncIterator[Channel]:
    """A loopback with the page, and the bot online in it.

    The clock stands still, so no deadline passes on a slow machine unless a test moves it.
    """
    clock = ManualClock()
    loopback = LoopbackDiscord(clock=clock, rate_limits=False, world=world)
    add_page(loopback)
    await loopback.start(port=port)
    bot = PageBot()
    try:
        with pointed_at(loopback):
            async with online(bot, loopback):
                yield Channel(loopback, bot, clock)
    finally:
        await loopback.close()


def _png(colour: str) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.new("RGB", (SIZE_PX, SIZE_PX), colour).save(buffer, "PNG")
    buffer.seek(0)
    return buffer
