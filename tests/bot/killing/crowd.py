"""People who ask and press while the bot is killed, and what they saw."""

import asyncio
import math
import random
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from bot.core.card import FAILURE_MARK, is_preview
from standins.base.events import ChannelEvent
from standins.discord.components import files_of, pressable, text_of
from standins.discord.errors import CommandRefused, InteractionFailed
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord

Message = dict[str, Any]

_JOB = re.compile(r"\bjob ([a-z2-7]{8})\b")
_DELETED: Final = "🗑️ Deleted by"
_DRAWN_AT_ONCE: Final = 4
_EVERY_S: Final = 0.07
_SHARE_OF_PRESSES: Final = 0.5
_SHARE_OF_TWINS: Final = 0.25
_SHARE_OF_DRAFTS: Final = 0.15
_TWINS_WITHIN_S: Final = 0.01
_LATEST: Final = 20
_THINKING_S: Final = 0.3  # with a dialog open, which may be sent to the next process
# How many pictures come of a press, of so many that are there.
_MAKE: Final[dict[str, Callable[[int], int]]] = {
    "reroll": lambda there: there,
    "upscale": lambda _: 1,
    "subtle": lambda _: _DRAWN_AT_ONCE,
    "strong": lambda _: _DRAWN_AT_ONCE,
    "publish": lambda there: there,
}
_DIALOG: Final = "edit"  # opens one: a job comes of what is filled in there


@dataclass(frozen=True)
class Board:
    """The buttons of one kind below a message.

    viewer_id  who alone sees it; None: everybody
    pictures   how many are above
    """

    custom_ids: tuple[str, ...]
    viewer_id: int | None
    pictures: int


