"""Blurred pictures in Slack over the wire: nobody's files are sharp that are to be hidden."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from bot.core.card import Slot
from bot.homes.slack import render
from standins.base.faults import Fault, RestKind
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.test_running import (
    BEN,
    CLEO,
    IMAGINE,
    MIA,
    actions_of,
    ask,
    ended,
    has_pictures,
    is_kept,
    says,
    seen,
)

Message = dict[str, Any]
SPOILED = "a fox --seed 5 --count 1 --spoiler"


def is_blurred(slack: LoopbackSlack, message: Message) -> bool:
    """Whether its pictures have no edges: in the fake's noise no pixel is like the next."""
    found = set()
    for file_id in render.files_of(message).values():
        with Image.open(io.BytesIO(slack.file_bytes(file_id))) as opened:
            picture = opened.convert("L")
        beside = ImageChops.difference(picture, ImageChops.offset(picture, 1, 0))
        found.add(ImageStat.Stat(beside).mean[0] < 4)
    (one,) = found
    return one


async def changed(slack: LoopbackSlack, before: Message) -> Message:
    """The card, once it shows other pictures than before."""

    def is_changed(message: Message) -> bool:
        there = render.files_of(message)
        return bool(there) and there != render.files_of(before)

    return await seen(slack, is_changed)


async def test_a_spoiler_is_blurred_for_all_and_sharp_for_who_looks(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack, SPOILED)
        shown = await seen(slack, has_pictures)
        assert is_blurred(slack, shown)
        assert "v1:unblur" in actions_of(shown)
        await slack.press(shown, "v1:open:0", user=CLEO)
        alone = await seen(slack, lambda m: has_pictures(m) and "viewer" in m, viewer=CLEO)
        assert not is_blurred(slack, alone)
        assert slack.history(IMAGINE, viewer=BEN) == [shown]


async def test_blur_and_unblur_change_the_card_and_leave_no_file_behind(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        sharp = await seen(slack, has_pictures)
        await ended(bot)
        await slack.press(sharp, "v1:blur", user=BEN)
        blurred = await changed(slack, sharp)
        assert is_blurred(slack, blurred)
        gone = render.files_of(sharp).values()
        await slack.until(lambda: not any(is_kept(slack, one) for one in gone))
        await slack.press(blurred, "v1:unblur", user=BEN)
        again = await changed(slack, blurred)
        assert not is_blurred(slack, again)
        gone = render.files_of(blurred).values()
        await slack.until(lambda: not any(is_kept(slack, one) for one in gone))
        assert len(slack.history(IMAGINE, viewer=BEN)) == 1


async def test_what_a_moderator_blurred_only_a_moderator_unblurs(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        sharp = await seen(slack, has_pictures)
        await ended(bot)
        await slack.press(sharp, "v1:blur", user=CLEO)
        await seen(slack, says("Only the one who asked"), viewer=CLEO)
        await slack.press(sharp, "v1:blur", user=MIA)
        blurred = await changed(slack, sharp)
        assert is_blurred(slack, blurred)
        await slack.press(blurred, "v1:unblur", user=BEN)
        await seen(slack, says("only a moderator can unblur"), viewer=BEN)
        await slack.press(blurred, "v1:unblur", user=MIA)
        assert not is_blurred(slack, await changed(slack, blurred))


async def test_what_is_lost_is_hidden_all_the_same(
    slack: LoopbackSlack, run_slack: RunBot, tmp_path: Path
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        sharp = await seen(slack, has_pictures)
        await ended(bot)
        (picture, *_) = (tmp_path / "data").rglob("*_0.png")
        shutil.rmtree(picture.parent)
        await slack.press(sharp, "v1:blur", user=BEN)
        hidden = await changed(slack, sharp)
        assert is_blurred(slack, hidden)
        await slack.press(hidden, "v1:unblur", user=BEN)
        await seen(slack, says("no longer keeps these pictures"), viewer=BEN)
        assert is_blurred(slack, await seen(slack, has_pictures))


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
@pytest.mark.parametrize("method", ["chat.update", "files.completeUploadExternal"])
async def test_blurred_pictures_are_there_once_whatever_a_call_comes_to(
    slack: LoopbackSlack, run_slack: RunBot, method: str, kind: RestKind
) -> None:
    slack.faults.add(Fault(kind=kind, route=f"/{method}"))
    async with run_slack() as bot:
        await ask(slack, SPOILED)
        shown = await seen(slack, has_pictures)
        assert is_blurred(slack, shown)
        await ended(bot)
        await ask(slack, "jobs")
        await seen(slack, says("delivered"), viewer=BEN)
    assert len(list(filter(has_pictures, slack.history(IMAGINE, viewer=BEN)))) == 1


@pytest.mark.parametrize("spoiler", [True, False])
def test_a_card_read_back_shows_a_picture_only_as_it_is_to_be(spoiler: bool) -> None:
    shown = render.name_of(Slot("j_0.png", "", None, spoiler))
    assert render.name_in(shown, blurred=spoiler) == "j_0.png"
    assert render.name_in(shown, blurred=not spoiler) != "j_0.png"
