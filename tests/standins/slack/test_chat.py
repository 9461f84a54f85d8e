"""Writing, changing and deleting messages."""

import warnings
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import LoopbackSlack
from tests.standins.slack.app import (
    ADA,
    ANNOUNCE,
    ARCHIVED,
    BEN,
    BOT,
    ELSEWHERE,
    GALLERY,
    IMAGINE,
    MOD_LOG,
    PRIVATE,
    STRANGER,
    refused,
    section,
)

META = {"event_type": "job", "event_payload": {"id": "7"}}


async def post(client: AsyncWebClient, **more: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the client would rather have a text
        posted = await client.chat_postMessage(**{"channel": IMAGINE, "text": "hello", **more})
    return str(posted["ts"])


async def test_a_message(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    text = "a &lt;b&gt; &amp; <@U1> <b> & c"
    ts = await post(client, text=text, metadata=META, blocks=[section()])
    (seen,) = slack.history(IMAGINE)
    assert seen.items() >= {"text": text, "user": BOT, "metadata": META, "ts": ts}.items()
    assert seen["blocks"][0]["block_id"]
    assert seen == slack.message(IMAGINE, ts)


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("C0NOWHERE1", "channel_not_found"),
        ("#nowhere", "channel_not_found"),
        (PRIVATE, "channel_not_found"),
        (ELSEWHERE, "not_in_channel"),
        (ARCHIVED, "is_archived"),
        (ANNOUNCE, "restricted_action"),
        (BOT, "channel_not_found"),
    ],
)
async def test_where_it_may_not_write(client: AsyncWebClient, channel: str, error: str) -> None:
    with refused(error):
        await post(client, channel=channel)
    with refused(error):
        await client.chat_postEphemeral(channel=channel, user=ADA, text="x")


async def test_where_it_may_write(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    await post(client, channel="#gallery")
    assert len(slack.history(GALLERY)) == 1
    posted = await client.chat_postMessage(channel=BEN, text="for you")
    direct = slack.world.direct_message(BEN)
    assert posted["channel"] == direct.id
    slack.world.scopes.add("chat:write.public")
    await post(client, channel=ELSEWHERE)


@pytest.mark.parametrize("content", [{"text": ""}, {"text": "  "}, {"text": "", "blocks": []}, {}])
async def test_nothing_is_no_message(client: AsyncWebClient, content: Json) -> None:
    with refused("no_text"):
        await client.api_call("chat.postMessage", json={"channel": IMAGINE, **content})


async def test_long_texts(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    ts = await post(client, text="x" * 40_001)
    assert len(slack.message(IMAGINE, ts)["text"]) == 40_000
    with refused("msg_too_long"):
        await client.chat_update(channel=IMAGINE, ts=ts, text="x" * 4_001)
    await client.chat_update(channel=IMAGINE, ts=ts, text="x" * 4_000)


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ("{", "invalid_metadata_format"),
        ({"event_type": "job"}, "invalid_metadata_format"),
        ({"event_type": "", "event_payload": {}}, "invalid_metadata_format"),
        ({"event_type": "job", "event_payload": []}, "invalid_metadata_format"),
        ({**META, "more": 1}, "invalid_metadata_format"),
        ({"event_type": "job", "event_payload": {"x": "y" * 8_000}}, "metadata_too_large"),
    ],
)
async def test_metadata_has_one_shape(client: AsyncWebClient, metadata: Any, error: str) -> None:
    with refused(error):
        await client.api_call(
            "chat.postMessage", json={"channel": IMAGINE, "text": "x", "metadata": metadata}
        )


