"""Dialogs under Discord's rules, through the real client and with plain requests."""

from collections.abc import Awaitable, Callable
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.base.events import EventHub
from standins.base.timers import Timers
from standins.base.wire import Json
from standins.discord import (
    ApiError,
    CommandRefused,
    Dialog,
    Interaction,
    InteractionFailed,
    LoopbackDiscord,
    ManualClock,
    Upload,
)
from standins.discord.dialogs import check_dialog, opened
from standins.discord.forms import Form
from standins.discord.interactions import Interactions
from standins.discord.messages import CHAT_INPUT_COMMAND, REPLY, Messages
from standins.discord.world import default_world
from tests.standins.discord.bodies import button, first_error, row
from tests.standins.discord.client import Answer, Api, Bot
from tests.standins.discord.client import Interaction as ClientInteraction
from tests.standins.discord.forms import Choices, Settings
from tests.standins.discord.people import ADA, BEN

INPUT: Json = {"type": 4, "custom_id": "text", "style": 1}
OPTIONS: list[Json] = [{"label": name, "value": name} for name in "abc"]
FILE = Upload("a.png", "image/png", b"picture")

Opening = Callable[[discord.ui.Modal], Awaitable[Dialog]]
Respond = Callable[[Interaction, int, Json], Awaitable[Answer]]


def label(component: Json | None = None, **more: Any) -> Json:
    return {"type": 18, "label": "Text", "component": component or INPUT, **more}


def dialog(*components: Json, **more: Any) -> Json:
    parts = list(components) or [label()]
    return {"custom_id": "form", "title": "Form", "components": parts, **more}


def choice(kind: int, **more: Any) -> Json:
    return {"type": kind, "custom_id": "choice", "options": OPTIONS, **more}


def upload(**more: Any) -> Json:
    return {"type": 19, "custom_id": "files", **more}


@pytest.fixture
def opening(bot: Bot, loopback: LoopbackDiscord) -> Opening:
    """Has the bot answer /imagine with a dialog."""

    async def opening(modal: discord.ui.Modal) -> Dialog:
        async def answer(interaction: ClientInteraction) -> None:
            await interaction.response.send_modal(modal)

        bot.handler = answer
        interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)
        return await interaction.dialog()

    return opening


@pytest.fixture
async def asked(loopback: LoopbackDiscord, api: Api) -> Interaction:
    """A command that nobody has answered."""
    command = {"name": "imagine", "description": "Draw"}
    await api("PUT", f"/applications/{loopback.world.application_id}/commands", json=[command])
    return await loopback.slash("imagine", {})


@pytest.fixture
def answer(api: Api) -> Respond:
    async def answer(interaction: Interaction, kind: int, data: Json) -> Answer:
        path = f"/interactions/{interaction.id}/{interaction.token}/callback"
        return await api("POST", path, json={"type": kind, "data": data})

    return answer


async def test_what_a_person_fills_in_reaches_the_bot(
    loopback: LoopbackDiscord, opening: Opening
) -> None:
    modal = Settings()
    form = await opening(modal)
    assert (form.form["title"], form.opener.answer) == ("Settings", None)
    interaction = await loopback.submit(
        form, {"prompt": "a hen", "size": ["96x64"], "mood": "c", "files": [FILE]}
    )
    message = await interaction.until(lambda seen: bool(seen["content"]))
    assert await modal.heard.get() == {
        "prompt": "a hen",
        "size": ["96x64"],
        "mood": "c",
        "files": [b"picture"],
    }
    assert (message["content"], message["type"]) == ("set: a hen", CHAT_INPUT_COMMAND)
    told = message["interaction_metadata"]
    assert (told["type"], told["user"]["id"]) == (5, str(BEN))
    assert told["triggering_interaction_metadata"]["name"] == "imagine"
    assert not form.is_open


async def test_what_is_left_alone_stays_as_the_bot_filled_it_in(
    loopback: LoopbackDiscord, opening: Opening
) -> None:
    modal = Settings()
    await loopback.submit(await opening(modal), {})
    assert await modal.heard.get() == {"prompt": "a fox", "size": [], "mood": "w", "files": []}


