"""The use cases: what people and operators do, whichever home or command line they do it from."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal

from bot.core import defaults, offspring, policy
from bot.core.audit import OWNER, Deed, DeedKind
from bot.core.case import case_of
from bot.core.clerk import Clerk
from bot.core.defaults import Defaults, Manner, Scope, scopes_of
from bot.core.events import Accepted, Events, Refused
from bot.core.gate import Gate, Ruling, by_rules
from bot.core.heard import Heard
from bot.core.job import (
    FINAL,
    UNFINISHED,
    Job,
    Origin,
    Parent,
    Person,
    Record,
    Showing,
    State,
    StoredImage,
    Venue,
    new_job_id,
    work_of,
)
from bot.core.offspring import Offspring
from bot.core.policy import Actor, Limits, Owner, Viewer
from bot.core.ports.engine import Engine, Model
from bot.core.ports.gallery import Gallery, Picture
from bot.core.ports.ledger import Ledger
from bot.core.ports.registry import Registry
from bot.core.queue.turns import Position
from bot.core.queue.waiting import JobQueue
from bot.core.removal import Removal
from bot.core.rules import Circumstances, Rules
from bot.core.wish import Usual, Wish
from bot.core.worker import Worker
from bot.errors import (
    GalleryError,
    IllegalMoveError,
    JobRefusedError,
    LedgerError,
    NotAllowedError,
    PictureLostError,
    UnknownJobError,
)
from bot.shared.job_context import in_job
from bot.shared.shown import one_line
from sdxl_engine.request import Source, check_mask
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

# Of the three seconds that a home gives for a first answer.
_HEARING_S: Final = 1.0
UNNOTED: Final = say(
    "The bot's records do not answer right now, so this waits for them. If nothing has come of it "
    "in ten minutes, ask again."
)
_GONE: Final = say("This job is no longer on record.")
_LOST: Final = say("This picture is no longer on the bot's disk, so nothing can be made of it.")
_NOT_OVER: Final = say("This is not over yet. Cancel it, or delete it once its pictures are shown.")
_NOT_KEPT: Final = say("The bot no longer keeps this picture, so it cannot be shown.")
_NOT_SHOWN_YET: Final = say("These pictures are not shown yet, so there is nothing to blur.")
_AS_USUAL: Final = Manner()
_NOTHING_KNOWN: Final = Circumstances()
_MOST_PARENTS: Final = 20
_LATELY: Final = 100  # jobs
_MOST_OWN: Final = 10
_NOT_PUBLISHED: Final = say(
    "Here pictures are shown to the one who asked alone, so these cannot be published."
)
_FOR_ADULTS: Final = say(
    "These pictures were drawn for a place for adults, and can be published in such a place alone."
)
_IN_REVIEW: Final = say("A moderator looks at these pictures before anybody sees them.")
_LOGGED_CHARS: Final = 500
_TOO_LATE: Final = say("It is too late to cancel this: it is over or drawn.")


@dataclass(frozen=True, slots=True)
class Listed:
    """A job as it stands now; the position of a waiting one."""

    record: Record
    position: Position | None


Shelf = Literal["drawn", "liked"]


@dataclass(frozen=True, slots=True)
class OnPage:
    """One picture of a page; its thumbnail is None where its file is lost."""

    record: Record
    index: int
    thumbnail: Picture | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of somebody's pictures, counted from 0."""

    shelf: Shelf
    number: int
    pictures: tuple[OnPage, ...]
    has_next: bool


@dataclass(frozen=True, slots=True)
class Crowd:
    """What the queue is like.

    waiting    how many jobs, of everybody
    own        where somebody's own stand, by their ids
    typical_s  how long what is usual is drawn; None: not measured yet
    """

    waiting: int
    is_drawing: bool
    own: Mapping[str, Position]
    typical_s: float | None


