"""Discord's rules for Components V2, through the real client and with plain requests."""

import asyncio
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.base.events import EventHub
from standins.base.wire import Json
from standins.discord import ApiError, CommandRefused, LoopbackDiscord, Upload
from standins.discord.components import walk
from standins.discord.forms import Form
from standins.discord.messages import Messages
from standins.discord.world import default_world
from tests.standins.discord.bodies import button, first_error, multipart, row
from tests.standins.discord.cards import Card, files, png
from tests.standins.discord.client import Api, Bot, Interaction, Post

V2 = 1 << 15
TEXT: Json = {"type": 10, "content": "hello"}
PICTURE: Json = {"media": {"url": "attachment://a.png"}}
GALLERY: Json = {"type": 12, "items": [PICTURE]}


def container(*components: Json, **more: Any) -> Json:
    return {"type": 17, "components": list(components), **more}


def section(accessory: Json, *texts: Json) -> Json:
    return {"type": 9, "components": list(texts or (TEXT,)), "accessory": accessory}


def of(*components: Json, **more: Any) -> Json:
    return {"flags": V2, "components": list(components), **more}


def gallery_of(message: Json) -> list[Json]:
    items: list[Json] = message["components"][0]["components"][1]["items"]
    return items


async def test_card_in_answer_to_a_deferred_command(bot: Bot, loopback: LoopbackDiscord) -> None:
    names = [f"{n}.png" for n in range(4)]

    async def draw(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(view=Card(names), attachments=files(*names))

    bot.handler = draw
    interaction = await loopback.slash("imagine", {"prompt": "a fox"})
    message = await interaction.until(lambda seen: bool(seen["components"]))
    assert message["flags"] & V2
    assert (message["content"], message["embeds"], message["attachments"]) == ("", [], [])
    box, below = message["components"]
    assert (box["accent_color"], box["spoiler"]) == (0x5865F2, False)
    assert [item["type"] for item in box["components"]] == [10, 12, 14, 1]
    assert box["components"][2] == {"type": 14, "id": 4, "divider": True, "spacing": 2}
    assert below["accessory"]["custom_id"] == "recipe"
    for name, item in zip(names, gallery_of(message), strict=True):
        media = item["media"]
        assert (media["width"], media["height"], media["content_type"]) == (6, 4, "image/png")
        assert media["url"].endswith(f"{media['attachment_id']}/{name}")
        assert loopback.attachment_bytes(int(media["attachment_id"])) == png()
        assert (item["description"], item["spoiler"]) == (f"a fox ({name})", False)


async def test_the_client_reads_its_card_back(bot: Bot, loopback: LoopbackDiscord) -> None:
    place = bot.get_partial_messageable(loopback.world.first_channel.id)
    sent = await place.send(view=Card(["a.png"]), files=files("a.png"))
    read = await place.fetch_message(sent.id)
    assert read.flags.components_v2
    box = read.components[0]
    assert isinstance(box, discord.components.Container)
    assert box.accent_colour == discord.Colour(0x5865F2)
    gallery = box.children[1]
    assert isinstance(gallery, discord.MediaGalleryComponent)
    assert gallery.items[0].description == "a fox (a.png)"
    assert gallery.items[0].media.attachment_id is not None
    assert discord.ui.LayoutView.from_message(read).total_children_count == 10


async def test_blurred_without_a_new_upload(bot: Bot, loopback: LoopbackDiscord) -> None:
    place = bot.get_partial_messageable(loopback.world.first_channel.id)
    sent = await place.send(view=Card(["a.png"]), files=files("a.png"))
    before = loopback.history(loopback.world.first_channel.id)[0]
    for blurred in (True, False):
        await sent.edit(view=Card(["a.png"], blurred=blurred))
        [after] = loopback.history(loopback.world.first_channel.id)
        assert gallery_of(after)[0]["spoiler"] is blurred
        assert gallery_of(after)[0]["media"] == gallery_of(before)[0]["media"]


async def test_legacy_message_becomes_v2(bot: Bot, loopback: LoopbackDiscord) -> None:
    place = bot.get_partial_messageable(loopback.world.first_channel.id)
    sent = await place.send("a fox", embed=discord.Embed(title="x"), files=files("a.png"))
    with pytest.raises(discord.HTTPException) as refused:
        await sent.edit(view=Card(["a.png"]))
    assert "cannot be used when using MessageFlags.IS_COMPONENTS_V2" in refused.value.text
    edited = await sent.edit(content=None, embeds=[], view=Card(["a.png"]))
    assert edited.flags.components_v2
    assert edited.attachments == []
    with pytest.raises(discord.HTTPException, match="content"):
        await edited.edit(content="back")
    [message] = loopback.history(loopback.world.first_channel.id)
    assert message["content"] == ""
    assert gallery_of(message)[0]["media"]["attachment_id"] == str(sent.attachments[0].id)


async def test_files_added_and_kept(
    api: Api, post: Post, channel: str, loopback: LoopbackDiscord
) -> None:
    _, first = await post(of(container(TEXT, GALLERY)), ("a.png", png()))
    kept = gallery_of(first)[0]["media"]
    path = f"{channel}/messages/{first['id']}"
    both = {"type": 12, "items": [PICTURE, {"media": {"url": "attachment://b.png"}}]}
    files = [{"id": kept["attachment_id"], "filename": "a.png"}, {"id": 0, "filename": "b.png"}]
    form = multipart(of(container(TEXT, both), attachments=files), ("b.png", png((2, 2))))
    _, second = await api("PATCH", path, data=form)
    old, new = (item["media"] for item in gallery_of(second))
    assert (old, new["width"]) == (kept, 2)
    alone = [{"id": new["attachment_id"], "filename": "b.png"}]
    _, third = await api("PATCH", path, json={"components": [TEXT], "attachments": alone})
    assert [one["id"] for one in third["attachments"]] == [new["attachment_id"]]
    with pytest.raises(KeyError):
        loopback.attachment_bytes(int(kept["attachment_id"]))


async def test_kept_file_listed_without_its_name_is_not_found_by_it(
    api: Api, post: Post, channel: str
) -> None:
    """Seen by others at the real Discord: the id alone keeps a file but does not name it."""
    _, first = await post(of(GALLERY), ("a.png", png()))
    kept = first["components"][0]["items"][0]["media"]["attachment_id"]
    path = f"{channel}/messages/{first['id']}"
    status, body = await api("PATCH", path, json=of(GALLERY, attachments=[{"id": kept}]))
    assert status == 400
    code = first_error(body, "components", 0, "items", 0, "media", "url")
    assert code == "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"


async def test_files_that_no_component_names(post: Post, loopback: LoopbackDiscord) -> None:
    _, message = await post(of(TEXT), ("a.png", png()))
    [file] = message["attachments"]
    assert loopback.attachment_bytes(int(file["id"])) == png()


async def test_a_deleted_card_takes_its_files_along(
    api: Api, post: Post, channel: str, loopback: LoopbackDiscord
) -> None:
    _, message = await post(of(GALLERY), ("a.png", png()))
    await api("DELETE", f"{channel}/messages/{message['id']}")
    with pytest.raises(KeyError):
        loopback.attachment_bytes(
            int(message["components"][0]["items"][0]["media"]["attachment_id"])
        )


@pytest.mark.parametrize("name", ["again", "recipe"])
async def test_buttons_at_depth(bot: Bot, loopback: LoopbackDiscord, name: str) -> None:
    place = bot.get_partial_messageable(loopback.world.first_channel.id)
    sent = await place.send(view=Card(["a.png"]), files=files("a.png"))
    interaction = await loopback.press(sent.id, name)
    answer = await interaction.until(lambda seen: bool(seen["content"]))
    assert answer["content"] == f"{name} it is"
    with pytest.raises(CommandRefused):
        await loopback.press(sent.id, "none of them")


async def test_a_deferral_is_private_or_not_and_nothing_else(
    bot: Bot, loopback: LoopbackDiscord, api: Api
) -> None:
    bot.handler = lambda _: asyncio.sleep(0)  # it is answered here
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    path = f"/interactions/{interaction.id}/{interaction.token}/callback"
    await api("POST", path, json={"type": 5, "data": {"flags": V2 | 1 << 6}})
    assert interaction.original is not None
    assert interaction.original["flags"] == 1 << 6 | 1 << 7
    webhook = f"/webhooks/{loopback.world.application_id}/{interaction.token}/messages/@original"
    status, body = await api("PATCH", webhook, json={"components": [TEXT]})
    assert first_error(body, "components", 0, "type") == "UNION_TYPE_CHOICES"
    status, body = await api("PATCH", webhook, json=of(TEXT))
    assert (status, body["flags"]) == (200, V2 | 1 << 6)


async def test_what_is_sent_back(post: Post) -> None:
    _, message = await post(
        of(
            {"type": 10, "id": 2, "content": "hello"},
            section({"type": 11, "media": {"url": "https://example.com/x.png"}}),
            {"type": 13, "id": 0, "file": {"url": "attachment://a.txt"}},
            {"type": 14},
            container(GALLERY, spoiler=True),
        ),
        ("a.txt", b"hello"),
        ("a.png", png()),
    )
    text, beside, file, line, box = message["components"]
    assert text == {"type": 10, "id": 2, "content": "hello"}
    assert (beside["id"], beside["components"][0]["id"], beside["accessory"]["id"]) == (1, 3, 4)
    assert (beside["accessory"]["description"], beside["accessory"]["spoiler"]) == (None, False)
    assert "attachment_id" not in beside["accessory"]["media"]
    assert (file["id"], file["name"], file["size"], file["spoiler"]) == (5, "a.txt", 5, False)
    assert (line["id"], line["divider"], line["spacing"]) == (6, True, 1)
    assert (box["id"], box["accent_color"], box["spoiler"]) == (7, None, True)
    [picture] = box["components"][0]["items"]
    assert (picture["description"], picture["spoiler"]) == (None, False)
    assert message["attachments"] == []


async def test_text_displays_ping(post: Post, loopback: LoopbackDiscord) -> None:
    ben = list(loopback.world.people)[1]
    said = {"type": 10, "content": f"for <@{ben}>"}
    _, message = await post(of(container(said)))
    assert [one["id"] for one in message["mentions"]] == [str(ben)]
    _, message = await post(of(container(said), allowed_mentions={"parse": []}))
    assert message["mentions"] == []


async def test_largest_that_fits(post: Post) -> None:
    text = {"type": 10, "content": "x" * 1_000}
    rows = [row(*(button(f"{at}{n}") for n in range(5))) for at in range(5)]  # 30 of 40
    pictures = {"type": 12, "items": [PICTURE] * 10}
    full = of(container(*[text] * 4, *rows), pictures, *[{"type": 14}] * 4)
    status, _ = await post(full, ("a.png", png()))
    assert status == 200
    status, body = await post(of(*full["components"], {"type": 14}), ("a.png", png()))
    assert first_error(body, "components") == "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED"


FIRST = ("components", 0)
INNER = (*FIRST, "components", 0)
WRONG_PICTURES: list[tuple[Json, tuple[str, ...], str]] = [
    ({"description": ""}, ("description",), "BASE_TYPE_BAD_LENGTH"),
    ({"description": "x" * 1_025}, ("description",), "BASE_TYPE_MAX_LENGTH"),
    ({"spoiler": 1}, ("spoiler",), "BOOLEAN_TYPE_CONVERT"),
    ({"media": "x"}, ("media",), "DICT_TYPE_CONVERT"),
    ({"media": {}}, ("media", "url"), "BASE_TYPE_REQUIRED"),
    ({"media": {"url": "a.png"}}, ("media", "url"), "URL_TYPE_INVALID_URL"),
    ({"media": {"url": "file://a"}}, ("media", "url"), "URL_TYPE_INVALID_SCHEME"),
    (
        {"media": {"url": "attachment://b.png"}},
        ("media", "url"),
        "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND",
    ),
]


@pytest.mark.parametrize(
    ("payload", "path", "code"),
    [
        *(
            (
                of(TEXT, **{name: value}),
                (name,),
                "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
            )
            for name, value in {
                "content": "x",
                "embeds": [{"title": "x"}],
                "sticker_ids": ["1"],
                "poll": {"question": {"text": "x"}},
            }.items()
        ),
        (of({"type": 4}), (*FIRST, "type"), "UNION_TYPE_CHOICES"),
        (of(button()), (*FIRST, "type"), "UNION_TYPE_CHOICES"),
        (of({"type": [17]}), (*FIRST, "type"), "UNION_TYPE_CHOICES"),
        ({"flags": V2, "components": ["no"]}, FIRST, "DICT_TYPE_CONVERT"),
        (of(container(container(TEXT))), (*INNER, "type"), "UNION_TYPE_CHOICES"),
        (of(container()), (*FIRST, "components"), "BASE_TYPE_BAD_LENGTH"),
        (of({"type": 17}), (*FIRST, "components"), "BASE_TYPE_REQUIRED"),
        (of(container(TEXT, accent_color=1 << 24)), (*FIRST, "accent_color"), "NUMBER_TYPE_MAX"),
        (of(container(TEXT, accent_color="red")), (*FIRST, "accent_color"), "NUMBER_TYPE_COERCE"),
        (of(container(TEXT, spoiler="yes")), (*FIRST, "spoiler"), "BOOLEAN_TYPE_CONVERT"),
        (of(container({"type": 10, "content": ""})), (*INNER, "content"), "BASE_TYPE_REQUIRED"),
        (of({"type": 10, "content": "x" * 4_001}), (*FIRST, "content"), "BASE_TYPE_MAX_LENGTH"),
        (
            of({"type": 10, "content": "x" * 4_000}, container(TEXT)),
            ("components",),
            "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED",
        ),
        (of(section(TEXT)), (*FIRST, "accessory", "type"), "UNION_TYPE_CHOICES"),
        (of({**section(button()), "accessory": None}), (*FIRST, "accessory"), "BASE_TYPE_REQUIRED"),
        (of({**section(button()), "accessory": 7}), (*FIRST, "accessory"), "DICT_TYPE_CONVERT"),
        (of(section(button(), *[TEXT] * 4)), (*FIRST, "components"), "BASE_TYPE_BAD_LENGTH"),
        (of(section(button(), button("b"))), (*INNER, "type"), "UNION_TYPE_CHOICES"),
        (
            of(section(button(label=""))),
            (*FIRST, "accessory", "label"),
            "BUTTON_COMPONENT_INVALID_LABEL",
        ),
        (of(row(TEXT)), (*INNER, "type"), "UNION_TYPE_CHOICES"),
        (of({"type": 12, "items": []}), (*FIRST, "items"), "BASE_TYPE_BAD_LENGTH"),
        (of({"type": 12, "items": [PICTURE] * 11}), (*FIRST, "items"), "BASE_TYPE_BAD_LENGTH"),
        (of({"type": 12, "items": [{}]}), (*FIRST, "items", 0, "media"), "BASE_TYPE_REQUIRED"),
        *(
            (of({"type": 12, "items": [{**PICTURE, **wrong}]}), (*FIRST, "items", 0, *at), code)
            for wrong, at, code in WRONG_PICTURES
        ),
        (
            of({"type": 13, "file": {"url": "https://example.com/a.txt"}}),
            (*FIRST, "file", "url"),
            "URL_TYPE_INVALID_SCHEME",
        ),
        (of({"type": 14, "spacing": 3}), (*FIRST, "spacing"), "BASE_TYPE_CHOICES"),
        (of({"type": 14, "divider": "no"}), (*FIRST, "divider"), "BOOLEAN_TYPE_CONVERT"),
        (of({**TEXT, "id": -1}), (*FIRST, "id"), "NUMBER_TYPE_MIN"),
        (of({**TEXT, "id": 1 << 31}), (*FIRST, "id"), "NUMBER_TYPE_MAX"),
        (
            of({**TEXT, "id": 7}, container({**TEXT, "id": 7})),
            ("components", 1, "components", 0, "id"),
            "COMPONENT_ID_DUPLICATED",
        ),
        (
            of(container(row(button())), section(button())),
            ("components", 1, "accessory", "custom_id"),
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
    ],
)
async def test_forms_that_are_refused(
    post: Post, loopback: LoopbackDiscord, payload: Json, path: tuple[str | int, ...], code: str
) -> None:
    status, body = await post(payload, ("a.png", png()))
    assert (status, body["code"]) == (400, 50035)
    assert first_error(body, *path) == code
    assert loopback.history(loopback.world.first_channel.id) == []


@pytest.mark.parametrize("payload", [{"flags": V2}, of()])
async def test_v2_needs_components(api: Api, post: Post, channel: str, payload: Json) -> None:
    status, body = await post(payload, ("a.png", png()))
    assert (status, body["code"]) == (400, 50006)
    _, message = await post(of(TEXT))
    path = f"{channel}/messages/{message['id']}"
    status, body = await api("PATCH", path, json={"components": []})
    assert (status, body["code"]) == (400, 50006)


@pytest.mark.parametrize(
    ("edit", "path", "code"),
    [
        ({"flags": 0}, ("flags",), "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG"),
        ({"content": "x"}, ("content",), "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"),
        (
            {"embeds": [{"title": "x"}]},
            ("embeds",),
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
        ),
    ],
)
async def test_once_v2_always_v2(
    api: Api, post: Post, channel: str, edit: Json, path: tuple[str], code: str
) -> None:
    _, message = await post(of(TEXT))
    there = f"{channel}/messages/{message['id']}"
    status, body = await api("PATCH", there, json=edit)
    assert (status, first_error(body, *path)) == (400, code)
    status, body = await api("PATCH", there, json={"components": [container(TEXT)]})
    assert (status, body["flags"]) == (200, V2)  # the flag need not be said again


async def test_legacy_content_must_go_by_the_edit_itself(
    api: Api, post: Post, channel: str
) -> None:
    _, message = await post({"content": "x"})
    path = f"{channel}/messages/{message['id']}"
    status, body = await api("PATCH", path, json=of(TEXT))
    code = first_error(body, "content")
    assert (status, code) == (400, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2")
    status, body = await api("PATCH", path, json=of(TEXT, content=None))
    assert (status, body["content"]) == (200, "")


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, 7, -1, 17.0, "", "x", "attachment://a.png", [], {}]
)
MEMBERS = st.sampled_from(
    [
        "id",
        "content",
        "items",
        "media",
        "file",
        "accessory",
        "components",
        "spoiler",
        "divider",
        "spacing",
        "accent_color",
        "description",
        "custom_id",
        "style",
        "label",
        "options",
        "emoji",
        "url",
    ]
)
KNOWN: list[Json] = [TEXT, GALLERY, {"type": 14}, row(button()), section(button()), container(TEXT)]


def bent(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A component with some of its members replaced or added."""
    changes = st.dictionaries(MEMBERS, inner | st.lists(inner, max_size=3), max_size=3)
    one = st.tuples(st.sampled_from(KNOWN), changes).map(lambda pair: {**pair[0], **pair[1]})
    return one | st.builds(lambda kind, more: {"type": kind, **more}, VALUES, changes)


@given(st.lists(st.recursive(VALUES, bent, max_leaves=12), max_size=4), st.booleans())
def test_whatever_is_sent_is_refused_or_shown(components: list[Any], is_v2: bool) -> None:
    world = default_world()
    messages = Messages(world, EventHub(), lambda *_, **__: None)
    upload = Upload("a.png", "image/png", b"x")
    form = Form({"flags": V2 if is_v2 else 0, "components": components}, {0: upload})
    refused = 0
    try:
        message = messages.create(world.first_channel, world.bot, form)
    except ApiError as error:
        refused = error.code
    else:
        ids = [item["id"] for _, item in walk(message.json["components"])]
        assert len(set(ids)) == len(ids)
        assert messages.file(int(message.files[0]["id"])) is upload
    assert refused in {0, 50006, 50035}
