"""A loopback Slack, and the whole bot in front of it with a fake pipeline."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bot.app import App, slack_home
from bot.config.reading import SlackRotation, SlackTokens
from bot.config.sections import Config, SlackConfig
from bot.homes.cards.pace import MakeThrottle
from bot.shared.retry import Sleep
from bot.shared.secret import Secret
from sdxl_engine import Pipeline
from standins.base.timers import ManualClock
from standins.slack.loopback import DEFAULT_APP_TOKEN, DEFAULT_BOT_TOKEN, LoopbackSlack
from tests.bot.conftest import SIZES, Bot, OpenThrottle, RunBot, make_config
from tests.fakes import FakePipeline

Message = dict[str, Any]


@pytest.fixture
def clock() -> ManualClock:
    """Of the loopback; of the present, so that what it shows can be searched for by time."""
    return ManualClock(time.time())


@pytest.fixture
async def slack(clock: ManualClock) -> AsyncIterator[LoopbackSlack]:
    server = LoopbackSlack(clock=clock, rate_limits=False)
    await server.start()
    yield server
    await server.close()


async def at_once(_: float) -> None:
    """Nobody waits."""
    await asyncio.sleep(0)


@pytest.fixture
def run_slack(slack: LoopbackSlack, tmp_path: Path) -> RunBot:
    """Start the bot against the loopback, and stop it at the end of the block."""

    @asynccontextmanager
    async def start(
        start_pipeline: Callable[[], Pipeline] = lambda: FakePipeline(SIZES),
        *,
        config: Config | None = None,
        token: str = DEFAULT_BOT_TOKEN,
        rotation: SlackRotation | None = None,
        throttle: MakeThrottle = OpenThrottle,
        now: Callable[[], float] = time.time,
        sleep: Sleep | None = None,
    ) -> AsyncIterator[Bot]:
        # A second that Slack asks for passes by being waited for.
        passing = ManualClock()

        async def pass_(seconds: float) -> None:
            passing.advance(seconds)
            await at_once(seconds)

        here = SlackConfig(api_url=slack.api_url, moderators=("S0MODERATE",))
        tokens = SlackTokens(Secret(token), Secret(DEFAULT_APP_TOKEN), None, rotation)
        if slack.request_url:
            here = replace(here, port=urlsplit(slack.request_url).port or 0)
            tokens = replace(tokens, app=None, signing=Secret(slack.signing_secret))
        config = replace(config or make_config(), slack=here)
        folder = tmp_path / "data"
        make = slack_home(
            config,
            tokens,
            folder,
            throttle=throttle,
            now=now,
            clock=time.monotonic if sleep else passing,
            sleep=sleep or pass_,
        )
        bot = Bot(App(config, start_pipeline, [make], folder))
        try:
            await asyncio.wait(
                [bot.task, asyncio.create_task(slack.wait_connected())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            yield bot
        finally:
            bot.stop.set()
            await asyncio.gather(bot.task, return_exceptions=True)

    return start
