"""An answer in words, or as a file, that one person alone sees."""

import io
from collections.abc import Iterable
from typing import Any

import discord
from discord.ui import LayoutView, TextDisplay

from bot.homes.discord import render
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.voice import voice_of


async def answer(interaction: Interaction, sentence: str) -> None:
    """Say something in the place of "thinking...", in the language of the one who asked."""
    text = render.words(sentence, voice_of(interaction), render.MAX_MESSAGE_UNITS)
    await _edit(interaction, lambda: {"content": text})


async def answer_lines(interaction: Interaction, lines: Iterable[str]) -> None:
    """Say this, whose markup is markup; as many whole lines as a layout holds."""
    text = ""
    for line in lines:
        longer = f"{text}\n{line}" if text else line
        if render.units(longer) > render.MAX_LAYOUT_UNITS:
            break
        text = longer
    view = LayoutView(timeout=None)
    view.add_item(TextDisplay(text))
    await _edit(interaction, lambda: {"view": view})


async def answer_file(interaction: Interaction, sentence: str, filename: str, data: bytes) -> None:
    """Say something, with a file."""
    text = render.words(sentence, voice_of(interaction), render.MAX_MESSAGE_UNITS)

    def arguments() -> dict[str, Any]:
        return {"content": text, "attachments": [discord.File(io.BytesIO(data), filename)]}

    await _edit(interaction, arguments, len(data))


async def _edit(interaction: Interaction, arguments: Any, size_bytes: int = 0) -> None:  # noqa: ANN401 - a function of any keywords
    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(**arguments()),
        "an answer in words",
        size_bytes=size_bytes,
    )
