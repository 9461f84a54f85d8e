"""How often each method may be called."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from standins.slack import LoopbackSlack, ManualClock
from standins.slack.errors import RateLimited
from standins.slack.limits import LIMITS, RateLimits
from tests.standins.slack.app import BOT_TOKEN, GALLERY, IMAGINE


@pytest.fixture
async def limited(
    clock: ManualClock, session: aiohttp.ClientSession
) -> AsyncIterator[AsyncWebClient]:
    """A client of a loopback with limits."""
    slack = LoopbackSlack(clock=clock)
    await slack.start()
    yield AsyncWebClient(BOT_TOKEN, base_url=slack.api_url, session=session, retry_handlers=[])
    await slack.close()


async def test_posting_is_limited_by_channel(limited: AsyncWebClient, clock: ManualClock) -> None:
    for _ in range(5):
        await limited.chat_postMessage(channel=IMAGINE, text="x")
    with pytest.raises(SlackApiError) as caught:
        await limited.chat_postMessage(channel=IMAGINE, text="x")
    response: Any = caught.value.response
    assert (response.status_code, response["error"]) == (429, "ratelimited")
    assert response.headers["Retry-After"] == "5"
    await limited.chat_postMessage(channel=GALLERY, text="x")
    clock.advance(5.0)
    await limited.chat_postMessage(channel=IMAGINE, text="x")


@pytest.mark.parametrize(
    ("method", "count", "window_s"),
    [
        ("chat.update", 50, 60),
        ("chat.postEphemeral", 100, 60),
        ("files.getUploadURLExternal", 100, 60),
        ("files.completeUploadExternal", 100, 60),
        ("views.open", 100, 60),
        ("usergroups.list", 20, 60),
        ("conversations.history", 1, 60),
        ("conversations.replies", 1, 60),
    ],
)
def test_every_tier(clock: ManualClock, method: str, count: int, window_s: int) -> None:
    limits = RateLimits(clock)
    for _ in range(count):
        limits.check(method, IMAGINE, is_internal=False)
    clock.advance(1.5)
    for _ in range(2):  # a call that is refused does not put off the next
        with pytest.raises(RateLimited) as caught:
            limits.check(method, GALLERY, is_internal=False)
        assert caught.value.retry_after_s == window_s - 1
    clock.advance(window_s - 1)
    limits.check(method, IMAGINE, is_internal=False)


def test_an_app_of_its_own_workspace_may_read(clock: ManualClock) -> None:
    limits = RateLimits(clock)
    for _ in range(50):
        limits.check("conversations.history", IMAGINE, is_internal=True)
    with pytest.raises(RateLimited):
        limits.check("conversations.history", IMAGINE, is_internal=True)


def test_every_method_has_a_limit() -> None:
    assert set(LIMITS) == set(LoopbackSlack().methods)
