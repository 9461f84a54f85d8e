"""The ledger: what was asked for and what became of it, kept so that no crash can lose it.

Every method is one transaction: when it returns, what it says is on the disk; when it raises,
nothing of it happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bot.core.audit import Deed
from bot.core.case import Case
from bot.core.defaults import Defaults, Scope
from bot.core.job import Job, Origin, Person, Record, Showing, State, StoredImage, Venue
from bot.core.policy import Limits
from bot.core.wish import Wish
from bot.shared.passage import Passage

OrderKind = Literal["cancel", "requeue"]


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants done to a job, written down for the bot that owns the ledger."""

    id: int
    job_id: str
    kind: OrderKind


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order, in a sentence; `done` is False where it was refused."""

    sentence: str
    done: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What a bot finds that is new to it.

    records     jobs in its hands that others had before, or changed, the oldest first
    unanswered  where wishes were heard that no job came of, by a bot that is gone; and their locale
    is_chief    whether it does what one bot has to do, and no more than one
    deeds       the number of the last entry in the audit
    bots        how many work here
    """

    records: tuple[Record, ...]
    unanswered: tuple[tuple[Origin, str], ...]
    is_chief: bool
    deeds: int
    bots: int = 1


class Ledger(Protocol):
    """Every method raises LedgerError when the storage cannot do it."""

    @property
    def bot(self) -> str:
        """Which bot this is, in `Record.bot`: another at each start."""

    async def hear(self, origin: Origin, locale: str) -> None:
        """Note that a wish was heard; `accept` of its event, or `answered`, takes the note back.

        locale  of `Person`

        Nothing is noted of an event that was taken in before.
        """

    async def answered(self, origin: Origin) -> None:
        """Note that whoever wished it has an answer, though no job came of it."""

    async def check_limits(
        self, person: Person, venue: Venue, limits: Limits, now_s: float
    ) -> None:
        """Whether one more job of somebody's would be taken in there; raises JobRefusedError.

        now_s  when it would be asked for, in seconds since 1970
        """

    async def accept(self, job: Job, limits: Limits, case: Case | None = None) -> None:
        """Take a job in, queued, if the limits allow it.

        case  what moderators are to see of it

        What the same person makes of the same thing twice within moments is taken in once. Raises
        JobRefusedError, or KnownJobError if its event was taken in before.
        """

    async def publish(
        self, job: Job, images: Sequence[StoredImage], case: Case | None = None
    ) -> None:
        """Take a job in that shows pictures of its parent, drawn already, whatever the limits.

        case  with one a moderator looks at it first

        Once each, whatever becomes of it; blurred where a moderator blurred what shows the same.
        Raises JobRefusedError if they are shown so already, or a moderator there deleted them;
        UnknownJobError if they were deleted meanwhile, or KnownJobError as `accept`.
        """

    async def insert(self, job: Job) -> None:
        """Take a job in that an operator asks for, whatever the limits.

        Raises IllegalMoveError if it repeats one that was repeated before.
        """

    async def move(
        self,
        job_id: str,
        to: State,
        *,
        reason: str = "",
        images: Sequence[StoredImage] = (),
        wish: Wish | None = None,
        showing: Showing | None = None,
        blameless: bool = False,
        before: frozenset[State] | None = None,
        case: Case | None = None,
        deed: Deed | None = None,
        attempt: int | None = None,
        silently: bool = False,
    ) -> Record:
        """Bring a job into another state.

        reason     of an ending without pictures, as a sentence
        images     of a drawn one
        wish       takes the place of the job's, its size known now
        showing    takes the place of the job's
        blameless  of a running one that goes back to the queue: the attempt does not count
        before     the states from which it may go; None: all from which it ever may
        case       what moderators are to see of it
        deed       somebody's who did it, for the audit
        attempt    at which it must still be; None: at any
        silently   to its end, of which nobody is to be told

        Raises UnknownJobError, IllegalMoveError.
        """

    async def place(self, job_id: str, message: str) -> None:
        """Note which message is the job's card."""

    async def tell(self, job_id: str) -> None:
        """Note that the person can read how the job ended; its token is forgotten."""

    async def look(self, *, outlived: bool = False) -> Look:
        """Take over what is in the hands of no bot any more, and see what others did to one's own.

        outlived  what is running may be drawn still, by engines that go on: it stays as it is

        Running jobs of bots that are gone go back to the queue; what was begun often enough fails,
        and is `set_aside`. Where several bots work, each takes its share. What the last look
        returned is in hand by the next.
        """

    async def news(self) -> None:
        """Wait until there may be something to look at; for ever where no other bot can be."""

    async def claim_range(self, kind: str, total: int) -> int | None:
        """Take one of so many ranges, counted from 0, of what the bots share among them.

        It is this bot's for as long as it works, and asked again it is the same. None: bots have
        all of them, or some that are out of another total. A bot alone takes the first.
        """

    async def probe(self) -> None:
        """Write something that changes nothing; raises LedgerError while nothing can be written."""

    async def get(self, job_id: str) -> Record:
        """One job; raises UnknownJobError."""

    async def find(
        self,
        *,
        states: Sequence[State] = (),
        person: Person | None = None,
        community: str | None = None,
        limit: int = 20,
    ) -> list[Record]:
        """The latest jobs, the newest first; without `states` of every state."""

    async def delete_pictures(
        self, job_id: str, sentence: str, *, deed: Deed | None = None, amend: bool = False
    ) -> Record:
        """Note that the pictures of a job that is over are gone for good, and by whom.

        deed   for the audit
        amend  whether its card is still to be told

        What was deleted before stays as it was. Raises UnknownJobError, IllegalMoveError.
        """

    async def show_as(
        self,
        job_id: str,
        showing: Showing,
        *,
        before: Showing,
        deed: Deed | None = None,
        amend: bool = False,
    ) -> Record:
        """Show a job's pictures otherwise from now on; as above.

        before  how they are shown now, as far as who decides this knows
        deed    a moderator's, which reaches what shows the same in the job's community: it is
                blurred as well, or again as it was before that

        Raises UnknownJobError, and IllegalMoveError where they are shown otherwise by now.
        """

    async def like(self, person: Person, job_id: str, index: int, *, liked: bool) -> None:
        """Note whether a person likes a picture; raises UnknownJobError if it is not there."""

    async def likes(self, person: Person, job_id: str) -> set[int]:
        """The indices of a job's pictures that a person likes."""

    async def favourites(
        self, person: Person, *, limit: int, skip: int = 0
    ) -> list[tuple[Record, int]]:
        """What a person likes, the latest first: a job, and the index of its picture."""

    async def pictures(
        self, person: Person, *, limit: int, skip: int = 0
    ) -> list[tuple[Record, int]]:
        """The pictures that were drawn for a person, as `favourites`, the latest job first."""

    async def prompts(self, person: Person, *, limit: int) -> list[tuple[str, str]]:
        """What a person asked for last, each with the id of its job, the latest first.

        What was deleted is not among it.
        """

    async def defaults(self, scopes: Sequence[Scope]) -> list[Defaults]:
        """What is said for each of them where wishes leave something open."""

    async def set_defaults(self, scope: Scope, defaults: Defaults, by: Person) -> None:
        """Say something else for one of them; what a person says goes when they are forgotten."""

    async def counts(self) -> dict[State, int]:
        """How many jobs there are of each state."""

    async def orders(self) -> list[Order]:
        """What operators want and nobody has done yet."""

    async def settle(self, order_id: int, answer: Answer) -> None:
        """Answer an order."""

    async def wants_mention(self, person: Person) -> bool:
        """Whether this person wants to be mentioned when pictures are there."""

    async def set_mention(self, person: Person, *, wanted: bool) -> None:
        """Note whether they want it; forgotten with the last that was heard of them."""

    async def look_at_clock(self, wall_s: float, ran_s: float | None) -> Passage:
        """Note what the clocks show, and tell how much time has passed; see `Passage.look`."""

    async def outdated(self, before_s: float, *, limit: int, skip: int = 0) -> list[str]:
        """The ids of jobs that were over and told before then, those kept longest first.

        Where a community keeps jobs for fewer days, those that were over there.

        before_s  as time passed, by `look_at_clock`
        skip      so many of them, the first
        """

    async def undecided(self, keep_days: int) -> list[tuple[str, int]]:
        """The ids of jobs about which no moderator decided within the days that jobs are kept.

        keep_days  where their community does not say fewer

        Each comes with how many days those were.
        """

    async def forget(self, job_ids: Sequence[str], before_s: float) -> None:
        """Delete these jobs, and whoever asked for them if nothing was heard of them since then.

        Without jobs, some of all the people and orders of whom and which nothing was; and the cases
        and notices whose days are over.
        """
