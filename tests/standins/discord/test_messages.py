"""Discord's rules for messages, each with its code."""

import io
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from standins.base.events import EventHub
from standins.base.wire import Json
from standins.discord import Channel, LoopbackDiscord, ManualClock, Person, Upload
from standins.discord.forms import Form
from standins.discord.messages import Messages
from standins.discord.rest import NONCE_LIVES_S
from standins.discord.rules import mentions
from standins.discord.world import ATTACH_FILES, SEND_MESSAGES, TALK, VIEW_CHANNEL, default_world
from tests.standins.discord.bodies import button, first_error, multipart, row
from tests.standins.discord.client import Api, Post
from tests.standins.discord.people import BEN, MOD_LOG, SKETCHES

LIMIT_BYTES = 10 * 2**20


@pytest.mark.parametrize(
    ("payload", "path", "code"),
    [
        ({"content": "x" * 2_001}, ("content",), "BASE_TYPE_MAX_LENGTH"),
        ({"content": 7}, ("content",), "STRING_TYPE_CONVERT"),
        ({"content": "x", "flags": "64"}, ("flags",), "NUMBER_TYPE_COERCE"),
        ({"embeds": [{"title": "x" * 257}]}, ("embeds", 0, "title"), "BASE_TYPE_MAX_LENGTH"),
        (
            {"embeds": [{"description": "x" * 4_097}]},
            ("embeds", 0, "description"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        ({"embeds": [{"title": "x"}] * 11}, ("embeds",), "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": "no"}, ("embeds",), "LIST_TYPE_CONVERT"),
        ({"embeds": ["no"]}, ("embeds", 0), "DICT_TYPE_CONVERT"),
        (
            {"embeds": [{"fields": [{"name": "x", "value": "x"}] * 26}]},
            ("embeds", 0, "fields"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            {"embeds": [{"fields": [{"name": "", "value": "x"}]}]},
            ("embeds", 0, "fields", 0, "name"),
            "BASE_TYPE_REQUIRED",
        ),
        (
            {"embeds": [{"description": "x" * 4_000}, {"description": "x" * 2_001}]},
            ("embeds",),
            "MAX_EMBED_SIZE_EXCEEDED",
        ),
        ({"components": [row(button())] * 6}, ("components",), "BASE_TYPE_MAX_LENGTH"),
        (
            {"components": [row(*(button(str(n)) for n in range(6)))]},
            ("components", 0, "components"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        ({"components": [row()]}, ("components", 0, "components"), "BASE_TYPE_BAD_LENGTH"),
        ({"components": [{"type": 17}]}, ("components", 0, "type"), "UNION_TYPE_CHOICES"),
        (
            {"components": [row(button("x" * 101))]},
            ("components", 0, "components", 0, "custom_id"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            {"components": [row(button(""))]},
            ("components", 0, "components", 0, "custom_id"),
            "BASE_TYPE_REQUIRED",
        ),
        (
            {"components": [row(button(), button())]},
            ("components", 0, "components", 1, "custom_id"),
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (
            {"components": [row(button(style=7))]},
            ("components", 0, "components", 0, "style"),
            "BASE_TYPE_CHOICES",
        ),
        (
            {"components": [row(button(style=5))]},
            ("components", 0, "components", 0, "url"),
            "BASE_TYPE_REQUIRED",
        ),
        (
            {"components": [row(button(label=""))]},
            ("components", 0, "components", 0, "label"),
            "BUTTON_COMPONENT_INVALID_LABEL",
        ),
        (
            {"attachments": [{"id": 0, "description": "x" * 1_025}]},
            ("attachments", 0, "description"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            {"attachments": [{"id": n} for n in range(11)]},
            ("attachments",),
            "BASE_TYPE_MAX_LENGTH",
        ),
        ({"attachments": [{"id": 0}]}, ("attachments", 0, "id"), "ATTACHMENT_NOT_FOUND"),
        (
            {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
            ("allowed_mentions",),
            "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
        ),
        (
            {"content": "x", "message_reference": {"message_id": "1"}},
            ("message_reference",),
            "MESSAGE_REFERENCE_UNKNOWN_MESSAGE",
        ),
    ],
)
async def test_forms_that_are_refused(
    post: Post, loopback: LoopbackDiscord, payload: Json, path: tuple[str | int, ...], code: str
) -> None:
    status, body = await post(payload)
    assert (status, body["code"], body["message"]) == (400, 50035, "Invalid Form Body")
    assert first_error(body, *path) == code
    assert loopback.history(loopback.world.first_channel.id) == []


async def test_longest_message_that_fits(post: Post) -> None:
    status, body = await post(
        {
            "content": "x" * 2_000,
            "embeds": [{"title": "x" * 256, "description": "x" * 4_096}],
            "components": [row(*(button(f"{at}{n}") for n in range(5))) for at in range(5)],
        }
    )
    assert status == 200
    assert [one["id"] for one in body["components"]] == [1, 7, 13, 19, 25]


@pytest.mark.parametrize("content", ["", "   ", "\n\t", None])
async def test_empty_message(post: Post, content: str) -> None:
    status, body = await post({"content": content})
    assert (status, body["code"]) == (400, 50006)


async def test_edit_cannot_empty_a_message(api: Api, post: Post, channel: str) -> None:
    _, message = await post({"content": "x"})
    path = f"{channel}/messages/{message['id']}"
    status, body = await api("PATCH", path, json={"content": ""})
    assert (status, body["code"]) == (400, 50006)
    assert (await api("GET", path))[1]["content"] == "x"


async def test_body_that_is_no_json(api: Api, channel: str) -> None:
    headers = {"Content-Type": "application/json"}
    for data in (b"{", b"[]", b"\xff", b'{"content": NaN}'):
        status, body = await api("POST", f"{channel}/typing", json={})
        assert status == 204
        async with aiohttp.ClientSession() as session:
            url = api._loopback.api_url + f"{channel}/messages"
            auth = {"Authorization": f"Bot {api._loopback.token}", **headers}
            async with session.post(url, data=data, headers=auth) as response:
                body = await response.json()
                assert (response.status, body["code"]) == (400, 50109)


async def test_multipart_that_is_none(loopback: LoopbackDiscord, channel: str) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {
            "Authorization": f"Bot {loopback.token}",
            "Content-Type": "multipart/form-data; boundary=x",
        }
        url = f"{loopback.api_url}{channel}/messages"
        async with session.post(url, data=b"nothing of the kind", headers=headers) as response:
            assert response.status == 400


async def test_upload_and_download(loopback: LoopbackDiscord, post: Post) -> None:
    status, message = await post({}, ("..my prüfbild (1).txt", b"hello"), ("b.bin", b"\0\1"))
    assert status == 200
    text, binary = message["attachments"]
    assert text["filename"] == "my_prüfbild_1_.txt"
    assert (text["content_type"], text["size"]) == ("text/plain", 5)
    assert await loopback.download(text) == b"hello"
    assert loopback.attachment_bytes(int(binary["id"])) == b"\0\1"


async def test_files_are_served_as_files_only(loopback: LoopbackDiscord, post: Post) -> None:
    _, message = await post({}, ("page.html", b"<script>"))
    url = message["attachments"][0]["url"]
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            assert response.headers["Content-Type"] == "text/html"
            assert "sandbox" in response.headers["Content-Security-Policy"]
        async with session.get(url.replace("page", "other")) as response:
            assert response.status == 404


async def test_webp_has_its_size(post: Post) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 7)).save(buffer, "WEBP")
    _, message = await post({}, ("a.webp", buffer.getvalue()), ("b.png", b"no picture"))
    webp, broken = message["attachments"]
    assert (webp["width"], webp["height"], webp["content_type"]) == (12, 7, "image/webp")
    assert "width" not in broken


async def test_largest_file_and_one_byte_more(loopback: LoopbackDiscord, post: Post) -> None:
    status, message = await post({}, ("a.bin", bytes(LIMIT_BYTES)))
    assert status == 200
    assert len(await loopback.download(message["attachments"][0])) == LIMIT_BYTES
    status, body = await post({}, ("a.bin", bytes(LIMIT_BYTES + 1)))
    assert (status, body["code"]) == (413, 40005)


async def test_request_of_more_than_25_mib(post: Post) -> None:
    part = bytes(9 * 2**20)
    status, body = await post({}, ("a.bin", part), ("b.bin", part), ("c.bin", part))
    assert (status, body["code"]) == (413, 40005)


async def test_eleven_files(post: Post) -> None:
    status, body = await post({}, *((f"{n}.txt", b"x") for n in range(11)))
    assert (status, body["code"]) == (400, 30015)


async def test_edit_keeps_adds_and_drops_files(
    loopback: LoopbackDiscord, api: Api, post: Post, channel: str
) -> None:
    _, message = await post({"content": "x"}, ("a.txt", b"a"), ("b.txt", b"b"))
    path = f"{channel}/messages/{message['id']}"
    first, second = message["attachments"]
    _, edited = await api("PATCH", path, json={"content": "y"})
    assert edited["attachments"] == [first, second]
    keep = {"attachments": [{"id": second["id"]}, {"id": 0, "description": "new"}]}
    _, edited = await api("PATCH", path, data=multipart(keep, ("c.txt", b"c")))
    assert [one["filename"] for one in edited["attachments"]] == ["b.txt", "c.txt"]
    assert edited["attachments"][1]["description"] == "new"
    with pytest.raises(KeyError):
        loopback.attachment_bytes(int(first["id"]))
    _, edited = await api("PATCH", path, json={"attachments": []})
    assert edited["attachments"] == []
    assert edited["edited_timestamp"] is not None


async def test_deleted_message_takes_its_files_along(
    loopback: LoopbackDiscord, api: Api, post: Post, channel: str
) -> None:
    _, message = await post({}, ("a.txt", b"a"))
    assert await api("DELETE", f"{channel}/messages/{message['id']}") == (204, None)
    with pytest.raises(KeyError):
        loopback.attachment_bytes(int(message["attachments"][0]["id"]))


async def test_old_messages_and_their_files_go(loopback: LoopbackDiscord, post: Post) -> None:
    _, oldest = await post({}, ("a.txt", b"a"))
    for number in range(500):
        await loopback.say(str(number))
    assert len(loopback.history(loopback.world.first_channel.id)) == 500
    with pytest.raises(KeyError):
        loopback.attachment_bytes(int(oldest["attachments"][0]["id"]))


def test_oldest_files_make_room() -> None:
    world = default_world()
    messages = Messages(world, EventHub(), lambda *_, **__: None, max_file_bytes=10)
    files = [Upload(f"{n}.bin", "application/octet-stream", bytes(4)) for n in range(3)]
    sent = [messages.create(world.first_channel, world.bot, Form({}, {0: file})) for file in files]
    ids = [int(message.json["attachments"][0]["id"]) for message in sent]
    assert [messages.file(one) for one in ids] == [None, *files[1:]]


async def test_embed_shows_an_attached_file(post: Post) -> None:
    embed = {"title": "x", "image": {"url": "attachment://a.png"}}
    _, message = await post({"embeds": [embed]}, ("a.png", b"x"))
    assert message["embeds"][0]["type"] == "rich"
    assert message["embeds"][0]["image"]["url"] == message["attachments"][0]["url"]


async def test_unknown_places(api: Api, channel: str) -> None:
    assert (await api("GET", "/channels/1"))[1]["code"] == 10003
    assert (await api("GET", f"{channel}/messages/1"))[1]["code"] == 10008
    assert (await api("GET", "/users/1"))[1]["code"] == 10013
    assert (await api("GET", "/channels/here"))[1]["code"] == 50035
    assert await api("GET", "/nothing") == (404, {"message": "404: Not Found", "code": 0})
    assert (await api("DELETE", "/users/@me"))[0] == 405


async def test_guild_members(loopback: LoopbackDiscord, api: Api) -> None:
    person = loopback.world.first_person
    status, member = await api("GET", f"/guilds/{loopback.world.guild_id}/members/{person.id}")
    assert (status, member["user"]["username"]) == (200, person.username)
    path = f"/guilds/{loopback.world.guild_id}/members/1"
    assert (await api("GET", path))[1]["code"] == 10007
    assert (await api("GET", f"/guilds/1/members/{person.id}"))[1]["code"] == 50001


async def test_permissions(loopback: LoopbackDiscord, api: Api, post: Post) -> None:
    hidden = Channel(900_000_000_000_000_399, "hidden", bot_permissions=0)
    loopback.world.channels[hidden.id] = hidden
    status, body = await api("GET", f"/channels/{hidden.id}")
    assert (status, body["code"]) == (403, 50001)
    loopback.world.first_channel.bot_permissions = VIEW_CHANNEL | SEND_MESSAGES
    assert (await post({"content": "x"}))[0] == 200
    status, body = await post({}, ("a.txt", b"x"))
    assert (status, body["code"]) == (403, 50013)
    loopback.world.first_channel.bot_permissions = VIEW_CHANNEL | ATTACH_FILES
    assert (await post({"content": "x"}))[1]["code"] == 50013


async def test_other_peoples_messages(loopback: LoopbackDiscord, api: Api, channel: str) -> None:
    said = await loopback.say("mine")
    path = f"{channel}/messages/{said['id']}"
    status, body = await api("PATCH", path, json={"content": "x"})
    assert (status, body["code"]) == (403, 50005)
    assert (await api("DELETE", path))[1]["code"] == 50013
    assert (await api("GET", path))[1]["content"] == "mine"


async def test_history_pages(loopback: LoopbackDiscord, api: Api, channel: str) -> None:
    ids = [(await loopback.say(str(number)))["id"] for number in range(5)]
    newest_first = ids[::-1]

    async def page(**query: Any) -> list[str]:
        status, found = await api("GET", f"{channel}/messages", params=query)
        assert status == 200
        return [message["id"] for message in found]

    assert await page() == newest_first
    assert await page(limit=2) == newest_first[:2]
    assert await page(before=ids[2]) == [ids[1], ids[0]]
    assert await page(after=ids[1], limit=2) == [ids[3], ids[2]]
    assert (await api("GET", f"{channel}/messages", params={"limit": 101}))[1]["code"] == 50035


async def test_repeated_nonce_sends_once(post: Post) -> None:
    payload = {"content": "x", "nonce": "7", "enforce_nonce": True}
    _, first = await post(payload)
    _, second = await post(payload)
    _, third = await post({**payload, "enforce_nonce": False})
    assert first["id"] == second["id"] != third["id"]


async def test_a_nonce_is_known_in_its_own_channel_for_a_while(
    varied: LoopbackDiscord, clock: ManualClock
) -> None:
    card = {"flags": 1 << 15, "components": [{"type": 10, "content": "x"}]}
    direct = varied.world.direct_messages(varied.world.people[BEN]).id
    places = (varied.world.first_channel.id, SKETCHES, MOD_LOG, direct)
    payload = {**card, "nonce": "7" * 25, "enforce_nonce": True}
    async with aiohttp.ClientSession() as session:
        api = Api(session, varied)

        async def sent() -> list[str]:
            answers = [await api("POST", f"/channels/{at}/messages", json=payload) for at in places]
            return [answer["id"] for _, answer in answers]

        first = await sent()
        assert len(set(first)) == len(places)
        assert await sent() == first
        clock.advance(NONCE_LIVES_S + 1)
        assert not set(await sent()) & set(first)


async def test_a_nonce_is_short(post: Post) -> None:
    status, body = await post({"content": "x", "nonce": "7" * 26})
    assert (status, first_error(body, "nonce")) == (400, "BASE_TYPE_MAX_LENGTH")


async def test_reply(loopback: LoopbackDiscord, post: Post) -> None:
    said = await loopback.say("hello")
    reference = {"message_id": said["id"]}
    _, reply = await post({"content": "hi", "message_reference": reference})
    assert reply["referenced_message"]["content"] == "hello"
    assert [one["id"] for one in reply["mentions"]] == [said["author"]["id"]]
    quiet: Json = {"parse": []}
    _, reply = await post(
        {"content": "hi", "message_reference": reference, "allowed_mentions": quiet}
    )
    assert reply["mentions"] == []


async def test_pings_are_what_the_sender_allows(loopback: LoopbackDiscord, post: Post) -> None:
    ben, role = list(loopback.world.people)[1], list(loopback.world.roles)[1]
    content = f"@everyone <@{ben}> <@!{ben}> <@&{role}> <@1>"

    async def pinged(**more: Any) -> tuple[list[int], list[int], bool]:
        _, message = await post({"content": content, **more})
        users = [int(one["id"]) for one in message["mentions"]]
        return users, [int(one) for one in message["mention_roles"]], message["mention_everyone"]

    assert await pinged() == ([ben], [role], True)
    assert await pinged(allowed_mentions={"parse": []}) == ([], [], False)
    assert await pinged(allowed_mentions={"parse": ["users"]}) == ([ben], [], False)
    assert await pinged(allowed_mentions={"users": [str(ben)]}) == ([ben], [], False)
    assert await pinged(allowed_mentions={"parse": ["roles", "everyone"]}) == ([], [role], True)
    loopback.world.first_channel.bot_permissions = TALK & ~(1 << 17)
    assert (await pinged())[2] is False


PIECES = ["@everyone", "@here", "<@900000000000000402>", "<@&900000000000000201>", "`", "```", " x"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_nothing_pings_when_nothing_may(content: str) -> None:
    world = default_world()
    assert mentions(content, {"parse": []}, world, TALK) == {
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
    }


@pytest.mark.parametrize("text", ["`@everyone`", "```\n@everyone\n```", "``a ` @everyone``"])
def test_code_pings_nobody(text: str) -> None:
    world = default_world()
    assert mentions(text, None, world, TALK)["mention_everyone"] is False
    assert mentions(f"{text} @here", None, world, TALK)["mention_everyone"] is True


def test_people_can_be_added() -> None:
    world = default_world()
    world.people[7] = Person(7, "dora", "Dora")
    assert mentions("<@7>", None, world, TALK)["mentions"][0]["username"] == "dora"
