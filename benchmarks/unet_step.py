"""How long is one step of the full-size UNet, in the engine, in PyTorch and in the Flax of old?

    make setup oracle                                # and `make legacy` for "legacy Flax"
    .venv/bin/python benchmarks/unet_step.py [--side 32] [--rounds 2] [--turns NAME ...]
    .venv/bin/python benchmarks/unet_step.py --cuda [--side 128]

Two prompts as one batch, random weights (11 GB of memory in float32). Each process builds the UNet,
warms it up and takes a few steps; they take turns, and medians are compared. What the engine
computes once a request (keys and values of the text) is not in its step; PyTorch computes it in
every step. PyTorch attends by its own fused kernel; compiled means max-autotune. In bfloat16 a CPU
without AVX-512 takes an hour. --cuda is for one GPU, with the CUDA builds of jax and PyTorch in the
two environments.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[1]
CONFIG: Final = ROOT / "sdxl_engine" / "sdxl_base" / "unet"


class Turn(NamedTuple):
    """How one process takes its steps."""

    environment: str
    bfloat16: bool = False
    compiled: bool = False

    @property
    def python(self) -> Path:
        """Of its environment."""
        return ROOT / self.environment / "bin" / "python"


TURNS: Final = {
    "engine": Turn(".venv"),
    "engine bfloat16": Turn(".venv", bfloat16=True),
    "PyTorch": Turn(".oracle"),
    "PyTorch bfloat16": Turn(".oracle", bfloat16=True),
    "PyTorch bfloat16 compiled": Turn(".oracle", bfloat16=True, compiled=True),
    "legacy Flax": Turn(".legacy"),
}
ON_CPU: Final = ("engine", "PyTorch")
ON_CUDA: Final = ("engine bfloat16", "PyTorch bfloat16", "PyTorch bfloat16 compiled")
STEPS: Final = 3
TIMESTEP: Final = 500.0
DEVIATION: Final = 0.02  # of the random weights: nothing overflows, nothing is denormal


def main() -> None:
    """Take turns and print medians; or, told so, take the steps of one turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, help="of the latents; 32, or 128 on a GPU")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--turns", nargs="+", choices=TURNS, metavar="NAME", help=", ".join(TURNS))
    parser.add_argument("--turn", choices=TURNS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    side = arguments.side or (128 if arguments.cuda else 32)
    if arguments.turn:
        turn = TURNS[arguments.turn]
        take = {".venv": _engine, ".oracle": _torch, ".legacy": _legacy}[turn.environment]
        json.dump(take(side, turn, cuda=arguments.cuda), sys.stdout)
        return
    names = arguments.turns or (ON_CUDA if arguments.cuda else ON_CPU)
    times_s: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            command = [TURNS[name].python, __file__, "--side", str(side), "--turn", name]
            command += ["--cuda"] if arguments.cuda else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
            times_s[name] += json.loads(done.stdout)
            print(name, [round(value_s, 3) for value_s in times_s[name][-STEPS:]], flush=True)
    baseline = next((name for name in names if name.startswith("PyTorch")), names[0])
    baseline_s = statistics.median(times_s[baseline])
    for name, values_s in times_s.items():
        median_s = statistics.median(values_s)
        print(f"{name:<26}{median_s:8.3f} s a step, {median_s / baseline_s:.2f} of {baseline}")


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


def _engine(side: int, turn: Turn, *, cuda: bool) -> list[float]:  # noqa: ARG001 - as `_torch`
    import jax  # noqa: PLC0415 - each turn has an environment of its own
    import jax.numpy as jnp  # noqa: PLC0415
    from flax import nnx  # noqa: PLC0415

    from sdxl_engine.checkpoint.config import UNetConfig  # noqa: PLC0415
    from sdxl_engine.checkpoint.json_reader import read_json  # noqa: PLC0415
    from sdxl_engine.models.layers import Target  # noqa: PLC0415
    from sdxl_engine.models.unet import UNet  # noqa: PLC0415

    config = UNetConfig.from_json("config.json", read_json(CONFIG, "config.json"))
    definition, shapes = nnx.split(UNet(config, Target.of(jax.devices()[0])))
    rng = np.random.default_rng(1)
    dtype = jnp.bfloat16 if turn.bfloat16 else jnp.float32
    weights = jax.tree.map(lambda leaf: jnp.asarray(_random(rng, leaf.shape), dtype), shapes)
    *inputs, sizes = _inputs(side, True)
    sample, text, pooled = (jnp.asarray(array, dtype) for array in inputs)
    time_ids = jnp.asarray(sizes)
    conditioning = jax.jit(lambda w, *rest: nnx.merge(definition, w).condition(*rest))(
        weights, text, pooled, time_ids
    )
    forward = jax.jit(lambda w, x, t, c: nnx.merge(definition, w)(x, t, c))
    timestep = jnp.float32(TIMESTEP)
    return _timed(lambda: forward(weights, sample, timestep, conditioning).block_until_ready())


def _torch(side: int, turn: Turn, *, cuda: bool) -> list[float]:
    import torch  # noqa: PLC0415 - as above
    from diffusers import UNet2DConditionModel  # noqa: PLC0415

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(CONFIG))
    dtype = torch.bfloat16 if turn.bfloat16 else torch.float32
    device = "cuda" if cuda else "cpu"
    unet = unet.to(dtype).to_empty(device=device).eval()
    for parameter in unet.parameters():
        parameter.requires_grad_(False).normal_(std=DEVIATION)
    sample, text, pooled, time_ids = (
        torch.from_numpy(array).to(device, dtype) for array in _inputs(side, False)
    )
    added = {"text_embeds": pooled, "time_ids": time_ids}
    timestep = torch.tensor(TIMESTEP, device=device)
    forward = torch.compile(unet, mode="max-autotune", fullgraph=True) if turn.compiled else unet

    @torch.no_grad()
    def step() -> None:
        forward(sample, timestep, encoder_hidden_states=text, added_cond_kwargs=added)
        if cuda:
            torch.cuda.synchronize()

    return _timed(step)


def _legacy(side: int, _turn: Turn, *, cuda: bool) -> list[float]:  # noqa: ARG001 - as the others
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
