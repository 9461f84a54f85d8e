"""The clerk: brings what was decided to where people see it, and does so again until it is there.

What is to be brought stands in the registry, so a process may end at any instruction: cases to the
moderators' desk, what was decided about pictures to their cards, warnings to whom they are for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from bot.core.case import AtDesk, Notice
from bot.core.job import Record, State
from bot.core.ports.gallery import Gallery, Picture
from bot.core.ports.home import Home
from bot.core.ports.registry import Registry
from bot.errors import AwayError, GalleryError, LedgerError, UndeliveredError
from bot.shared.retry import Sleep

log = logging.getLogger(__name__)

T = TypeVar("T")

_AT_ONCE: Final = 20
_MOST_AWAY: Final = 8  # so many that cannot be brought: it is the home that is away
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0


class Clerk:
    """Works on its own, one thing after the other in each home; no home waits for another.

    homes  by name
    """

    def __init__(
        self,
        registry: Registry,
        gallery: Gallery,
        homes: Mapping[str, Home],
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._gallery = gallery
        self._homes = homes
        self._sleep = sleep
        self._news = {name: asyncio.Event() for name in homes}

    def wake(self) -> None:
        """There may be something to bring."""
        for news in self._news.values():
            news.set()

    async def run(self) -> None:
        """Bring all there is, now and whenever there is more; until it is cancelled."""
        async with asyncio.TaskGroup() as each:
            for home in self._homes.values():
                each.create_task(self._serve(home), name=f"clerk in {home.name}")

    async def _serve(self, home: Home) -> None:
        wait_s, news = _FIRST_WAIT_S, self._news[home.name]
        while True:
            news.clear()
            if await self._bring_all(home):
                wait_s = _FIRST_WAIT_S
                await news.wait()
            else:
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _bring_all(self, home: Home) -> bool:
        """Whether everything is there now; what is not waits for another time.

        None of the three waits for another: a person who cannot be told holds no desk up.
        """
        brought = [
            await _brought(home, self._registry.notices, lambda one: one.number, self._tell),
            await _brought(home, self._registry.to_amend, lambda one: one.job.id, self._amend),
            await _brought(home, self._registry.at_desks, lambda one: one.case.id, self._show),
        ]
        return all(brought)

    async def _tell(self, home: Home, notice: Notice) -> None:
        await _tried(home.notify(notice))  # the desk says who was warned
        await self._registry.told(notice)

    async def _amend(self, home: Home, record: Record) -> None:
        await _tried(home.amend(record))
        await self._registry.amended(record)

    async def _show(self, home: Home, one: AtDesk) -> None:
        message = None
        if one.desk is not None or one.case.message is not None:
            message = await _tried(home.show_case(one, await self._pictures(one)))
        await self._registry.shown(one.case, message)

    async def _pictures(self, one: AtDesk) -> tuple[Picture, ...]:
        """What moderators see of its pictures, small; none where they are gone."""
        record = one.record
        if record is None or record.deleted is not None or record.state is State.CANCELLED:
            return ()
        try:
            found = await self._gallery.thumbnails(
                [(record.job.id, stored) for stored in record.images]
            )
        except GalleryError as error:
            log.warning("the moderators are shown no pictures: %s", error)
            return ()
        return tuple(picture for picture in found if picture is not None)


async def _brought(
    home: Home,
    find: Callable[..., Awaitable[Sequence[T]]],
    key: Callable[[T], object],
    bring: Callable[[Home, T], Awaitable[None]],
) -> bool:
    """Whether all of one kind is there now; what cannot be brought holds up nothing behind it.

    find   the first few of a home that are not there yet
    key    by what one is told from the others
    bring  raises AwayError where it is to be tried again
    """
    away: set[object] = set()
    try:
        while True:
            found = await find(home.name, limit=_AT_ONCE + len(away))
            left = [one for one in found if key(one) not in away]
            if not left:
                return not away
            for one in left:
                try:
                    await bring(home, one)
                except AwayError as error:
                    log.info("what was decided cannot be shown in %s yet: %s", home.name, error)
                    away.add(key(one))
                    if len(away) == _MOST_AWAY:
                        return False
    except LedgerError as error:
        log.info("what was decided cannot be shown in %s yet: %s", home.name, error)
        return False


async def _tried(bringing: Awaitable[T]) -> T | None:
    """What comes of it; None where it has no place, or cannot be made: others wait behind it.

    Raises AwayError, LedgerError: then it is tried again.
    """
    try:
        return await bringing
    except (AwayError, LedgerError):
        raise
    except UndeliveredError as error:
        log.warning("what was decided has no place: %s", error)
    except Exception:  # one that always fails must not end what brings all the others
        log.exception("what was decided cannot be shown")
    return None
