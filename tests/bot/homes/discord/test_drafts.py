"""Private drafts, what is published of them, and pictures that are blurred, over the wire."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bot.core.job import Showing, State
from standins.discord.components import files_of, pressable, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, CLEO, says, whispered
from tests.bot.homes.discord.test_presses import (
    all_delivered,
    drawn,
    id_for,
    id_of,
    message_of,
    press,
)
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]
EPHEMERAL = 64


async def draft(loopback: LoopbackDiscord, **options: object) -> Interaction:
    wished = {"prompt": "a fox", "seed": 5, "private": True, **options}
    return await loopback.slash("imagine", wished, user_id=BEN)


def blurred(message: Message) -> list[bool]:
    (container,) = message["components"]
    (gallery,) = [one for one in container["components"] if one["type"] == 12]
    return [bool(one["spoiler"]) for one in gallery["items"]]


async def test_a_draft_is_seen_by_its_asker_alone(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await (await draft(loopback)).until(has_pictures)
        assert shown["flags"] & EPHEMERAL
        assert "only you see this" in text_of(shown)
        assert {one["custom_id"].split(":")[1] for one in pressable(shown)} >= {"publish", "delete"}
        await all_delivered(bot, 1)
        # What is made of it stays as private.
        again = await (await press(loopback, shown, id_of(shown, "reroll"))).until(has_pictures)
        assert again["flags"] & EPHEMERAL
    assert loopback.history(int(shown["channel_id"])) == []


async def test_one_or_all_pictures_of_a_draft_are_published(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline) as bot:
        shown = await (await draft(loopback)).until(has_pictures)
        await all_delivered(bot, 1)
        looking = await press(loopback, shown, id_of(shown, "open"))
        alone = await looking.until(has_pictures)
        await press(loopback, alone, id_for(alone, "look", 2))
        alone = await looking.until(lambda one: any("_2." in a["filename"] for a in files_of(one)))
        published = await press(loopback, alone, id_of(alone, "publish"))
        one = await published.until(has_pictures)
        all_four = await (await press(loopback, shown, id_of(shown, "publish"))).until(has_pictures)
        for public, count in ((one, 1), (all_four, 4)):
            assert not public["flags"] & EPHEMERAL
            assert len(files_of(public)) == count
            assert "published by ben" in text_of(public)
        await all_delivered(bot, 3)
        twice = await press(loopback, shown, id_of(shown, "publish"))
        assert "published before" in text_of(await whispered(twice))
        # What is public is everybody's to go on with.
        larger = await press(loopback, one, id_for(one, "upscale", 2), user_id=CLEO)
        assert not (await larger.until(has_pictures))["flags"] & EPHEMERAL
        deleted = await press(loopback, all_four, id_of(all_four, "delete"), user_id=ADA)
        # And so is the one of them that was published alone.
        for gone in (deleted, published):
            await gone.until(says("Deleted by a moderator."))
    assert len(pipeline.pictures) == 2
    assert not has_pictures(message_of(loopback, one))


async def test_a_draft_is_published_after_a_restart_from_ones_own_pages(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """A draft's message goes with its token; /history keeps its pictures."""
    async with run_bot() as bot:
        await (await draft(loopback)).until(has_pictures)
        await all_delivered(bot, 1)
    loopback.timers.clock.advance(86_400)  # type: ignore[attr-defined]
    async with run_bot() as bot:
        asked = await loopback.slash("history", {}, user_id=BEN)
        page = await asked.until(has_pictures)
        looking = await press(
            loopback, page, next(c["custom_id"] for c in pressable(page) if ":open:" in str(c))
        )
        alone = await looking.until(has_pictures)
        public = await (await press(loopback, alone, id_of(alone, "publish"))).until(has_pictures)
        assert not public["flags"] & EPHEMERAL
        await all_delivered(bot, 2)
        assert len(await bot.app.ledger.find(states=[State.DELIVERED])) == 2


async def test_a_draft_whose_token_ends_shows_itself_to_nobody_else(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        shown = await (await draft(loopback)).until(lambda one: "step" in text_of(one))
        loopback.timers.clock.advance(16 * 60)  # type: ignore[attr-defined]
        gate.open()
        while (await bot.app.ledger.counts())[State.UNDELIVERED] < 1:
            pass
        assert loopback.history(int(shown["channel_id"])) == []
        listed = await (await loopback.slash("jobs", {}, user_id=BEN)).until(says("/jobs"))
        shown = await (await press(loopback, listed, id_of(listed, "show"))).until(has_pictures)
        assert shown["flags"] & EPHEMERAL


async def test_private_may_be_usual(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot() as bot:
        said = await loopback.slash("settings", {"private": True}, user_id=BEN)
        await said.until(says("private"))
        for options, private in (({}, True), ({"private": False}, False)):
            asked = await loopback.slash("imagine", {"prompt": "x", **options}, user_id=BEN)
            shown = await asked.until(has_pictures)
            assert bool(shown["flags"] & EPHEMERAL) is private
        asked = await loopback.slash("imagine", {"prompt": "x"}, user_id=CLEO)
        assert not (await asked.until(has_pictures))["flags"] & EPHEMERAL
        await all_delivered(bot, 3)


async def test_what_is_usual_and_cannot_be_looked_up_is_private(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_bot() as bot:
        settled, forever = bot.app.studio.settled, asyncio.Event()
        first = True

        async def slow(*args: Any) -> Any:
            nonlocal first
            if first:
                first = False
                await forever.wait()
            return await settled(*args)

        monkeypatch.setattr(bot.app.studio, "settled", slow)
        asked = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)
        assert (await asked.until(has_pictures))["flags"] & EPHEMERAL
        await all_delivered(bot, 1)
        (record,) = await bot.app.ledger.find()
        assert record.job.showing == Showing(private=True)


@pytest.mark.parametrize("restarted", [False, True])
async def test_pictures_are_blurred_and_unblurred_by_their_asker_and_moderators(
    loopback: LoopbackDiscord, run_bot: RunBot, restarted: bool
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        if not restarted:
            await _blur_and_unblur(loopback, shown)
    if restarted:
        loopback.timers.clock.advance(86_400)  # type: ignore[attr-defined]
        async with run_bot():
            await _blur_and_unblur(loopback, shown)


async def _blur_and_unblur(loopback: LoopbackDiscord, shown: Message) -> None:
    files = [one["id"] for one in files_of(shown)]
    pressed = await press(loopback, shown, id_of(shown, "blur"), user_id=CLEO)
    assert "Only the one who asked" in text_of(await whispered(pressed))
    for kind, by in (("blur", BEN), ("unblur", BEN), ("blur", ADA), ("unblur", ADA)):
        if (kind, by) == ("unblur", ADA):  # what a moderator did only a moderator takes back
            pressed = await press(loopback, shown, id_of(shown, "unblur"), user_id=BEN)
            assert "only a moderator can unblur" in text_of(await whispered(pressed))
        pressed = await press(loopback, shown, id_of(shown, kind), user_id=by)
        shown = await pressed.until(cannot(kind))
        assert blurred(shown) == [kind == "blur"] * 4
        assert [one["id"] for one in files_of(shown)] == files  # nothing is uploaded again


def cannot(kind: str) -> Callable[[Message], bool]:
    """Whether nothing of this kind is there to be pressed any more."""
    return lambda one: f"'v1:{kind}:" not in str(pressable(one))