async def test_an_update_keeps_what_it_does_not_name(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    ts = await post(client, blocks=[section()], metadata=META)
    told = await client.chat_update(channel=IMAGINE, ts=ts, text="new")
    seen = slack.message(IMAGINE, ts)
    assert (seen["text"], seen["metadata"], len(seen["blocks"])) == ("new", META, 1)
    assert (told["ts"], told["text"], seen["edited"]["user"]) == (ts, "new", BOT)
    await client.chat_update(channel=IMAGINE, ts=ts, text="bare", blocks=[])
    assert "blocks" not in slack.message(IMAGINE, ts)
    with refused("no_text"):
        await client.api_call("chat.update", json={"channel": IMAGINE, "ts": ts})
    with refused("no_text"):
        await client.api_call("chat.update", json={"channel": IMAGINE, "ts": ts, "text": ""})


async def test_only_its_own_messages(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    said = await slack.say("mine", user=BEN, channel=IMAGINE)
    with refused("cant_update_message"):
        await client.chat_update(channel=IMAGINE, ts=said["ts"], text="x")
    with refused("cant_delete_message"):
        await client.chat_delete(channel=IMAGINE, ts=said["ts"])
    ts = await post(client)
    with refused("channel_not_found"):
        await client.chat_update(channel=PRIVATE, ts=ts, text="x")
    with refused("message_not_found"):
        await client.chat_update(channel=GALLERY, ts=ts, text="x")
    await client.chat_delete(channel=IMAGINE, ts=ts)
    with refused("message_not_found"):
        await client.chat_update(channel=IMAGINE, ts=ts, text="x")
    with refused("message_not_found"):
        await client.chat_delete(channel=IMAGINE, ts=ts)
    assert slack.history(IMAGINE) == [said]
    with pytest.raises(KeyError):
        slack.message(IMAGINE, ts)


async def test_an_archived_channel_stays_as_it_is(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    ts = await post(client)
    slack.world.channels[IMAGINE].is_archived = True
    with refused("is_archived"):
        await client.chat_update(channel=IMAGINE, ts=ts, text="x")


async def test_an_ephemeral_message_is_nowhere_but_before_its_viewer(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    posted = await client.chat_postEphemeral(channel=IMAGINE, user=BEN, text="psst")
    ts = posted["message_ts"]
    assert [one["ts"] for one in slack.history(IMAGINE, viewer=BEN)] == [ts]
    assert slack.history(IMAGINE, viewer=ADA) == []
    with refused("message_not_found"):
        await client.chat_update(channel=IMAGINE, ts=ts, text="x")
    with refused("message_not_found"):
        await client.chat_delete(channel=IMAGINE, ts=ts)
    with refused("message_not_found"):
        await client.chat_getPermalink(channel=IMAGINE, message_ts=ts)
    slack.world.is_internal = True
    assert (await client.conversations_history(channel=IMAGINE))["messages"] == []
    with refused("user_not_in_channel"):
        await client.chat_postEphemeral(channel=MOD_LOG, user=STRANGER, text="x")


async def test_threads(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    parent = await post(client)
    reply = await post(client, thread_ts=parent)
    nested = await post(client, thread_ts=reply)
    seen = {one["ts"]: one for one in slack.history(IMAGINE)}
    assert [seen[ts]["thread_ts"] for ts in (parent, reply, nested)] == [parent] * 3
    assert (seen[parent]["reply_count"], seen[parent]["latest_reply"]) == (2, nested)
    assert seen[reply]["parent_user_id"] == BOT
    with refused("thread_not_found"):
        await post(client, thread_ts="1234567890.000001")
    with refused("invalid_thread_ts", "0 is not a valid thread_ts"):
        await post(client, thread_ts="0")


async def test_where_a_message_is_found(client: AsyncWebClient) -> None:
    parent = await post(client)
    reply = await post(client, thread_ts=parent)
    link = await client.chat_getPermalink(channel=IMAGINE, message_ts=parent)
    place = f"https://loopback.slack.com/archives/{IMAGINE}/p"
    assert link["permalink"] == place + parent.replace(".", "")
    link = await client.chat_getPermalink(channel=IMAGINE, message_ts=reply)
    assert link["permalink"].endswith(f"?thread_ts={parent}&cid={IMAGINE}")


async def test_reactions(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    ts = await post(client)
    await client.reactions_add(channel=IMAGINE, timestamp=ts, name="eyes")
    (reaction,) = slack.message(IMAGINE, ts)["reactions"]
    assert reaction == {"name": "eyes", "users": [BOT], "count": 1}
    with refused("already_reacted"):
        await client.reactions_add(channel=IMAGINE, timestamp=ts, name=":eyes:")
    with refused("invalid_name"):
        await client.reactions_add(channel=IMAGINE, timestamp=ts, name="two eyes")
    with refused("message_not_found"):
        await client.reactions_add(channel=IMAGINE, timestamp="1.000001", name="eyes")


async def test_attachments(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    ts = await post(client, attachments=[{"text": "a", "fallback": "a"}], text="")
    assert slack.message(IMAGINE, ts)["attachments"][0]["text"] == "a"
    with refused("invalid_attachments"):
        await client.api_call("chat.postMessage", json={"channel": IMAGINE, "attachments": "none"})
    with refused("too_many_attachments"):
        await client.api_call(
            "chat.postMessage", json={"channel": IMAGINE, "attachments": [{}] * 101}
        )
