"""What an engine of the pool says of itself, as it goes over the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.engines.pool.drawings import Key
from sdxl_engine.request import ImageRequest
from sdxl_engine.thread import Pipeline

APPLICATION: Final = "imagine"  # of Ray Serve
# Its deployment that says who is drawn where; each other is a kind of engine.
TURNS: Final = "turns"


@dataclass(frozen=True, slots=True)
class Warm:
    """What a warm pipeline draws with; it stays as it is for as long as the engine lives.

    samplers  by the names of the models, where a request names none
    """

    device: str
    sizes: tuple[tuple[int, int], ...]
    models: tuple[str, ...]
    samplers: Mapping[str, str | None]
    checks: tuple[str, ...]

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Warm":
        """What a pipeline says."""
        models = tuple(pipeline.models)
        return cls(
            pipeline.device,
            pipeline.sizes,
            models,
            {name: pipeline.resolved(ImageRequest("x", model=name)).sampler for name in models},
            tuple(pipeline.checks),
        )


@dataclass(frozen=True, slots=True)
class Beat:
    """That an engine lives, and what it has.

    kind     of engines, as the configuration calls it
    draws    the models that it is given jobs of, None among them where it draws what names none
    version  of this package, there
    host     the machine
    drawing  what its device works on; None: it is free
    held     that, and what waits for somebody to take it
    """

    engine: str
    kind: str
    draws: frozenset[str | None]
    version: str
    host: str
    warm: Warm
    drawing: Key | None
    held: tuple[Key, ...]


def name_of(kind: str, unique: str) -> str:
    """An engine's, of its kind and of what Ray Serve calls its replica."""
    return f"{kind}-{unique}"


def kind_and_unique(engine: str) -> tuple[str, str]:
    """The inverse of `name_of`: no replica's name has a hyphen."""
    kind, _, unique = engine.rpartition("-")
    return kind, unique
