"""Those who keep order while the bot is killed: what they did, and what they were told of it."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from bot.core.card import FAILURE_MARK
from standins.discord.components import pressable, text_of
from standins.discord.errors import CommandRefused, InteractionFailed
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.homes.discord.desk import MAX, MIA, MOD_LOG
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, CLEO
from tests.bot.killing.crowd import WORDS, Crowd, kind_of

Message = dict[str, Any]

DESK: Final = MOD_LOG
_MODERATORS: Final = (MIA, MAX, ADA)
_REPORTERS: Final = (BEN, CLEO, MIA, MAX)
_BLOCKED: Final = (BEN, CLEO)  # by command; at the desk anybody is
_EVERY_S: Final = 0.12
_SHARE_OF_TWINS: Final = 0.2
_TWINS_WITHIN_S: Final = 0.01
_LATEST: Final = 15
_THINKING_S: Final = 0.3
_PAUSED_S: Final = 0.2
_SHARES: Final = {"press": 20, "report": 3, "remove": 1, "command": 2, "pause": 1}
# The buttons by how often they are pressed. Who is blocked asks for nothing: not for long.
_PRESSES: Final = {"approve": 6, "veil": 3, "strike": 2, "warn": 3, "block": 1, "unblock": 30}
_WITH_REASON: Final = frozenset({"strike", "warn", "block"})


@dataclass(frozen=True)
class Act:
    """Something that was sent to the bot, whose answer says whether it was done.

    kind    what was pressed or typed
    about   the case; of a report the job; of a command the person, if it names one
    reason  no other act has it, so its entry in the audit is known; empty: it has none
    """

    kind: str
    about: str
    reason: str
    sent: Interaction

    @property
    def is_answered(self) -> bool:
        """Whether whoever did it was told anything, if only that it came too late."""
        return bool(self._said) or bool(self.sent.followups) or self.sent.state == "failed"

    @property
    def is_done(self) -> bool:
        """Whether they were told that it is done."""
        return bool(self._said) and not self._said.startswith(FAILURE_MARK)

    @property
    def _said(self) -> str:
        return "" if self.sent.answer is None else text_of(self.sent.answer)


class Moderators:
    """Moderators at the desk, people who report, and a manager.

    crowd  whose cards they delete and report
    acts   all that was sent
    cards  every message at the desk as it was seen last
    """

    def __init__(self, loopback: LoopbackDiscord, chance: random.Random, crowd: Crowd) -> None:
        self._loopback = loopback
        self._chance = chance
        self._crowd = crowd
        self.acts: list[Act] = []
        self.cards: dict[int, Message] = {}
        self._reasons = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.Task[None] | None = None

    async def take_office(self) -> None:
        """Name the desk, and what the filter finds; the bot is there, and nothing fails."""
        admin: list[tuple[str, dict[str, object]]] = [("desk", {"channel": DESK})]
        admin += [
            ("filter add", {"term": word, "measure": measure, "category": "birds"})
            for word, measure in WORDS.items()
        ]
        for command, options in admin:
            sent = await self._loopback.slash(f"imagine-admin {command}", options, user_id=MAX)
            await sent.until(lambda message: bool(text_of(message)))

    async def keep_busy(self) -> None:
        """Do something whenever the bot is there."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / _EVERY_S))
            if self._loopback.online and self._loopback.commands():
                await self._do(*self._chance.choices(list(_SHARES), list(_SHARES.values())))

    async def keep_looking(self) -> None:
        """See what comes to the desk."""
        async with self._loopback.subscribe() as events:
            while True:
                event = await events.get()
                is_card = event.channel_id == DESK and event.viewer_id is None
                if is_card and event.kind in {"message_create", "message_update"}:
                    self.cards[int(event.message["id"])] = event.message

    async def end(self, acts: int) -> list[Act]:
        """Do the last of it, in peace, and take back a pause; returns what was done."""
        await self._finished()
        before = len(self.acts)
        for kind in (*["press"] * acts, "report", "remove", "pause"):
            await self._do(kind)
        await self._finished()
        return self.acts[before:]

    async def close(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _finished(self) -> None:
        while self._under_way:
            await asyncio.gather(*self._under_way)

    async def _do(self, kind: str) -> None:
        match kind:
            case "press" if self.cards:
                await self._press()
            case "report" if (card := self._crowd.card()) is not None:
                self._begin(self._report(card, self._chance.choice(_REPORTERS)))
            case "remove" if (card := self._crowd.card()) is not None:
                self._crowd.remove(card, MIA)
            case "command":
                person = self._chance.choice(_BLOCKED)
                for command in ("block", "unblock"):
                    await self._command(command, str(person), {"person": person})
            case "pause" if self._resuming is None:
                self._resuming = self._begin(self._pause())

    async def _press(self) -> None:
        """Press something at the desk, and perhaps another moderator does so at once."""
        ids = list(self.cards)
        if self._chance.random() < 0.5:
            ids = ids[-_LATEST:]
        message_id = self._chance.choice(ids)
        there = {kind_of(one["custom_id"]): one for one in pressable(self.cards[message_id])}
        kinds = list(there)
        (kind,) = self._chance.choices(kinds, [_PRESSES[one] for one in kinds])
        custom_id = str(there[kind]["custom_id"])
        for who in self._chance.sample(_MODERATORS, 2):
            if kind in _WITH_REASON:
                self._begin(self._press_and_say_why(message_id, custom_id, who))
            else:
                self._press_at_once(message_id, custom_id, who)
            if self._chance.random() > _SHARE_OF_TWINS:
                break
            await asyncio.sleep(self._chance.uniform(0, _TWINS_WITHIN_S))

    def _press_at_once(self, message_id: int, custom_id: str, who: int) -> None:
        async def press() -> None:
            try:
                sent = await self._loopback.press(message_id, custom_id, user_id=who)
            except CommandRefused:  # it was there a moment ago
                return
            self._note(kind_of(custom_id), custom_id.split(":")[2], "", sent)

        self._begin(press())

    async def _press_and_say_why(self, message_id: int, custom_id: str, who: int) -> None:
        try:
            opening = await self._loopback.press(message_id, custom_id, user_id=who)
        except CommandRefused:
            return
        await self._say_why(opening, kind_of(custom_id), custom_id.split(":")[2])

    async def _report(self, message_id: int, who: int) -> None:
        try:
            opening = await self._loopback.use_on_message(message_id, "Report", user_id=who)
        except CommandRefused:
            return
        await self._say_why(opening, "report", "")

    async def _say_why(self, opening: Interaction, kind: str, about: str) -> None:
        """Fill in a dialog, for this process of the bot or for the next."""
        try:
            dialog = await opening.dialog()
            await asyncio.sleep(self._chance.uniform(0, _THINKING_S))
            reason = self._reason()
            sent = await self._loopback.submit(dialog, {"reason": reason})
        except (CommandRefused, InteractionFailed):  # it was away, or has refused
            return
        self._note(kind, about or str(dialog.form["custom_id"]).split(":")[2], reason, sent)

    async def _pause(self) -> None:
        """Pause the bot, and have it go on a moment later, whichever process hears of that."""
        await self._command("pause", "", {})
        await asyncio.sleep(_PAUSED_S)
        resumed = None
        while resumed is None or not resumed.is_done:
            if self._loopback.online and self._loopback.commands():
                resumed = await self._command("resume", "", None)
            await asyncio.sleep(_PAUSED_S)
        self._resuming = None

    async def _command(
        self, command: str, about: str, options: dict[str, object] | None
    ) -> Act | None:
        """The manager types a command, with a reason if it takes options."""
        reason = "" if options is None else self._reason()
        given = {} if options is None else {**options, "reason": reason}
        try:
            sent = await self._loopback.slash(f"imagine-admin {command}", given, user_id=MAX)
        except CommandRefused:  # Discord does not know it at this moment
            return None
        return self._note(command, about, reason, sent)

    def _note(self, kind: str, about: str, reason: str, sent: Interaction) -> Act:
        act = Act(kind, about, reason, sent)
        self.acts.append(act)
        return act

    def _reason(self) -> str:
        self._reasons += 1
        return f"reason {self._reasons:05}"

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task
