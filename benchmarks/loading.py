"""How long does SDXL in one file take to load, and how much memory, beside reading its bytes?

    .venv/bin/python benchmarks/loading.py FOLDER [--dtype bfloat16] [--turns 3]
    .venv/bin/python benchmarks/loading.py FOLDER --way draw (or serve) [--dtype bfloat16]

Writes a file of random fp16 weights with the names of the original (6.9 GB) into the folder, unless
it is there, and loads it and reads it with safetensors by turns, each in a process of its own. Both
find it in the page cache, where there is room for it. Memory is what the process held at most,
without what it holds before the first weight. At the end the medians, and how fast the engine was
beside safetensors. On a busy machine look at the processor seconds: safetensors has one thread, the
engine one for each core, at most four.

The second form has `imagine draw` draw one small picture in one step, or the bot of a playground,
and says what its process held at most from its first line to its last, with all that it compiled.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import sdxl_base

SMALL: Final = "256x256"
BLOCK: Final = 2**24  # random numbers that are made once, and written again and again
KB: Final = 1024


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of SDXL base 1.0, under the original's names."""
    # Late: the processes that are measured need neither jax's networks nor tests.
    from sdxl_engine.checkpoint.load import expected_parameters  # noqa: PLC0415
    from sdxl_engine.models.layers import PLAIN  # noqa: PLC0415
    from sdxl_engine.programs.compiler import Networks  # noqa: PLC0415
    from tests.sdxl_engine.checkpoint import original_writer as writer  # noqa: PLC0415

    networks = Networks.build(SdxlConfig.load(sdxl_base()), PLAIN)

    def of(part: str) -> dict[str, Any]:
        parameters = expected_parameters(part, getattr(networks, part))
        tensors = [tensor for parameter in parameters for tensor in parameter]
        return {each.name: np.broadcast_to(np.float16(0), each.shape) for each in tensors}

    found = {
        writer.UNET: {
            writer.unet_name(name, 2, [True, True, False]): a for name, a in of("unet").items()
        },
        writer.VAE: {writer.vae_name(name, 4): a for name, a in of("vae").items()},
        writer.FIRST: of("text_encoder"),
        writer.SECOND: writer.open_clip(of("text_encoder_2")),
    }
    return {f"{place}{name}": a.shape for place, part in found.items() for name, a in part.items()}


def write(path: Path) -> None:
    """Write the file, as it is made: nothing of it is held."""
    header, place = {}, 0
    for name, shape in shapes().items():
        end = place + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header).encode()
    noise = (np.random.default_rng(0).standard_normal(BLOCK) / 64).astype(np.float16).tobytes()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        while place:
            place -= file.write(noise[:place])


def peak_bytes() -> int:
    """What this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KB


class Cost(NamedTuple):
    """Of one way once: by the clock, of all processors, and what was held at most."""

    seconds: float
    cpu_seconds: float
    held_bytes: int


def cost(work: Callable[[], object]) -> Cost:
    """Do it, and look what it takes."""
    before, begin, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - begin, time.process_time() - cpu, peak_bytes() - before)


def load(path: Path, dtype: str) -> Cost:
    """Load it with the engine."""
    from sdxl_engine import SdxlPipeline  # noqa: PLC0415 - as above
    from sdxl_engine.checkpoint.checkpoint import Checkpoint  # noqa: PLC0415
    from sdxl_engine.pipeline import Prepared  # noqa: PLC0415

    Prepared.of(Checkpoint.find(str(path)))  # imports, and what is cached by them
    return cost(lambda: SdxlPipeline.load(str(path), dtype=dtype))


def read(path: Path, _dtype: str) -> Cost:
    """Read every tensor with safetensors, and hold all of them."""
    from safetensors.numpy import load_file  # noqa: PLC0415 - as above

    return cost(lambda: load_file(path))


def draw(path: Path, dtype: str) -> Cost:
    """Draw with it on the command line."""
    return whole("draw", "a red circle", "--model", str(path), "--size", SMALL, dtype=dtype)


def serve(path: Path, dtype: str) -> Cost:
    """Have the bot of a playground draw with it."""
    return whole(
        "playground", "--once", "a red circle", IMAGINE_ENGINE__MODEL=str(path), dtype=dtype
    )


def whole(*command: str, dtype: str, **environ: str) -> Cost:
    """What a command of ours takes, with one picture in one step."""
    settings = {
        "IMAGINE_ENGINE__DTYPE": dtype,
        "IMAGINE_ENGINE__SIZES": SMALL,
        "IMAGINE_ENGINE__IMAGES_PER_REQUEST": "1",
        "IMAGINE_ENGINE__DEFAULT_STEPS": "1",
        "IMAGINE_ENGINE__PROMPT_CHUNKS": "1",
        "IMAGINE_ENGINE__PICTURE_CHECK": "none",
        "IMAGINE_ENGINE__STUCK_AFTER_S": "0",
        "IMAGINE_MODEL__SIZE": SMALL,
    }
    begin, imagine = time.perf_counter(), str(Path(sys.executable).with_name("imagine"))
    with TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603 - our own program
            [imagine, *command], cwd=folder, env={**os.environ, **settings, **environ}, check=True
        )
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.perf_counter() - begin
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KB)


BY_TURNS: Final = {"engine": load, "safetensors": read}
WAYS: Final = {**BY_TURNS, "draw": draw, "serve": serve}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="measure this once, in this process")
    arguments = parser.parse_args()
    path = arguments.folder / "sdxl_random.safetensors"
    if not path.exists():
        write(path)
    # Of the weights as they are loaded, of fp16 in the file.
    size = path.stat().st_size * (2 if arguments.dtype == "float32" else 1)
    if arguments.way in BY_TURNS:
        print(json.dumps(BY_TURNS[arguments.way](path, arguments.dtype)))
        return
    if arguments.way:
        show("once", arguments.way, WAYS[arguments.way](path, arguments.dtype), size)
        return
    print(f"{size / 1e9:.2f} GB in {arguments.dtype}")
    costs: dict[str, list[Cost]] = {way: [] for way in BY_TURNS}
    for turn in range(arguments.turns):
        for way, seen in costs.items():
            command = [sys.executable, __file__, str(arguments.folder), "--way", way]
            done = subprocess.run(  # noqa: S603 - this very script
                [*command, "--dtype", arguments.dtype], capture_output=True, text=True, check=True
            )
            seen.append(Cost(*json.loads(done.stdout.splitlines()[-1])))
            show(f"turn {turn + 1}", way, seen[-1], size)
    for way, seen in costs.items():
        show("median", way, Cost(*map(statistics.median, zip(*seen, strict=True))), size)
    ratios = [
        other.seconds / own.seconds
        for own, other in zip(costs["engine"], costs["safetensors"], strict=True)
    ]
    print(
        f"{statistics.median(ratios):.2f} of its speed, turn by turn; load {os.getloadavg()[0]:.1f}"
    )


def show(turn: str, way: str, cost: Cost, size: int) -> None:
    """A line of the table."""
    print(
        f"{turn}  {way:<12} {cost.seconds:6.1f} s  {size / cost.seconds / 1e9:5.2f} GB/s"
        f"  {cost.cpu_seconds:6.1f} s of processors  {cost.held_bytes / size:5.2f} x its size",
        flush=True,
    )


if __name__ == "__main__":
    main()
