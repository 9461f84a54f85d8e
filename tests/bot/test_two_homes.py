"""One bot for Discord and Slack, over both wires: one engine, and one fair queue for all."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bot.app import App, discord_home, slack_home
from bot.config.reading import SlackTokens
from bot.config.sections import SlackConfig
from bot.shared.secret import Secret
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import Channel
from standins.slack.loopback import DEFAULT_APP_TOKEN, DEFAULT_BOT_TOKEN, LoopbackSlack
from tests.bot.conftest import SIZES, Bot, ShutThrottle, make_config
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, CLEO
from tests.bot.homes.slack.test_running import BEN as SLACKS_BEN
from tests.bot.homes.slack.test_running import CLEO as SLACKS_CLEO
from tests.bot.homes.slack.test_running import IMAGINE
from tests.fakes import FakePipeline, Gate

_STEPS = 2
_OTHER = 930_000_000_000_000_001  # a server beside the world's own
_ITS_CHANNEL = 920_000_000_000_000_001
_FLOOD, _FEW = 15, 4


async def _ask(
    app: App, discord: LoopbackDiscord, slack: LoopbackSlack, where: str, person: int | str
) -> None:
    """Ask for something that says where it was asked, and wait until the queue has it."""
    before = len(await app.ledger.find(limit=999))
    if isinstance(person, str):
        text = f"{where} --steps {_STEPS}"
        await slack.slash("/imagine", text, user=person, channel=IMAGINE)
    else:
        options = {"prompt": where, "steps": _STEPS}
        channel = discord.world.first_channel.id if where == "a server" else _ITS_CHANNEL
        await discord.slash("imagine", options, user_id=person, channel_id=channel)
    while len(await app.ledger.find(limit=999)) == before:
        pass  # reading takes a thread's turn


@pytest.mark.parametrize("flooding", ["a server", "the workspace"])
async def test_who_floods_one_home_delays_nobody_in_the_other(
    loopback: LoopbackDiscord, tmp_path: Path, flooding: str
) -> None:
    """As long as all three want, each has a third of the engine, whoever came first."""
    world = loopback.world
    world.channels[_ITS_CHANNEL] = Channel(_ITS_CHANNEL, "elsewhere", guild_id=_OTHER)
    slack = LoopbackSlack(rate_limits=False)
    await slack.start()
    gate = Gate()
    pipeline = FakePipeline(SIZES, gate=gate)
    config = replace(
        make_config(max_queued=99, grace_s=0), slack=SlackConfig(api_url=slack.api_url)
    )
    config = replace(
        config,
        discord=replace(config.discord, api_url=loopback.api_url, gateway_url=loopback.gateway_url),
    )
    tokens = SlackTokens(Secret(DEFAULT_BOT_TOKEN), Secret(DEFAULT_APP_TOKEN))
    homes = [
        discord_home(config, Secret(loopback.token), None, throttle=ShutThrottle),
        slack_home(config, tokens, throttle=ShutThrottle),
    ]
    people: dict[str, list[int | str]] = {
        "a server": [ADA, BEN],
        "another server": [CLEO],
        "the workspace": [SLACKS_BEN, SLACKS_CLEO],
    }
    bot = Bot(App(config, lambda: pipeline, homes, tmp_path))
    try:
        await asyncio.gather(
            loopback.wait_ready(), loopback.wait_commands(), slack.wait_connected()
        )
        others = [one for one in people if one != flooding]
        for where, count in ((flooding, _FLOOD), *((one, _FEW) for one in others)):
            for number in range(count):
                who = people[where][number % len(people[where])]
                await _ask(bot.app, loopback, slack, where, who)
        gate.open()
        while len(pipeline.requests) < _FLOOD + 2 * _FEW:  # noqa: ASYNC110 - the fake tells no one
            await asyncio.sleep(0.005)
    finally:
        gate.open()
        bot.stop.set()
        await asyncio.gather(bot.task, return_exceptions=True)
        await slack.close()
    drawn = [one.prompt for one in pipeline.requests]
    assert drawn[0] == flooding  # which was alone then
    turns = drawn[1 : 1 + 3 * _FEW]
    assert Counter(turns) == dict.fromkeys(people, _FEW)
    for end in range(len(turns)):
        counts = [turns[: end + 1].count(one) for one in people]
        assert max(counts) - min(counts) <= 1
