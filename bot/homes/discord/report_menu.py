"""Report, in the menu of a message: pictures that somebody finds should not be there."""

from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.core.desk_card import READ_BY
from bot.core.moderators import Moderators
from bot.core.studio import Studio
from bot.errors import UnknownJobError
from bot.homes.discord import dialogs
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.dialogs import Filled
from bot.homes.discord.intake import viewer_of
from bot.homes.discord.picture_menus import shown_by
from bot.homes.discord.places import BY_SERVERS, IN_SERVERS
from bot.homes.discord.voice import voice_of
from sdxl_engine.sentence import say

REPORT: Final = say("Report")
_NOT_OURS: Final = say(
    "The bot drew no pictures in this message. Tell a moderator of it in another way."
)


class ReportMenu:
    """Asks why, and tells moderators."""

    def __init__(self, studio: Studio, moderators: Moderators) -> None:
        self._studio = studio
        self._moderators = moderators

    def build(self) -> app_commands.ContextMenu:
        """The entry as Discord shall offer it."""

        async def report(interaction: Interaction, message: discord.Message) -> None:
            await self._open(interaction, message)

        return app_commands.ContextMenu(
            name=locale_str(REPORT),
            callback=report,
            allowed_contexts=IN_SERVERS,
            allowed_installs=BY_SERVERS,
        )

    async def sent(self, interaction: Interaction, filled: Filled) -> None:
        """Somebody said why; raises BotError for them, and what Discord says of the answer."""
        await acknowledge_press(interaction, unseen=True)
        await self._moderators.report(filled.about, viewer_of(interaction), filled.reason)
        await answer(interaction, say("Reported. A moderator looks at it."))

    async def _open(self, interaction: Interaction, message: discord.Message) -> None:
        found = await shown_by(self._studio, interaction, message)
        if found is None:
            raise UnknownJobError(_NOT_OURS)
        record, _ = found
        voice = voice_of(interaction)
        fields: list[Any] = [dialogs.reason_field(voice, READ_BY["report"])]
        title = voice.say(say("Report these pictures"))
        await dialogs.show(interaction, dialogs.dialog("report", record.job.id, title, fields))
