"""Each kind of fault, as a client meets it."""

import asyncio

import aiohttp
import discord
import pytest

from standins.base.faults import GatewayKind
from standins.discord import Fault, GatewayFault, LoopbackDiscord, ManualClock
from tests.standins.discord.client import Api, Bot, Interaction, RawGateway, Serve, running

TEAPOT = {"message": "I am a teapot", "code": 0}
ORIGINAL = "/webhooks/*/*/messages/@original"


@pytest.fixture
def messages(loopback: LoopbackDiscord) -> str:
    return f"/channels/{loopback.world.first_channel.id}/messages"


def count(loopback: LoopbackDiscord) -> int:
    return len(loopback.history(loopback.world.first_channel.id))


async def test_status(loopback: LoopbackDiscord, api: Api, messages: str) -> None:
    fault = loopback.faults.add(
        Fault(kind="status", method="POST", route="/channels/*/messages", status=418, body=TEAPOT)
    )
    assert await api("GET", messages) == (200, [])
    assert await api("POST", messages, json={"content": "x"}) == (418, TEAPOT)
    assert (fault.fired, count(loopback)) == (1, 0)
    assert (await api("POST", messages, json={"content": "x"}))[0] == 200


async def test_second_and_third_time(loopback: LoopbackDiscord, api: Api, messages: str) -> None:
    fault = loopback.faults.add(Fault(kind="status", route="/channels/**", nth=2, count=2))
    statuses = [(await api("GET", messages))[0] for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert (fault.seen, fault.fired) == (4, 2)


async def test_for_good_until_cleared(loopback: LoopbackDiscord, api: Api, messages: str) -> None:
    loopback.faults.add(Fault(kind="status", count=None))
    assert [(await api("GET", messages))[0] for _ in range(3)] == [503] * 3
    loopback.faults.clear()
    assert (await api("GET", messages))[0] == 200


async def test_latency_until_a_gate_opens(
    loopback: LoopbackDiscord, api: Api, messages: str
) -> None:
    gate = asyncio.Event()
    fault = loopback.faults.add(Fault(kind="latency", method="POST", gate=gate))
    sending = asyncio.create_task(api("POST", messages, json={"content": "x"}))
    await fault.wait_fired()
    assert count(loopback) == 0
    gate.set()
    assert (await sending)[0] == 200


async def test_latency_by_the_clock(
    loopback: LoopbackDiscord, api: Api, messages: str, clock: ManualClock
) -> None:
    fault = loopback.faults.add(Fault(kind="latency", seconds=2))
    sending = asyncio.create_task(api("POST", messages, json={"content": "x"}))
    await fault.wait_fired()
    await api("GET", "/users/@me")  # the held request has had its turn by now
    assert not sending.done()
    clock.advance(2)
    assert (await sending)[0] == 200


async def test_latency_past_the_acknowledgement(
    loopback: LoopbackDiscord, bot: Bot, clock: ManualClock
) -> None:
    refused: asyncio.Queue[int] = asyncio.Queue()

    async def defer(interaction: Interaction) -> None:
        with pytest.raises(discord.NotFound) as caught:
            await interaction.response.defer(thinking=True)
        refused.put_nowait(caught.value.code)

    bot.handler = defer
    fault = loopback.faults.add(Fault(kind="latency", route="/interactions/**", seconds=3.5))
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    await fault.wait_fired()
    await asyncio.sleep(0)
    clock.advance(3.5)
    assert await refused.get() == 10062
    assert interaction.state == "failed"


async def test_closing_frees_held_requests(serve: Serve) -> None:
    loopback = await serve(LoopbackDiscord())
    fault = loopback.faults.add(Fault(kind="latency", gate=asyncio.Event()))
    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.get(loopback.api_url + "/users/@me"))
        await fault.wait_fired()
        await asyncio.sleep(0)
        await asyncio.wait_for(loopback.close(), 1.5)
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_drop_before_leaves_no_trace(
    loopback: LoopbackDiscord, api: Api, messages: str
) -> None:
    fault = loopback.faults.add(Fault(kind="drop_before", method="POST"))
    with pytest.raises(aiohttp.ClientError):
        await api("POST", messages, json={"content": "x"})
    assert (fault.fired, count(loopback)) == (1, 0)


async def test_drop_after_has_done_it(loopback: LoopbackDiscord, api: Api, messages: str) -> None:
    fault = loopback.faults.add(Fault(kind="drop_after", method="POST"))
    with pytest.raises(aiohttp.ClientError):
        await api("POST", messages, json={"content": "x", "nonce": "1", "enforce_nonce": True})
    assert (fault.fired, count(loopback)) == (1, 1)
    again = {"content": "x", "nonce": "1", "enforce_nonce": True}
    assert (await api("POST", messages, json=again))[0] == 200
    assert count(loopback) == 1


