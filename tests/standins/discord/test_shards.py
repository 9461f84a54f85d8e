"""The gateway's shards: who hears what, who may be one, and how fast they may come."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import discord
import pytest

from standins.discord import LoopbackDiscord, ManualClock
from standins.discord.gateway import Shard
from tests.standins.discord.client import Api, RawGateway, online

MESSAGES = 1 << 9


@pytest.fixture
async def shards(loopback: LoopbackDiscord) -> AsyncIterator[list[RawGateway]]:
    """Three of three, which have got READY."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(shard(loopback, one, 3)) for one in range(3)]


@asynccontextmanager
async def shard(loopback: LoopbackDiscord, number: int, count: int) -> AsyncIterator[RawGateway]:
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token, 1 | MESSAGES, shard=[number, count])
        assert (await raw.event("READY"))["d"]["shard"] == [number, count]
        yield raw


async def test_each_server_is_heard_by_its_shard_alone(
    loopback: LoopbackDiscord, shards: list[RawGateway]
) -> None:
    for number in range(3):
        loopback.gateway.dispatch("TYPING_START", {"guild_id": str(number << 22), "n": number})
    loopback.gateway.dispatch("TYPING_START", {"n": "in private"})
    assert (await shards[0].event("TYPING_START"))["d"]["n"] == 0
    assert (await shards[0].event("TYPING_START"))["d"]["n"] == "in private"
    for number in (1, 2):
        assert (await shards[number].event("TYPING_START"))["d"]["n"] == number
    loopback.gateway.ask_heartbeat()
    for raw in shards:  # and nothing else
        while (told := await raw.receive())["op"] != 1:
            assert told["t"] == "GUILD_CREATE"


async def test_a_server_is_told_of_to_its_shard_alone(
    loopback: LoopbackDiscord, shards: list[RawGateway]
) -> None:
    own = (loopback.world.guild_id >> 22) % 3
    assert (await shards[own].event("GUILD_CREATE"))["d"]["id"] == str(loopback.world.guild_id)
    loopback.gateway.ask_heartbeat()
    for number in {0, 1, 2} - {own}:
        assert (await shards[number].receive())["op"] == 1


async def test_too_few_shards_are_refused(loopback: LoopbackDiscord) -> None:
    loopback.gateway.least_shards = 2
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token, shard=[0, 1])
        assert await raw.closed() == 4011
    async with shard(loopback, 0, 2):
        assert loopback.gateway.listening(0) == 1


async def test_a_shard_may_be_there_twice(loopback: LoopbackDiscord) -> None:
    async with shard(loopback, 1, 2) as one, shard(loopback, 1, 2) as other:
        assert [loopback.gateway.listening(number) for number in range(2)] == [0, 2]
        assert loopback.gateway.identified[Shard(1, 2)] == 2
        loopback.gateway.dispatch("TYPING_START", {"guild_id": str(1 << 22)})
        for raw in (one, other):
            await raw.event("TYPING_START")
    loopback.gateway.dispatch("TYPING_START", {"guild_id": str(1 << 22)})  # nobody breaks


async def test_those_who_identify_too_fast_are_told_that_their_session_is_none(
    loopback: LoopbackDiscord, clock: ManualClock
) -> None:
    gateway = loopback.gateway
    gateway.limits_identifies, gateway.max_concurrency = True, 2
    async with shard(loopback, 0, 4), shard(loopback, 1, 4), RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token, shard=[2, 4])
        assert await raw.receive() == {"op": 9, "d": False, "s": None, "t": None}
        clock.advance(5)
        await raw.identify(loopback.token, shard=[2, 4])
        await raw.event("READY")


async def test_what_bots_are_told_of_shards(loopback: LoopbackDiscord, api: Api) -> None:
    gateway = loopback.gateway
    gateway.recommended_shards, gateway.max_concurrency = 7, 16
    status, told = await api("GET", "/gateway/bot")
    assert (status, told["url"], told["shards"]) == (200, loopback.gateway_url, 7)
    assert told["session_start_limit"]["max_concurrency"] == 16


async def test_one_shard_is_struck_alone(
    loopback: LoopbackDiscord, shards: list[RawGateway]
) -> None:
    loopback.gateway.reconnect(1)
    await loopback.gateway.wait_listening(0, 1, 2)
    assert (await shards[1].event("GUILD_CREATE"))["op"] == 0
    assert (await shards[1].receive())["op"] == 7
    await shards[1].close(1000)
    await loopback.gateway.wait_listening(0, 2)


class Sharded(discord.AutoShardedClient):
    """An unmodified client with as many shards as it is recommended."""

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Identify at once; discord.py waits 5 s before it identifies again."""


async def test_discord_py_connects_all_that_are_recommended(loopback: LoopbackDiscord) -> None:
    loopback.gateway.recommended_shards = 3
    bot = Sharded(intents=discord.Intents.default(), guild_ready_timeout=0.0)
    async with online(bot, loopback):
        await loopback.gateway.wait_listening(0, 1, 2)
        await bot.wait_until_ready()
        guild = bot.get_guild(loopback.world.guild_id)
        assert guild is not None
        assert guild.shard_id == (guild.id >> 22) % 3
        loopback.gateway.drop(1)
        await loopback.gateway.wait_listening(0, 2)
        await loopback.gateway.wait_listening(0, 1, 2)
    assert loopback.gateway.resumes == 1
