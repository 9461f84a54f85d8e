"""What people do with their jobs in a channel: cancel, look, be refused, come back."""

import argparse
import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.cli import jobs as operator
from bot.config.sections import HealthConfig
from bot.core.job import State
from bot.core.studio import UNNOTED
from bot.errors import EngineStuckError, LedgerError
from bot.ledgers.sqlite.records import SqliteRecords
from bot.operations.backup import backup
from sdxl_engine import ImageRequest, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from standins.base.timers import ManualClock
from standins.discord.components import files_of, pressable, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import NO_LIMITS, SIZES, RunBot, make_config
from tests.bot.homes.discord.test_faults import (
    all_told,
    check_one_result,
    has_pictures,
    is_over,
    messages,
    told,
)
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]

ADA, BEN, CLEO = 900_000_000_000_000_401, 900_000_000_000_000_402, 900_000_000_000_000_403
PAINTERS = 900_000_000_000_000_201


def says(text: str) -> Any:
    return lambda message: text in text_of(message)


async def ask(loopback: LoopbackDiscord, prompt: str = "x", *, user_id: int = BEN) -> Interaction:
    return await loopback.slash("imagine", {"prompt": prompt}, user_id=user_id)


def cancel_id(message: Message) -> str:
    (button,) = pressable(message)
    assert button["label"] == "Cancel"
    return str(button["custom_id"])


async def whispered(press: Interaction) -> Message:
    while not press.followups:  # noqa: ASYNC110 - an interaction has no event for them
        await asyncio.sleep(0.01)
    (message,) = press.followups
    assert message["flags"] & 64  # only they see it
    return message


