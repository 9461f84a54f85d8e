"""The bot's own tab in Slack: one's pictures, the queue, one's settings, for their eyes alone.

What it shows goes with it, so that it can be pressed after a restart.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bot.core import crowd_lines, look, shelf
from bot.core.card import Action, Rows, Slot
from bot.core.policy import Viewer
from bot.core.studio import OnPage, Page, Shelf, Studio
from bot.errors import NotAllowedError, PictureLostError, UnknownJobError
from bot.homes.slack import render, settings
from bot.homes.slack.calls import Calls, code_of, is_passing, named, translated
from bot.homes.slack.intake import Asked, person_of, tab_metadata
from bot.homes.slack.people import People
from bot.homes.slack.pictures import blurred, small
from bot.homes.slack.render import Block
from bot.homes.slack.uploads import PROCESSING, Uploads, delete_file
from bot.homes.slack.voice import Voice
from bot.languages.languages import Languages
from bot.shared.retry import Sleep, persist
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

ACTION: Final = re.compile(r"tab:(show|settings)(?::[a-z]+)?")
_TAB: Final = re.compile(r"(drawn|liked):([0-9]{1,4})(?::([a-z2-7]{8}):([0-9]{1,4}))?")
_A_PAGE: Final = 6
_MAX_HEADER_CHARS: Final = 150
_MAX_PROMPT_CHARS: Final = 200
_MOST_KEPT: Final = 100  # files of a person's tab, whose ids are remembered
_MOST_PEOPLE: Final = 200
_INVALID: Final = "invalid_arguments"  # what Slack says of a view, with files it does not know yet


@dataclass(frozen=True, slots=True)
class Tab:
    """What a tab shows: a page, counted from 0, or a picture that somebody chose on it."""

    shelf: Shelf = "drawn"
    number: int = 0
    picture: tuple[str, int] | None = None

    def __str__(self) -> str:
        chosen = () if self.picture is None else self.picture
        return ":".join(map(str, (self.shelf, self.number, *chosen)))


def tab_of(text: str | None) -> Tab:
    """The tab of `str(tab)`; of anything else the first there is."""
    match = _TAB.fullmatch(text or "")
    if match is None:
        return Tab()
    picture = None if match[3] is None else (match[3], int(match[4]))
    return Tab("liked" if match[1] == "liked" else "drawn", int(match[2]), picture)


class HomeTab:
    """Shows it, each time anew."""

    def __init__(
        self,
        studio: Studio,
        calls: Calls,
        people: People,
        languages: Languages,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._studio = studio
        self._calls = calls
        self._people = people
        self._languages = languages
        self._sleep = sleep
        self._files: OrderedDict[str, _Files] = OrderedDict()  # by people
        self._wishes: dict[str, object] = {}  # each person's last, until it is shown

    async def note(self, asked: Asked, blocks: Sequence[Block]) -> None:
        """Say something above what somebody looks at; raises as `show`."""
        await self.show(asked, tab_of(asked.tab), blocks)

    async def show(self, asked: Asked, tab: Tab, note: Sequence[Block] = ()) -> None:
        """Show somebody their tab; raises AwayError, UndeliveredError, LedgerError.

        note  stands first
        """
        wish = self._wishes[asked.user] = object()
        try:
            await self._show(asked, tab, note, lambda: self._wishes.get(asked.user) is wish)
        finally:
            if self._wishes.get(asked.user) is wish:
                del self._wishes[asked.user]

    async def _show(
        self, asked: Asked, tab: Tab, note: Sequence[Block], is_wanted: Callable[[], bool]
    ) -> None:
        known = await self._people.known(asked.user, asked.community)
        voice = Voice(self._languages, known.locale)
        viewer = Viewer(person_of(asked, known), asked.venue)
        page = await self._studio.page(viewer, tab.shelf, tab.number, size=_A_PAGE)
        slots: list[Slot] = []
        rows: Rows = ()
        if tab.picture is not None:
            try:
                slots, rows = await self._chosen(viewer, *tab.picture)
            except (UnknownJobError, NotAllowedError, PictureLostError):  # gone meanwhile
                tab = replace(tab, picture=None)
        if tab.picture is None:
            slots = list(filter(None, map(shelf.slot, page.pictures)))
        queue = list(crowd_lines.lines(await self._studio.crowd(viewer.person), time.time()))
        usual = await settings.shown(self._studio, viewer.person, viewer.venue, voice)
        whose = ["person", *(["community"] if known.manages and asked.community else [])]

        there = await self._files_of(asked.user)

        async def publish() -> None:
            files = await there.ids(slots, voice, is_small=tab.picture is None)
            if not is_wanted():  # they want to see something else by now
                return
            if tab.picture is None:
                blocks = [*_page(page, files, voice)]
            else:
                blocks = [render.picture(one, files[one.filename], voice) for one in slots]
                blocks += [
                    *render.rows(rows, voice),
                    _turns({say("◀ Back"): Tab(tab.shelf, tab.number)}, voice),
                ]
            view = {
                "type": "home",
                "private_metadata": tab_metadata(asked, str(tab)),
                "blocks": [*note, *blocks, *_rest(tab, queue, usual, whose, voice)],
            }
            await self._calls.make("views.publish", user_id=asked.user, view=view)

        try:
            await persist(
                publish,
                "somebody's tab",
                is_passing=lambda error: is_passing(error) or code_of(error) == _INVALID,
                backoff=PROCESSING,
                sleep=self._sleep,
            )
        except Exception as error:
            if not is_passing(error):  # somebody may have deleted what the bot uploaded
                await self._delete(there.uploads.take())
            raise translated(error) from error

    async def forget(self, job_id: str) -> None:
        """Delete in Slack what was shown here of a job, as far as this process knows it."""
        for there in list(self._files.values()):  # others come while it is done
            await self._delete(there.uploads.take(f"{job_id}_"))

    async def _files_of(self, user: str) -> "_Files":
        there = self._files.setdefault(user, _Files(Uploads(self._calls)))
        self._files.move_to_end(user)
        while len(self._files) > _MOST_PEOPLE:
            _, dropped = self._files.popitem(last=False)
            await self._delete(dropped.uploads.take())
        if len(there.uploads) > _MOST_KEPT:
            await self._delete(there.uploads.take())
        return there

    async def _delete(self, file_ids: Sequence[str]) -> None:
        """Delete in Slack what nobody will know here any more."""
        for file_id in file_ids:
            try:
                await delete_file(self._calls, file_id)
            except Exception as error:  # noqa: BLE001 - nobody sees it any more
                log.warning("a small picture could not be deleted: %s", named(error))

    async def _chosen(self, viewer: Viewer, job_id: str, index: int) -> tuple[list[Slot], Rows]:
        record = await self._studio.record(job_id, viewer)
        picture = await self._studio.picture(job_id, index, viewer)
        liked = index in await self._studio.likes(viewer.person, job_id)
        rows = look.actions(record, index, liked=liked)
        return [look.slot(record, picture)], look.without(rows, index, "publish")


@dataclass(slots=True)
class _Files:
    """What is uploaded for one person's tab, each once."""

    uploads: Uploads
    uploading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ids(self, slots: Sequence[Slot], voice: Voice, *, is_small: bool) -> dict[str, str]:
        """The ids of files that are there."""
        async with self.uploading:
            return {one.filename: await self._id(one, voice, is_small=is_small) for one in slots}

    async def _id(self, slot: Slot, voice: Voice, *, is_small: bool) -> str:
        name = (
            f"{slot.filename}.small.jpg" if is_small and not slot.spoiler else render.name_of(slot)
        )
        data = slot.data or b""
        if is_small and not self.uploads.knows(name):
            data = await (blurred(data) if slot.spoiler else small(data))
        return await self.uploads.id_of(name, data, render.file_alt_text(slot, voice))


