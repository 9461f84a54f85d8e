"""The page's routes, without a browser: who may use them and what they say."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from standins.discord import LoopbackDiscord
from standins.discord.page_server import add_page
from tests.standins.discord.bodies import multipart
from tests.standins.discord.page_bot import Channel, running_channel
from tests.standins.discord.people import ADA, BEN, CLEO, MIA

GALLERY = "900000000000000302"
POSTS = ("slash", "complete", "press", "menu", "submit", "say", "delete")


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[Channel]:
    async with running_channel() as running:
        yield running


@pytest_asyncio.fixture
async def http(channel: Channel) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(channel.loopback.base_url) as session:
        yield session


Post = Callable[[str, dict[str, Any]], Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def post(channel: Channel, http: aiohttp.ClientSession) -> Post:
    async def send(what: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        origin = {"Origin": channel.loopback.base_url}
        async with http.post(f"/page/api/{what}", json=body, headers=origin) as response:
            return response.status, await response.json()

    return send


@asynccontextmanager
async def events(
    http: aiohttp.ClientSession, **query: str
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    """The stream's events as (name, data); ends when the server ends it."""

    async def read(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        name = ""
        while line := (await response.content.readline()).decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)

    async with http.get("/page/api/events", params=query) as response:
        assert response.content_type == "text/event-stream"
        yield read(response)


async def next_named(stream: AsyncIterator[tuple[str, dict[str, Any]]], name: str) -> Any:
    async for found, data in stream:
        if found == name:
            return data
    raise AssertionError(f"the stream ended before {name}")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/page/index.html", "text/html"),
        ("/page/channel.css", "text/css"),
        ("/page/channel.js", "text/javascript"),
        ("/page/dom.js", "text/javascript"),
        ("/page/lightbox.css", "text/css"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
async def test_its_files_carry_a_strict_policy(
    http: aiohttp.ClientSession, path: str, media_type: str
) -> None:
    async with http.get(path) as response:
        assert response.status == 200
        assert response.content_type == media_type
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/page/page.py", "/page/..%2Fpage.py", "/page/", "/page/x/y.js"])
async def test_nothing_but_its_files_is_served(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7:80", "[::1", "localhost.", ""]
)
@pytest.mark.parametrize("path", ["/", "/page/channel.js", "/page/api/events"])
async def test_a_foreign_host_name_gets_nothing(
    http: aiohttp.ClientSession, host: str, path: str
) -> None:
    async with http.get(path, headers={"Host": host}) as response:
        assert response.status == 403
        assert "127.0.0.1" in (await response.json())["refusal"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_this_machine_may_be_called_by_any_of_its_names(
    http: aiohttp.ClientSession, channel: Channel, host: str
) -> None:
    port = channel.loopback.base_url.rpartition(":")[2]
    name = f"{host}:{port}"
    body = {"content": "hello"}
    headers = {"Host": name, "Origin": f"http://{name}"}
    async with http.post("/page/api/say", json=body, headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize("what", POSTS)
@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "http://127.0.0.1:1", "http://127.0.0.1"]
)
async def test_another_page_cannot_do_anything(
    http: aiohttp.ClientSession, channel: Channel, what: str, origin: str | None
) -> None:
    body = {"name": "say", "options": {"text": "x"}, "content": "x"}
    headers = {} if origin is None else {"Origin": origin}
    async with http.post(f"/page/api/{what}", json=body, headers=headers) as response:
        assert response.status == 403
    assert channel.loopback.history(channel.loopback.world.first_channel.id) == []


@pytest.mark.parametrize("what", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"as": "7"},
        {"as": 7.5, "name": "say", "options": {}, "content": "x"},
        {"channel": "x", "name": "say", "options": {}, "content": "x"},
        {"name": 3, "options": [], "content": 3, "message_id": "x", "custom_id": 1},
    ],
)
async def test_a_broken_body_is_answered_with_a_sentence(post: Post, what: str, body: Any) -> None:
    status, answer = await post(what, body)
    assert status == 400
    assert answer["refusal"].endswith(".")


async def test_a_body_that_is_no_json_is_refused(
    http: aiohttp.ClientSession, channel: Channel
) -> None:
    headers = {"Origin": channel.loopback.base_url, "Content-Type": "application/json"}
    async with http.post("/page/api/say", data="{", headers=headers) as response:
        assert response.status == 400
    headers["Content-Type"] = "text/plain"  # what a form of another page could send
    async with http.post("/page/api/say", data='{"content": "x"}', headers=headers) as response:
        assert response.status == 400


async def test_the_bot_cannot_be_acted_as(post: Post, channel: Channel) -> None:
    status, _ = await post("say", {"as": str(channel.loopback.world.bot.id), "content": "x"})
    assert status == 400


async def test_what_discord_would_refuse_comes_back_as_a_sentence(post: Post) -> None:
    assert await post("slash", {"name": "nonsense", "options": {}}) == (
        422,
        {"refusal": "There is no command /nonsense here."},
    )
    status, answer = await post("slash", {"name": "imagine", "options": {"prompt": "", "steps": 9}})
    assert status == 422
    assert "prompt" in answer["refusal"]
    assert (await post("press", {"message_id": "7", "custom_id": "again"}))[0] == 422
    assert (await post("say", {"content": "x" * 2001}))[0] == 422


