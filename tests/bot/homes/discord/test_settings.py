"""/settings through the real client over the wire."""

from typing import Any

import pytest

from standins.discord.components import text_of
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, CLEO, says, whispered
from tests.fakes import FakePipeline


async def set_(loopback: LoopbackDiscord, options: dict[str, Any], user_id: int = BEN) -> Any:
    asked = await loopback.slash("settings", options, user_id=user_id)
    return await asked.until(says("What /imagine draws here for you"))


async def test_ones_own_word_is_heard_before_the_servers(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline):
        shown = await set_(loopback, {"whose": "community", "steps": 7, "count": 2}, ADA)
        assert "**This server's**: 7 steps · 2 pictures" in text_of(shown)
        shown = await set_(loopback, {"steps": 3, "negative_prompt": "@everyone *dogs*"})
        assert shown["flags"] & 64
        assert "**Yours**: 3 steps" in text_of(shown)
        assert "@everyone" not in text_of(shown)
        assert "Seed" not in text_of(shown)  # none is usual: each wish draws its own
        await (await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)).until(has_pictures)
        await (await loopback.slash("imagine", {"prompt": "x", "steps": 4}, user_id=CLEO)).until(
            has_pictures
        )
    (mine, others) = pipeline.requests
    assert (mine.num_inference_steps, mine.num_images) == (3, 2)
    assert mine.negative_prompt == "@everyone *dogs*"
    assert (others.num_inference_steps, others.num_images) == (4, 2)
    async with run_bot():  # and after a restart
        shown = await set_(loopback, {"take_back": "steps"})
        assert "**Yours**: staying away from" in text_of(shown)
        shown = await set_(loopback, {"take_back": "everything"})
        assert "Yours" not in text_of(shown)
        assert "7 steps" in text_of(shown)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"whose": "community", "steps": 7}, "Only those who manage this server"),
        ({"whose": "channel", "steps": 7}, "Only those who manage this server"),
        ({"model": "gone"}, "no model gone"),
        ({"lora": "gone"}, "no LoRA gone"),
    ],
)
async def test_what_is_not_theirs_or_not_there_is_refused(
    loopback: LoopbackDiscord, run_bot: RunBot, options: dict[str, Any], words: str
) -> None:
    async with run_bot():
        await (await loopback.slash("imagine", {"prompt": "x"})).until(has_pictures)
        asked = await loopback.slash("settings", options, user_id=BEN)
        assert words in text_of(await whispered(asked))


async def test_spoilers_and_being_told_can_be_usual(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        shown = await set_(loopback, {"spoiler": True, "tell_me": True})
        assert "blurred · you are told" in text_of(shown)
        await (await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)).until(has_pictures)
        (record,) = await bot.app.ledger.find()
        assert (record.job.showing.spoiler, record.job.showing.mention) == (True, True)
