"""How Discord writes things down: ids and times."""

import time
from datetime import UTC, datetime

MAX_DIGITS = 20  # of a 64 bit number
DISCORD_EPOCH_MS = 1_420_070_400_000  # the first second of 2015


class Snowflakes:
    """Makes ids that hold the time in Discord's way and never repeat."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> int:
        """The next id; larger than every one before."""
        now = (time.time_ns() // 1_000_000 - DISCORD_EPOCH_MS) << 22
        self._last = max(now, self._last + 1)
        return self._last


def timestamp() -> str:
    """Now, as Discord writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def snowflake(value: object) -> int | None:
    """The id in `value` (text or number), None if it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