async def test_a_dialog_that_a_button_opens_updates_its_message(
    bot: Bot, loopback: LoopbackDiscord
) -> None:
    modal, view = Choices(), discord.ui.View()
    pressed: discord.ui.Button[discord.ui.View] = discord.ui.Button(custom_id="choose", label="x")

    async def open_it(interaction: ClientInteraction) -> None:
        await interaction.response.send_modal(modal)

    pressed.callback = open_it  # type: ignore[method-assign]  # how discord.py lets one be set
    place = bot.get_partial_messageable(loopback.world.first_channel.id)
    sent = await place.send("choose", view=view.add_item(pressed))
    press = await loopback.press(sent.id, "choose")
    world = loopback.world
    role, channel = list(world.roles)[1], world.first_channel
    values = {"people": [ADA, str(BEN)], "roles": [role], "place": [channel.id], "private": True}
    form = await press.dialog()
    interaction = await loopback.submit(form, values)
    message = await interaction.until(lambda seen: seen["content"] == "chosen")
    assert (int(message["id"]), message["components"]) == (sent.id, [])
    assert await modal.heard.get() == {
        "extras": ["b"],
        "private": True,
        "people": ["ada", "ben"],
        "roles": ["Painters"],
        "place": ["imagine"],
    }


async def test_a_dialog_may_stay_open_for_long(
    loopback: LoopbackDiscord, asked: Interaction, answer: Respond, clock: ManualClock, api: Api
) -> None:
    await answer(asked, 9, dialog())
    clock.advance(3_600)
    webhook = f"/webhooks/{loopback.world.application_id}/{asked.token}"
    assert (await api("POST", webhook, json={"content": "x"}))[1]["code"] == 50027
    form = await asked.dialog()
    interaction = await loopback.submit(form, {"text": "x"})
    assert (await answer(interaction, 4, {"content": "done"}))[0] == 204
    assert interaction.original is not None
    assert interaction.original["type"] == CHAT_INPUT_COMMAND
    with pytest.raises(CommandRefused, match="closed"):
        await loopback.submit(form, {})


async def test_a_dialog_may_be_dismissed(loopback: LoopbackDiscord, opening: Opening) -> None:
    form = await opening(Settings())
    assert loopback.dialog_of(BEN) is form
    form.dismiss()
    assert loopback.dialog_of(BEN) is None
    with pytest.raises(CommandRefused, match="closed"):
        await loopback.submit(form, {})


async def test_a_submission_that_nobody_answers_can_be_repeated(
    loopback: LoopbackDiscord, asked: Interaction, answer: Respond, clock: ManualClock
) -> None:
    assert await answer(asked, 9, dialog()) == (204, None)
    form = await asked.dialog()
    first = await loopback.submit(form, {"text": "one"})
    with pytest.raises(CommandRefused, match="closed"):
        await loopback.submit(form, {"text": "two"})
    clock.advance(3)
    with pytest.raises(InteractionFailed):
        await first.settled()
    second = await loopback.submit(form, {"text": "two"})
    assert (await answer(second, 5, {"flags": 64}))[0] == 204
    await second.settled()
    assert second.original is not None
    assert (second.state, second.original["flags"]) == ("deferred", 64 | 128)


async def test_what_follows_a_dialog(
    loopback: LoopbackDiscord, asked: Interaction, answer: Respond, api: Api
) -> None:
    await answer(asked, 9, dialog())
    assert (await answer(asked, 9, dialog()))[1]["code"] == 40060
    webhook = f"/webhooks/{loopback.world.application_id}/{asked.token}"
    status, body = await api("PATCH", f"{webhook}/messages/@original", json={"content": "x"})
    assert (status, body["code"]) == (404, 10008)
    assert (await api("POST", webhook, json={"content": "more"}))[0] == 200


async def test_no_dialog_after_a_deferral_or_another_dialog(
    loopback: LoopbackDiscord, asked: Interaction, answer: Respond
) -> None:
    other = await loopback.slash("imagine", {})
    await answer(other, 5, {})
    assert (await answer(other, 9, dialog()))[1]["code"] == 40060
    with pytest.raises(InteractionFailed, match="something else"):
        await other.dialog()
    await answer(asked, 9, dialog())
    submission = await loopback.submit(await asked.dialog(), {"text": "x"})
    for kind in (6, 7, 8, 9):  # there is no message to update
        status, body = await answer(submission, kind, dialog())
        assert (status, first_error(body, "type")) == (400, "BASE_TYPE_CHOICES")
    assert (await answer(submission, 4, {"content": "x"}))[0] == 204


