"""Public fakes: they keep the real thing's promises, and a test holds their strings."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence

from bot.discord_app.message import Attachment
from bot.jobs import Job, State
from sdxl_engine import (
    GeneratedImage,
    ImageRequest,
    Images,
    InvalidRequestError,
    Progress,
)

_PATIENCE_S = 60  # a test that forgets to open a gate fails instead of hanging


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


class FakePipeline:
    """Draws noise that depends on the prompt, the seed and the image's place, at once.

    sizes    the warm sizes, the model's own first
    gate     waited for before each step
    failure  raised after the first step
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]] = ((64, 64),),
        *,
        gate: Gate | None = None,
        failure: Exception | None = None,
    ) -> None:
        self.sizes = tuple(sizes)
        self.failure = failure
        self.requests: list[ImageRequest] = []
        self._gate = gate

    def check(self, request: ImageRequest) -> None:
        if (request.width_px, request.height_px) not in self.sizes:
            raise InvalidRequestError("This size is not warm. Take another.")

    def generate(self, request: ImageRequest, *, previews: bool = False) -> Iterator[Progress]:
        self.check(request)
        self.requests.append(request)
        steps = request.num_inference_steps
        for step in range(1, steps + 1):
            if self._gate is not None:
                self._gate.wait()
            if self.failure is not None:
                raise self.failure
            if step < steps:
                yield Progress(step, steps, _draw(request) if previews else ())
        yield Progress(steps, steps, fetch=lambda: _draw(request))


def _draw(request: ImageRequest) -> Images:
    width_px, height_px = request.width_px, request.height_px
    noises = [
        random.Random(f"{request.prompt}/{request.seed}/{k}") for k in range(request.num_images)
    ]
    return tuple(
        GeneratedImage(
            k, request.seed, width_px, height_px, noise.randbytes(3 * width_px * height_px)
        )
        for k, noise in enumerate(noises)
    )


class FakeDesk:
    """Remembers every report and delivery; a test waits for the one it means.

    failure  raised by every delivery
    """

    def __init__(self, failure: Exception | None = None) -> None:
        self.reports: list[tuple[str, State]] = []
        self.delivered: dict[str, Images] = {}
        self.jobs: dict[str, Job] = {}
        self.deliveries_open = asyncio.Event()
        self.deliveries_open.set()
        self._failure = failure
        self._changed = asyncio.Event()

    def states(self, job: Job) -> list[State]:
        """What was reported of a job, in order."""
        return [state for job_id, state in self.reports if job_id == job.id]

    def report(self, job: Job, state: State) -> None:
        self.jobs[job.id] = job
        self.reports.append((job.id, state))
        self._changed.set()

    async def deliver(self, job: Job, images: Images) -> None:
        await self.deliveries_open.wait()
        if self._failure is not None:
            raise self._failure
        self.delivered[job.id] = images
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is looked at after each report and delivery."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class FakeMessage:
    """A message whose edits are kept, and held up or refused as the test says."""

    def __init__(self) -> None:
        self.edits: list[tuple[str, Sequence[Attachment] | None]] = []
        self.failures: list[Exception] = []
        self.open = asyncio.Event()
        self.open.set()
        self.attempts = 0
        self._edited = asyncio.Event()

    async def edit(self, text: str, attachments: Sequence[Attachment] | None = None) -> None:
        self.attempts += 1
        self._edited.set()
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.edits.append((text, attachments))
        self._edited.set()

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
