"""How far the engine's pictures are from those that PyTorch diffusers draws with the same model.

    .venv/bin/python training/parity.py

`tests/oracle/doodle.py` let PyTorch draw, in float32; the engine starts from the same latents.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from sdxl_engine import ImageRequest, SdxlPipeline, format_size

_GOLDENS: Final = Path(__file__).resolve().parents[1] / "tests" / "goldens" / "doodle"


class Parity:
    """The requests that PyTorch has drawn, and what came of them."""

    def __init__(self) -> None:
        self._arrays = load_file(_GOLDENS / "goldens.safetensors")
        settings: list[dict[str, Any]] = json.loads((_GOLDENS / "goldens.json").read_text("utf-8"))
        self.requests = [ImageRequest(**each) for each in settings]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """What must be warm: (width_px, height_px)."""
        return sorted({(request.width_px, request.height_px) for request in self.requests})

    def noise(self, place: int) -> npt.NDArray[np.float32]:
        """What PyTorch began with there, f32[1, h, w, 4] of unit variance."""
        noise: npt.NDArray[np.float32] = self._arrays[f"{place}.latents"]
        return noise

    def oracle(self, place: int) -> npt.NDArray[np.uint8]:
        """What PyTorch drew of the request at this place, u8[height, width, 3]."""
        pixels: npt.NDArray[np.uint8] = self._arrays[f"{place}.pixels"][0]
        return pixels

    def largest_difference(self, pipeline: SdxlPipeline, place: int) -> int:
        """Of the request at this place: over all pixels and colours, of 255."""
        *_, last = pipeline.generate(self.requests[place], latents=self.noise(place))
        assert last.fetch is not None  # noqa: S101 - the engine's promise
        oracle = self.oracle(place)
        drawn = np.frombuffer(last.fetch()[0].rgb, np.uint8).reshape(oracle.shape)
        return int(np.abs(drawn.astype(int) - oracle).max())


def main() -> None:
    """Print the table."""
    parity = Parity()
    pipeline = SdxlPipeline.load("doodle", dtype="float32")
    pipeline.warm_up(parity.sizes, num_images=1)
    print("largest difference of 255, request")
    for place, request in enumerate(parity.requests):
        size = format_size(request.width_px, request.height_px)
        print(
            f"{parity.largest_difference(pipeline, place):3}  {request.prompt!r}, not "
            f"{request.negative_prompt!r}, {size}, {request.num_inference_steps} steps, "
            f"guidance {request.guidance_scale:g}"
        )


if __name__ == "__main__":
    main()
