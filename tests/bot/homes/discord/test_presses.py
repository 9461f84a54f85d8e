"""What people press below finished pictures, through the real client over the wire."""

import asyncio
from typing import Any

import pytest

from bot.core.job import Person, State
from bot.core.policy import Viewer
from standins.base.faults import Fault
from standins.discord.components import files_of, pressable, text_of
from standins.discord.errors import CommandRefused
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, Bot, RunBot
from tests.bot.homes.discord.test_faults import (
    BY_TOKEN,
    FAULTS,
    FINAL_REFUSALS,
    TOKEN_REFUSALS,
    has_pictures,
    let_go,
    put,
)
from tests.bot.homes.discord.test_jobs_in_the_channel import (
    ADA,
    BEN,
    CLEO,
    custom_ids,
    says,
    whispered,
)
from tests.fakes import FakePipeline

Message = dict[str, Any]


async def drawn(loopback: LoopbackDiscord, prompt: str = "a fox") -> Message:
    asked = await loopback.slash("imagine", {"prompt": prompt, "seed": 5}, user_id=BEN)
    return await asked.until(has_pictures)


def id_of(message: Message, start: str) -> str:
    (found,) = [one for one in custom_ids(message) if one.startswith(f"v1:{start}:")]
    return found


def id_for(message: Message, kind: str, index: int) -> str:
    (found,) = [one for one in custom_ids(message) if one.endswith(f":{index}") and kind in one]
    return found


async def press(
    loopback: LoopbackDiscord, message: Message, custom_id: str, *, user_id: int = BEN
) -> Interaction:
    return await loopback.press(int(message["id"]), custom_id, user_id=user_id)


async def all_delivered(bot: Bot, count: int) -> None:
    while (await bot.app.ledger.counts())[State.DELIVERED] < count:
        pass


