"""What moderators press at their desk, and the dialogs in which they say why."""

from typing import Final

from bot.core.case import DeskAct
from bot.core.desk_card import READ_BY, done
from bot.core.moderators import Moderators
from bot.homes.discord import dialogs
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer
from bot.homes.discord.buttons import Interaction, Press
from bot.homes.discord.desk_message import PRESSES
from bot.homes.discord.dialogs import Filled
from bot.homes.discord.intake import actor_of
from bot.homes.discord.voice import voice_of
from sdxl_engine.sentence import say

_ACTS: Final[dict[str, DeskAct]] = {press: act for act, press in PRESSES.items()}
# What is done with a reason; the rest is done at once.
_TITLES: Final[dict[DeskAct, str]] = {
    "delete": say("Delete these pictures"),
    "warn": say("Warn the one who asked"),
    "block": say("Block the one who asked"),
}


class DeskPresses:
    """Does what was pressed, and says so to the one who did."""

    def __init__(self, moderators: Moderators) -> None:
        self._moderators = moderators

    async def press(self, interaction: Interaction, press: Press) -> None:
        """Somebody pressed a button of a case.

        Raises BotError for the one who did, and what Discord says of the answer.
        """
        act = _ACTS[press.kind]
        if act not in _TITLES:
            await self._decide(interaction, press.about, act, "")
            return
        await self._moderators.case(press.about, actor_of(interaction))  # else it asks in vain
        voice = voice_of(interaction)
        kind: dialogs.ReasonKind = press.kind  # type: ignore[assignment]  # those with a title
        fields = [dialogs.reason_field(voice, READ_BY[act])]
        modal = dialogs.dialog(kind, press.about, voice.say(_TITLES[act]), fields)
        await dialogs.show(interaction, modal)

    async def sent(self, interaction: Interaction, filled: Filled) -> None:
        """Somebody said why; raises as `press`."""
        await self._decide(interaction, filled.about, _ACTS[filled.kind], filled.reason)

    async def _decide(
        self, interaction: Interaction, case_id: str, act: DeskAct, reason: str
    ) -> None:
        await acknowledge_press(interaction, unseen=True)
        case = await self._moderators.decide(case_id, act, actor_of(interaction), reason)
        await answer(interaction, done(act, case))
