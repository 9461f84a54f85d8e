"""Loopbacks, a real discord.py client in front of them, and plain requests."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import aiohttp
import pytest

from standins.base.wire import Json
from standins.discord import LoopbackDiscord, ManualClock
from standins.discord.world import varied_world
from tests.standins.discord.bodies import multipart
from tests.standins.discord.client import Answer, Api, Bot, Post, Serve, pointed_at, running
from tests.standins.discord.openapi import DESCRIPTION, Contract


@pytest.fixture(scope="session")
def description() -> Contract | None:
    """Discord's description of its API, read once; None where it is not beside the project."""
    return Contract() if DESCRIPTION.is_file() else None


@pytest.fixture
def clock() -> ManualClock:
    """A loopback's clock; it stands still until a test moves it."""
    return ManualClock()


@pytest.fixture
async def serve(description: Contract | None) -> AsyncIterator[Serve]:
    """Starts loopbacks; each one's bodies are checked against the description."""
    started: list[LoopbackDiscord] = []
    with ExitStack() as pointing:

        async def start(loopback: LoopbackDiscord) -> LoopbackDiscord:
            if description is not None:
                description.watch(loopback)
            await loopback.start()
            started.append(loopback)
            pointing.enter_context(pointed_at(loopback))
            return loopback

        yield start
        for loopback in started:
            await loopback.close()
    if description is not None:
        breaches, description.breaches = description.breaches, []
        assert breaches == []


@pytest.fixture
async def loopback(serve: Serve, clock: ManualClock) -> LoopbackDiscord:
    """A loopback whose clock stands still."""
    return await serve(LoopbackDiscord(clock=clock, rate_limits=False))


@pytest.fixture
async def varied(serve: Serve, clock: ManualClock) -> LoopbackDiscord:
    """One with all kinds of people and places."""
    return await serve(LoopbackDiscord(clock=clock, rate_limits=False, world=varied_world()))


@pytest.fixture
async def bot(loopback: LoopbackDiscord) -> AsyncIterator[Bot]:
    """A real discord.py client, ready."""
    async with running(loopback) as bot:
        yield bot


@pytest.fixture
async def api(loopback: LoopbackDiscord) -> AsyncIterator[Api]:
    """Plain requests with the bot's token."""
    async with aiohttp.ClientSession() as session:
        yield Api(session, loopback)


@pytest.fixture
def channel(loopback: LoopbackDiscord) -> str:
    """The first channel's address."""
    return f"/channels/{loopback.world.first_channel.id}"


@pytest.fixture
def post(api: Api, channel: str) -> Post:
    """Messages by plain requests, to the first channel."""

    async def post(payload: Json, *files: tuple[str, bytes]) -> Answer:
        if not files:
            return await api("POST", f"{channel}/messages", json=payload)
        return await api("POST", f"{channel}/messages", data=multipart(payload, *files))

    return post
