"""Sockets: hello, envelopes to one of them, redelivery, disconnects, faults."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import GatewayFault, LoopbackSlack, ManualClock
from tests.standins.slack.app import APP_TOKEN, BEN, IMAGINE, App, Inbox

Socket = aiohttp.ClientWebSocketResponse
Connect = Callable[[], Awaitable[Socket]]


async def new_url(client: AsyncWebClient) -> str:
    opened = await client.apps_connections_open(app_token=APP_TOKEN)
    return str(opened["url"])


@pytest.fixture
async def connect(client: AsyncWebClient, session: aiohttp.ClientSession) -> AsyncIterator[Connect]:
    """Opens sockets that answer nothing by themselves."""
    async with AsyncExitStack() as sockets:

        async def one() -> Socket:
            connecting = session.ws_connect(await new_url(client))
            return await sockets.enter_async_context(connecting)

        yield one


async def receive(socket: Socket) -> Any:
    return await socket.receive_json()


async def greeted(connect: Connect) -> Socket:
    socket = await connect()
    assert (await receive(socket))["type"] == "hello"
    return socket


async def test_hello(connect: Connect, slack: LoopbackSlack) -> None:
    for n in (1, 2):
        hello = await receive(await connect())
        assert hello["num_connections"] == n
        assert hello["connection_info"] == {"app_id": "A0LOOPBACK"}
        assert "approximate_connection_time" in hello["debug_info"]
    assert slack.connections == 2


async def test_a_url_is_good_for_one_socket(
    connect: Connect, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    url = await new_url(client)
    async with session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect(url.partition("?")[0])


async def test_pings_are_answered_and_sent(
    client: AsyncWebClient, session: aiohttp.ClientSession, clock: ManualClock
) -> None:
    async with session.ws_connect(await new_url(client), autoping=False) as socket:
        assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
        assert (await socket.receive()).type is aiohttp.WSMsgType.PING
        await socket.ping(b"one")
        answer = await socket.receive()
        assert (answer.type, bytes(answer.data)) == (aiohttp.WSMsgType.PONG, b"one")
        clock.advance(30.0)
        assert (await socket.receive()).type is aiohttp.WSMsgType.PING


async def test_an_envelope_goes_to_one_socket(connect: Connect, slack: LoopbackSlack) -> None:
    sockets = [await greeted(connect) for _ in range(2)]
    invocations = [
        await slack.slash("/imagine", str(n), user=BEN, channel=IMAGINE) for n in range(4)
    ]
    texts = []
    for socket in sockets:
        for _ in range(2):
            envelope = await receive(socket)
            assert envelope["type"] == "slash_commands"
            assert envelope["accepts_response_payload"] is True
            assert "retry_attempt" not in envelope
            texts.append(envelope["payload"]["text"])
            await socket.send_json({"envelope_id": envelope["envelope_id"]})
    assert sorted(texts) == ["0", "1", "2", "3"]
    for invocation in invocations:
        await invocation.acknowledged()
        assert invocation.acked


async def test_an_event_comes_again_elsewhere(
    connect: Connect, slack: LoopbackSlack, clock: ManualClock
) -> None:
    sockets = {n: await greeted(connect) for n in range(2)}
    await slack.say("hi", user=BEN, channel=IMAGINE)
    first, second = (1, 0)
    one = await receive(sockets[first])
    assert (one["type"], one["retry_attempt"], one["retry_reason"]) == ("events_api", 0, "")
    clock.advance(3.0)
    two = await receive(sockets[second])
    assert (two["retry_attempt"], two["retry_reason"]) == (1, "timeout")
    assert two["payload"]["event_id"] == one["payload"]["event_id"]
    clock.advance(3.0)
    clock.advance(60.0)
    three = await receive(sockets[first])
    assert three["retry_attempt"] == 2
    # Whichever of them is acked, it is the same event.
    await sockets[second].send_json({"envelope_id": two["envelope_id"]})
    await slack.until(lambda: slack.unacknowledged == 0)
    clock.advance(1_000.0)
    await slack.say("next", user=BEN, channel=IMAGINE)
    follows = await receive(sockets[second])
    assert follows["payload"]["event"]["text"] == "next"


async def test_an_event_is_given_up(slack: LoopbackSlack, clock: ManualClock) -> None:
    await slack.say("nobody is here", user=BEN, channel=IMAGINE)
    for seconds in (3.0, 3.0, 60.0, 3.0, 300.0):
        clock.advance(seconds)
        assert slack.unacknowledged == 1
    clock.advance(3.0)
    assert slack.unacknowledged == 0


async def test_bolt_sees_that_it_was_sent_again(
    slack: LoopbackSlack, app: App, clock: ManualClock
) -> None:
    seen = Inbox()

    @app.bolt.event("message")
    async def message(request: Any) -> None:
        seen.put(request.headers)

    slack.faults.add(GatewayFault(kind="reconnect", on="ENVELOPE"))
    await slack.say("hi", user=BEN, channel=IMAGINE)
    await slack.until(lambda: slack.connections == 1 and not slack.draining)
    clock.advance(3.0)
    assert (await seen.get())["x-slack-retry-num"] == ["1"]


async def test_a_late_ack_changes_nothing(
    connect: Connect, slack: LoopbackSlack, clock: ManualClock
) -> None:
    socket = await greeted(connect)
    invocation = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    envelope = await receive(socket)
    clock.advance(3.0)
    assert invocation.failed
    await socket.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "x"}})
    await socket.send_str("not JSON")
    await socket.send_json(["no object"])
    again = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await socket.send_json({"envelope_id": (await receive(socket))["envelope_id"]})
    await again.acknowledged()
    assert (invocation.acked, slack.history(IMAGINE, viewer=BEN)) == (False, [])


async def test_sockets_are_rotated(
    connect: Connect, slack: LoopbackSlack, clock: ManualClock
) -> None:
    old = await greeted(connect)
    await slack.disconnect_sockets()
    told = await receive(old)
    assert (told["type"], told["reason"]) == ("disconnect", "refresh_requested")
    kept = await slack.slash("/imagine", "kept", user=BEN, channel=IMAGINE)
    assert (await receive(old))["payload"]["text"] == "kept"
    new = await greeted(connect)
    await slack.slash("/imagine", "new", user=BEN, channel=IMAGINE)
    assert (await receive(new))["payload"]["text"] == "new"
    clock.advance(10.0)
    assert (await old.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
    assert kept.failed


async def test_bolt_comes_back_on_another_socket(slack: LoopbackSlack, app: App) -> None:
    @app.bolt.command("/imagine")
    async def imagine(ack: AsyncAck) -> None:
        await ack()

    await slack.disconnect_sockets("warning")
    assert slack.draining
    await slack.until(lambda: slack.connections == 1 and not slack.draining)
    invocation = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await invocation.acknowledged()
    assert invocation.acked


async def test_ten_sockets_are_enough(connect: Connect) -> None:
    for _ in range(10):
        await greeted(connect)
    told = await receive(await connect())
    assert told["reason"] == "too_many_websockets"


async def test_an_app_without_its_token_does_not_connect(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    await slack.uninstall()
    with pytest.raises(Exception, match="account_inactive"):
        await new_url(client)


async def test_a_connect_can_be_refused(slack: LoopbackSlack, connect: Connect) -> None:
    slack.faults.add(GatewayFault(kind="refuse", on="CONNECT"))
    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        await connect()
    await greeted(connect)


@pytest.mark.parametrize("occasion", ["CONNECT", "HELLO"])
@pytest.mark.parametrize("kind", ["drop", "silence"])
async def test_a_socket_that_never_says_hello(
    slack: LoopbackSlack, connect: Connect, occasion: str, kind: Any
) -> None:
    fault = slack.faults.add(GatewayFault(kind=kind, on=occasion))
    socket = await connect()
    await fault.wait_fired()
    if kind == "drop":
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSED
    assert slack.connections == 0
    await greeted(connect)


@pytest.mark.parametrize("kind", ["drop", "silence"])
async def test_an_envelope_that_is_lost(
    slack: LoopbackSlack, connect: Connect, clock: ManualClock, kind: Any
) -> None:
    slack.faults.add(GatewayFault(kind=kind, on="ENVELOPE"))
    sick = await greeted(connect)
    await slack.say("hi", user=BEN, channel=IMAGINE)
    if kind == "drop":
        assert (await sick.receive()).type is aiohttp.WSMsgType.CLOSED
    well = await greeted(connect)
    clock.advance(3.0)
    envelope = await receive(well)
    assert (envelope["payload"]["event"]["text"], envelope["retry_attempt"]) == ("hi", 1)


async def test_a_command_is_not_sent_twice(
    slack: LoopbackSlack, connect: Connect, clock: ManualClock
) -> None:
    slack.faults.add(GatewayFault(kind="silence", on="ENVELOPE"))
    await greeted(connect)
    invocation = await slack.slash("/imagine", "lost", user=BEN, channel=IMAGINE)
    well = await greeted(connect)
    clock.advance(3.0)
    assert invocation.failed
    await slack.slash("/imagine", "next", user=BEN, channel=IMAGINE)
    await slack.slash("/imagine", "last", user=BEN, channel=IMAGINE)
    assert (await receive(well))["payload"]["text"] in {"next", "last"}


async def test_a_second_app_shares_the_work(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    seen: list[str] = []

    async def note(ack: AsyncAck, command: Json) -> None:
        seen.append(command["text"])
        await ack()

    app.bolt.command("/imagine")(note)
    other = AsyncApp(client=client)
    other.command("/imagine")(note)
    handler = AsyncSocketModeHandler(other, APP_TOKEN)
    await handler.connect_async()
    await slack.until(lambda: slack.connections == 2)
    for n in range(4):
        invocation = await slack.slash("/imagine", str(n), user=BEN, channel=IMAGINE)
        await invocation.acknowledged()
    assert seen == ["0", "1", "2", "3"]
    await handler.close_async()
    await slack.until(lambda: slack.connections == 1)
