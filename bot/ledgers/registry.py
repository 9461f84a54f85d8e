"""The registry, once, over any database: the one that the ledger has."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from bot.core.audit import Deed, Entry
from bot.core.case import AtDesk, Block, Case, CaseState, Notice, Report
from bot.core.job import Person, Record
from bot.core.kept import Kept, Stored
from bot.core.ports.registry import Settings
from bot.core.rules import House, Place, Rules
from bot.core.verdict import Term
from bot.errors import UnknownJobError
from bot.ledgers import book
from bot.ledgers import privacy_book as privacy
from bot.ledgers import registry_book as registry
from bot.ledgers.database import Connection, Database

_LONG_AGO_S: Final = 0.0  # copies that an earlier form left are there for longer


class DatabaseRegistry:
    """Implements `Registry`; see there what each method does.

    clock  seconds since 1970
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def house(self, home: str, community: str) -> House:
        """See `Registry`."""
        return await self._database.read(lambda c: registry.house(c, home, community))

    async def set_rules(
        self, place: Place, rules: Rules, deed: Deed, *, before: House | None = None
    ) -> None:
        """See `Registry`."""
        await self._as_read(deed, before, lambda c, s: registry.set_rules(c, place, rules, deed, s))

    async def set_settings(
        self, settings: Settings, deed: Deed, *, before: House | None = None
    ) -> None:
        """See `Registry`."""
        await self._as_read(deed, before, lambda c, s: registry.set_settings(c, settings, deed, s))

    async def change_terms(
        self, add: Sequence[Term], drop: Sequence[str], deed: Deed, *, before: House | None = None
    ) -> None:
        """See `Registry`."""
        await self._as_read(deed, before, lambda c, s: registry.change_terms(c, add, drop, deed, s))

    async def _as_read(
        self, deed: Deed, before: House | None, change: Callable[[Connection, float], None]
    ) -> None:
        """Change what a community has said, unless that is not what it was."""
        at_s = self._clock()

        def changed(connection: Connection) -> None:
            if before is not None:
                registry.check_house(connection, deed, before)
            change(connection, at_s)

        await self._database.write(changed)

    async def block(self, person: Person, block: Block, deed: Deed) -> bool:
        """See `Registry`."""
        at_s = self._clock()
        return await self._database.write(lambda c: registry.block(c, person, block, deed, at_s))

    async def unblock(self, person: Person, deed: Deed) -> bool:
        """See `Registry`."""
        at_s = self._clock()
        return await self._database.write(lambda c: registry.unblock(c, person, deed, at_s))

    async def block_of(self, person: Person, community: str, now_s: float) -> Block | None:
        """See `Registry`."""
        return await self._database.read(lambda c: registry.block_of(c, person, community, now_s))

    async def open_case(self, case: Case, deed: Deed | None = None) -> None:
        """See `Registry`."""
        at_s = self._clock()

        def opened(connection: Connection) -> None:
            registry.open_case(connection, case, at_s)
            if deed is not None:
                registry.write(connection, deed, at_s)

        await self._database.write(opened)

    async def report(self, case: Case, report: Report, deed: Deed, now_s: float) -> Case | None:
        """See `Registry`."""
        return await self._database.write(lambda c: registry.report(c, case, report, deed, now_s))

    async def case(self, case_id: str) -> Case:
        """See `Registry`."""
        return await self._database.read(lambda c: registry.get_case(c, case_id))

    async def decide(self, case_id: str, state: CaseState, deed: Deed) -> Case:
        """See `Registry`."""
        at_s = self._clock()
        return await self._database.write(lambda c: registry.decide(c, case_id, state, deed, at_s))

    async def warn(self, case_id: str, deed: Deed, sentence: str) -> Case:
        """See `Registry`."""
        at_s = self._clock()
        return await self._database.write(lambda c: registry.warn(c, case_id, deed, sentence, at_s))

    async def note(self, deed: Deed) -> None:
        """See `Registry`."""
        at_s = self._clock()
        await self._database.write(lambda c: registry.write(c, deed, at_s))

    async def at_desks(self, home: str, *, limit: int) -> list[AtDesk]:
        """See `Registry`."""
        return await self._database.read(lambda c: _at_desks(c, home, limit))

    async def shown(self, case: Case, message: str | None) -> None:
        """See `Registry`."""
        await self._database.write(lambda c: registry.shown(c, case, message))

    async def to_amend(self, home: str, *, limit: int) -> list[Record]:
        """See `Registry`."""
        return await self._database.read(lambda c: book.to_amend(c, home, limit=limit))

    async def amended(self, record: Record) -> None:
        """See `Registry`."""
        await self._database.write(lambda c: book.amended(c, record))

    async def notices(self, home: str, *, limit: int) -> list[Notice]:
        """See `Registry`."""
        return await self._database.read(lambda c: book.notices(c, home, limit=limit))

    async def told(self, notice: Notice) -> None:
        """See `Registry`."""
        await self._database.write(lambda c: registry.told(c, notice))

    async def family(self, job_id: str) -> list[Record]:
        """See `Registry`."""
        return await self._database.read(lambda c: book.family(c, job_id))

    async def started_from(self, job_ids: Sequence[str]) -> list[Record]:
        """See `Registry`."""
        return await self._database.read(lambda c: book.started_from(c, job_ids))

    async def job_of(self, home: str, message: str) -> Record | None:
        """See `Registry`."""
        return await self._database.read(lambda c: book.job_of(c, home, message))

    async def jobs_in(
        self,
        home: str,
        community: str,
        *,
        channels: Sequence[str] | None = None,
        person: str | None = None,
        since_s: float = 0.0,
    ) -> list[Record]:
        """See `Registry`."""
        return await self._database.read(
            lambda c: book.jobs_in(
                c, home, community, channels=channels, person=person, since_s=since_s
            )
        )

    async def kept(self, person: Person) -> Kept:
        """See `Registry`."""
        return await self._database.read(lambda c: privacy.kept(c, person))

    async def stored(self, person: Person) -> Stored:
        """See `Registry`."""
        return await self._database.read(lambda c: privacy.stored(c, person))

    async def to_erase(self, person: Person) -> list[Record]:
        """See `Registry`."""
        return await self._database.read(lambda c: privacy.to_erase(c, person))

    async def erase(self, person: Person, job_ids: Sequence[str], sentence: str) -> int:
        """See `Registry`."""
        at_s = self._clock()
        emptied = await self._database.write(
            lambda c: privacy.erase(c, person, job_ids, sentence, at_s)
        )
        await self._database.scrub(_LONG_AGO_S)
        return emptied

    async def audit(
        self, home: str | None, community: str | None, *, limit: int, before: int | None = None
    ) -> list[Entry]:
        """See `Registry`."""
        return await self._database.read(
            lambda c: registry.audit(c, home, community, limit=limit, before=before)
        )

    async def chain(self, after: int | None, *, limit: int) -> list[Entry]:
        """See `Registry`."""
        return await self._database.read(lambda c: registry.chain(c, after, limit=limit))


def _at_desks(connection: Connection, home: str, limit: int) -> list[AtDesk]:
    """Cases with the desk of their community, and the record of their job."""
    found = []
    for case in registry.not_shown(connection, home, limit=limit):
        community = case.venue.community
        desk = None if community is None else registry.house(connection, home, community).desk
        found.append(AtDesk(case, desk, _record(connection, case)))
    return found


def _record(connection: Connection, case: Case) -> Record | None:
    if case.job_id is None:
        return None
    try:
        return book.get(connection, case.job_id)
    except UnknownJobError:  # its days are over
        return None