def _page(page: Page, files: Mapping[str, str], voice: Voice) -> Iterator[Block]:
    yield _header(voice.plain(shelf.TITLES[page.shelf]))
    if (nothing := shelf.nothing(page)) is not None:
        yield render.section(voice.say(nothing))
    else:
        yield render.context(voice.say(shelf.number(page)))
    for one in page.pictures:
        yield from _on_page(one, files, voice)
    turns = {label: Tab(page.shelf, number) for label, number in shelf.turns(page).items()}
    other: Shelf = "drawn" if page.shelf == "liked" else "liked"
    turns[shelf.TITLES[other]] = Tab(other)
    yield _turns(turns, voice)


def _on_page(one: OnPage, files: Mapping[str, str], voice: Voice) -> Iterator[Block]:
    slot, job = shelf.slot(one), one.record.job
    prompt = render.cut(" ".join(render.readable(job.wish.prompt).split()), _MAX_PROMPT_CHARS)
    lost = "" if slot else f" · {voice.plain(shelf.LOST)}"
    text = {"type": "plain_text", "text": f"{prompt or job.id}{lost}", "emoji": False}
    if slot is None:
        yield {"type": "section", "text": text}
        return
    yield {
        "type": "section",
        "text": text,
        "accessory": render.thumbnail(slot, files[slot.filename], voice),
    }
    yield from render.rows(((Action("open", job.id, say("🔍 Look"), one.index),),), voice)


def _rest(
    tab: Tab, queue: Sequence[str], usual: str, whose: Sequence[str], voice: Voice
) -> Iterator[Block]:
    yield {"type": "divider"}
    yield _header(voice.plain(say("The queue")))
    refresh = render.button(voice.plain(say("🔄 Look again")), "tab:show:again", str(tab))
    yield {**render.section("\n".join(map(voice.say, queue))), "accessory": refresh}
    yield _header(voice.plain(say("Settings")))
    if usual:
        yield render.section(usual)
    labels = {"person": say("⚙️ What is usual for you"), "community": say("⚙️ In the workspace")}
    yield {
        "type": "actions",
        "elements": [
            render.button(voice.plain(labels[one]), f"tab:settings:{one}", one) for one in whose
        ],
    }


def _turns(turns: Mapping[str, Tab], voice: Voice) -> Block:
    letters = "abcdefgh"  # every id is another's
    buttons = (
        render.button(voice.plain(label), f"tab:show:{letter}", str(tab))
        for letter, (label, tab) in zip(letters, turns.items(), strict=False)
    )
    return {"type": "actions", "elements": list(buttons)}


def _header(text: str) -> Block:
    shown = render.cut(text, _MAX_HEADER_CHARS)
    return {"type": "header", "text": {"type": "plain_text", "text": shown, "emoji": True}}
