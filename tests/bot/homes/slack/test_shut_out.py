"""The workspace shuts the bot out while it works; and people who are only guests in it."""

from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.job import State
from bot.homes.slack.calls import Answer, Calls
from bot.homes.slack.intake import asked_of
from bot.homes.slack.people import People
from bot.homes.slack.places import Install
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    IMAGINE,
    actions_of,
    ask,
    ended,
    has_pictures,
    says,
    seen,
)
from tests.fakes import FakePipeline, Gate

GUEST, STRANGER = "U0GUEST001", "U0STRANGE1"


@pytest.mark.parametrize("how", ["uninstall", "revoke_tokens"])
async def test_what_is_drawn_then_is_undelivered_and_the_bot_stays_up(
    slack: LoopbackSlack,
    run_slack: RunBot,
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, waits = Gate(), list[float]()

    async def counted(delay_s: float) -> None:
        waits.append(delay_s)

    async with run_slack(lambda: FakePipeline(SIZES, gate=gate), sleep=counted) as bot:
        await ask(slack)
        await ask(slack, "a hen")
        await slack.until(lambda: len(slack.history(IMAGINE)) == 2)
        await getattr(slack, how)()
        while "no longer lets the bot in" not in caplog.text:
            await slack.until(lambda: not slack.unacknowledged)
            await bot.app.ledger.find(limit=1)
        before = len(waits)
        gate.open()
        for _ in range(2):
            await ended(bot, State.UNDELIVERED)
        records = await bot.app.ledger.find()
        while any(one.state is not State.UNDELIVERED or not one.told for one in records):
            records = await bot.app.ledger.find()
        assert all("no longer lets the bot in" in one.reason for one in records)
        assert len(records) == 2
        assert len(waits) == before  # nothing is tried again
        assert not bot.task.done()
    slack.world.installation = "installed"
    async with run_slack():
        await ask(slack, "jobs")
        shown = await seen(slack, lambda m: "v1:show:0" in str(m), viewer=BEN)
        await slack.press(shown, "v1:show:0", user=BEN)
        await seen(slack, has_pictures, viewer=BEN)


@pytest.mark.parametrize("who", [GUEST, STRANGER])
async def test_guests_and_strangers_ask_as_anybody_and_manage_nothing(
    slack: LoopbackSlack, run_slack: RunBot, who: str
) -> None:
    slack.world.people[who].is_admin = True  # of their own workspace
    async with run_slack() as bot:
        await ask(slack)
        others = await seen(slack, has_pictures)
        await ended(bot)
        await ask(slack, "a hen", user=who)
        own = await seen(slack, has_pictures, past=1)
        await ended(bot)
        await slack.press(others, "v1:delete", user=who)
        await seen(slack, says("Only the one who asked"), viewer=who)
        await slack.press(others, "v1:recipe", user=who)
        await seen(slack, says("To ask again"), viewer=who)
        await slack.press(own, "v1:delete", user=who)
        await seen(slack, says("Deleted by the one who asked"))
        await slack.press(others, "v1:delete", user=ADA)
        await seen(slack, says("Deleted by a moderator"))
        assert "v1:delete" not in str(slack.history(IMAGINE))
        assert actions_of(own)


def test_what_a_stranger_says_is_said_where_the_bot_is() -> None:
    event = {"user": STRANGER, "channel": IMAGINE, "text": "<@U0LOOPBOT1> a fox"}
    heard = {
        "event_id": "Ev1",
        "team_id": "T0ELSEWHERE",
        "authorizations": [{"team_id": "T0LOOPBACK", "enterprise_id": None}],
        "event": event,
    }
    assert asked_of(heard).community == "T0LOOPBACK"


@pytest.mark.parametrize(
    ("profile", "manages"),
    [
        ({"team_id": "T0LOOPBACK", "is_admin": True}, True),
        ({"team_id": "T0LOOPBACK", "is_owner": True}, True),
        ({"team_id": "T0LOOPBACK"}, False),
        ({"team_id": "T0ELSEWHERE", "is_admin": True}, False),
        ({"team_id": "T0LOOPBACK", "is_admin": True, "is_stranger": True}, False),
        ({"team_id": "T0LOOPBACK", "is_admin": True, "is_restricted": True}, False),
        (
            {
                "team_id": "T0OTHER",
                "is_admin": True,
                "enterprise_user": {"enterprise_id": "E0OURS", "teams": ["T0LOOPBACK"]},
            },
            True,
        ),
        (
            {
                "team_id": "T0OTHER",
                "is_admin": True,
                "enterprise_user": {"enterprise_id": "E0OURS", "teams": ["T0OTHER"]},
            },
            False,
        ),
        (
            {
                "team_id": "T0OTHER",
                "enterprise_user": {"enterprise_id": "E0OURS", "is_admin": True},
            },
            True,
        ),
    ],
)
async def test_who_manages(profile: dict[str, Any], manages: bool) -> None:
    class Told(Calls):
        async def make(self, method: str, channel: str | None = None, **_: object) -> Answer:
            return {"user": profile} if method == "users.info" else {"usergroups": []}

    calls = Told(AsyncWebClient(), 1)
    people = People(calls, lambda: Install("T0LOOPBACK", "E0OURS"))
    assert (await people.known(BEN)).manages is manages
