"""/history and /favourites through the real client over the wire."""

import io
from typing import Any

import pytest
from PIL import Image

from bot.core.job import State
from standins.discord.components import files_of, pressable, text_of
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, Bot, RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import BEN, CLEO, says, whispered
from tests.bot.homes.discord.test_layout import gallery
from tests.bot.homes.discord.test_presses import all_delivered, press
from tests.fakes import FakePipeline

Message = dict[str, Any]


async def draw(loopback: LoopbackDiscord, bot: Bot, prompts: list[str]) -> None:
    for prompt in prompts:
        asked = await loopback.slash("imagine", {"prompt": prompt}, user_id=BEN)
        await asked.until(has_pictures)
    await all_delivered(bot, len(prompts))


async def opened(loopback: LoopbackDiscord, command: str, words: str, user_id: int = BEN) -> Any:
    asked = await loopback.slash(command, {}, user_id=user_id)
    return asked, await asked.until(says(words))


async def test_one_leafs_through_ones_own_pictures(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        await draw(loopback, bot, ["a cat", "a dog", "a `fox`"])
        asked, page = await opened(loopback, "history", "page 1")
        assert page["flags"] & 64
        assert len(gallery(page)) == 9
        first = files_of(page)[0]
        assert gallery(page)[0]["description"] == "Picture 1 of 4: a `fox`"
        data = loopback.attachment_bytes(int(first["id"]))
        assert max(Image.open(io.BytesIO(data)).size) <= 384
        assert [one.get("label") for one in pressable(page)][-1] == "Older ▶"
        await press(loopback, page, "v1:page:drawn:1")
        page = await asked.until(says("page 2"))
        assert len(gallery(page)) == 3
        assert "a cat" in text_of(page)
        assert "a dog" not in text_of(page)
        looked = await press(loopback, page, first_open(page))
        assert "prompt:a cat" in text_of(await looked.until(has_pictures))
        await press(loopback, page, "v1:page:drawn:0")
        await asked.until(says("page 1"))
        # Nobody else's.
        await opened(loopback, "history", "Nothing was drawn for you", CLEO)


def first_open(message: Message) -> str:
    ids = [str(one["custom_id"]) for one in pressable(message)]
    return next(one for one in ids if one.startswith("v1:open:"))


async def test_what_one_likes_is_found_again_and_what_is_deleted_is_not(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        await draw(loopback, bot, ["a cat"])
        await opened(loopback, "favourites", "You like nothing yet", CLEO)
        (record,) = await bot.app.ledger.find()
        card = loopback.history(loopback.world.first_channel.id)[0]
        looking = await press(loopback, card, first_open(card), user_id=CLEO)
        shown = await looking.until(has_pictures)
        await press(loopback, shown, f"v1:look:{record.job.id}:2", user_id=CLEO)
        shown = await looking.until(lambda one: "_2." in files_of(one)[0]["filename"])
        await press(loopback, shown, f"v1:like:{record.job.id}:2", user_id=CLEO)
        await looking.until(lambda one: "v1:unlike" in str(one["components"]))
        _, page = await opened(loopback, "favourites", "page 1", CLEO)
        assert [one["description"] for one in gallery(page)] == ["Picture 3 of 4: a cat"]
        await press(loopback, card, f"v1:delete:{record.job.id}")
        while (await bot.app.ledger.get(record.job.id)).deleted is None:
            pass
        await opened(loopback, "favourites", "You like nothing yet", CLEO)
        # Whoever still has the page open is told.
        pressed = await press(loopback, page, first_open(page), user_id=CLEO)
        assert "Deleted by the one who asked" in text_of(await whispered(pressed))


async def test_a_picture_whose_file_is_gone_is_said(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        await draw(loopback, bot, ["a cat"])
        (record,) = await bot.app.ledger.find(states=[State.DELIVERED])
        await bot.app._gallery.forget([record.job.id])
        _, page = await opened(loopback, "history", "page 1")
        assert gallery(page) == []
        assert text_of(page).count("no longer kept here") == 4
        pressed = await press(loopback, page, first_open(page))
        assert "no longer keeps this picture" in text_of(await whispered(pressed))


@pytest.mark.parametrize(
    "custom_id", ["v1:page:drawn:9999", "v1:page:others:0", "v1:page:liked", "v1:open:aaaaaaaa:9"]
)
async def test_forged_pages_and_pictures_break_nothing(
    loopback: LoopbackDiscord, run_bot: RunBot, custom_id: str
) -> None:
    async with run_bot(lambda: FakePipeline(SIZES)) as bot:
        await draw(loopback, bot, ["a cat"])
        _, page = await opened(loopback, "history", "page 1")
        kept = loopback._messages.find(int(page["id"]))
        assert kept is not None
        pressable(kept.json)[0]["custom_id"] = custom_id
        pressed = await press(loopback, kept.snapshot(), custom_id)
        if "open" in custom_id:
            assert "no longer on record" in text_of(await whispered(pressed))
        await draw_one_more(loopback)


async def draw_one_more(loopback: LoopbackDiscord) -> None:
    await (await loopback.slash("imagine", {"prompt": "x"}, user_id=CLEO)).until(has_pictures)
