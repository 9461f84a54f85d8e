"""Discord's rules for answering interactions, each with its code."""

from collections.abc import Awaitable
from typing import Any, Protocol

import aiohttp
import pytest

from standins.base.wire import Json
from standins.discord import Interaction, LoopbackDiscord, ManualClock
from tests.standins.discord.client import Answer, Api

COMMAND = {"name": "imagine", "description": "Draw"}
DEFERRED = {"type": 5}
MESSAGE = {"type": 4, "data": {"content": "hello"}}


class Acknowledge(Protocol):
    """Answers the command with a body."""

    def __call__(self, body: Json, **options: Any) -> Awaitable[Answer]: ...


@pytest.fixture
async def asked(loopback: LoopbackDiscord, api: Api) -> Interaction:
    """A command that nobody has answered."""
    await api("PUT", f"/applications/{loopback.world.application_id}/commands", json=[COMMAND])
    return await loopback.slash("imagine", {})


@pytest.fixture
def acknowledge(api: Api, asked: Interaction) -> Acknowledge:
    async def answer(body: Json, **options: Any) -> Answer:
        path = f"/interactions/{asked.id}/{asked.token}/callback"
        return await api("POST", path, json=body, **options)

    return answer


@pytest.fixture
def webhook(loopback: LoopbackDiscord, asked: Interaction) -> str:
    return f"/webhooks/{loopback.world.application_id}/{asked.token}"


def refused(answer: Answer) -> tuple[int, int]:
    status, body = answer
    return status, body["code"]


async def test_acknowledged_just_in_time(
    asked: Interaction, acknowledge: Acknowledge, clock: ManualClock
) -> None:
    clock.advance(2.999)
    assert await acknowledge(DEFERRED) == (204, None)
    assert asked.state == "deferred"


async def test_acknowledged_too_late(
    asked: Interaction, acknowledge: Acknowledge, clock: ManualClock
) -> None:
    clock.advance(3)
    assert refused(await acknowledge(DEFERRED)) == (404, 10062)
    assert asked.state == "failed"
    assert asked.original is None


async def test_acknowledged_twice(acknowledge: Acknowledge) -> None:
    await acknowledge(DEFERRED)
    assert refused(await acknowledge(DEFERRED)) == (400, 40060)
    assert refused(await acknowledge(MESSAGE)) == (400, 40060)


async def test_acknowledged_with_an_unknown_token(api: Api, asked: Interaction) -> None:
    path = f"/interactions/{asked.id}/wrong/callback"
    assert refused(await api("POST", path, json=DEFERRED)) == (404, 10062)
    path = f"/interactions/{asked.id + 1}/{asked.token}/callback"
    assert refused(await api("POST", path, json=DEFERRED)) == (404, 10062)


@pytest.mark.parametrize("kind", [1, 6, 7, 8, 99, "5", None])
async def test_answers_that_a_command_cannot_have(
    asked: Interaction, acknowledge: Acknowledge, kind: object
) -> None:
    status, body = await acknowledge({"type": kind})
    assert (status, body["code"]) == (400, 50035)
    assert body["errors"]["type"]["_errors"][0]["code"] == "BASE_TYPE_CHOICES"
    assert asked.state == "waiting"


async def test_a_refused_answer_acknowledges_nothing(
    asked: Interaction, acknowledge: Acknowledge
) -> None:
    assert refused(await acknowledge({"type": 4, "data": {"content": ""}})) == (400, 50006)
    assert asked.state == "waiting"
    assert await acknowledge(MESSAGE) == (204, None)


async def test_answer_described_on_request(asked: Interaction, acknowledge: Acknowledge) -> None:
    status, body = await acknowledge(MESSAGE, params={"with_response": "1"})
    assert status == 200
    assert asked.original is not None
    assert body["interaction"]["response_message_id"] == asked.original["id"]
    assert body["resource"]["message"]["content"] == "hello"


async def test_original_before_an_answer(api: Api, webhook: str, asked: Interaction) -> None:
    edit = await api("PATCH", f"{webhook}/messages/@original", json={"content": "x"})
    assert refused(edit) == (404, 10015)
    assert refused(await api("POST", webhook, json={"content": "x"})) == (404, 10015)


async def test_token_lives_fifteen_minutes(
    api: Api, webhook: str, acknowledge: Acknowledge, clock: ManualClock
) -> None:
    await acknowledge(DEFERRED)
    clock.advance(15 * 60 - 0.001)
    status, body = await api("PATCH", f"{webhook}/messages/@original", json={"content": "late"})
    assert (status, body["content"]) == (200, "late")
    clock.advance(0.001)
    original = f"{webhook}/messages/@original"
    assert refused(await api("PATCH", original, json={"content": "x"})) == (401, 50027)
    assert refused(await api("GET", original)) == (401, 50027)
    assert refused(await api("DELETE", original)) == (401, 50027)
    assert refused(await api("POST", webhook, json={"content": "x"})) == (401, 50027)


async def test_message_is_edited_by_its_id_after_the_token(
    api: Api, asked: Interaction, acknowledge: Acknowledge, clock: ManualClock
) -> None:
    await acknowledge(DEFERRED)
    clock.advance(16 * 60)
    assert asked.original is not None
    path = f"/channels/{asked.channel_id}/messages/{asked.original['id']}"
    status, _ = await api("PATCH", path, json={"content": "by id"})
    assert status == 200
    assert (await asked.until(lambda message: message["content"] == "by id"))["flags"] == 0


async def test_webhook_needs_no_bot_token_but_its_own(
    loopback: LoopbackDiscord, acknowledge: Acknowledge, webhook: str
) -> None:
    await acknowledge(MESSAGE)
    async with aiohttp.ClientSession() as session:
        url = f"{loopback.api_url}{webhook}/messages/@original"
        async with session.patch(url, json={"content": "x"}) as response:
            assert response.status == 200


async def test_webhook_of_another_application(
    api: Api, asked: Interaction, acknowledge: Acknowledge
) -> None:
    await acknowledge(MESSAGE)
    path = f"/webhooks/1/{asked.token}/messages/@original"
    assert refused(await api("GET", path)) == (404, 10015)


async def test_webhook_reaches_its_own_messages_only(
    loopback: LoopbackDiscord, api: Api, acknowledge: Acknowledge, webhook: str
) -> None:
    await acknowledge(MESSAGE)
    said = await loopback.say("not yours")
    path = f"{webhook}/messages/{said['id']}"
    assert refused(await api("PATCH", path, json={"content": "x"})) == (404, 10008)
    assert refused(await api("DELETE", path)) == (404, 10008)


async def test_deferred_ephemeral_stays_ephemeral(
    api: Api, asked: Interaction, acknowledge: Acknowledge, webhook: str
) -> None:
    await acknowledge({"type": 5, "data": {"flags": 64}})
    status, body = await api("POST", webhook, json={"content": "psst"})
    assert status == 200
    assert asked.original is not None
    assert (body["id"], body["flags"]) == (asked.original["id"], 64)


async def test_deletion_of_the_answer(
    api: Api, asked: Interaction, acknowledge: Acknowledge, webhook: str
) -> None:
    await acknowledge(MESSAGE)
    assert await api("DELETE", f"{webhook}/messages/@original") == (204, None)
    assert asked.original is None
    assert refused(await api("GET", f"{webhook}/messages/@original")) == (404, 10008)
