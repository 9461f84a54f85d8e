"""Several models for the same devices, one of which a request may name.

As many as fit are on the devices; for one that is not, those drawn with longest ago leave.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing

from sdxl_engine.errors import CheckpointError, InvalidRequestError
from sdxl_engine.lora.folder import LoraFacts
from sdxl_engine.pipeline import SdxlPipeline
from sdxl_engine.request import NO_PICTURES, ImageRequest, ModelCard, Pictures, Progress
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

MakeRoom = Callable[[int], None]


class ModelSet:
    """Models that share devices; implements `Pipeline`. Belongs to one thread, as they do.

    loads         each loads a model, and calls what it is given as `SdxlPipeline.load` does its
                  `make_room`; the first model draws what names none
    memory_bytes  of each device, less what its picture checks take; None: all models fit

    Raises CheckpointError for two of one name.
    """

    def __init__(
        self, loads: Iterable[Callable[[MakeRoom], SdxlPipeline]], memory_bytes: int | None
    ) -> None:
        self._memory_bytes = memory_bytes
        self._working_bytes = 0  # what drawing takes beside the weights; nobody draws yet
        self._on_devices: list[SdxlPipeline] = []  # in the order in which they were drawn with
        pipelines = []
        for load in loads:
            pipelines.append(load(self._make_room))
            self._on_devices.append(pipelines[-1])
        self._first = pipelines[0]
        self._by_name = {one.models[0]: one for one in pipelines}
        if len(self._by_name) < len(pipelines):
            raise CheckpointError(
                "Two models have one name: requests could not choose between them. Rename one of: "
                f"{', '.join(one.model_name for one in pipelines)}."
            )

    @property
    def on_devices(self) -> tuple[str, ...]:
        """The names of the models whose weights are there, the one drawn with last at the end."""
        return tuple(one.models[0] for one in self._on_devices)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """See `Pipeline.sizes`."""
        return self._first.sizes

    @property
    def models(self) -> tuple[str, ...]:
        """See `Pipeline.models`."""
        return tuple(self._by_name)

    @property
    def loras(self) -> Mapping[str, LoraFacts]:
        """See `Pipeline.loras`; what is told of one is told of it with the first model."""
        return self._first.loras

    @property
    def checks(self) -> tuple[str, ...]:
        """See `Pipeline.checks`; of all models, each category once."""
        every = (category for one in self._by_name.values() for category in one.checks)
        return tuple(dict.fromkeys(every))

    @property
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""
        return self._first.device

    def warm_up(
        self,
        sizes: Sequence[tuple[int, int]] = (),
        *,
        num_images: int = 4,
        chunks: int = 1,
    ) -> float:
        """As `SdxlPipeline.warm_up`, for all; models of one shape share their programs."""
        seconds = 0.0
        warm: list[SdxlPipeline] = []
        drawing = [one for one in self._by_name.values() if not one.edits]
        # What visits one's call would meet what another still computes.
        alone = any(one.alone for one in self._by_name.values())
        for one in self._by_name.values():
            one.alone = alone
        # Of one that draws nothing here nothing is compiled; where there is no other, it says so.
        for one in drawing or [self._first]:
            alike = next((other for other in warm if other.shapes == one.shapes), None)
            if alike is not None:
                one.programs = alike.programs
                continue
            own = sizes or (self._first.native_size,)
            seconds += one.warm_up(own, num_images=num_images, chunks=chunks)
            warm.append(one)
        self._working_bytes = max(one.working_bytes for one in warm)
        return seconds

    def resolved(self, request: ImageRequest) -> ImageRequest:
        """See `Pipeline.resolved`; raises InvalidRequestError for a model that is not here."""
        return self._of(request).resolved(request)

    def card(self, request: ImageRequest) -> ModelCard:
        """See `Pipeline.card`."""
        return self._of(request).card(request)

    def check(self, request: ImageRequest) -> None:
        """See `Pipeline.check`."""
        self._of(request).check(request)

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Generator[Progress]:
        """See `Pipeline.generate`."""
        pipeline = self._of(request)
        # What it refuses, it refuses before anything is moved.
        progresses = pipeline.generate(request, pictures=pictures, previews=previews)
        return self._drawn(pipeline, progresses)

    def _drawn(
        self, pipeline: SdxlPipeline, progresses: Generator[Progress]
    ) -> Generator[Progress]:
        with closing(progresses):
            is_there = pipeline in self._on_devices
            if is_there:
                self._on_devices.remove(pipeline)
            self._make_room(pipeline.size_bytes)
            if not is_there:
                log.info("putting %s on the device", pipeline.models[0])
                try:
                    pipeline.arrive()
                except BaseException:
                    pipeline.leave()  # what has arrived takes room that nobody counts
                    raise
            self._on_devices.append(pipeline)
            yield from progresses

    def _make_room(self, size_bytes: int) -> None:
        """Have so much free, if all that others have is enough."""
        if self._memory_bytes is None:
            return
        room = self._memory_bytes - self._working_bytes - size_bytes
        while self._on_devices and sum(one.size_bytes for one in self._on_devices) > room:
            oldest = self._on_devices.pop(0)
            log.info("moving %s from the device to the host's memory", oldest.models[0])
            oldest.leave()

    def _of(self, request: ImageRequest) -> SdxlPipeline:
        pipeline = self._first if request.model is None else self._by_name.get(request.model)
        if pipeline is None:
            raise InvalidRequestError(
                say(
                    "There is no model {model} here. Choose one of: {known}.",
                    model=repr(request.model),
                    known=", ".join(self._by_name),
                )
            )
        return pipeline
