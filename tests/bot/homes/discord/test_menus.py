"""What the menu of a message offers, and /recipe; over the wire."""

from typing import Any

import pytest

from bot.core.job import Parent, Person
from sdxl_engine.request import CHANGING
from standins.discord.components import files_of, pressable, text_of
from standins.discord.forms import Upload
from standins.discord.interactions import Dialog
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import BEN, CLEO, says, whispered
from tests.bot.homes.discord.test_options import picture
from tests.bot.homes.discord.test_presses import all_delivered, drawn, id_of, press
from tests.fakes import FakePipeline

Message = dict[str, Any]
EPHEMERAL = 64
IMAGINE, RECIPE = "Imagine from this", "Recipe"


async def begun(loopback: LoopbackDiscord, message: Message, *, user_id: int = CLEO) -> Dialog:
    used = await loopback.use_on_message(int(message["id"]), IMAGINE, user_id=user_id)
    return await used.dialog()


def ids(dialog: Dialog) -> list[str]:
    return [part["component"]["custom_id"] for part in dialog.form["components"]]


@pytest.mark.parametrize("restarted", [False, True])
async def test_one_begins_from_a_picture_of_the_bots(
    loopback: LoopbackDiscord, run_bot: RunBot, restarted: bool
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline) as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        dialog = await begun(loopback, shown)
        if not restarted:
            await _begin_from_the_third(loopback, dialog)
            await all_delivered(bot, 2)
    if restarted:
        loopback.timers.clock.advance(86_400)  # type: ignore[attr-defined]
        async with run_bot(lambda: pipeline) as bot:
            await _begin_from_the_third(loopback, dialog)
            await all_delivered(bot, 2)
            child, parent = await bot.app.ledger.find()
        assert child.job.parent == Parent(parent.job.id, "begin", 2)
    request = pipeline.requests[1]
    assert (request.prompt, request.seed == 5) == ("a fox in snow", False)
    assert request.source is not None
    assert request.source.strength == 0.3


async def _begin_from_the_third(loopback: LoopbackDiscord, dialog: Dialog) -> None:
    assert ids(dialog) == ["prompt", "negative_prompt", "settings", "which", "manner"]
    values = {"prompt": "a fox in snow", "settings": "strength: 0.3", "which": "2"}
    sent = await loopback.submit(dialog, {**values, "manner": ["spoiler"]})
    shown = await sent.until(has_pictures)
    assert not shown["flags"] & EPHEMERAL
    assert "'spoiler': True" in str(shown["components"])


async def test_one_begins_from_a_picture_of_anybodys(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    text = Upload("notes.txt", "text/plain", b"words")
    async with run_bot(lambda: pipeline) as bot:
        said = await loopback.say("look", text, picture(), picture("b.png", (8, 8)), user_id=BEN)
        dialog = await begun(loopback, said)
        sent = await loopback.submit(
            dialog, {"prompt": "a hen", "which": "1", "manner": ["private"]}
        )
        assert (await sent.until(has_pictures))["flags"] & EPHEMERAL
        await all_delivered(bot, 1)
    (request,) = pipeline.requests
    assert request.source is not None
    assert request.source.strength == CHANGING
    (start,) = pipeline.pictures[0].values()
    assert (start.width_px, start.height_px) == (8, 8)


async def test_what_is_one_picture_needs_no_choice(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        dialog = await begun(loopback, await loopback.say("", picture(), user_id=BEN))
        assert "which" not in ids(dialog)
        await (await loopback.submit(dialog, {"prompt": "a hen"})).until(has_pictures)
        await all_delivered(bot, 1)


async def test_what_was_noted_is_known_until_a_restart_and_its_openers(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        dialog = await begun(loopback, await loopback.say("", picture(), user_id=BEN))
    async with run_bot() as bot:
        sent = await loopback.submit(dialog, {"prompt": "a hen"})
        assert "Choose it again" in text_of(await whispered(sent))
        assert await bot.app.ledger.find() == []


async def test_a_message_without_pictures_offers_nothing(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        for files in ((), (Upload("notes.txt", "text/plain", b"words"),)):
            said = await loopback.say("words", *files, user_id=BEN)
            for name in (IMAGINE, RECIPE):
                used = await loopback.use_on_message(int(said["id"]), name, user_id=CLEO)
                said_so = says("no picture in this message")
                if name == IMAGINE:  # in the place of its dialog
                    assert (await used.until(said_so))["flags"] & EPHEMERAL
                else:
                    assert said_so(await whispered(used))


async def test_the_recipe_of_a_card_comes_with_its_lineage(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        again = await (await press(loopback, shown, id_of(shown, "reroll"))).until(has_pictures)
        await all_delivered(bot, 2)
        child, parent = await bot.app.ledger.find()
        used = await loopback.use_on_message(int(again["id"]), RECIPE, user_id=CLEO)
        recipe = await used.until(says("/imagine prompt:a fox"))
        assert recipe["flags"] & EPHEMERAL
        assert f"`{child.job.id}` was drawn again from `{parent.job.id}`" in text_of(recipe)
        asked = await loopback.slash("recipe", {"job": f" {parent.job.id.upper()} "}, user_id=CLEO)
        await asked.until(says("/imagine prompt:a fox seed:5"))


async def test_the_recipe_of_a_file_is_read_from_it(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """Of a picture of this bot, too, of which it no longer knows."""
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        (record,) = await bot.app.ledger.find()
        data = await loopback.download(files_of(shown)[1])
        await bot.app.ledger.forget([record.job.id], 0)
        ours = Upload("saved.png", "image/png", data)
        said = await loopback.say("whose is this?", picture(), ours, user_id=BEN)
        used = await loopback.use_on_message(int(said["id"]), RECIPE, user_id=CLEO)
        recipe = text_of(await used.until(says("Drawn by")))
        assert "/imagine prompt:a fox seed:5" in recipe
        asked = await loopback.slash("recipe", {"image": ours}, user_id=CLEO)
        assert text_of(await asked.until(says("Drawn by"))) == recipe


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "Send a picture along"),
        ({"job": "aaaaaaaa"}, "no longer on record"),
        ({"job": "x" * 900}, "no longer on record"),
        ({"image": picture()}, "nothing"),
        ({"image": Upload("a.png", "image/png", b"none")}, "picture"),
        ({"image": Upload("a.txt", "text/plain", b"words")}, "picture"),
    ],
)
async def test_what_has_no_recipe_is_said(
    loopback: LoopbackDiscord, run_bot: RunBot, options: dict[str, object], sentence: str
) -> None:
    async with run_bot():
        asked = await loopback.slash("recipe", options, user_id=CLEO)
        assert sentence in text_of(await whispered(asked))


async def test_a_draft_has_no_recipe_for_others(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot() as bot:
        asked = await loopback.slash("imagine", {"prompt": "x", "private": True}, user_id=BEN)
        shown = await asked.until(has_pictures)
        assert pressable(shown)
        await all_delivered(bot, 1)
        mine = await bot.app.ledger.find(person=Person("discord", str(BEN)))
        asked = await loopback.slash("recipe", {"job": mine[0].job.id}, user_id=CLEO)
        assert "a draft" in text_of(await whispered(asked))
