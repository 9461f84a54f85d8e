"""Whom the server answers: this machine, and of browsers its own page alone."""

import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest

from standins.discord import LoopbackDiscord
from standins.discord.errors import CommandRefused
from tests.standins.discord.client import Api, RawGateway
from tests.standins.discord.page_bot import Channel, running_channel

PATHS = [
    "/",
    "/page/channel.js",
    "/page/api/events",
    "/api/v10/users/@me",
    "/api/v10/nothing",
    "/attachments/1/2/picture.png",
    "/gateway?v=10",
    "/nothing",
]
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
]


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    async with running_channel() as running:
        yield running


@pytest.fixture
async def http(channel: Channel) -> AsyncIterator[aiohttp.ClientSession]:
    token = {"Authorization": f"Bot {channel.loopback.token}"}
    async with aiohttp.ClientSession(channel.loopback.base_url, headers=token) as session:
        yield session


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_every_path_refuses_a_foreign_host_name(
    http: aiohttp.ClientSession, method: str, path: str
) -> None:
    async with http.request(method, path, headers={"Host": "evil.example:80"}) as response:
        assert response.status == 403
        body = await response.json()
    assert "127.0.0.1" in body["message"]


async def test_a_client_that_is_carried_here_may_name_whom_it_means(
    http: aiohttp.ClientSession,
) -> None:
    carried = {"Host": "discord.com"}
    async with http.get("/api/v10/users/@me", headers=carried) as response:
        assert response.status == 200
    page = {**carried, "Origin": "http://discord.com"}
    async with http.get("/api/v10/users/@me", headers=page) as response:
        assert response.status == 403
    async with http.get("/", headers=carried) as response:
        assert response.status == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", FOREIGN)
async def test_every_path_refuses_what_another_page_sends(
    http: aiohttp.ClientSession, path: str, headers: dict[str, str]
) -> None:
    async with http.get(path, headers=headers) as response:
        assert response.status == 403


async def test_a_link_to_the_page_may_be_followed(http: aiohttp.ClientSession) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    async with http.get("/", headers=followed) as response:
        assert response.status == 200
    async with http.post("/page/api/say", headers=followed) as response:
        assert response.status == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost"])
