import aiohttp
import discord
import pytest
import yarl

from standins.discord import LoopbackDiscord, ManualClock
from tests.standins.discord.client import Api, running
from tests.standins.discord.openapi import DESCRIPTION, Contract


@pytest.fixture(scope="session")
def description():
    """Discord's description of its API, read once; None where it is not beside the project."""
    return Contract() if DESCRIPTION.is_file() else None


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def serve(description, monkeypatch):
    """Starts loopbacks; each one's bodies are checked against the description."""
    started = []

    async def start(**options):
        loopback = LoopbackDiscord(**options)
        if description is not None:
            description.watch(loopback)
        await loopback.start()
        started.append(loopback)
        monkeypatch.setattr(discord.http.Route, "BASE", loopback.api_url)
        gateway = yarl.URL(loopback.gateway_url)
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", gateway)
        return loopback

    yield start
    for loopback in started:
        await loopback.close()
    if description is not None:
        breaches, description.breaches = description.breaches, []
        assert breaches == []


@pytest.fixture
async def loopback(serve, clock):
    """A loopback whose clock stands still."""
    return await serve(clock=clock, rate_limits=False)


@pytest.fixture
async def bot(loopback):
    """A real discord.py client, ready."""
    async with running(loopback) as bot:
        yield bot


@pytest.fixture
async def api(loopback):
    """Plain requests with the bot's token."""
    async with aiohttp.ClientSession() as session:
        yield Api(session, loopback)
