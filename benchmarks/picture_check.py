"""What it costs to look at pictures with Stable Diffusion's safety checker, on these devices.

    .venv/bin/python benchmarks/picture_check.py [--size 1024x1024] [--images 4]

Its size is the published one, its weights are random: they cost the same.
"""

import argparse
import time

import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from sdxl_engine import parse_size
from sdxl_engine.checkpoint.hub import published_check
from sdxl_engine.checkpoint.vision import VisionFolder
from sdxl_engine.models.layers import Target
from sdxl_engine.picture_check import PictureCheck, network_of
from sdxl_engine.programs.arithmetic import IMAGES
from sdxl_engine.programs.compiler import make_mesh, replicated, weights_dtype

_ROUNDS = 3
_LATENT_PX = 8


def random_check(devices: list[jax.Device]) -> PictureCheck:
    """The published one's shapes, filled with small numbers."""
    platform = devices[0].platform
    folder = VisionFolder.read(published_check())
    network = network_of(folder, Target.of(devices[0]))
    rng, dtype = np.random.default_rng(0), weights_dtype("auto", platform)
    weights = jax.tree.map(
        lambda leaf: jax.device_put(
            (0.02 * rng.standard_normal(leaf.shape, np.float32)).astype(dtype),
            replicated(devices),
        ),
        nnx.state(network, nnx.Param),
    )
    return PictureCheck("random", folder, network, weights, devices)


def main() -> None:
    """Print seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=parse_size, default=(1024, 1024))
    parser.add_argument("--images", type=int, default=4)
    arguments = parser.parse_args()
    width, height = arguments.size
    devices = jax.local_devices()
    check = random_check(devices)
    mesh = make_mesh(devices, arguments.images)
    count = -(-arguments.images // mesh.shape[IMAGES]) * mesh.shape[IMAGES]
    print(f"{len(devices)} x {devices[0].device_kind}, {check.size_bytes / 1e9:.2f} GB of weights")
    rng = np.random.default_rng(0)
    for name, own in (
        ("pictures", (width, height)),
        ("previews", (width // _LATENT_PX, height // _LATENT_PX)),
    ):
        begin_s = time.perf_counter()
        check.warm_up(*own, count, mesh)
        compiled_s = time.perf_counter() - begin_s
        pixels = rng.integers(256, size=(count, own[1], own[0], 3), dtype=np.uint8)
        placed = jax.device_put(pixels, NamedSharding(mesh, P(IMAGES)))
        seconds = []
        for _ in range(_ROUNDS):
            begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
            check.look(placed)()
            seconds.append((time.perf_counter() - begin_s, time.process_time() - begin_cpu_s))
        taken_s, cpu_s = min(seconds)
        print(
            f"{count} {name} of {own[0]}x{own[1]}: {taken_s:.2f} s, {cpu_s:.2f} processor seconds, "
            f"compiled in {compiled_s:.1f} s"
        )


if __name__ == "__main__":
    main()
