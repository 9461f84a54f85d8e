"""Calls to Slack: what they mean when they fail, and where what they say stands."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import AwayError, CardGoneError, UndeliveredError
from bot.homes.slack.calls import Calls, translated
from bot.homes.slack.files import Files
from bot.homes.slack.uploads import Instead, Uploads
from standins.base.timers import ManualClock

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers every call in one way, and keeps their addresses."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.answer: Answer = self.done
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.addresses.append(request.path_qs)
        return await self.answer(request)

    async def done(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True, "form": dict(await request.post())})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    yield found
    await runner.cleanup()


@pytest.fixture
async def calls(server: Server) -> AsyncIterator[Calls]:
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(
            token="xoxb-1", base_url=server.url, session=session, retry_handlers=[]
        )
        yield Calls(client, 8)


async def test_what_is_said_is_in_no_address(server: Server, calls: Calls) -> None:
    told = await calls.make(
        "files.getUploadURLExternal", filename="a.png", length=3, alt_txt="a fox", channels=None
    )
    assert server.addresses == ["/api/files.getUploadURLExternal"]
    assert told["form"] == {"filename": "a.png", "length": "3", "alt_txt": "a fox"}


def says(body: object, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says({"ok": False, "error": "message_not_found"}), CardGoneError),
        (says({"ok": False, "error": "is_archived"}), UndeliveredError),
        (says({"ok": False, "error": "a_word_of_next_year"}), UndeliveredError),
        (says({"ok": False, "error": "internal_error"}), AwayError),
        (says({"ok": False, "error": "ratelimited"}, 429, **{"Retry-After": "7"}), AwayError),
        (says([]), AwayError),
        (says({"ok": False}, 503), AwayError),
    ],
)
async def test_only_slacks_own_word_is_final(
    server: Server, calls: Calls, answer: Answer, kind: type[Exception]
) -> None:
    server.answer = answer
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of whatever library
        await calls.make("chat.update", "C1")
    found = translated(caught.value)
    assert type(found) is kind
    if isinstance(found, AwayError) and "ratelimited" in str(found):
        assert found.retry_after_s == 7


async def test_a_method_that_was_limited_is_left_alone_in_that_channel(
    server: Server, calls: Calls
) -> None:
    clock, waited = ManualClock(), list[float]()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.advance(seconds)

    calls = Calls(calls.client, 8, clock=clock, sleep=sleep)
    server.answer = says({"ok": False, "error": "ratelimited"}, 429, **{"Retry-After": "7"})
    with pytest.raises(Exception):  # noqa: B017, PT011 - as above
        await calls.make("chat.update", "C1")
    server.answer = server.done
    await calls.make("chat.update", "C2")
    await calls.make("chat.postMessage", "C1")
    assert waited == []
    await calls.make("chat.update", "C1")
    assert waited == [7]


@pytest.mark.parametrize(
    "url", ["http://localhost/x", "https://files.slack.com.example.org/x", "file:///etc/passwd", ""]
)
async def test_the_token_goes_to_slack_alone(calls: Calls, url: str) -> None:
    files = Files(None, calls)  # type: ignore[arg-type]  # nothing is asked of the studio
    with pytest.raises(ValueError, match="not kept by Slack"):
        files._checked(url)


@pytest.mark.parametrize(
    ("error", "message", "waits"),
    [
        ("invalid_blocks", "unsupported type: carousel [json-pointer:/blocks/0/type]", 0),
        ("invalid_blocks", "", 0),
        ("invalid_blocks_format", "", 0),
        # Of files that Slack is busy with it says the same, so they have a while.
        ("invalid_blocks", "invalid slack file [json-pointer:/blocks/0]", 10),
    ],
)
async def test_blocks_that_slack_does_not_know_are_given_up_for_others(
    server: Server, calls: Calls, error: str, message: str, waits: int
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        if "carousel" not in str(form["blocks"]):
            return web.json_response({"ok": True})
        told = {"messages": [f"[ERROR] {message}"]}
        return web.json_response({"ok": False, "error": error, "response_metadata": told})

    server.answer = answer
    uploads, needed, waited = Uploads(calls), list[bool](), 0
    uploads.know({"a.png": "F0000000A1"})
    instead = Instead([{"type": "image"}], lambda: needed.append(True))
    while not needed:
        try:
            await uploads.show("chat.update", "C1", {"blocks": [{"type": "carousel"}]}, instead)
        except AwayError:
            waited += 1
    assert waited == waits
