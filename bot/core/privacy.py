"""What is kept of a person: to be looked at, taken away, erased; whichever the home."""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from bot.core.card import Moment
from bot.core.job import FINAL, UNDRAWN, Person, Record, State
from bot.core.kept import Kept, Stored
from bot.core.ports.gallery import Gallery
from bot.core.ports.ledger import Ledger
from bot.core.ports.registry import Registry
from bot.core.wish import Wish
from bot.errors import IllegalMoveError, PictureLostError
from bot.shared.job_context import in_job
from sdxl_engine.sentence import say, say_many

log = logging.getLogger(__name__)

DATA: Final = "data.json"  # the file of an export that is no picture
ERASED: Final = say("Erased by {who}.", who=say("the one who asked"))
REALLY: Final = say(
    "Really erase all of this, everywhere? Pictures are deleted, what waits is cancelled, and "
    "nobody can bring it back."
)
ERASE_ALL: Final = say("Erase all of it")
KEEP_ALL: Final = say("Keep it")
NOT_ERASED: Final = say("Nothing was erased.")
_DAY_S: Final = 86_400.0
_SOURCE_ERASED: Final = say("The picture that this starts from was erased by the one it was for.")
_WITH_FILES: Final = frozenset({State.REVIEW, State.DRAWN})
_KEPT: Final = say("Kept of you:")
_NOTHING: Final = say("Nothing of you is kept here.")
_ELSEWHERE: Final = say(
    "The bot's messages show nothing of it any more as soon as it can change them. It cannot reach "
    "answers that only you saw, warnings that it sent you (they name a prompt), files that others "
    "saved, and copies of its records."
)
_README: Final = """\
What an image bot keeps of one person

data.json   All that is on record: each job with its prompts, its settings and its times; what the
            person likes, and what is usual for them; what they reported; what moderators looked
            at because of them; where they are blocked; what the audit says of them. Times are
            those of UTC.
pictures/   The pictures that were drawn for them. Under brought/ lie those that jobs start from.
            Pictures that wait for a moderator are not among them.

Nobody else is named in it, except where somebody wrote a name into a reason or a prompt. A job
whose data was erased has its ids and its times left.
"""


class Draws(Protocol):
    """Who is told of jobs that are over now; the worker."""

    def withdraw(self, record: Record, /) -> None:
        """Let go of a job that the ledger holds as over, and say so."""


class Brings(Protocol):
    """Who brings to cards and desks what was decided; the clerk."""

    def wake(self) -> None:
        """There may be something to bring."""


class Privacy:
    """Everything of a person in their home, in whichever community.

    keep_days  after which all of it goes by itself
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        gallery: Gallery,
        worker: Draws,
        clerk: Brings,
        *,
        keep_days: int,
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._gallery = gallery
        self._worker = worker
        self._clerk = clerk
        self.keep_days = keep_days

    async def kept(self, person: Person) -> Kept:
        """How much is kept of them; raises LedgerError."""
        return await self._registry.kept(person)

    async def exported(self, person: Person) -> AsyncIterator[tuple[str, bytes]]:
        """All that is kept of them as files, by their names: data, a word about it, pictures.

        Pictures that are lost are left out. Raises LedgerError.
        """
        async for one in files_of(await self._registry.stored(person), self._gallery):
            yield one

    async def erase(self, person: Person) -> int:
        """Empty all that is kept of them, and delete their pictures wherever they are shown.

        What waits is cancelled. Jobs of others that show the same pictures are emptied as well;
        what others had drawn of them anew stays theirs. Ids and times are left, for the limits
        count them until their days are over; so are blocks and the audit.

        Returns how many jobs were emptied; done again, it does what a try that broke off left.
        Raises GalleryError, LedgerError.
        """
        records = await self._registry.to_erase(person)
        ids = [one.job.id for one in records]
        cancelled: list[Record] = []
        try:
            for record in records:
                if record.state not in FINAL:
                    cancelled += await self._cancelled(record, ERASED)
            await self._forget_copies(ids)
            # The pictures first: cut off in between, it can be done again.
            await self._gallery.forget(ids)
            emptied = await self._registry.erase(person, ids, ERASED)
        finally:
            for record in cancelled:
                self._worker.withdraw(replace(record, job=replace(record.job, wish=Wish(""))))
            self._clerk.wake()
        log.info("erased what was kept of somebody: %d jobs", emptied)
        return emptied

    async def _cancelled(self, record: Record, sentence: str) -> list[Record]:
        """The job, over now; nothing where it came to another end first."""
        job_id = record.job.id
        if record.state in _WITH_FILES:
            await self._gallery.forget([job_id])
        try:
            return [await self._ledger.move(job_id, State.CANCELLED, reason=sentence)]
        except IllegalMoveError:
            with in_job(job_id):
                log.info("it was over before it was cancelled")
            return []

    async def _forget_copies(self, ids: Sequence[str]) -> None:
        """Others' jobs that start from these pictures have copies of them."""
        children = [one for one in await self._registry.started_from(ids) if one.job.id not in ids]
        for child in children:
            if child.state in UNDRAWN:
                for over in await self._cancelled(child, _SOURCE_ERASED):
                    self._worker.withdraw(over)
        await self._gallery.forget_brought([one.job.id for one in children])