async def test_what_the_bot_offers_for_an_option(post: Post, channel: Channel) -> None:
    body = {"name": "say", "options": {"voice": "b"}, "focused": "voice"}
    assert await post("complete", body) == (200, {"choices": [{"name": "bass", "value": "b"}]})
    status, answer = await post("complete", {**body, "focused": "text"})
    assert (status, answer["refusal"]) == (422, "The bot offers nothing for this option.")
    await channel.bot.heard.get()
    channel.bot.silent_about_voices = True
    asking = asyncio.ensure_future(post("complete", body))
    await channel.bot.heard.get()
    channel.clock.advance(3)
    assert await asking == (422, {"refusal": "The application did not respond."})


async def test_a_dialog_that_is_not_open_is_not_submitted(
    http: aiohttp.ClientSession, post: Post, channel: Channel
) -> None:
    body: dict[str, Any] = {"interaction_id": "7", "values": {}}
    assert await post("submit", body) == (
        422,
        {"refusal": "This dialog is closed. Open it again."},
    )
    assert (await post("submit", {**body, "files": {"x": 1}}))[0] == 400
    large = channel.loopback.attachment_size_limit_bytes + 1
    form = multipart(body, ("a.png", bytes(large)))
    headers = {"Origin": channel.loopback.base_url}
    async with http.post("/page/api/submit", data=form, headers=headers) as response:
        assert response.status == 422
        assert "10 MB at most" in (await response.json())["refusal"]


async def test_a_message_is_deleted_by_those_who_may(post: Post, channel: Channel) -> None:
    _, said = await post("say", {"as": str(BEN), "content": "hello"})
    message_id = said["id"]
    assert await post("delete", {"as": str(CLEO), "message_id": message_id}) == (
        422,
        {"refusal": "Cleo may not delete this message."},
    )
    assert await post("delete", {"as": str(MIA), "message_id": message_id}) == (
        200,
        {"id": message_id},
    )
    assert channel.loopback.history(channel.loopback.world.first_channel.id) == []
    assert (await post("delete", {"as": str(MIA), "message_id": message_id}))[0] == 422


async def test_the_page_is_told_who_does_what(http: aiohttp.ClientSession) -> None:
    async with events(http, **{"as": str(MIA)}) as stream:
        state = await next_named(stream, "state")
    assert {person["username"]: person["duty"] for person in state["people"]} == {
        "ada": "owner",
        "ben": "",
        "cleo": "",
        "mia": "moderator",
        "imagine": "",
    }
    assert state["me"]["moderates"] is True


async def test_the_state_comes_first_and_then_every_change(
    http: aiohttp.ClientSession, post: Post
) -> None:
    async with events(http, **{"as": str(BEN)}) as stream:
        state = await next_named(stream, "state")
        assert state["me"]["username"] == "ben"
        names = [command["name"] for command in state["commands"]]
        assert names == ["imagine", "say", "queue"]  # not what is for administrators
        assert state["online"] is True
        assert state["messages"] == []
        await post("say", {"as": str(ADA), "content": "hello"})
        message = await next_named(stream, "message")
        assert message["content"] == "hello"
    async with events(http) as stream:
        state = await next_named(stream, "state")
        assert [message["content"] for message in state["messages"]] == ["hello"]


async def test_an_ephemeral_answer_and_another_channel_stay_out_of_sight(
    http: aiohttp.ClientSession, post: Post
) -> None:
    async with events(http, **{"as": str(BEN)}) as bens, events(http, **{"as": str(ADA)}) as adas:
        await next_named(bens, "state")
        await next_named(adas, "state")
        secret = {"as": str(ADA), "name": "say", "options": {"text": "secret", "private": True}}
        assert (await post("slash", secret))[0] == 200
        assert (await next_named(adas, "message"))["content"] == "secret"
        await post("say", {"channel": GALLERY, "content": "elsewhere"})
        await post("say", {"content": "for all"})
        assert (await next_named(bens, "message"))["content"] == "for all"
        assert (await next_named(adas, "message"))["content"] == "for all"
    async with events(http, **{"as": str(BEN)}) as stream:
        seen = await next_named(stream, "state")
        assert [message["content"] for message in seen["messages"]] == ["for all"]


async def test_a_command_nobody_answers_fails_for_its_user_alone(
    http: aiohttp.ClientSession, post: Post, channel: Channel
) -> None:
    async with events(http, **{"as": str(ADA)}) as adas:
        await next_named(adas, "state")
        _, interaction = await post("slash", {"name": "silent", "options": {}})
        assert (await next_named(adas, "sent"))["id"] == interaction["id"]
        channel.clock.advance(3.1)
        assert (await next_named(adas, "failed"))["name"] == "silent"


async def test_the_page_hears_that_the_bot_went(
    http: aiohttp.ClientSession, channel: Channel
) -> None:
    async with events(http) as stream:
        assert (await next_named(stream, "state"))["online"] is True
        await channel.bot.close()
        assert (await next_named(stream, "bot"))["online"] is False


async def test_closing_ends_the_streams() -> None:
    loopback = LoopbackDiscord(rate_limits=False)
    add_page(loopback)
    await loopback.start()
    async with aiohttp.ClientSession(loopback.base_url) as http, events(http) as stream:
        await next_named(stream, "state")
        await loopback.close()
        assert [name async for name, _ in stream] == []


async def test_an_unknown_viewer_gets_a_sentence(http: aiohttp.ClientSession) -> None:
    async with http.get("/page/api/events", params={"as": "7"}) as response:
        assert response.status == 400
        assert "Reload" in (await response.json())["refusal"]
