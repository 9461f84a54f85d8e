"""/privacy: what is kept of somebody, to be looked at, taken away, erased; for their eyes alone."""

import asyncio
import io
from collections.abc import Sequence
from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.core.privacy import (
    ERASE_ALL,
    KEEP_ALL,
    NOT_ERASED,
    REALLY,
    Privacy,
    erased_sentences,
    kept_sentences,
)
from bot.homes.cards.privacy_archives import Packed, packed
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction, Press, PressButton, row
from bot.homes.discord.intake import person_of
from bot.homes.discord.voice import Voice, voice_of
from bot.shared.archive import Archives
from sdxl_engine.sentence import say

# What one message takes with all its files; the text is in it, too.
_MESSAGE_BYTES: Final = 25 * 2**20 - 64 * 2**10
_MESSAGE_FILES: Final = 10
_AT_ONCE: Final = 2  # each may have 25 MiB in memory


class PrivacyCommand:
    """Answers with what is kept, as words or as files, and erases it."""

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy
        self._places = asyncio.Semaphore(_AT_ONCE)

    def build(self) -> app_commands.Group:
        """The command as Discord shall offer it."""
        group = app_commands.Group(
            name="privacy", description=locale_str(say("What the bot keeps of you"))
        )

        @group.command(name="show", description=locale_str(say("How much is kept, and how long")))
        async def show(interaction: Interaction) -> None:
            await acknowledge_press(interaction, unseen=True)
            await _answer(interaction, await self._shown(interaction))

        @group.command(name="export", description=locale_str(say("All of it, as ZIP files")))
        async def export(interaction: Interaction) -> None:
            await acknowledge_press(interaction, unseen=True)
            async with self._places:
                await self._export(interaction)

        @group.command(name="erase", description=locale_str(say("Delete all of it, everywhere")))
        async def erase(interaction: Interaction) -> None:
            await acknowledge_press(interaction, unseen=True)
            voice = voice_of(interaction)
            lines = [*await self._shown(interaction), REALLY]
            buttons = row(
                (
                    PressButton(
                        Press("erase", "mine"), voice.say(ERASE_ALL), discord.ButtonStyle.danger
                    ),
                    PressButton(Press("keep", "mine"), voice.say(KEEP_ALL)),
                )
            )
            await _answer(interaction, lines, view=buttons)

        return group

    async def press(self, interaction: Interaction, press: Press) -> None:
        """Somebody decided; what is erased is theirs, wherever the button came from.

        Raises BotError for the one who did, and what Discord says of the answer.
        """
        await acknowledge_press(interaction, unseen=False)
        if press.kind == "keep":
            await _answer(interaction, [NOT_ERASED], view=None)
            return
        emptied = await self._privacy.erase(person_of(interaction))
        await _answer(interaction, erased_sentences(emptied, self._privacy.keep_days), view=None)

    async def _shown(self, interaction: Interaction) -> list[str]:
        kept = await self._privacy.kept(person_of(interaction))
        return kept_sentences(kept, self._privacy.keep_days)

    async def _export(self, interaction: Interaction) -> None:
        person, voice = person_of(interaction), voice_of(interaction)
        archives = Archives(
            file_bytes=interaction.filesize_limit,
            total_bytes=_MESSAGE_BYTES,
            count=_MESSAGE_FILES,
        )
        export = await packed(self._privacy, person, archives)
        await _attach(interaction, export, voice)


async def _answer(interaction: Interaction, lines: Sequence[str], **more: Any) -> None:  # noqa: ANN401 - of an edit
    text = render.cut("\n".join(map(voice_of(interaction).say, lines)), render.MAX_MESSAGE_UNITS)
    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(content=text, **more), "an answer about privacy"
    )


async def _attach(interaction: Interaction, export: Packed, voice: Voice) -> None:
    text = "\n".join(map(voice.say, export.lines))

    def attachments() -> list[discord.File]:  # a file is read once, so each try needs its own
        return [discord.File(io.BytesIO(data), name) for name, data in export.named().items()]

    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(content=text, attachments=attachments()),
        "what is kept of somebody",
        size_bytes=sum(map(len, export.files)),
    )
