"""The connection: kept up through outages, never through faults of our own; each client its own."""

import asyncio
import socket
from typing import Any

import aiohttp
import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.errors import LoginError
from bot.homes.discord.client import ImagineClient
from bot.homes.discord.connection import reach_failure
from standins.base.faults import Fault
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import RunBot
from tests.bot.homes.discord.matrix import ANSWERS, hasty
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


async def break_connection(loopback: LoopbackDiscord) -> None:
    """Send a frame that is no event, and wait until another client has come."""
    (session,) = loopback.gateway.connected
    assert session.socket is not None
    frame: Any = []
    session.socket.post(frame)
    await loopback.wait_offline()
    await loopback.wait_ready()


def odd_events() -> dict[str, tuple[str, Any]]:
    """Events that discord.py cannot read."""
    return {
        "an interaction with nothing in it": ("INTERACTION_CREATE", {}),
        "an interaction that is a list": ("INTERACTION_CREATE", [1]),
        "an interaction of another kind": ("INTERACTION_CREATE", {"id": "x", "type": 2}),
        "a server without an id": ("GUILD_CREATE", {"name": "nameless"}),
        "a channel that is a number": ("CHANNEL_UPDATE", 7),
        "a role of nobody": ("GUILD_ROLE_CREATE", {"guild_id": None, "role": None}),
    }


@pytest.mark.parametrize("name", odd_events())
async def test_an_event_that_makes_no_sense_costs_that_event(
    loopback: LoopbackDiscord, run_bot: RunBot, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    event, data = odd_events()[name]
    async with run_bot():
        loopback.gateway.dispatch(event, data)
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(has_pictures)
        assert loopback.gateway.identifies == 1  # the connection is the same
    assert f"cannot be understood: {event}" in caplog.text


async def test_a_frame_that_is_no_event_costs_a_reconnect(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(sleep=hasty) as bot:
        await break_connection(loopback)
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(has_pictures)
        assert not bot.task.done()


@pytest.mark.parametrize("answer", ["401 of a proxy", "200, a page, not done", "200, a list, done"])
async def test_a_login_that_a_proxy_answers_is_tried_again(
    loopback: LoopbackDiscord, run_bot: RunBot, answer: str
) -> None:
    fault = loopback.faults.add(Fault(method="GET", route="/users/@me", **ANSWERS[answer]))
    async with run_bot(sleep=hasty):
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(has_pictures)
    assert fault.fired == 1


async def test_a_token_that_discord_itself_does_not_know_is_final(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(online=False, token="wrong") as bot:
        with pytest.raises(LoginError, match="does not accept the bot's token"):
            await asyncio.wait_for(asyncio.shield(bot.task), 30)


@pytest.mark.parametrize("answer", ["503 of a proxy", "403 of a proxy", "200, a list, done", "429"])
async def test_commands_that_cannot_be_told_do_not_keep_the_bot_offline(
    loopback: LoopbackDiscord, run_bot: RunBot, answer: str
) -> None:
    fault = loopback.faults.add(
        Fault(method="PUT", route="/applications/*/commands", count=2, **ANSWERS[answer])
    )
    async with run_bot(sleep=hasty) as bot:
        await fault.wait_fired()
        assert loopback.online
        assert not bot.task.done()
        await loopback.wait_commands()


async def test_commands_that_were_deleted_at_discord_are_told_again(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        await loopback.wait_commands()
    for command in loopback.commands():
        loopback.registry.delete(None, int(command["id"]))
    assert loopback.commands() == []
    async with run_bot():
        await loopback.wait_commands()
