"""Several shards: each is mended for itself, each belongs to one bot, each is heard once."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.sections import Config, DiscordConfig
from bot.errors import LoginError
from bot.homes.discord import client
from bot.homes.discord.home import DiscordHome
from bot.homes.discord.shards import IdentifyPace, range_of
from standins.base.faults import GatewayFault
from standins.discord.gateway import Gateway, Shard
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import Channel
from tests.bot.bots import Together
from tests.bot.conftest import Bot, RunBot, make_config
from tests.bot.homes.discord.matrix import hasty
from tests.bot.homes.discord.test_faults import has_pictures

THREE = 0, 1, 2


@pytest.fixture
def gateway(loopback: LoopbackDiscord) -> Gateway:
    """One that recommends three shards, which may all come at once."""
    gateway = loopback.gateway
    gateway.recommended_shards, gateway.max_concurrency = 3, 16
    return gateway


def channel_of(loopback: LoopbackDiscord, shard_id: int, count: int = 3) -> int:
    """A channel of a server that falls to this shard, and that the bot is in."""
    number = next(n for n in range(1 << 20, 1 << 21) if n % count == shard_id)
    channel = Channel((number << 22) + 1, f"shard-{shard_id}", guild_id=number << 22)
    loopback.world.channels[channel.id] = channel
    return channel.id


async def drawn(loopback: LoopbackDiscord, channel_id: int) -> None:
    """Somebody asks there, and gets pictures."""
    interaction = await loopback.slash("imagine", {"prompt": "x"}, channel_id=channel_id)
    await interaction.until(has_pictures)


def sharing(shards: int, bots: int) -> Config:
    return replace(make_config(), discord=DiscordConfig(shards=shards, bots=bots))


def home_of(bot: Bot) -> DiscordHome:
    home = bot.app.homes["discord"]
    assert isinstance(home, DiscordHome)
    return home


async def until(holds: Callable[[], bool]) -> None:
    """Let others work until it does; a test that waits in vain is ended from outside."""
    while not holds():  # noqa: ASYNC110 - what is looked at tells nobody when it changes
        await asyncio.sleep(0)


async def all_online(bot: Bot, gateway: Gateway, *shard_ids: int) -> None:
    await gateway.wait_listening(*shard_ids)
    await until(lambda: home_of(bot).is_online)


def metrics_of(bot: Bot) -> str:
    return bot.app.metrics.text().decode()


async def test_there_are_as_many_as_discord_recommends(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        await all_online(bot, gateway, *THREE)
        for shard_id in THREE:
            await drawn(loopback, channel_of(loopback, shard_id))
        text = metrics_of(bot)
    for shard_id in THREE:
        assert gateway.identified[Shard(shard_id, 3)] == 1
        assert f'imagine_shard_connected{{home="discord",shard="{shard_id}"}} 1.0' in text
        assert f'imagine_shard_reconnects_total{{home="discord",shard="{shard_id}"}} 0.0' in text
    assert gateway.connected == []


async def test_as_many_as_are_configured(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot
) -> None:
    async with run_bot(config=sharing(2, 1)) as bot:
        await all_online(bot, gateway, 0, 1)
        await drawn(loopback, channel_of(loopback, 1, 2))


async def test_a_shard_that_breaks_goes_on_where_it_was_and_the_others_hear_nothing_of_it(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        await all_online(bot, gateway, *THREE)
        gateway.drop(1)
        interaction = await loopback.slash(
            "imagine", {"prompt": "x"}, channel_id=channel_of(loopback, 1)
        )
        await until(lambda: not home_of(bot).is_online)
        await interaction.until(has_pictures)  # it was told while nobody listened
        await all_online(bot, gateway, *THREE)
        assert [one.reconnects for one in home_of(bot).shards] == [0, 1, 0]
    assert (gateway.identifies, gateway.resumes) == (3, 1)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Where discord.py waits before it lets a shard try again."""
    gate = asyncio.Event()

    async def sleep(_: float) -> None:
        await gate.wait()

    monkeypatch.setattr(
        discord.shard, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    )
    return gate


async def test_one_that_cannot_come_back_keeps_no_other_waiting_and_loses_nothing(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot, held: asyncio.Event
) -> None:
    async with run_bot() as bot:
        await all_online(bot, gateway, *THREE)
        refused = loopback.faults.add(GatewayFault(kind="refuse", on="CONNECT"))
        gateway.drop(1)
        await refused.wait_fired()
        interaction = await loopback.slash(
            "imagine", {"prompt": "x"}, channel_id=channel_of(loopback, 1)
        )
        gateway.drop(0)
        await gateway.wait_listening(2)
        await gateway.wait_listening(0, 2)
        held.set()
        await all_online(bot, gateway, *THREE)
        await interaction.until(has_pictures)
    assert (gateway.identifies, gateway.resumes) == (3, 2)


async def test_a_session_that_is_invalid_is_begun_anew_for_its_shard_alone(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot
) -> None:
    async with run_bot(sleep=hasty) as bot:
        await all_online(bot, gateway, *THREE)
        gateway.invalidate(2, resumable=False)
        await gateway.wait_listening(0, 1)
        await all_online(bot, gateway, *THREE)
        await drawn(loopback, channel_of(loopback, 2))
    assert [gateway.identified[Shard(one, 3)] for one in THREE] == [1, 1, 2]


