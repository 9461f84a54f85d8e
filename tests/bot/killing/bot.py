"""The bot as a process of its own, whole but for its engine: `python -m tests.bot.killing.bot`.

A few milliseconds a step stand in for the device; everything else is what `imagine serve` runs.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from asyncio_throttle.throttler import Throttler

from bot.app import App, discord_home, slack_home
from bot.config.reading import slack_tokens
from bot.config.sections import (
    Config,
    DiscordConfig,
    EngineConfig,
    HealthConfig,
    JobsConfig,
    LimitsConfig,
    PoolConfig,
    SlackConfig,
    StorageConfig,
)
from bot.ledgers.records import records_of
from bot.operations import log as logs
from bot.shared.data_folder import IMAGES
from bot.shared.secret import Secret
from sdxl_engine import ImageRequest, Images, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from tests.fakes import FakePipeline

SIZES = ((64, 64),)
_SECONDS_PER_STEP = 0.012
# Of the picture check's one category: what most pictures get, what some get that are shown blurred
# then, and what some get that a moderator is to see first.
_CHECKS = ("nsfw",)
_SCORES = (0.1, 0.6, 0.9)
_SHARES = (14, 3, 3)


class SteadyPipeline(FakePipeline):
    """Takes its time, and finds the same in the same pictures, whichever process draws them."""

    def __init__(self) -> None:
        super().__init__(SIZES, checks=_CHECKS)

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        for progress in super().generate(request, pictures=pictures, previews=previews):
            time.sleep(_SECONDS_PER_STEP)
            yield progress

    def _draw(self, request: ImageRequest) -> Images:
        chance = random.Random(f"{request.prompt}/{request.seed}")
        (score,) = chance.choices(_SCORES, _SHARES)
        scores = {"nsfw": score}
        return tuple(replace(one, scores=scores) for one in super()._draw(request))


def main() -> None:
    """Serve the Discord at argv[1] from the folder argv[2], until somebody kills it.

    And the Slack at argv[3], if there is one. With POOL_ADDRESS it is one of BOTS, its engines are
    there, and its folder is one in that of all.
    """
    base, shared = sys.argv[1], Path(sys.argv[2])
    pool, bots = os.environ.get("POOL_ADDRESS", ""), int(os.environ.get("BOTS", "1"))
    folder = shared / f"bot {os.environ['BOT']}" if pool else shared
    slack_url = sys.argv[3] if len(sys.argv) > 3 else ""
    logs.set_up(os.environ.get("LEVEL", "error"))
    config = Config(
        engine=EngineConfig(sizes=SIZES, default_steps=4),
        discord=DiscordConfig(
            api_url=f"{base}/api/v10",
            gateway_url=f"{base.replace('http', 'ws')}/gateway",
            shards=bots if pool else 0,
            bots=bots,
        ),
        storage=StorageConfig(folder=folder, pictures=shared / IMAGES),
        pool=PoolConfig(address=pool),
        slack=SlackConfig(api_url=slack_url, port=int(os.environ.get("SLACK_PORT", "8645"))),
        jobs=JobsConfig(max_queued=1000),
        limits=LimitsConfig(0, 0, 0, 0, 0),
        health=HealthConfig(port=0),
    )
    token = Secret(os.environ["DISCORD_TOKEN"])

    def throttle() -> Throttler:
        return Throttler(20, 1.0, retry_interval=0.01)

    homes = [discord_home(config, token, folder, throttle=throttle)]
    tokens = slack_tokens(os.environ) if slack_url else None
    if tokens is not None:
        homes.append(slack_home(config, tokens, throttle=throttle))
    records = records_of(folder, os.environ.get("LEDGER_URL", ""))
    if not pool:
        app = App(config, SteadyPipeline, homes, folder, records=records)
        asyncio.run(app.run(asyncio.Event()))
        return
    from bot.engines.pool.cluster import Cluster  # noqa: PLC0415 - Ray, where there is a pool
    from bot.engines.pool.parts import bot_part  # noqa: PLC0415

    with ThreadPoolExecutor(1) as thread:
        thread.submit(Cluster(pool).join).result()
        app = App(config, bot_part(config, outlives=True), homes, folder, records=records)
        asyncio.run(app.run(asyncio.Event()))


if __name__ == "__main__":
    main()
