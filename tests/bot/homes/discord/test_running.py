"""The whole bot over Discord's wire protocol, with a fake pipeline."""

import asyncio
import io
import logging
import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from bot.config.sections import ModelConfig
from bot.core.card import is_preview
from bot.errors import LoginError
from bot.ledgers import book
from sdxl_engine import EngineStartError, Lora, Pipeline
from standins.base.faults import Fault, GatewayFault
from standins.base.timers import ManualClock
from standins.discord.components import files_of, text_of
from standins.discord.errors import CommandRefused
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot, make_config
from tests.bot.homes.discord.matrix import hasty
from tests.bot.homes.discord.test_connection import break_connection
from tests.fakes import FakeLora, FakePipeline, Gate

Message = dict[str, Any]

CALLBACK = "/interactions/*/*/callback"
ORIGINAL = "/webhooks/*/*/messages/@original"


def finished(message: Message) -> bool:
    return any(not is_preview(file["filename"]) for file in files_of(message))


def says(text: str) -> Any:
    return lambda message: text in text_of(message)


def count(loopback: LoopbackDiscord, method: str, route: str) -> Fault:
    """A fault that does no harm and counts the requests it meets."""
    gate = asyncio.Event()
    gate.set()
    return loopback.faults.add(
        Fault(kind="latency", method=method, route=route, gate=gate, count=None)
    )


def check_unseen(loopback: LoopbackDiscord, refusal: Message) -> None:
    """Only the one who asked sees it, and nothing of it stands in the channel."""
    assert refusal["flags"] & 64
    channel = loopback.history(loopback.world.first_channel.id)
    assert not any("To ask again" in text_of(message) for message in channel)
    assert not any(message["flags"] & 128 for message in channel)  # nobody "thinks" any more


async def test_imagine_becomes_four_different_pictures(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        interaction = await loopback.slash(
            "imagine", {"prompt": "a red circle", "negative_prompt": "blue", "seed": 7}
        )
        message = await interaction.until(finished)
    files = files_of(message)
    names = [file["filename"] for file in files]
    job_id = names[0].split("_")[0]
    assert names == [f"{job_id}_{n}.png" for n in range(4)]
    assert re.fullmatch("[a-z2-7]{8}", job_id)
    assert files[2]["description"] == "Picture 3 of 4: a red circle"
    data = [loopback.attachment_bytes(int(file["id"])) for file in files]
    assert len(set(data)) == 4
    for index, one in enumerate(data):
        with Image.open(io.BytesIO(one)) as picture:
            assert picture.size == (64, 64)
            assert picture.info["parameters"] == (
                "a red circle\nNegative prompt: blue\nSteps: 4, Sampler: Euler, CFG scale: 5, "
                f"Seed: 7, Index: {index}, Size: 64x64, Model: doodle"
            )
    assert "Seed 7 · 4 steps · guidance 5 · 64x64" in text_of(message)
    assert "a red circle" in text_of(message)


async def test_every_option_reaches_the_engine(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    pipeline = FakePipeline(SIZES, loras={"film": None, "ink": None})
    numbers = {"seed": 2**32 - 1, "steps": 3, "guidance": 7.5, "guidance_rescale": 0.7}
    part = {"size": "128x64", "guidance_start": 0.25, "guidance_stop": 0.75}
    names = {"sampler": "ddim", "spacing": "karras", "lora": "film:0.5", "model": "doodle"}
    async with run_bot(lambda: pipeline):
        interaction = await loopback.slash(
            "imagine",
            {"prompt": "a cat <lora:ink:2>", **numbers, **part, **names},
        )
        message = await interaction.until(finished)
    (request,) = pipeline.requests
    assert request.prompt == "a cat"
    assert request.loras == (Lora("ink", 2.0), Lora("film", 0.5))
    assert (request.guidance_rescale, request.guidance_interval) == (0.7, (0.25, 0.75))
    assert request.model == "doodle"
    assert (
        "guidance 7.5 · guidance rescale 0.7 · guided from 0.25 to 0.75 · 128x64 · DDIM Karras · "
        "LoRA ink:2, film:0.5 · model doodle · job"
    ) in text_of(message)
    assert (request.sampler, request.spacing) == ("ddim", "karras")
    assert request.negative_prompt is None
    assert request.seed == 2**32 - 1
    assert request.num_inference_steps == 3
    assert request.guidance_scale == 7.5
    assert (request.width_px, request.height_px) == (128, 64)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "a cat <lora:film:much>"}, "no LoRA with a strength"),
        ({"prompt": "a cat", "lora": "film:9"}, "must lie between -4 and 4"),
        ({"prompt": "a cat <lora:film>", "lora": "film:0.5"}, "asked for twice"),
        ({"prompt": "a cat", "model": "absent"}, "There is no model absent here"),
        ({"prompt": "a cat", "guidance_start": 0.5, "guidance_stop": 0.2}, "Exchange the two"),
        ({"prompt": "a cat", "lora": "absent"}, "There is no LoRA absent here"),
        ({"prompt": "a cat", "lora": "../film"}, "no name of a LoRA"),
    ],
)
async def test_a_choice_that_cannot_be_drawn_is_a_sentence_and_the_command_again(
    loopback: LoopbackDiscord, run_bot: RunBot, options: dict[str, object], sentence: str
) -> None:
    async with run_bot(lambda: FakePipeline(SIZES, loras={"film": None})) as bot:
        await bot.app.engine.warm()
        interaction = await loopback.slash("imagine", options)
        refusal = await interaction.until(says("To ask again"))
    assert sentence in text_of(refusal)
    assert "/imagine prompt:a cat" in text_of(refusal)
    check_unseen(loopback, refusal)


