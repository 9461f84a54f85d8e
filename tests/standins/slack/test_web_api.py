"""Tokens, scopes, arguments, who is answered at all, and faults."""

import asyncio
import json
import socket
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import async_default_handlers
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import ApiError, Fault, LoopbackSlack, ManualClock
from standins.slack.limits import LIMITS
from standins.slack.web_api import Arguments
from tests.standins.slack.app import (
    ADA,
    APP_TOKEN,
    BOT,
    BOT_TOKEN,
    GALLERY,
    IMAGINE,
    MOD_LOG,
    refused,
    section,
)


async def test_who_the_bot_is(client: AsyncWebClient) -> None:
    told = await client.auth_test()
    assert (told["user_id"], told["team_id"], told["bot_id"]) == (BOT, "T0LOOPBACK", "B0LOOPBACK")
    assert "chat:write" in told.headers["x-oauth-scopes"].split(",")


@pytest.mark.parametrize(
    ("method", "token", "error"),
    [
        ("auth.test", "", "not_authed"),
        ("auth.test", "xoxb-other", "invalid_auth"),
        ("auth.test", APP_TOKEN, "not_allowed_token_type"),
        ("apps.connections.open", BOT_TOKEN, "not_allowed_token_type"),
    ],
)
async def test_each_method_has_its_token(
    client: AsyncWebClient, method: str, token: str, error: str
) -> None:
    client.token = token
    with refused(error):
        await client.api_call(method)


async def test_a_token_may_be_an_argument(
    slack: LoopbackSlack, session: aiohttp.ClientSession
) -> None:
    url = slack.api_url + "auth.test"
    async with session.post(url, data={"token": BOT_TOKEN}) as answer:
        assert (await answer.json())["user_id"] == BOT
    async with session.get(url, params={"token": BOT_TOKEN}) as answer:
        assert (await answer.json())["user_id"] == BOT


@pytest.mark.parametrize(
    ("method", "arguments", "scope"),
    [
        ("chat.postMessage", {"channel": IMAGINE, "text": "x"}, "chat:write"),
        ("chat.postEphemeral", {"channel": IMAGINE, "text": "x", "user": ADA}, "chat:write"),
        ("files.getUploadURLExternal", {"filename": "a", "length": 1}, "files:write"),
        ("files.info", {"file": "F0"}, "files:read"),
        ("conversations.info", {"channel": IMAGINE}, "channels:read"),
        ("conversations.info", {"channel": MOD_LOG}, "groups:read"),
        ("conversations.history", {"channel": MOD_LOG}, "groups:history"),
        ("conversations.members", {"channel": IMAGINE}, "channels:read"),
        ("conversations.join", {"channel": IMAGINE}, "channels:join"),
        ("conversations.open", {"users": ADA}, "im:write"),
        ("users.info", {"user": ADA}, "users:read"),
        ("usergroups.list", {}, "usergroups:read"),
        ("usergroups.users.list", {"usergroup": "S0MODERATE"}, "usergroups:read"),
        ("reactions.add", {"channel": IMAGINE, "name": "eyes"}, "reactions:write"),
        ("team.info", {}, "team:read"),
    ],
)
async def test_what_a_token_was_not_granted(
    slack: LoopbackSlack, client: AsyncWebClient, method: str, arguments: Json, scope: str
) -> None:
    slack.world.scopes.discard(scope)
    provided = ",".join(sorted(slack.world.scopes))
    with refused("missing_scope", needed=scope, provided=provided):
        await client.api_call(method, params=arguments)


async def test_a_method_that_is_none(client: AsyncWebClient) -> None:
    with refused("unknown_method"):
        await client.api_call("chat.shout")


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"{", "application/json", "invalid_json"),
        (b"[1]", "application/json", "json_not_object"),
        (b"<x/>", "text/xml", "invalid_post_type"),
        (b"x", "multipart/form-data", "invalid_form_data"),
    ],
)
async def test_bodies_that_slack_does_not_read(
    slack: LoopbackSlack,
    session: aiohttp.ClientSession,
    body: bytes,
    content_type: str,
    error: str,
) -> None:
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {BOT_TOKEN}"}
    async with session.post(slack.api_url + "auth.test", data=body, headers=headers) as answer:
        assert await answer.json() == {"ok": False, "error": error}


