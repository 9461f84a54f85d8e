"""Edit: a dialog below pictures, prefilled, whose answer draws once more; over the wire."""

from typing import Any

import pytest

from bot.core.job import Parent, State
from standins.base.faults import Fault
from standins.discord.components import files_of, text_of
from standins.discord.forms import Upload
from standins.discord.interactions import Dialog
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.matrix import CALLBACK
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import BEN, CLEO, says, whispered
from tests.bot.homes.discord.test_options import picture
from tests.bot.homes.discord.test_presses import all_delivered, drawn, id_of, press
from tests.fakes import FakePipeline

Message = dict[str, Any]


async def opened(loopback: LoopbackDiscord, message: Message, *, user_id: int = BEN) -> Dialog:
    pressed = await press(loopback, message, id_of(message, "edit"), user_id=user_id)
    return await pressed.dialog()


def prefilled(dialog: Dialog) -> dict[str, str]:
    fields = [part["component"] for part in dialog.form["components"]]
    return {one["custom_id"]: one.get("value", "") for one in fields}


async def test_the_dialog_holds_what_was_drawn(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot() as bot:
        wished = {"prompt": "a fox", "negative_prompt": "dogs", "seed": 5, "guidance": 4.5}
        asked = await loopback.slash("imagine", wished, user_id=BEN)
        shown = await asked.until(has_pictures)
        await all_delivered(bot, 1)
        values = prefilled(await opened(loopback, shown))
    assert values["prompt"] == "a fox"
    assert values["negative_prompt"] == "dogs"
    lines = values["settings"].splitlines()
    assert {"seed: 5", "guidance: 4.5", "count: 4", "size: 64x64"} <= set(lines)
    assert (values["picture"], values["mask"]) == ("", "")


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_is_sent_draws_with_what_was_changed(
    loopback: LoopbackDiscord, run_bot: RunBot, restarted: bool
) -> None:
    """Also where the dialog was opened before a restart, and more than a quarter of an hour ago."""
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline) as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        dialog = await opened(loopback, shown, user_id=CLEO)
        if not restarted:
            await _send_changed(loopback, dialog, shown)
    if restarted:
        loopback.timers.clock.advance(3_600)  # type: ignore[attr-defined]
        async with run_bot(lambda: pipeline):
            await _send_changed(loopback, dialog, shown)
    first, second = pipeline.requests
    assert (second.prompt, second.seed, second.num_inference_steps) == ("a red fox", 5, 7)
    assert second.negative_prompt == first.negative_prompt


async def _send_changed(loopback: LoopbackDiscord, dialog: Dialog, shown: Message) -> None:
    settings = prefilled(dialog)["settings"].replace("steps: 4", "steps: 7")
    sent = await loopback.submit(dialog, {"prompt": "a red fox", "settings": settings})
    drawn_anew = await sent.until(has_pictures)
    assert drawn_anew["id"] != shown["id"]
    assert "a red fox" in text_of(drawn_anew)


async def test_a_picture_and_a_mask_are_uploaded_in_the_dialog(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline) as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        values = {"picture": [picture()], "mask": [picture("mask.png", (80, 48))]}
        dialog = await opened(loopback, shown)
        settings = f"{prefilled(dialog)['settings']}\nstrength: 0.4"
        sent = await loopback.submit(dialog, {**values, "settings": settings})
        from_picture = await sent.until(has_pictures)
        await all_delivered(bot, 2)
        # Edited once more, it starts from the same, brought for the job before.
        dialog = await opened(loopback, from_picture)
        assert "strength: 0.4" in prefilled(dialog)["settings"]
        sent = await loopback.submit(dialog, {"prompt": "a hen"})
        await sent.until(has_pictures)
        await all_delivered(bot, 3)
        third, second, first = await bot.app.ledger.find()
    assert first.job.parent is None
    assert second.job.parent == Parent(first.job.id, "edit")
    assert third.job.parent == Parent(second.job.id, "edit")
    assert [len(one) for one in pipeline.pictures] == [0, 2, 2]
    assert pipeline.requests[1].source == pipeline.requests[2].source
    assert pipeline.requests[2].source is not None
    assert pipeline.requests[2].source.strength == 0.4


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"settings": "steps: many"}, "is no whole number"),
        ({"settings": "stps: 5"}, "Did you mean steps?"),
        ({"settings": "twenty steps"}, "cannot be read"),
        ({"settings": "steps: 5000"}, "steps"),
        ({"settings": "style: nobodys"}, "There is no style"),
        ({"settings": "strength: 0.4"}, "A strength needs a picture"),
        ({"mask": [picture()]}, "A mask needs a picture"),
        ({"picture": [Upload("a.png", "image/png", b"none")]}, "no picture that can be read"),
        ({"picture": [picture()], "mask": [picture("m.png", (9, 9))]}, "of its proportions"),
        ({"prompt": "x --seed lots"}, "seed"),
    ],
)
async def test_what_cannot_be_drawn_is_said_to_the_one_who_sent_it(
    loopback: LoopbackDiscord, run_bot: RunBot, values: dict[str, object], sentence: str
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        written = {"prompt": "a very red fox", **values}
        sent = await loopback.submit(await opened(loopback, shown), written)
        said = text_of(await whispered(sent))
        assert sentence in said
        assert f"/imagine prompt:{written['prompt']}" in said  # nothing that was written is lost
        assert len(await bot.app.ledger.find()) == 1
        assert await bot.app._gallery.starters() == ()


async def test_a_dialog_about_what_is_gone_says_so(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        dialog = await opened(loopback, shown)
        await press(loopback, shown, id_of(shown, "delete"))
        while not (await bot.app.ledger.find())[0].deleted:
            pass
        sent = await loopback.submit(dialog, {"prompt": "a hen"})
        assert "Deleted by the one who asked." in text_of(await whispered(sent))
        other = await drawn(loopback)
        await all_delivered(bot, 2)
        (record, _) = await bot.app.ledger.find()
        await bot.app.ledger.forget([record.job.id], 0)
        pressed = await press(loopback, other, id_of(other, "edit"))
        await pressed.until(says("no longer on record"))


async def test_a_dialog_whose_answer_makes_no_sense_is_there_all_the_same(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await drawn(loopback)
        await all_delivered(bot, 1)
        loopback.faults.add(
            Fault(kind="status_after", method="POST", route=CALLBACK, status=200, body="<html>")
        )
        pressed = await press(loopback, shown, id_of(shown, "edit"))
        await loopback.submit(await pressed.dialog(), {"prompt": "a hen"})
        await all_delivered(bot, 2)
        assert pressed.followups == []


async def test_what_is_edited_of_a_draft_stays_private(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        asked = await loopback.slash("imagine", {"prompt": "x", "private": True}, user_id=BEN)
        shown = await asked.until(has_pictures)
        await all_delivered(bot, 1)
        sent = await loopback.submit(await opened(loopback, shown), {"prompt": "y"})
        assert (await sent.until(has_pictures))["flags"] & 64
        assert (await bot.app.ledger.counts())[State.DELIVERED] >= 1


async def test_an_edit_of_what_was_made_larger_is_larger(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        first = await drawn(loopback)
        await all_delivered(bot, 1)
        custom_id = next(one for one in str(first).split("'") if one.startswith("v1:upscale"))
        larger = await (await press(loopback, first, custom_id)).until(has_pictures)
        await all_delivered(bot, 2)
        sent = await loopback.submit(await opened(loopback, larger), {"prompt": "a hen"})
        shown = await sent.until(has_pictures)
        assert files_of(shown)[0]["width"] == 2 * files_of(first)[0]["width"]
