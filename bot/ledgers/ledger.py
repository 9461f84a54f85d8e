"""The ledger, once, over any database."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from bot.core.audit import Deed
from bot.core.case import Case
from bot.core.defaults import Defaults, Scope
from bot.core.job import Job, Origin, Person, Record, Showing, State, StoredImage, Venue
from bot.core.policy import Limits
from bot.core.ports.ledger import Answer, Look, Order
from bot.core.wish import Wish
from bot.ledgers import book
from bot.ledgers.database import Connection, Database
from bot.shared.passage import Passage


class DatabaseLedger:
    """Implements `Ledger`; see there what each method does.

    clock  seconds since 1970
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self._clock = clock
        self._homes: tuple[str, ...] | None = None
        self._seen = book.Seen()

    @property
    def bot(self) -> str:
        """See `Ledger`."""
        return self.database.bot

    def open(
        self,
        homes: Sequence[str] | None = None,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open the database; blocks. Raises LedgerError.

        homes        those that this bot is in: where others may be, it takes over their jobs alone;
                     None: it is in all
        is_stopping  whether older bots are waited for no more
        """
        self._homes = None if homes is None else tuple(homes)
        self.database.open(homes or (), is_stopping=is_stopping)

    def close(self) -> None:
        """Close it; blocks."""
        self.database.close()

    async def hear(self, origin: Origin, locale: str) -> None:
        """See `Ledger`."""
        await self.database.write(
            lambda connection: book.hear(connection, origin, locale, bot=self.bot)
        )

    async def answered(self, origin: Origin) -> None:
        """See `Ledger`."""
        await self.database.write(lambda connection: book.answered(connection, origin))

    async def probe(self) -> None:
        """See `Ledger`."""
        await self.database.write(book.probe)

    async def check_limits(
        self, person: Person, venue: Venue, limits: Limits, now_s: float
    ) -> None:
        """See `Ledger`."""
        await self.database.read(
            lambda connection: book.check_limits(connection, person, venue, limits, now_s)
        )

    async def accept(self, job: Job, limits: Limits, case: Case | None = None) -> None:
        """See `Ledger`."""
        await self.database.write(
            lambda connection: book.accept(connection, job, limits, case, bot=self.bot)
        )

    async def publish(
        self, job: Job, images: Sequence[StoredImage], case: Case | None = None
    ) -> None:
        """See `Ledger`."""
        await self.database.write(
            lambda connection: book.publish(connection, job, images, case, bot=self.bot)
        )

    async def insert(self, job: Job) -> None:
        """See `Ledger`."""
        await self.database.write(lambda connection: book.insert(connection, job, bot=self.bot))

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
        """See `Ledger`."""
        move = partial(
            book.move,
            job_id=job_id,
            to=to,
            at_s=self._clock(),
            reason=reason,
            images=images,
            wish=wish,
            showing=showing,
            blameless=blameless,
            before=before,
            case=case,
            deed=deed,
            attempt=attempt,
            silently=silently,
            bot=self.bot,
        )
        return await self.database.write(move)

    async def place(self, job_id: str, message: str) -> None:
        """See `Ledger`."""
        await self.database.write(lambda connection: book.place(connection, job_id, message))

    async def tell(self, job_id: str) -> None:
        """See `Ledger`."""
        await self.database.write(lambda connection: book.tell(connection, job_id))

    async def look(self, *, outlived: bool = False) -> Look:
        """See `Ledger`."""
        at_s, seen = self._clock(), self._seen
        homes = self._homes if self.database.is_shared else None

        def look(connection: Connection) -> tuple[Look, book.Seen]:
            crew = self.database.muster(connection)
            return book.look(connection, crew, homes, at_s, seen, outlived=outlived)

        found, self._seen = await self.database.write(look)
        return found

    async def news(self) -> None:
        """See `Ledger`."""
        await self.database.news()

    async def claim_range(self, kind: str, total: int) -> int | None:
        """See `Ledger`."""
        return await self.database.claim_range(kind, total)

    async def get(self, job_id: str) -> Record:
        """See `Ledger`."""
        return await self.database.read(lambda connection: book.get(connection, job_id))

    async def find(
        self,
        *,
        states: Sequence[State] = (),
        person: Person | None = None,
        community: str | None = None,
        limit: int = 20,
    ) -> list[Record]:
        """See `Ledger`."""
        find = partial(book.find, states=states, person=person, community=community, limit=limit)
        return await self.database.read(find)

    async def delete_pictures(
        self, job_id: str, sentence: str, *, deed: Deed | None = None, amend: bool = False
    ) -> Record:
        """See `Ledger`."""
        at_s = self._clock()
        return await self.database.write(
            lambda connection: book.delete_pictures(
                connection, job_id, sentence, at_s, deed=deed, amend=amend
            )
        )

    async def show_as(
        self,
        job_id: str,
        showing: Showing,
        *,
        before: Showing,
        deed: Deed | None = None,
        amend: bool = False,
    ) -> Record:
        """See `Ledger`."""
        at_s = self._clock()
        return await self.database.write(
            lambda connection: book.show_as(
                connection, job_id, showing, at_s, before=before, deed=deed, amend=amend
            )
        )

    async def like(self, person: Person, job_id: str, index: int, *, liked: bool) -> None:
        """See `Ledger`."""
        at_s = self._clock()
        await self.database.write(
            lambda connection: book.like(connection, person, job_id, index, at_s, liked=liked)
        )

    async def likes(self, person: Person, job_id: str) -> set[int]:
        """See `Ledger`."""
        return await self.database.read(lambda connection: book.likes(connection, person, job_id))

    async def favourites(
        self, person: Person, *, limit: int, skip: int = 0
    ) -> list[tuple[Record, int]]:
        """See `Ledger`."""
        find = partial(book.favourites, person=person, limit=limit, skip=skip)
        return await self.database.read(find)

    async def pictures(
        self, person: Person, *, limit: int, skip: int = 0
    ) -> list[tuple[Record, int]]:
        """See `Ledger`."""
        find = partial(book.pictures, person=person, limit=limit, skip=skip)
        return await self.database.read(find)

    async def prompts(self, person: Person, *, limit: int) -> list[tuple[str, str]]:
        """See `Ledger`."""
        return await self.database.read(
            lambda connection: book.prompts(connection, person, limit=limit)
        )

    async def defaults(self, scopes: Sequence[Scope]) -> list[Defaults]:
        """See `Ledger`."""
        return await self.database.read(lambda connection: book.defaults(connection, scopes))

    async def set_defaults(self, scope: Scope, defaults: Defaults, by: Person) -> None:
        """See `Ledger`."""
        at_s = self._clock()
        await self.database.write(
            lambda connection: book.set_defaults(connection, scope, defaults, by, at_s)
        )

    async def counts(self) -> dict[State, int]:
        """See `Ledger`."""
        return await self.database.read(book.counts)

    async def orders(self) -> list[Order]:
        """See `Ledger`."""
        return await self.database.read(book.orders)

    async def settle(self, order_id: int, answer: Answer) -> None:
        """See `Ledger`."""
        await self.database.write(lambda connection: book.settle(connection, order_id, answer))

    async def wants_mention(self, person: Person) -> bool:
        """See `Ledger`."""
        return await self.database.read(lambda connection: book.wants_mention(connection, person))

    async def set_mention(self, person: Person, *, wanted: bool) -> None:
        """See `Ledger`."""
        at_s = self._clock()
        await self.database.write(
            lambda connection: book.set_mention(connection, person, wanted=wanted, at_s=at_s)
        )

    async def look_at_clock(self, wall_s: float, ran_s: float | None) -> Passage:
        """See `Ledger`."""
        return await self.database.write(
            lambda connection: book.look_at_clock(connection, wall_s, ran_s)
        )

    async def outdated(self, before_s: float, *, limit: int = 1000, skip: int = 0) -> list[str]:
        """See `Ledger`."""
        return await self.database.read(
            lambda connection: book.outdated(connection, before_s, limit=limit, skip=skip)
        )

    async def undecided(self, keep_days: int) -> list[tuple[str, int]]:
        """See `Ledger`."""
        return await self.database.read(lambda connection: book.undecided(connection, keep_days))

    async def forget(self, job_ids: Sequence[str], before_s: float) -> None:
        """See `Ledger`."""
        await self.database.write(lambda connection: book.forget(connection, job_ids, before_s))
        await self.database.scrub(before_s)
