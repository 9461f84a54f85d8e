"""Where does the time of a request go?

    .venv/bin/python benchmarks/work.py [--model doodle] [--rounds 9]

Times the programs and the making of files one by one, each waited for; medians.
"""

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import jax

from sdxl_engine import ImageRequest, Images, SdxlPipeline
from sdxl_engine.images import describe, encode_png, encode_preview
from sdxl_engine.request import ModelCard

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="doodle")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    pipeline = SdxlPipeline.load(arguments.model)
    seconds = pipeline.warm_up()
    width_px, height_px = pipeline.native_size
    print(f"{arguments.model} on {pipeline.device}: 4 images of {width_px}x{height_px}")
    print(f"compiled in {seconds:.1f} s")

    def request(guidance_scale: float, steps: int) -> ImageRequest:
        return ImageRequest(
            "a red circle",
            "green",
            guidance_scale=guidance_scale,
            num_inference_steps=steps,
            width_px=width_px,
            height_px=height_px,
        )

    def denoise(guidance_scale: float, steps: int) -> jax.Array:
        *_, (_, sample) = pipeline.denoise(request(guidance_scale, steps))
        return sample.latents

    asked = request(5.0, 1)
    latents = denoise(5.0, 1)
    images = pipeline.decode(asked, latents)()
    small = pipeline.preview(asked, latents)
    # One step holds what is done once a request as well; more steps tell the two apart.
    works: dict[str, Callable[[], object]] = {
        "one guided step, and all before it": lambda: denoise(5.0, 1),
        f"{1 + STEPS} guided steps, and all before them": lambda: denoise(5.0, 1 + STEPS),
        "one unguided step, and all before it": lambda: denoise(1.0, 1),
        f"{1 + STEPS} unguided steps, and all before them": lambda: denoise(1.0, 1 + STEPS),
        "preview": lambda: pipeline.preview(asked, latents),
        "its file": lambda: encode_preview(small),
        "decode and fetch": lambda: _decode(pipeline, asked, latents),
        "four PNG files": lambda: _encode(asked, images, arguments.model),
    }
    times_s: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(arguments.rounds):  # in turns: what slows the machine down slows all
        for name, work in works.items():
            begin_s = time.perf_counter()
            work()
            times_s[name].append(time.perf_counter() - begin_s)
    medians_s = {name: statistics.median(values) for name, values in times_s.items()}
    for name, median_s in medians_s.items():
        print(f"{median_s * 1e3:9.1f} ms  {name}")
    for kind in ("guided", "unguided"):
        one, many = (
            next(s for name, s in medians_s.items() if name.startswith(f"{count} {kind}"))
            for count in ("one", 1 + STEPS)
        )
        print(f"{(many - one) / STEPS * 1e3:9.1f} ms  a {kind} step, of the two above")


def _decode(pipeline: SdxlPipeline, request: ImageRequest, latents: jax.Array) -> Images:
    fetch = pipeline.decode(request, latents)
    return fetch()


def _encode(request: ImageRequest, images: Images, model: str) -> None:
    for image in images:
        encode_png(image, describe(request, image.index, model=ModelCard(model)))


if __name__ == "__main__":
    main()
