"""What does a change of LoRAs cost at full size?

    .venv/bin/python benchmarks/loras.py [--rank 32] [--kinds lora loha lokr dora] [--all]

SDXL's own shapes with random weights in bfloat16: of each shape one parameter is changed, from
the LoRA's file to the array that goes to the devices, and counted as often as there are such.
Changed is every matrix of the UNet's transformers, as by most LoRAs; with --all every kernel of the
UNet and of both text encoders. Processor seconds: as many threads as there are cores share them, up
to eight. "device" is what the engine does not do: a program a shape that adds up @ down where the
weights are. On this machine that is the same processor; look at what it takes to compile them.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.checkpoint.load import ExpectedParameter, expected_parameters
from sdxl_engine.checkpoint.names import KERNELS
from sdxl_engine.host_copy import HostCopy
from sdxl_engine.lora.folder import LoraFolder
from sdxl_engine.lora.merging import Chosen, MergedWeights
from sdxl_engine.lora.names import PARTS
from sdxl_engine.models.layers import Target
from sdxl_engine.programs.compiler import Networks, Weights

ROUNDS: Final = 3
GIGA: Final = 1e9
# Of PCIe 4.0 x16, what copies from the host's plain memory reach of its 32.
ASSUMED_BYTES_A_SECOND: Final = 10e9


def main() -> None:
    """Measure shape by shape and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--kinds", nargs="+", default=["lora", "loha", "lokr", "dora"])
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    groups = _groups(everything=arguments.all)
    weights = sum(np.prod(one.shape) * count for (_, one), count in groups)
    print(f"{len(groups)} shapes, {weights / GIGA:.2f} G weights, {2 * weights / GIGA:.1f} GB")
    print(
        f"to the device at {ASSUMED_BYTES_A_SECOND / GIGA:g} GB/s (assumed): "
        f"{2 * weights / ASSUMED_BYTES_A_SECOND:.2f} s"
    )
    for kind in arguments.kinds:
        total_s = sum(
            _changed_s(part, one, kind, arguments.rank) * count for (part, one), count in groups
        )
        print(
            f"{kind:<8}{total_s:6.1f} processor seconds, {total_s / weights * GIGA:.2f} ns a weight"
        )
    compile_s, run_s = 0.0, 0.0
    for (_, one), count in groups:
        first_s, again_s = _on_the_device(one, arguments.rank)
        compile_s, run_s = compile_s + first_s, run_s + again_s * count
    print(f"device  {run_s:6.1f} s here, after {compile_s:.1f} s to compile {len(groups)} programs")


def _groups(*, everything: bool) -> list[tuple[tuple[str, ExpectedParameter], int]]:
    """A part and parameter of each shape, and how many there are of it."""
    networks = Networks.build(SdxlConfig.load(sdxl_base()), Target())
    counts: Counter[Any] = Counter()
    examples: dict[Any, tuple[str, ExpectedParameter]] = {}
    for part in PARTS:
        for one in expected_parameters(part, getattr(networks, part)):
            usual = part == "unet" and "transformer_blocks" in one.path
            if one.path[-1] in KERNELS and (everything or usual):
                key = part, one.path[-1], one.shape, len(one.pieces[0])
                counts[key] += 1
                examples.setdefault(key, (part, one))
    return [(examples[key], count) for key, count in counts.items()]


def _changed_s(part: str, one: ExpectedParameter, kind: str, rank: int) -> float:
    """Processor seconds from a LoRA's file to the changed parameter, the least of some rounds."""
    rng = np.random.default_rng(0)
    own = rng.standard_normal(one.shape, np.float32).astype(ml_dtypes.bfloat16)
    states = {name: nnx.from_flat_state([]) for name in (*PARTS, "vae")}
    states[part] = nnx.from_flat_state([(one.path, nnx.Param(jax.device_put(own)))])
    expected = {name: [one] if name == part else [] for name in PARTS}
    weights = Weights(**states)
    merged = MergedWeights(weights, expected, HostCopy(weights, jax.device_put))
    with TemporaryDirectory() as folder:
        tensors = {}
        for tensor in one:
            module = tensor.name.removesuffix(".weight")
            for end, shape in _shapes(kind, rank, tensor.shape).items():
                array = rng.standard_normal(shape, np.float32).astype(np.float16)
                tensors[f"{part}.{module}.{end}"] = array
        save_file(tensors, Path(folder) / "any.safetensors")
        file = LoraFolder(Path(folder), expected).find("any")
        times_s = []
        for place in range(ROUNDS):
            begin_s = time.process_time()
            merged.switch([Chosen("any", file, 1 + place / ROUNDS)])
            times_s.append(time.process_time() - begin_s)
    return min(times_s)


def _shapes(kind: str, rank: int, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The tensors that a file of this kind holds for a weight."""
    out, *rest = weight
    if kind == "loha":
        return {
            f"hada_w{number}_{letter}": shape
            for number in "12"
            for letter, shape in (("a", (out, rank)), ("b", (rank, int(np.prod(rest)))))
        }
    if kind == "lokr":
        few = 8 if out % 8 == 0 and rest[0] % 8 == 0 else 1
        return {"lokr_w1": (few, few), "lokr_w2": (out // few, rest[0] // few, *rest[1:])}
    shapes = {"lora_up.weight": (out, rank), "lora_down.weight": (rank, *rest)}
    return {**shapes, "dora_scale": (out, 1)} if kind == "dora" else shapes


def _on_the_device(one: ExpectedParameter, rank: int) -> tuple[float, float]:
    """Seconds to compile a program that adds a product, and to run it."""
    out = one.shape[-1]
    rest = int(np.prod(one.shape)) // out

    @jax.jit
    def add(own: jax.Array, down: jax.Array, up: jax.Array) -> jax.Array:
        return (own.astype(jnp.float32) + down @ up).astype(own.dtype)

    arrays = (
        jnp.ones((rest, out), jnp.bfloat16),
        jnp.ones((rest, rank), jnp.float32),
        jnp.ones((rank, out), jnp.float32),
    )
    begin_s = time.perf_counter()
    compiled = add.lower(*arrays).compile()
    compiled_s = time.perf_counter() - begin_s
    begin_s = time.perf_counter()
    compiled(*arrays).block_until_ready()
    return compiled_s, time.perf_counter() - begin_s


if __name__ == "__main__":
    main()
