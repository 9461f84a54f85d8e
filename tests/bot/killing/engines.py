"""Engines on Ray Serve, as a process of their own: `python -m tests.bot.killing.engines N`.

They draw as the bot's own would. Says where their cluster is, and ends with its standard input.
"""

import sys

from bot.config.sections import Config, EngineConfig, PoolConfig
from bot.engines.pool.cluster import Cluster
from bot.engines.pool.kinds import kinds_of
from bot.engines.pool.replica import Patience
from tests.bot.killing.bot import SIZES, SteadyPipeline


def main(engines: int) -> None:
    config = Config(
        engine=EngineConfig(sizes=SIZES, default_steps=4),
        pool=PoolConfig(resources=(("CPU", 0.1),), least=engines, most=engines),
    )
    cluster = Cluster()
    cluster.join()
    try:
        cluster.deploy(
            kinds_of(config),
            lambda _: SteadyPipeline,
            Patience(0, 0),
            options={"graceful_shutdown_timeout_s": 1, "health_check_period_s": 0.5},
        )
        sys.stdout.write(f"{cluster.address}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        cluster.take_down()
        cluster.leave()


if __name__ == "__main__":
    main(int(sys.argv[1]))
