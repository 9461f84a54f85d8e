"""Messages that are a layout (Components V2), through a real client and by plain requests."""

import io
from typing import Any

import discord
import pytest
from discord import ui

from standins.base.wire import Json
from standins.discord import LoopbackDiscord
from standins.discord.components import (
    ACTION_ROW,
    CONTAINER,
    FILE,
    GALLERY,
    IS_COMPONENTS_V2,
    SECTION,
    SEPARATOR,
    TEXT,
    THUMBNAIL,
)
from tests.standins.discord.client import Bot, Interaction
from tests.standins.discord.test_messages import Post, button, channel, first_error, post, row

__all__ = ["channel", "post"]  # fixtures

WORDS = {"type": TEXT, "content": "hello"}


class Card(ui.LayoutView):
    """A text, pictures, and something to press at two depths."""

    def __init__(self, names: tuple[str, ...], *, veiled: bool = False, text: str = "hi") -> None:
        super().__init__(timeout=None)
        gallery: ui.MediaGallery[Card] = ui.MediaGallery()
        for name in names:
            gallery.add_item(media=f"attachment://{name}", description=name, spoiler=veiled)
        parts: list[ui.Item[Any]] = [ui.TextDisplay(text)]
        if names:
            parts.append(gallery)
        parts.append(ui.Separator())
        parts.append(ui.Section("more", accessory=ui.Button(label="open", custom_id="deep")))
        buttons: ui.ActionRow[Card] = ui.ActionRow()
        buttons.add_item(ui.Button(label="again", custom_id="again"))
        parts.append(buttons)
        self.add_item(ui.Container(*parts, accent_colour=0x5865F2))


def files(*names: str) -> list[discord.File]:
    return [discord.File(io.BytesIO(name.encode()), name) for name in names]


def layout(*components: Json, **more: Any) -> Json:
    return {"flags": IS_COMPONENTS_V2, "components": list(components), **more}


def gallery(*urls: str, **more: Any) -> Json:
    return {"type": GALLERY, "items": [{"media": {"url": url}, **more} for url in urls]}


