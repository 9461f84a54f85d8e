"""The routes of Slack's page, without a browser: who may use them and what they say."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.slack import LoopbackSlack, default_world
from standins.slack.composing import composed, escaped
from standins.slack.page_server import add_page
from tests.standins.slack.app import ADA, BEN, BOT, GALLERY, IMAGINE, MOD_LOG, PNG

POSTS = ("slash", "say", "press", "shortcut", "submit", "dismiss", "home", "delete")
ADDRESSES = ("/", "/page/workspace.js", "/page/file/F000000001", "/page/api/events")


@pytest.fixture
async def slack() -> AsyncIterator[LoopbackSlack]:
    loopback = LoopbackSlack(rate_limits=False)
    add_page(loopback)
    await loopback.start()
    yield loopback
    await loopback.close()


@pytest.fixture
async def http(slack: LoopbackSlack) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(slack.base_url) as session:
        yield session


class Page:
    """Posts as the page does."""

    def __init__(self, slack: LoopbackSlack, http: aiohttp.ClientSession) -> None:
        self._headers = {"Origin": slack.base_url}
        self._http = http

    async def __call__(self, what: str, **body: Any) -> tuple[int, Any]:
        body = {"as": ADA, "channel": IMAGINE, **body}
        address = f"/page/api/{what}"
        async with self._http.post(address, json=body, headers=self._headers) as response:
            return response.status, await response.json()


@pytest.fixture
def page(slack: LoopbackSlack, http: aiohttp.ClientSession) -> Page:
    return Page(slack, http)


async def state_of(http: aiohttp.ClientSession, **query: str) -> Any:
    """What the page is told first."""
    async with http.get("/page/api/events", params=query) as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the page was told nothing")


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1"])
async def test_a_foreign_host_name_gets_nothing(
    http: aiohttp.ClientSession, path: str, host: str
) -> None:
    async with http.get(path, headers={"Host": host}) as response:
        assert response.status == 403


@pytest.mark.parametrize("what", POSTS)
@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
async def test_only_the_page_itself_posts(
    http: aiohttp.ClientSession, what: str, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    async with http.post(f"/page/api/{what}", json={}, headers=headers) as response:
        assert response.status == 403
        assert "own page" in (await response.json())["refusal"]


@pytest.mark.parametrize("path", ADDRESSES[:2])
async def test_its_files_carry_a_strict_policy(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/page/page_server.py", "/page/..%2Fworld.py", "/page/file/F0"])
async def test_nothing_else_is_served(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        assert response.status == 404


@pytest.mark.parametrize("what", POSTS)
@pytest.mark.parametrize("nobody", ["U0NOBODY00", BOT, 7, []])
async def test_nobody_is_asked_to_reload(page: Page, what: str, nobody: object) -> None:
    status, told = await page(what, **{"as": nobody})
    assert status == 400
    assert told["refusal"]


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("slash", {"text": 7}),
        ("slash", {"text": "/x", "channel": "C0NOWHERE00"}),
        ("say", {"text": None}),
        ("say", {"text": "x", "thread_ts": 1}),
        ("press", {"ts": "1.0", "action_id": None}),
        ("press", {"ts": "1.0", "action_id": "go", "value": [1]}),
        ("press", {"ts": "1.0", "action_id": "go", "value": 1}),
        ("shortcut", {"callback_id": 1}),
        ("submit", {"values": None}),
        ("submit", {"values": {}, "files": []}),
        ("delete", {"ts": 1}),
    ],
)
async def test_what_makes_no_sense_is_refused(page: Page, what: str, body: Any) -> None:
    status, told = await page(what, **body)
    assert status == 400
    assert told["refusal"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff"])
async def test_what_is_no_json_is_refused(
    slack: LoopbackSlack, http: aiohttp.ClientSession, data: bytes
) -> None:
    headers = {"Origin": slack.base_url, "Content-Type": "application/json"}
    async with http.post("/page/api/say", data=data, headers=headers) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    ("what", "body", "words"),
    [
        ("slash", {"text": "/imagine x", "as": BEN, "channel": MOD_LOG}, "not in"),
        ("slash", {"text": "/imagine x"}, "did not respond"),
        ("press", {"ts": "1.0", "action_id": "go"}, "gone"),
        ("submit", {"view": "V1", "values": {}}, "closed"),
        ("dismiss", {"view": None}, "closed"),
        ("delete", {"ts": "1.0"}, "gone"),
    ],
)
async def test_what_cannot_be_done_is_a_sentence(
    page: Page, what: str, body: Any, words: str
) -> None:
    status, told = await page(what, **body)
    assert status == 422
    assert words in told["refusal"]


async def test_each_person_is_told_what_they_see(
    slack: LoopbackSlack, http: aiohttp.ClientSession
) -> None:
    said = await slack.say("look", user=BEN, channel=IMAGINE, files=[("a.png", PNG)])
    state = await state_of(http, **{"as": BEN, "channel": MOD_LOG})
    assert state["channel"]["name"] == "imagine"  # where they are instead
    assert MOD_LOG not in [one["id"] for one in state["channels"]]
    (message,) = state["messages"]
    assert message["ts"] == said["ts"]
    (shown,) = message["pictures"].values()
    async with http.get(shown["url"]) as response:
        assert response.content_type == "image/png"
        assert await response.read() == PNG


async def test_files_of_a_form_come_with_it(
    slack: LoopbackSlack, http: aiohttp.ClientSession
) -> None:
    form = aiohttp.FormData()
    form.add_field("payload_json", json.dumps({"as": ADA, "channel": GALLERY, "text": "two"}))
    for place in range(2):
        form.add_field(f"files[{place}]", PNG, filename=f"{place}.png")
    headers = {"Origin": slack.base_url}
    async with http.post("/page/api/say", data=form, headers=headers) as response:
        assert response.status == 200
    (message,) = slack.history(GALLERY)
    assert [one["name"] for one in message["files"]] == ["0.png", "1.png"]


async def test_a_form_that_is_none_is_refused(
    slack: LoopbackSlack, http: aiohttp.ClientSession
) -> None:
    headers = {"Origin": slack.base_url, "Content-Type": "multipart/form-data; boundary=x"}
    for data in (b"", b"--x--", b'--x\r\nContent-Disposition: form-data; name="payload_json"'):
        async with http.post("/page/api/say", data=data, headers=headers) as response:
            assert response.status == 400


def test_names_become_links() -> None:
    world = default_world()
    said = "@Ada Adams, @imagine_x, ada@ben and @Imagine: #gallery-2 #GALLERY <@U1> http://a.b/@ben"
    assert composed(said, world) == (
        f"<@{ADA}>, @imagine_x, ada@ben and <@{BOT}>: #gallery-2 <#{GALLERY}|gallery> "
        "&lt;@U1&gt; <http://a.b/@ben>"
    )


@given(st.text())
def test_no_sign_of_anybodys_is_live(text: str) -> None:
    assert not {"<", ">"} & set(escaped(text))
