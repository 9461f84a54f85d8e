"""Does the card draw what PyTorch drew with the embedded model, and what does bfloat16 cost?"""

import time
from typing import Any, Final, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from parity import Parity

from benchmarks.gpu_check.setting import Part
from sdxl_engine.picture_check import PictureCheck
from sdxl_engine.pipeline import SdxlPipeline
from sdxl_engine.programs.compiler import make_mesh

TOLERANCE: Final = 3  # levels of 255, as tests/sdxl_engine/test_doodle.py has it in float32
SIZE_PX: Final = (128, 128)  # its own; another would have to be compiled, too


class Drawn(NamedTuple):
    """One picture: f32[1, h, w, 4] after the last step, u8[height, width, 3]."""

    latents: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.uint8]


def run(part: Part) -> None:
    """Both types, then the picture check."""
    device = jax.local_devices()[0]
    parity = Parity()
    sizes = [(request.width_px, request.height_px) for request in parity.requests]
    places = [place for place, size in enumerate(sizes) if size == SIZE_PX]
    places = places[: part.setting.doodles]
    part.tell(tolerance=TOLERANCE, pictures=len(places))
    drawn: dict[str, list[Drawn]] = {}

    def compared(dtype: str) -> dict[str, Any]:
        pipeline = SdxlPipeline.load("doodle", dtype=dtype, devices=[device])
        begin_s = time.perf_counter()
        pipeline.warm_up_for([parity.requests[place] for place in places])
        compile_s = time.perf_counter() - begin_s
        own = drawn[dtype] = [_draw(pipeline, parity, place) for place in places]
        oracles = [parity.oracle(place) for place in places]
        pairs = zip(own, oracles, strict=True)
        apart = [_apart(one.pixels, oracle) for one, oracle in pairs]
        return {
            "compile_s": round(compile_s, 1),
            "largest": int(max(each.max() for each in apart)),
            "mean": round(float(np.mean([each.mean() for each in apart])), 3),
        }

    part.attempt("float32", lambda: compared("float32"))
    part.attempt("bfloat16", lambda: compared("bfloat16"))
    if len(drawn) > 1:
        part.attempt("rounding", lambda: _rounding(drawn["float32"], drawn["bfloat16"]))
    pictures = np.stack([parity.oracle(place) for place in places])
    part.attempt("picture_check", lambda: _check(device, pictures))


def _draw(pipeline: SdxlPipeline, parity: Parity, place: int) -> Drawn:
    request = parity.requests[place]
    *_, (_, sample) = pipeline.denoise(request, latents=parity.noise(place))
    latents = np.asarray(sample.latents)
    image = pipeline.decode(request, sample.latents)()[0]
    pixels = np.frombuffer(image.rgb, np.uint8).reshape(image.height_px, image.width_px, 3)
    return Drawn(latents, pixels)


def _apart(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    apart: npt.NDArray[np.int16] = np.abs(one.astype(np.int16) - other)
    return apart


def _rounding(exact: list[Drawn], rounded: list[Drawn]) -> dict[str, Any]:
    """How far bfloat16 is from float32: latents as a share of their size, pixels in levels."""
    pairs = list(zip(exact, rounded, strict=True))
    shares = [
        np.linalg.norm(other.latents - one.latents) / np.linalg.norm(one.latents)
        for one, other in pairs
    ]
    levels = [_apart(one.pixels, other.pixels) for one, other in pairs]
    return {
        "latents_share": round(float(np.mean(shares)), 5),
        "largest": int(max(each.max() for each in levels)),
        "mean": round(float(np.mean([each.mean() for each in levels])), 3),
    }


def _check(device: jax.Device, pictures: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """The embedded picture check: the card's scores beside those of this machine's CPU."""
    (cpu, *_) = jax.local_devices(backend="cpu")
    scores = {}
    for name, one, dtype in (
        ("cpu", cpu, "float32"),
        ("float32", device, "float32"),
        ("bfloat16", device, "bfloat16"),
    ):
        check = PictureCheck.load("doodle", dtype=dtype, devices=[one])
        side_px = pictures.shape[1]
        check.warm_up(side_px, side_px, len(pictures), make_mesh([one], len(pictures)))
        told = check.look(pictures)()
        scores[name] = np.array([list(each.values()) for each in told])
    return {
        name: {
            "largest": round(float(np.abs(own - scores["cpu"]).max()), 6),
            "same_first": bool((own.argmax(1) == scores["cpu"].argmax(1)).all()),
        }
        for name, own in scores.items()
        if name != "cpu"
    }
