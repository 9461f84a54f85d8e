"""What draws, as the core sees it: a thread in this process, or machines elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sdxl_engine.errors import EngineError
from sdxl_engine.request import (
    NO_PICTURES,
    ImageRequest,
    Images,
    KnownLora,
    ModelCard,
    Pictures,
    Progress,
)

OnProgress = Callable[[Progress], None]


class Model(Protocol):
    """What a warm engine draws with."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The warm sizes as (width_px, height_px); the first is drawn when none is asked for."""

    @property
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""

    @property
    def models(self) -> Sequence[str]:
        """The names of the models; the first is drawn with when none is asked for."""

    @property
    def loras(self) -> Mapping[str, KnownLora]:
        """The LoRAs by name; those with a problem cannot be drawn with.

        It may look at files: to be asked for on a thread.
        """

    @property
    def checks(self) -> Sequence[str]:
        """The categories that its picture check scores in every image; none: it has no check."""

    def check(self, request: ImageRequest) -> None:
        """Raise InvalidRequestError if the request cannot be drawn; costs no device time."""

    def resolved(self, request: ImageRequest) -> ImageRequest:
        """With the model's own sampler where the request names none."""

    def card(self, request: ImageRequest) -> ModelCard:
        """What a picture of it says of the files that drew it.

        To hash them takes seconds the first time: to be asked for on a thread.
        """


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job: whatever comes of another is not this one's.

    number  how often it was begun, this time included
    engine  as its turn names it
    """

    job_id: str
    number: int
    engine: str


class Drawing(Protocol):
    """One request that the engine has."""

    @property
    def attempt(self) -> Attempt:
        """What it is an attempt at, and where."""

    @property
    def silent_s(self) -> float:
        """For how many seconds the device has given no sign of life of it; 0 while it waits."""

    async def sent(self) -> bool:
        """Wait for the time to hand in the next one; False if this one ended without images."""

    async def images(self) -> Images:
        """Wait for the images; raises EngineError, EngineGoneError."""

    def cancel(self) -> None:
        """Stop it; `images` raises JobCancelledError."""


class Engine(Protocol):
    """Draws one request after the other; a pool of them, as many at a time as it has engines."""

    @property
    def outlives(self) -> bool:
        """Whether what it draws goes on when this process ends, and can be asked for by another."""

    @property
    def model(self) -> Model | None:
        """None while it is not warm, or could not become so."""

    @property
    def failure(self) -> EngineError | None:
        """Why it cannot become warm; None: it is, or may yet be."""

    @property
    def silent_s(self) -> float:
        """For how many seconds what it has in hand has given no sign of life."""

    async def warm(self) -> Model:
        """Wait for the model; raises EngineError if it cannot be had."""

    def submit(
        self,
        attempt: Attempt,
        request: ImageRequest,
        on_progress: OnProgress,
        pictures: Pictures = NO_PICTURES,
    ) -> Drawing:
        """Hand a request over; returns at once.

        pictures     those that it starts from
        on_progress  called on the event loop

        Raises EngineError.
        """

    async def resume(self, job_id: str, number: int, on_progress: OnProgress) -> Drawing | None:
        """The drawing of an attempt that another process handed over; None: nobody has it.

        As long as it does not know, it waits. Raises EngineError.
        """
