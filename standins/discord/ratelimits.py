"""Discord's rate limits: buckets by route, the global one, and the headers that tell of them."""

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from standins.base.timers import Clock
from standins.base.wire import Json

GLOBAL_LIMIT, GLOBAL_WINDOW_S = 50, 1.0


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` requests in `window_s` for each value of the route's first group."""

    name: str
    method: str
    route: re.Pattern[str]
    count: int
    window_s: float
    bucket: str = field(default_factory=lambda: secrets.token_hex(16))


_CHANNEL = r"/channels/(\d+)/messages"
_WEBHOOK = r"/webhooks/(\d+/[^/]+)"
# Discord says of each how many may be sent only in its answers; these are about what it says.
LIMITS: Final = (
    Limit("message create", "POST", re.compile(_CHANNEL), 5, 5.0),
    Limit("message edit", "PATCH", re.compile(rf"{_CHANNEL}/\d+"), 5, 5.0),
    Limit("message delete", "DELETE", re.compile(rf"{_CHANNEL}/\d+"), 5, 1.0),
    Limit("direct messages open", "POST", re.compile(r"/users/(@me)/channels"), 10, 10.0),
    Limit("webhook edit", "PATCH", re.compile(rf"{_WEBHOOK}/messages/[^/]+"), 5, 2.0),
    Limit("webhook create", "POST", re.compile(_WEBHOOK), 5, 2.0),
)
# Discord exempts interactions from the global limit.
_NOT_GLOBAL: Final = re.compile(r"/(interactions|webhooks)/.*")


@dataclass(slots=True)
class _Window:
    ends_s: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limits say of one request.

    headers        X-RateLimit-*, empty where no bucket counts the route
    retry_after_s  None: it may pass
    """

    headers: dict[str, str]
    retry_after_s: float | None = None
    is_global: bool = False


class RateLimits:
    """Counts requests in fixed windows, as Discord does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}

    def check(self, method: str, path: str) -> Verdict:
        """Count one request to `path` (below /api/v10)."""
        if not _NOT_GLOBAL.fullmatch(path):
            left, reset_after_s = self._count(("global", ""), GLOBAL_LIMIT, GLOBAL_WINDOW_S)
            if left < 0:
                return Verdict({"X-RateLimit-Global": "true"}, reset_after_s, is_global=True)
        for limit in LIMITS:
            match = limit.route.fullmatch(path)
            if match is None or limit.method != method:
                continue
            key = (limit.bucket, match[1])
            left, reset_after_s = self._count(key, limit.count, limit.window_s)
            headers = {
                "X-RateLimit-Limit": str(limit.count),
                "X-RateLimit-Remaining": str(max(0, left)),
                "X-RateLimit-Reset": f"{time.time() + reset_after_s:.3f}",
                "X-RateLimit-Reset-After": f"{reset_after_s:.3f}",
                "X-RateLimit-Bucket": limit.bucket,
            }
            return Verdict(headers, reset_after_s if left < 0 else None)
        return Verdict({})

    def _count(self, key: tuple[str, str], count: int, window_s: float) -> tuple[int, float]:
        """How many are left (below 0: too many) and how long the window still lasts."""
        now = self._clock()
        window = self._windows.get(key)
        if window is None or now >= window.ends_s:
            self._windows = {k: w for k, w in self._windows.items() if now < w.ends_s}
            window = self._windows[key] = _Window(now + window_s)
        window.used += 1
        return count - window.used, window.ends_s - now


def too_many(retry_after_s: float, *, is_global: bool) -> tuple[Json, dict[str, str]]:
    """Body and headers of a 429.

    Without the Via header clients take it for a ban by the proxy in front of Discord.
    """
    body = {
        "message": "You are being rate limited.",
        "retry_after": round(retry_after_s, 3),
        "global": is_global,
        "code": 0,
    }
    headers = {
        "Retry-After": str(max(1, round(retry_after_s))),
        "X-RateLimit-Scope": "global" if is_global else "user",
        "Via": "1.1 google",
    }
    return body, headers
