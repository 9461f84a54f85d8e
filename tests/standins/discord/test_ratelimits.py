"""Rate limits, by a clock that the test moves."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from standins.discord import LoopbackDiscord, ManualClock
from standins.discord.ratelimits import GLOBAL_LIMIT, RateLimits
from tests.standins.discord.client import Answer, Api, Serve


@pytest.fixture
async def limited(serve: Serve, clock: ManualClock) -> LoopbackDiscord:
    """A loopback that limits."""
    return await serve(LoopbackDiscord(clock=clock))


@pytest.fixture
async def ask(limited: LoopbackDiscord) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, limited)


async def test_channel_edits(limited: LoopbackDiscord, ask: Api, clock: ManualClock) -> None:
    world = limited.world
    path = f"/channels/{world.first_channel.id}/messages"
    _, message = await ask("POST", path, json={"content": "x"})

    async def edit() -> Answer:
        return await ask("PATCH", f"{path}/{message['id']}", json={"content": "y"})

    assert [(await edit())[0] for _ in range(5)] == [200] * 5
    clock.advance(1)
    status, body = await edit()
    assert (status, body["retry_after"], body["global"]) == (429, 4.0, False)
    assert body["message"] == "You are being rate limited."
    clock.advance(4)
    assert (await edit())[0] == 200


async def test_answers_of_each_interaction_have_their_own_bucket(
    limited: LoopbackDiscord, ask: Api, clock: ManualClock
) -> None:
    limited.registry.put(None, [{"name": "imagine", "description": "Draw"}])

    async def open_one() -> str:
        interaction = await limited.slash("imagine", {})
        path = f"/interactions/{interaction.id}/{interaction.token}/callback"
        assert (await ask("POST", path, json={"type": 5}))[0] == 204
        return f"/webhooks/{limited.world.application_id}/{interaction.token}/messages/@original"

    first, second = await open_one(), await open_one()
    statuses = [(await ask("PATCH", first, json={"content": "x"}))[0] for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert (await ask("PATCH", second, json={"content": "x"}))[0] == 200
    clock.advance(2)
    assert (await ask("PATCH", first, json={"content": "x"}))[0] == 200


async def test_headers(limited: LoopbackDiscord) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{limited.api_url}/channels/{limited.world.first_channel.id}/messages"
        headers = {"Authorization": f"Bot {limited.token}"}
        async with session.post(url, json={"content": "x"}, headers=headers) as response:
            assert response.headers["X-RateLimit-Limit"] == "5"
            assert response.headers["X-RateLimit-Remaining"] == "4"
            assert response.headers["X-RateLimit-Reset-After"] == "5.000"
            assert float(response.headers["X-RateLimit-Reset"]) > 1e9
            assert response.headers["X-RateLimit-Bucket"]
        async with session.get(url, headers=headers) as response:
            assert "X-RateLimit-Bucket" not in response.headers


def test_global_limit_spares_interactions(clock: ManualClock) -> None:
    limits = RateLimits(clock)
    for _ in range(GLOBAL_LIMIT):
        assert limits.check("GET", "/users/@me").retry_after_s is None
    verdict = limits.check("GET", "/users/@me")
    assert (verdict.retry_after_s, verdict.is_global) == (1.0, True)
    assert limits.check("POST", "/interactions/1/t/callback").retry_after_s is None
    clock.advance(1)
    assert limits.check("GET", "/users/@me").retry_after_s is None


def test_windows_that_are_over_are_forgotten(clock: ManualClock) -> None:
    limits = RateLimits(clock)
    for number in range(100):
        limits.check("POST", f"/webhooks/1/{number}")
        clock.advance(1)
    assert len(limits._windows) <= 2
