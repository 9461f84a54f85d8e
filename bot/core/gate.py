"""What stands before every wish: a pause, a block, a community's rules, the filter."""

import asyncio
import logging
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeGuard

from bot.core import rules
from bot.core.audit import RULES, Deed, DeedKind
from bot.core.card import Link, Moment
from bot.core.case import Block
from bot.core.job import Job, Person, Showing, Venue
from bot.core.ports.engine import Model
from bot.core.ports.prompt_filter import PromptFilter
from bot.core.ports.registry import Registry
from bot.core.rules import Circumstances, House, Rules
from bot.core.verdict import UNNAMED, Finding, Measure, Thresholds, outside, strictest
from bot.errors import JobRefusedError
from sdxl_engine.errors import InvalidRequestError, PictureCheckError
from sdxl_engine.request import MAX_INFERENCE_STEPS, ImageRequest, Images
from sdxl_engine.sentence import all_of, say, sentences

log = logging.getLogger(__name__)

_MOST_HOUSES: Final = 256  # kept in memory; a list of terms may have a megabyte
_MOST_NAMED: Final = 5  # channels
_NO_HOUSE: Final = House()
_NO_RULES: Final = Rules()
_NOT_HERE: Final = say("The bot may not be used in this channel. Ask a moderator where it may.")
_NOT_BY_YOU: Final = say(
    "A role of yours is barred from the bot here. Ask a moderator if you think that this is a "
    "mistake."
)
_WHOSE_ROLES: Final = say(
    "What you may do here depends on your roles, and they cannot be seen now. Ask again in a "
    "minute."
)
_PRIVATE: Final = say(
    "Here pictures are shown to the one who asked alone. Choose private, and ask again."
)
_PAUSED: Final = say("A moderator has paused the bot here.")
_BLOCKED: Final = say("You may not ask for pictures here: a moderator has blocked you.")
_ASK_MODERATORS: Final = say("Ask a moderator if you think that this is a mistake.")
_NO_DESK: Final = say(
    "A moderator would have to look at it first, and there is no place for that here."
)
_UNSEEN: Final = say("The picture check gave no verdict, so nothing is shown. Ask again.")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What comes of a wish, or of pictures.

    refused  why nothing does, as a sentence; None: something does
    rules    those in force
    """

    showing: Showing
    findings: tuple[Finding, ...]
    refused: str | None = None
    rules: Rules = _NO_RULES

    @property
    def measure(self) -> Measure | None:
        """The strictest of what was found; None: nothing was."""
        return strictest(self.findings)


class Gate:
    """Says what holds for whom, and lets nothing pass that may not.

    prompt_filter  reads what is asked for
    thresholds     from which scores on pictures are reviewed, or blocked
    adult          categories that are no concern in places for adults
    usual          what holds where a community says nothing
    """

    def __init__(
        self,
        registry: Registry,
        prompt_filter: PromptFilter,
        thresholds: Thresholds,
        *,
        adult: Collection[str],
        usual: Rules,
    ) -> None:
        self._registry = registry
        self._filter = prompt_filter
        self._thresholds = thresholds
        self._adult = adult
        self._usual = usual
        self._houses: dict[tuple[str, str], House] = {}
        self._changes = 0
        self._reading = asyncio.Lock()

    @property
    def usual(self) -> Rules:
        """What holds where a community says nothing."""
        return self._usual

    async def house(self, home: str, community: str | None) -> House:
        """All that a community has said; a private channel says nothing. Raises LedgerError."""
        if community is None:
            return _NO_HOUSE
        key = home, community
        known = self._houses.get(key)
        if known is not None:
            return known
        changes = self._changes
        house = await self._registry.house(home, community)
        if changes == self._changes:  # else it may be what was said before
            if len(self._houses) >= _MOST_HOUSES:
                del self._houses[next(iter(self._houses))]
            self._houses[key] = house
        return house

    def changed(self, home: str, community: str) -> None:
        """It has said something else."""
        self._changes += 1
        self._houses.pop((home, community), None)

    def all_changed(self) -> None:
        """Communities may have said something else, by another bot."""
        self._changes += 1
        self._houses.clear()

    async def in_force(self, venue: Venue, around: Circumstances) -> Rules:
        """What holds for somebody there; raises JobRefusedError, LedgerError."""
        house = await self.house(venue.home, venue.community)
        return self._in_force(house, venue, around)

    def _in_force(self, house: House, venue: Venue, around: Circumstances) -> Rules:
        looks = house.looks_at_roles(venue.channel, around.within)
        if looks and not around.knows_roles:
            raise JobRefusedError(_WHOSE_ROLES)
        return rules.in_force(house, self._usual, venue.channel, around)

    async def admit(
        self, person: Person, venue: Venue, around: Circumstances, now_s: float
    ) -> Rules:
        """Whether somebody may ask there at all; returns what holds for them.

        Raises JobRefusedError, LedgerError.
        """
        house = await self.house(venue.home, venue.community)
        if house.paused is not None:
            raise JobRefusedError(sentences(_PAUSED, _reason(house.paused)), repeatable=False)
        if venue.community is not None:
            block = await self._registry.block_of(person, venue.community, now_s)
            if block is not None:
                raise JobRefusedError(_said(block), repeatable=False)
        in_force = self._in_force(house, venue, around)
        if not in_force.use:
            barred = rules.bars(house, venue.channel, around)
            why = _NOT_BY_YOU if barred else self._not_here(house, around)
            raise JobRefusedError(why, repeatable=False)
        return in_force

    async def check(
        self, job: Job, in_force: Rules, request: ImageRequest, model: Model | None
    ) -> Ruling:
        """Whether a job may be taken in as it is, and how it is shown then.

        request  what would be drawn
        model    what draws; None while it is not warm

        Raises LedgerError, and InvalidRequestError for a prompt that changes too much to be read.
        """
        too_much = rules.refusal(in_force, request, "" if model is None else model.models[0])
        if too_much is not None:
            return Ruling(job.showing, (), too_much, in_force)
        if in_force.private and not job.showing.private:
            return Ruling(job.showing, (), _PRIVATE, in_force)
        house = await self.house(job.home, job.origin.venue.community)
        findings = await self._read(job, request, house, adult=bool(in_force.adult))
        measure = strictest(findings)
        showing = replace(
            job.showing,
            spoiler=job.showing.spoiler or bool(in_force.spoiler),
            held=job.showing.held or bool(in_force.spoiler),
            review=bool(in_force.review) or measure == "review",
            adult=bool(in_force.adult),
        )
        refused = None
        if measure == "block":
            refused = sentences(_listed(findings), _ASK_MODERATORS)
        elif house.desk is None and showing.awaits_review:
            refused = sentences(_listed(findings) if measure == "review" else "", _NO_DESK)
        return Ruling(showing, findings, refused, in_force)

    async def read(self, job: Job, request: ImageRequest) -> tuple[Finding, ...]:
        """What the filter finds in a job that was taken in; raises LedgerError."""
        house = await self.house(job.home, job.origin.venue.community)
        try:
            return await self._read(job, request, house, adult=job.showing.adult)
        except InvalidRequestError:  # taken in by what was read then
            return ()

    async def look(self, job: Job, images: Images, model: Model | None) -> Ruling:
        """How a job's pictures are to be shown, and whether; raises LedgerError.

        Fails closed: raises PictureCheckError where there is a check, and no verdict.
        """
        findings = self._seen(job, images, model)
        measure = strictest(findings)
        showing = job.showing
        if measure == "review":
            showing = replace(showing, spoiler=True, held=True)
        if measure == "block":
            house = await self.house(job.home, job.origin.venue.community)
            if house.desk is None:
                return Ruling(showing, findings, sentences(_shown_not(findings), _ASK_MODERATORS))
            showing = replace(showing, review=True)
        return Ruling(showing, findings)

    def passes(self, job: Job, previews: Images, model: Model | None) -> bool:
        """Whether previews may be shown: nothing is found in them, and nobody is to look first."""
        if job.showing.awaits_review:
            return False
        try:
            return not self._seen(job, previews, model)
        except PictureCheckError:
            return False

    async def hides(self, venue: Venue, around: Circumstances, text: str) -> bool:
        """Whether the filter there blocks a text that somebody wants to see, or cannot read it.

        Raises JobRefusedError, LedgerError.
        """
        house = await self.house(venue.home, venue.community)
        in_force = self._in_force(house, venue, around)
        try:
            found = await self._found({"text": text}, house, adult=bool(in_force.adult))
        except InvalidRequestError:
            return True
        return strictest(found) == "block"

    async def found(self, text: str, house: House) -> tuple[Finding, ...]:
        """What the lists that hold in a community find in a prompt; raises InvalidRequestError."""
        return await self._found({"prompt": text}, house, adult=False)

    async def _read(
        self, job: Job, request: ImageRequest, house: House, *, adult: bool
    ) -> tuple[Finding, ...]:
        steps = request.num_inference_steps
        return await self._found(_texts_of(job, request), house, adult=adult, steps=steps)

    async def _found(
        self,
        texts: Mapping[str, str],
        house: House,
        *,
        adult: bool,
        steps: int = MAX_INFERENCE_STEPS,
    ) -> tuple[Finding, ...]:
        # On a thread: a list that was changed is made ready at the first text after that. One after
        # the other: who asked first is taken in first.
        async with self._reading:
            found = await asyncio.to_thread(self._filter.findings, texts, house.terms, steps=steps)
        return outside(self._adult, found) if adult else found

    def _not_here(self, house: House, around: Circumstances) -> str:
        channels = rules.channels_of_use(house, self._usual, around)
        if not channels or len(channels) > _MOST_NAMED:
            return _NOT_HERE
        links = all_of(Link("channel", one) for one in channels)
        return say("The bot may not be used in this channel, but in {channels}.", channels=links)

    def _seen(self, job: Job, images: Images, model: Model | None) -> tuple[Finding, ...]:
        if model is None:  # what drew them is gone, and with it what it looked with
            raise PictureCheckError(_UNSEEN)
        if not model.checks:
            return ()
        found: list[Finding] = []
        for image in images:
            scores = image.scores
            if not _is_verdict(scores, model.checks):
                log.error("picture %d has the scores %s", image.index, scores)
                raise PictureCheckError(_UNSEEN)
            where = f"picture {image.index + 1}"
            found += self._thresholds.findings(scores, where)
        return outside(self._adult, found) if job.showing.adult else tuple(found)


def _is_verdict(
    scores: Mapping[str, float] | None, checks: Collection[str]
) -> TypeGuard[Mapping[str, float]]:
    """Whether each category has a score from 0 to 1; what is no number is neither."""
    return (
        scores is not None
        and scores.keys() == set(checks)
        and all(0 <= score <= 1 for score in scores.values())
    )


def by_rules(kind: DeedKind, job: Job, findings: Iterable[Finding]) -> Deed:
    """What the rules themselves did about a job; not what was asked for, which may be forgotten."""
    categories = ", ".join(dict.fromkeys(one.category for one in findings))
    venue = job.origin.venue
    return Deed(kind, RULES, venue.home, venue.community, job.id, categories)


def _said(block: Block) -> str:
    until = ""
    if block.until_s is not None:
        until = say("It ends {when}.", when=Moment(math.ceil(block.until_s)))
    return sentences(_BLOCKED, _reason(block.reason), until)


def _reason(said: str) -> str:
    """Why a moderator did it, where they said so."""
    return say("Their reason: “{reason}”.", reason=said) if said else ""


def _listed(findings: Iterable[Finding]) -> str:
    """Which lists a prompt is on; not by what word, or the list would be read off it."""
    categories = dict.fromkeys(one.category for one in findings if one.measure != "warn")
    if categories.keys() <= {UNNAMED}:
        return say("The filter here does not let this pass.")
    return say(
        "The filter here does not let this pass: {categories}.", categories=all_of(categories)
    )


def _shown_not(findings: Iterable[Finding]) -> str:
    categories = dict.fromkeys(one.category for one in findings)
    return say(
        "The picture check found what is not shown here: {categories}.",
        categories=all_of(categories),
    )


def _texts_of(job: Job, request: ImageRequest) -> dict[str, str]:
    """All that a model would read, and what people typed to have it so.

    A style's words are in the request's prompts; a LoRA acts by its name and by words of its own,
    which are in the prompt.
    """
    wish = job.wish
    texts = {
        "prompt": request.prompt,
        "negative prompt": request.negative_prompt or "",
        "LoRAs": " ".join(lora.name for lora in request.loras),
    }
    if wish.prompt != request.prompt:
        texts["prompt as typed"] = wish.prompt
    return {where: text for where, text in texts.items() if text}
