"""The connection: kept up through outages, never through faults of our own; each client its own."""

import asyncio
import socket

import aiohttp
import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.homes.discord.client import ImagineClient
from bot.homes.discord.connection import reach_failure
from standins.base.faults import Fault
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import RunBot
from tests.bot.homes.discord.test_faults import has_pictures


async def test_a_fault_of_our_own_is_no_outage(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks before the first connection, and has nothing to do with the network."""

    async def broken(_: ImagineClient) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr(ImagineClient, "setup_hook", broken)
    async with run_bot(online=False) as bot:
        with pytest.raises(ValueError, match="a mistake"):
            await asyncio.wait_for(asyncio.shield(bot.task), 30)


# After a 500 discord.py itself asks four times more.
@pytest.mark.parametrize(("status", "count"), [(500, 5), (503, 1), (429, 1)])
async def test_an_outage_before_the_first_connection_passes(
    loopback: LoopbackDiscord, run_bot: RunBot, status: int, count: int
) -> None:
    login = loopback.faults.add(
        Fault(kind="status", method="GET", route="/users/@me", status=status, count=count)
    )
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(has_pictures)
    assert login.fired == count


async def test_each_client_has_its_own_discord(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    real = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    async with run_bot():
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(has_pictures)
        assert real == (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY)
        # Another client of this process still means the real one, which is not here.
        async with discord.Client(intents=discord.Intents.none()) as other:
            assert yarl.URL(Route("GET", "/users/@me").url).host == "discord.com"
            assert not other.is_ready()


async def test_a_refused_connection_is_said_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.get(f"http://127.0.0.1:{port}/")
    said = reach_failure(caught.value)
    assert said.startswith("127.0.0.1: ")
    assert "ConnectionKey" not in said


def test_an_error_without_words_is_named() -> None:
    assert reach_failure(TimeoutError()) == "TimeoutError"