async def test_what_is_finished_can_be_pressed(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        shown = await drawn(loopback)
    (container,) = shown["components"]
    _, gallery, *rows = container["components"]
    kinds = [[one["custom_id"].split(":")[1] for one in row["components"]] for row in rows]
    assert kinds == [
        ["upscale"] * 4,
        ["strong"] * 4,
        ["reroll", "edit", "open"],
        ["recipe", "blur", "delete"],
    ]
    assert [one["media"]["url"] for one in gallery["items"]] == [
        one["url"] for one in files_of(shown)
    ]
    assert gallery["items"][2]["description"] == "Picture 3 of 4: a fox"


@pytest.mark.parametrize(
    ("kind", "index", "pictures"), [("upscale", 2, 1), ("strong", 1, 4), ("reroll", None, 4)]
)
async def test_a_press_draws_more_on_a_card_of_its_own(
    loopback: LoopbackDiscord, run_bot: RunBot, kind: str, index: int | None, pictures: int
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline) as bot:
        first = await drawn(loopback)
        custom_id = id_of(first, kind) if index is None else id_for(first, kind, index)
        pressed = await press(loopback, first, custom_id, user_id=CLEO)
        shown = await pressed.until(has_pictures)
        assert shown["id"] != first["id"]
        assert len(files_of(shown)) == pictures
        await all_delivered(bot, 2)
        jobs = await bot.app.ledger.find()
    assert jobs[0].job.person.id == str(CLEO)
    assert jobs[0].job.parent is not None
    assert (jobs[0].job.parent.job_id, jobs[0].job.parent.index) == (jobs[1].job.id, index)
    if kind == "upscale":  # what is large already has no such button
        assert not [one for one in custom_ids(shown) if "upscale" in one]
        assert files_of(shown)[0]["width"] == 2 * files_of(first)[0]["width"]


async def test_buttons_work_for_ever(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    """After a restart, and when the token is long dead."""
    async with run_bot() as bot:
        first = await drawn(loopback)
        await all_delivered(bot, 1)
    loopback.timers.clock.advance(3 * 86_400)  # type: ignore[attr-defined]
    async with run_bot() as bot:
        shown = await (await press(loopback, first, id_of(first, "reroll"))).until(has_pictures)
        await press(loopback, shown, id_of(shown, "delete"))
        deleted = await press(loopback, first, id_of(first, "delete"), user_id=ADA)
        await deleted.until(says("Deleted by a moderator."))
        assert files_of(message_of(loopback, first)) == []


def message_of(loopback: LoopbackDiscord, message: Message) -> Message:
    history = loopback.history(int(message["channel_id"]))
    return next(one for one in history if one["id"] == message["id"])


async def test_two_presses_within_moments_make_one_job(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        first = await drawn(loopback)
        custom_id = id_for(first, "upscale", 0)
        one, two = await asyncio.gather(
            press(loopback, first, custom_id), press(loopback, first, custom_id)
        )
        while not (one.followups or two.followups):  # noqa: ASYNC110 - as `whispered`
            await asyncio.sleep(0.01)
        (refusal,) = [*one.followups, *two.followups]
        assert "You asked for that a moment ago" in text_of(refusal)
        await all_delivered(bot, 2)
        assert len(await bot.app.ledger.find()) == 2


async def test_what_differs_may_be_pressed_within_moments(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        first = await drawn(loopback)
        looking = await press(loopback, first, id_of(first, "open"))
        alone = await looking.until(has_pictures)
        for message, custom_id in (
            (alone, id_for(alone, "subtle", 0)),
            (alone, id_for(alone, "strong", 0)),
            (first, id_for(first, "strong", 1)),
        ):
            await (await press(loopback, message, custom_id)).until(has_pictures)
        twice = await press(loopback, alone, id_for(alone, "subtle", 0))
        assert "You asked for that a moment ago" in text_of(await whispered(twice))
        await all_delivered(bot, 4)
        assert len(await bot.app.ledger.find()) == 4


async def test_only_the_asker_and_moderators_delete(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback, "a secret thing")
        await all_delivered(bot, 1)
        pressed = await press(loopback, shown, id_of(shown, "delete"), user_id=CLEO)
        assert "Only the one who asked" in text_of(await whispered(pressed))
        assert has_pictures(message_of(loopback, shown))
        pressed = await press(loopback, shown, id_of(shown, "delete"))
        left = await pressed.until(says("Deleted by the one who asked."))
        assert left["id"] == shown["id"]
        assert (files_of(left), pressable(left)) == ([], [])
        assert "secret" not in text_of(left)
        # The buttons of whoever still sees the old card say so.
        with pytest.raises(CommandRefused):
            await press(loopback, shown, id_of(shown, "reroll"))


async def test_one_picture_is_looked_at_alone_and_liked(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        first = await drawn(loopback)
        looking = await press(loopback, first, id_of(first, "open"), user_id=CLEO)
        shown = await looking.until(has_pictures)
        assert shown["flags"] & 64
        assert "/imagine prompt:a fox seed:5" in text_of(shown)
        assert "It is picture 1 of those that this draws." in text_of(shown)
        await press(loopback, shown, id_for(shown, "look", 2), user_id=CLEO)
        shown = await looking.until(lambda one: any("_2." in a["filename"] for a in files_of(one)))
        await press(loopback, shown, id_for(shown, "like", 2), user_id=CLEO)
        shown = await looking.until(lambda one: "v1:unlike" in str(one["components"]))
        jobs = await bot.app.ledger.find()
        cleo = Viewer(Person("discord", str(CLEO)), jobs[0].job.origin.venue)
        liked = await bot.app.studio.page(cleo, "liked", 0, size=5)
        assert [(one.record.job.id, one.index) for one in liked.pictures] == [(jobs[0].job.id, 2)]
        await press(loopback, shown, id_for(shown, "unlike", 2), user_id=CLEO)
        await looking.until(lambda one: "v1:like" in str(one["components"]))
        # From there it goes on, on a card that everybody sees.
        larger = await press(loopback, shown, id_for(shown, "upscale", 2), user_id=CLEO)
        assert not (await larger.until(has_pictures))["flags"] & 64


async def test_the_recipe_says_how_and_from_what(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        first = await drawn(loopback)
        larger = await press(loopback, first, id_for(first, "upscale", 3))
        shown = await larger.until(has_pictures)
        await all_delivered(bot, 2)
        (child, parent) = await bot.app.ledger.find()
        asked = await press(loopback, shown, id_of(shown, "recipe"), user_id=CLEO)
        recipe = await asked.until(says("/imagine prompt:a fox"))
        assert recipe["flags"] & 64
        line = f"`{child.job.id}` was made larger from picture 4 of `{parent.job.id}`"
        assert line in text_of(recipe)
        assert "2 times as large" in text_of(recipe)
        assert "not the picture it started from" in text_of(recipe)


async def test_a_card_whose_job_is_forgotten_says_so(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        first = await drawn(loopback)
        await all_delivered(bot, 1)
        (record,) = await bot.app.ledger.find()
        await bot.app.ledger.forget([record.job.id], 0)
        for kind in ("reroll", "delete"):
            pressed = await press(loopback, first, id_of(first, kind))
            assert "no longer on record" in text_of(await whispered(pressed))


@pytest.mark.parametrize("kind", ["blur", "delete"])
@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_a_press_whose_answer_goes_wrong_is_done_or_said(
    loopback: LoopbackDiscord, run_bot: RunBot, name: str, kind: str
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        fault = put(loopback, name, "PATCH", BY_TOKEN)
        pressed = await press(loopback, shown, id_of(shown, kind))
        await let_go(fault)
        if name in {*FINAL_REFUSALS, *TOKEN_REFUSALS, "unknown message"}:
            assert "Something went wrong" not in text_of(await whispered(pressed))
            pressed = await press(loopback, shown, id_of(shown, kind))  # and once more
        await pressed.until(lambda one: f"'v1:{kind}:" not in str(one["components"]))


@pytest.mark.parametrize("kind", ["blur", "reroll"])
async def test_an_old_card_that_was_edited_too_often_is_waited_for(
    loopback: LoopbackDiscord, run_bot: RunBot, kind: str
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        loopback.timers.clock.advance(2 * 3_600)  # type: ignore[attr-defined]
        too_often = {"code": 30046, "message": "?"}
        fault = Fault(
            kind="status", method="PATCH", route=BY_TOKEN, status=429, body=too_often, count=2
        )
        loopback.faults.add(fault)
        pressed = await press(loopback, shown, id_of(shown, kind))
        await fault.wait_fired()
        await pressed.until(
            has_pictures if kind == "reroll" else lambda one: "v1:unblur" in str(one["components"])
        )
