"""How long is one step of the full-size UNet on this CPU, in the engine and in PyTorch?

    make setup oracle                                # and `make legacy` for --legacy
    .venv/bin/python benchmarks/unet_step.py [--side 32] [--rounds 2] [--bfloat16] [--legacy]

Two prompts as one batch, float32, random weights (11 GB of memory). Each process builds the UNet,
warms it up and takes a few steps; the two take turns, and medians are compared. What the engine
computes once a request (keys and values of the text) is not in its step; PyTorch computes it in
every step. --bfloat16 adds PyTorch in bfloat16; without AVX-512 that takes an hour. --legacy adds
the Flax UNet that diffusers removed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[1]
CONFIG: Final = ROOT / "sdxl_engine" / "sdxl_base" / "unet"
ENGINE, TORCH, TORCH_BFLOAT16, LEGACY = "engine", "PyTorch", "PyTorch bfloat16", "legacy Flax"
PYTHONS: Final = {
    ENGINE: ROOT / ".venv" / "bin" / "python",
    TORCH: ROOT / ".oracle" / "bin" / "python",
    TORCH_BFLOAT16: ROOT / ".oracle" / "bin" / "python",
    LEGACY: ROOT / ".legacy" / "bin" / "python",
}
STEPS: Final = 3
TIMESTEP: Final = 500.0
DEVIATION: Final = 0.02  # of the random weights: nothing overflows, nothing is denormal


def main() -> None:
    """Take turns and print medians; or, told so, take the steps of one turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=32, help="of the latents")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--legacy", action="store_true")
    parser.add_argument("--turn", choices=sorted(PYTHONS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turn:
        turn = {ENGINE: _engine, LEGACY: _legacy}.get(arguments.turn, _torch)
        json.dump(turn(arguments.side, arguments.turn), sys.stdout)
        return
    names = [ENGINE, TORCH]
    names += [TORCH_BFLOAT16] if arguments.bfloat16 else []
    names += [LEGACY] if arguments.legacy else []
    times_s: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            command = [PYTHONS[name], __file__, "--side", str(arguments.side), "--turn", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ourselves
            times_s[name] += json.loads(done.stdout)
            print(name, [round(value_s, 2) for value_s in times_s[name][-STEPS:]], flush=True)
    baseline_s = statistics.median(times_s[TORCH])
    for name, values_s in times_s.items():
        median_s = statistics.median(values_s)
        print(
            f"{name:<17} {median_s:6.2f} s a step, {median_s / baseline_s:.2f} of PyTorch float32"
        )


def _inputs(side: int, channels_last: bool) -> list[Any]:
    rng = np.random.default_rng(0)
    shape = (2, side, side, 4) if channels_last else (2, 4, side, side)
    time_ids = np.tile(np.array([8 * side, 8 * side, 0, 0, 8 * side, 8 * side], np.float32), (2, 1))
    arrays = [rng.standard_normal(size).astype(np.float32) for size in (shape, (2, 77, 2048))]
    return [*arrays, rng.standard_normal((2, 1280)).astype(np.float32), time_ids]


def _timed(step: Callable[[], object]) -> list[float]:
    step()
    times_s = []
    for _ in range(STEPS):
        begin_s = time.perf_counter()
        step()
        times_s.append(time.perf_counter() - begin_s)
    return times_s


def _engine(side: int, _name: str) -> list[float]:
    import jax  # noqa: PLC0415 - each turn has an environment of its own
    import jax.numpy as jnp  # noqa: PLC0415
    from flax import nnx  # noqa: PLC0415

    from sdxl_engine.models.config import UNetConfig  # noqa: PLC0415
    from sdxl_engine.models.json_reader import read_json  # noqa: PLC0415
    from sdxl_engine.models.layers import Target  # noqa: PLC0415
    from sdxl_engine.models.unet import UNet  # noqa: PLC0415

    config = UNetConfig.from_json("config.json", read_json(CONFIG, "config.json"))
    definition, shapes = nnx.split(UNet(config, Target.of("cpu")))
    rng = np.random.default_rng(1)
    weights = jax.tree.map(lambda leaf: jnp.asarray(_random(rng, leaf.shape)), shapes)
    sample, text, pooled, time_ids = (jnp.asarray(array) for array in _inputs(side, True))
    conditioning = jax.jit(lambda w, *rest: nnx.merge(definition, w).condition(*rest))(
        weights, text, pooled, time_ids
    )
    forward = jax.jit(lambda w, x, t, c: nnx.merge(definition, w)(x, t, c))
    timestep = jnp.float32(TIMESTEP)
    return _timed(lambda: forward(weights, sample, timestep, conditioning).block_until_ready())


def _torch(side: int, name: str) -> list[float]:
    import torch  # noqa: PLC0415
    from diffusers import UNet2DConditionModel  # noqa: PLC0415

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(CONFIG))
    dtype = torch.bfloat16 if name == TORCH_BFLOAT16 else torch.float32
    unet = unet.to(dtype).to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.normal_(std=DEVIATION)
        sample, text, pooled, time_ids = (
            torch.from_numpy(array).to(dtype) for array in _inputs(side, False)
        )
        added = {"text_embeds": pooled, "time_ids": time_ids}
        return _timed(
            lambda: unet(sample, TIMESTEP, encoder_hidden_states=text, added_cond_kwargs=added)
        )


def _legacy(side: int, _name: str) -> list[float]:
    import jax  # noqa: PLC0415 - as above
    import jax.numpy as jnp  # noqa: PLC0415
    from diffusers import FlaxUNet2DConditionModel  # noqa: PLC0415

    unet = FlaxUNet2DConditionModel.from_config(FlaxUNet2DConditionModel.load_config(CONFIG))
    shapes = jax.eval_shape(unet.init_weights, jax.random.key(0))
    rng = np.random.default_rng(1)
    weights = jax.tree.map(lambda leaf: jnp.asarray(_random(rng, leaf.shape)), shapes)
    sample, text, pooled, time_ids = (jnp.asarray(array) for array in _inputs(side, False))

    @jax.jit
    def forward(weights: Any, sample: jax.Array) -> jax.Array:
        added = {"text_embeds": pooled, "time_ids": time_ids}
        timestep = jnp.full((2,), int(TIMESTEP), jnp.int32)
        output: jax.Array = unet.apply(
            {"params": weights}, sample, timestep, text, added_cond_kwargs=added
        ).sample
        return output

    return _timed(lambda: forward(weights, sample).block_until_ready())


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return rng.standard_normal(shape, np.float32) * np.float32(DEVIATION)


if __name__ == "__main__":
    main()
