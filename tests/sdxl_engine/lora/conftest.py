"""The smallest model with every kind of layer, its weights alone: nothing is compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import pytest
from flax import nnx

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.folder import WEIGHT_STEMS
from sdxl_engine.checkpoint.load import expected_parameters, load_part
from sdxl_engine.host_copy import HostCopy
from sdxl_engine.lora.folder import LoraFolder
from sdxl_engine.lora.merging import Chosen, MergedWeights
from sdxl_engine.lora.names import PARTS, Expected
from sdxl_engine.models.layers import GPU, PLAIN, Target
from sdxl_engine.programs.compiler import Networks, Weights
from sdxl_engine.request import Lora
from tests.sdxl_engine.conftest import GOLDENS

MODEL = GOLDENS / "tiny_a"
Array = npt.NDArray[Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Bench:
    """A model's weights with a folder of LoRAs; `shelf` is where their files go."""

    shelf: Path
    folder: LoraFolder
    expected: Expected
    weights: Weights
    host: HostCopy
    merged: MergedWeights

    def switch(self, *loras: Lora) -> None:
        self.merged.switch(
            [Chosen(lora.name, self.folder.find(lora.name), lora.strength) for lora in loras]
        )

    def arrays(self) -> dict[Key, Array]:
        """Every parameter as it is on the device now."""
        return {
            (part, *path): np.asarray(variable.get_value())
            for part in PARTS
            for path, variable in nnx.to_flat_state(getattr(self.weights, part))
        }

    def laid_out(self, tensors: Mapping[tuple[str, str], Array]) -> dict[Key, Array]:
        """Tensors by part and name as the loader would lay them out."""
        return {
            (part, *each.path): each.assemble(
                lambda name, part=part: [tensors[part, name]],  # type: ignore[misc]
                np.float32,
            )
            for part in PARTS
            for each in self.expected[part]
        }


def make_bench(shelf: Path, target: Target, dtype: Any = np.float32) -> Bench:
    networks = Networks.build(SdxlConfig.load(MODEL), target)
    place = jax.device_put
    weights = Weights(
        **{
            part: load_part(MODEL, part, getattr(networks, part), dtype=dtype, place=place)
            for part in WEIGHT_STEMS
        }
    )
    expected = {part: expected_parameters(part, getattr(networks, part)) for part in PARTS}
    folder = LoraFolder(shelf, expected)
    host = HostCopy(weights, place)
    merged = MergedWeights(weights, expected, host)
    return Bench(shelf, folder, expected, weights, host, merged)


TARGETS = {
    "layer by layer": PLAIN,
    "stacked": Target(stacked=True),
    "kernels of a gpu": GPU,
}


@pytest.fixture(
    scope="session",
    params=list(TARGETS),
)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    shelf = tmp_path_factory.mktemp("loras")
    return make_bench(shelf, TARGETS[request.param])