class Studio:
    """What may be asked of the bot.

    worker    takes up what the studio takes in
    gate      says who may ask for what
    registry  hears of what is refused
    clerk     is woken where moderators are to see something
    removal   of what somebody else than who asked deletes
    usual     what is drawn where a wish leaves it open
    logs_prompts  whether the log holds what is asked for
    clock     seconds since 1970
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        queue: JobQueue,
        gallery: Gallery,
        worker: Worker,
        events: Events,
        *,
        gate: Gate,
        registry: Registry,
        clerk: Clerk,
        removal: Removal,
        usual: Usual,
        limits: Limits,
        logs_prompts: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._queue = queue
        self._gallery = gallery
        self._worker = worker
        self._events = events
        self._gate = gate
        self._registry = registry
        self._clerk = clerk
        self._removal = removal
        self._usual = usual
        self._limits = limits
        self._logs_prompts = logs_prompts
        self._clock = clock

    @property
    def model(self) -> Model | None:
        """What is drawn with; None while the engine is not warm."""
        return self._engine.model

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """What a shape may come to: width and height; none while the engine is not warm."""
        model = self._engine.model
        return () if model is None else tuple(model.sizes)

    async def hear(self, origin: Origin, locale: str) -> bool:
        """Note that somebody wishes something, before they see that it was heard.

        However this process ends, they are told something: `ask` and `answered` take the note back.
        Never raises, and takes a second at most.

        locale  of `Person`

        Returns whether it is noted. Else they are told `UNNOTED` before anything: if this process
        ends now, nobody knows of their wish.
        """
        try:
            async with asyncio.timeout(_HEARING_S):
                await self._ledger.hear(origin, locale)
        except (LedgerError, TimeoutError) as error:
            log.warning("a wish could not be noted before it is answered: %r", error)
            return False
        return True

    async def answered(self, origin: Origin) -> None:
        """They have an answer, and no job came of it. Never raises."""
        try:
            await self._ledger.answered(origin)
        except LedgerError as error:  # then they are told something else as well, some day
            log.warning("it could not be noted that a wish was answered: %s", error)

    async def check_limits(self, heard: Heard) -> None:
        """Whether a wish would be taken in, as far as it is not about what it says.

        Asked before what they sent along is fetched: `ask` decides. Raises EngineStartError,
        JobRefusedError, LedgerError.
        """
        try:
            self._check_open()
            person, venue, now_s = heard.person, heard.origin.venue, heard.asked_at_s
            in_force = await self._gate.admit(person, venue, heard.around, now_s)
            limits = self._limits_under(in_force)
            await self._ledger.check_limits(person, venue, limits, now_s)
        except Exception as error:
            self._events.tell(Refused(error))
            raise

    async def ask(
        self,
        heard: Heard,
        wish: Wish,
        *,
        parent: Parent | None = None,
        showing: Showing | None = None,
    ) -> Job:
        """Take a wish in; when this returns it is on the disk and in the queue.

        Raises InvalidRequestError, EngineStartError, JobRefusedError, KnownJobError, LedgerError;
        nothing of the job is kept then.
        """
        job = _job_of(heard, wish.settled(self._usual), parent, showing or Showing())
        try:
            job = await self._take_in(job, heard.around)
        except Exception as error:
            if job.wish.source is not None:
                await self.let_go(job.id)
            self._events.tell(Refused(error))
            raise
        with in_job(job.id):
            log.info("taken%s", self._to_log(job.wish.prompt))
            self._events.tell(Accepted(job, self._clock() - job.asked_at_s))
            self._worker.enqueue(job)
        return job

    async def bring(self, job_id: str, files: Sequence[bytes]) -> tuple[Source, ...]:
        """Keep a picture that a job shall start from, by its file, and perhaps a mask on it.

        Before it is asked for. Returns a source of each. Raises InvalidRequestError for what is no
        picture, GalleryError.
        """
        try:
            pictures = await self._worker.noting_trouble(
                lambda: self._gallery.bring(job_id, files), kept="pictures"
            )
            for mask in itertools.islice(pictures.values(), 1, None):
                check_mask(mask, next(iter(pictures.values())))
        except Exception as error:
            await self.let_go(job_id)
            self._events.tell(Refused(error))
            raise
        return tuple(Source(digest) for digest in pictures)

    async def let_go(self, job_id: str) -> None:
        """No job came of what was brought. What cannot be deleted now goes at the next start."""
        with suppress(GalleryError):
            await self._gallery.forget([job_id])

    async def make(
        self,
        heard: Heard,
        parent_id: str,
        of: Callable[[Record], Offspring],
        *,
        private: bool,
        manner: Manner = _AS_USUAL,
    ) -> Job:
        """Take in what somebody wants made of a job's pictures; as `ask`.

        of       says what, of the parent's record
        private  whether they alone see it
        manner   how else it is shown

        Raises also UnknownJobError, NotAllowedError, GalleryError.
        """
        job_id = heard.job_id
        try:
            record = await self._seen(parent_id, heard.viewer)
            made = _made(record, of, heard.person)
            usual = await self.settled(
                Defaults(made.wish, manner), heard.person, heard.origin.venue, heard.around
            )
            # Only what is begun anew leaves open what somebody has said to be usual.
            wish = usual.wish if made.parent.act == "begin" else made.wish
            if made.picture is not None:
                kept = [one for one in record.images if one.index == made.picture]
                (picture,) = await self._gallery.read(parent_id, kept)
                (source,) = await self.bring(job_id, [picture.data])
                wish = made.started_from(source.picture, wish)
            elif made.handed_on:
                await self._gallery.hand_on(parent_id, job_id, made.handed_on)
        except Exception as error:
            await self.let_go(job_id)
            if isinstance(error, PictureLostError):
                raise UnknownJobError(_LOST) from error
            raise
        # What is blurred has nothing made of it that is not.
        blurred, held = record.job.showing.spoiler, record.job.showing.held
        showing = Showing(
            private, blurred or bool(manner.spoiler), bool(usual.manner.mention), held=held
        )
        return await self.ask(heard, wish, parent=made.parent, showing=showing)

    async def publish(self, heard: Heard, draft_id: str, index: int | None) -> Job:
        """Show all to whom a draft's pictures were private, as a job of its own; once each.

        index  of the one picture that is shown; None: all of them

        Raises UnknownJobError, NotAllowedError, IllegalMoveError, JobRefusedError, KnownJobError,
        GalleryError, LedgerError.
        """
        record = await self._known(draft_id)
        if record.job.person != heard.person:
            raise NotAllowedError(policy.NOT_YOURS_TO_PUBLISH)
        check_there(record)
        published = offspring.published(record, index)
        showing = replace(record.job.showing, private=False, mention=False)
        job = _job_of(heard, published.wish, published.parent, showing)
        if await self.shows_privately(job.origin.venue, heard.around):
            raise JobRefusedError(_NOT_PUBLISHED)
        ruling = await self._judged(job, heard.around)
        if ruling.refused is not None:
            await self._note_refusal(job, ruling)
            raise JobRefusedError(ruling.refused, repeatable=False)
        if record.job.showing.adult and not ruling.showing.adult:
            raise JobRefusedError(_FOR_ADULTS)  # as which they were looked at
        job = replace(job, showing=ruling.showing)
        case = None
        if job.showing.awaits_review:
            case = case_of(job, "held", ruling.findings, self._clock())
        try:
            images = await self._copied(record, job)
            await self._worker.noting_trouble(lambda: self._ledger.publish(job, images, case))
        except Exception:
            await self.let_go(job.id)
            raise
        with in_job(job.id):
            log.info("published of %s", draft_id)
            self._worker.hand_over(await self._ledger.get(job.id))
        return job

    async def is_private(self, job_id: str) -> bool:
        """Whether only the one who asked sees a job's pictures.

        Raises UnknownJobError, LedgerError.
        """
        return (await self._known(job_id)).job.showing.private

    async def shows_privately(self, venue: Venue, around: Circumstances) -> bool:
        """Whether all that somebody asks for there is shown to them alone.

        Raises JobRefusedError, LedgerError.
        """
        return bool((await self._gate.in_force(venue, around)).private)

    async def hides(self, text: str, venue: Venue, around: Circumstances) -> bool:
        """Whether the filter there blocks what somebody wants to read.

        Raises JobRefusedError, LedgerError.
        """
        return await self._gate.hides(venue, around, text)

    async def settled(
        self,
        said: Defaults,
        person: Person,
        venue: Venue,
        around: Circumstances = _NOTHING_KNOWN,
    ) -> Defaults:
        """What somebody says, with what they leave open chosen as it is usual for them there.

        So it can be asked for, and asked again. What they leave open is no more than they may ask
        for, and private where all is. Raises JobRefusedError, LedgerError.
        """
        in_force = await self._gate.in_force(venue, around)
        scopes = scopes_of(person, venue, around.within)
        usual = defaults.settled(said, await self._ledger.defaults(scopes))
        wish = in_force.bounded(usual.wish.settled(self._usual), said.wish, self.sizes)
        manner = replace(usual.manner, private=True) if in_force.private else usual.manner
        return Defaults(wish, manner)

    async def defaults(self, scope: Scope) -> Defaults:
        """What is usual for somebody, or somewhere; raises LedgerError."""
        (found,) = await self._ledger.defaults([scope])
        return found

    async def set_defaults(
        self, scope: Scope, said: Defaults, by: Actor, *, take_back: Iterable[str] = ()
    ) -> Defaults:
        """Say what is usual from now on, beside what was said before; returns all of it.

        take_back  names of fields that are open again

        Raises InvalidRequestError, NotAllowedError, LedgerError.
        """
        if not policy.may_set(scope, by):
            raise NotAllowedError(policy.NOT_YOURS_TO_SET)
        now = (await self.defaults(scope)).without(take_back).under(said)
        # What cannot be drawn is said now, and not at each wish from then on.
        await self._worker.prepare(replace(now.wish, prompt="anything").settled(self._usual))
        await self._ledger.set_defaults(scope, now, by.person)
        return now

    async def cancel(self, job_id: str, by: Actor | Owner) -> None:
        """Stop a job that waits or is drawn.

        Raises UnknownJobError, NotAllowedError, IllegalMoveError, LedgerError.
        """
        record = await self._known(job_id)
        self._check_home(record.job)
        reason = say("Cancelled by {who}.", who=self._standing(record.job, by))
        try:
            over = await self._ledger.move(
                job_id,
                State.CANCELLED,
                reason=reason,
                before=UNFINISHED,
                deed=_by_another("cancel", record.job, by),
            )
        except IllegalMoveError as error:
            raise IllegalMoveError(_TOO_LATE) from error
        self._worker.withdraw(over)
        if record.state is State.REVIEW:  # cut off before, the next start does it
            await self._worker.noting_trouble(
                lambda: self._gallery.forget([job_id]), kept="pictures"
            )

    async def delete(self, job_id: str, by: Actor | Owner) -> Record:
        """Delete the pictures of a job that is over; its card is its home's to change.

        Who asked deletes these alone; somebody else deletes all that shows the same, too. Done
        again it changes nothing. Raises UnknownJobError, NotAllowedError, IllegalMoveError,
        GalleryError, LedgerError.
        """
        record = await self._known(job_id)
        sentence = say("Deleted by {who}.", who=self._standing(record.job, by))
        elsewhere = record.bot != self._ledger.bot and not record.told
        if record.state not in FINAL or elsewhere:  # its card is another bot's still
            raise IllegalMoveError(_NOT_OVER)
        deed = _by_another("delete", record.job, by)
        if deed is not None:
            await self._removal.remove(record, deed, sentence, amend=False)
        # The pictures first: cut off in between, it can be done again.
        await self._worker.noting_trouble(lambda: self._gallery.forget([job_id]), kept="pictures")
        record = await self._ledger.delete_pictures(job_id, sentence, deed=deed)
        self._clerk.wake()
        with in_job(job_id):
            log.info("pictures deleted: %s", record.deleted)
        return record

    async def record(self, job_id: str, by: Viewer) -> Record:
        """What is on record of a job whose pictures somebody may see.

        Raises UnknownJobError, NotAllowedError, LedgerError.
        """
        return await self._seen(job_id, by)

    async def picture(self, job_id: str, index: int, by: Viewer) -> Picture:
        """One picture that somebody may see.

        Raises UnknownJobError, NotAllowedError, PictureLostError, LedgerError.
        """
        record = await self._seen(job_id, by)
        kept = [one for one in record.images if one.index == index]
        if not kept:
            raise UnknownJobError(
                say("The job {job} has no picture {number}.", job=job_id, number=index + 1)
            )
        (picture,) = await self._gallery.read(job_id, kept)
        return picture

    async def lineage(self, job_id: str, by: Viewer) -> tuple[Record, ...]:
        """A job, what it was made of, and so on, as far as it is on record and theirs to see.

        Raises UnknownJobError, NotAllowedError, LedgerError.
        """
        line = [await self._seen(job_id, by)]
        while (parent := line[-1].job.parent) is not None and len(line) < _MOST_PARENTS:
            try:
                line.append(await self._seen(parent.job_id, by))
            except (UnknownJobError, NotAllowedError):
                break
        return tuple(line)

    async def blur(self, job_id: str, by: Actor | Owner, *, blurred: bool) -> Record:
        """Blur a job's pictures, or no more; to change its card is its home's to do.

        What somebody else than who asked does reaches what shows the same there. Raises
        UnknownJobError, NotAllowedError, IllegalMoveError, LedgerError.
        """
        record = await self._known(job_id)
        self._standing(record.job, by)
        if record.deleted is not None:
            raise UnknownJobError(record.deleted)
        if record.state is not State.DELIVERED:
            raise IllegalMoveError(_NOT_SHOWN_YET)
        if not blurred and not policy.may_unblur(record.job, by):
            raise NotAllowedError(policy.NOT_YOURS_TO_UNBLUR)
        # Who asked takes back what they did, and not what a moderator did.
        by_another = isinstance(by, Owner) or by.person != record.job.person
        held = blurred and (by_another or record.job.showing.held)
        before = record.job.showing
        showing = replace(before, spoiler=blurred, held=held)
        kind: DeedKind = "blur" if blurred else "unblur"
        # To show what was blurred for a reason is a moderator's act, whoever asked for it.
        own = not (record.job.showing.held and not blurred)
        deed = _by_another(kind, record.job, by) if own else _deed(kind, record.job, by)
        try:
            record = await self._ledger.show_as(job_id, showing, before=before, deed=deed)
        except IllegalMoveError:  # somebody decided otherwise meanwhile, and may have held it
            return await self.blur(job_id, by, blurred=blurred)
        self._clerk.wake()
        return record

    async def like(self, by: Viewer, job_id: str, index: int, *, liked: bool) -> None:
        """Note whether somebody likes a picture.

        Raises UnknownJobError, NotAllowedError, LedgerError.
        """
        await self._seen(job_id, by)
        await self._ledger.like(by.person, job_id, index, liked=liked)

    async def likes(self, person: Person, job_id: str) -> set[int]:
        """The indices of a job's pictures that somebody likes."""
        return await self._ledger.likes(person, job_id)

    async def prompts(self, person: Person, text: str) -> dict[str, str]:
        """What a person asked for lately that holds a text: a job's id by each prompt, the latest
        first. Raises LedgerError.
        """
        wanted = text.strip().casefold()
        found: dict[str, str] = {}
        for job_id, prompt in await self._ledger.prompts(person, limit=_LATELY):
            if wanted in prompt.casefold():
                found.setdefault(prompt, job_id)
        return found

    async def crowd(self, person: Person) -> Crowd:
        """Who waits now, and where somebody's own jobs stand; raises LedgerError."""
        mine = await self._ledger.find(states=[State.QUEUED], person=person, limit=_MOST_OWN)
        places = {one.job.id: self._queue.position(one.job.id) for one in mine}
        typical, load = self._worker.typical, self._queue.load
        return Crowd(
            waiting=load.waiting,
            is_drawing=load.drawing > 0,
            own={job_id: place for job_id, place in places.items() if place is not None},
            typical_s=None if typical is None else load.seconds(work_of(typical)),
        )

    async def page(self, by: Viewer, shelf: Shelf, number: int, *, size: int) -> Page:
        """A page of what was drawn for somebody, or of what they like, counted from 0.

        Raises LedgerError.
        """
        find = self._ledger.favourites if shelf == "liked" else self._ledger.pictures
        found = await find(by.person, limit=size + 1, skip=number * size)
        seen = [(one, k) for one, k in found[:size] if policy.sees(one.job, by)]
        stored = [
            (one.job.id, image) for one, k in seen for image in one.images if image.index == k
        ]
        thumbnails = await self._gallery.thumbnails(stored)
        shown = tuple(
            OnPage(record, index, thumbnail)
            for (record, index), thumbnail in zip(seen, thumbnails, strict=True)
        )
        return Page(shelf, number, shown, has_next=len(found) > size)

    async def repeat(self, job_id: str) -> str:
        """Ask for an ended job again, as a new one on the same card; returns the new id.

        Raises UnknownJobError, IllegalMoveError, LedgerError.
        """
        record = await self._ledger.get(job_id)
        self._check_home(record.job)
        if record.deleted is not None:  # what was asked for may be erased, too
            raise IllegalMoveError(f"The job {job_id}: {record.deleted} It cannot be drawn again.")
        if record.state not in FINAL - {State.DELIVERED} or not record.told:
            raise IllegalMoveError(f"The job {job_id} is {record.state}; it needs no second try.")
        origin = replace(record.job.origin, event=None)
        job = replace(record.job, id=new_job_id(), origin=origin, again_of=job_id)
        try:
            await self._gallery.hand_on(job_id, job.id, offspring.brought_for(job.wish))
            await self._ledger.insert(job)
        except Exception:
            await self.let_go(job.id)
            raise
        with in_job(job.id):
            log.info("asked for again, after %s", job_id)
            self._worker.enqueue(job)
        return job.id

    async def list_of(
        self, person: Person, community: str | None, *, limit: int
    ) -> tuple[Listed, ...]:
        """A person's latest jobs, the newest first; `community`: only those asked for there."""
        records = await self._ledger.find(person=person, community=community, limit=limit)
        return tuple(Listed(one, self._queue.position(one.job.id)) for one in records)

    async def pictures_of(self, person: Person, job_id: str) -> tuple[Record, tuple[Picture, ...]]:
        """The pictures of a person's own job that found no other place.

        Raises UnknownJobError, NotAllowedError, PictureLostError, LedgerError.
        """
        record = await self._known(job_id)
        if record.job.person != person:
            raise NotAllowedError(
                say("Only the one who asked for these pictures can see them here.")
            )
        if record.state is not State.UNDELIVERED:
            raise UnknownJobError(_GONE)
        return record, await self._gallery.read(job_id, record.images)

    async def wants_mention(self, person: Person) -> bool:
        """Whether this person is mentioned when their pictures are there."""
        return await self._ledger.wants_mention(person)

    async def set_mention(self, person: Person, *, wanted: bool) -> None:
        """Mention them, or leave them alone, from now on."""
        await self._ledger.set_mention(person, wanted=wanted)

    def card_gone(self, job: Job) -> None:
        """A home found the card of a job deleted that is not over."""
        self._worker.card_gone(job)

    def card_over(self, job: Job, *, shows_pictures: bool) -> None:
        """A home found that the card of a job tells its end already."""
        self._worker.card_over(job, shows_pictures=shows_pictures)

    async def _take_in(self, job: Job, around: Circumstances) -> Job:
        """Take it in as the rules have it shown."""
        if self._engine.failure is not None:
            raise self._engine.failure
        ruling = await self._judged(job, around)
        self._check_open()
        if ruling.refused is not None:
            await self._note_refusal(job, ruling)
            raise JobRefusedError(ruling.refused, repeatable=False)
        job = replace(job, showing=ruling.showing)
        case = None
        # What nobody else sees is not held back; moderators are told of it all the same.
        if ruling.measure == "warn" or (ruling.measure == "review" and job.showing.private):
            case = case_of(job, "warned", ruling.findings, self._clock())
        limits = self._limits_under(ruling.rules)
        await self._worker.noting_trouble(lambda: self._ledger.accept(job, limits, case))
        if case is not None:
            self._clerk.wake()
        return job

    async def _judged(self, job: Job, around: Circumstances) -> Ruling:
        """What the rules of the place say of a job."""
        venue = job.origin.venue
        in_force = await self._gate.admit(job.person, venue, around, job.asked_at_s)
        request = await self._worker.prepare(job.wish)
        return await self._gate.check(job, in_force, request, self._engine.model)

    async def _note_refusal(self, job: Job, ruling: Ruling) -> None:
        """What the filter refused is for moderators to see; what is only too much is not."""
        if not ruling.findings:
            return
        case = replace(case_of(job, "refused", ruling.findings, self._clock()), job_id=None)
        # Nothing has the job's id: it is found by the case, and by whose wish it was.
        deed = replace(
            by_rules("refuse", job, ruling.findings),
            target=job.person.id,
            after={"case": case.id},
        )
        with suppress(LedgerError):  # it is refused all the same
            await self._registry.open_case(case, deed)
        self._clerk.wake()

    def _limits_under(self, in_force: Rules) -> Limits:
        """How much somebody may ask for by the rules in force for them."""
        return replace(self._limits, member_per_day=in_force.daily or 0)

    def _check_open(self) -> None:
        if self._engine.failure is not None:
            raise self._engine.failure
        if not self._worker.takes_jobs:
            raise JobRefusedError(say("The bot is restarting. Ask again in a minute."))

    async def _copied(self, record: Record, job: Job) -> tuple[StoredImage, ...]:
        """The pictures of a record that a job shows, and what they started from, kept for it."""
        shown = [one for one in record.images if one.index in job.wish.indices]
        try:
            # Should their files be lost some day, they are drawn anew.
            await self._gallery.hand_on(record.job.id, job.id, offspring.brought_for(job.wish))
            return await self._worker.noting_trouble(
                lambda: self._gallery.copy(record.job.id, job.id, shown), kept="pictures"
            )
        except PictureLostError as error:
            raise UnknownJobError(_NOT_KEPT) from error

    def _to_log(self, prompt: str) -> str:
        """What the log holds of a prompt: nothing, unless whoever runs the bot wants it."""
        return f": {one_line(prompt, _LOGGED_CHARS)}" if self._logs_prompts else ""

    def _check_home(self, job: Job) -> None:
        if not self._worker.serves(job):
            raise IllegalMoveError(
                f"The job {job.id} is in {job.home}, and the bot is not there now. Start it there."
            )

    def _standing(self, job: Job, by: Actor | Owner) -> str:
        """As whom somebody does something to a job; raises NotAllowedError."""
        standing = policy.standing(job, by)
        if standing is None:
            raise NotAllowedError(policy.NOT_YOURS)
        return standing

    async def _seen(self, job_id: str, by: Viewer) -> Record:
        record = await self._known(job_id)
        if not policy.sees(record.job, by):
            raise NotAllowedError(policy.NOT_SHOWN_TO_YOU)
        check_there(record)
        return record

    async def _known(self, job_id: str) -> Record:
        try:
            return await self._ledger.get(job_id)
        except UnknownJobError as error:
            raise UnknownJobError(_GONE) from error


