"""Every fault at every call of a job's life: one visible result, or a failure that is said."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.core.card import FAILURE_MARK, is_preview
from bot.core.job import Record, State
from bot.ledgers.sqlite.database import connect
from bot.shared.data_folder import LEDGER
from standins.base.faults import Fault, GatewayFault
from standins.base.timers import ManualClock
from standins.discord.components import files_of, text_of
from standins.discord.errors import InteractionFailed
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import READ_MESSAGE_HISTORY, VIEW_CHANNEL
from tests.bot.conftest import SIZES, Bot, OpenThrottle, RunBot, ShutThrottle, make_config
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]

ADA = 900_000_000_000_000_401  # may delete messages

CALLBACK = "/interactions/*/*/callback"
BY_TOKEN = "/webhooks/*/*/messages/*"
BY_ID = "/channels/*/messages/*"
READ = "/channels/*/messages"

# Each strikes once. With a 5xx discord.py itself waits a second and asks again.
FAULTS: dict[str, dict[str, Any]] = {
    "slow": {"kind": "latency"},
    "dropped before": {"kind": "drop_before"},
    "dropped after": {"kind": "drop_after"},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "502 of a proxy": {"kind": "status", "status": 502, "body": "<html>Bad Gateway</html>"},
    "429": {"kind": "rate_limit"},
    "429 of all": {"kind": "rate_limit", "is_global": True},
    "429 of a proxy": {"kind": "status", "status": 429, "body": "<html>Banned</html>"},
    "unknown message": {"kind": "status", "status": 404, "body": {"code": 10008, "message": "?"}},
    "unknown webhook": {"kind": "status", "status": 404, "body": {"code": 10015, "message": "?"}},
    "dead token": {"kind": "status", "status": 401, "body": {"code": 50027, "message": "?"}},
    "forbidden": {"kind": "status", "status": 403, "body": {"code": 50013, "message": "?"}},
    "no access": {"kind": "status", "status": 403, "body": {"code": 50001, "message": "?"}},
    "wrong form": {"kind": "status", "status": 400, "body": {"code": 50035, "message": "?"}},
    "too large": {"kind": "status", "status": 413, "body": {"code": 40005, "message": "?"}},
}
TOKEN_REFUSALS = {"unknown webhook", "dead token"}
FINAL_REFUSALS = {"forbidden", "no access", "wrong form", "too large"}


def put(loopback: LoopbackDiscord, name: str, method: str, route: str, **more: Any) -> Fault:
    options = dict(FAULTS[name])
    if options["kind"] == "latency":
        options["gate"] = asyncio.Event()
    return loopback.faults.add(Fault(method=method, route=route, **options, **more))


async def let_go(fault: Fault) -> None:
    """It has struck; a slow answer comes now."""
    await fault.wait_fired()
    if fault.gate is not None:
        fault.gate.set()


def is_over(message: Message) -> bool:
    return has_pictures(message) or text_of(message).startswith(FAILURE_MARK)


def has_pictures(message: Message) -> bool:
    return any(not is_preview(file["filename"]) for file in files_of(message))


def messages(loopback: LoopbackDiscord) -> list[Message]:
    return loopback.history(loopback.world.first_channel.id)


async def check_one_result(
    loopback: LoopbackDiscord, bot: Bot, interaction: Interaction, state: State
) -> None:
    """The channel shows one thing, and the ledger agrees."""
    record = await told(bot)
    assert record.state is state
    shown = [message for message in messages(loopback) if has_pictures(message)]
    said = [m for m in messages(loopback) if text_of(m).startswith(FAILURE_MARK)]
    assert (len(shown), len(said)) == {
        State.DELIVERED: (1, 0),
        State.UNDELIVERED: (0, 1),
        State.CANCELLED: (0, 0),  # its card was deleted: nothing can be said, nothing be shown
    }[state]
    if shown:
        assert len(files_of(shown[0])) == 4


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_at_the_acknowledgement(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock, name: str
) -> None:
    async with run_bot() as bot:
        fault = put(loopback, name, "POST", CALLBACK)
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await let_go(fault)
        if FAULTS[name]["kind"] == "status" and FAULTS[name]["status"] < 500:
            # Discord does not know the interaction, so nobody could see an answer.
            waiting = asyncio.create_task(interaction.until(is_over))
            await asyncio.sleep(0)
            clock.advance(3.1)
            with pytest.raises(InteractionFailed, match="did not respond"):
                await waiting
            assert await bot.app.ledger.find() == []
        else:
            await interaction.until(is_over)
            await check_one_result(loopback, bot, interaction, State.DELIVERED)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_at_an_edit_before_the_pictures(
    loopback: LoopbackDiscord, run_bot: RunBot, name: str, nth: int
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        fault = put(loopback, name, "PATCH", BY_TOKEN, nth=nth)
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        if nth == 2:
            await interaction.until(lambda message: bool(text_of(message)))
            gate.let_through(1)
        await let_go(fault)
        gate.open()
        await check_one_result(
            loopback,
            bot,
            interaction,
            State.CANCELLED if name == "unknown message" else State.DELIVERED,
        )


@pytest.mark.parametrize("by", [BY_TOKEN, BY_ID])
@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_at_the_delivery(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock, name: str, by: str
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), throttle=ShutThrottle) as bot:
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(lambda message: bool(text_of(message)))
        if by == BY_ID:
            clock.advance(15 * 60 + 1)
        fault = put(loopback, name, "PATCH", by)
        gate.open()
        await let_go(fault)
        # What a bot's own token cannot die of; it ends, and says so.
        refused = name in FINAL_REFUSALS | (TOKEN_REFUSALS if by == BY_ID else set())
        state = State.UNDELIVERED if refused else State.DELIVERED
        if name == "unknown message":
            state = State.CANCELLED
        await check_one_result(loopback, bot, interaction, state)


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_at_reading_back(loopback: LoopbackDiscord, run_bot: RunBot, name: str) -> None:
    """The answer to the delivery is lost, and so is what would have told."""
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), throttle=ShutThrottle) as bot:
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(lambda message: bool(text_of(message)))
        put(loopback, "dropped after", "PATCH", BY_TOKEN)
        fault = put(loopback, name, "GET", BY_TOKEN)
        gate.open()
        await let_go(fault)
        record = await told(bot)
        # Pictures that Discord says are gone: a moderator was quicker than the lost answer.
        expected = State.CANCELLED if name == "unknown message" else State.DELIVERED
        assert record.state is expected
        assert sum(map(has_pictures, messages(loopback))) == 1


async def test_a_place_that_is_gone_ends_in_a_state_that_says_so(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), throttle=ShutThrottle) as bot:
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(lambda message: bool(text_of(message)))
        clock.advance(15 * 60 + 1)
        loopback.world.first_channel.bot_permissions &= ~VIEW_CHANNEL
        gate.open()
        record = await told(bot)
        assert record.state is State.UNDELIVERED
        assert "The channel is gone, or closed to the bot" in record.reason
        assert "/jobs" in record.reason
        # The pictures are there for the one who asked, and for nobody else.
        listing = await loopback.slash("jobs", {})
        shown = await listing.until(lambda message: bool(text_of(message)))
        assert "drawn, but not shown" in text_of(shown)
        press = await loopback.press(int(shown["id"]), f"v1:show:{record.job.id}")
        pictures = await press.until(has_pictures)
        assert len(files_of(pictures)) == 4
        assert pictures["flags"] & 64  # only they see it


async def test_pictures_that_are_refused_once_more_are_no_endless_thinking(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(throttle=ShutThrottle) as bot:
        put(loopback, "too large", "PATCH", BY_TOKEN, nth=2)
        await loopback.slash("imagine", {"prompt": "x"})
        record = await told(bot)
        assert record.state is State.UNDELIVERED
        listing = await loopback.slash("jobs", {})
        shown = await listing.until(lambda message: bool(text_of(message)))
        put(loopback, "too large", "PATCH", BY_TOKEN)
        press = await loopback.press(int(shown["id"]), f"v1:show:{record.job.id}")
        answer = await press.until(says("Discord finds the pictures too large"))
        assert answer["flags"] & 64  # only they see it


@pytest.mark.parametrize("token_is_dead", [False, True])
@pytest.mark.parametrize("when", ["waiting", "running", "drawn"])
async def test_a_card_that_a_moderator_deletes_cancels_its_job(
    loopback: LoopbackDiscord,
    run_bot: RunBot,
    clock: ManualClock,
    tmp_path: Path,
    when: str,
    token_is_dead: bool,
) -> None:
    gate = Gate()
    pipeline = FakePipeline(SIZES, gate=gate)
    # Where it is drawn already, only the delivery can find out.
    throttle = ShutThrottle if when == "drawn" else OpenThrottle
    async with run_bot(lambda: pipeline, throttle=throttle) as bot:
        first = await loopback.slash("imagine", {"prompt": "first"})
        card = await first.until(lambda message: bool(text_of(message)))
        if when == "waiting":
            second = await loopback.slash("imagine", {"prompt": "second"})
            card = await second.until(says("Number 1"))
        if token_is_dead:
            clock.advance(15 * 60 + 1)
        loopback.delete(int(card["id"]), user_id=ADA)
        # It is noticed at the next edit: when it is begun, while it is drawn, or at its delivery.
        gate.let_through({"waiting": 4, "running": 1, "drawn": 4}[when])
        records = await all_told(bot, 2 if when == "waiting" else 1)
        assert records[0].state is State.CANCELLED
        assert "message was deleted" in records[0].reason
        listing = await loopback.slash("jobs", {})
        shown = await listing.until(lambda message: bool(text_of(message)))
        assert "message was deleted" in text_of(shown)
        assert "v1:show" not in str(shown["components"])
        # What was being stored in that very moment goes as soon as it is.
        while (tmp_path / "data" / "images" / records[0].job.id).exists():
            await bot.app.ledger.counts()
        gate.open()


async def ask_unseen(loopback: LoopbackDiscord, clock: ManualClock) -> None:
    """Ask, while no answer says which message the card is, until the token has died."""
    slow = asyncio.Event()
    put(loopback, "dropped after", "POST", CALLBACK)
    edit = loopback.faults.add(Fault(kind="latency", method="PATCH", route=BY_TOKEN, gate=slow))
    await loopback.slash("imagine", {"prompt": "x"})
    await edit.wait_fired()
    clock.advance(15 * 60 + 1)
    slow.set()


async def test_a_card_that_nobody_knows_is_found_again(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock
) -> None:
    """Discord's answer was lost, no edit came through, the token died."""
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), throttle=ShutThrottle) as bot:
        await ask_unseen(loopback, clock)
        gate.open()
        record = await told(bot)
        assert record.state is State.DELIVERED
        (message,) = messages(loopback)
        assert has_pictures(message)
        assert record.job.origin.message == message["id"]