async def test_no_dialog_in_answer_to_a_question_for_choices() -> None:
    world, hub = default_world(), EventHub()
    messages = Messages(world, hub, lambda *_, **__: None)
    interactions = Interactions(world, messages, hub, Timers(ManualClock()))
    option = {"type": 3, "name": "x", "autocomplete": True}
    person, channel = world.first_person, world.first_channel
    owners = world.installs(person, channel)
    asking = interactions.complete("imagine", option, person, channel, owners)
    with pytest.raises(ApiError) as refusal:
        interactions.callback(asking.id, asking.token, Form({"type": 9, "data": dialog()}))
    assert first_error(refusal.value.body, "type") == "BASE_TYPE_CHOICES"


async def test_nobody_opens_a_dialog_in_time(asked: Interaction, clock: ManualClock) -> None:
    clock.advance(3)
    with pytest.raises(InteractionFailed, match="did not respond"):
        await asked.dialog()


async def test_the_message_comes_with_what_was_opened_on_it(
    loopback: LoopbackDiscord, api: Api, answer: Respond, channel: str
) -> None:
    body = {"content": "x", "components": [row(button("open"))]}
    _, sent = await api("POST", f"{channel}/messages", json=body)
    press = await loopback.press(int(sent["id"]), "open")
    await answer(press, 9, dialog())
    submission = await loopback.submit(await press.dialog(), {"text": "y"})
    assert (await answer(submission, 6, {}))[0] == 204
    assert submission.state == "deferred"
    later = await loopback.press(int(sent["id"]), "open")
    await answer(later, 9, dialog())
    reply = await loopback.submit(await later.dialog(), {"text": "y"})
    assert (await answer(reply, 4, {"content": "done"}))[0] == 204
    assert reply.original is not None
    assert reply.original["type"] == REPLY
    assert reply.original["message_reference"]["message_id"] == sent["id"]
    told = reply.original["interaction_metadata"]["triggering_interaction_metadata"]
    assert told["interacted_message_id"] == sent["id"]


LONG = [label({**INPUT, "custom_id": f"f{n}"}) for n in range(6)]


