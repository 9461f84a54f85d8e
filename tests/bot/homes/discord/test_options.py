"""What /imagine is told besides the prompt, through the real client over the wire."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from bot.core.job import State
from bot.core.styles import Style
from bot.core.wish import Size
from bot.ledgers.sqlite.records import SqliteRecords
from bot.operations.backup import backup
from sdxl_engine import ImageRequest
from sdxl_engine.request import CHANGING, MAX_FILE_BYTES
from standins.base.faults import Fault
from standins.discord.components import files_of, text_of
from standins.discord.errors import CommandRefused
from standins.discord.forms import Upload
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import BEN, CLEO, mention, whispered
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
        assert len(files_of(await asked.until(has_pictures))) == 2
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
    monkeypatch.setattr("bot.homes.discord.uploads.MAX_FILE_BYTES", 1_000)
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


STYLES = {
    "ink": Style("ink", "Ink", "{prompt}, ink drawing", "colour", "Black lines on white"),
    "oil": Style("oil", "Oil", "{prompt}, oil painting"),
}


async def asked_for(
    loopback: LoopbackDiscord, run_bot: RunBot, options: dict[str, object]
) -> tuple[ImageRequest, str]:
    """What was drawn, and what the card says."""
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline):
        await loopback.wait_commands()
        await (await loopback.slash("imagine", {"prompt": "warm"})).until(has_pictures)
        shown = await (await loopback.slash("imagine", options)).until(has_pictures)
    return pipeline.requests[-1], text_of(shown)


@pytest.mark.parametrize(
    ("options", "size_px"),
    [
        ({"aspect": "16:9"}, (128, 64)),
        ({"aspect": "wide"}, (128, 64)),
        ({"aspect": "square"}, (64, 64)),
        ({"aspect": "1:1", "size": "128x64"}, (128, 64)),
    ],
)
async def test_a_shape_is_the_nearest_warm_size(
    loopback: LoopbackDiscord, run_bot: RunBot, options: dict[str, object], size_px: Size
) -> None:
    request, _ = await asked_for(loopback, run_bot, {"prompt": "x", **options})
    assert (request.width_px, request.height_px) == size_px


async def test_flags_in_a_prompt_are_read_and_options_are_stronger(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    prompt = "a cat --ar 16:9 --seed 7 --steps 3 --no dogs --v 6"
    request, card = await asked_for(loopback, run_bot, {"prompt": prompt, "steps": 2})
    assert (request.prompt, request.negative_prompt) == ("a cat", "dogs")
    assert (request.seed, request.num_inference_steps) == (7, 2)
    assert (request.width_px, request.height_px) == (128, 64)
    assert "left out, as nobody here knows it: --v 6" in card


async def test_a_style_is_drawn_in_its_words_and_shown_by_its_name(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engines.loading.read_styles", lambda _: STYLES)
    request, card = await asked_for(
        loopback, run_bot, {"prompt": "a (red:1.2) cat", "style": "Ink"}
    )
    assert request.prompt == "a (red:1.2) cat, ink drawing"
    assert request.negative_prompt == "colour"
    assert "```\na (red:1.2) cat\n```" in card
    assert "style ink" in card


async def test_styles_and_shapes_are_offered_while_somebody_types(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engines.loading.read_styles", lambda _: STYLES)
    async with run_bot():
        await (await loopback.slash("imagine", {"prompt": "warm"})).until(has_pictures)
        found = await loopback.complete("imagine", {"prompt": "x", "style": "i"}, "style")
        assert [one["value"] for one in found] == ["ink", "oil"]
        assert found[0]["name"] == "ink · Black lines on white"
        shapes = await loopback.complete("imagine", {"prompt": "x", "aspect": ""}, "aspect")
        assert {"name": "square · 64x64", "value": "square"} in shapes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style": "gone"}, "no style gone"),
        ({"aspect": "40:1"}, "no shape of a picture"),
        ({"prompt": "x --steps many"}, "--steps needs"),
    ],
)
async def test_what_is_no_style_shape_or_number_is_said(
    loopback: LoopbackDiscord, run_bot: RunBot, options: dict[str, object], words: str
) -> None:
    async with run_bot():
        asked = await loopback.slash("imagine", {"prompt": "x", **options}, user_id=BEN)
        assert words in text_of(await whispered(asked)).replace("'", "").replace("\\", "")


async def test_a_copy_holds_what_was_brought(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path
) -> None:
    """So what waits in a restored copy can be drawn there."""
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline):
        asked = await loopback.slash("imagine", {"prompt": "x", "image": picture()})
        await asked.until(has_pictures)
        copy = tmp_path / "copy"
        data = tmp_path / "data"
        said = await asyncio.to_thread(backup, data, copy, SqliteRecords(data).copy_to)
    assert said.startswith("Copied 1 jobs and 5 pictures")
    source = pipeline.requests[0].source
    assert source is not None
    (kept,) = await asyncio.to_thread(lambda: list(copy.rglob(source.picture)))
    assert kept.read_bytes() == picture().data


async def test_ones_own_prompts_are_offered_and_asked_again(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """A long one by its job, for no choice holds it."""
    pipeline = FakePipeline(SIZES)
    long = f"a fox {'in the deep snow ' * 20}at night"
    async with run_bot(lambda: pipeline):
        for prompt in ("a hen", long, "a Hen", "a hen"):
            await (await loopback.slash("imagine", {"prompt": prompt}, user_id=BEN)).until(
                has_pictures
            )
        others = await loopback.slash("imagine", {"prompt": "a secret hen"}, user_id=CLEO)
        await others.until(has_pictures)

        async def offered(typed: str) -> dict[str, str]:
            found = await loopback.complete("imagine", {"prompt": typed}, "prompt", user_id=BEN)
            return {one["name"]: one["value"] for one in found}

        assert list((await offered(" HEN")).items()) == [("a hen", "a hen"), ("a Hen", "a Hen")]
        ((name, value),) = (await offered("deep snow")).items()
        assert name.startswith("a fox in the deep snow")
        assert (len(name) <= 100, name.endswith("…")) == (True, True)
        again = await loopback.slash("imagine", {"prompt": f"{value}, red"}, user_id=BEN)
        await again.until(has_pictures)
        assert (await offered("dragons")) == {}
        nobodys = await loopback.slash("imagine", {"prompt": "↺aaaaaaaa"}, user_id=BEN)
        assert "no longer on record" in text_of(await whispered(nobodys))
    assert pipeline.requests[-1].prompt == f"{long}, red"