@pytest.mark.parametrize("name", ["dropped after", "dropped before", "503", "429"])
async def test_a_card_that_cannot_be_found_is_sent_once(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock, name: str
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), throttle=ShutThrottle) as bot:
        loopback.world.first_channel.bot_permissions &= ~READ_MESSAGE_HISTORY
        await ask_unseen(loopback, clock)
        put(loopback, name, "POST", READ)
        gate.open()
        record = await told(bot)
        assert record.state is State.DELIVERED
        assert [has_pictures(message) for message in messages(loopback)] == [False, True]


async def test_pictures_are_never_shown_twice_even_where_nobody_can_look(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock
) -> None:
    """No Read Message History, every answer lost, the token dead, the nonce forgotten, a kill."""
    gate = Gate()
    loopback.world.first_channel.bot_permissions &= ~READ_MESSAGE_HISTORY
    lost = loopback.faults.add(Fault(kind="drop_after", method="POST", route=READ, count=None))
    async with run_bot(
        lambda: FakePipeline(SIZES, gate=gate), config=make_config(grace_s=0), throttle=ShutThrottle
    ):
        await ask_unseen(loopback, clock)
        gate.open()
        await lost.wait_fired()
    loopback.faults.clear()
    clock.advance(60 * 60)
    async with run_bot(throttle=ShutThrottle) as bot:
        record = await told(bot)
    assert record.state is State.DELIVERED
    assert sum(map(has_pictures, messages(loopback))) == 1


