"""The engine's tests run on eight simulated CPU devices and with jax at its strictest."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

from sdxl_engine import Images, Progress, SdxlPipeline
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.programs.compiler import OPTIONS, Program

COMPILING = "/jax/core/compile/backend_compile_duration"
GOLDENS = Path(__file__).parents[1] / "goldens"

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Golden:
    """One tiny model, and what PyTorch makes of it."""

    folder: Path
    config: SdxlConfig
    facts: dict[str, Any]
    arrays: dict[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def nhwc(self, name: str) -> Array:
        """A feature map in our layout; the goldens keep PyTorch's."""
        return self.arrays[name].transpose(0, 2, 3, 1)


@pytest.fixture(scope="session", params=["tiny_a", "tiny_b"])
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = GOLDENS / request.param
    facts = json.loads((folder / "goldens.json").read_text(encoding="utf-8"))
    return Golden(folder, SdxlConfig.load(folder), facts, load_file(folder / "goldens.safetensors"))


@contextmanager
def fully_optimised() -> Iterator[None]:
    """Compile as people have it, for what runs often; see `pytest_configure`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Program, "options", OPTIONS["cpu"])
        yield


@pytest.fixture(scope="session")
def pipeline(golden: Golden) -> SdxlPipeline:
    """The tiny model, warm for its golden size and two images on one device.

    Also for prompts of two chunks, if its text encoders read as much as SDXL's.
    """
    pipeline = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:1])
    run = golden.facts["run"]
    with fully_optimised():
        chunks = 2 if golden.folder.name == "tiny_a" else 1
        pipeline.warm_up([(run["width_px"], run["height_px"])], num_images=2, chunks=chunks)
    return pipeline


class CompileCounter:
    """Counts what XLA compiles, through jax's own monitoring."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        self.count += event == COMPILING


@pytest.fixture
def compiles() -> Iterator[CompileCounter]:
    counter = CompileCounter()
    jax.monitoring.register_event_duration_secs_listener(counter)
    yield counter
    jax.monitoring.unregister_event_duration_listener(counter)


def drawn(reports: Iterable[Progress]) -> Images:
    """What a request's progress ends with."""
    *_, last = reports
    assert last.fetch is not None
    return last.fetch()


def assert_within(actual: Any, oracle: Array, tolerance: float) -> None:
    """The largest difference, relative to the oracle's largest value."""
    actual = np.asarray(actual)
    assert actual.shape == oracle.shape
    difference = np.abs(actual - oracle).max() / np.abs(oracle).max()
    assert difference <= tolerance, f"differs by {difference:.2e} of the largest value"