async def test_a_later_shard_that_is_refused_at_first_comes_by_itself(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot
) -> None:
    refused = loopback.faults.add(GatewayFault(kind="refuse", on="CONNECT", nth=2, count=2))
    async with run_bot(sleep=hasty) as bot:
        await all_online(bot, gateway, *THREE)
    assert refused.fired == 2
    assert [gateway.identified[Shard(one, 3)] for one in THREE] == [1, 1, 1]


async def test_too_few_shards_are_said_in_words(gateway: Gateway, run_bot: RunBot) -> None:
    gateway.least_shards = 4
    async with run_bot(online=False) as bot:
        with pytest.raises(LoginError, match="more parts"):
            await asyncio.wait_for(asyncio.shield(bot.task), 30)


async def test_a_bot_that_closes_while_shards_are_coming_leaves_none(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot
) -> None:
    gateway.max_concurrency = 1
    turns = asyncio.Event()

    async def sleep(_: float) -> None:
        turns.set()
        await asyncio.Event().wait()

    async with run_bot(sleep=sleep) as bot:
        await turns.wait()
        await gateway.wait_listening(0)
        assert not home_of(bot).is_online
    assert gateway.connected == []
    assert gateway.identifies == 1


async def test_two_bots_have_a_range_each_and_a_third_stands_by(
    loopback: LoopbackDiscord, gateway: Gateway, run_bot: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    together, config = Together(), sharing(3, 2)
    one, other, third = together.bot(), together.bot(), together.bot()
    async with (
        run_bot(config=config, bots=other, folder="other", online=False) as second,
        run_bot(config=config, bots=one, folder="one") as first,
    ):
        await gateway.wait_listening(*THREE)
        await until(lambda: home_of(first).is_online and home_of(second).is_online)
        ids = sorted([one.id for one in home_of(bot).shards] for bot in (first, second))
        assert ids == [[0], [1, 2]]
        async with run_bot(
            config=config, bots=third, folder="third", online=False, sleep=hasty
        ) as standing:
            await until(lambda: home_of(standing).stands_by)
            assert not home_of(standing).is_online
            assert list(home_of(standing).shards) == []
            await drawn(loopback, channel_of(loopback, 0))
            first.stop.set()
            await first.task
            one.end()
            await all_online(standing, gateway, *THREE)
            assert not home_of(standing).stands_by
            for shard_id in THREE:
                await drawn(loopback, channel_of(loopback, shard_id))
    assert caplog.text.count("stands by") == 1
    assert sum(gateway.identified.values()) == 3 + len(home_of(first).shards)


async def test_a_ledger_that_cannot_be_asked_is_asked_again(
    gateway: Gateway, run_bot: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    together = Together()
    together.is_away = True
    async with run_bot(bots=together.bot(), online=False, sleep=hasty) as bot:
        await until(lambda: together.asked > 1)
        together.is_away = False
        await all_online(bot, gateway, *THREE)
    assert "which shards of Discord's are free" in caplog.text


async def test_one_bot_tells_the_commands_and_its_successor_when_they_changed(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_LOOK_WHO_TELLS_EVERY_S", 0.0)
    together = Together()
    together.bot()  # the chief, which is not here
    bot = together.bot()
    async with run_bot(bots=bot, online=False) as running:
        await all_online(running, loopback.gateway, 0)
        await running.app.engine.warm()
        assert loopback.commands() == []
        together.chief = bot
        await loopback.wait_commands()
        await drawn(loopback, loopback.world.first_channel.id)
    assert len(loopback.registry.all()) > 1


async def test_a_bot_that_stands_by_tells_the_commands_where_it_is_chief(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    together = Together()
    chief, worker = together.bot(), together.bot()
    assert await worker.claim_range("discord", 1) == 0
    async with run_bot(bots=chief, online=False) as bot:
        await loopback.wait_commands()
        assert home_of(bot).stands_by
        assert not loopback.online


@given(st.integers(1, 64), st.integers(0, 200))
def test_ranges_are_all_there_is_and_as_equal_as_can_be(bots: int, more: int) -> None:
    count = bots + more
    ranges = [range_of(index, bots, count) for index in range(bots)]
    assert [shard for one in ranges for shard in one] == list(range(count))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


@given(
    st.integers(1, 20),
    st.lists(
        st.tuples(st.integers(0, 40), st.booleans(), st.floats(0, 20)), min_size=1, max_size=30
    ),
)
def test_no_two_with_one_key_begin_within_five_seconds(
    max_concurrency: int, turns: list[tuple[int, bool, float]]
) -> None:
    now_s = 0.0
    began: list[tuple[int, float]] = []

    async def one(pace: IdentifyPace, shard_id: int, *, again: bool) -> float:
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        pace._sleep = sleep
        await pace.turn(shard_id, again=again)
        return now_s + sum(waited)

    async def all_of_them() -> None:
        nonlocal now_s
        pace = IdentifyPace(max_concurrency, clock=lambda: now_s)
        for shard_id, again, later_s in turns:
            at_s = await one(pace, shard_id, again=again)
            assert at_s >= now_s + (1 if again else 0)
            began.append((shard_id % max_concurrency, at_s))
            now_s += later_s

    asyncio.run(all_of_them())
    for key in {key for key, _ in began}:
        times = sorted(at_s for other, at_s in began if other == key)
        assert all(b - a > 5 for a, b in itertools.pairwise(times))
    if len(began) == 1 and not turns[0][1]:
        assert began[0][1] == 0  # the first waits for nobody
