"""What those who keep order may do: rules, blocks, a pause, cases; whichever the home."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from bot.core import order, policy, rules
from bot.core.audit import ELSEWHERE, RULES, Deed, DeedKind, Entry
from bot.core.case import (
    MAX_REASON_CHARS,
    Block,
    Case,
    CaseState,
    DeskAct,
    Report,
    case_of,
)
from bot.core.clerk import Clerk
from bot.core.gate import Gate
from bot.core.job import FINAL, ON_CARD, UNDRAWN, UNFINISHED, Person, Record, Showing, State
from bot.core.policy import Actor, Viewer
from bot.core.ports.ledger import Ledger
from bot.core.ports.prompt_filter import PromptFilter
from bot.core.ports.registry import Registry, Settings
from bot.core.removal import Removal
from bot.core.rules import House, Place, Rules
from bot.core.studio import check_there
from bot.core.verdict import Finding, Term
from bot.core.worker import Worker
from bot.errors import (
    IllegalMoveError,
    JobRefusedError,
    NotAllowedError,
    UnknownJobError,
)
from bot.shared.job_context import in_job
from bot.shared.shown import one_line
from sdxl_engine.sentence import say, say_many, sentences

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_TERMS: Final = 5_000  # of one community
_MOST_COUNTED: Final = 1_000  # of what waits
_MOST_RULES: Final = 500
_NAMED_CHARS: Final = 100  # of a prompt, by which somebody knows it again
FEWEST_DAYS: Final = 2  # a day's limits look back one
_NOT_A_MANAGER: Final = say("Only those who manage this server can do that.")
_NOT_A_MODERATOR: Final = say("Only those who moderate this server can do that.")
_NOT_IN_PRIVATE: Final = say("There is nobody to moderate here: this works in servers alone.")
_NOT_YOURSELF: Final = say("You cannot block yourself. Somebody else who moderates can.")
_NOT_A_BOT: Final = say("A bot asks for no pictures, so there is nothing to block. Name a person.")
_NO_JOB: Final = say("There are no pictures to decide about: this was not taken in.")
_DECIDED: Final = say("These pictures are deleted, so nothing is left to decide about them.")
_TOO_EARLY: Final = say(
    "These pictures are not shown yet. Blur them once they are, or delete them."
)
_REPORTED: Final = say("You have reported this before. A moderator looks at it.")


class Moderators:
    """Every act is written down with who did it, why, and what it changed.

    clerk      brings what is decided to cards, desks and people
    keep_days  after which all jobs go, where a community does not say fewer
    """

    def __init__(
        self,
        gate: Gate,
        registry: Registry,
        ledger: Ledger,
        removal: Removal,
        worker: Worker,
        clerk: Clerk,
        prompt_filter: PromptFilter,
        *,
        keep_days: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keep_days = keep_days
        self._gate = gate
        self._registry = registry
        self._ledger = ledger
        self._removal = removal
        self._worker = worker
        self._clerk = clerk
        self._filter = prompt_filter
        self._clock = clock
        self._changing = asyncio.Lock()  # what is read is what is changed

    async def house(self, by: Actor) -> House:
        """All that the community in which somebody stands has said.

        Raises NotAllowedError, LedgerError.
        """
        home, community = self._managed(by)
        return await self._gate.house(home, community)

    @property
    def usual(self) -> Rules:
        """What holds where nobody has said anything."""
        return self._gate.usual

    async def set_rules(
        self,
        place: Place,
        said: Rules,
        by: Actor,
        *,
        take_back: Sequence[str] = (),
        reason: str = "",
    ) -> Rules:
        """Say something of a place, beside what was said before; returns all that is said of it.

        take_back  names of fields that are open again

        Raises NotAllowedError, JobRefusedError for rules that cannot be meant, LedgerError.
        """
        home, community = self._managed(by)

        async def change(house: House) -> Rules:
            now = said.over(house.rules.get(place, Rules()).without(take_back))
            after = replace(house, rules={**house.rules, place: now})
            if len(after.rules) > _MOST_RULES:
                raise JobRefusedError(
                    say("There are {count} rules already, as many as can be.", count=_MOST_RULES)
                )
            self._check(after)
            target = "/".join(filter(None, (place.channel, place.role)))
            deed = _deed("rules", by, community, target, reason)
            await self._registry.set_rules(place, now, deed, before=house)
            return now

        return await self._as_read(home, community, change)

    async def set_desk(self, channel: str | None, by: Actor) -> None:
        """Say where moderators see what is to be decided; None: nowhere.

        Raises as `set_rules`, and JobRefusedError while something waits for them there.
        """
        if channel is None:
            home, community = self._managed(by)
            held = await self._ledger.find(
                states=(State.REVIEW,), community=community, limit=_MOST_COUNTED
            )
            if waiting := sum(one.job.home == home for one in held):
                raise JobRefusedError(
                    say_many(
                        "{count} job waits at the desk for a moderator. Decide about it first, or "
                        "name another channel.",
                        "{count} jobs wait at the desk for a moderator. Decide about them first, "
                        "or name another channel.",
                        waiting,
                    )
                )

        def changed(house: House) -> House:
            reviewed = [place for place, one in house.rules.items() if one.review]
            if channel is None and reviewed:
                raise JobRefusedError(order.desk_is_needed(reviewed))
            return replace(house, desk=channel)

        await self._set("desk", by, changed)
        self._clerk.wake()

    async def set_keep_days(self, days: int | None, by: Actor) -> None:
        """Say how long jobs are kept, where that is less than elsewhere; raises as `set_rules`."""
        self._managed(by)  # who may not is told that first
        if days is not None and days < FEWEST_DAYS:
            raise JobRefusedError(
                say_many(
                    "The limits of a day look back on what was asked, so it is kept for {count} "
                    "day at least. What must go sooner, delete or purge.",
                    "The limits of a day look back on what was asked, so it is kept for {count} "
                    "days at least. What must go sooner, delete or purge.",
                    FEWEST_DAYS,
                )
            )
        if days is not None and days > self.keep_days:
            raise JobRefusedError(
                say_many(
                    "The bot's owner keeps jobs for {count} day, so here it is that at most.",
                    "The bot's owner keeps jobs for {count} days, so here it is that at most.",
                    self.keep_days,
                )
            )
        await self._set("keep", by, lambda house: replace(house, keep_days=days))

    async def pause(self, by: Actor, reason: str) -> str:
        """Take nothing in until `resume`; what waits is drawn. Without a reason, that of a pause
        that there is already stays. Returns the reason that people read.

        Raises NotAllowedError, LedgerError.
        """
        reason = reason[:MAX_REASON_CHARS]
        house = await self._set(
            "pause", by, lambda house: replace(house, paused=reason or house.paused or ""), reason
        )
        return house.paused or ""

    async def resume(self, by: Actor) -> None:
        """Take wishes in again; raises NotAllowedError, LedgerError."""
        await self._set("resume", by, lambda house: replace(house, paused=None))

    async def change_terms(self, add: Sequence[Term], drop: Sequence[str], by: Actor) -> int:
        """Add to the community's list of the filter, and drop from it; returns how many it has.

        Raises InvalidRequestError for a term that no list can hold, NotAllowedError,
        JobRefusedError, LedgerError.
        """
        home, community = self._managed(by)
        checked = [self._filter.checked(term) for term in add]

        async def change(house: House) -> int:
            texts = {one.text for one in house.terms}
            after = (texts - set(drop)) | {one.text for one in checked}
            if len(after) > _MOST_TERMS:
                raise JobRefusedError(
                    say("The list has {count} terms already, as many as it can.", count=_MOST_TERMS)
                )
            missing = set(drop) - texts
            if missing:
                raise UnknownJobError(
                    say("There is no term “{term}” in the list here.", term=min(missing))
                )
            if checked or drop:
                deed = _deed("terms", by, community)
                await self._registry.change_terms(checked, drop, deed, before=house)
            return len(after)

        return await self._as_read(home, community, change)

    async def tested(self, text: str, by: Actor) -> tuple[Finding, ...]:
        """What the lists that hold in the community find in a text.

        Raises InvalidRequestError for a text that cannot be read, NotAllowedError, LedgerError.
        """
        return await self._gate.found(text, await self.house(by))

    async def block(
        self,
        person: Person,
        by: Actor,
        *,
        is_bot: bool = False,
        for_s: float | None = None,
        reason: str = "",
    ) -> bool:
        """Bar somebody from asking in the community; what they have waiting there is cancelled.

        Returns whether that changes anything. Raises NotAllowedError, LedgerError.
        """
        community = await self._moderated(by)
        if person == by.person:
            raise NotAllowedError(_NOT_YOURSELF)
        if is_bot:
            raise NotAllowedError(_NOT_A_BOT)
        until_s = None if for_s is None else self._clock() + for_s
        reason = reason[:MAX_REASON_CHARS]
        deed = _deed("block", by, community, person.id, reason)
        changed = await self._registry.block(person, Block(until_s, reason), deed)
        for record in await self._registry.jobs_in(person.home, community, person=person.id):
            if record.state in UNFINISHED:
                deed = _deed("cancel", by, community, record.job.id)
                await self._removal.cancel(record, policy.BLOCKED, deed)
        self._clerk.wake()
        return changed

    async def unblock(self, person: Person, by: Actor, *, reason: str = "") -> bool:
        """Let somebody ask there again; as `block`. Only those who manage it unblock themselves."""
        community = await self._moderated(by)
        if person == by.person and by.manages is None:
            raise NotAllowedError(_NOT_A_MANAGER)
        deed = _deed("unblock", by, community, person.id, reason)
        changed = await self._registry.unblock(person, deed)
        self._clerk.wake()
        return changed

    async def purge(
        self,
        by: Actor,
        *,
        person: Person | None = None,
        channel: str | None = None,
        threads: Sequence[str] = (),
        within_s: float,
        reason: str = "",
    ) -> int:
        """Delete the pictures of somebody, or of a channel, asked for lately; cancel what waits.

        threads  of that channel

        Returns how many jobs. Raises NotAllowedError, GalleryError, LedgerError; done again it goes
        on where it ended.
        """
        community = await self._moderated(by)
        found = await self._registry.jobs_in(
            by.person.home,
            community,
            channels=None if channel is None else (channel, *threads),
            person=None if person is None else person.id,
            since_s=self._clock() - within_s,
        )
        target = person.id if person is not None else channel or ""
        await self._registry.note(_deed("purge", by, community, target, reason))
        for record in found:
            deed = _deed("delete", by, community, record.job.id, reason)
            await self._removal.remove(record, deed)
        return len(found)

    async def report(self, job_id: str, by: Viewer, reason: str) -> None:
        """Somebody reports pictures that they see.

        Raises UnknownJobError, NotAllowedError, JobRefusedError, LedgerError.
        """
        record = await self._ledger.get(job_id)
        if not policy.sees(record.job, by):
            raise NotAllowedError(policy.NOT_SHOWN_TO_YOU)
        check_there(record)
        venue = record.job.origin.venue
        house = await self._gate.house(venue.home, venue.community)
        if house.desk is None:
            raise JobRefusedError(
                say("Nobody takes reports here. Tell a moderator of this server.")
            )
        reason = reason[:MAX_REASON_CHARS]
        case = case_of(record.job, "reported", (), self._clock())
        # Why stands in the report, which goes when its days are over, and not in the audit.
        deed = Deed("report", by.person.id, venue.home, venue.community, job_id)
        added = await self._registry.report(case, Report(by.person, reason), deed, self._clock())
        if added is None:
            raise JobRefusedError(_REPORTED)
        self._clerk.wake()

    async def case(self, case_id: str, by: Actor) -> Case:
        """One that somebody may decide; raises UnknownJobError, NotAllowedError, LedgerError."""
        community = await self._moderated(by)
        case = await self._registry.case(case_id)
        if (case.venue.home, case.venue.community) != (by.person.home, community):
            raise NotAllowedError(_NOT_A_MODERATOR)
        return case

    async def decide(self, case_id: str, act: DeskAct, by: Actor, reason: str = "") -> Case:
        """Do what somebody pressed at the desk; done again it changes nothing.

        Raises UnknownJobError, NotAllowedError, IllegalMoveError, GalleryError, LedgerError.
        """
        case = await self.case(case_id, by)
        community = await self._moderated(by)
        reason = reason[:MAX_REASON_CHARS]
        match act:
            case "warn":
                await self._warn(case, by, community, reason)
            case "block":
                await self.block(case.about, by, reason=reason)
            case "unblock":
                await self.unblock(case.about, by, reason=reason)
            case _:
                await self._decide_pictures(case, act, by, reason)
        self._clerk.wake()
        return await self._registry.case(case_id)

    async def give_up(self, job_id: str, days: int) -> None:
        """Cancel a job about which no moderator decided within so many days.

        Raises GalleryError, LedgerError.
        """
        record = await self._ledger.get(job_id)
        if record.state is not State.REVIEW:
            return
        community = record.job.origin.venue.community
        sentence = say_many(
            "No moderator decided about these pictures in {count} day.",
            "No moderator decided about these pictures in {count} days.",
            days,
        )
        deed = Deed("cancel", RULES, record.job.home, community, job_id)
        await self._removal.cancel(record, sentence, deed)
        self._clerk.wake()

    async def message_gone(self, home: str, message: str) -> None:
        """A job's card was deleted in the home itself, by somebody of whom it does not say."""
        record = await self._registry.job_of(home, message)
        if record is None:
            return
        with in_job(record.job.id):
            log.info("its message was deleted")
            if record.state in FINAL:
                await self._removal.remove(record, self._elsewhere(record))
            else:
                self._worker.card_gone(record.job)

    async def channel_gone(self, home: str, community: str, channel: str) -> None:
        """A channel was deleted, with all the cards in it, and perhaps the desk."""
        if (await self._gate.house(home, community)).desk == channel:
            deed = Deed("desk", ELSEWHERE, home, community)
            await self._change(
                deed, community, lambda house: replace(house, desk=None), must_make_sense=False
            )
        for record in await self._registry.jobs_in(home, community, channels=[channel]):
            if record.state in FINAL:
                await self._removal.remove(record, self._elsewhere(record))
            else:
                self._worker.card_gone(record.job)

    def _elsewhere(self, record: Record) -> Deed:
        community = record.job.origin.venue.community
        return Deed("delete", ELSEWHERE, record.job.home, community, record.job.id)

    async def audit(self, by: Actor, *, limit: int, before: int | None = None) -> list[Entry]:
        """What was done in the community, the latest first; raises NotAllowedError, LedgerError."""
        home, community = self._managed(by)
        return await self._registry.audit(home, community, limit=limit, before=before)

    async def exported(self, by: Actor, *, limit: int) -> list[Entry]:
        """The audit, to be taken away, which is written down as well; as `audit`."""
        _, community = self._managed(by)
        await self._registry.note(_deed("export", by, community))
        return await self.audit(by, limit=limit)

    async def _decide_pictures(self, case: Case, act: DeskAct, by: Actor, reason: str) -> None:
        if case.job_id is None:
            raise IllegalMoveError(_NO_JOB)
        record = await self._ledger.get(case.job_id)
        community = case.venue.community
        if act == "delete":
            # Whatever was deleted of it before: others may show the same.
            deed = _deed("delete", by, community, case.job_id, reason)
            await self._removal.remove(record, deed)
            return
        if case.state == "deleted" or record.deleted is not None:
            raise IllegalMoveError(_DECIDED)
        if act == "blur" and record.state in UNDRAWN:
            raise IllegalMoveError(_TOO_EARLY)
        wanted: CaseState = "blurred" if act == "blur" else "approved"
        if case.state == wanted:
            return
        kind: DeedKind = "blur" if act == "blur" else "approve"
        deed = _deed(kind, by, community, case.job_id, reason)
        showing = record.job.showing
        if act == "blur":
            showing = replace(showing, spoiler=True, held=True)
        elif "blurred" in {case.kind, case.state}:
            showing = replace(showing, spoiler=False, held=False)
        if record.state is State.REVIEW:
            await self._approve(record, showing, deed)
        elif record.state in ON_CARD | {State.UNDELIVERED} and (
            act == "blur" or showing != record.job.showing
        ):
            before, is_on_card = record.job.showing, record.state in ON_CARD
            amend = is_on_card and showing != before
            try:
                await self._ledger.show_as(
                    case.job_id, showing, before=before, deed=deed, amend=amend
                )
            except IllegalMoveError:  # somebody changed it meanwhile
                await self._decide_pictures(case, act, by, reason)
        else:
            decided = await self._registry.decide(case.id, wanted, deed)
            if decided.state != wanted:  # they went in this very moment
                raise IllegalMoveError(_DECIDED)

    async def _approve(self, record: Record, showing: Showing, deed: Deed) -> None:
        """Show what was held back."""
        try:
            approved = await self._ledger.move(
                record.job.id,
                State.DRAWN,
                showing=showing,
                deed=deed,
                before=frozenset({State.REVIEW}),
            )
        except IllegalMoveError as error:  # somebody else decided first
            now = await self._ledger.get(record.job.id)
            if now.state is State.CANCELLED or now.deleted is not None:
                raise IllegalMoveError(_DECIDED) from error
            return
        with in_job(record.job.id):
            log.info("approved")
            self._worker.hand_over(approved)

    async def _warn(self, case: Case, by: Actor, community: str, reason: str) -> None:
        because = say("Their reason: “{reason}”.", reason=reason) if reason else ""
        said = sentences(say("A moderator warns you about what you asked for."), because)
        if case.prompt:
            prompt = one_line(case.prompt, _NAMED_CHARS)
            said = sentences(said, say("It is about “{prompt}”.", prompt=prompt))
        elif case.job_id is not None:
            said = sentences(said, say("It is about the job {job}.", job=case.job_id))
        await self._registry.warn(
            case.id, _deed("warn", by, community, case.about.id, reason), said
        )

    async def _set(
        self, kind: DeedKind, by: Actor, changed: Callable[[House], House], reason: str = ""
    ) -> House:
        _, community = self._managed(by)
        deed = _deed(kind, by, community, reason=reason)
        return await self._change(deed, community, changed, must_make_sense=True)

    async def _change(
        self,
        deed: Deed,
        community: str,
        changed: Callable[[House], House],
        *,
        must_make_sense: bool,
    ) -> House:
        async def change(house: House) -> House:
            after = changed(house)
            if must_make_sense:
                self._check(after)
            settings = Settings(after.desk, after.paused, after.keep_days)
            await self._registry.set_settings(settings, deed, before=house)
            return after

        return await self._as_read(deed.home, community, change)

    async def _as_read(
        self, home: str, community: str, change: Callable[[House], Awaitable[T]]
    ) -> T:
        """Change what a community has said; once more where another bot changed it meanwhile."""
        async with self._changing:
            while True:
                house = await self._gate.house(home, community)
                try:
                    return await change(house)
                except IllegalMoveError:
                    log.info("it was changed by another bot meanwhile, and is read again")
                finally:
                    self._gate.changed(home, community)

    def _check(self, house: House) -> None:
        objection = rules.objection(house, self._gate.usual)
        if objection is not None:
            raise JobRefusedError(objection)

    def _managed(self, by: Actor) -> tuple[str, str]:
        """The community that somebody manages; raises NotAllowedError."""
        if by.manages is None or by.manages.community is None:
            raise NotAllowedError(_NOT_A_MANAGER)
        return by.manages.home, by.manages.community

    async def _moderated(self, by: Actor) -> str:
        """The community in which somebody moderates; raises NotAllowedError, LedgerError.

        That is who manages it, or may delete messages in the channel of its desk: whoever moderates
        another channel moderates that alone.
        """
        venue = by.manages or by.moderates
        if venue is None:
            raise NotAllowedError(_NOT_A_MODERATOR)
        if venue.community is None:
            raise NotAllowedError(_NOT_IN_PRIVATE)
        house = await self._gate.house(venue.home, venue.community)
        if by.manages is None and venue.channel != house.desk:
            raise NotAllowedError(_NOT_A_MODERATOR)
        return venue.community


def _deed(
    kind: DeedKind, by: Actor, community: str | None, target: str = "", reason: str = ""
) -> Deed:
    return Deed(kind, by.person.id, by.person.home, community, target, reason)
