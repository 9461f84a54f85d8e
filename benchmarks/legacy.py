"""What would the removed Flax pipeline cost on a TPU, by the compiler and the prices of ours?

    make legacy setup
    .legacy/bin/python benchmarks/legacy.py [v5e:2x2] [--split-head-dim]
    make tpu-check                                      # ours

Compiles `FlaxStableDiffusionXLPipeline` of diffusers 0.39 for four images of 1024x1024, one a chip,
with abstract weights in bfloat16: all of it as the one program that it was, then the text encoders
and the VAE alone; what is left of the whole is one step. The whole's memory traffic is that of
all steps. 10 minutes on two cores.
"""

# ruff: noqa: E402 - the engine's folder is put on the path before it is imported

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the engine is not installed beside the old packages

from sdxl_engine.forecast.environment import settle_environment

settle_environment()  # jax and libtpu read it when they start

import jax
import jax.numpy as jnp
from diffusers import (
    FlaxAutoencoderKL,
    FlaxEulerDiscreteScheduler,
    FlaxStableDiffusionXLPipeline,
    FlaxUNet2DConditionModel,
)
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from transformers import (  # type: ignore[attr-defined]  # version 5 has no Flax classes any more
    CLIPTextConfig,
    FlaxCLIPTextModel,
    FlaxCLIPTextModelWithProjection,
)

from sdxl_engine.forecast.full_size import STEPS
from sdxl_engine.forecast.tpu import Chip, Forecast, devices_of, price

CONFIG: Final = ROOT / "sdxl_engine" / "sdxl_base"
SIDE_PX: Final = 1024
TOKENS: Final = 77
DTYPE: Final = jnp.bfloat16


def main() -> None:
    """Compile and print one row a program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("topology", nargs="?", default="v5e:2x2")
    parser.add_argument("--split-head-dim", action="store_true", help="as its users were advised")
    arguments = parser.parse_args()
    chip, devices = devices_of(arguments.topology)
    pipeline = _pipeline(split_head_dim=arguments.split_head_dim)
    weights = _weights(pipeline)
    scheduler = pipeline.scheduler.create_state()

    def whole(weights: Any, ids: jax.Array, negative_ids: jax.Array, key: jax.Array) -> jax.Array:
        drawn: jax.Array = pipeline._generate(  # noqa: SLF001 - what its pmap calls
            ids,
            {**weights, "scheduler": scheduler},
            jax.random.wrap_key_data(key[0]),
            STEPS,
            SIDE_PX,
            SIDE_PX,
            7.5,
            None,
            negative_ids,
        )
        return drawn

    def encode(weights: Any, ids: jax.Array, negative_ids: jax.Array, _: jax.Array) -> Any:
        return [pipeline.get_embeddings(each, weights) for each in (negative_ids, ids)]

    def decode(weights: Any, latents: jax.Array) -> jax.Array:
        decoded = pipeline.vae.apply(
            {"params": weights["vae"]}, latents, method=pipeline.vae.decode
        )
        pictures: jax.Array = decoded.sample
        return pictures

    count = len(devices)
    ids = jax.ShapeDtypeStruct((count, 2, TOKENS), jnp.int32)
    request = (ids, ids, jax.ShapeDtypeStruct((count, 2), jnp.uint32))
    latents = jax.ShapeDtypeStruct((count, 4, SIDE_PX // 8, SIDE_PX // 8), jnp.float32)
    text_weights = {name: weights[name] for name in ("text_encoder", "text_encoder_2")}
    programs: dict[str, tuple[Callable[..., Any], Any, tuple[Any, ...]]] = {
        "whole": (whole, weights, request),
        "encode": (encode, text_weights, request),
        "decode": (decode, {"vae": weights["vae"]}, (latents,)),
    }
    costs = {}
    print(f"{'program':<8}{'memory GB':>11}{'HBM GB':>8}{'ms':>9}{'compiled s':>12}")
    for name, (function, state, inputs) in programs.items():
        costs[name] = _row(name, function, state, inputs, chip, devices)
    whole_cost, *others = costs.values()
    step_s = whole_cost.seconds - sum(other.seconds for other in others)
    step_bytes = (whole_cost.hbm_bytes - sum(other.hbm_bytes for other in others)) / STEPS
    total_s = whole_cost.seconds + (STEPS - 1) * step_s
    print(f"one step: {step_s * 1e3:.2f} ms, {step_bytes / 1e9:.2f} GB")
    print(f"{count} images, {STEPS} guided steps: {total_s:.2f} s")


def _row(
    name: str,
    function: Callable[..., Any],
    weights: Any,
    inputs: tuple[Any, ...],
    chip: Chip,
    devices: tuple[jax.Device, ...],
) -> Forecast:
    """Compile one program with an image a chip and print what it costs."""
    mesh = Mesh(devices, ("images",))
    everywhere, spread = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("images",)))
    placed = [
        jax.tree.map(
            lambda leaf, at=at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), tree
        )
        for tree, at in ((weights, everywhere), *((one, spread) for one in inputs))
    ]
    specs = (PartitionSpec(), *(PartitionSpec("images") for _ in inputs))
    program = jax.shard_map(
        function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("images"), check_vma=False
    )
    begin_s = time.perf_counter()
    compiled = jax.jit(program).lower(*placed).compile()
    compile_s = time.perf_counter() - begin_s
    forecast = price(name, compiled, chip, all_rounds=False)
    print(
        f"{name:<8}{forecast.peak_bytes / 1e9:>11.2f}{forecast.hbm_bytes / 1e9:>8.2f}"
        f"{forecast.seconds * 1e3:>9.2f}{compile_s:>12.1f}",
        flush=True,
    )
    return forecast


def _pipeline(*, split_head_dim: bool) -> Any:
    def read(kind: Any, part: str, **changes: Any) -> Any:
        return kind.from_config({**kind.load_config(CONFIG / part), **changes}, dtype=DTYPE)

    encoders = {
        part: kind(CLIPTextConfig.from_pretrained(CONFIG / part), dtype=DTYPE, _do_init=False)
        for part, kind in (
            ("text_encoder", FlaxCLIPTextModel),
            ("text_encoder_2", FlaxCLIPTextModelWithProjection),
        )
    }
    return FlaxStableDiffusionXLPipeline(
        **encoders,
        vae=read(FlaxAutoencoderKL, "vae"),
        tokenizer=None,
        tokenizer_2=None,
        unet=read(FlaxUNet2DConditionModel, "unet", split_head_dim=split_head_dim),
        scheduler=FlaxEulerDiscreteScheduler.from_config(
            FlaxEulerDiscreteScheduler.load_config(CONFIG / "scheduler")
        ),
        dtype=DTYPE,
    )


def _weights(pipeline: Any) -> dict[str, Any]:
    """Shapes only."""
    key = jax.random.key(0)

    def of_encoder(encoder: Any) -> Any:
        return jax.eval_shape(lambda: encoder.init_weights(key, (1, TOKENS)))

    shapes = {
        "text_encoder": of_encoder(pipeline.text_encoder),
        "text_encoder_2": of_encoder(pipeline.text_encoder_2),
        "unet": jax.eval_shape(pipeline.unet.init_weights, key),
        "vae": jax.eval_shape(pipeline.vae.init_weights, key),
    }
    weights: dict[str, Any] = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, DTYPE), shapes
    )
    return weights


if __name__ == "__main__":
    main()
