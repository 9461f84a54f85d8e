"""What /imagine is told besides the prompt, through the real client over the wire."""

import io

import pytest
from PIL import Image

from bot.core.job import State
from sdxl_engine.request import CHANGING, MAX_FILE_BYTES
from standins.base.faults import Fault
from standins.discord.components import text_of
from standins.discord.errors import CommandRefused
from standins.discord.forms import Upload
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import BEN, mention, whispered
from tests.fakes import FakePipeline


def picture(name: str = "cat.png", size_px: tuple[int, int] = (40, 24)) -> Upload:
    file = io.BytesIO()
    Image.new("RGB", size_px, "red").save(file, "PNG")
    return Upload(name, "image/png", file.getvalue())


async def test_as_many_pictures_as_were_asked_for(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        asked = await loopback.slash("imagine", {"prompt": "x", "count": 2})
        assert len((await asked.until(has_pictures))["attachments"]) == 2
        with pytest.raises(CommandRefused):
            await loopback.slash("imagine", {"prompt": "x", "count": 5})


@pytest.mark.parametrize(("more", "strength"), [({}, CHANGING), ({"strength": 0.25}, 0.25)])
async def test_a_picture_that_is_sent_along_is_started_from(
    loopback: LoopbackDiscord, run_bot: RunBot, more: dict[str, object], strength: float
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline):
        asked = await loopback.slash("imagine", {"prompt": "x", "image": picture(), **more})
        await asked.until(has_pictures)
    (request,) = pipeline.requests
    assert request.source is not None
    assert request.source.strength == strength
    (start,) = pipeline.pictures[0].values()
    assert (start.width_px, start.height_px) == (40, 24)
    assert start.rgba[:4] == b"\xff\0\0\xff"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strength": 0.5}, "needs a picture"),
        ({"image": Upload("a.png", "image/png", b"no picture")}, "no picture that can be read"),
        ({"image": Upload("a.png", "image/png", picture().data[:60])}, "damaged or cut off"),
        ({"image": picture(), "strength": 0.0}, "nothing of the picture would change"),
        ({"image": picture(), "sampler": "euler", "timesteps": "x"}, "no timesteps"),
    ],
)
async def test_what_cannot_be_started_from_is_refused_and_leaves_nothing(
    loopback: LoopbackDiscord, run_bot: RunBot, options: dict[str, object], words: str
) -> None:
    async with run_bot() as bot:
        asked = await loopback.slash("imagine", {"prompt": "x", **options}, user_id=BEN)
        assert words in text_of(await whispered(asked))
        assert (await bot.app.ledger.counts())[State.QUEUED] == 0
        assert await bot.app._gallery.starters() == ()


async def test_a_file_that_is_too_large_is_not_even_fetched(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.homes.discord.commands.MAX_FILE_BYTES", 1_000)
    never = loopback.faults.add(Fault(kind="status", status=500, route="/attachments/**"))
    async with run_bot():
        large = Upload("a.png", "image/png", bytes(2_000))
        asked = await loopback.slash("imagine", {"prompt": "x", "image": large}, user_id=BEN)
        assert "are the most" in text_of(await whispered(asked))
    assert not never.fired
    assert MAX_FILE_BYTES > 1_000


async def test_who_wants_to_be_told_of_this_one_is_told(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        asked = await loopback.slash("imagine", {"prompt": "x", "tell_me": True}, user_id=BEN)
        await asked.until(has_pictures)
        assert text_of(await mention(loopback)).startswith(f"<@{BEN}>")
