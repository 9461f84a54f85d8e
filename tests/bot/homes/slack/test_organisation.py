"""A bot that an organisation has installed: each of its workspaces is one for itself."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.job import State
from bot.homes.slack.calls import Answer, Calls
from bot.homes.slack.intake import asked_of
from bot.homes.slack.people import People
from bot.homes.slack.places import Install
from standins.base.timers import ManualClock
from standins.slack.loopback import LoopbackSlack
from standins.slack.world import organisation_world
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    IMAGINE,
    ask,
    ended,
    has_pictures,
    says,
    seen,
)
from tests.fakes import FakePipeline, Gate

ORGANISATION, FIRST, SECOND = "E0LOOPBACK", "T0LOOPBACK", "T0SECOND01"
STUDIO, DANA, EVE, ORA = "C0STUDIO01", "U0DANA0001", "U0EVE00001", "U0ORA00001"
STRANGER = "U0STRANGE1"


@pytest.fixture
async def slack(clock: ManualClock) -> AsyncIterator[LoopbackSlack]:
    server = LoopbackSlack(clock=clock, rate_limits=False, world=organisation_world())
    await server.start()
    yield server
    await server.close()


async def admin(slack: LoopbackSlack, text: str, *, user: str, channel: str = STUDIO) -> None:
    invocation = await slack.slash("/imagine-admin", text, user=user, channel=channel)
    await invocation.acknowledged()


async def test_whatever_is_done_is_done_in_a_workspace(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    mention = f"<@{slack.world.bot_user_id}>"
    async with run_slack() as bot:
        await ask(slack, channel=STUDIO, user=EVE)
        shown = await seen(slack, has_pictures, channel=STUDIO)
        await ended(bot)
    async with run_slack() as bot:  # what is pressed says it by the card
        await slack.press(shown, "v1:reroll", user=ADA)
        await seen(slack, has_pictures, channel=STUDIO, past=1)
        await ended(bot)
        await slack.press(shown, "v1:reroll", user=STRANGER)
        await seen(slack, has_pictures, channel=STUDIO, past=2)
        await ended(bot)
        await slack.say(f"{mention} a hen", user=STRANGER, channel=STUDIO)
        await slack.until(lambda: len(slack.history(STUDIO)) == 5)
        await slack.until(lambda: has_pictures(slack.history(STUDIO)[-1]))
        await ended(bot)
        await slack.shortcut("imagine", user=EVE)
        await slack.until(lambda: slack.view_of(EVE) is not None)
        view = slack.view_of(EVE)
        assert view is not None
        await slack.submit(view, {"prompt": "a dog", "where": STUDIO}, user=EVE)
        await seen(slack, has_pictures, channel=STUDIO, past=5)
        await ended(bot)
        records = await bot.app.ledger.find()
        assert {one.job.origin.venue.community for one in records} == {SECOND}
        assert len(records) == 5
        await ask(slack)
        await seen(slack, has_pictures)
        first = await ended(bot)
        assert first.job.origin.venue.community == FIRST


async def test_what_one_workspace_decides_holds_in_no_other(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await admin(slack, "pause closed", user=ADA)  # who administers the first alone
        await seen(slack, says("manage"), channel=STUDIO, viewer=ADA)
        await admin(slack, "pause closed", user=DANA)
        await seen(slack, says("Paused"), channel=STUDIO, viewer=DANA)
        await ask(slack, channel=STUDIO, user=EVE)
        await seen(slack, says("closed"), channel=STUDIO, viewer=EVE)
        await ask(slack, user=BEN)
        await seen(slack, has_pictures)
        await ended(bot)
        await admin(slack, "resume", user=ORA)  # who administers the organisation
        await seen(slack, says("again"), channel=STUDIO, viewer=ORA)
        await ask(slack, channel=STUDIO, user=EVE)
        await seen(slack, has_pictures, channel=STUDIO)


async def test_a_workspace_that_takes_the_bot_away_ends_its_own_jobs_once(
    slack: LoopbackSlack, run_slack: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    async with run_slack(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        for _ in range(2):
            await ask(slack, channel=STUDIO, user=EVE)
        await ask(slack)
        await slack.until(lambda: len(slack.history(STUDIO)) == 2)
        await slack.until(lambda: len(slack.history(IMAGINE)) == 1)
        await slack.remove_from(SECOND)
        while f"taken the bot away: {SECOND}" not in caplog.text:
            await bot.app.ledger.find(limit=1)
        gate.open()
        await seen(slack, has_pictures)
        records = await bot.app.ledger.find()
        while any(one.state not in {State.UNDELIVERED, State.DELIVERED} for one in records):
            records = await bot.app.ledger.find()
        state_of = {one.job.id: (one.job.origin.venue.community, one.state) for one in records}
        assert sorted(state_of.values()) == [
            (FIRST, State.DELIVERED),
            (SECOND, State.UNDELIVERED),
            (SECOND, State.UNDELIVERED),
        ]
        shut_out = [one for one in records if one.state is State.UNDELIVERED]
        assert all("no longer lets the bot in" in one.reason for one in shut_out)
        assert not bot.task.done()
        await ask(slack, "a hen")
        await seen(slack, has_pictures, past=1)


@pytest.mark.parametrize(
    ("body", "community"),
    [
        ({"team_id": SECOND, "enterprise_id": ORGANISATION}, SECOND),
        (
            {
                "team_id": "T0ELSEWHERE",
                "context_team_id": SECOND,
                "authorizations": [{"team_id": None, "enterprise_id": ORGANISATION}],
            },
            SECOND,
        ),
        ({"authorizations": [{"team_id": ORGANISATION}], "team_id": SECOND}, SECOND),
        (
            {
                "type": "block_actions",
                "team": None,
                "message": {"team": SECOND},
                "user": {"id": ADA, "team_id": FIRST},
            },
            SECOND,
        ),
        (
            {
                "type": "message_action",
                "team": None,
                "message": {"team": "T0ELSEWHERE"},  # a stranger's
                "user": {"id": ADA, "team_id": FIRST},
            },
            FIRST,
        ),
        (
            {
                "type": "view_submission",
                "view": {"app_installed_team_id": ORGANISATION},
                "user": {"id": ADA, "team_id": FIRST},
            },
            FIRST,
        ),
        ({"team": None, "enterprise": {"id": ORGANISATION}, "user": {"id": ADA}}, ORGANISATION),
        ({"user_id": ADA}, None),
    ],
)
def test_in_which_workspace_something_is_done(body: dict[str, Any], community: str | None) -> None:
    assert asked_of(body).community == community


OURS = {"enterprise_id": ORGANISATION}


@pytest.mark.parametrize(
    ("profile", "where"),
    [
        ({"team_id": FIRST, "is_admin": True, "enterprise_user": OURS}, {FIRST}),
        ({"team_id": SECOND, "is_owner": True, "enterprise_user": OURS}, {SECOND}),
        ({"team_id": FIRST, "enterprise_user": {**OURS, "is_admin": True}}, {FIRST, SECOND}),
        ({"team_id": FIRST, "enterprise_user": OURS}, set()),
        ({"team_id": FIRST, "is_admin": True}, set()),
        ({"team_id": FIRST, "is_admin": True, "enterprise_user": {"enterprise_id": "E1"}}, set()),
        (
            {
                "team_id": FIRST,
                "is_stranger": True,
                "is_admin": True,
                "enterprise_user": {**OURS, "is_admin": True},
            },
            set(),
        ),
    ],
)
async def test_who_manages_which_workspace(profile: dict[str, Any], where: set[str]) -> None:
    asked: list[object] = []

    class Told(Calls):
        async def make(self, method: str, channel: str | None = None, **more: object) -> Answer:
            if method == "users.info":
                return {"user": profile}
            asked.append(more["team_id"])
            return {"usergroups": [{"id": f"S-{more['team_id']}", "users": [BEN]}]}

    install = Install(ORGANISATION, ORGANISATION, is_org_wide=True)
    people = People(Told(AsyncWebClient(), 1), lambda: install)
    for team in (FIRST, SECOND, FIRST):
        known = await people.known(BEN, team)
        assert known.manages is (team in where)
        assert await people.groups(BEN, team) == frozenset({f"S-{team}"})
    assert await people.groups(BEN, ORGANISATION) == frozenset()
    assert await people.groups(BEN, None) == frozenset()
    await people.close()
    assert asked == [FIRST, SECOND]
