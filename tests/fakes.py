"""Public fakes: they keep the real thing's promises, and a test holds their strings."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from bot.core.card import Card
from bot.core.case import AtDesk, Notice
from bot.core.job import Job, Origin, Record
from bot.core.moderators import Moderators
from bot.core.ports.gallery import Picture
from bot.core.ports.home import LendPictures
from bot.core.privacy import Privacy
from bot.core.stage import Stage
from bot.core.studio import Studio
from bot.core.verdict import Finding, Term
from bot.errors import AwayError, CardGoneError
from bot.homes.cards.message import Seen
from sdxl_engine import (
    GeneratedImage,
    ImageRequest,
    Images,
    InvalidRequestError,
    Progress,
)
from sdxl_engine.request import MAX_INFERENCE_STEPS, NO_PICTURES, ModelCard, Pictures

_PATIENCE_S = 240  # a test that forgets to open a gate fails instead of hanging


class Gate:
    """A door between a pipeline's steps: open, or one step a permit."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)
        self._open = threading.Event()

    def let_through(self, steps: int) -> None:
        """Let the next steps through."""
        self._permits.release(steps)

    def open(self) -> None:
        """Let everything through from now on."""
        self._open.set()
        self._permits.release()

    def wait(self) -> None:
        """Wait for a permit (on the engine thread)."""
        if self._open.is_set():
            return
        if not self._permits.acquire(timeout=_PATIENCE_S):
            raise TimeoutError("the test opened no gate")


@dataclass(frozen=True)
class FakeLora:
    """Implements `KnownLora`."""

    problem: str | None


def card_of(request: ImageRequest) -> ModelCard:
    return ModelCard(request.model or "doodle")


def _needed(request: ImageRequest) -> tuple[str, ...]:
    return () if request.source is None else request.source.pictures


class FakePipeline:
    """Draws noise that depends on the prompt, the seed and the image's place, at once.

    sizes    the warm sizes, the model's own first
    loras    what each one's problem is, by name
    models   the names of the models, the first drawn with when none is asked for
    gate     waited for before each step
    failure  raised after the first step
    checks   the categories of its picture check
    scores   what that gives every image; None: nobody looks
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]] = ((64, 64),),
        *,
        loras: Mapping[str, str | None] = MappingProxyType({}),
        models: Sequence[str] = ("doodle",),
        gate: Gate | None = None,
        failure: Exception | None = None,
        checks: Sequence[str] = (),
        scores: Mapping[str, float] | None = None,
    ) -> None:
        self.checks = tuple(checks)
        self.scores = scores
        self.sizes = tuple(sizes)
        self.loras = {name: FakeLora(problem) for name, problem in loras.items()}
        self.models = tuple(models)
        self.device = "1 x pencil"
        self.failure = failure
        self.requests: list[ImageRequest] = []
        self.pictures: list[Pictures] = []  # what each request started from
        self._gate = gate

    def check(self, request: ImageRequest) -> None:
        if (request.width_px, request.height_px) not in self.sizes:
            raise InvalidRequestError("This size is not warm. Take another.")
        if request.model not in {None, *self.models}:
            raise InvalidRequestError(f"There is no model {request.model} here.")
        for lora in request.loras:
            if lora.name not in self.loras:
                raise InvalidRequestError(f"There is no LoRA {lora.name} here.")

    def resolved(self, request: ImageRequest) -> ImageRequest:
        return replace(request, sampler=request.sampler or "euler")

    def card(self, request: ImageRequest) -> ModelCard:
        return card_of(request)

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        self.check(request)
        self.requests.append(request)
        self.pictures.append({one: pictures[one] for one in _needed(request)})
        steps = request.num_inference_steps
        for step in range(1, steps + 1):
            if self._gate is not None:
                self._gate.wait()
            if self.failure is not None:
                raise self.failure
            if step < steps:
                yield Progress(step, steps, self._draw(request) if previews else ())
        yield Progress(steps, steps, fetch=lambda: self._draw(request))

    def _draw(self, request: ImageRequest) -> Images:
        return tuple(replace(one, scores=self.scores) for one in drawn(request))


def drawn(request: ImageRequest) -> Images:
    """What a fake pipeline makes of a request."""
    width_px, height_px = request.result_px
    indices = range(request.first_index, request.first_index + request.num_images)
    noises = {k: random.Random(f"{request.prompt}/{request.seed}/{k}") for k in indices}
    return tuple(
        GeneratedImage(
            k, request.seed, width_px, height_px, noise.randbytes(3 * width_px * height_px)
        )
        for k, noise in noises.items()
    )


class FakeFilter:
    """Finds its own terms and a community's as they are written, anywhere in a text."""

    def __init__(self) -> None:
        self.terms: list[Term] = []

    def findings(
        self,
        texts: Mapping[str, str],
        terms: Sequence[Term] = (),
        *,
        steps: int = MAX_INFERENCE_STEPS,
    ) -> tuple[Finding, ...]:
        return tuple(
            Finding(term.measure, term.category, term.text, where)
            for where, text in texts.items()
            for term in (*self.terms, *terms)
            if term.text in text
        )

    def checked(self, term: Term) -> Term:
        if len(term.text) < 2:
            raise InvalidRequestError("A term has two letters at least.")
        return term