async def test_a_gateway_that_refuses_the_next_start_loses_no_pictures(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path
) -> None:
    async with run_bot(throttle=ShutThrottle) as bot:
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(is_over)
        record = await told(bot)
    # As a process leaves it that dies before it can write that the pictures are there.
    with closing(connect(tmp_path / "data" / LEDGER, writes=True)) as ledger:
        ledger.execute("UPDATE jobs SET state = 'drawn', told = 0, token = ?", ("dead",))
    edits = loopback.faults.add(Fault(kind="latency", method="PATCH", gate=_open(), count=None))
    refusal = loopback.faults.add(GatewayFault(kind="refuse", on="CONNECT", count=2))
    async with run_bot(throttle=ShutThrottle) as bot:
        record = await told(bot)
    assert record.state is State.DELIVERED
    assert refusal.fired == 2
    assert edits.fired == 0  # it read the card, and sent nothing again
    assert [has_pictures(message) for message in messages(loopback)] == [True]


def _open() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def told(bot: Bot) -> Record:
    """The one job, once its end has been told."""
    (record,) = await all_told(bot, 1)
    return record


async def all_told(bot: Bot, count: int) -> list[Record]:
    """So many jobs, the newest first, once the end of each has been told."""
    while True:
        records = await bot.app.ledger.find()
        if len(records) >= count and all(record.told for record in records):
            return records
        await asyncio.sleep(0.01)


def says(text: str) -> Callable[[Message], bool]:
    return lambda message: text in text_of(message)
