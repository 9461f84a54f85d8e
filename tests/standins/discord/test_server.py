"""Starting, stopping, the clock, and that the checks in these tests do check."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.base.timers import Timers
from standins.discord import LoopbackDiscord, ManualClock, PortTakenError
from standins.discord.gateway_socket import _zstd_stream
from standins.discord.wire import DISCORD_EPOCH_MS, Snowflakes, snowflake
from tests.standins.discord.client import Api, Serve
from tests.standins.discord.openapi import Contract


async def test_port_that_is_taken(loopback: LoopbackDiscord) -> None:
    port = int(loopback.base_url.rpartition(":")[2])
    second = LoopbackDiscord()
    with pytest.raises(PortTakenError, match="choose another port") as caught:
        await second.start(port=port)
    assert str(port) in str(caught.value)
    assert isinstance(caught.value, OSError)
    await second.close()


def test_no_address_before_the_start() -> None:
    with pytest.raises(RuntimeError, match="before it has started"):
        _ = LoopbackDiscord().base_url


async def test_wrong_token(loopback: LoopbackDiscord, api: Api) -> None:
    status, body = await api("GET", "/users/@me", token="wrong")
    assert (status, body) == (401, {"message": "401: Unauthorized", "code": 0})


async def test_nobody_is_ready_yet(loopback: LoopbackDiscord) -> None:
    waiting = asyncio.create_task(loopback.wait_ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert not loopback.online
    waiting.cancel()


async def test_gateway_address(loopback: LoopbackDiscord, api: Api) -> None:
    status, body = await api("GET", "/gateway/bot")
    assert (status, body["url"], body["shards"]) == (200, loopback.gateway_url, 1)


async def test_checks_notice_what_is_not_discords(
    description: Contract | None, serve: Serve, api: Api, loopback: LoopbackDiscord
) -> None:
    if description is None:
        pytest.skip("Discord's description of its API is not beside the project")
    checked = description.checked
    await api("GET", "/users/@me")
    assert description.checked == checked + 1
    loopback.world.bot.username = None  # type: ignore[assignment]  # the breach to be noticed
    await api("GET", "/users/@me")
    breaches, description.breaches = description.breaches, []
    assert len(breaches) == 1
    assert "username" in breaches[0]


def test_snowflakes_grow_and_hold_the_time() -> None:
    snowflakes = Snowflakes()
    ids = [snowflakes.new() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    made_s = ((ids[0] >> 22) + DISCORD_EPOCH_MS) / 1_000
    assert abs(made_s - time.time()) < 60


@given(st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats()))
def test_snowflake_of_anything(value: object) -> None:
    found = snowflake(value)
    assert found is None or found == int(str(value))


async def test_timers_run_in_order_and_once(clock: ManualClock) -> None:
    timers, ran = Timers(clock), []
    timers.after(2, lambda: ran.append("second"))
    timers.after(1, lambda: ran.append("first"))
    timers.after(1.5, lambda: ran.append("never")).cancel()
    clock.advance(0.5)
    assert ran == []
    clock.advance(5)
    clock.advance(5)
    assert ran == ["first", "second"]


async def test_timers_follow_real_time() -> None:
    timers, ran = Timers(time.monotonic), asyncio.Event()
    started = time.monotonic()
    timers.after(0.02, ran.set)
    await ran.wait()
    assert time.monotonic() - started >= 0.02


async def test_closing_cancels_sleepers() -> None:
    timers = Timers(ManualClock())
    sleeping = asyncio.create_task(timers.sleep(1))
    await asyncio.sleep(0)
    timers.close()
    with pytest.raises(asyncio.CancelledError):
        await sleeping


def test_zstd_stream_is_one_frame_of_raw_blocks() -> None:
    encode = _zstd_stream()
    assert encode(b"hello") == b"\x28\xb5\x2f\xfd\x00\x38" + b"\x28\x00\x00" + b"hello"
    assert encode(b"again") == b"\x28\x00\x00" + b"again"
    long = encode(bytes(2**17 + 1))
    assert long[:3] == (2**20).to_bytes(3, "little")
    assert long[3 + 2**17 :] == b"\x08\x00\x00\x00"
