"""People who ask and press while the bot is killed, and what they saw."""

import asyncio
import math
import random
import re
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from bot.core.card import FAILURE_MARK, is_preview
from standins.base.events import ChannelEvent
from standins.discord.components import MEDIA_GALLERY, files_of, pressable, text_of, walk
from standins.discord.errors import CommandRefused, InteractionFailed
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord

Message = dict[str, Any]

_JOB = re.compile(r"\bjob ([a-z2-7]{8})\b")
_DELETED: Final = "🗑️ "  # by whom, or as what
_IN_REVIEW: Final = "👀 "
_DRAWN_AT_ONCE: Final = 4
_EVERY_S: Final = 0.07
_SHARE_OF_PRESSES: Final = 0.5
_SHARE_OF_TWINS: Final = 0.25
_SHARE_OF_DRAFTS: Final = 0.15
_TWINS_WITHIN_S: Final = 0.01
_LATEST: Final = 20
# Of these the filter refuses one, a moderator sees one first, and moderators are told of one.
WORDS: Final = {"crow": "block", "rook": "review", "raven": "warn"}
_SHARE_OF_WORDS: Final = 0.1
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
    removed   commands and presses whose cards somebody deleted in Discord itself
    prompts   what each command asked for
    seen_s    when anybody saw anything of a job's pictures first, in seconds since 1970
    unblurred_s  and when they saw it unblurred

    desk      the channel of the moderators, who see what nobody else does
    """

    def __init__(self, loopback: LoopbackDiscord, chance: random.Random, desk: int) -> None:
        self._loopback = loopback
        self._chance = chance
        self._people = [one.id for one in loopback.world.people.values() if not one.bot]
        self._channels = [one for one in loopback.world.channels if one != desk]
        self._desk = desk
        self.asked: list[Interaction] = []
        self.dialogs = 0  # of these, how many were asked in one
        self.pressed: list[Interaction] = []
        self.twins: list[tuple[Interaction, Interaction]] = []
        self.wanted: dict[int, int] = {}
        self.promised: set[int] = set()
        self.shown: dict[str, set[str]] = {}
        self.deleted: set[str] = set()
        self.undone: set[str] = set()
        self.removed: set[int] = set()
        self.prompts: dict[int, str] = {}
        self.seen_s: dict[str, float] = {}
        self.unblurred_s: dict[str, float] = {}
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
                if event.channel_id == self._desk:
                    continue
                if event.kind in {"message_create", "message_update"}:
                    self._look(event)

    async def ask(self, person: int | None = None) -> Interaction | None:
        """Ask for something; None: Discord did not take it.

        person  who; None: anybody
        """
        prompt = f"picture {len(self.asked)}"
        if self._chance.random() < _SHARE_OF_WORDS:
            prompt = f"{prompt} of a {self._chance.choice(list(WORDS))}"
        try:
            interaction = await self._loopback.slash(
                "imagine",
                {
                    "prompt": prompt,
                    "steps": self._chance.randint(1, 12),
                    "private": self._chance.random() < _SHARE_OF_DRAFTS,
                },
                user_id=person or self._chance.choice(self._people),
                channel_id=self._chance.choice(self._channels),
            )
        except CommandRefused:
            return None
        self.asked.append(interaction)
        self.prompts[interaction.id] = prompt
        self._want(interaction, _DRAWN_AT_ONCE)
        return interaction

    async def each_asks(self) -> list[Interaction]:
        """Everybody asks once."""
        asked = [await self.ask(person) for person in self._people]
        return [one for one in asked if one is not None]

    def card(self) -> int | None:
        """A card that everybody sees; None: there is none."""
        seen = {
            message_id: None
            for boards in self._boards.values()
            for message_id, board in boards.items()
            if board.viewer_id is None
        }
        return self._chance.choice(list(seen)) if seen else None

    def remove(self, message_id: int, user_id: int) -> None:
        """Somebody who moderates deletes a card in Discord itself."""
        cards = {one.id: one.original for one in self.wishes}
        try:
            self._loopback.delete(message_id, user_id=user_id)
        except CommandRefused:
            return
        self.removed |= {
            of for of, card in cards.items() if card is not None and card["id"] == str(message_id)
        }

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
        if kind_of(custom_id) == _DIALOG:
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
        if (kind := kind_of(custom_id)) in _MAKE:
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
        every, now_s = files_of(message), time.time()
        for job_id in map(_job_of_file, every):
            self.seen_s.setdefault(job_id, now_s)
        for job_id in _unblurred(message):
            self.unblurred_s.setdefault(job_id, now_s)
        files = [file for file in every if not is_preview(file["filename"])]
        for boards in self._boards.values():
            boards.pop(int(message["id"]), None)
        custom_ids: dict[str, list[str]] = {}
        for item in pressable(message):
            kind = kind_of(item["custom_id"])
            if not item.get("disabled"):
                custom_ids.setdefault(kind, []).append(item["custom_id"])
        for kind, ids in custom_ids.items():
            board = Board(tuple(ids), event.viewer_id, len(files))
            self._boards.setdefault(kind, {})[int(message["id"])] = board
        if event.viewer_id is None:
            job_ids = set(map(_job_of_file, files))
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


def is_in_review(message: Message) -> bool:
    return text_of(message).startswith(_IN_REVIEW) and not files_of(message)


def is_reason(message: Message) -> bool:
    return text_of(message).startswith(FAILURE_MARK) and not files_of(message)


def is_answered(interaction: Interaction) -> bool:
    """Whether the one who did it saw anything of it: a change, a message, a refusal.

    Or Discord's own word that the app has not answered in time, which a slow machine may not.
    """
    return interaction.state in {"answered", "failed"} or bool(interaction.followups)


def jobs_shown(message: Message) -> set[str]:
    """The jobs of which a message shows files."""
    return set(map(_job_of_file, files_of(message)))


def kind_of(custom_id: str) -> str:
    return custom_id.split(":")[1]


def _job_of_file(file: Message) -> str:
    return str(file["filename"]).split("_")[0]


def _unblurred(message: Message) -> Iterator[str]:
    """The jobs of which a message shows something that is not blurred."""
    for _, item in walk(message["components"]):
        if item["type"] == MEDIA_GALLERY:
            for one in item["items"]:
                if not one["spoiler"]:
                    yield one["media"]["url"].rpartition("/")[2].split("_")[0]
