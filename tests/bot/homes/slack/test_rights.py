"""Who somebody is, and in which user groups: asked in time, known anew at once when it changes."""

import asyncio

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.homes.slack.calls import Answer, Calls
from bot.homes.slack.people import Known, People
from bot.homes.slack.places import Install
from standins.base.faults import Fault
from standins.base.timers import ManualClock
from standins.slack.loopback import LoopbackSlack
from standins.slack.world import UserGroup
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.desk import refused, said
from tests.bot.homes.slack.test_running import ADA, BEN, IMAGINE, ask, has_pictures, says, seen

PAINTERS = "S0PAINTERS"


@pytest.fixture(autouse=True)
def painters(slack: LoopbackSlack) -> None:
    slack.world.user_groups[PAINTERS] = UserGroup(PAINTERS, "painters", "Painters", [BEN])


async def test_a_group_that_is_barred_stays_out_while_slack_does_not_say_who_is_in_it(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await said(slack, f"policy <!subteam^{PAINTERS}|@painters> use=no")
        bot.app.homes["slack"]._people.groups_changed()  # type: ignore[attr-defined]
        fault = slack.faults.add(Fault(kind="status", route="/usergroups.list", count=None))
        await ask(slack)
        await seen(slack, says("cannot be seen now"), viewer=BEN)
        assert fault.fired
        slack.faults.clear()
        await ask(slack, "a hen")
        await seen(slack, says("role of yours is barred"), viewer=BEN)
        await slack.regroup(PAINTERS, [])
        await ask(slack, "a fox")
        await seen(slack, has_pictures, viewer=BEN)
        await slack.regroup(PAINTERS, [BEN])
        await ask(slack, "a cow")
        await seen(slack, says("role of yours is barred"), past=1, viewer=BEN)


async def test_where_no_rule_looks_at_groups_nobody_waits_for_them(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    slack.faults.add(Fault(kind="status", route="/usergroups.list", count=None))
    async with run_slack():
        await ask(slack)
        await seen(slack, has_pictures, viewer=BEN)


async def test_who_is_no_admin_any_more_manages_nothing_from_then_on(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        assert "manage" in await refused(slack, "pause", user=BEN)
        await slack.promote(BEN)
        await said(slack, "pause", user=BEN)
        await said(slack, "resume", user=BEN)
        await slack.promote(BEN, is_admin=False)
        assert "manage" in await refused(slack, "pause", user=BEN)
        await said(slack, "pause", user=ADA, channel=IMAGINE)


async def test_an_answer_that_takes_longer_than_somebody_waits_is_there_for_the_next() -> None:
    answered, asking, asked = asyncio.Event(), asyncio.Event(), list[str]()

    class Slow(Calls):
        async def make(self, method: str, channel: str | None = None, **_: object) -> Answer:
            asked.append(method)
            if method == "users.info":
                return {"user": {"name": "ben"}}
            asking.set()
            await answered.wait()
            return {"usergroups": [{"id": PAINTERS, "users": [BEN]}]}

    clock = ManualClock()
    people = People(Slow(AsyncWebClient(), 1), Install, clock=clock)
    waiting = asyncio.create_task(people.known(BEN))
    await asking.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    answered.set()
    known = await people.known(BEN)
    assert known == Known("ben", groups=frozenset({PAINTERS}))
    assert asked.count("usergroups.list") == 1
    clock.advance(301)
    await people.known(BEN)
    assert asked.count("usergroups.list") == 2
    await people.close()
