"""What is on record for those who keep order: rules, who is barred, cases, notices, the audit.

Every method is one transaction, as in `Ledger`; what a deed changes and its entry in the audit are
written together or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.core.audit import Deed, Entry
from bot.core.case import AtDesk, Block, Case, CaseState, Notice, Report
from bot.core.job import Person, Record
from bot.core.kept import Kept, Stored
from bot.core.rules import House, Place, Rules
from bot.core.verdict import Term


@dataclass(frozen=True, slots=True)
class Settings:
    """What a community has said besides rules and terms; fields as in `House`."""

    desk: str | None = None
    paused: str | None = None
    keep_days: int | None = None


class Registry(Protocol):
    """Every method raises LedgerError when the storage cannot do it."""

    async def house(self, home: str, community: str) -> House:
        """All that a community has said."""

    async def set_rules(
        self, place: Place, rules: Rules, deed: Deed, *, before: House | None = None
    ) -> None:
        """Say something else of a place in the deed's community.

        before  all that it has said, as far as who decides this knows; None: whatever it is

        Raises IllegalMoveError where it has said something else by now.
        """

    async def set_settings(
        self, settings: Settings, deed: Deed, *, before: House | None = None
    ) -> None:
        """Say something else of the deed's community; as `set_rules`."""

    async def change_terms(
        self, add: Sequence[Term], drop: Sequence[str], deed: Deed, *, before: House | None = None
    ) -> None:
        """Add to the list of the deed's community, and drop from it by the terms' texts.

        What is there already takes the place of what was. Raises as `set_rules`.
        """

    async def block(self, person: Person, block: Block, deed: Deed) -> bool:
        """Bar somebody from asking in the deed's community; whether that changes anything."""

    async def unblock(self, person: Person, deed: Deed) -> bool:
        """Let somebody ask there again; whether that changes anything."""

    async def block_of(self, person: Person, community: str, now_s: float) -> Block | None:
        """Whether somebody is barred there."""

    async def open_case(self, case: Case, deed: Deed | None = None) -> None:
        """Put something before the moderators; done again it changes nothing."""

    async def report(self, case: Case, report: Report, deed: Deed, now_s: float) -> Case | None:
        """Add somebody's report to the case of a job, or open the one that is given.

        None: they have reported it before. Raises JobRefusedError for one who reports too much.
        """

    async def case(self, case_id: str) -> Case:
        """One case; raises UnknownJobError."""

    async def decide(self, case_id: str, state: CaseState, deed: Deed) -> Case:
        """Note what was decided where nothing becomes of its job; raises UnknownJobError."""

    async def warn(self, case_id: str, deed: Deed, sentence: str) -> Case:
        """Note that the one it is about is warned, and what they are to be told."""

    async def note(self, deed: Deed) -> None:
        """Write down what was done and changes nothing else."""

    async def at_desks(self, home: str, *, limit: int) -> list[AtDesk]:
        """The cases that no desk shows as they are now, the oldest first."""

    async def shown(self, case: Case, message: str | None) -> None:
        """Note that a desk shows a case as it is in this version, or that none can."""

    async def to_amend(self, home: str, *, limit: int) -> list[Record]:
        """The jobs whose cards do not show what was decided about them, the oldest first."""

    async def amended(self, record: Record) -> None:
        """Note that a job's card shows it as it is in this record, or that none can."""

    async def notices(self, home: str, *, limit: int) -> list[Notice]:
        """What is to be told and was not, the oldest first."""

    async def told(self, notice: Notice) -> None:
        """It was told, or cannot be."""

    async def family(self, job_id: str) -> list[Record]:
        """The jobs of its community that show the same pictures, this one first: what is published
        of it, or its draft, and pictures drawn larger, again and again. Raises UnknownJobError.
        """

    async def started_from(self, job_ids: Sequence[str]) -> list[Record]:
        """The jobs that start from one of these jobs' pictures, in whichever community."""

    async def job_of(self, home: str, message: str) -> Record | None:
        """The job whose card a message is."""

    async def jobs_in(
        self,
        home: str,
        community: str,
        *,
        channels: Sequence[str] | None = None,
        person: str | None = None,
        since_s: float = 0.0,
    ) -> list[Record]:
        """Jobs asked for there since then whose pictures are there, or may come.

        channels  with the threads whose ids are one of these, a slash and more
        """

    async def kept(self, person: Person) -> Kept:
        """How much is kept of somebody, wherever in their home."""

    async def stored(self, person: Person) -> Stored:
        """All that is kept of them, and no name or id of anybody else."""

    async def to_erase(self, person: Person) -> list[Record]:
        """Their jobs that are not emptied yet, and anybody's that show the same pictures."""

    async def erase(self, person: Person, job_ids: Sequence[str], sentence: str) -> int:
        """Empty those of these jobs that are over, and all else that is kept of them.

        sentence  what the jobs' cards say from then on

        Their pictures are to be deleted before. Returns how many jobs were emptied. Ids, times,
        blocks and the audit stay; done again it changes nothing.
        """

    async def audit(
        self, home: str | None, community: str | None, *, limit: int, before: int | None = None
    ) -> list[Entry]:
        """What was done in a community, the latest first; without a home: everywhere."""

    async def chain(self, after: int | None, *, limit: int) -> list[Entry]:
        """All that was done, in order, behind an entry of that number; None: all there is."""
