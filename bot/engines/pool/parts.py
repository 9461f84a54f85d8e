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
    kinds = kinds_of(config)
    for name in cluster.short_of(kinds):
        log.warning(
            "no machine of the cluster has what an engine of the kind %s takes: it waits for one. "
            "`ray status` shows what there is; [pool] resources, what each engine takes",
            name,
        )
    cluster.deploy(kinds, _start_of, patience)


def _start_of(kind: Kind) -> Callable[[], "ModelSet"]:
    return partial(_start, kind.config)


def _start(config: Config) -> "ModelSet":
    made_of = repr((config.engine, config.model))
    with first_alone(config.storage.folder, made_of):
        return start_pipeline(config)


async def watch_pool(cluster: Cluster, *, sleep: Sleep = asyncio.sleep) -> None:
    """Log how the engines are doing, whenever that changes; until it is cancelled.

    Raises EngineStartError where there will be none, or another process has them.
    """
    last = None
    was_ours = False
    while True:
        status = await asyncio.to_thread(cluster.status)
        if (failure := status.failure) is not None:
            for name, kind in status.kinds.items():
                log.debug("%s: %s", name, kind.message)
            raise EngineStartError(failure)
        is_ours = await asyncio.to_thread(cluster.is_ours)
        if was_ours and (is_ours is False or not status.status):
            raise EngineStartError(
                "Another process has taken the engines of this cluster over, or ended them. Start "
                "`imagine serve --role engine` on one of its machines, and on no other."
            )
        was_ours = was_ours or is_ours is True
        if status != last:
            for name, kind in status.kinds.items():
                log.info("%s: %s", name, kind.there)
            last = status
        await sleep(_LOOKS_EVERY_S)
