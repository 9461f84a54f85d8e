"""What is done before Slack has said who the bot is."""

import asyncio

from standins.base.faults import Fault
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.slack.test_running import IMAGINE, ask, has_pictures, says, seen
from tests.fakes import FakePipeline, Gate


async def test_a_card_whose_answer_was_lost_is_found_however_late_the_login(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    lost = Fault(kind="drop_after", route="/chat.postMessage")
    away = Fault(kind="status", route="/conversations.history", count=None)
    async with run_slack(lambda: FakePipeline(SIZES, gate=Gate())):
        slack.faults.add(lost)
        slack.faults.add(away)
        await ask(slack)
        await lost.wait_fired()
        await seen(slack, says("a fox"))
    slack.faults.clear()
    gate = asyncio.Event()
    login = Fault(kind="latency", route="/auth.test", gate=gate)
    looked = Fault(kind="status", route="/conversations.history")
    slack.faults.add(login)
    slack.faults.add(looked)

    async def log_in_late() -> int:
        await login.wait_fired()
        for _ in range(200):  # as long as it would take to post another
            await asyncio.sleep(0.001)
        gate.set()
        return looked.fired

    late = asyncio.create_task(log_in_late())
    async with run_slack():  # which waits until the bot is connected
        await seen(slack, has_pictures)
    assert (await late, looked.fired) == (0, 1)
    assert len(slack.history(IMAGINE)) == 1