class Crowd:
    """People who ask and press.

    asked     commands that Discord took
    pressed   presses that Discord took
    twins     of these, two of the same button by the same person within 10 ms
    wanted    how many pictures shall come of a command or a press; others make no job
    promised  of these, those whose person saw a place in the queue, or more
    shown     on which messages that all see each job's pictures ever stood
    deleted   jobs whose card said that its pictures were deleted
    undone    of these, those whose pictures everybody saw again
    """

    def __init__(self, loopback: LoopbackDiscord, chance: random.Random) -> None:
        self._loopback = loopback
        self._chance = chance
        self._people = [one.id for one in loopback.world.people.values() if not one.bot]
        self._channels = list(loopback.world.channels)
        self.asked: list[Interaction] = []
        self.dialogs = 0  # of these, how many were asked in one
        self.pressed: list[Interaction] = []
        self.twins: list[tuple[Interaction, Interaction]] = []
        self.wanted: dict[int, int] = {}
        self.promised: set[int] = set()
        self.shown: dict[str, set[str]] = {}
        self.deleted: set[str] = set()
        self.undone: set[str] = set()
        self._boards: dict[str, dict[int, Board]] = {}  # by kind, then by message
        self._watchers: set[asyncio.Task[None]] = set()

    @property
    def wishes(self) -> list[Interaction]:
        """Commands and presses that shall make a job."""
        return [one for one in (*self.asked, *self.pressed) if one.id in self.wanted]

    async def keep_busy(self, presses: float = math.inf) -> None:
        """Ask and press whenever the bot is there, until there were so many presses in all."""
        while len(self.pressed) < presses:
            await asyncio.sleep(self._chance.expovariate(1 / _EVERY_S))
            if self._loopback.online and self._loopback.commands():
                if any(self._boards.values()) and self._chance.random() < _SHARE_OF_PRESSES:
                    await self.press()
                else:
                    await self.ask()

    async def keep_looking(self) -> None:
        async with self._loopback.subscribe() as events:
            while True:
                event = await events.get()
                if event.kind in {"message_create", "message_update"}:
                    self._look(event)

    async def ask(self) -> None:
        try:
            interaction = await self._loopback.slash(
                "imagine",
                {
                    "prompt": f"picture {len(self.asked)}",
                    "steps": self._chance.randint(1, 12),
                    "private": self._chance.random() < _SHARE_OF_DRAFTS,
                },
                user_id=self._chance.choice(self._people),
                channel_id=self._chance.choice(self._channels),
            )
        except CommandRefused:
            return
        self.asked.append(interaction)
        self._want(interaction, _DRAWN_AT_ONCE)

    async def press(self) -> None:
        """Press something, of an old card as soon as of a new one, and perhaps at once again."""
        boards = self._chance.choice([boards for boards in self._boards.values() if boards])
        message_ids = list(boards)
        if self._chance.random() < 0.5:
            message_ids = message_ids[-_LATEST:]
        message_id = self._chance.choice(message_ids)
        board = boards[message_id]
        custom_id = self._chance.choice(board.custom_ids)
        person = board.viewer_id or self._chance.choice(self._people)
        if _kind_of(custom_id) == _DIALOG:
            self._watch_over(self._edit(message_id, custom_id, person, board.pictures))
            return
        one = await self._press(message_id, custom_id, person, board.pictures)
        if self._chance.random() < _SHARE_OF_TWINS:
            await asyncio.sleep(self._chance.uniform(0, _TWINS_WITHIN_S))
            other = await self._press(message_id, custom_id, person, board.pictures)
            if one is not None and other is not None:
                self.twins.append((one, other))

    async def close(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def has_pictures(self, interaction: Interaction) -> bool:
        """Whether a wish's card shows what was wished."""
        message = interaction.original
        if message is None:
            return False
        names, of = {file["filename"] for file in files_of(message)}, job_of(message)
        is_its = all(re.fullmatch(rf"{of}_\d\.png", name) for name in names)
        return is_its and len(names) == self.wanted[interaction.id]

    async def _press(
        self, message_id: int, custom_id: str, person: int, pictures: int
    ) -> Interaction | None:
        try:
            interaction = await self._loopback.press(message_id, custom_id, user_id=person)
        except CommandRefused:  # it was there a moment ago
            return None
        self.pressed.append(interaction)
        if (kind := _kind_of(custom_id)) in _MAKE:
            self._want(interaction, _MAKE[kind](pictures))
        return interaction

    async def _edit(self, message_id: int, custom_id: str, person: int, pictures: int) -> None:
        """Open a dialog, think, and send it, to this process of the bot or to the next."""
        try:
            opening = await self._loopback.press(message_id, custom_id, user_id=person)
            dialog = await opening.dialog()
            await asyncio.sleep(self._chance.uniform(0, _THINKING_S))
            sent = await self._loopback.submit(dialog, {"prompt": f"edit {len(self.asked)}"})
        except (CommandRefused, InteractionFailed):  # the bot was away, or the card is gone
            return
        self.asked.append(sent)
        self.dialogs += 1
        self._want(sent, pictures)

    def _want(self, interaction: Interaction, pictures: int) -> None:
        self.wanted[interaction.id] = pictures
        self._watch_over(self._watch(interaction))

    def _watch_over(self, work: Coroutine[Any, Any, None]) -> None:
        watcher = asyncio.create_task(work)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _watch(self, interaction: Interaction) -> None:
        try:
            await interaction.until(lambda message: bool(text_of(message)))
        except InteractionFailed:
            return
        if not interaction.followups:  # a refusal is one
            self.promised.add(interaction.id)

    def _look(self, event: ChannelEvent) -> None:
        message = event.message
        files = [file for file in files_of(message) if not is_preview(file["filename"])]
        for boards in self._boards.values():
            boards.pop(int(message["id"]), None)
        custom_ids: dict[str, list[str]] = {}
        for item in pressable(message):
            kind = _kind_of(item["custom_id"])
            if not item.get("disabled"):
                custom_ids.setdefault(kind, []).append(item["custom_id"])
        for kind, ids in custom_ids.items():
            board = Board(tuple(ids), event.viewer_id, len(files))
            self._boards.setdefault(kind, {})[int(message["id"])] = board
        if event.viewer_id is None:
            job_ids = {file["filename"].split("_")[0] for file in files}
            for job_id in job_ids:
                self.shown.setdefault(job_id, set()).add(message["id"])
            self.undone |= job_ids & self.deleted
            if is_deleted(message):
                self.deleted.add(job_of(message))


def job_of(message: Message) -> str:
    """Whose card it is; empty where it does not say."""
    found = _JOB.search(text_of(message))
    return "" if found is None else found[1]


def is_deleted(message: Message) -> bool:
    return text_of(message).startswith(_DELETED) and not files_of(message)


def is_reason(message: Message) -> bool:
    return text_of(message).startswith(FAILURE_MARK) and not files_of(message)


def is_answered(interaction: Interaction) -> bool:
    """Whether the one who did it saw anything of it: a change, a message, a refusal."""
    return interaction.state == "answered" or bool(interaction.followups)


def _kind_of(custom_id: str) -> str:
    return custom_id.split(":")[1]
