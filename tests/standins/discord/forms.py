"""A dialog with a field of every kind, as a bot sends it through discord.py."""

import asyncio
from typing import Any

import discord

from tests.standins.discord.client import Interaction

SIZES = ("64x64", "96x64", "64x96")
Heard = dict[str, object]


class Settings(discord.ui.Modal, title="Settings"):
    """What was submitted is in `heard`, one dictionary each time."""

    note: discord.ui.TextDisplay[Any] = discord.ui.TextDisplay("What the next picture is made of.")
    prompt: discord.ui.Label[Any] = discord.ui.Label(
        text="Prompt",
        description="What to draw",
        component=discord.ui.TextInput(
            style=discord.TextStyle.long, custom_id="prompt", max_length=100, default="a fox"
        ),
    )
    size: discord.ui.Label[Any] = discord.ui.Label(
        text="Size",
        component=discord.ui.Select(
            custom_id="size",
            placeholder="Choose a size",
            options=[discord.SelectOption(label=size) for size in SIZES],
            required=False,
        ),
    )
    mood: discord.ui.Label[Any] = discord.ui.Label(
        text="Mood",
        component=discord.ui.RadioGroup(
            custom_id="mood",
            options=[
                discord.RadioGroupOption(label="Calm", value="c", description="Few colours"),
                discord.RadioGroupOption(label="Wild", value="w", default=True),
            ],
        ),
    )
    files: discord.ui.Label[Any] = discord.ui.Label(
        text="Pictures",
        description="To start from",
        component=discord.ui.FileUpload(
            custom_id="files", required=False, min_values=0, max_values=2
        ),
    )

    def __init__(self) -> None:
        super().__init__(custom_id="settings")
        self.heard: asyncio.Queue[Heard] = asyncio.Queue()

    async def on_submit(self, interaction: Interaction, /) -> None:
        """Say it back."""
        heard: Heard = {}
        for item in self.walk_children():
            if isinstance(item, discord.ui.TextInput | discord.ui.RadioGroup):
                heard[item.custom_id] = item.value
            elif isinstance(item, discord.ui.FileUpload):
                heard[item.custom_id] = [await file.read() for file in item.values]
            elif isinstance(item, discord.ui.Select):
                heard[item.custom_id] = item.values
        self.heard.put_nowait(heard)
        await interaction.response.send_message(f"set: {heard['prompt']}")


class Choices(discord.ui.Modal, title="Choices"):
    """Boxes, people, roles and channels; its answer takes the place of what it was opened on."""

    extras: discord.ui.Label[Any] = discord.ui.Label(
        text="Extras",
        component=discord.ui.CheckboxGroup(
            custom_id="extras",
            options=[
                discord.CheckboxGroupOption(label=name, value=name, default=name == "b")
                for name in ("a", "b", "c")
            ],
            min_values=1,
            max_values=2,
        ),
    )
    private: discord.ui.Label[Any] = discord.ui.Label(
        text="Private", component=discord.ui.Checkbox(custom_id="private")
    )
    people: discord.ui.Label[Any] = discord.ui.Label(
        text="For whom",
        component=discord.ui.UserSelect(custom_id="people", max_values=2, required=False),
    )
    roles: discord.ui.Label[Any] = discord.ui.Label(
        text="Role", component=discord.ui.RoleSelect(custom_id="roles", required=False)
    )
    place: discord.ui.Label[Any] = discord.ui.Label(
        text="Where", component=discord.ui.ChannelSelect(custom_id="place", required=False)
    )

    def __init__(self) -> None:
        super().__init__(custom_id="choices")
        self.heard: asyncio.Queue[Heard] = asyncio.Queue()

    async def on_submit(self, interaction: Interaction, /) -> None:
        """Note what was chosen, and say so where it was opened."""
        heard: Heard = {}
        for item in self.walk_children():
            if isinstance(item, discord.ui.CheckboxGroup):
                heard[item.custom_id] = item.values
            elif isinstance(item, discord.ui.Checkbox):
                heard[item.custom_id] = item.value
            elif isinstance(item, discord.ui.UserSelect | discord.ui.RoleSelect):
                heard[item.custom_id] = [str(one) for one in item.values]
            elif isinstance(item, discord.ui.ChannelSelect):
                heard[item.custom_id] = [one.name for one in item.values]
        self.heard.put_nowait(heard)
        await interaction.response.edit_message(content="chosen", view=None)
