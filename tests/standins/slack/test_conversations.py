"""Places and people: what the bot is told of them."""

from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from standins.slack import LoopbackSlack
from tests.standins.slack.app import (
    ADA,
    ARCHIVED,
    BEN,
    BOT,
    ELSEWHERE,
    GUEST,
    IMAGINE,
    MIA,
    MOD_LOG,
    PRIVATE,
    STRANGER,
    refused,
)

META = {"event_type": "job", "event_payload": {"id": "7"}}


async def test_direct_messages_are_opened_once(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    first: Any = await client.conversations_open(users=BEN)
    again: Any = await client.conversations_open(users=[BEN], return_im=True)
    assert again["already_open"] is True
    assert again["channel"] == {
        "id": first["channel"]["id"],
        "is_im": True,
        "user": BEN,
        "is_archived": False,
    }
    told: Any = await client.conversations_info(channel=first["channel"]["id"])
    assert told["channel"]["user"] == BEN
    with refused("user_not_found"):
        await client.conversations_open(users="U000000000")
    with refused("users_list_not_supplied"):
        await client.conversations_open(users="")
    with refused("cannot_dm_bot"):
        await client.conversations_open(users=BOT)
    with refused("too_many_users"):
        await client.conversations_open(users=[ADA, BEN])


async def test_a_channel(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    told: Any = await client.conversations_info(channel=IMAGINE)
    assert (told["channel"]["name"], told["channel"]["is_member"]) == ("imagine", True)
    told = await client.conversations_info(channel=ELSEWHERE)
    assert told["channel"]["is_member"] is False
    for channel in (PRIVATE, "C000000000"):
        with refused("channel_not_found"):
            await client.conversations_info(channel=channel)
    members: Any = await client.conversations_members(channel=MOD_LOG)
    assert set(members["members"]) == {ADA, MIA, BOT}


async def test_joining(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    joined: Any = await client.conversations_join(channel=ELSEWHERE)
    assert joined["channel"]["is_member"] is True
    again: Any = await client.conversations_join(channel=ELSEWHERE)
    assert again["warning"] == "already_in_channel"
    await client.chat_postMessage(channel=ELSEWHERE, text="here")
    with refused("channel_not_found"):
        await client.conversations_join(channel=PRIVATE)
    with refused("method_not_supported_for_channel_type"):
        await client.conversations_join(channel=MOD_LOG)
    with refused("is_archived"):
        await client.conversations_join(channel=ARCHIVED)


async def test_history(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    slack.world.is_internal = True
    stamps = [
        (await client.chat_postMessage(channel=IMAGINE, text=str(n), metadata=META))["ts"]
        for n in range(5)
    ]
    reply = await client.chat_postMessage(channel=IMAGINE, text="r", thread_ts=stamps[0])

    plain_one: Any = await client.conversations_history(channel=IMAGINE)
    assert [one["ts"] for one in plain_one["messages"]] == stamps[::-1]
    assert not any("metadata" in one for one in plain_one["messages"])
    told: Any = await client.conversations_history(
        channel=IMAGINE, oldest=stamps[1], latest=stamps[3], include_all_metadata=True
    )
    assert [one["ts"] for one in told["messages"]] == [stamps[2]]
    assert told["messages"][0]["metadata"] == META
    told = await client.conversations_history(
        channel=IMAGINE, oldest=stamps[1], latest=stamps[3], inclusive=True
    )
    assert len(told["messages"]) == 3

    pages = []
    cursor = ""
    while True:
        page: Any = await client.conversations_history(channel=IMAGINE, limit=2, cursor=cursor)
        pages.append(len(page["messages"]))
        if not page["has_more"]:
            break
        cursor = page["response_metadata"]["next_cursor"]
    assert pages == [2, 2, 1]

    thread: Any = await client.conversations_replies(channel=IMAGINE, ts=stamps[0])
    assert [one["ts"] for one in thread["messages"]] == [stamps[0], reply["ts"]]
    with refused("thread_not_found"):
        await client.conversations_replies(channel=IMAGINE, ts="1.000001")
    with refused("invalid_ts_oldest"):
        await client.conversations_history(channel=IMAGINE, oldest="yesterday")
    with refused("invalid_cursor"):
        await client.conversations_history(channel=IMAGINE, cursor="x")
    with refused("invalid_limit"):
        await client.conversations_history(channel=IMAGINE, limit=0)
    with refused("not_in_channel"):
        await client.conversations_history(channel=ELSEWHERE)
    with refused("channel_not_found"):
        await client.conversations_history(channel=PRIVATE)


async def test_an_app_that_is_sold_reads_little(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    for n in range(20):
        await slack.say(str(n), user=BEN, channel=IMAGINE)
    told: Any = await client.conversations_history(channel=IMAGINE, limit=100)
    assert (len(told["messages"]), told["has_more"]) == (15, True)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (ADA, {"is_owner": True, "is_restricted": False, "is_stranger": False}),
        (GUEST, {"is_owner": False, "is_restricted": True, "is_stranger": False}),
        (STRANGER, {"team_id": "T0ELSEWHERE", "is_stranger": True}),
        (BOT, {"is_bot": True}),
    ],
)
async def test_people(client: AsyncWebClient, user: str, expected: Any) -> None:
    told: Any = await client.users_info(user=user, include_locale=True)
    assert told["user"].items() >= expected.items()
    assert told["user"]["locale"] == "en-GB"


async def test_nobody_and_groups_and_the_team(client: AsyncWebClient) -> None:
    with refused("user_not_found"):
        await client.users_info(user="U000000000")
    groups: Any = await client.usergroups_list(include_users=True)
    (moderators,) = groups["usergroups"]
    assert (moderators["handle"], moderators["users"]) == ("moderators", [MIA])
    users: Any = await client.usergroups_users_list(usergroup=moderators["id"])
    assert users["users"] == [MIA]
    with refused("no_such_subteam"):
        await client.usergroups_users_list(usergroup="S000000000")
    team: Any = await client.team_info()
    assert (team["team"]["id"], team["team"]["name"]) == ("T0LOOPBACK", "Loopback")
    with refused("team_not_found"):
        await client.team_info(team="T000000000")


def test_the_world_is_looked_up_by_name(slack: LoopbackSlack) -> None:
    assert slack.world.person("mia").id == MIA
    assert slack.world.channel("mod-log").id == MOD_LOG
    with pytest.raises(KeyError):
        slack.world.person("zoe")
    with pytest.raises(KeyError):
        slack.world.channel("nowhere")