async def test_a_foreign_page_opens_no_socket(loopback: LoopbackDiscord, origin: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(loopback.gateway_url, origin=origin)
    assert refused.value.status == 403


async def test_its_own_page_and_a_client_without_one_open_sockets(
    loopback: LoopbackDiscord,
) -> None:
    async with aiohttp.ClientSession() as session:
        for origin in (None, loopback.base_url):
            url = f"{loopback.gateway_url}?v=10&encoding=json"
            async with session.ws_connect(url, origin=origin) as socket:
                assert (await socket.receive_json())["op"] == 10


DEEP = b'{"content": ' + b"[" * 100_000
LONG = b'{"message_id": ' + b"1" * 5_000 + b"}"
BODIES = [
    b"",
    b"{",
    b"[]",
    DEEP,
    b'{"a": ' * 2_000 + b"1" + b"}" * 2_000,
    LONG,
    b'{"content": -' + b"9" * 4_000 + b"}",
    b'{"content": NaN}',
    b'{"content": 1e999}',
    b'{"content": "\\ud800"}',
    b'{"\\udfff": 1}',
    b'{"content": "\xff"}',
]
JSON_TYPE = "application/json"
TYPES = [JSON_TYPE, "application/json; charset=nonsense", "multipart/form-data", "garbage", ""]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:24]))
@pytest.mark.parametrize("content_type", TYPES)
async def test_odd_bodies_are_refused_and_break_nothing(
    channel: Channel,
    http: aiohttp.ClientSession,
    body: bytes,
    content_type: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = channel.loopback.world.first_channel.id
    posts = [f"/page/api/{what}" for what in ("slash", "press", "say", "delete")]
    headers = {"Origin": channel.loopback.base_url, "Content-Type": content_type}
    for path in (*posts, f"/api/v10/channels/{place}/messages"):
        async with http.post(path, data=body, headers=headers) as response:
            assert response.status == 400
            assert response.content_type == "application/json"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_a_body_that_is_not_compressed_as_it_says(
    channel: Channel,
    http: aiohttp.ClientSession,
    encoding: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = channel.loopback.world.first_channel.id
    headers = {"Origin": channel.loopback.base_url, "Content-Encoding": encoding}
    headers["Content-Type"] = JSON_TYPE
    async with http.post(
        f"/api/v10/channels/{place}/messages", data=b"plain", headers=headers
    ) as response:
        assert response.status == 400
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "part",
    [
        b"broken header\r\n\r\n{}",
        b"A: " + b"b" * 20_000 + b"\r\n\r\n{}",
        b"Content-Type: multipart/mixed; boundary=z\r\n\r\n--z\r\n\r\n--z--",
    ],
)
async def test_odd_parts_are_refused(api: Api, loopback: LoopbackDiscord, part: bytes) -> None:
    path = f"/channels/{loopback.world.first_channel.id}/messages"
    data = aiohttp.BytesPayload(
        b"--x\r\n" + part + b"\r\n--x--", content_type="multipart/form-data; boundary=x"
    )
    status, _ = await api("POST", path, data=data)
    assert status == 400


ODD_NAMES = ["..%2f", "%00", "%ff", "%c0%af", "x" * 7_000, "%F0%9F%98%80", "9" * 21, "-1", "%0d%0a"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: name[:8])
async def test_odd_names_are_refused(http: aiohttp.ClientSession, name: str) -> None:
    for path in (
        f"/{name}",
        f"/page/{name}",
        f"/attachments/1/{name}/x",
        f"/attachments/1/1/{name}",
        f"/api/v10/channels/{name}",
        f"/api/v10/users/{name}",
        f"/page/api/events?as={name}x",
        f"/gateway?compress={name}",
    ):
        async with http.get(path) as response:
            assert response.status in {400, 404}


@pytest.mark.parametrize("name", ["", " ", "/", "queue", "x" * 7_000, "\u2003", "imagine x"])
async def test_a_command_of_an_odd_name_is_refused(
    channel: Channel, http: aiohttp.ClientSession, name: str
) -> None:
    origin = {"Origin": channel.loopback.base_url}
    body = {"name": name, "options": {}}
    async with http.post("/page/api/slash", json=body, headers=origin) as response:
        assert response.status == 422
        assert (await response.json())["refusal"].endswith(".")


ODD = [True, 7, 1.5, "text", [], [None], [[]], ["x"], [{}], {}, {"a": []}]
GOOD_MESSAGE: dict[str, object] = {"content": "x"}
MESSAGE_SHAPES: list[dict[str, object]] = [
    {name: odd}
    for odd in ODD
    for name in (
        "content",
        "embeds",
        "components",
        "attachments",
        "allowed_mentions",
        "flags",
        "message_reference",
    )
]
MESSAGE_SHAPES += [
    {"embeds": [{name: odd}]} for odd in ODD for name in ("title", "image", "fields")
]
MESSAGE_SHAPES += [{"embeds": [{"footer": odd}]} for odd in ODD if not isinstance(odd, dict)]
MESSAGE_SHAPES += [{"components": [{"type": 1, "components": odd}]} for odd in ODD]
MESSAGE_SHAPES += [{"components": [{"type": odd, "components": [{"type": odd}]}]} for odd in ODD]
MESSAGE_SHAPES += [{"components": [{"type": 1, "components": [{"type": odd}]}]} for odd in ODD]
MESSAGE_SHAPES += [
    {"allowed_mentions": {name: odd}} for odd in ODD for name in ("parse", "users", "roles")
]


async def test_a_message_of_any_shape_is_answered(
    api: Api, loopback: LoopbackDiscord, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/channels/{loopback.world.first_channel.id}/messages"
    for shape in MESSAGE_SHAPES:
        status, _ = await api("POST", path, json={**GOOD_MESSAGE, **shape})
        assert status in {200, 400}, shape
    assert caplog.records == []


async def test_a_command_of_any_shape_is_answered(
    api: Api, loopback: LoopbackDiscord, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/applications/{loopback.world.application_id}/commands"
    command: dict[str, object] = {"name": "n", "description": "d"}
    option: dict[str, object] = {"type": 4, "name": "o", "description": "d"}
    shapes = [{name: odd} for odd in ODD for name in ("type", "name", "description", "options")]
    shapes += [{"default_member_permissions": odd} for odd in ODD]
    for name in ("type", "name", "description", "choices", "min_value", "max_length", "options"):
        shapes += [{"options": [{**option, name: odd}]} for odd in ODD]
    for shape in shapes:
        status, _ = await api("PUT", path, json=[{**command, **shape}])
        assert status in {200, 400}, shape
        if status == 200:  # what was taken can be typed
            loopback.registry.all()
            with suppress(CommandRefused):
                await loopback.slash("n", {})
    assert caplog.records == []


async def test_an_answer_of_any_shape_is_answered(
    api: Api, loopback: LoopbackDiscord, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/applications/{loopback.world.application_id}/commands"
    await api("PUT", path, json=[{"name": "n", "description": "d"}])
    for odd in ODD:
        for body in ({"type": odd}, {"type": 4, "data": odd}, odd):
            asked = await loopback.slash("n", {})
            status, _ = await api(
                "POST", f"/interactions/{asked.id}/{asked.token}/callback", json=body
            )
            assert status == 400, body
    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 4002),
        ("[]", 4002),
        ("[" * 4_000, 4002),
        ('{"op": ' + "1" * 4_050 + "}", 4002),
        ('{"op": 1e999}', 4002),
        ('{"op": []}', 4003),
        ('{"op": {}}', 4003),
        ('{"op": true}', 4003),
        ('{"op": "2"}', 4003),
        ('{"op": 2, "d": []}', 4004),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_an_odd_payload_closes_its_socket(
    loopback: LoopbackDiscord, text: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawGateway.connect(loopback) as socket:
        await socket.send_text(text)
        assert await socket.closed() == code
    assert caplog.records == []


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_members_are_asked_for_in_any_shape(
    loopback: LoopbackDiscord, odd: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawGateway.connect(loopback) as socket:
        await socket.identify(loopback.token)
        for name in ("user_ids", "limit", "query", "nonce"):
            await socket.send(8, {name: odd})
            await socket.event("GUILD_MEMBERS_CHUNK")
    assert caplog.records == []