async def test_an_answer_becomes_a_layout_and_is_changed_without_new_files(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    names = ("0.png", "1.png")

    async def handler(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(view=Card(()))
        await interaction.edit_original_response(view=Card(names), attachments=files(*names))
        seen = await interaction.edit_original_response(view=Card(names, veiled=True, text="end"))
        bot.seen.put_nowait(("edited", seen))

    bot.handler = handler
    asked = await loopback.slash("imagine", {"prompt": "x"})
    message = await asked.until(lambda one: "end" in str(one["components"]))
    seen = await bot.saw("edited")
    assert seen.flags.components_v2
    assert [one.filename for one in seen.attachments] == list(names)
    (container,) = message["components"]
    shown = container["components"][1]["items"]
    kept = {one["id"]: one for one in message["attachments"]}
    assert [kept[one["media"]["attachment_id"]]["filename"] for one in shown] == list(names)
    assert [one["spoiler"] for one in shown] == [True, True]
    assert [one["description"] for one in shown] == list(names)
    assert shown[0]["media"]["url"] == message["attachments"][0]["url"]
    ids = [container["id"], *(one["id"] for one in container["components"])]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("custom_id", ["again", "deep"])
async def test_a_button_is_pressed_at_any_depth(
    loopback: LoopbackDiscord, bot: Bot, custom_id: str
) -> None:
    async def handler(interaction: Interaction) -> None:
        await interaction.response.send_message(view=Card(()))

    bot.handler = handler
    asked = await loopback.slash("imagine", {"prompt": "x"})
    message = await asked.until(lambda one: bool(one["components"]))
    pressed = await loopback.press(int(message["id"]), custom_id)
    assert pressed.name == custom_id


async def test_a_text_becomes_a_layout_for_good(post: Post, api: Any, channel: str) -> None:
    _, sent = await post({"content": "old", "components": [row(button())]})
    at = f"{channel}/messages/{sent['id']}"
    status, body = await api("PATCH", at, json=layout(WORDS))
    assert (status, body["code"]) == (400, 50035)
    assert first_error(body, "content").startswith("MESSAGE_CANNOT_USE_LEGACY_FIELDS")
    status, now = await api("PATCH", at, json=layout(WORDS, content=None, embeds=[]))
    assert (status, now["content"], now["flags"]) == (200, "", IS_COMPONENTS_V2)
    for payload in ({"content": "text again"}, {"embeds": [{"title": "x"}]}):
        status, body = await api("PATCH", at, json=payload)
        assert (status, body["code"]) == (400, 50035)
    status, now = await api("PATCH", at, json={"flags": 0, "components": [WORDS, WORDS]})
    assert (status, now["flags"]) == (200, IS_COMPONENTS_V2)
    status, body = await api("PATCH", at, json={"components": []})
    assert (status, body["code"]) == (400, 50006)


async def test_files_are_named_added_and_kept(post: Post, api: Any, channel: str) -> None:
    names = ("a.png", "b.txt")
    status, sent = await post(
        layout(
            gallery("attachment://a.png", "https://example.com/c.png"),
            {"type": FILE, "file": {"url": "attachment://b.txt"}},
            {
                "type": SECTION,
                "components": [WORDS],
                "accessory": {"type": THUMBNAIL, "media": {"url": "attachment://a.png"}},
            },
            {"type": SEPARATOR},
        ),
        *((name, b"x") for name in names),
    )
    assert status == 200
    pictures, file, section, separator = sent["components"]
    first, second = sent["attachments"]
    assert pictures["items"][0]["media"]["url"] == first["url"]
    assert pictures["items"][1]["media"]["url"] == "https://example.com/c.png"
    assert file["file"]["url"] == second["url"]
    assert section["accessory"]["media"]["attachment_id"] == first["id"]
    assert (separator["divider"], separator["spacing"]) == (True, 1)
    at = f"{channel}/messages/{sent['id']}"
    kept = layout(gallery("attachment://a.png"), attachments=[{"id": first["id"]}])
    status, now = await api("PATCH", at, json=kept)
    assert (status, [one["id"] for one in now["attachments"]]) == (200, [first["id"]])
    status, body = await api("PATCH", at, json=layout(gallery("attachment://b.txt")))
    place = ("components", 0, "items", 0, "media", "url")
    assert first_error(body, *place).startswith("UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT")


MANY = [WORDS] * 41
SECTION_OF_FOUR = {"type": SECTION, "components": [WORDS] * 4, "accessory": button()}


@pytest.mark.parametrize(
    ("payload", "place", "code"),
    [
        (layout(WORDS, content="x"), ("content",), "MESSAGE_CANNOT_USE_LEGACY"),
        (layout(WORDS, embeds=[{"title": "x"}]), ("embeds",), "MESSAGE_CANNOT_USE_LEGACY"),
        (layout(*MANY), ("components",), "BASE_TYPE_MAX_LENGTH"),
        (
            layout({"type": CONTAINER, "components": [WORDS] * 40}),
            ("components",),
            "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED",
        ),
        (
            layout({"type": TEXT, "content": "x" * 2_001}, {"type": TEXT, "content": "x" * 2_000}),
            ("components",),
            "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED",
        ),
        (layout({"type": TEXT}), ("components", 0, "content"), "BASE_TYPE_REQUIRED"),
        (layout({"type": 99}), ("components", 0, "type"), "UNION_TYPE_CHOICES"),
        (layout(button()), ("components", 0, "type"), "UNION_TYPE_CHOICES"),
        (
            layout({"type": CONTAINER, "components": [{"type": CONTAINER, "components": [WORDS]}]}),
            ("components", 0, "components", 0, "type"),
            "UNION_TYPE_CHOICES",
        ),
        (
            layout({"type": CONTAINER, "components": []}),
            ("components", 0, "components"),
            "BASE_TYPE_BAD_LENGTH",
        ),
        (layout(gallery()), ("components", 0, "items"), "BASE_TYPE_BAD_LENGTH"),
        (
            layout(gallery(*["https://example.com/x"] * 11)),
            ("components", 0, "items"),
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            layout(gallery("https://example.com/x", description="")),
            ("components", 0, "items", 0, "description"),
            "BASE_TYPE_REQUIRED",
        ),
        (
            layout(gallery("https://example.com/x", description="x" * 1_025)),
            ("components", 0, "items", 0, "description"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            layout(gallery("file:///etc/hosts")),
            ("components", 0, "items", 0, "media", "url"),
            "URL_TYPE_INVALID_SCHEME",
        ),
        (
            layout({"type": FILE, "file": {"url": "https://example.com/x"}}),
            ("components", 0, "file", "url"),
            "URL_TYPE_INVALID_SCHEME",
        ),
        (layout(SECTION_OF_FOUR), ("components", 0, "components"), "BASE_TYPE_BAD_LENGTH"),
        (
            layout({"type": SECTION, "components": [WORDS]}),
            ("components", 0, "accessory"),
            "BASE_TYPE_REQUIRED",
        ),
        (
            layout({"type": SEPARATOR, "spacing": 3}),
            ("components", 0, "spacing"),
            "BASE_TYPE_CHOICES",
        ),
        (
            layout(row(button()), row(button())),
            ("components", 1, "components", 0, "custom_id"),
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (
            layout({**WORDS, "id": 7}, {**WORDS, "id": 7}),
            ("components", 1, "id"),
            "COMPONENT_ID_DUPLICATED",
        ),
        ({"components": [WORDS]}, ("components", 0, "type"), "UNION_TYPE_CHOICES"),
        (
            layout({"type": ACTION_ROW, "components": [WORDS]}),
            ("components", 0, "components", 0, "type"),
            "UNION_TYPE_CHOICES",
        ),
    ],
)
async def test_what_discord_refuses(
    post: Post, payload: Json, place: tuple[str | int, ...], code: str
) -> None:
    status, body = await post(payload)
    assert (status, body["code"]) == (400, 50035)
    assert first_error(body, *place).startswith(code)


async def test_a_layout_of_nothing_is_empty(post: Post) -> None:
    status, body = await post({"flags": IS_COMPONENTS_V2, "components": []})
    assert (status, body["code"]) == (400, 50006)
