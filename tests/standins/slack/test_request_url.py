"""HTTP in place of sockets: an unmodified slack_bolt behind a request URL, and a bare server."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import GatewayFault, LoopbackSlack, ManualClock
from tests.standins.slack.app import (
    BEN,
    IMAGINE,
    Inbox,
    actions,
    button,
    dialog_of,
    modal,
    words,
)
from tests.standins.slack.ports import PATH, held_port, slack_over_http

SECRET = "signing-loopback"


@pytest.fixture
def port() -> Iterator[int]:
    """Where the app will listen."""
    with held_port() as port:
        yield port


@pytest.fixture
async def slack(clock: ManualClock, port: int) -> AsyncIterator[LoopbackSlack]:
    """One that speaks HTTP."""
    async with slack_over_http(clock, port) as loopback:
        yield loopback


@asynccontextmanager
async def listening(app: web.Application, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def bolt(slack: LoopbackSlack, client: AsyncWebClient, port: int) -> AsyncIterator[AsyncApp]:
    """An app of slack_bolt that checks signatures; tests put listeners on it."""
    bolt = AsyncApp(client=client, signing_secret=SECRET)
    async with listening(bolt.web_app(path=PATH), port):
        await slack.wait_connected()
        assert slack.connections == 1
        yield bolt


class Bare:
    """Takes what is sent, and answers it as a test has it.

    seen      the requests that came, with their bodies, challenges aside
    answers   to one after the other; then with an empty 200
    """

    def __init__(self) -> None:
        self.seen = Inbox()
        self.answers: list[web.Response] = []
        self.app = web.Application()
        self.app.router.add_post(PATH, self._take)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.text()
        if '"url_verification"' in body:
            return web.Response(text=json.loads(body)["challenge"])
        self.seen.put((request.headers, body))
        return self.answers.pop(0) if self.answers else web.Response()


@pytest.fixture
async def bare(slack: LoopbackSlack, port: int) -> AsyncIterator[Bare]:
    bare = Bare()
    async with listening(bare.app, port):
        await slack.wait_connected()
        yield bare


async def test_bolt_hears_everything_and_answers(slack: LoopbackSlack, bolt: AsyncApp) -> None:
    heard = Inbox()

    @bolt.command("/imagine")
    async def imagine(ack: AsyncAck, body: Json) -> None:
        await ack(text=f"You said {body['text']}", blocks=[actions(button())])

    @bolt.action("go")
    async def go(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal(words(), callback_id="v"))

    @bolt.view("v")
    async def sent(ack: AsyncAck) -> None:
        await ack(response_action="errors", errors={"words-block": "too short"})

    @bolt.event("message")
    async def message(event: Json) -> None:
        heard.put(event["text"])

    said = "a fox & 100% of + \u00e9"
    asked = await slack.slash("/imagine", said, user=BEN, channel=IMAGINE)
    await asked.acknowledged()
    (answer,) = slack.history(IMAGINE, viewer=BEN)
    assert answer["text"] == f"You said {said}"
    pressed = await slack.press(answer, "go", user=BEN)
    await pressed.acknowledged()
    assert pressed.acked
    view = await dialog_of(slack, BEN)
    submitted = await slack.submit(view, {"words": "a"}, user=BEN)
    assert submitted.errors == {"words-block": "too short"}
    await slack.say("hello", user=BEN, channel=IMAGINE)
    assert await heard.get() == "hello"
    await slack.until(lambda: slack.unacknowledged == 0)


async def test_bolt_with_another_secret_hears_nothing(
    slack: LoopbackSlack, client: AsyncWebClient, port: int
) -> None:
    bolt = AsyncApp(client=client, signing_secret="another")
    heard = Inbox()

    @bolt.command("/imagine")
    async def imagine(ack: AsyncAck) -> None:
        heard.put("it")
        await ack()

    async with listening(bolt.web_app(path=PATH), port):
        asked = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
        await asked.acknowledged()
    assert asked.failed
    assert heard.empty


async def test_each_kind_comes_in_its_own_form(slack: LoopbackSlack, bare: Bare) -> None:
    await slack.slash("/imagine", "a payload=1", user=BEN, channel=IMAGINE)
    headers, body = await bare.seen.get()
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    fields = parse_qs(body, keep_blank_values=True)
    assert (fields["command"], fields["text"]) == (["/imagine"], ["a payload=1"])
    assert fields["is_enterprise_install"] == ["false"]

    await slack.shortcut("imagine", user=BEN)
    headers, body = await bare.seen.get()
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    ((name, (payload,)),) = parse_qs(body).items()
    assert (name, json.loads(payload)["callback_id"]) == ("payload", "imagine")

    await slack.say("hi", user=BEN, channel=IMAGINE)
    headers, body = await bare.seen.get()
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["event"]["text"] == "hi"
    assert SignatureVerifier(SECRET).is_valid_request(body, dict(headers))
    assert not SignatureVerifier("another").is_valid_request(body, dict(headers))
    assert "X-Slack-Retry-Num" not in headers


async def test_a_command_may_be_answered_with_bare_text(slack: LoopbackSlack, bare: Bare) -> None:
    bare.answers.append(web.Response(text="so be it"))
    asked = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await asked.acknowledged()
    assert [one["text"] for one in slack.history(IMAGINE, viewer=BEN)] == ["so be it"]


async def test_what_a_person_does_is_sent_once_and_fails(slack: LoopbackSlack, bare: Bare) -> None:
    bare.answers.append(web.Response(status=500))
    asked = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await asked.acknowledged()
    assert asked.failed
    await bare.seen.get()
    await slack.until(lambda: slack.unacknowledged == 0)
    assert bare.seen.empty


async def test_a_command_has_three_seconds(
    slack: LoopbackSlack, clock: ManualClock, bare: Bare
) -> None:
    fault = slack.faults.add(GatewayFault(kind="silence", on="ENVELOPE"))
    asked = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await fault.wait_fired()
    clock.advance(2.9)
    assert slack.unacknowledged == 1
    clock.advance(0.1)
    await asked.acknowledged()
    assert asked.failed
    assert bare.seen.empty


async def test_an_event_comes_four_times_and_is_given_up(
    slack: LoopbackSlack, clock: ManualClock, bare: Bare
) -> None:
    fault = slack.faults.add(GatewayFault(kind="silence", on="ENVELOPE", count=3))

    async def changed(step_s: float) -> None:
        count = slack.change_count
        clock.advance(step_s)
        await slack.until(lambda: slack.change_count > count)

    await slack.say("hi", user=BEN, channel=IMAGINE)
    await fault.wait_fired()
    await changed(3.0)
    assert fault.fired == 2  # at once
    await changed(3.0)
    clock.advance(59.9)
    await changed(0.1)
    assert fault.fired == 3
    await changed(3.0)
    bare.answers.append(web.Response(status=503))
    clock.advance(300.0)
    headers, _ = await bare.seen.get()
    told = [headers[f"X-Slack-Retry-{name}"] for name in ("Num", "Reason")]
    assert told == ["3", "http_timeout"]
    await slack.until(lambda: slack.unacknowledged == 0)


async def test_an_event_comes_again_with_the_reason(slack: LoopbackSlack, bare: Bare) -> None:
    bare.answers += [web.Response(status=500), web.Response(status=404)]
    await slack.say("hi", user=BEN, channel=IMAGINE)
    first = await bare.seen.get()
    second = await bare.seen.get()
    assert second[1] == first[1]
    told = [second[0][f"X-Slack-Retry-{name}"] for name in ("Num", "Reason")]
    assert told == ["1", "http_error"]
    assert slack.unacknowledged == 1


async def test_an_event_is_not_sent_again_to_who_does_not_want_it(
    slack: LoopbackSlack, bare: Bare
) -> None:
    bare.answers.append(web.Response(status=500, headers={"X-Slack-No-Retry": "1"}))
    await slack.say("hi", user=BEN, channel=IMAGINE)
    await bare.seen.get()
    await slack.until(lambda: slack.unacknowledged == 0)
    assert bare.seen.empty


async def test_where_nobody_listens_a_person_is_told_at_once(slack: LoopbackSlack) -> None:
    asked = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await asked.acknowledged()
    assert asked.failed
    assert slack.connections == 0
