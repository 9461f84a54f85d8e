"""A bot that ends while another stands by: over the real wire, at one PostgreSQL."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bot.config.sections import Config, StorageConfig
from bot.core.job import State
from bot.ledgers.postgres.records import PostgresRecords
from standins.discord.components import files_of, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.matrix import hasty
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_shards import channel_of, home_of, sharing, until
from tests.bot.ledgers.databases import server
from tests.fakes import FakePipeline, Gate

pytestmark = pytest.mark.scale


def of_one_place(pictures: Path) -> Config:
    config = sharing(2, 1)
    jobs = replace(config.jobs, shutdown_grace_s=0.0)
    return replace(config, jobs=jobs, storage=StorageConfig(pictures=pictures))


async def test_what_one_bot_leaves_the_next_shows_once(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path
) -> None:
    gateway = loopback.gateway
    gateway.max_concurrency = 16
    url, gate = server().new_database(), Gate()
    start = partial(run_bot, config=of_one_place(tmp_path / "pictures"), sleep=hasty)
    old_records, new_records = (PostgresRecords(url, tmp_path / one) for one in ("old", "new"))
    channels = [channel_of(loopback, shard_id, 2) for shard_id in (0, 1)]

    async def asks(channel_id: int) -> Interaction:
        return await loopback.slash("imagine", {"prompt": "x"}, channel_id=channel_id)

    async with (
        start(lambda: FakePipeline(SIZES, gate=gate), folder="old", records=old_records) as old,
        start(folder="new", records=new_records, online=False) as new,
    ):
        await gateway.wait_listening(0, 1)
        asked = [await asks(channel_id) for channel_id in channels * 2]
        for one in asked:  # one is drawn, three wait
            await one.until(lambda message: bool(text_of(message)))
        gate.let_through(1)
        await until(lambda: home_of(new).stands_by)
        old.stop.set()
        await old.task
        for one in asked:
            await one.until(has_pictures)
        await gateway.wait_listening(0, 1)
        last = await asks(channels[1])
        await last.until(has_pictures)
        while {one.state for one in await new.app.ledger.find()} != {State.DELIVERED}:
            await asyncio.to_thread(bool)  # a thread's turn
        assert len(await new.app.ledger.find()) == 5
    shown = [one for channel_id in channels for one in loopback.history(channel_id)]
    assert [len(files_of(message)) for message in shown] == [4] * 5
    assert sorted(gateway.identified.values()) == [2, 2]