async def test_timesteps_alone_say_how_many_steps(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    config = make_config()
    config = replace(config, engine=replace(config.engine, default_steps=20))
    async with run_bot(lambda: pipeline, config=config):
        interaction = await loopback.slash(
            "imagine", {"prompt": "a cat", "timesteps": "999,749,499,249"}
        )
        await interaction.until(finished)
    (request,) = pipeline.requests
    assert (request.num_inference_steps, request.timesteps) == (4, (999, 749, 499, 249))


async def test_what_was_typed_is_asked_again_as_it_was_typed(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    texts = {"size": "128x64", "sampler": "plms", "spacing": "ays", "lora": "film, <lora:a, b:2>"}
    async with run_bot():
        interaction = await loopback.slash(
            "imagine", {"prompt": "a <lora:ink> cat", "seed": 7, **texts, "timesteps": "four"}
        )
        refusal = await interaction.until(says("To ask again"))
    assert "'four' are no timesteps" in text_of(refusal)
    assert (
        "/imagine prompt:a <lora:ink> cat seed:7 size:128x64 sampler:PLMS "
        "spacing:Align Your Steps lora:film, <lora:a, b:2> timesteps:four\n"
    ) in text_of(refusal)


async def test_loras_and_models_are_offered_while_somebody_types(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    known = dict.fromkeys(("film", "Filament", "old film", "x" * 101, "a, b"))
    broken = {"film of another base": "It is for another base."}
    pipeline = FakePipeline(
        SIZES, loras={**known, **broken, **{f"n{n}": None for n in range(40)}}, models=["a", "bb"]
    )

    async def offered(option: str, text: str) -> list[object]:
        choices = await loopback.complete("imagine", {option: text}, option)
        assert all(choice["name"] == choice["value"] for choice in choices)
        return [choice["value"] for choice in choices]

    async with run_bot(lambda: pipeline) as bot:
        await bot.app.engine.warm()
        assert await offered("lora", "fil") == ["Filament", "film", "old film"]
        assert await offered("lora", "film:0.8, FIL") == [
            "film:0.8, Filament",
            "film:0.8, old film",
        ]
        assert await offered("lora", "old film:0.") == ["old film:0."]
        assert await offered("lora", "none") == []
        assert len(await offered("lora", "")) == 25
        assert await offered("model", "") == ["a", "bb"]
        assert await offered("model", "B") == ["bb"]


async def test_what_the_model_says_is_drawn_and_stands_beside_its_name(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    says = ModelConfig(
        ("ddim", None), "karras", 3, size=(128, 64), trigger_words=("ink",), licence="CC0"
    )
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline, config=replace(make_config(), model=says)) as bot:
        await bot.app.engine.warm()
        choices = await loopback.complete("imagine", {"model": "doo"}, "model")
        assert choices == [{"name": "doodle · trigger words: ink · CC0", "value": "doodle"}]
        message = await (await loopback.slash("imagine", {"prompt": "x"})).until(finished)
    (request,) = pipeline.requests
    assert (request.sampler, request.spacing, request.num_inference_steps) == ("ddim", "karras", 3)
    assert (request.width_px, request.height_px) == (128, 64)
    assert "3 steps · guidance 5 · 128x64 · DDIM Karras" in text_of(message)


async def test_what_cannot_be_offered_is_an_empty_list(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    class Unreadable(dict[str, FakeLora]):
        def items(self) -> Any:
            raise OSError("the disk is gone")

    gate = Gate()
    pipeline = FakePipeline(SIZES)
    pipeline.loras = Unreadable()

    def start() -> Pipeline:
        gate.wait()
        return pipeline

    async with run_bot(start) as bot:
        assert await loopback.complete("imagine", {}, "lora") == []  # nothing is warm yet
        gate.open()
        await bot.app.engine.warm()
        assert await loopback.complete("imagine", {}, "lora") == []


async def test_who_types_an_option_of_an_outdated_command_is_told_nothing(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    noticed = asyncio.Event()

    class Noticing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "outdated command" in record.getMessage():
                noticed.set()

    handler, logger = Noticing(), logging.getLogger("bot.homes.discord.client")
    answers = count(loopback, "POST", CALLBACK)
    async with run_bot():
        option = {"type": 3, "name": "style", "description": "A style", "autocomplete": True}
        older = {"name": "paint", "description": "Paint", "options": [option]}
        loopback.registry.create(None, older)
        logger.addHandler(handler)
        try:
            asking = asyncio.create_task(loopback.complete("paint", {}, "style"))
            await noticed.wait()
        finally:
            logger.removeHandler(handler)
            asking.cancel()
    assert answers.fired == 0


async def test_without_a_seed_each_gets_another_and_it_is_shown(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline):
        for _ in range(2):
            interaction = await loopback.slash("imagine", {"prompt": "x"})
            message = await interaction.until(finished)
            assert f"Seed {pipeline.requests[-1].seed} ·" in text_of(message)
    assert pipeline.requests[0].seed != pipeline.requests[1].seed


async def test_the_card_tells_the_place_and_the_steps(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        first = await loopback.slash("imagine", {"prompt": "first"})
        await first.until(says("step 0 of 4"))
        second = await loopback.slash("imagine", {"prompt": "second"})
        await second.until(says("Number 1 in the queue"))
        third = await loopback.slash("imagine", {"prompt": "third"})
        await third.until(says("Number 2 in the queue"))
        gate.let_through(1)
        await first.until(says("step 1 of 4"))
        gate.let_through(3)
        await first.until(finished)
        await third.until(says("Number 1 in the queue"))
        gate.open()
        await third.until(finished)


async def test_previews_are_shown_and_make_room_for_the_pictures(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        interaction = await loopback.slash("imagine", {"prompt": "a boat"})
        gate.let_through(1)
        message = await interaction.until(lambda message: bool(files_of(message)))
        (file,) = files_of(message)
        assert "step 1 of 4" in text_of(message)
        assert is_preview(file["filename"])
        assert file["description"] == "What the pictures are becoming"
        with Image.open(io.BytesIO(loopback.attachment_bytes(int(file["id"])))) as picture:
            assert picture.size == (512, 512)
        gate.open()
        message = await interaction.until(finished)
    assert not any(is_preview(file["filename"]) for file in files_of(message))


async def test_a_failure_takes_the_preview_away(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    gate = Gate()
    pipeline = FakePipeline(SIZES, gate=gate)
    async with run_bot(lambda: pipeline):
        interaction = await loopback.slash("imagine", {"prompt": "a boat"})
        gate.let_through(1)
        await interaction.until(lambda message: bool(files_of(message)))
        pipeline.failure = ValueError("the device is gone")
        gate.open()
        message = await interaction.until(says("Drawing failed on the device"))
    assert files_of(message) == []


async def test_discords_own_client_refuses_what_the_engine_would(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        await loopback.wait_commands()
        for options in (
            {},
            {"prompt": "p" * 4001},
            {"prompt": "x", "negative_prompt": "n" * 4001},
            {"prompt": "x", "steps": 51},
            {"prompt": "x", "steps": 0},
            {"prompt": "x", "guidance": 20.5},
            {"prompt": "x", "guidance": float("nan")},
            {"prompt": "x", "seed": 2**32},
            {"prompt": "x", "size": "512x512"},
        ):
            with pytest.raises(CommandRefused):
                await loopback.slash("imagine", options)


async def test_what_only_the_engine_sees_is_answered_with_its_sentence(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "a\u202eb"})
        message = await interaction.until(says("invisible control character (U+202E)"))
        assert text_of(message).startswith("⚠️")
        check_unseen(loopback, message)
        after = await loopback.slash("imagine", {"prompt": "still alive"})
        await after.until(finished)


async def test_a_full_queue_is_a_sentence(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=make_config(max_queued=1)):
        first = await loopback.slash("imagine", {"prompt": "x"})
        await first.until(says("step 0"))
        second = await loopback.slash("imagine", {"prompt": "x"})
        await second.until(says("Number 1"))
        third = await loopback.slash("imagine", {"prompt": "x"})
        message = await third.until(
            says("1 job is already waiting. Ask again in a few minutes.\nTo ask again:")
        )
        check_unseen(loopback, message)
        gate.open()
        await second.until(finished)


async def test_a_job_that_fails_gets_its_sentence_and_the_next_is_drawn(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES, failure=ValueError("NaN"))
    async with run_bot(lambda: pipeline):
        bad = await loopback.slash("imagine", {"prompt": "bad"})
        message = await bad.until(says("Drawing failed on the device. Try again"))
        assert "```\nbad\n```" in text_of(message)
        pipeline.failure = None
        good = await loopback.slash("imagine", {"prompt": "good"})
        await good.until(finished)


async def test_the_bot_is_online_while_the_engine_warms_up(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    warm = threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline(SIZES)

    async with run_bot(start):
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        message = await interaction.until(says("warming up"))
        assert "64x64" not in text_of(message)
        warm.set()
        message = await interaction.until(finished)
        assert "64x64" in text_of(message)


async def test_an_engine_that_cannot_start_tells_the_waiters_and_ends_the_bot(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    go = threading.Event()

    def start() -> Pipeline:
        go.wait(60)
        raise OSError("no such device")

    async with run_bot(start) as bot:
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(says("warming up"))
        go.set()
        await interaction.until(says("The engine could not start: no such device"))
        with pytest.raises(EngineStartError):
            await bot.task


async def test_stopping_finishes_what_runs_and_keeps_what_waits(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        first = await loopback.slash("imagine", {"prompt": "first"})
        await first.until(says("step 0"))
        second = await loopback.slash("imagine", {"prompt": "second", "seed": 5})
        await second.until(says("Number 1"))
        bot.stop.set()
        await second.until(says("The bot is restarting. Your place in the queue is kept."))
        late = await loopback.slash("imagine", {"prompt": "late", "seed": 6})
        message = await late.until(says("The bot is restarting. Ask again in a minute."))
        assert "/imagine prompt:late seed:6 steps:4 guidance:5 count:4\n" in text_of(message)
        gate.open()
        await first.until(finished)
        await bot.task
    warm = threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline(SIZES)

    async with run_bot(start):
        await second.until(says("The bot was restarted, and your place was kept."))
        warm.set()
        message = await second.until(finished)
    assert "Seed 5 ·" in text_of(message)


async def test_a_job_that_takes_too_long_is_drawn_after_the_restart(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    for _ in range(3):  # more often than an engine may break down under a job
        gate = Gate()
        async with run_bot(
            lambda gate=gate: FakePipeline(SIZES, gate=gate), config=make_config(grace_s=0)
        ) as bot:
            if not loopback.history(loopback.world.first_channel.id):
                interaction = await loopback.slash("imagine", {"prompt": "x"})
            await interaction.until(says("step 0"))
            bot.stop.set()
            await interaction.until(says("The bot is restarting"))
            gate.open()
            await bot.task
    async with run_bot():
        await interaction.until(finished)


async def test_commands_are_told_once(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    puts = count(loopback, "PUT", "/**")
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(finished)
    assert puts.fired == 1
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(finished)
    assert puts.fired == 1


async def test_the_choices_are_the_warm_sizes(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        await loopback.wait_commands()
        command, *others = loopback.commands()
    names = [one["name"] for one in others]
    assert sorted(names) == [
        *("Imagine from this", "Recipe", "Report", "about", "favourites", "help", "history"),
        *("imagine-admin", "jobs", "privacy", "queue", "recipe", "settings"),
    ]
    options = {option["name"]: option for option in command["options"]}
    assert list(options) == [
        *("prompt", "negative_prompt", "image", "strength", "count"),
        *("seed", "steps", "guidance", "style", "aspect", "size"),
        *("sampler", "spacing", "lora", "model"),
        *("guidance_rescale", "guidance_start", "guidance_stop", "timesteps"),
        *("private", "spoiler", "tell_me"),
    ]
    assert {"name": "DPM++ 2M", "value": "dpmpp_2m"} in options["sampler"]["choices"]
    assert [choice["value"] for choice in options["size"]["choices"]] == ["64x64", "128x64"]


async def test_a_wrong_token_is_final(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot(online=False, token="wrong") as bot:
        with pytest.raises(LoginError, match="does not accept the bot's token"):
            await bot.task


async def test_a_lost_acknowledgement_is_found_again(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        fault = loopback.faults.add(Fault(kind="drop_after", method="POST", route=CALLBACK))
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(finished)
        assert fault.fired == 1


@pytest.mark.parametrize("command", ["imagine", "jobs"])
async def test_after_a_lost_acknowledgement_people_are_answered_all_the_same(
    loopback: LoopbackDiscord, run_bot: RunBot, command: str
) -> None:
    """A refusal is seen by the one who asked alone, with the command to send again."""
    gate = Gate()
    config = make_config(max_queued=1, grace_s=0)
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=config):
        first = await loopback.slash("imagine", {"prompt": "drawn"})
        await first.until(says("step 0"))
        second = await loopback.slash("imagine", {"prompt": "waits"})
        await second.until(says("Number 1"))
        loopback.faults.add(Fault(kind="drop_after", method="POST", route=CALLBACK))
        options = {"prompt": "one more"} if command == "imagine" else {}
        interaction = await loopback.slash(command, options)
        answer = await interaction.until(
            says("To ask again:" if command == "imagine" else "number 1 in the queue")
        )
        assert answer["flags"] & 64  # only they see it
        gate.open()


async def test_a_refusal_outlives_the_client_that_heard_of_it(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """The connection is begun anew while a refusal cannot be said."""
    gate = Gate()
    config = make_config(max_queued=1, grace_s=0)
    async with run_bot(
        lambda: FakePipeline(SIZES, gate=gate), config=config, call_limit_s=0.3, sleep=hasty
    ) as bot:
        for prompt in ("drawn", "waits"):
            one = await loopback.slash("imagine", {"prompt": prompt})
            await one.until(lambda message: bool(text_of(message)))
        held = loopback.faults.add(
            Fault(kind="latency", method="DELETE", route="/webhooks/*/*/messages/*", count=None)
        )
        refused = await loopback.slash("imagine", {"prompt": "one more"})
        await held.wait_fired()
        await break_connection(loopback)
        loopback.faults.clear()
        await refused.until(says("This was not taken. Ask again"))
        while await bot.app.ledger.database.read(book.unanswered):  # noqa: ASYNC110 - the ledger tells no one
            await asyncio.sleep(0.01)
        gate.open()


async def test_an_acknowledgement_that_did_not_arrive_is_sent_again(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        fault = loopback.faults.add(Fault(kind="drop_before", method="POST", route=CALLBACK))
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(finished)
        assert fault.fired == 1


async def test_nothing_is_drawn_for_somebody_who_cannot_see_it(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline):
        fault = loopback.faults.add(
            Fault(
                kind="status",
                method="POST",
                route=CALLBACK,
                status=404,
                body={"message": "Unknown interaction", "code": 10062},
            )
        )
        await loopback.slash("imagine", {"prompt": "unseen"})
        await fault.wait_fired()
        interaction = await loopback.slash("imagine", {"prompt": "seen"})
        await interaction.until(finished)
    assert [request.prompt for request in pipeline.requests] == ["seen"]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_pictures_survive_a_broken_connection(
    loopback: LoopbackDiscord, run_bot: RunBot, kind: Any
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(says("step 0"))
        # Every edit that comes now breaks once, the one with the pictures at the latest.
        loopback.faults.add(Fault(kind=kind, method="PATCH", route=ORIGINAL, count=2))
        gate.open()
        message = await interaction.until(finished)
        assert len(files_of(message)) == 4


async def test_after_15_minutes_the_card_is_edited_as_a_message_of_the_bots_own(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(says("step 0"))
        by_id = count(loopback, "PATCH", "/channels/*/messages/*")
        clock.advance(15 * 60 + 1)
        gate.open()
        message = await interaction.until(finished)
        assert len(files_of(message)) == 4
        assert by_id.fired >= 1


@pytest.mark.parametrize("file_limit_bytes", [1_000])
async def test_pictures_that_discord_finds_too_large_are_a_sentence(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    loopback.attachment_size_limit_bytes = 2**20  # what it tells the bot, not what it takes
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(says("Discord finds the pictures too large"))


@pytest.mark.parametrize("file_limit_bytes", [6_000])
async def test_files_fit_the_limit_of_the_place(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        message = await interaction.until(finished)
    # A noisy 64 x 64 PNG has 12 KiB.
    assert all(file["filename"].endswith(".webp") for file in files_of(message))
    files = [loopback.attachment_bytes(int(file["id"])) for file in files_of(message)]
    assert all(len(data) <= 6_000 for data in files)


async def test_a_first_connection_that_fails_is_tried_again(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    login = loopback.faults.add(Fault(kind="drop_before", method="GET", route="/users/@me"))
    gateway = loopback.faults.add(GatewayFault(kind="refuse", on="CONNECT"))
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(finished)
    assert login.fired == 1
    assert gateway.fired == 1


async def test_a_dropped_gateway_comes_back_with_what_was_missed(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        fault = loopback.faults.add(GatewayFault(kind="reconnect", on="INTERACTION_CREATE"))
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(finished)
        assert fault.fired == 1


async def test_two_long_prompts_fit_the_card(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        options = {"prompt": "🎨" * 1000, "negative_prompt": "`@everyone" * 100}
        interaction = await loopback.slash("imagine", options)
        message = await interaction.until(finished)
        assert len(text_of(message).encode("utf-16-le")) // 2 <= 4000
