"""The card as one of Discord's layouts: what is seen of it, from the first word to the last."""

from typing import Any

import pytest

from bot.core.card import PREVIEW_ALT_TEXT, is_preview
from bot.core.job import State
from standins.discord.components import IS_COMPONENTS_V2, MEDIA_GALLERY, files_of, text_of, walk
from standins.discord.forms import Form
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot, make_config
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import says
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]


def gallery(message: Message) -> list[Message]:
    """What is seen of its files."""
    every = [item for _, item in walk(message["components"])]
    return [item for one in every if one["type"] == MEDIA_GALLERY for item in one["items"]]


def shows_a_preview(message: Message) -> bool:
    return any(is_preview(one["filename"]) for one in files_of(message))


@pytest.mark.parametrize("spoiler", [False, True])
async def test_previews_and_pictures_are_seen_blurred_or_not(
    loopback: LoopbackDiscord, run_bot: RunBot, spoiler: bool
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        asked = await loopback.slash("imagine", {"prompt": "a fox", "spoiler": spoiler})
        first = await asked.until(says("step 0"))
        assert gallery(first) == []
        gate.let_through(1)
        previewed = await asked.until(shows_a_preview)
        (seen,) = gallery(previewed)
        assert (seen["description"], seen["spoiler"]) == (PREVIEW_ALT_TEXT, spoiler)
        gate.let_through(1)
        # What is not sent again stays seen.
        assert len(gallery(await asked.until(says("step 2")))) == 1
        gate.open()
        shown = await asked.until(has_pictures)
    assert shown["flags"] & IS_COMPONENTS_V2
    assert [one["spoiler"] for one in gallery(shown)] == [spoiler] * 4
    assert [one["description"] for one in gallery(shown)] == [
        f"Picture {n} of 4: a fox" for n in range(1, 5)
    ]
    assert {one["media"]["attachment_id"] for one in gallery(shown)} == {
        one["id"] for one in files_of(shown)
    }


def make_older(loopback: LoopbackDiscord, message: Message, *custom_ids: str) -> str:
    """Make a card what an earlier version wrote, with these buttons; returns its job's id."""
    job_id = text_of(message).rpartition("job ")[2]
    card = loopback._messages.find(int(message["id"]))
    assert card is not None
    card.json |= {"flags": 0, "components": [], "content": ""}
    buttons = [{"type": 2, "style": 2, "label": "x", "custom_id": one} for one in custom_ids]
    rows = [{"type": 1, "components": buttons}] if buttons else []
    form = Form({"content": f"```\na fox\n```\njob {job_id}", "components": rows})
    world = loopback.world
    loopback._messages.edit(card, world.first_channel, world.bot, form)
    return job_id


async def test_an_earlier_versions_card_becomes_a_layout(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """Drawn when the bot was brought up to date, its card a text."""
    gate = Gate()
    config = make_config(grace_s=0)
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=config) as bot:
        asked = await loopback.slash("imagine", {"prompt": "a fox"})
        message = await asked.until(says("step 0"))
        bot.stop.set()
        await asked.until(says("restarting"))
    make_older(loopback, message)
    async with run_bot():
        shown = await asked.until(has_pictures)
    assert (shown["id"], shown["content"]) == (message["id"], "")
    assert shown["flags"] & IS_COMPONENTS_V2
    assert len(gallery(shown)) == 4


async def test_an_earlier_versions_pictures_can_be_deleted(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await (await loopback.slash("imagine", {"prompt": "a fox"})).until(has_pictures)
        while (await bot.app.ledger.counts())[State.DELIVERED] < 1:
            pass
        custom_id = f"v1:delete:{text_of(shown).rpartition('job ')[2]}"
        make_older(loopback, shown, custom_id)
        pressed = await loopback.press(int(shown["id"]), custom_id)
        left = await pressed.until(says("Deleted by the one who asked."))
    assert (left["content"], files_of(left)) == ("", [])
