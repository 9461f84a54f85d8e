"""Several bots at one ledger: what each hears of the others, and what one of them does for all."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from bot.core.job import Origin, Record
from bot.core.ports.ledger import Ledger, Look
from bot.errors import LedgerError

log = logging.getLogger(__name__)


class TakesUp(Protocol):
    """Who does what there is to do about a job; the worker."""

    def restore(
        self, records: Iterable[Record], unanswered: Iterable[tuple[Origin, str]] = ()
    ) -> None:
        """Take these up as they stand in the ledger."""


class Forgets(Protocol):
    """Who knows by heart what moderators said; the gate."""

    def all_changed(self) -> None:
        """It may be otherwise by now."""


class Brings(Protocol):
    """Who brings to cards and desks what was decided; the clerk."""

    def wake(self) -> None:
        """There may be something to bring."""


class Crew:
    """Implements `Bots`: this bot among those that work with a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._is_chief = False
        self._changed = asyncio.Event()

    @property
    def is_chief(self) -> bool:
        """See `Bots.is_chief`."""
        return self._is_chief

    async def claim_range(self, kind: str, total: int) -> int | None:
        """See `Bots.claim_range`."""
        return await self._ledger.claim_range(kind, total)

    def becomes(self, *, chief: bool) -> None:
        """It is from now on, or is no more."""
        if chief != self._is_chief:
            self._is_chief = chief
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def does(self, duty: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have something done whenever it is, once from each time on; until it is cancelled.

        duty  begun anew each time, and ended when another bot is chief; what it raises is raised
        """
        while True:
            changed = self._changed
            if self._is_chief:
                await _until(changed, duty())
            await changed.wait()


async def _until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do this until it is done, or the event comes."""
    doing = asyncio.create_task(work)
    coming = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([doing, coming], return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        doing.cancel()
        coming.cancel()
        await asyncio.gather(doing, coming, return_exceptions=True)


async def keep_watch(
    ledger: Ledger,
    worker: TakesUp,
    gate: Forgets,
    clerk: Brings,
    chief: Crew,
    first: Look,
    *,
    outlived: bool,
    shares_pictures: bool,
) -> None:
    """Take up what other bots leave or change, whenever there is news; until it is cancelled.

    first            what was found before anybody could ask, and is taken up already
    outlived         as in `Ledger.look`
    shares_pictures  whether other bots can have this one's pictures
    """
    last = first
    is_warned = shares_pictures
    while True:
        await ledger.news()
        try:
            found = await ledger.look(outlived=outlived)
        except LedgerError as error:
            log.warning("other bots cannot be looked for: %s", error)
            chief.becomes(chief=False)  # another may be, for all that can be known
            continue
        if found.bots > 1 and not is_warned:
            is_warned = True
            log.warning(
                "%d bots work with this ledger, and this one keeps pictures in its folder: what "
                "another takes over of it cannot be shown. Set [storage] pictures to one place.",
                found.bots,
            )
        if found.deeds != last.deeds:
            gate.all_changed()
        worker.restore(found.records, found.unanswered)
        chief.becomes(chief=found.is_chief)
        clerk.wake()
        last = found
