"""The one message that shows a case to moderators, in the channel that is their desk."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.core.card import Slot
from bot.core.case import AtDesk, Case, DeskAct
from bot.core.desk_card import DeskCard, desk_card
from bot.core.ports.gallery import Picture
from bot.errors import AwayError, BotError, UndeliveredError
from bot.homes.slack import render
from bot.homes.slack.buttons import desk_action
from bot.homes.slack.calls import MESSAGE_GONE, Calls, code_of, named, translated
from bot.homes.slack.pictures import blurred
from bot.homes.slack.places import Place
from bot.homes.slack.posted import Posted, metadata
from bot.homes.slack.uploads import Uploads, delete_file
from bot.homes.slack.voice import Voice
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_STYLES: Final[Mapping[DeskAct, str]] = {
    "approve": "primary",
    "delete": "danger",
    "block": "danger",
}


class DeskMessages:
    """Shows cases, each once."""

    def __init__(self, calls: Calls, posted: Posted) -> None:
        self._calls = calls
        self._posted = posted
        # By case, until it is shown: Slack is busy with a file for a while after it has taken it.
        self._uploads: dict[str, Uploads] = {}

    async def show(self, one: AtDesk, pictures: Sequence[Picture], voice: Voice) -> str:
        """See `Home.show_case`."""
        try:
            message = await self._shown(one, pictures, voice)
        except AwayError:
            raise
        except BotError:
            self._uploads.pop(one.case.id, None)
            raise
        except Exception as error:
            if code_of(error) is None:
                raise translated(error) from error
            self._uploads.pop(one.case.id, None)
            raise UndeliveredError(f"The desk cannot be written to: {named(error)}.") from error
        self._uploads.pop(one.case.id, None)
        return message

    async def _shown(self, one: AtDesk, pictures: Sequence[Picture], voice: Voice) -> str:
        case = one.case
        if case.message is not None:
            channel, _, ts = case.message.partition("/")
            found = await self._read(channel, ts)
        elif one.desk is not None:
            channel, found = one.desk, await self._find(one.desk, case)
            ts = str(found.get("ts") or "")
        else:
            raise UndeliveredError("Its community has no desk. Name one with /imagine-admin desk.")
        shown = desk_card(one, pictures)
        there = render.files_of(found)
        uploads = self._uploads.setdefault(case.id, Uploads(self._calls))
        uploads.know(there)
        files = await _files(uploads, shown.pictures, voice)
        said = {
            "text": voice.plain(shown.title),
            "blocks": case_blocks(shown, case, files, voice),
            "metadata": metadata("case", case.id),
        }
        if ts:
            try:
                await uploads.show("chat.update", channel, {**said, "ts": ts})
            except Exception as error:
                is_undecided = case.state == "open" and case.kind != "refused"
                if code_of(error) not in MESSAGE_GONE or not is_undecided:
                    raise
                ts = ""  # deleted undecided: another has to show it
        if not ts:
            ts = str((await uploads.show("chat.postMessage", channel, said))["ts"])
        for name, file_id in there.items():
            if name not in files:
                await delete_file(self._calls, file_id)
        return f"{channel}/{ts}"

    async def _read(self, channel: str, ts: str) -> Mapping[str, Any]:
        """The message as it stands; empty: it is there no more."""
        found = await self._calls.make(
            "conversations.history", channel, oldest=ts, latest=ts, inclusive=True, limit=1
        )
        return next((one for one in found.get("messages") or () if one.get("ts") == ts), {})

    async def _find(self, channel: str, case: Case) -> Mapping[str, Any]:
        """What shows a case where the answer may have been lost; empty: nothing."""
        found = await self._posted.find(Place(channel), "case", case.id, case.at_s)
        return found or {}


async def _files(uploads: Uploads, slots: Sequence[Slot], voice: Voice) -> dict[str, str]:
    """The ids of pictures, all of them blurred, by their names."""
    return {
        name: await uploads.id_of(
            name, await blurred(one.data or b""), render.file_alt_text(one, voice)
        )
        for one in slots
        for name in [render.name_of(one)]
    }


def case_blocks(
    shown: DeskCard, case: Case, files: Mapping[str, str], voice: Voice
) -> list[render.Block]:
    """A case, whose pictures' files Slack has."""
    head = "\n".join([f"*{voice.say(shown.title)}*", *map(voice.say, shown.facts)])
    blocks = [render.section(head)]
    if shown.prompt:
        blocks.append(render.preformatted(shown.prompt))
    if shown.notes:
        blocks.append(render.section("\n".join(map(voice.say, shown.notes))))
    blocks += [render.picture(one, files[render.name_of(one)], voice) for one in shown.pictures]
    buttons = [
        render.button(voice.plain(one.label), desk_action(one.act), case.id, _STYLES.get(one.act))
        for one in shown.buttons
    ]
    blocks.append({"type": "actions", "elements": buttons})
    blocks.append(render.context(voice.say(say("case {case}", case=case.id))))
    return blocks