@pytest.mark.parametrize(
    ("who", "words"),
    [(BEN, "Cancelled by the one who asked."), (ADA, "Cancelled by a moderator.")],
)
@pytest.mark.parametrize("running", [False, True])
async def test_the_one_who_asked_and_moderators_cancel(
    loopback: LoopbackDiscord, run_bot: RunBot, who: int, words: str, running: bool
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        first = await ask(loopback)
        message = await first.until(says("step 0"))
        if not running:
            second = await ask(loopback)
            message = await second.until(says("Number 1"))
        await loopback.press(int(message["id"]), cancel_id(message), user_id=who)
        interaction = first if running else second
        message = await interaction.until(says(words))
        assert pressable(message) == []
        gate.open()
        last = await ask(loopback, user_id=CLEO)
        await last.until(has_pictures)
        counts = await bot.app.ledger.counts()
    assert counts[State.CANCELLED] == 1
    assert not has_pictures(interaction.original or {})


async def test_others_cannot_cancel_and_are_told_so(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        interaction = await ask(loopback)
        message = await interaction.until(says("step 0"))
        press = await loopback.press(int(message["id"]), cancel_id(message), user_id=CLEO)
        assert "Only the one who asked for this" in text_of(await whispered(press))
        gate.open()
        message = await interaction.until(has_pictures)
        assert "v1:cancel" not in str(message["components"])


async def test_a_press_that_comes_too_late_is_told_so(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        interaction = await ask(loopback)
        message = await interaction.until(says("step 0"))
        listing = await loopback.slash("jobs", {}, user_id=BEN)
        shown = await listing.until(lambda message: "v1:drop" in str(message["components"]))
        gate.open()
        job_id = (await told(bot)).job.id
        # The list still offers what was so when it was made, or another client shows an old card.
        press = await loopback.press(int(shown["id"]), f"v1:drop:{job_id}", user_id=BEN)
        assert "too late" in text_of(await whispered(press))
        message = await listing.until(says("delivered"))
        assert not any("drop" in one for one in custom_ids(message))


async def test_a_list_that_was_cancelled_from_shows_itself_anew(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        first = await ask(loopback, "a cat")
        await first.until(says("step 0"))
        second = await ask(loopback, "a dog")
        await second.until(says("Number 1"))
        listing = await loopback.slash("jobs", {}, user_id=BEN)
        shown = await listing.until(says("number 1 in the queue"))
        drop, other, _ = custom_ids(shown)
        await loopback.press(int(shown["id"]), drop, user_id=BEN)
        shown = await listing.until(says("Cancelled by the one who asked."))
        assert custom_ids(shown)[:-1] == [other]
        await second.until(says("Cancelled by the one who asked."))
        gate.open()
        await first.until(has_pictures)


async def test_who_wants_it_is_mentioned_when_the_pictures_are_there(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        listing = await loopback.slash("jobs", {}, user_id=BEN)
        shown = await listing.until(says("You have asked for nothing here yet"))
        assert custom_ids(shown) == ["v1:mention:on"]
        await loopback.press(int(shown["id"]), "v1:mention:on", user_id=BEN)
        await listing.until(lambda message: "v1:mention:off" in custom_ids(message))
        card = await (await ask(loopback)).until(has_pictures)
        ping = await mention(loopback)
        assert text_of(ping) == f"<@{BEN}> Your pictures are there."
        assert [one["id"] for one in ping["mentions"]] == [str(BEN)]
        assert ping["message_reference"]["message_id"] == card["id"]
        await loopback.press(int(shown["id"]), "v1:mention:off", user_id=BEN)
        await listing.until(lambda message: "v1:mention:on" in custom_ids(message))
        await (await ask(loopback)).until(has_pictures)
        await (await ask(loopback, user_id=CLEO)).until(has_pictures)
    pings = [one for one in loopback.history(loopback.world.first_channel.id) if one["mentions"]]
    assert pings == [ping]


async def mention(loopback: LoopbackDiscord) -> Message:
    while True:
        for message in loopback.history(loopback.world.first_channel.id):
            if message["mentions"]:
                return message
        await asyncio.sleep(0.01)


def custom_ids(message: Message) -> list[str]:
    return [one["custom_id"] for one in pressable(message)]


async def test_buttons_work_after_a_restart(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    warm = threading.Event()

    def start() -> FakePipeline:
        warm.wait(60)
        return FakePipeline(SIZES)

    async with run_bot(start) as bot:
        interaction = await ask(loopback)
        message = await interaction.until(says("Number 1"))
        bot.stop.set()
        message = await interaction.until(says("restarting"))
        assert pressable(message) == []  # nobody would hear it
        warm.set()
        await bot.task
    warm.clear()
    async with run_bot(start):
        message = await interaction.until(says("Number 1"))
        await loopback.press(int(message["id"]), cancel_id(message), user_id=BEN)
        await interaction.until(says("Cancelled by the one who asked."))
        warm.set()


async def test_the_list_shows_ones_own_jobs(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        empty = await loopback.slash("jobs", {}, user_id=BEN)
        await empty.until(says("You have asked for nothing here yet"))
        first = await ask(loopback, "a cat")
        await first.until(says("step 0"))
        second = await ask(loopback, "a dog")
        await second.until(says("Number 1"))
        await ask(loopback, "a secret", user_id=CLEO)
        listing = await loopback.slash("jobs", {}, user_id=BEN)
        message = await listing.until(says("a dog"))
        assert message["flags"] & 64
        assert "number 1 in the queue" in text_of(message)
        assert "running" in text_of(message)
        assert "a secret" not in text_of(message)
        gate.open()
        await second.until(has_pictures)


async def test_a_list_that_may_go_on_says_so(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot(lambda: FakePipeline(SIZES)):
        for n in range(9):
            await (await ask(loopback, f"picture {n}")).until(has_pictures)
            listing = await loopback.slash("jobs", {}, user_id=BEN)
            message = await listing.until(says(f"picture {n}"))
            assert ("Your latest 8, the newest first:" in text_of(message)) == (n >= 7)
        assert "picture 0" not in text_of(message)


async def test_the_wait_is_foretold_once_it_was_measured(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        first = await ask(loopback)
        gate.let_through(4)
        await first.until(has_pictures)
        second = await ask(loopback)
        await second.until(says("step 0"))
        third = await ask(loopback)
        await third.until(says("Number 1 in the queue, ready <t:"))
        gate.open()
        await third.until(has_pictures)


async def test_limits_are_a_sentence_and_give_the_command_back(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    limits = replace(NO_LIMITS, user_per_minute=1)
    async with run_bot(config=make_config(limits=limits)):
        first = await ask(loopback)
        await first.until(has_pictures)
        second = await ask(loopback, "again")
        message = await second.until(says("You have asked 1 time within a minute"))
        assert "There is room again <t:" in text_of(message)
        assert "/imagine prompt:again seed:" in text_of(message)
        assert message["flags"] & 64  # only they see it
        assert len(loopback.history(loopback.world.first_channel.id)) == 1
        other = await ask(loopback, user_id=CLEO)
        await other.until(has_pictures)


async def test_a_role_has_more_weight(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    limits = replace(NO_LIMITS, role_weights=((PAINTERS, 2.0),))
    async with run_bot(config=make_config(limits=limits)) as bot:
        for user_id in (BEN, CLEO):  # Ben is a painter
            interaction = await ask(loopback, user_id=user_id)
            await interaction.until(has_pictures)
        cleo, ben = await bot.app.ledger.find()
    assert (ben.job.weight, cleo.job.weight) == (2.0, 1.0)
    assert (ben.job.person.name, cleo.job.person.name) == ("ben", "cleo")


async def test_a_full_disk_is_a_sentence_and_passes(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        database = bot.app.ledger.database
        await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
        contents: list[str] = []
        while not any("The bot's disk is full" in content for content in contents):
            interaction = await ask(loopback, "a cat, " * 130)  # the last page has room for some
            message = await interaction.until(lambda message: bool(text_of(message)))
            contents.append(text_of(message))
        await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 9999"))
        interaction = await ask(loopback)
        await interaction.until(has_pictures)


class HangingPipeline(FakePipeline):
    """A device call that never returns, until the test is over."""

    def __init__(self, over: threading.Event) -> None:
        super().__init__(SIZES)
        self._over = over

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        yield Progress(1, request.num_inference_steps)
        self._over.wait(60)
        yield from super().generate(request, pictures=pictures, previews=previews)


async def test_an_engine_that_hangs_is_noticed_said_and_left(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    over, clock = threading.Event(), ManualClock()
    config = make_config(stuck_after_s=1)
    async with run_bot(lambda: HangingPipeline(over), config=config, clock=clock) as bot:
        hung = await ask(loopback, "hung")
        await hung.until(lambda message: bool(text_of(message)))  # the device has it
        waiting = await ask(loopback, "waits")
        await waiting.until(lambda message: bool(text_of(message)))
        clock.advance(2)
        await hung.until(says("The device does not answer, so the bot restarts itself."))
        await waiting.until(says("The device does not answer"))
        with pytest.raises(EngineStuckError):
            await bot.task
    over.set()
    async with run_bot() as bot:
        await hung.until(has_pictures)
        await waiting.until(has_pictures)
        records = await bot.app.ledger.find()
    assert {record.job.wish.prompt: record.attempt for record in records} == {
        "hung": 2,
        "waits": 1,
    }


async def test_a_device_that_hangs_while_it_is_made_ready_is_noticed(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    over, clock = threading.Event(), ManualClock()

    def start() -> FakePipeline:
        over.wait(60)
        return FakePipeline(SIZES)

    config = replace(make_config(stuck_after_s=1), health=HealthConfig(port=_free_port()))
    async with (
        run_bot(start, config=config, clock=clock) as bot,
        aiohttp.ClientSession() as session,
    ):
        waiting = await ask(loopback, "waits")
        await waiting.until(says("warming up"))
        livez = f"http://127.0.0.1:{bot.app.health.port}/livez"
        async with session.get(livez) as response:
            assert response.status == 200  # it has been silent for a moment only
        clock.advance(10)  # it may be silent for longer than later on
        await waiting.until(says("The device does not answer, so the bot restarts itself."))
        with pytest.raises(EngineStuckError):
            await bot.task
    over.set()
    async with run_bot() as bot:
        await waiting.until(has_pictures)
        (record,) = await bot.app.ledger.find()
        assert record.attempt == 1  # nothing is held against it


async def test_health_tells_what_holds(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    warm = threading.Event()

    def start() -> FakePipeline:
        warm.wait(60)
        return FakePipeline(SIZES)

    config = replace(make_config(), health=HealthConfig(port=_free_port()))
    async with run_bot(start, config=config) as bot, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{bot.app.health.port}"

        async def get(path: str) -> tuple[int, str]:
            async with session.get(url + path) as response:
                return response.status, await response.text()

        interaction = await ask(loopback)
        await interaction.until(says("warming up"))
        assert await get("/livez") == (200, "ok the engine answers\n")
        status, text = await get("/readyz")
        assert status == 503
        assert "NO the engine is warm" in text
        assert "imagine_queue_length 1.0" in (await get("/metrics"))[1]
        warm.set()
        await interaction.until(has_pictures)
        await told(bot)
        assert (await get("/readyz"))[0] == 200
        _, text = await get("/metrics")
        for line in (
            'imagine_jobs_ended_total{state="delivered"} 1.0',
            "imagine_accept_seconds_count 1.0",
            'imagine_draw_seconds_count{engine="thread"} 1.0',
            "imagine_queue_length 0.0",
        ):
            assert line in text
        assert "x" not in {word for line in text.splitlines() for word in line.split('"')}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_orders_of_an_operator_are_carried_out(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = Gate()
    folder = tmp_path / "data"
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        interaction = await ask(loopback)
        message = await interaction.until(says("step 0"))
        job_id = cancel_id(message).split(":")[2]
        assert await _operate(folder, "cancel", job_id)
        await interaction.until(says("Cancelled by the bot's owner."))
        assert f"The job {job_id} is cancelled." in capsys.readouterr().out
        assert not await _operate(folder, "cancel", job_id)
        assert "It is too late to cancel this" in capsys.readouterr().out
        await told(bot)
        gate.open()
        assert await _operate(folder, "requeue", job_id)
        assert f"The job {job_id} waits again as" in capsys.readouterr().out
        message = await interaction.until(has_pictures)
        assert job_id not in files_of(message)[0]["filename"]
        assert not await _operate(folder, "requeue", job_id)
        assert f"The job {job_id} was asked for again before" in capsys.readouterr().out


@pytest.mark.parametrize("finished", [False, True])
async def test_a_bot_goes_on_from_a_restored_copy(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path, finished: bool
) -> None:
    """Delivered, being drawn and waiting when the copy was made; the folder itself is lost.

    finished  the cards came to their ends after the copy
    """
    gate = Gate()
    data, copy = tmp_path / "data", tmp_path / "copies" / "monday"
    config = make_config(grace_s=0)
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=config) as bot:
        first = await ask(loopback, "a cat")
        gate.let_through(4)
        drawn = await first.until(has_pictures)
        await told(bot)
        second = await ask(loopback, "a dog")
        await second.until(says("step 0"))
        third = await ask(loopback, "a fish")
        await third.until(says("Number 1"))  # else the other may be acknowledged first
        fourth = await ask(loopback, "a bird")
        message = await fourth.until(says("Number 2"))
        said = await asyncio.to_thread(backup, data, copy, SqliteRecords(data).copy_to)
        assert said == f"Copied 4 jobs and {len(files_of(drawn))} pictures to {copy}."
        if finished:
            await loopback.press(int(message["id"]), cancel_id(message), user_id=BEN)
            await fourth.until(says("Cancelled"))
            gate.open()
            await third.until(has_pictures)
            await all_told(bot, 4)
        else:
            bot.stop.set()
            await second.until(says("restarting"))
            gate.open()
    before = [interaction.answer for interaction in (first, second, third, fourth)]
    shutil.rmtree(data)
    copy.rename(data)
    warm = threading.Event()
    if not finished:
        warm.set()

    def start() -> FakePipeline:
        warm.wait(60)
        return FakePipeline(SIZES)

    async with run_bot(start) as bot:
        if not finished:
            for interaction in (second, third, fourth):
                await interaction.until(has_pictures)
        # Where all cards tell their ends, nothing is left to be drawn.
        records = await all_told(bot, 4)
        warm.set()
    states = [record.state for record in reversed(records)]
    assert states == [State.DELIVERED] * 3 + [State.CANCELLED if finished else State.DELIVERED]
    after = [interaction.answer for interaction in (first, second, third, fourth)]
    if finished:  # no card was touched
        assert after == before
    assert after[0] == before[0]


async def _operate(folder: Path, *argv: str) -> bool:
    parser = argparse.ArgumentParser()
    operator.add_arguments(parser)
    return await asyncio.to_thread(operator.work, parser.parse_args(argv), SqliteRecords(folder))


@pytest.mark.parametrize("is_taken", [True, False])
async def test_who_could_not_be_noted_is_told_to_ask_again_if_nothing_comes(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    async with run_bot() as bot:
        ledger, back = bot.app.ledger, asyncio.Event()
        accept = ledger.accept

        async def away(*_: object) -> None:
            raise LedgerError("The records do not answer.")

        async def later(*args: Any, **named: Any) -> Any:
            await back.wait()
            return await (accept if is_taken else away)(*args, **named)

        monkeypatch.setattr(ledger, "hear", away)
        monkeypatch.setattr(ledger, "accept", later)
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        first = await interaction.until(lambda message: bool(text_of(message)))
        assert text_of(first) == UNNOTED
        back.set()
        if is_taken:
            await interaction.until(is_over)
            await check_one_result(loopback, bot, interaction, State.DELIVERED)
        else:
            assert is_over(await whispered(interaction))
            assert messages(loopback) == []
