"""Who somebody is, and in which user groups: asked in time, known anew at once when it changes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.homes.slack.calls import Answer, Calls
from bot.homes.slack.manifest import manifest
from bot.homes.slack.people import Known, People
from bot.homes.slack.places import Install
from standins.base.faults import Fault
from standins.base.timers import ManualClock
from standins.slack.loopback import LoopbackSlack
from standins.slack.world import UserGroup
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.desk import refused, said
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    CLEO,
    GALLERY,
    IMAGINE,
    ask,
    has_pictures,
    says,
    seen,
)

PAINTERS = "S0PAINTERS"


@pytest.fixture(autouse=True)
def painters(slack: LoopbackSlack) -> None:
    slack.world.install(manifest())  # it is told what the app has subscribed to
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
        bot.app.homes["slack"]._people.groups_changed()  # type: ignore[attr-defined]
        await ask(slack, "a hen")
        await seen(slack, says("role of yours is barred"), viewer=BEN)
        await slack.regroup(PAINTERS, [])
        await ask(slack, "a fox")
        await seen(slack, has_pictures, viewer=BEN)
        await slack.regroup(PAINTERS, [BEN])
        await ask(slack, "a cow")
        await seen(slack, says("role of yours is barred"), past=1, viewer=BEN)


async def test_where_no_rule_looks_at_groups_nobody_has_to_know_them(
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


class Asked(Calls):
    """Slack, as far as people are asked about; `answer` may take its time, or raise."""

    def __init__(self, answer: Callable[[], Awaitable[Answer]]) -> None:
        super().__init__(AsyncWebClient(), 1)
        self.answer, self.methods = answer, list[str]()

    async def make(self, method: str, channel: str | None = None, **_: object) -> Answer:
        self.methods.append(method)
        return await self.answer()


async def test_an_answer_that_takes_longer_than_somebody_waits_is_there_for_the_next() -> None:
    answered, asking, clock = asyncio.Event(), asyncio.Event(), ManualClock()

    async def answer() -> Answer:
        asking.set()
        await answered.wait()
        return {"usergroups": [{"id": PAINTERS, "users": [BEN]}]}

    calls = Asked(answer)
    people = People(calls, Install, clock=clock)
    waiting = asyncio.create_task(people.groups(BEN, None))
    await asking.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    answered.set()
    assert await people.groups(BEN, None) == frozenset({PAINTERS})
    assert len(calls.methods) == 1
    clock.advance(301)
    await people.groups(BEN, None)
    assert len(calls.methods) == 2
    await people.close()


async def test_what_changed_while_it_was_asked_for_is_asked_for_again() -> None:
    answered, asking = asyncio.Event(), asyncio.Event()

    async def answer() -> Answer:
        asking.set()
        await answered.wait()
        return {"user": {"name": "ben"}}

    calls = Asked(answer)
    people = People(calls, Install)
    waiting = asyncio.create_task(people.known(BEN))
    await asking.wait()
    people.changed(CLEO)
    people.changed(BEN)
    answered.set()
    assert await waiting == Known("ben")
    await people.known(BEN)
    await people.known(BEN)
    assert len(calls.methods) == 2
    await people.close()


@pytest.mark.parametrize(
    ("error", "groups", "known_for_s"),
    [
        (SlackApiError("", {"error": "plan_upgrade_required"}), frozenset(), 300),
        (SlackApiError("", {"error": "missing_scope"}), None, 300),
        (ConnectionResetError(), None, 30),
    ],
)
async def test_what_slack_does_not_say_is_not_asked_with_every_word(
    error: Exception, groups: frozenset[str] | None, known_for_s: int
) -> None:
    async def answer() -> Answer:
        raise error

    clock = ManualClock()
    calls = Asked(answer)
    people = People(calls, Install, clock=clock)
    for _ in range(3):
        assert await people.groups(BEN, None) == groups
    assert len(calls.methods) == 1
    clock.advance(known_for_s - 1)
    await people.groups(BEN, None)
    assert len(calls.methods) == 1
    clock.advance(2)
    await people.groups(BEN, None)
    assert len(calls.methods) == 2


async def test_a_rule_on_a_group_in_one_channel_is_none_in_another(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        place = f"<#{GALLERY}|gallery> <!subteam^{PAINTERS}|@painters>"
        await said(slack, f"policy {place} private=yes")
        bot.app.homes["slack"]._people.groups_changed()  # type: ignore[attr-defined]
        slack.faults.add(Fault(kind="status", route="/usergroups.list", count=None))
        await ask(slack)
        await seen(slack, has_pictures, viewer=BEN)
        await ask(slack, channel=GALLERY)
        await seen(slack, says("cannot be seen now"), channel=GALLERY, viewer=BEN)
