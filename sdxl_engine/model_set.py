"""Several models on the same devices, one of which a request may name."""

from collections.abc import Iterator, Mapping, Sequence

from sdxl_engine.errors import CheckpointError, InvalidRequestError
from sdxl_engine.lora.folder import LoraFacts
from sdxl_engine.pipeline import SdxlPipeline
from sdxl_engine.request import ImageRequest, ModelCard, Progress


class ModelSet:
    """Models that are all on the devices; implements `Pipeline`.

    pipelines  the first draws what names no model

    Raises CheckpointError for two of one name.
    """

    def __init__(self, pipelines: Sequence[SdxlPipeline]) -> None:
        self._first = pipelines[0]
        self._by_name = {one.models[0]: one for one in pipelines}
        if len(self._by_name) < len(pipelines):
            raise CheckpointError(
                "Two models have one name: requests could not choose between them. Rename one of: "
                f"{', '.join(one.model_name for one in pipelines)}."
            )

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
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""
        return self._first.device

    def warm_up(self, sizes: Sequence[tuple[int, int]] = (), *, num_images: int = 4) -> float:
        """As `SdxlPipeline.warm_up`, for all; models of one shape share their programs."""
        seconds = 0.0
        warm: list[SdxlPipeline] = []
        for one in self._by_name.values():
            alike = next((other for other in warm if other.shapes == one.shapes), None)
            if alike is not None:
                one.programs = alike.programs
                continue
            seconds += one.warm_up(sizes or (self._first.native_size,), num_images=num_images)
            warm.append(one)
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

    def generate(self, request: ImageRequest, *, previews: bool = False) -> Iterator[Progress]:
        """See `Pipeline.generate`."""
        return self._of(request).generate(request, previews=previews)

    def _of(self, request: ImageRequest) -> SdxlPipeline:
        pipeline = self._first if request.model is None else self._by_name.get(request.model)
        if pipeline is None:
            raise InvalidRequestError(
                f"There is no model {request.model!r} here. Choose one of: "
                f"{', '.join(self._by_name)}."
            )
        return pipeline
