"""Whoever has a pool's engines watches them, until there will be none or they are another's."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from bot.engines.pool.cluster import Cluster, KindStatus, PoolStatus
from bot.engines.pool.parts import watch_pool
from sdxl_engine.errors import EngineStartError

TURNS = KindStatus("HEALTHY", {"RUNNING": 1}, "")
WELL = PoolStatus("RUNNING", {"engine": KindStatus("HEALTHY", {"RUNNING": 1}, ""), "turns": TURNS})
NONE = PoolStatus("", {})


class SeenAllError(Exception):
    """There is no more to look at."""


class FakeCluster:
    """Is another each time that somebody looks."""

    def __init__(self, *looks: tuple[PoolStatus, bool | None]) -> None:
        self._looks = list(looks)

    def status(self) -> PoolStatus:
        if not self._looks:
            raise SeenAllError
        return self._looks[0][0]

    def is_ours(self) -> bool | None:
        return self._looks.pop(0)[1]


async def watch(*looks: tuple[PoolStatus, bool | None]) -> None:
    cluster = cast("Cluster", FakeCluster(*looks))
    await watch_pool(cluster, sleep=lambda _: asyncio.sleep(0))


def of(**kinds: KindStatus) -> PoolStatus:
    return PoolStatus("DEPLOY_FAILED", {**kinds, "turns": TURNS})


@pytest.mark.parametrize("last", [(WELL, False), (NONE, None)])
async def test_that_another_process_has_them_is_the_end(
    last: tuple[PoolStatus, bool | None],
) -> None:
    with pytest.raises(EngineStartError, match="Another process"):
        await watch((NONE, None), (WELL, True), last)


@pytest.mark.parametrize(
    "looks",
    [
        [(WELL, False), (WELL, True)],  # those before are still there
        [(WELL, True), (WELL, None), (WELL, True)],  # whoever is asked starts anew
    ],
)
async def test_as_long_as_that_is_not_known_they_are_watched(
    looks: Sequence[tuple[PoolStatus, bool | None]],
) -> None:
    with pytest.raises(SeenAllError):
        await watch(*looks)


FAILED = KindStatus("DEPLOY_FAILED", {}, "Error:\nsdxl_engine.errors.EngineStartError: It is torn.")


def test_there_will_be_none_where_a_kind_failed_and_no_other_is_there_or_starts() -> None:
    assert of(engine=FAILED).failure == "No engine could be started. engine: It is torn."
    starting = KindStatus("UPDATING", {"STARTING": 1}, "")
    assert of(engine=FAILED, other=starting).failure is None


def test_that_an_engine_is_replaced_is_no_failure() -> None:
    ended = KindStatus("UNHEALTHY", {"STARTING": 1}, "A replica's health check failed.")
    assert of(engine=ended).failure is None