class FakeHome:
    """Remembers every stage, delivery and last word; a test waits for the one it means.

    failure   raised by every delivery
    arrivals  how many deliveries were begun
    """

    stands_by = False
    shards = ()

    def __init__(self, failure: Exception | None = None, name: str = "village") -> None:
        self.name = name
        self.is_online = True
        self.studio: Studio | None = None
        self.shown: list[tuple[str, Stage]] = []
        self.delivered: dict[str, tuple[Picture, ...]] = {}
        self.told: dict[str, str] = {}
        self.apologies: dict[str, str] = {}  # by the event in which something was wished
        self.apologies_in: dict[str, str] = {}  # and for which locale
        self.mentioned: list[str] = []
        self.forgotten: list[str] = []
        self.amended: list[Record] = []
        self.cases: dict[str, AtDesk] = {}  # as the desk shows them
        self.at_desk: dict[str, tuple[Picture, ...]] = {}  # with these pictures
        self.notices: list[Notice] = []
        self.away: list[Exception] = []  # raised one by one by what the clerk brings
        self.untold: Exception | None = None  # raised by every notice
        self.unshown: set[str] = set()  # cases for which the home is away
        self.jobs: dict[str, Job] = {}
        self.arrivals = 0
        self.deliveries_open = asyncio.Event()
        self.deliveries_open.set()
        self._failure = failure
        self._changed = asyncio.Event()

    def attend(self, studio: Studio, moderators: Moderators, privacy: Privacy) -> None:
        self.studio = studio
        self.moderators = moderators

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def offer(self, sizes: tuple[tuple[int, int], ...]) -> None:
        return

    def stages(self, job: Job) -> list[Stage]:
        """What was shown of a job, in order."""
        return [stage for job_id, stage in self.shown if job_id == job.id]

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        self.jobs[job.id] = job
        self.shown.append((job.id, stage))
        self._changed.set()

    def places_changed(self) -> None:
        self._changed.set()

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        self.jobs[job.id] = job
        async with lend() as pictures:
            self.arrivals += 1
            self._changed.set()
        # As after a try that failed, before the next.
        await self.deliveries_open.wait()
        if self._failure is not None:
            raise self._failure
        assert job.id not in self.delivered
        self.delivered[job.id] = pictures
        self._changed.set()

    async def tell(self, job: Job, sentence: str, *, takes_back: bool) -> None:
        assert job.id not in self.told
        self.told[job.id] = sentence
        self._changed.set()

    async def apologize(self, origin: Origin, sentence: str, locale: str) -> None:
        assert origin.event is not None
        self.apologies[origin.event] = sentence
        self.apologies_in[origin.event] = locale
        self._changed.set()

    async def mention(self, job: Job) -> None:
        self.mentioned.append(job.id)
        self._changed.set()

    async def amend(self, record: Record) -> None:
        self._let_pass()
        self.amended.append(record)
        self._changed.set()

    async def show_case(self, one: AtDesk, pictures: Sequence[Picture]) -> str:
        self._let_pass()
        if one.case.id in self.unshown:
            raise AwayError("away")
        self.cases[one.case.id] = one
        self.at_desk[one.case.id] = tuple(pictures)
        self._changed.set()
        return f"desk/{one.case.id}"

    async def notify(self, notice: Notice) -> None:
        self._let_pass()
        if self.untold is not None:
            raise self.untold
        self.notices.append(notice)
        self._changed.set()

    def _let_pass(self) -> None:
        if self.away:
            raise self.away.pop(0)

    async def forget(self, job: Job) -> None:
        self.forgotten.append(job.id)
        self._changed.set()

    async def close(self, timeout_s: float) -> None:
        return

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is looked at after each report and delivery."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class FakeMessage:
    """A message whose edits are kept, and held up or refused as the test says.

    lost     raised after an edit was made, as when the answer does not arrive
    is_gone  somebody deleted it
    is_over  what it showed before anybody here edited it says that its job is over
    unreadable  how often reading it fails from now on
    strays   edits that were given up, and come before it is read the next time
    """

    def __init__(self) -> None:
        self.edits: list[Card] = []
        self.failures: list[Exception] = []
        self.lost: list[Exception] = []
        self.strays: list[Card] = []
        self._last: Card | None = None
        self.is_gone = False
        self.is_over = False
        self.unreadable = 0
        self.open = asyncio.Event()
        self.open.set()
        self.attempts = 0
        self.reads = 0
        self._edited = asyncio.Event()

    async def edit(self, card: Card, *, is_last: bool = False) -> None:
        self.attempts += 1
        self._edited.set()
        await self.open.wait()
        if self.is_gone:
            raise CardGoneError("It was deleted.")
        if self.failures:
            raise self.failures.pop(0)
        self.edits.append(card)
        self._last = card
        self._edited.set()
        if self.lost:
            raise self.lost.pop(0)

    async def read(self) -> Seen | None:
        self.reads += 1
        self._edited.set()
        if self.is_gone:
            raise CardGoneError("It was deleted.")
        if self.unreadable:
            self.unreadable -= 1
            return None
        self.edits += self.strays
        self.strays.clear()
        is_last = self._last is not None and self.edits[-1].status == self._last.status
        shown = next((card.pictures for card in reversed(self.edits) if card.pictures), ())
        return Seen(tuple(one.filename for one in shown), is_over=self.is_over, is_last=is_last)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is looked at whenever an edit begins or ends."""
        while not condition():
            self._edited.clear()
            await self._edited.wait()


class FakeSleep:
    """A sleep that takes no time and remembers what was asked of it."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []

    async def __call__(self, delay_s: float) -> None:
        self.delays_s.append(delay_s)
