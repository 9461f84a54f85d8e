"""A real slack_bolt: commands, presses, dialogs, shortcuts and events over the wire."""

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from standins.base.wire import Json
from standins.slack import ActionRefused, LoopbackSlack, ManualClock
from tests.standins.slack.app import (
    ADA,
    BEN,
    BOT,
    CLEO,
    ELSEWHERE,
    GALLERY,
    IMAGINE,
    MIA,
    PNG,
    PRIVATE,
    STRANGER,
    App,
    Inbox,
    actions,
    button,
    dialog_of,
    modal,
    refused,
    section,
    words,
)


async def test_a_command_is_acked_and_answered(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    @app.bolt.command("/imagine")
    async def imagine(ack: AsyncAck, command: Json, respond: AsyncRespond) -> None:
        await ack()
        assert command["user_name"] == "ben"
        await respond(text=f"You asked for {command['text']}.")

    invocation = await slack.slash("/imagine", " a cat ", user=BEN, channel=IMAGINE)
    await invocation.acknowledged()
    await slack.until(lambda: invocation.responses != [])

    assert (invocation.acked, invocation.failed, invocation.ack_s) == (True, False, 0.0)
    (seen,) = slack.history(IMAGINE, viewer=BEN)
    assert (seen["text"], seen["user"], seen["is_ephemeral"]) == (
        "You asked for a cat.",
        BOT,
        True,
    )
    assert slack.history(IMAGINE, viewer=ADA) == slack.history(IMAGINE) == []


async def test_a_command_is_answered_with_its_ack(slack: LoopbackSlack, app: App) -> None:
    @app.bolt.command("/imagine")
    async def imagine(ack: AsyncAck) -> None:
        await ack(text="Here.", response_type="in_channel")

    invocation = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await invocation.acknowledged()

    assert invocation.ack_payload["text"] == "Here."
    assert [one["text"] for one in slack.history(IMAGINE)] == ["Here."]
    assert invocation.responses == []


async def test_an_ack_that_slack_does_not_take_fails(slack: LoopbackSlack, app: App) -> None:
    @app.bolt.command("/imagine")
    async def imagine(ack: AsyncAck) -> None:
        await ack(blocks=[{"type": "unheard of"}])

    invocation = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await invocation.acknowledged()
    assert (invocation.acked, invocation.failed) == (True, True)


async def test_without_an_ack_in_three_seconds_the_person_is_told(
    slack: LoopbackSlack, app: App, clock: ManualClock
) -> None:
    arrived = Inbox()

    @app.bolt.command("/imagine")
    async def imagine(body: Json) -> None:
        arrived.put(body)

    invocation = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    await arrived.get()
    clock.advance(2.9)
    assert not invocation.failed
    clock.advance(0.2)
    await invocation.acknowledged()
    assert (invocation.acked, invocation.failed) == (False, True)


async def test_a_command_fails_at_once_where_no_app_listens(slack: LoopbackSlack) -> None:
    invocation = await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    assert invocation.failed


@pytest.mark.parametrize(
    ("command", "user", "channel", "sentence"),
    [
        ("/draw", BEN, IMAGINE, "not a valid command"),
        ("imagine", BEN, IMAGINE, "not a valid command"),
        ("/imagine", CLEO, PRIVATE, "is not in"),
        ("/imagine", ADA, "C0ARCHIVED", "archived"),
    ],
)
async def test_slack_does_not_send_every_command(
    slack: LoopbackSlack, command: str, user: str, channel: str, sentence: str
) -> None:
    slack.world.commands = {"/imagine"}
    with pytest.raises(ActionRefused, match=sentence):
        await slack.slash(command, "", user=user, channel=channel)


async def test_a_press_comes_with_its_message(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    pressed = Inbox()

    @app.bolt.action("go")
    async def go(ack: AsyncAck, body: Json, respond: AsyncRespond) -> None:
        await ack()
        pressed.put(body)
        await respond(text="Gone.", replace_original=True)

    blocks = [section(), actions(button(value="7"), button("stop", value="8"))]
    posted = await client.chat_postMessage(channel=IMAGINE, text="Press", blocks=blocks)
    message = slack.message(IMAGINE, posted["ts"])
    invocation = await slack.press(message, "go", user=BEN)
    body = await pressed.get()

    assert body["actions"][0]["value"] == "7"
    assert body["message"]["ts"] == posted["ts"]
    assert body["message"]["blocks"][0].items() >= section().items()
    assert (body["user"]["id"], body["channel"]["id"]) == (BEN, IMAGINE)
    assert body["container"]["is_ephemeral"] is False
    await slack.until(lambda: invocation.responses != [])
    seen = slack.message(IMAGINE, posted["ts"])
    assert (seen["text"], "blocks" in seen) == ("Gone.", False)


async def test_one_of_several_buttons_is_told_by_its_value(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    pressed = Inbox()

    @app.bolt.action("go")
    async def go(ack: AsyncAck, body: Json) -> None:
        await ack()
        pressed.put(body["actions"][0]["value"])

    blocks = [actions(button(value="1")), actions(button(value="2"))]
    posted = await client.chat_postMessage(channel=IMAGINE, text="Press", blocks=blocks)
    message = slack.message(IMAGINE, posted["ts"])
    await slack.press(message, "go", user=BEN, value="2")
    assert await pressed.get() == "2"
    with pytest.raises(ActionRefused, match="has the value '3'"):
        await slack.press(message, "go", user=BEN, value="3")
    with pytest.raises(ActionRefused, match="nothing called 'come'"):
        await slack.press(message, "come", user=BEN)


async def test_only_its_viewer_presses_an_ephemeral_message(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    pressed = Inbox()

    @app.bolt.action("go")
    async def go(ack: AsyncAck, body: Json, respond: AsyncRespond) -> None:
        await ack()
        pressed.put(body)
        await respond(delete_original=True)

    await client.chat_postEphemeral(
        channel=IMAGINE, user=BEN, text="Press", blocks=[actions(button())]
    )
    assert slack.history(IMAGINE) == []
    (message,) = slack.history(IMAGINE, viewer=BEN)
    with pytest.raises(ActionRefused, match="Only who"):
        await slack.press(message, "go", user=ADA)
    await slack.press(message, "go", user=BEN)
    body = await pressed.get()
    assert "message" not in body
    assert body["container"]["is_ephemeral"] is True
    await slack.until(lambda: slack.history(IMAGINE, viewer=BEN) == [])
    with pytest.raises(ActionRefused, match="gone"):
        await slack.press(message, "go", user=BEN)


async def test_a_menu_tells_what_was_chosen(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    chosen = Inbox()

    @app.bolt.action("size")
    async def size(ack: AsyncAck, body: Json) -> None:
        await ack()
        chosen.put(body)

    options = [{"text": {"type": "plain_text", "text": name}, "value": name} for name in ("s", "m")]
    menu = {"type": "static_select", "action_id": "size", "options": options}
    posted = await client.chat_postMessage(
        channel=IMAGINE, text="Choose", blocks=[actions(menu, block_id="sizes")]
    )
    message = slack.message(IMAGINE, posted["ts"])
    await slack.press(message, "size", user=BEN, value="m")
    body = await chosen.get()
    assert body["actions"][0]["selected_option"]["value"] == "m"
    assert body["state"]["values"]["sizes"]["size"]["selected_option"]["value"] == "m"
    with pytest.raises(ActionRefused, match="does not offer"):
        await slack.press(message, "size", user=BEN, value="xl")
    with pytest.raises(ActionRefused, match="not in #elsewhere"):
        await slack.say("hello", user=STRANGER, channel=ELSEWHERE)


async def test_a_dialog_is_filled_in(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    @app.bolt.command("/imagine")
    async def imagine(ack: AsyncAck, client: AsyncWebClient, body: Json) -> None:
        await ack()
        view = modal(words(initial_value="a dog"), callback_id="ask", private_metadata="m")
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @app.bolt.view("ask")
    async def ask(ack: AsyncAck, view: Json) -> None:
        typed = view["state"]["values"]["words-block"]["words"]["value"]
        assert view["private_metadata"] == "m"
        if typed == "a dog":
            await ack(response_action="errors", errors={"words-block": "No dogs."})
        elif typed == "more":
            await ack(response_action="update", view=modal(section("There."), callback_id="b"))
        else:
            await ack()

    await slack.slash("/imagine", "", user=BEN, channel=IMAGINE)
    view = await dialog_of(slack, BEN)
    assert (view.title, view.callback_id, slack.view_of(ADA)) == ("A title", "ask", None)

    refused_one = await slack.submit(view, {}, user=BEN)
    assert (refused_one.errors, refused_one.closed) == ({"words-block": "No dogs."}, False)
    with pytest.raises(ActionRefused, match="required"):
        await slack.submit(view, {"words": ""}, user=BEN)
    with pytest.raises(ActionRefused, match="nothing called"):
        await slack.submit(view, {"word": "a"}, user=BEN)
    with pytest.raises(ActionRefused, match="before"):
        await slack.submit(view, {}, user=ADA)
    updated = await slack.submit(view, {"words": "more"}, user=BEN)
    assert (updated.view, view.callback_id, updated.closed) == (view, "b", False)


async def test_a_dialog_closes_when_it_is_acked(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    @app.bolt.shortcut("new")
    async def new(ack: AsyncAck, client: AsyncWebClient, body: Json) -> None:
        await ack()
        await client.views_open(
            trigger_id=body["trigger_id"], view=modal(words(), callback_id="ask")
        )

    @app.bolt.view("ask")
    async def ask(ack: AsyncAck) -> None:
        await ack()

    await slack.shortcut("new", user=MIA)
    done = await slack.submit(await dialog_of(slack, MIA), {"words": "x"}, user=MIA)
    assert (done.closed, done.errors, slack.view_of(MIA)) == (True, {}, None)


async def test_a_message_has_shortcuts(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    used = Inbox()

    @app.bolt.shortcut("remix")
    async def remix(ack: AsyncAck, shortcut: Json, respond: AsyncRespond) -> None:
        await ack()
        used.put(shortcut)
        await respond(text="For you alone.")

    said = await slack.say("look", user=ADA, channel=GALLERY, files=[("a.png", PNG)])
    invocation = await slack.message_shortcut("remix", said, user=CLEO)
    body = await used.get()
    assert body["message"]["files"][0]["mimetype"] == "image/png"
    assert body["type"] == "message_action"
    await slack.until(lambda: invocation.responses != [])
    assert slack.history(GALLERY, viewer=CLEO)[-1]["viewer"] == CLEO


async def test_what_people_say_reaches_the_app_where_it_is(slack: LoopbackSlack, app: App) -> None:
    events = Inbox()

    @app.bolt.event("message")
    async def message(event: Json) -> None:
        events.put(event)

    @app.bolt.event("app_mention")
    async def mention(event: Json) -> None:
        events.put(event)

    await slack.say("unheard", user=ADA, channel=PRIVATE)
    said = await slack.say(f"<@{BOT}> a cat", user=ADA, channel=IMAGINE)
    kinds = {(one := await events.get())["type"]: one for _ in range(2)}
    assert set(kinds) == {"message", "app_mention"}
    assert kinds["app_mention"]["ts"] == said["ts"]
    assert kinds["message"]["channel_type"] == "channel"

    direct = slack.world.direct_message(BEN)
    await slack.say(f"<@{BOT}> hi", user=BEN, channel=direct.id)
    assert (await events.get())["channel_type"] == "im"
    assert events.empty


async def test_what_people_delete(slack: LoopbackSlack, app: App, client: AsyncWebClient) -> None:
    events = Inbox()

    @app.bolt.event({"type": "message", "subtype": "message_deleted"})
    async def deleted(event: Json) -> None:
        events.put(event)

    posted = await client.chat_postMessage(channel=IMAGINE, text="a cat")
    message = slack.message(IMAGINE, posted["ts"])
    with pytest.raises(ActionRefused, match="may not delete"):
        await slack.delete(message, user=BEN)
    await slack.delete(message, user=ADA)
    with refused("message_not_found"):
        await client.chat_update(channel=IMAGINE, ts=posted["ts"], text="x")

    said = await slack.say("a dog", user=BEN, channel=IMAGINE)
    await slack.delete(said, user=BEN)
    # slack_bolt keeps from its listeners that the bot's own message was deleted.
    event = await events.get()
    assert (event["deleted_ts"], event["previous_message"]["text"]) == (said["ts"], "a dog")

    await client.chat_postEphemeral(channel=IMAGINE, user=BEN, text="psst")
    (whisper,) = slack.history(IMAGINE, viewer=BEN)
    with pytest.raises(ActionRefused, match="Only who"):
        await slack.delete(whisper, user=ADA)
    await slack.delete(whisper, user=BEN)
    assert slack.history(IMAGINE, viewer=BEN) == []
    assert events.empty


async def test_a_picture_of_a_person_can_be_fetched(
    slack: LoopbackSlack, app: App, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    events = Inbox()

    @app.bolt.event({"type": "message", "subtype": "file_share"})
    async def message(event: Json) -> None:
        events.put(event)

    file = await slack.upload_as(BEN, IMAGINE, "mine.png", PNG)
    event = await events.get()
    assert event["files"][0]["id"] == file["id"]
    url = event["files"][0]["url_private"]
    async with session.get(url, headers={"Authorization": "Bearer xoxb-loopback"}) as got:
        assert (await got.read(), got.content_type) == (PNG, "image/png")
    async with session.get(url) as got:
        assert (got.status, got.content_type) == (200, "text/html")
    with refused("cant_delete_file"):
        await client.files_delete(file=file["id"])


async def test_the_home_tab(slack: LoopbackSlack, app: App, client: AsyncWebClient) -> None:
    @app.bolt.event("app_home_opened")
    async def opened(event: Json, client: AsyncWebClient) -> None:
        view = {"type": "home", "blocks": [section("Welcome"), actions(button("new"))]}
        await client.views_publish(user_id=event["user"], view=view)

    pressed = Inbox()

    @app.bolt.action("new")
    async def new(ack: AsyncAck, body: Json) -> None:
        await ack()
        pressed.put(body)

    await slack.open_home(BEN)
    await slack.until(lambda: slack.home_of(BEN) is not None)
    home = slack.home_view(BEN)
    assert home is not None
    assert home.blocks[0]["text"]["text"] == "Welcome"
    await slack.press_in_view(home, "new", user=BEN)
    body = await pressed.get()
    assert (body["view"]["type"], "response_url" in body) == ("home", False)


async def test_without_its_tokens_the_app_is_nobody(
    slack: LoopbackSlack, app: App, client: AsyncWebClient
) -> None:
    gone = Inbox()

    @app.bolt.event("tokens_revoked")
    async def revoked(event: Json) -> None:
        gone.put(event)

    @app.bolt.event("app_uninstalled")
    async def uninstalled(event: Json) -> None:
        gone.put(event)

    await slack.revoke_tokens()
    assert (await gone.get())["tokens"]["bot"] == [BOT]
    with refused("token_revoked"):
        await client.auth_test()
    await slack.uninstall()
    assert {(await gone.get())["type"], (await gone.get())["type"]} == {
        "tokens_revoked",
        "app_uninstalled",
    }
    with refused("account_inactive"):
        await client.chat_postMessage(channel=IMAGINE, text="x")
