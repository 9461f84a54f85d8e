"""Response URLs: five answers in half an hour."""

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from standins.base.wire import Json
from standins.slack import Fault, Invocation, LoopbackSlack, ManualClock
from tests.standins.slack.app import (
    ADA,
    BEN,
    ELSEWHERE,
    IMAGINE,
    App,
    actions,
    button,
    refused,
    section,
)


@pytest.fixture
async def invocation(slack: LoopbackSlack, app: App) -> Invocation:
    """A command of Ben's that was acked."""

    @app.bolt.command("/imagine")
    async def imagine(ack: AsyncAck) -> None:
        await ack()

    invocation = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await invocation.acknowledged()
    return invocation


@pytest.fixture
def webhook(invocation: Invocation, session: aiohttp.ClientSession) -> AsyncWebhookClient:
    """A client of its response URL."""
    assert invocation.response_url is not None
    return AsyncWebhookClient(invocation.response_url, session=session, retry_handlers=[])


async def test_five_times(
    slack: LoopbackSlack, invocation: Invocation, webhook: AsyncWebhookClient
) -> None:
    wrong = await webhook.send(text="x", blocks=[{"type": "cake"}])
    assert (wrong.status_code, '"invalid_blocks"' in wrong.body) == (404, True)
    for n in range(5):
        answer = await webhook.send(text=str(n))
        assert (answer.status_code, answer.body) == (200, "ok")
    answer = await webhook.send(text="6")
    assert (answer.status_code, answer.body) == (404, '{"ok":false,"error":"used_url"}')
    texts = [one["text"] for one in slack.history(IMAGINE, viewer=BEN)]
    assert texts == [one["text"] for one in invocation.responses] == list("01234")


async def test_for_half_an_hour(webhook: AsyncWebhookClient, clock: ManualClock) -> None:
    clock.advance(30 * 60.0)
    assert (await webhook.send(text="x")).status_code == 200
    clock.advance(1.0)
    answer = await webhook.send(text="x")
    assert (answer.status_code, answer.body) == (404, '{"ok":false,"error":"expired_url"}')


async def test_to_all_or_to_one(slack: LoopbackSlack, webhook: AsyncWebhookClient) -> None:
    await webhook.send(text="all", response_type="in_channel", blocks=[section()])
    await webhook.send(text="one")
    await webhook.send(text="two", replace_original=True)
    assert [one["text"] for one in slack.history(IMAGINE, viewer=ADA)] == ["all"]
    assert [one["text"] for one in slack.history(IMAGINE, viewer=BEN)] == ["all", "one", "two"]
    answer = await webhook.send(delete_original=True)
    assert '"message_not_found"' in answer.body


async def test_what_is_no_answer(
    webhook: AsyncWebhookClient, session: aiohttp.ClientSession
) -> None:
    async with session.post(webhook.url, data=b"text") as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_payload")
    async with session.post(webhook.url + "x", json={"text": "x"}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (404, "invalid_url")
    assert '"no_text"' in (await webhook.send(text="")).body


async def test_faults_strike_here_too(slack: LoopbackSlack, webhook: AsyncWebhookClient) -> None:
    slack.faults.add(Fault(kind="status", route="/response/*", status=500))
    assert (await webhook.send(text="x")).status_code == 500
    assert slack.history(IMAGINE, viewer=BEN) == []


async def test_the_app_answers_where_it_is_not(slack: LoopbackSlack, app: App) -> None:
    @app.bolt.command("/imagine")
    async def imagine(ack: AsyncAck, client: AsyncWebClient) -> None:
        with refused("not_in_channel"):
            await client.chat_postMessage(channel=ELSEWHERE, text="x")
        await ack(text="here", response_type="in_channel")

    invocation = await slack.slash("/imagine", "", user=BEN, channel=ELSEWHERE)
    await invocation.acknowledged()
    assert [one["text"] for one in slack.history(ELSEWHERE)] == ["here"]


async def test_a_pressed_message_is_replaced_whole(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    @app.bolt.action("go")
    async def go(ack: AsyncAck, body: Json) -> None:
        await ack()

    posted = await client.chat_postMessage(channel=IMAGINE, text="old", blocks=[actions(button())])
    message = slack.message(IMAGINE, posted["ts"])
    pressed = await slack.press(message, "go", user=BEN)
    assert pressed.response_url is not None
    webhook = AsyncWebhookClient(pressed.response_url, session=session, retry_handlers=[])
    await webhook.send(text="beside it")
    await webhook.send(text="new", replace_original=True)
    seen = slack.history(IMAGINE, viewer=BEN)
    assert [(one["text"], "blocks" in one) for one in seen] == [
        ("new", False),
        ("beside it", False),
    ]
    await webhook.send(delete_original=True)
    answer = await webhook.send(text="x", replace_original=True)
    assert '"message_not_found"' in answer.body
