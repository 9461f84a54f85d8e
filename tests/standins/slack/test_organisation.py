"""An organisation that has installed the app: two workspaces behind one token."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from standins.slack import LoopbackSlack, ManualClock, organisation_world
from tests.standins.slack.app import ADA, IMAGINE, STRANGER, App, Inbox, refused

ORGANISATION, FIRST, SECOND = "E0LOOPBACK", "T0LOOPBACK", "T0SECOND01"
STUDIO, DANA, EVE, ORA = "C0STUDIO01", "U0DANA0001", "U0EVE00001", "U0ORA00001"


@pytest.fixture
async def slack(clock: ManualClock) -> AsyncIterator[LoopbackSlack]:
    loopback = LoopbackSlack(clock=clock, rate_limits=False, world=organisation_world())
    await loopback.start()
    yield loopback
    await loopback.close()


async def test_the_token_is_the_organisations(client: AsyncWebClient) -> None:
    told = await client.auth_test()
    assert (told["team_id"], told["enterprise_id"]) == (ORGANISATION, ORGANISATION)
    assert told["is_enterprise_install"] is True


async def test_user_groups_are_a_workspaces(client: AsyncWebClient) -> None:
    for call in (
        client.usergroups_list,
        lambda **more: client.usergroups_users_list(usergroup="S0MODERATE", **more),
    ):
        with refused("missing_argument"):
            await call()
        with refused("invalid_team"):
            await call(team_id="T0ELSEWHERE")
    for team, group in ((FIRST, "S0MODERATE"), (SECOND, "S0SECONDMO")):
        told: Any = await client.usergroups_list(team_id=team)
        assert [one["id"] for one in told["usergroups"]] == [group]
    with refused("no_such_subteam"):
        await client.usergroups_users_list(usergroup="S0MODERATE", team_id=SECOND)


async def test_who_belongs_to_the_organisation(client: AsyncWebClient) -> None:
    told: Any = await client.users_info(user=ORA)
    assert told["user"]["enterprise_user"]["is_admin"] is True
    told = await client.users_info(user=STRANGER)
    assert "enterprise_user" not in told["user"]


async def test_what_is_told_names_the_workspace_where_slack_does(
    slack: LoopbackSlack, app: App
) -> None:
    inbox = Inbox()

    @app.bolt.command("/imagine")
    async def typed(ack: Any, body: Any) -> None:
        await ack()
        inbox.put(body)

    @app.bolt.shortcut("imagine")
    async def chosen(ack: Any, body: Any) -> None:
        await ack()
        inbox.put(body)

    @app.bolt.event("app_mention")
    async def mentioned(body: Any) -> None:
        inbox.put(body)

    await slack.slash("/imagine", "x", user=EVE, channel=STUDIO)
    body = await inbox.get()
    assert (body["team_id"], body["enterprise_id"]) == (SECOND, ORGANISATION)
    assert body["is_enterprise_install"] == "true"
    await slack.shortcut("imagine", user=EVE)
    body = await inbox.get()
    assert (body["team"], body["user"]["team_id"]) == (None, SECOND)
    assert body["enterprise"]["id"] == ORGANISATION
    await slack.say(f"<@{slack.world.bot_user_id}> x", user=STRANGER, channel=STUDIO)
    body = await inbox.get()
    assert (body["team_id"], body["context_team_id"]) == ("T0ELSEWHERE", SECOND)
    assert body["authorizations"][0]["is_enterprise_install"] is True


async def test_one_workspace_takes_the_app_away(
    slack: LoopbackSlack, client: AsyncWebClient, app: App
) -> None:
    inbox = Inbox()

    @app.bolt.event("team_access_revoked")
    async def gone(event: Any) -> None:
        inbox.put(event["team_ids"])

    await slack.remove_from(SECOND)
    assert await inbox.get() == [SECOND]
    for channel in (STUDIO, EVE):
        with refused("team_access_not_granted"):
            await client.chat_postMessage(channel=channel, text="x")
    with refused("team_access_not_granted"):
        await client.conversations_info(channel=STUDIO)
    await client.chat_postMessage(channel=IMAGINE, text="x")
    await client.chat_postMessage(channel=ADA, text="x")
