"""Block Kit: each limit, in Slack's words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import ApiError, LoopbackSlack
from standins.slack.blocks import MAX_MESSAGE_BLOCKS, check_message_blocks, every_element
from standins.slack.schema import Check
from tests.standins.slack.app import (
    IMAGINE,
    actions,
    button,
    image,
    plain,
    refused,
    section,
    words,
)

URL = "https://example.com/a.png"


def option(value: str = "a", **more: Any) -> Json:
    return {"text": plain("An option"), "value": value, **more}


def menu(**more: Any) -> Json:
    return {"type": "static_select", "action_id": "m", "options": [option()], **more}


def header(text: str = "h", **more: Any) -> Json:
    return {"type": "header", "text": plain(text), **more}


def context(*elements: Json) -> Json:
    return {"type": "context", "elements": list(elements)}


def card(**more: Any) -> Json:
    return {"type": "card", "title": plain("A card"), **more}


def carousel(*cards: Json) -> Json:
    return {"type": "carousel", "elements": list(cards)}


TEXT = {"type": "mrkdwn", "text": "t"}
ACCEPTED: list[list[Json]] = [
    [section("x" * 3_000)],
    [header("x" * 150)],
    [{"type": "divider"}],
    [image(image_url=URL, alt_text="x" * 2_000, title=plain("x"))],
    [context(*[TEXT] * 10)],
    [context({"type": "image", "image_url": URL, "alt_text": "x"})],
    [actions(*[button(f"b{n}", value="v" * 2_000) for n in range(25)])],
    [actions(button(text=plain("x" * 75), action_id="a" * 255))],
    [actions(menu(options=[option(str(n)) for n in range(100)]))],
    [actions(menu(initial_option=option(), placeholder=plain("Choose")))],
    [actions({"type": "overflow", "options": [option(url=URL)]})],
    [actions({"type": "users_select", "placeholder": plain("Who")})],
    [section(accessory=button())],
    [section(accessory={"type": "image", "image_url": URL, "alt_text": "x"})],
    [{"type": "section", "fields": [TEXT] * 10}],
    [words()],
    [card(body=TEXT, hero_image={"type": "image", "image_url": URL, "alt_text": "x"})],
    [carousel(*[card(actions=[button()]) for _ in range(10)])],
    [card(actions=[button(f"b{n}") for n in range(3)], subtext=TEXT)],
    [{"type": "markdown", "text": "# hello"}],
    [section()] * 50,
]
REFUSED: list[tuple[list[Any], str]] = [
    ([section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    (["x"], "must provide an object [json-pointer:/blocks/0]"),
    ([{}], "missing required field: type [json-pointer:/blocks/0]"),
    ([{"type": "cake"}], "unsupported type: cake [json-pointer:/blocks/0/type]"),
    (
        [section("x" * 3_001)],
        "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
    ),
    ([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
    ([section(5)], "must provide a string [json-pointer:/blocks/0/text/text]"),  # type: ignore[arg-type]
    ([{"type": "section"}], "missing required field: text [json-pointer:/blocks/0]"),
    ([section(note=1)], "invalid additional property: note [json-pointer:/blocks/0]"),
    (
        [section(block_id="x" * 256)],
        "must be less than 256 characters [json-pointer:/blocks/0/block_id]",
    ),
    (
        [{"type": "section", "fields": [TEXT] * 11}],
        "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
    ),
    ([header("x" * 151)], "must be less than 151 characters [json-pointer:/blocks/0/text/text]"),
    (
        [{"type": "header", "text": TEXT}],
        "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]",
    ),
    ([context()], "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
    ([context(*[TEXT] * 11)], "no more than 10 items allowed [json-pointer:/blocks/0/elements]"),
    ([context(button())], "unsupported type: button [json-pointer:/blocks/0/elements/0/type]"),
    ([actions()], "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
    (
        [actions(*[button(f"b{n}") for n in range(26)])],
        "no more than 25 items allowed [json-pointer:/blocks/0/elements]",
    ),
    (
        [actions(button(text=plain("x" * 76)))],
        "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
    ),
    (
        [actions(button(value="x" * 2_001))],
        "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
    ),
    (
        [actions(button("a" * 256))],
        "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]",
    ),
    (
        [actions(button(style="blue"))],
        "value must be one of: primary, danger [json-pointer:/blocks/0/elements/0/style]",
    ),
    (
        [actions(button(block_id="b"))],
        "invalid additional property: block_id [json-pointer:/blocks/0/elements/0]",
    ),
    ([actions(button(), button())], "action_id already exists: go [json-pointer:/blocks/0]"),
    (
        [actions(words()["element"])],
        "unsupported type: plain_text_input [json-pointer:/blocks/0/elements/0/type]",
    ),
    (
        [section(block_id="b"), section(block_id="b")],
        "block_id already exists: b [json-pointer:/blocks/1/block_id]",
    ),
    (
        [actions(menu(options=[option("x" * 151)]))],
        "must be less than 151 characters [json-pointer:/blocks/0/elements/0/options/0/value]",
    ),
    (
        [actions(menu(options=[option()] * 101))],
        "no more than 100 items allowed [json-pointer:/blocks/0/elements/0/options]",
    ),
    (
        [actions({"type": "static_select", "action_id": "m"})],
        "must provide exactly one of options and option_groups [json-pointer:/blocks/0/elements/0]",
    ),
    (
        [image(image_url=URL, alt_text="")],
        "must be more than 0 characters [json-pointer:/blocks/0/alt_text]",
    ),
    (
        [image(image_url=URL, alt_text="x" * 2_001)],
        "must be less than 2001 characters [json-pointer:/blocks/0/alt_text]",
    ),
    (
        [{"type": "image", "image_url": URL}],
        "missing required field: alt_text [json-pointer:/blocks/0]",
    ),
    ([image()], "must provide exactly one of image_url and slack_file [json-pointer:/blocks/0]"),
    ([image(image_url="ftp://a/b")], "invalid_url [json-pointer:/blocks/0/image_url]"),
    ([image(image_url="http://[")], "invalid_url [json-pointer:/blocks/0/image_url]"),
    (
        [image(image_url="http://127.0.0.1/a.png")],
        "downloading image failed [json-pointer:/blocks/0/image_url]",
    ),
    (
        [image(slack_file={"id": "f1"})],
        "input must match regex pattern: ^[F][A-Z0-9]{8,}$ [json-pointer:/blocks/0/slack_file/id]",
    ),
    (
        [image(slack_file={"id": "F000000000"})],
        "invalid slack file [json-pointer:/blocks/0/slack_file]",
    ),
    (
        [image(slack_file={})],
        "failed to match all allowed schemas [json-pointer:/blocks/0/slack_file]",
    ),
    (
        [{"type": "card", "subtitle": TEXT}],
        "must provide at least one of hero_image, title, actions and body [json-pointer:/blocks/0]",
    ),
    (
        [card(body=plain("x" * 201))],
        "must be less than 201 characters [json-pointer:/blocks/0/body/text]",
    ),
    (
        [card(actions=[button(f"b{n}") for n in range(4)])],
        "no more than 3 items allowed [json-pointer:/blocks/0/actions]",
    ),
    ([carousel(*[card()] * 11)], "no more than 10 items allowed [json-pointer:/blocks/0/elements]"),
]


@pytest.mark.parametrize("blocks", ACCEPTED)
def test_what_a_message_may_show(blocks: list[Json]) -> None:
    shown = check_message_blocks(blocks, Check())
    assert all(block["block_id"] for block in shown)
    assert all(element["action_id"] for _, element in every_element(shown))


@pytest.mark.parametrize(("blocks", "message"), REFUSED)
async def test_what_a_message_may_not_show(
    client: AsyncWebClient, blocks: list[Any], message: str
) -> None:
    told = [message]
    if "/text" in message.partition("json-pointer:")[2] or "/body" in message:
        parent = message.partition("json-pointer:")[2].rpartition("/")[0]
        told.insert(0, f"failed to match all allowed schemas [json-pointer:{parent}]")
    with refused("invalid_blocks", *told):
        await client.chat_postMessage(channel=IMAGINE, text="x", blocks=blocks)


async def test_a_workspace_may_lack_the_newest(
    slack: LoopbackSlack, client: AsyncWebClient
) -> None:
    shown = [section(), carousel(card())]
    posted = await client.chat_postMessage(channel=IMAGINE, text="x", blocks=shown)
    slack.world.missing_blocks.add("carousel")
    with refused("invalid_blocks", "unsupported type: carousel [json-pointer:/blocks/1/type]"):
        await client.chat_postMessage(channel=IMAGINE, text="x", blocks=shown)
    assert [one["ts"] for one in slack.history(IMAGINE)] == [posted["ts"]]


async def test_blocks_are_a_list(client: AsyncWebClient) -> None:
    with refused("invalid_blocks_format"):
        await client.api_call(
            "chat.postMessage", json={"channel": IMAGINE, "text": "x", "blocks": {}}
        )


async def test_blocks_together_say_only_so_much(client: AsyncWebClient) -> None:
    with refused("msg_blocks_too_long"):
        await client.chat_postMessage(
            channel=IMAGINE, text="x", blocks=[section("x" * 2_990)] * 4 + [section("y" * 20)]
        )


async def test_an_update_is_held_to_the_same(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=IMAGINE, text="x", blocks=[section()])
    before = slack.message(IMAGINE, posted["ts"])
    with refused("invalid_blocks", "missing required field: text [json-pointer:/blocks/0]"):
        await client.chat_update(
            channel=IMAGINE, ts=posted["ts"], text="y", blocks=[{"type": "section"}]
        )
    assert slack.message(IMAGINE, posted["ts"]) == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "text", "elements", "block_id", "options", "title"]),
            inner | st.sampled_from(["section", "actions", "button", "carousel", "plain_text"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=MAX_MESSAGE_BLOCKS + 1))
def test_whatever_is_sent_is_taken_or_refused(blocks: list[Any]) -> None:
    try:
        shown = check_message_blocks(blocks, Check())
    except ApiError as error:
        assert error.body["ok"] is False  # noqa: PT017 - either is right
    else:
        assert len(shown) == len(blocks) <= MAX_MESSAGE_BLOCKS
