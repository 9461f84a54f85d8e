"""The parts that processes have in a pool: some have engines, some are bots, one may be both."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from bot.config.sections import Config
from bot.engines.loading import start_pipeline
from bot.engines.pool.attending import PoolTurns
from bot.engines.pool.calls import ServeCalls
from bot.engines.pool.cluster import Cluster
from bot.engines.pool.engine import PoolEngine
from bot.engines.pool.host import first_alone
from bot.engines.pool.kinds import Kind, kinds_of
from bot.engines.pool.replica import Patience
from bot.shared.retry import Sleep
from sdxl_engine.errors import EngineStartError
from sdxl_engine.request import name_of_model

if TYPE_CHECKING:  # it brings jax, where it is made
    from sdxl_engine.model_set import ModelSet

log = logging.getLogger(__name__)

_LOOKS_EVERY_S: Final = 5.0


class BotPart(NamedTuple):
    """What a bot has of a pool."""

    engine: PoolEngine
    turns: PoolTurns


def bot_part(config: Config, *, outlives: bool) -> BotPart:
    """Of the pool on the cluster that this process is connected with.

    outlives  whether the engines go on when this process ends
    """
    calls = ServeCalls()
    turns = PoolTurns(calls, {name_of_model(model) for model in config.engine.all_models})
    return BotPart(PoolEngine(calls, turns, outlives=outlives), turns)


def deploy(cluster: Cluster, config: Config, patience: Patience) -> None:
    """Have the engines that a configuration asks for; returns before they are warm.

    Raises ConfigError.
    """
    cluster.deploy(kinds_of(config), _start_of, patience)


def _start_of(kind: Kind) -> Callable[[], "ModelSet"]:
    return partial(_start, kind.config)


def _start(config: Config) -> "ModelSet":
    made_of = repr((config.engine, config.model))
    with first_alone(config.storage.folder, made_of):
        return start_pipeline(config)


async def watch_pool(cluster: Cluster, *, sleep: Sleep = asyncio.sleep) -> None:
    """Log how the engines are doing, whenever that changes; until it is cancelled.

    Raises EngineStartError where there will be none.
    """
    last = None
    while True:
        status = await asyncio.to_thread(cluster.status)
        if (failure := status.failure) is not None:
            for name, kind in status.kinds.items():
                log.error("%s: %s", name, kind.message)
            raise EngineStartError(failure)
        if status != last:
            for name, kind in status.kinds.items():
                log.info("%s: %s", name, kind.there)
            last = status
        await sleep(_LOOKS_EVERY_S)