def check_there(record: Record) -> None:
    """Whether pictures may be seen at all by now; raises UnknownJobError, NotAllowedError."""
    if record.deleted is not None:
        raise UnknownJobError(record.deleted)
    if record.state is State.REVIEW:
        raise NotAllowedError(_IN_REVIEW)


def _by_another(kind: DeedKind, job: Job, by: Actor | Owner) -> Deed | None:
    """What the audit is told of what somebody does to another's job; of one's own nothing."""
    if isinstance(by, Actor) and by.person == job.person:
        return None
    return _deed(kind, job, by)


def _deed(kind: DeedKind, job: Job, by: Actor | Owner) -> Deed:
    actor = by.person.id if isinstance(by, Actor) else OWNER
    return Deed(kind, actor, job.home, job.origin.venue.community, job.id)


def _job_of(heard: Heard, wish: Wish, parent: Parent | None, showing: Showing) -> Job:
    return Job(
        heard.job_id,
        wish,
        heard.person,
        heard.origin,
        heard.weight,
        heard.asked_at_s,
        parent=parent,
        showing=showing,
    )


def _made(record: Record, of: Callable[[Record], Offspring], person: Person) -> Offspring:
    """What somebody wants made of a job; raises NotAllowedError.

    Who publishes a picture has not published what it started from.
    """
    made, parent = of(record), record.job.parent
    is_published = parent is not None and parent.act == "publish"
    if is_published and made.handed_on and person != record.job.person:
        raise NotAllowedError(policy.NOT_YOUR_SOURCE)
    return made
