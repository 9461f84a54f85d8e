"""A card of Components V2 as a bot sends it through discord.py."""

import io

import discord
from PIL import Image

from tests.standins.discord.client import Interaction


class Card(discord.ui.LayoutView):
    """A container as the bot's card has it: text, four pictures, a row, and a section below."""

    def __init__(self, names: list[str], *, blurred: bool = False) -> None:
        super().__init__(timeout=None)
        pictures = [
            discord.MediaGalleryItem(
                f"attachment://{name}", description=f"a fox ({name})", spoiler=blurred
            )
            for name in names
        ]
        again = self.button("again")
        self.add_item(
            discord.ui.Container(
                discord.ui.TextDisplay("# a fox"),
                discord.ui.MediaGallery(*pictures),
                discord.ui.Separator(spacing=discord.SeparatorSpacing.large),
                discord.ui.ActionRow(again, self.button("vary")),
                accent_colour=0x5865F2,
            )
        )
        self.add_item(discord.ui.Section("its recipe", accessory=self.button("recipe")))

    @staticmethod
    def button(name: str) -> "discord.ui.Button[Card]":
        button: discord.ui.Button[Card] = discord.ui.Button(label=name, custom_id=name)

        async def pressed(interaction: Interaction) -> None:
            await interaction.response.send_message(f"{name} it is", ephemeral=True)

        button.callback = pressed  # type: ignore[method-assign]  # how discord.py lets one be set
        return button


def files(*names: str) -> list[discord.File]:
    return [discord.File(io.BytesIO(png()), name) for name in names]


def png(size_px: tuple[int, int] = (6, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size_px).save(buffer, "PNG")
    return buffer.getvalue()
