"""Discord's shards: which of them are this bot's, how they are, how fast they may begin."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bot.core.ports.bots import Bots
from bot.errors import LedgerError
from bot.shared.retry import Sleep

log = logging.getLogger(__name__)

KIND: Final = "discord"  # of what bots have parts
_ASK_AGAIN_S: Final = 5.0
# Discord takes one a key in five seconds; between its turn and its IDENTIFY a shard connects.
_APART_S: Final = 5.5
_AGAIN_S: Final = (1.0, 5.0)  # after its session was found invalid, as Discord's documents ask


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """Into how many parts what Discord tells is cut.

    count  how many shards there are in all; 0 is as many as Discord recommends
    bots   how many processes share them
    """

    count: int = 0
    bots: int = 1


def range_of(index: int, bots: int, count: int) -> range:
    """The shards of one of `bots`; the shares differ by one at most, and follow each other."""
    return range(index * count // bots, (index + 1) * count // bots)


class Share:
    """The part that is this bot's, once one is free.

    stands_by  whether the others have all there are
    """

    def __init__(
        self, settings: ShardSettings, bots: Bots, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.settings = settings
        self.stands_by = False
        self._bots = bots
        self._sleep = sleep
        self._index: int | None = None

    async def claimed(self) -> int:
        """Which part it is; waits until there is one."""
        while self._index is None:
            try:
                self._index = await self._bots.claim_range(KIND, self.settings.bots)
            except LedgerError as error:
                log.warning("it is not known which shards of Discord's are free: %s", error)
            if self._index is None:
                if not self.stands_by:
                    log.info(
                        "Other bots have all of Discord's shards: this one stands by until one of "
                        "them ends."
                    )
                self.stands_by = True
                await self._sleep(_ASK_AGAIN_S)
        self.stands_by = False
        return self._index


class ShardWatch:
    """How this bot's shards are, through all its clients.

    ids  those that it has; none before it connects
    """

    def __init__(self) -> None:
        self.ids: Sequence[int] = ()
        self._open: set[int] = set()
        self._began: Counter[int] = Counter()

    @property
    def all_open(self) -> bool:
        """Whether there are some, and what is told to each of them gets here."""
        return bool(self.ids) and self._open.issuperset(self.ids)

    def begin(self, ids: Sequence[int]) -> None:
        """These are the ones, none of them open."""
        self.ids = ids
        self._open.clear()

    def opened(self, shard_id: int) -> None:
        """One is connected."""
        self._open.add(shard_id)
        self._began[shard_id] += 1

    def closed(self, shard_id: int) -> None:
        """One is not any more."""
        self._open.discard(shard_id)

    def close(self) -> None:
        """None is."""
        self._open.clear()

    def is_open(self, shard_id: int) -> bool:
        """Whether one is connected."""
        return shard_id in self._open

    def reconnects(self, shard_id: int) -> int:
        """How often one came back."""
        return max(self._began[shard_id] - 1, 0)


class IdentifyPace:
    """Keeps shards from beginning sessions faster than Discord takes them.

    max_concurrency  how many may begin at the same time; not those with the same remainder of it

    Other processes of the bot are not seen: where two begin together, Discord finds the session of
    one invalid, and that one's turn comes again.
    """

    def __init__(
        self,
        max_concurrency: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._keys = max(max_concurrency, 1)
        self._clock = clock
        self._sleep = sleep
        self._next_s: dict[int, float] = {}

    async def turn(self, shard_id: int, *, again: bool = False) -> None:
        """Wait until a shard may begin.

        again  its session was invalid
        """
        key, now_s = shard_id % self._keys, self._clock()
        earliest_s = now_s + (random.uniform(*_AGAIN_S) if again else 0)  # noqa: S311 - no secret
        at_s = max(earliest_s, self._next_s.get(key, now_s))
        self._next_s[key] = at_s + _APART_S
        if at_s > now_s:
            await self._sleep(at_s - now_s)
