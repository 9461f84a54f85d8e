"""Dialogs and home tabs: what they may hold, and what opens them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import ActionRefused, LoopbackSlack, ManualClock, Submission, View
from tests.standins.slack.app import (
    ADA,
    BEN,
    BOT,
    App,
    Inbox,
    actions,
    button,
    dialog_of,
    modal,
    plain,
    refused,
    section,
    words,
)

WRONG = "failed to match all allowed schemas [json-pointer:/view]"
Trigger = Callable[[], Awaitable[str]]


@pytest.fixture
async def trigger(slack: LoopbackSlack, app: App) -> Trigger:
    """Has Ben use a shortcut; the trigger id that comes of it."""
    triggers = Inbox()

    @app.bolt.shortcut("new")
    async def new(ack: AsyncAck, body: Json) -> None:
        await ack()
        triggers.put(body["trigger_id"])

    async def use() -> str:
        await slack.shortcut("new", user=BEN)
        return str(await triggers.get())

    return use


async def test_a_trigger_opens_one_dialog_and_soon(
    slack: LoopbackSlack, client: AsyncWebClient, clock: ManualClock, trigger: Trigger
) -> None:
    first = await trigger()
    told: Any = await client.views_open(trigger_id=first, view=modal(callback_id="a"))
    view = slack.view_of(BEN)
    assert view is not None
    assert (told["view"]["id"], told["view"]["hash"]) == (view.id, view.hash)
    with refused("exchanged_trigger_id"):
        await client.views_open(trigger_id=first, view=modal())
    late = await trigger()
    clock.advance(3.1)
    with refused("expired_trigger_id"):
        await client.views_open(trigger_id=late, view=modal())
    with refused("invalid_trigger_id"):
        await client.views_open(trigger_id="1.2.a", view=modal())
    with refused("invalid_arguments", "missing required field: trigger_id"):
        await client.api_call("views.open", json={"view": modal()})


async def test_a_trigger_is_not_spent_on_a_refusal(
    client: AsyncWebClient, trigger: Trigger
) -> None:
    one = await trigger()
    with refused("invalid_arguments"):
        await client.views_open(trigger_id=one, view=modal(title=plain("x" * 25)))
    await client.views_open(trigger_id=one, view=modal())


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (
            modal(title=plain("x" * 25)),
            "must be less than 25 characters [json-pointer:/view/title/text]",
        ),
        (
            modal(submit=plain("x" * 25)),
            "must be less than 25 characters [json-pointer:/view/submit/text]",
        ),
        (
            modal(close=plain("x" * 25)),
            "must be less than 25 characters [json-pointer:/view/close/text]",
        ),
        (
            modal(private_metadata="x" * 3_001),
            "must be less than 3001 characters [json-pointer:/view/private_metadata]",
        ),
        (
            modal(callback_id="x" * 256),
            "must be less than 256 characters [json-pointer:/view/callback_id]",
        ),
        (modal(*[section()] * 101), "no more than 100 items allowed [json-pointer:/view/blocks]"),
        (modal(colour="red"), "invalid additional property: colour [json-pointer:/view]"),
        (
            modal({"type": "markdown", "text": "x"}),
            "unsupported type: markdown [json-pointer:/view/blocks/0/type]",
        ),
        ({"type": "home", "blocks": []}, "unsupported type: home [json-pointer:/view/type]"),
        ({"type": "modal", "blocks": []}, "missing required field: title [json-pointer:/view]"),
        (
            {"type": "modal", "title": plain("x"), "blocks": [words()]},
            "missing required field: submit [json-pointer:/view]",
        ),
        (
            modal(words(max_length=3_001)),
            "must be between 1 and 3000 [json-pointer:/view/blocks/0/element/max_length]",
        ),
    ],
)
async def test_what_a_dialog_may_not_be(
    client: AsyncWebClient, definition: Json, message: str
) -> None:
    with refused("invalid_arguments", WRONG, message):
        await client.views_open(trigger_id="unused", view=definition)


async def test_a_dialog_can_be_too_large(client: AsyncWebClient) -> None:
    options = [{"text": plain("x" * 75), "value": str(n)} for n in range(100)]
    menus = [
        actions({"type": "static_select", "options": options, "action_id": f"m{n}"})
        for n in range(30)
    ]
    with refused("view_too_large"):
        await client.views_open(trigger_id="unused", view=modal(*menus))


async def test_an_update_holds_to_the_hash(
    slack: LoopbackSlack, client: AsyncWebClient, trigger: Trigger
) -> None:
    opened: Any = await client.views_open(
        trigger_id=await trigger(), view=modal(external_id="one", callback_id="a")
    )
    view_id, old = opened["view"]["id"], opened["view"]["hash"]
    updated: Any = await client.views_update(
        external_id="one", view=modal(callback_id="b", external_id="one"), hash=old
    )
    view = slack.view_of(BEN)
    assert view is not None
    assert (view.callback_id, updated["view"]["hash"]) == ("b", view.hash)
    assert view.hash != old
    with refused("hash_conflict"):
        await client.views_update(view_id=view_id, view=modal(), hash=old)
    await client.views_update(view_id=view_id, view=modal(callback_id="c"))
    assert view.callback_id == "c"
    with refused("not_found"):
        await client.views_update(view_id="V000000000", view=modal())


async def test_dialogs_lie_on_each_other(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, trigger: Trigger
) -> None:
    pushed = Inbox()

    @app.bolt.action("more")
    async def more(ack: AsyncAck, body: Json) -> None:
        await ack()
        pushed.put(body["trigger_id"])

    @app.bolt.view("last")
    async def last(ack: AsyncAck) -> None:
        await ack(response_action="clear")

    def page(name: str) -> Json:
        return modal(actions(button("more")), words(), callback_id=name, external_id=name)

    async def push(name: str) -> None:
        top = slack.view_of(BEN)
        assert top is not None
        await slack.press_in_view(top, "more", user=BEN)
        await client.views_push(trigger_id=await pushed.get(), view=page(name))

    with refused("invalid_trigger_id"):
        await client.views_push(trigger_id=await trigger(), view=page("a"))
    await client.views_open(trigger_id=await trigger(), view=page("root"))
    root = slack.view_of(BEN)
    assert root is not None
    with refused("duplicate_external_id"):
        await push("root")
    await push("second")
    await push("last")
    top = slack.view_of(BEN)
    assert top is not None
    assert (top.root_id, top.callback_id) == (root.id, "last")
    with refused("push_limit_reached"):
        await push("fourth")
    with pytest.raises(ActionRefused, match="another one lies on it"):
        await slack.submit(root, {"words": "x"}, user=BEN)
    done = await slack.submit(top, {"words": "x"}, user=BEN)
    assert (done.closed, slack.view_of(BEN), root.is_open) == (True, None, False)
    with pytest.raises(ActionRefused, match="closed"):
        await slack.submit(top, {"words": "x"}, user=BEN)


async def submitted(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, trigger: Trigger, **answer: Any
) -> tuple[Submission, View]:
    @app.bolt.view("ask")
    async def ask(ack: AsyncAck) -> None:
        await ack(**answer)

    await client.views_open(trigger_id=await trigger(), view=modal(words(), callback_id="ask"))
    view = await dialog_of(slack, BEN)
    return await slack.submit(view, {"words": "x"}, user=BEN), view


async def test_a_submission_may_push_another(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, trigger: Trigger
) -> None:
    done, view = await submitted(
        slack, app, client, trigger, response_action="push", view=modal(callback_id="next")
    )
    assert done.view is slack.view_of(BEN)
    assert done.view is not None
    assert (done.view.callback_id, done.view.previous_id) == ("next", view.id)


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"no-such-block": "x"}},
        {"response_action": "update", "view": {"type": "modal"}},
        {"response_action": "shout"},
    ],
)
async def test_an_answer_that_slack_does_not_understand(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, trigger: Trigger, answer: Json
) -> None:
    done, view = await submitted(slack, app, client, trigger, **answer)
    assert (done.failed, done.errors, done.view) == (True, {}, view)
    assert slack.view_of(BEN) is view


async def test_what_a_person_chose_before_is_submitted_too(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, trigger: Trigger
) -> None:
    seen = Inbox()

    @app.bolt.action("size")
    async def size(ack: AsyncAck) -> None:
        await ack()

    @app.bolt.view("ask")
    async def ask(ack: AsyncAck, view: Json) -> None:
        await ack()
        seen.put(view["state"]["values"])

    options = [{"text": plain(name), "value": name} for name in ("s", "m")]
    menu = {"type": "radio_buttons", "action_id": "size", "options": options}
    fields = [
        actions(menu, block_id="sizes"),
        {
            **words("n", "n"),
            "element": {
                "type": "number_input",
                "is_decimal_allowed": False,
                "action_id": "n",
                "min_value": "1",
                "max_value": "9",
            },
        },
        {**words("who", "who"), "element": {"type": "multi_users_select", "action_id": "who"}},
        {
            **words("tags", "tags"),
            "optional": True,
            "element": {
                "type": "checkboxes",
                "action_id": "tags",
                "options": options,
                "initial_options": options[:1],
            },
        },
    ]
    await client.views_open(trigger_id=await trigger(), view=modal(*fields, callback_id="ask"))
    view = await dialog_of(slack, BEN)
    pressed = await slack.press_in_view(view, "size", user=BEN, value="m")
    await pressed.acknowledged()
    for values, sentence in [
        ({"n": "x", "who": [ADA]}, "a number"),
        ({"n": "10", "who": [ADA]}, "1 to 9"),
        ({"n": "5", "who": ADA}, "a list"),
        ({"n": "5"}, "required"),
        ({"n": "5", "who": [ADA], "tags": ["xl"]}, "does not offer"),
    ]:
        with pytest.raises(ActionRefused, match=sentence):
            await slack.submit(view, values, user=BEN)  # type: ignore[arg-type]
    await slack.submit(view, {"n": "5", "who": [ADA]}, user=BEN)
    values = await seen.get()
    assert values["sizes"]["size"]["selected_option"]["value"] == "m"
    assert values["n"]["n"]["value"] == "5"
    assert values["who"]["who"]["selected_users"] == [ADA]
    assert [one["value"] for one in values["tags"]["tags"]["selected_options"]] == ["s"]


async def test_a_dialog_can_be_dismissed(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, trigger: Trigger
) -> None:
    closed = Inbox()

    @app.bolt.view_closed("ask")
    async def ask(ack: AsyncAck, body: Json) -> None:
        await ack()
        closed.put(body)

    await client.views_open(
        trigger_id=await trigger(), view=modal(callback_id="ask", notify_on_close=True)
    )
    await slack.dismiss(await dialog_of(slack, BEN), user=BEN)
    body = await closed.get()
    assert (body["is_cleared"], slack.view_of(BEN)) == (False, None)


async def test_home_tabs(slack: LoopbackSlack, client: AsyncWebClient) -> None:
    home = {"type": "home", "blocks": [section()], "callback_id": "a"}
    first: Any = await client.views_publish(user_id=BEN, view=home)
    assert slack.home_of(ADA) is None
    second: Any = await client.views_publish(
        user_id=BEN, view={**home, "callback_id": "b"}, hash=first["view"]["hash"]
    )
    assert second["view"]["id"] == first["view"]["id"]
    told = slack.home_of(BEN)
    assert told is not None
    assert told["callback_id"] == "b"
    with refused("hash_conflict"):
        await client.views_publish(user_id=BEN, view=home, hash=first["view"]["hash"])
    with refused("user_not_found"):
        await client.views_publish(user_id=BOT, view=home)
    with refused("invalid_arguments"):
        await client.views_publish(user_id=BEN, view=modal())
