"""/imagine privacy: what is kept of somebody, to be looked at, taken away, erased."""

import asyncio
from typing import Final

from bot.core.privacy import (
    ERASE_ALL,
    KEEP_ALL,
    NOT_ERASED,
    REALLY,
    Privacy,
    erased_sentences,
    kept_sentences,
)
from bot.homes.cards.privacy_archives import packed
from bot.homes.slack import render
from bot.homes.slack.buttons import privacy_action
from bot.homes.slack.direct_files import SENT, DirectFiles
from bot.homes.slack.intake import Asked, Intake
from bot.shared.archive import Archives
from sdxl_engine.sentence import sentences

_FILE_BYTES, _ALL_BYTES, _FILES = 25 * 2**20, 50 * 2**20, 10
_AT_ONCE: Final = 2  # each may have all of that in memory
_MINE: Final = "mine"  # a button's value, which says nothing: theirs is whose who presses it


class PrivacyCommand:
    """Answers with what is kept, as words or as files, and erases it."""

    def __init__(self, privacy: Privacy, intake: Intake, files: DirectFiles) -> None:
        self._privacy = privacy
        self._intake = intake
        self._files = files
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def show(self, asked: Asked) -> None:
        """How much is kept, and how long; raises BotError."""
        await self._intake.tell(asked, "\n".join(await self._shown(asked)))

    async def export(self, asked: Asked) -> None:
        """All of it, as ZIP files; raises BotError."""
        person = await self._intake.person(asked.user)
        voice = await self._intake.voice(asked)
        async with self._places:
            archives = Archives(file_bytes=_FILE_BYTES, total_bytes=_ALL_BYTES, count=_FILES)
            export = await packed(self._privacy, person, archives)
            text = "\n".join(map(voice.say, export.lines))
            await self._files.send(asked.user, export.named(), text)
        await self._intake.answer(asked, sentences(export.lines[0], SENT))

    async def erase(self, asked: Asked) -> None:
        """Ask whether all of it shall be deleted; raises BotError."""
        voice = await self._intake.voice(asked)
        text = "\n".join([*await self._shown(asked), voice.say(REALLY)])
        buttons = [
            render.button(voice.plain(ERASE_ALL), privacy_action("erase"), _MINE, "danger"),
            render.button(voice.plain(KEEP_ALL), privacy_action("keep"), _MINE),
        ]
        blocks = [render.section(text), {"type": "actions", "elements": buttons}]
        await self._intake.tell(asked, text, blocks)

    async def press(self, asked: Asked, kind: str) -> None:
        """Somebody decided; what is erased is theirs, wherever the button came from.

        Raises BotError.
        """
        lines: list[str] = [NOT_ERASED]
        if kind == "erase":
            emptied = await self._privacy.erase(await self._intake.person(asked.user))
            lines = erased_sentences(emptied, self._privacy.keep_days)
        voice = await self._intake.voice(asked)
        await self._intake.tell(asked, "\n".join(map(voice.say, lines)), anew=False)

    async def _shown(self, asked: Asked) -> list[str]:
        kept = await self._privacy.kept(await self._intake.person(asked.user))
        voice = await self._intake.voice(asked)
        return [voice.say(one) for one in kept_sentences(kept, self._privacy.keep_days)]
