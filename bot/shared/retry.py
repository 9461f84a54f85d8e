"""Trying again: how long to wait, and for how long it makes sense."""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

# Whatever the other side asks for: a garbled answer may ask for a year.
_LONGEST_WAIT_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter, so that many who fail together do not return together.

    first_s   the first delay lies between half of this and this
    limit_s   no delay is longer
    attempts  how many times to try in all; None is for ever
    """

    first_s: float = 1.0
    limit_s: float = 60.0
    attempts: int | None = None

    def delays_s(self) -> Iterator[float]:
        """The delays between the attempts, one fewer than there are attempts."""
        longest_s = self.first_s
        tried = 1
        while self.attempts is None or tried < self.attempts:
            yield longest_s * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
            longest_s = min(2 * longest_s, self.limit_s)
            tried += 1


def bounded_s(asked_s: float) -> float:
    """For how long to leave the other side alone that asked for `asked_s` seconds."""
    return min(max(asked_s, 0.0), _LONGEST_WAIT_S) if math.isfinite(asked_s) else 0.0


async def persist(
    action: Callable[[], Awaitable[T]],
    what: str,
    *,
    is_passing: Callable[[Exception], bool],
    backoff: Backoff,
    retry_after_s: Callable[[Exception], float] = lambda _: 0.0,
    sleep: Sleep = asyncio.sleep,
) -> T:
    """Do it until it succeeds, fails for good, or has failed `backoff.attempts` times.

    what           what is tried, for the log
    is_passing     whether the same may succeed later
    retry_after_s  how long the other side asked to be left alone; no delay is shorter, as far as
                   `bounded_s` goes

    Returns what `action` returns; raises its last error.
    """
    for tried, delay_s in enumerate(backoff.delays_s(), start=1):
        try:
            return await action()
        except Exception as error:
            if not is_passing(error):
                raise
            wait_s = max(delay_s, bounded_s(retry_after_s(error)))
            # Once is no news: Slack takes a card with new files at the second try, if not sooner.
            level = logging.INFO if tried == 1 else logging.WARNING
            log.log(level, "%s failed (%r), next try in %.1f s", what, error, wait_s)
        await sleep(wait_s)
    return await action()
