"""What moderators press at their desk, and what people report, with the dialogs for why."""

from collections.abc import Mapping
from typing import Any, Final

from bot.core.case import DeskAct
from bot.core.desk_card import READ_BY, done
from bot.core.moderators import Moderators
from bot.core.policy import Viewer
from bot.errors import UnknownJobError
from bot.homes.slack import dialogs
from bot.homes.slack.calls import Calls
from bot.homes.slack.dialogs import Filled, ReasonKind
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.posted import Posted
from sdxl_engine.sentence import say

# What is done with a reason; the rest is done at once. A dialog's title has 24 characters.
_TITLES: Final[Mapping[DeskAct, tuple[ReasonKind, str]]] = {
    "delete": ("delete", say("Delete these pictures")),
    "warn": ("warn", say("Warn the one who asked")),
    "block": ("block", say("Block the one who asked")),
}
_NOT_OURS: Final = say(
    "The bot drew no pictures in this message. Tell a moderator of it in another way."
)


class DeskPresses:
    """Does what was pressed, and says so to the one who did."""

    def __init__(
        self, moderators: Moderators, intake: Intake, calls: Calls, posted: Posted
    ) -> None:
        self._moderators = moderators
        self._intake = intake
        self._calls = calls
        self._posted = posted

    async def press(self, asked: Asked, act: DeskAct, case_id: str) -> None:
        """Somebody pressed a button of a case; raises BotError, and what a call raises."""
        if act not in _TITLES:
            await self._decide(asked, case_id, act, "")
            return
        await self._moderators.case(
            case_id, await self._intake.actor(asked)
        )  # else it asks in vain
        kind, title = _TITLES[act]
        await self._ask_why(asked, kind, case_id, title)

    async def report(self, asked: Asked, message: Mapping[str, Any]) -> None:
        """Somebody wants to report a message; raises as `press`."""
        if (job_id := self._posted.job_in(message)) is None:
            raise UnknownJobError(_NOT_OURS)
        await self._ask_why(asked, "report", job_id, say("Report these pictures"))

    async def sent(self, asked: Asked, filled: Filled) -> None:
        """Somebody said why; raises as `press`."""
        if filled.kind == "report":
            person = (await self._intake.actor(asked)).person
            await self._moderators.report(filled.about, Viewer(person, asked.venue), filled.reason)
            voice = await self._intake.voice(asked)
            await self._intake.tell(asked, voice.say(say("Reported. A moderator looks at it.")))
            return
        act: DeskAct = filled.kind  # type: ignore[assignment]  # the rest are those of above
        await self._decide(asked, filled.about, act, filled.reason)

    async def _ask_why(self, asked: Asked, kind: ReasonKind, about: str, title: str) -> None:
        voice = await self._intake.voice(asked)
        fields = [dialogs.reason_field(voice, READ_BY[kind])]
        await dialogs.show(self._calls, asked, kind, about, title, fields, voice)

    async def _decide(self, asked: Asked, case_id: str, act: DeskAct, reason: str) -> None:
        by = await self._intake.actor(asked)
        case = await self._moderators.decide(case_id, act, by, reason)
        await self._intake.tell(asked, (await self._intake.voice(asked)).say(done(act, case)))