async def files_of(stored: Stored, gallery: Gallery) -> AsyncIterator[tuple[str, bytes]]:
    """See `Privacy.exported`."""
    data = json.dumps(stored.data, ensure_ascii=False, indent=1)
    yield DATA, data.encode()
    yield "README.txt", _README.encode()
    for one in stored.files:
        try:
            if one.stored is None:
                picture = await gallery.brought_file(one.job_id, one.digest)
                yield f"pictures/brought/{picture.filename}", picture.data
            else:
                (picture,) = await gallery.read(one.job_id, [one.stored])
                yield f"pictures/{picture.filename}", picture.data
        except PictureLostError as error:
            log.info("left out of what somebody takes away: %s", error)


def kept_sentences(kept: Kept, keep_days: int) -> list[str]:
    """How much is kept of a person, since when and until when; a sentence each."""
    if kept == Kept():
        return [_NOTHING]
    counted = (
        say_many(
            "{count} job with its prompt and settings",
            "{count} jobs with their prompts and settings",
            kept.jobs,
        ),
        say_many(
            "{count} job of which only ids and times are left",
            "{count} jobs of which only ids and times are left",
            kept.emptied,
        ),
        say_many("{count} picture", "{count} pictures", kept.pictures),
        say_many("{count} favourite", "{count} favourites", kept.favourites),
        say("what is usual for you") if kept.defaults else "",
        say_many("{count} report of yours", "{count} reports of yours", kept.reports),
        say_many(
            "{count} case that moderators saw because of you",
            "{count} cases that moderators saw because of you",
            kept.cases,
        ),
        say_many(
            "{count} server in which you are blocked",
            "{count} servers in which you are blocked",
            kept.blocks,
        ),
    )
    numbers = (
        kept.jobs,
        kept.emptied,
        kept.pictures,
        kept.favourites,
        kept.defaults,
        kept.reports,
        kept.cases,
        kept.blocks,
    )
    lines = [_KEPT, *(one for one, number in zip(counted, numbers, strict=True) if number)]
    if kept.since_s is not None and kept.latest_s is not None:
        lines.append(say("The first of it came {since}.", since=Moment(round(kept.since_s))))
        until_s = kept.latest_s + keep_days * _DAY_S
        lines.append(
            say(
                "By itself all of it is gone {until}, but for blocks and the audit; in some "
                "servers sooner.",
                until=Moment(round(until_s)),
            )
        )
    return lines


def erased_sentences(emptied: int, keep_days: int) -> list[str]:
    """What was erased and what is left, a sentence each."""
    done = say_many(
        "Erased: {count} job with its prompt and pictures, and all else of you.",
        "Erased: {count} jobs with their prompts and pictures, and all else of you.",
        emptied,
    )
    left = say(
        "Rows of ids and times stay until their {days} days are over, as limits count them. Where "
        "you are blocked, and what moderators and you did, by ids alone, stays as well.",
        days=keep_days,
    )
    return [done, left, _ELSEWHERE]