async def test_a_form_carries_structures_as_text(client: AsyncWebClient) -> None:
    told: Any = await client.api_call(
        "chat.postMessage",
        data={"channel": IMAGINE, "text": "x", "blocks": '[{"type": "divider"}]'},
    )
    assert told["message"]["blocks"][0]["type"] == "divider"
    with refused("invalid_blocks_format"):
        await client.api_call("chat.postMessage", data={"channel": IMAGINE, "blocks": "[{"})


async def test_what_must_be_given(client: AsyncWebClient) -> None:
    with refused("invalid_arguments", "missing required field: channel"):
        await client.api_call("chat.postMessage", json={"text": "x"})
    with refused("invalid_arguments", "must provide a string [json-pointer:/channel]"):
        await client.api_call("chat.postMessage", json={"text": "x", "channel": ["C"]})
    with refused("invalid_arguments", "must provide an integer [json-pointer:/length]"):
        await client.api_call(
            "files.getUploadURLExternal", params={"filename": "a", "length": "long"}
        )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([IMAGINE, MOD_LOG, ADA, BOT, "1.000001", "[]", "{}", "F000000000"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "id", "blocks", "title"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "channel",
        "text",
        "blocks",
        "ts",
        "user",
        "users",
        "view",
        "files",
        "file",
        "metadata",
        "thread_ts",
        "oldest",
        "latest",
        "limit",
        "cursor",
        "filename",
        "length",
        "alt_txt",
        "trigger_id",
        "view_id",
        "user_id",
        "hash",
        "channels",
        "usergroup",
        "name",
        "timestamp",
        "message_ts",
        "attachments",
        "initial_comment",
        "channel_id",
        "team",
    ]
)


@given(st.sampled_from(sorted(LIMITS)), st.dictionaries(NAMES, VALUES, max_size=5))
def test_whatever_a_method_is_given_it_answers(name: str, values: Json) -> None:
    slack = LoopbackSlack()
    try:
        json.dumps(slack.methods[name].answer(Arguments(values)))
    except ApiError as error:
        assert error.body["error"]  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "slack.com"},
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_others_are_not_answered(
    slack: LoopbackSlack, session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    for path in ("/api/auth.test", "/link", "/response/x", "/files/x/y", "/upload/x"):
        async with session.get(slack.base_url + path, headers=headers) as answer:
            assert answer.status == 403


async def test_it_listens_on_this_machine_alone(slack: LoopbackSlack) -> None:
    port = int(slack.base_url.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # free: nobody listens there


async def test_an_answer_that_never_comes_and_one_that_is_lost(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    before = slack.faults.add(Fault(kind="drop_before", route="/chat.postMessage"))
    after = slack.faults.add(Fault(kind="drop_after", route="/chat.postMessage"))
    for _ in range(2):
        with pytest.raises(aiohttp.ClientError):
            await client.chat_postMessage(channel=IMAGINE, text="once")
    assert (before.fired, after.fired) == (1, 1)
    assert [one["text"] for one in slack.history(IMAGINE)] == ["once"]


async def test_a_client_that_repeats_says_it_twice(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    client.retry_handlers = async_default_handlers()
    slack.faults.add(Fault(kind="drop_after", route="/chat.postMessage"))
    await client.chat_postMessage(channel=IMAGINE, text="once")
    assert [one["text"] for one in slack.history(IMAGINE)] == ["once", "once"]


async def test_a_slow_answer_comes_by_the_clock(
    slack: LoopbackSlack, client: AsyncWebClient, clock: ManualClock
) -> None:
    fault = slack.faults.add(Fault(kind="latency", route="/chat.*", seconds=5.0))
    posting = asyncio.create_task(client.chat_postMessage(channel=GALLERY, text="late"))
    await fault.wait_fired()
    assert slack.history(GALLERY) == []
    clock.advance(5.0)
    await posting
    assert [one["text"] for one in slack.history(GALLERY)] == ["late"]


async def test_other_faults(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    slack.faults.add(Fault(kind="status", route="/team.info", status=500, body="oops"))
    slack.faults.add(Fault(kind="status_after", route="/chat.postMessage"))
    slack.faults.add(Fault(kind="rate_limit", route="/users.info", retry_after_s=7))
    with pytest.raises(SlackApiError):
        await client.team_info()
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=IMAGINE, text="x", blocks=[section()])
    assert len(slack.history(IMAGINE)) == 1
    with pytest.raises(SlackApiError) as limited:
        await client.users_info(user=ADA)
    response: Any = limited.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response["error"] == "ratelimited"
