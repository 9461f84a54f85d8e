"""One forward of the full-size UNet against PyTorch diffusers: prints the difference, and memory.

    .oracle/bin/python tests/oracle/full_size.py write FOLDER    10 GB of weights, one forward there
    .venv/bin/python tests/oracle/full_size_engine.py FOLDER     the same forward here

Not a pytest: it needs 10 GB of disk, 12 GB of memory and minutes.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors.numpy import load_file

from sdxl_engine.checkpoint.config import UNetConfig
from sdxl_engine.checkpoint.folder import part_files
from sdxl_engine.checkpoint.json_reader import read_json
from sdxl_engine.checkpoint.load import load_part
from sdxl_engine.models.unet import UNet
from sdxl_engine.programs.arithmetic import State

TOLERANCE = 1e-4  # of the oracle's largest value, float32 on both sides


def peak_bytes() -> int:
    """The most memory this process has held so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main(folder: Path) -> int:
    """Load, run, compare; the exit code is 0 if the difference is within the tolerance."""
    jax.config.update("jax_platforms", "cpu")
    jnp.zeros(1).block_until_ready()
    before = peak_bytes()
    network = UNet(UNetConfig.from_json("unet/config.json", read_json(folder, "unet/config.json")))
    begin = time.perf_counter()
    state = load_part(folder, "unet", network, dtype=np.float32, place=jnp.asarray)
    jax.block_until_ready(state)
    sizes = [leaf.nbytes for leaf in jax.tree.leaves(state)]
    checkpoint = sum(path.stat().st_size for path in part_files(folder, "unet", half=False))
    loading = peak_bytes() - before
    print(f"parameters        {sum(sizes) // 4:,}")
    print(f"loaded in         {time.perf_counter() - begin:.1f} s")
    print(f"peak memory       {loading / checkpoint:.3f} of the checkpoint while loading")
    golden = load_file(folder / "oracle.safetensors")
    inputs = [
        golden["unet.sample"].transpose(0, 2, 3, 1),
        golden["unet.timestep"],
        golden["unet.encoder_hidden_states"],
        golden["unet.text_embeds"],
        golden["unet.time_ids"],
    ]
    definition = nnx.graphdef(network)

    def call(state: State, sample: jax.Array, timestep: jax.Array, *rest: jax.Array) -> jax.Array:
        unet: UNet = nnx.merge(definition, state)
        return unet(sample, timestep, unet.condition(*rest))

    forward = jax.jit(call)
    begin = time.perf_counter()
    compiled = forward.lower(state, *inputs).compile()
    print(f"compiled in       {time.perf_counter() - begin:.1f} s")
    for _ in range(2):
        begin = time.perf_counter()
        output = np.asarray(compiled(state, *inputs))
    print(f"forward           {time.perf_counter() - begin:.2f} s (the second one)")
    oracle = golden["unet.output"].transpose(0, 2, 3, 1)
    difference = np.abs(output - oracle).max() / np.abs(oracle).max()
    print(f"oracle            largest {np.abs(oracle).max():.3f}, deviation {oracle.std():.3f}")
    print(f"difference        {difference:.2e} of the largest value, allowed {TOLERANCE:.0e}")
    return int(difference > TOLERANCE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    sys.exit(main(parser.parse_args().folder))
