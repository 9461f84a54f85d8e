"""Several bots, each with a socket of its own: what Slack tells a second one, too, is done once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.app import slack_home
from bot.config.reading import SlackTokens
from bot.config.sections import SlackConfig
from bot.errors import WrongPlaceError
from bot.homes.slack.calls import Calls
from bot.homes.slack.channels import Channels
from bot.shared.secret import Secret
from standins.base.faults import GatewayFault
from standins.base.timers import ManualClock
from standins.slack.envelopes import ACK_DEADLINE_S
from standins.slack.loopback import DEFAULT_APP_TOKEN, DEFAULT_BOT_TOKEN, LoopbackSlack
from tests.bot.bots import OneBot
from tests.bot.conftest import Bot, OpenThrottle, RunBot, make_config
from tests.bot.homes.slack.test_running import BEN, IMAGINE, ended, has_pictures, seen


@asynccontextmanager
async def another(bot: Bot, slack: LoopbackSlack) -> AsyncIterator[None]:
    """A second home with a socket of its own, at the same ledger."""
    app = bot.app
    config = replace(make_config(), slack=SlackConfig(api_url=slack.api_url))
    tokens = SlackTokens(Secret(DEFAULT_BOT_TOKEN), Secret(DEFAULT_APP_TOKEN))
    home = slack_home(config, tokens, throttle=OpenThrottle)(app.queue, app.ledger, OneBot())
    home.attend(app.studio, app.moderators, app.privacy)
    running = asyncio.create_task(home.run())
    await slack.until(lambda: slack.connections == 2)
    try:
        yield
    finally:
        await home.close(1.0)
        await running


async def test_a_mention_whose_ack_is_lost_is_drawn_once_though_another_is_told_it(
    slack: LoopbackSlack,
    run_slack: RunBot,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with run_slack() as bot, another(bot, slack):
        lost = slack.faults.add(GatewayFault(kind="silence", on="ACK", nth=2))
        text = f"<@{slack.world.bot_user_id}> a fox --seed 3"
        await slack.say(text, user=BEN, channel=IMAGINE)
        await seen(slack, has_pictures)
        await ended(bot)
        assert lost.fired == 1
        assert slack.unacknowledged == 1
        clock.advance(ACK_DEADLINE_S)
        await slack.until(lambda: slack.unacknowledged == 0)
        while "was taken in before" not in caplog.text:
            await bot.app.ledger.find(limit=1)  # reading takes a thread's turn
        assert len(await bot.app.ledger.find()) == 1
    assert len([one for one in slack.history(IMAGINE) if has_pictures(one)]) == 1
    assert len(slack.history(IMAGINE)) == 2  # what was said, and its card


async def test_that_the_bot_was_put_out_of_a_channel_is_noticed_though_another_was_told_it(
    slack: LoopbackSlack, clock: ManualClock
) -> None:
    client = AsyncWebClient(token=DEFAULT_BOT_TOKEN, base_url=slack.api_url, retry_handlers=[])
    channels = Channels(Calls(client, 1), clock=clock)
    await channels.check(IMAGINE)
    slack.world.channels[IMAGINE].member_ids.discard(slack.world.bot_user_id)
    await channels.check(IMAGINE)
    clock.advance(300)
    with pytest.raises(WrongPlaceError):
        await channels.check(IMAGINE)
