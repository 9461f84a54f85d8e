"""Nobody holds up others: slow channels, calls that are never answered, few descriptors."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import discord
import pytest

from standins.base.faults import Fault
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import Channel
from tests.bot.conftest import SIZES, RunBot, ShutThrottle, make_config
from tests.bot.homes.discord.matrix import BY_TOKEN, hasty
from tests.bot.homes.discord.test_faults import has_pictures
from tests.fakes import FakePipeline, Gate

_FEW = 120
_CROWD = 100


def found(loopback: LoopbackDiscord, servers: int) -> list[int]:
    """Channels of so many servers."""
    for number in range(servers):
        channel = Channel(9_000 + number, f"far{number}", guild_id=8_000 + number)
        loopback.world.channels[channel.id] = channel
    return [9_000 + number for number in range(servers)]


@pytest.mark.parametrize("servers", [1, 12])
async def test_slow_deliveries_delay_nobody_elses(
    loopback: LoopbackDiscord, run_bot: RunBot, servers: int
) -> None:
    """Twelve are never answered, in one server or in as many."""
    gate = Gate()
    config = make_config(max_queued=50, grace_s=0)
    channels = found(loopback, servers)
    async with run_bot(
        lambda: FakePipeline(SIZES, gate=gate), config=config, throttle=ShutThrottle
    ) as bot:
        slow = [
            await loopback.slash("imagine", {"prompt": "slow"}, channel_id=channels[n % servers])
            for n in range(12)
        ]
        held = [
            loopback.faults.add(
                Fault(
                    kind="latency",
                    method="PATCH",
                    route=f"/webhooks/*/{one.token}/messages/*",
                    nth=2,  # after the first words
                    count=None,
                )
            )
            for one in slow
        ]
        gate.open()
        while sum(bool(one.fired) for one in held) < min(4 * servers, 8):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        quick = await loopback.slash("imagine", {"prompt": "quick"})
        async with asyncio.timeout(10):  # a call that is not answered takes fifteen
            await quick.until(has_pictures)
        loopback.faults.clear()
        assert not bot.task.done()


async def test_a_call_that_is_never_answered_is_given_up_and_made_again(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(throttle=ShutThrottle, call_limit_s=0.2, sleep=hasty):
        never = loopback.faults.add(Fault(kind="latency", method="PATCH", route=BY_TOKEN, count=3))
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(has_pictures)
        assert never.fired == 3


async def test_a_broken_off_wait_for_all_of_discord_closes_no_gate(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """discord.py closes one for every call while one of them waits; that one is given up here."""
    monkeypatch.setattr(discord.http, "asyncio", asyncio)  # it waits as it really does
    async with run_bot(throttle=ShutThrottle, call_limit_s=0.2, sleep=hasty) as bot:
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        await interaction.until(has_pictures)
        client = await next(iter(bot.app.homes.values()))._connection.client()  # type: ignore[attr-defined]
        limit = Fault(
            kind="rate_limit", route="/channels/*/messages", is_global=True, retry_after_s=20
        )
        loopback.faults.add(limit)
        channel = client.get_partial_messageable(loopback.world.first_channel.id)
        calls = client.calls
        with pytest.raises(TimeoutError):
            await calls.make(
                client, lambda: channel.send("x"), channel=1, patience=calls.patience()
            )
        sent = await calls.make(
            client, lambda: channel.send("x"), channel=1, patience=calls.patience()
        )
        assert sent.content == "x"


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300));"
        "from bot.shared import descriptors; before = descriptors.free();"
        "descriptors.raise_limit(); print(before, descriptors.free())"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = map(int, done.stdout.split())
    assert after - before == 200
    assert 80 < before < 100


# Two seconds of a process that answers a hundred people at once.
async def test_few_descriptors_leave_nobody_unanswered(tmp_path: Path) -> None:
    """Everybody asks at once, Discord takes its time, and nothing more can be opened."""
    # Its seconds take forty: whether all are answered is asked, not how fast the machine is.
    loopback = LoopbackDiscord(clock=lambda: time.monotonic() / 40, rate_limits=False)
    await loopback.start()
    bot = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        f'ulimit -n {_FEW}; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "tests.bot.killing.bot",
        loopback.base_url,
        str(tmp_path),
        env={**os.environ, "DISCORD_TOKEN": loopback.token},
    )
    try:
        await loopback.wait_ready()
        await loopback.wait_commands()
        loopback.faults.add(Fault(kind="latency", seconds=0.004, count=None))
        channels = found(loopback, 10)
        people = [one.id for one in loopback.world.people.values() if not one.bot]
        asked = await asyncio.gather(
            *(
                loopback.slash(
                    "imagine",
                    {"prompt": f"picture {n}", "steps": 1},
                    user_id=people[n % len(people)],
                    channel_id=channels[n % len(channels)],
                )
                for n in range(_CROWD)
            )
        )
        await asyncio.gather(*(one.until(lambda _: True) for one in asked))
        assert sum(one.acknowledged for one in asked) == _CROWD
    finally:
        bot.kill()
        await bot.wait()
        await loopback.close()
