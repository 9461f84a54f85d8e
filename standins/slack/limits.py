"""Slack's rate limits: how often each method may be called.

The tiers and the special cases are those of docs.slack.dev/apis/web-api/rate-limits; of which tier
a method is stands on its page there, and in `MethodsRateLimits` of slackapi/java-slack-sdk.
Slack counts by method and workspace, chat.postMessage by channel too, and lets short bursts pass.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from standins.base.timers import Clock
from standins.slack.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` calls in any `window_s`; `by_channel`: for each channel."""

    count: int
    window_s: float = 60.0
    by_channel: bool = False


TIER_2, TIER_3, TIER_4 = Limit(20), Limit(50), Limit(100)
POSTING: Final = Limit(5, 5.0, by_channel=True)  # one a second, and short bursts
# What is special has no number of its own in the documents: "hundreds a minute".
MANY: Final = Limit(600)
# Since May 2025, of an app that is sold and that Slack has not approved.
STRANGERS_HISTORY: Final = Limit(1)
STRANGERS_PAGE: Final = 15  # messages at a time

LIMITS: Final = {
    "apps.connections.open": TIER_2,  # tier 1 in the table; with bursts, as clients reconnect
    "auth.test": MANY,
    "chat.delete": TIER_3,
    "chat.getPermalink": MANY,
    "chat.postEphemeral": TIER_4,
    "chat.postMessage": POSTING,
    "chat.update": TIER_3,
    "conversations.history": TIER_3,
    "conversations.info": TIER_3,
    "conversations.join": TIER_3,
    "conversations.members": TIER_4,
    "conversations.open": TIER_3,
    "conversations.replies": TIER_3,
    "files.completeUploadExternal": TIER_4,
    "files.delete": TIER_3,
    "files.getUploadURLExternal": TIER_4,
    "files.info": TIER_4,
    "oauth.v2.access": MANY,
    "reactions.add": TIER_3,
    "team.info": TIER_3,
    "usergroups.list": TIER_2,
    "usergroups.users.list": TIER_2,
    "users.info": TIER_4,
    "views.open": TIER_4,
    "views.publish": TIER_4,
    "views.push": TIER_4,
    "views.update": TIER_4,
}
_HISTORY: Final = frozenset({"conversations.history", "conversations.replies"})


class RateLimits:
    """Counts calls in sliding windows; a call that is refused does not count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def check(self, method: str, channel: str, *, is_internal: bool) -> None:
        """Count one call; raises RateLimited."""
        limit = LIMITS[method]
        if method in _HISTORY and not is_internal:
            limit = STRANGERS_HISTORY
        key = (method, channel if limit.by_channel else "")
        calls, now = self._calls.setdefault(key, deque()), self._clock()
        while calls and calls[0] <= now - limit.window_s:
            calls.popleft()
        if len(calls) >= limit.count:
            raise RateLimited(max(1, math.ceil(calls[0] + limit.window_s - now)))
        calls.append(now)