async def test_discord_py_waits_out_a_429(loopback: LoopbackDiscord, bot: Bot) -> None:
    async def draw(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(content="done")

    bot.handler = draw
    fault = loopback.faults.add(
        Fault(kind="rate_limit", method="PATCH", route=ORIGINAL, retry_after_s=0.01)
    )
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    assert await interaction.until(lambda message: message["content"] == "done")
    assert (fault.fired, fault.seen) == (1, 2)


async def test_discord_py_waits_out_a_global_429(loopback: LoopbackDiscord, bot: Bot) -> None:
    fault = loopback.faults.add(
        Fault(kind="rate_limit", route="/channels/**", retry_after_s=0.01, is_global=True)
    )
    channel = await bot.fetch_channel(loopback.world.first_channel.id)
    assert isinstance(channel, discord.TextChannel)
    assert (channel.name, fault.seen) == ("imagine", 2)


async def test_429_looks_like_discords(loopback: LoopbackDiscord) -> None:
    loopback.faults.add(Fault(kind="rate_limit", retry_after_s=1.5))
    async with (
        aiohttp.ClientSession() as session,
        session.get(loopback.api_url + "/users/@me") as response,
    ):
        body = await response.json()
        assert (response.status, body["retry_after"], body["global"]) == (429, 1.5, False)
        assert response.headers["Retry-After"] == "2"
        assert response.headers["Via"] == "1.1 google"


async def test_dropped_edit_reaches_the_bot_as_an_error(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    lost: asyncio.Queue[Exception] = asyncio.Queue()

    async def draw(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        try:
            await interaction.edit_original_response(content="done")
        except (aiohttp.ClientError, OSError) as error:
            lost.put_nowait(error)

    bot.handler = draw
    loopback.faults.add(Fault(kind="drop_after", method="PATCH", route=ORIGINAL))
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    assert await lost.get()
    assert interaction.original is not None
    assert interaction.original["content"] == "done"


async def answer(interaction: Interaction) -> None:
    await interaction.response.send_message("here")


@pytest.mark.parametrize(
    ("kind", "resumable"), [("drop", False), ("reconnect", False), ("invalid_session", True)]
)
async def test_command_is_replayed_after_the_gateway_fails(
    loopback: LoopbackDiscord, bot: Bot, kind: GatewayKind, resumable: bool
) -> None:
    bot.handler = answer
    fault = loopback.faults.add(
        GatewayFault(kind=kind, on="INTERACTION_CREATE", resumable=resumable)
    )
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    assert await interaction.until(lambda message: message["content"] == "here")
    assert (fault.fired, loopback.gateway.resumes) == (1, 1)


async def test_command_is_lost_with_its_session(loopback: LoopbackDiscord, bot: Bot) -> None:
    bot.handler = answer
    loopback.faults.add(GatewayFault(kind="invalid_session", on="INTERACTION_CREATE"))
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    await loopback.wait_ready()
    assert (loopback.gateway.identifies, interaction.state) == (2, "waiting")


async def test_refused_connect(loopback: LoopbackDiscord) -> None:
    fault = loopback.faults.add(GatewayFault(kind="refuse", on="CONNECT"))
    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        async with RawGateway.connect(loopback):
            raise AssertionError
    async with RawGateway.connect(loopback) as raw:
        assert (await raw.receive())["op"] == 10
    assert fault.fired == 1
    with pytest.raises(ValueError, match="CONNECT"):
        GatewayFault(kind="refuse", on="RESUME")


async def test_identify_meets_an_invalid_session(loopback: LoopbackDiscord) -> None:
    loopback.faults.add(GatewayFault(kind="invalid_session", on="IDENTIFY"))
    async with running(loopback):
        assert loopback.gateway.identifies == 1


async def test_discord_py_notices_a_zombie(serve: Serve, clock: ManualClock) -> None:
    loopback = await serve(LoopbackDiscord(clock=clock, heartbeat_interval_s=0.02))
    async with running(loopback, heartbeat_timeout=0.3) as bot:
        fault = loopback.faults.add(GatewayFault(kind="silence", on="HEARTBEAT"))
        await bot.saw("resumed")
        assert fault.fired == 1
        bot.handler = answer
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        assert await interaction.until(lambda message: message["content"] == "here")
