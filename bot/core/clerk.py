"""The clerk: brings what was decided to where people see it, and does so again until it is there.

What is to be brought stands in the registry, so a process may end at any instruction: cases to the
moderators' desk, what was decided about pictures to their cards, warnings to whom they are for.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from bot.core.case import AtDesk
from bot.core.job import State
from bot.core.ports.gallery import Gallery, Picture
from bot.core.ports.home import Home
from bot.core.ports.registry import Registry
from bot.errors import AwayError, GalleryError, LedgerError, UndeliveredError
from bot.shared.retry import Sleep

log = logging.getLogger(__name__)

_AT_ONCE: Final = 20
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0


class Clerk:
    """Works on its own, one thing after the other in each home.

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
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There may be something to bring."""
        self._news.set()

    async def run(self) -> None:
        """Bring all there is, now and whenever there is more; until it is cancelled."""
        wait_s = _FIRST_WAIT_S
        while True:
            self._news.clear()
            results = [await self._bring_all(home) for home in self._homes.values()]
            if all(results):
                wait_s = _FIRST_WAIT_S
                await self._news.wait()
            else:
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _bring_all(self, home: Home) -> bool:
        """Whether everything is there now; what is not waits for another time."""
        try:
            while await self._bring_some(home):
                pass
        except (AwayError, LedgerError) as error:
            log.info("what was decided cannot be shown in %s yet: %s", home.name, error)
            return False
        except Exception:  # one that always fails must not end what brings all the others
            log.exception("what was decided cannot be shown in %s", home.name)
            return False
        return True

    async def _bring_some(self, home: Home) -> bool:
        """Whether there may be more."""
        notices = await self._registry.notices(home.name, limit=_AT_ONCE)
        for notice in notices:
            with suppress(UndeliveredError):  # they take no messages; the desk says who was warned
                await home.notify(notice)
            await self._registry.told(notice)
        records = await self._registry.to_amend(home.name, limit=_AT_ONCE)
        for record in records:
            # Where it cannot be reached it is gone, or shows nothing that the bot could change.
            with suppress(UndeliveredError):
                await home.amend(record)
            await self._registry.amended(record)
        cases = await self._registry.at_desks(home.name, limit=_AT_ONCE)
        for one in cases:
            await self._registry.shown(one.case, await self._shown(home, one))
        return bool(notices or records or cases)

    async def _shown(self, home: Home, one: AtDesk) -> str | None:
        """Which message shows a case now; None: there is no place for it."""
        if one.desk is None and one.case.message is None:
            return None
        try:
            return await home.show_case(one, await self._pictures(one))
        except UndeliveredError as error:
            log.warning("a case cannot be shown to the moderators: %s", error)
            return None

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
