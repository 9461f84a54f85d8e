"""What is done before Slack has said who the bot is."""

import asyncio

from bot.homes.slack.places import Install, Place
from bot.homes.slack.posted import Posted, metadata
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.test_running import IMAGINE, ask, ended, has_pictures, seen


async def test_a_card_is_looked_for_once_the_bot_knows_its_own_name(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await ended(bot)
        (record,) = await bot.app.ledger.find()
        logged_in, home = asyncio.Event(), [Install()]

        async def ready() -> None:
            await logged_in.wait()

        calls = bot.app.homes["slack"]._calls  # type: ignore[attr-defined]
        posted = Posted(calls, lambda: home[0], ready)
        finding = posted.find(Place(IMAGINE), "job", record.job.id, record.job.asked_at_s)
        found = asyncio.create_task(finding)
        await asyncio.sleep(0)
        home[0] = Install(bot=slack.world.bot_user_id)
        logged_in.set()
        message = await found
        later = Posted(calls, lambda: home[0], ready, clock=lambda: record.job.asked_at_s + 9_999)
        again = await later.find(Place(IMAGINE), "job", record.job.id, record.job.asked_at_s)
        assert again == message
        long_before = record.job.asked_at_s - 5_000  # as if it was posted by a later process
        again = await later.find(Place(IMAGINE), "job", record.job.id, long_before)
        assert again == message
        assert await later.find(Place(IMAGINE), "job", "aaaaaaaa", long_before) is None
    assert message is not None
    assert message["ts"] == shown["ts"]
    assert message["metadata"] == metadata("job", record.job.id)
