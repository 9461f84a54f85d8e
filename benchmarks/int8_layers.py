"""How far is each linear from its weights in int8, and would smoothing bring it nearer?

    .venv/bin/python benchmarks/int8_layers.py [--steps 20] [--rows 512]

Two models: the embedded one, at steps of a picture on its way, and a transformer block of each
width that SDXL has, with random weights. What enters each linear is taken down as it comes, and
the linear is computed again: in float32, in bfloat16, in int8 as `[engine] quantise` has it, and in
int8 after SmoothQuant (Xiao et al. 2022), which divides each input channel by a number that the
weights are multiplied by, so that channels that stand out do not take the levels of all others. Its
numbers are made of the very activations that it is then judged by, with their exponents 0.25, 0.5
and 0.75: it has no better case. Of each kind of linear the median of the relative errors, and the
largest: the length of the difference over that of the float32 result.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import numpy.typing as npt
from flax import nnx

from sdxl_engine import ImageRequest, SdxlPipeline
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import find_model, sdxl_base
from sdxl_engine.models.layers import PLAIN, Linear
from sdxl_engine.models.quantised import codes_of, scales_of
from sdxl_engine.models.unet import TransformerBlock, UNet
from sdxl_engine.request import NO_PICTURES
from sdxl_engine.sampling.table import C_IN, TIMESTEP

F32 = npt.NDArray[np.float32]
EXPONENTS: Final = (0.25, 0.5, 0.75)
WAYS: Final = ("bfloat16", "int8", *(f"smoothed {exponent}" for exponent in EXPONENTS))
# Of a transformer block, what `quantise` takes; its keys and values of the text it leaves alone.
KINDS: Final = ("to_qkv", "to_q", "to_out", "proj_in", "proj_out")


class Passed(NamedTuple):
    """What went through one linear: (rows, in) and its weights (in, out)."""

    kind: str
    x: F32
    kernel: F32


def rounded(x: F32, kernel: F32) -> F32:
    """As `QuantisedLinear` multiplies."""
    steps = np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-12) / 127
    levels = np.rint(x / steps)
    codes = codes_of(kernel).astype(np.float32)
    # Whole numbers in float32, which is fast; what it loses of long sums is far below a level.
    product: F32 = (levels @ codes) * (steps * scales_of(kernel))
    return product


def smoothed(x: F32, kernel: F32, exponent: float) -> F32:
    """The same after the channels have given each other of their range."""
    largest, weight = np.abs(x).max(axis=0), np.abs(kernel).max(axis=1)
    factors = np.maximum(largest, 1e-5) ** exponent / np.maximum(weight, 1e-5) ** (1 - exponent)
    return rounded(x / factors, kernel * factors[:, None])


def errors(passed: Passed) -> dict[str, float]:
    """Of each way, relative to float32."""
    x, kernel = passed.x, passed.kernel
    narrow = (each.astype(ml_dtypes.bfloat16).astype(np.float32) for each in (x, kernel))
    first, second = narrow
    results = {"bfloat16": first @ second, "int8": rounded(x, kernel)}
    results |= {f"smoothed {one}": smoothed(x, kernel, one) for one in EXPONENTS}
    exact = x @ kernel
    length = np.linalg.norm(exact)
    return {way: float(np.linalg.norm(y - exact) / length) for way, y in results.items()}


@contextmanager
def listening(root: nnx.Module, rows: int, heard: list[Passed]) -> Iterator[None]:
    """Take down what enters the linears of transformer blocks below `root`, so many rows of it."""
    kinds = {
        id(module): str(path[-1])
        for path, module in nnx.iter_graph(root)
        if isinstance(module, Linear) and path[-1] in KINDS and _in_block(path)
    }
    call = Linear.__call__

    def hear(self: Linear, x: jax.Array) -> jax.Array:
        if kind := kinds.get(id(self)):
            whole = np.asarray(x).reshape(-1, x.shape[-1])
            some = np.linspace(0, len(whole) - 1, min(rows, len(whole))).astype(int)
            heard.append(Passed(kind, whole[some], np.asarray(self.kernel[...])))
        return call(self, x)

    Linear.__call__ = hear  # type: ignore[method-assign] # for a while
    try:
        yield
    finally:
        Linear.__call__ = call  # type: ignore[method-assign]


def _in_block(path: tuple[Any, ...]) -> bool:
    return any(str(name) in {"attn1", "attn2", "ff"} for name in path)


def of_doodle(steps: int, rows: int) -> Iterator[list[Passed]]:
    """At each of ten steps of a picture."""
    pipeline = SdxlPipeline.load("doodle")
    request = ImageRequest(
        "a red fish with a party hat in a pool",
        width_px=128,
        height_px=128,
        num_images=1,
        num_inference_steps=steps,
        guidance_scale=3.0,
    )
    pipeline.warm_up_for([request])
    network = UNet(SdxlConfig.load(find_model("doodle")).unet, PLAIN)
    nnx.update(network, pipeline.weights.unet)
    _, drawing = pipeline._prepared(request, NO_PICTURES, None, None)  # noqa: SLF001 - as it draws
    for step, sample in drawing.denoise():
        if step == steps:
            return
        row = drawing.schedule.table[drawing.schedule.row(step)]
        said = jax.tree.map(lambda leaf: leaf[1], drawing.said_at(step)[1])
        heard: list[Passed] = []
        with listening(network, rows, heard):
            network(row[C_IN] * sample.latents, jnp.float32(row[TIMESTEP]), said)
        yield heard


def of_full_size(rows: int) -> Iterator[list[Passed]]:
    """Of a block of each width, with weights that keep the length of what goes through them."""
    config, rng = SdxlConfig.load(sdxl_base()).unet, np.random.default_rng(0)
    for level, dim in enumerate(config.block_out_channels):
        if not config.down_transformers[level]:
            continue
        heads = config.num_attention_heads[level]
        block = TransformerBlock(dim, config.cross_attention_dim, heads, PLAIN)
        state = nnx.state(block, nnx.Param)
        filled = [
            (path, leaf.replace(_random(rng, leaf.shape)))
            for path, leaf in nnx.to_flat_state(state)
        ]
        nnx.update(block, nnx.from_flat_state(filled))
        x = rng.standard_normal((1, rows, dim), np.float32)
        text = rng.standard_normal((1, 77, 2 * dim), np.float32)
        heard: list[Passed] = []
        with listening(block, rows, heard):
            block(jnp.asarray(x), jnp.asarray(text))
        yield heard


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> jax.Array:
    fan_in = shape[0] if len(shape) > 1 else 1
    numbers = rng.standard_normal(shape, np.float32) / np.sqrt(fan_in)
    return jnp.asarray(numbers if len(shape) > 1 else 1 + 0.1 * numbers, jnp.float32)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int, default=512, help="that are looked at of each input")
    arguments = parser.parse_args()
    for name, passes in (
        ("doodle, on its way", of_doodle(arguments.steps, arguments.rows)),
        ("SDXL's blocks, random weights", of_full_size(arguments.rows)),
    ):
        by_kind: dict[str, list[dict[str, float]]] = defaultdict(list)
        for passed in (one for heard in passes for one in heard):
            by_kind[passed.kind].append(errors(passed))
        print(f"{name:<32}" + "".join(f"{way:>20}" for way in WAYS))
        for kind, found in by_kind.items():
            cells = ""
            for way in WAYS:
                own = [one[way] for one in found]
                cells += f"{100 * statistics.median(own):>12.2f} {100 * max(own):>5.2f} %"
            print(f"{f'{kind} ({len(found)})':<32}{cells}")


if __name__ == "__main__":
    main()