@pytest.mark.parametrize(
    ("form", "where", "code"),
    [
        (dialog(custom_id=""), ("custom_id",), "BASE_TYPE_REQUIRED"),
        (dialog(custom_id="x" * 101), ("custom_id",), "BASE_TYPE_MAX_LENGTH"),
        (dialog(title=None), ("title",), "BASE_TYPE_REQUIRED"),
        (dialog(title="x" * 46), ("title",), "BASE_TYPE_MAX_LENGTH"),
        (dialog(components=None), ("components",), "BASE_TYPE_REQUIRED"),
        (dialog(components=[]), ("components",), "BASE_TYPE_BAD_LENGTH"),
        (dialog(*LONG), ("components",), "BASE_TYPE_BAD_LENGTH"),
        (dialog(INPUT), ("components", 0, "type"), "UNION_TYPE_CHOICES"),
        (dialog(row(button())), ("components", 0, "components", 0, "type"), "UNION_TYPE_CHOICES"),
        (dialog(row()), ("components", 0, "components"), "BASE_TYPE_BAD_LENGTH"),
        (
            dialog(row(INPUT, {**INPUT, "custom_id": "other"})),
            ("components", 0, "components"),
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            dialog(row(INPUT)),
            ("components", 0, "components", 0, "label"),
            "BASE_TYPE_REQUIRED",
        ),
        (dialog({"type": 10}), ("components", 0, "content"), "BASE_TYPE_REQUIRED"),
        (dialog(label(label="")), ("components", 0, "label"), "BASE_TYPE_REQUIRED"),
        (dialog(label(label="x" * 46)), ("components", 0, "label"), "BASE_TYPE_MAX_LENGTH"),
        (
            dialog(label(description="x" * 101)),
            ("components", 0, "description"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            dialog({"type": 18, "label": "x"}),
            ("components", 0, "component"),
            "BASE_TYPE_REQUIRED",
        ),
        (
            dialog(label(label(), label="x")),
            ("components", 0, "component", "type"),
            "UNION_TYPE_CHOICES",
        ),
        (
            dialog(label(), label()),
            ("components", 1, "component", "custom_id"),
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (
            dialog(label(id=7), {"type": 10, "content": "x", "id": 7}),
            ("components", 1, "id"),
            "COMPONENT_ID_DUPLICATED",
        ),
    ],
)
async def test_dialogs_that_are_refused(
    asked: Interaction, answer: Respond, form: Json, where: tuple[str | int, ...], code: str
) -> None:
    status, body = await answer(asked, 9, form)
    assert (status, body["code"]) == (400, 50035)
    assert first_error(body, "data", *where) == code
    assert asked.state == "waiting"


@pytest.mark.parametrize(
    ("field", "where", "code"),
    [
        ({**INPUT, "style": 3}, "style", "BASE_TYPE_CHOICES"),
        ({**INPUT, "min_length": 4_001}, "min_length", "NUMBER_TYPE_MAX"),
        ({**INPUT, "max_length": 0}, "max_length", "NUMBER_TYPE_MIN"),
        ({**INPUT, "min_length": 5, "max_length": 4}, "min_length", "COMPONENT_RANGE_INVALID"),
        ({**INPUT, "value": "x" * 4_001}, "value", "BASE_TYPE_MAX_LENGTH"),
        ({**INPUT, "placeholder": "x" * 101}, "placeholder", "BASE_TYPE_MAX_LENGTH"),
        ({**INPUT, "required": "no"}, "required", "BOOLEAN_TYPE_CONVERT"),
        (choice(3, options=[]), "options", "BASE_TYPE_BAD_LENGTH"),
        (choice(3, max_values=4), "options", "BASE_TYPE_BAD_LENGTH"),
        (choice(3, disabled=True), "disabled", "COMPONENT_DISABLED_IN_MODAL"),
        (choice(3, placeholder="x" * 151), "placeholder", "BASE_TYPE_MAX_LENGTH"),
        (choice(3, min_values=26), "min_values", "NUMBER_TYPE_MAX"),
        ({"type": 5, "custom_id": ""}, "custom_id", "BASE_TYPE_REQUIRED"),
        (upload(custom_id=None), "custom_id", "BASE_TYPE_REQUIRED"),
        (upload(max_values=11), "max_values", "NUMBER_TYPE_MAX"),
        (upload(max_values=0), "max_values", "NUMBER_TYPE_MIN"),
        (upload(file_types="image"), "file_types", "LIST_TYPE_CONVERT"),
        (choice(21, options=OPTIONS[:1]), "options", "BASE_TYPE_BAD_LENGTH"),
        (choice(21, options=OPTIONS * 4), "options", "BASE_TYPE_BAD_LENGTH"),
        (choice(22, options=None), "options", "BASE_TYPE_REQUIRED"),
        (choice(22, min_values=0), "min_values", "COMPONENT_MIN_VALUES_REQUIRED"),
        ({"type": 23, "custom_id": "x", "default": 1}, "default", "BOOLEAN_TYPE_CONVERT"),
    ],
)
def test_fields_that_are_refused(field: Json, where: str, code: str) -> None:
    with pytest.raises(ApiError) as refusal:
        check_dialog(dialog(label(field)))
    assert first_error(refusal.value.body, "data", "components", 0, "component", where) == code


def test_every_option_has_a_value_of_its_own() -> None:
    with pytest.raises(ApiError) as refusal:
        check_dialog(dialog(label(choice(22, options=[OPTIONS[0], OPTIONS[0]]))))
    where = ("data", "components", 0, "component", "options", 1, "value")
    assert first_error(refusal.value.body, *where) == "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"


def test_only_kinds_of_files_that_there_are() -> None:
    check_dialog(dialog(label(upload(file_types=["image", "video", "audio", ".safetensors"]))))
    for wrong in ("png", ".", 7, None):
        with pytest.raises(ApiError):
            check_dialog(dialog(label(upload(file_types=[wrong]))))


VALUES: list[tuple[Json, object, str]] = [
    (INPUT, 7, "Text: enter text"),
    (INPUT, " ", "Text: this field is required"),
    ({**INPUT, "min_length": 3}, "ab", "Text: enter 3 to 4000 characters, not 2"),
    ({**INPUT, "max_length": 3}, "abcd", "Text: enter 0 to 3 characters, not 4"),
    (choice(3), [], "Text: this field is required"),
    (choice(3), ["a", "b"], "Text: choose 1 to 1, not 2"),
    (choice(3), "a", "Text: give a list"),
    (choice(3), ["z"], "not on the list"),
    (choice(3, max_values=2), ["a", "a"], "Text: choose each once"),
    ({"type": 5, "custom_id": "choice"}, ["1"], "not on the list"),
    (choice(21), "z", "not on the list"),
    (choice(22, max_values=2), ["a", "b", "c"], "Text: choose 1 to 2, not 3"),
    ({"type": 23, "custom_id": "choice"}, "yes", "Text: tick it or do not"),
    (upload(), [], "Text: this field is required"),
    (upload(), ["a.png"], "Text: choose a file"),
    (upload(), [FILE, FILE], "Text: choose 1 to 1, not 2"),
    (upload(file_types=["video", ".txt"]), [FILE], "Text: a.png is none of video, .txt"),
    (
        upload(),
        [Upload("b.png", "image/png", b"x" * (10 * 2**20 + 1))],
        "Text: b.png is larger than 10 MiB",
    ),
]


@pytest.mark.parametrize(("field", "value", "why"), VALUES)
async def test_what_the_client_does_not_submit(
    loopback: LoopbackDiscord,
    asked: Interaction,
    answer: Respond,
    field: Json,
    value: object,
    why: str,
) -> None:
    assert (await answer(asked, 9, dialog(label(field))))[0] == 204
    form = await asked.dialog()
    with pytest.raises(CommandRefused, match=why):
        await loopback.submit(form, {field["custom_id"]: value})
    with pytest.raises(CommandRefused, match="no field 'other'"):
        await loopback.submit(form, {"other": "x"})
    assert form.is_open


async def test_what_need_not_be_filled_in(
    loopback: LoopbackDiscord, asked: Interaction, answer: Respond
) -> None:
    fields = [
        {**INPUT, "required": False, "min_length": 5},
        {"type": 22, "custom_id": "b", "options": OPTIONS, "required": False, "min_values": 2},
        {"type": 21, "custom_id": "c", "options": OPTIONS, "required": False},
        upload(required=False, file_types=["image", ".PNG"]),
        {
            "type": 5,
            "custom_id": "d",
            "default_values": [{"id": str(BEN), "type": "user"}],
        },
    ]
    await answer(asked, 9, dialog(*map(label, fields)))
    form = await asked.dialog()
    assert [part["id"] for part in form.form["components"]] == [1, 3, 5, 7, 9]
    await loopback.submit(form, {"files": [FILE]})
    assert not form.is_open


async def test_the_legacy_shape(
    loopback: LoopbackDiscord, asked: Interaction, answer: Respond
) -> None:
    await answer(asked, 9, dialog(row({**INPUT, "label": "Say"})))
    form = await asked.dialog()
    with pytest.raises(CommandRefused, match="Say: this field is required"):
        await loopback.submit(form, {})
    await loopback.submit(form, {"text": "hello"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 30) | st.sampled_from(["", "x", "a", ".png"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*INPUT, "id", "label", "component", "components", "options", "value"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
SOUND = st.sampled_from(
    [
        label(),
        label(choice(3)),
        label(choice(21)),
        label(choice(22)),
        label(upload()),
        {"type": 10, "content": "x"},
        row({**INPUT, "label": "x"}),
    ]
)


def mixed(part: Json, key: str, value: object, deep: bool) -> Json:
    inside = part.get("component")
    if deep and isinstance(inside, dict):
        return {**part, "component": {**inside, key: value}}
    return {**part, key: value}


@given(
    st.lists(
        JSON
        | SOUND
        | st.builds(mixed, SOUND, st.sampled_from([*INPUT, "options"]), JSON, st.booleans()),
        max_size=6,
    )
)
def test_whatever_is_sent_is_refused_or_opened(parts: list[Any]) -> None:
    form = dialog(components=parts)
    try:
        check_dialog(form)
    except ApiError:
        return
    shown = opened(form)
    assert len(shown["components"]) == len(parts)
    assert all(part["id"] > 0 for part in shown["components"])
