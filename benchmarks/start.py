"""How long is a start, cold and with the compiled programs kept, and how much does it take?

    .venv/bin/python benchmarks/start.py [--rounds 3] [--against FOLDER]

`imagine draw` with the embedded model in a folder of its own: from the command to four pictures,
the first time and again. Then the bot with nine sizes, a square and four landscapes with their
portraits, as SDXL has them: from the command to the first pictures in a playground. Medians;
"cores" is processor time.

With the checkout of another version each run is followed by the same one of that version, by the
same Python, and the medians of the pairs' ratios are printed: what else the machine does meets
both.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parents[1]
PARTS: Final = ("load", "compile", "inference", "encode")
COLUMNS: Final = (*PARTS, "in all", "cores", "peak MiB")
PROMPT: Final = "a red circle on a blue background"
LANDSCAPES: Final = ((192, 128), (256, 128), (256, 192), (320, 128))
PORTRAITS: Final = tuple((height, width) for width, height in LANDSCAPES)
SIZES: Final = [f"{width}x{height}" for width, height in ((128, 128), *LANDSCAPES, *PORTRAITS)]
KIB_PER_MIB: Final = 1024

Took = dict[str, float]


def main() -> None:
    """Start, start again, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    arguments = parser.parse_args()
    checkouts = [HERE, *([arguments.against.resolve()] if arguments.against else [])]
    runs = {"cold": _draw, "again": _draw, "nine sizes, cold": _serve, "nine sizes, again": _serve}
    took: dict[str, list[list[Took]]] = {kind: [] for kind in runs}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for kind, run in runs.items():  # "again" finds what was compiled before it
                places = [Path(folder, run.__name__, str(one)[1:]) for one in checkouts]
                took[kind].append([run(*each) for each in zip(checkouts, places, strict=True)])
    print(f"{'':<28}" + "".join(f"{name:>11}" for name in COLUMNS) + "   seconds but for the last")
    for kind, rounds in took.items():
        for place, checkout in enumerate(checkouts):
            _print(f"{kind}, {checkout.name}", [pair[place] for pair in rounds])
        if len(checkouts) > 1:
            _print(f"{kind}, ratio", [{name: a[name] / b[name] for name in a} for a, b in rounds])


def _print(name: str, rounds: Sequence[Took]) -> None:
    medians = {column: statistics.median(one[column] for one in rounds) for column in rounds[0]}
    cells = (f"{medians[name]:11.2f}" if name in medians else f"{'':>11}" for name in COLUMNS)
    print(f"{name:<28}" + "".join(cells))


def _draw(checkout: Path, folder: Path) -> Took:
    said, took = _run(checkout, folder, ["draw", PROMPT, "--json", "--out", "out"])
    timings_s: Took = json.loads(said)["timings_s"]
    return {**timings_s, **took}


def _serve(checkout: Path, folder: Path) -> Took:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(f"[engine]\nsizes = {json.dumps(SIZES)}\n")
    command = ["playground", "--once", PROMPT, "--size", SIZES[0], "--steps", "1"]
    _, took = _run(checkout, folder, command)
    return took


def _run(checkout: Path, folder: Path, command: Sequence[str]) -> tuple[str, Took]:
    """What one of a checkout's commands says, and what it takes."""
    folder.mkdir(parents=True, exist_ok=True)
    begin_s = time.perf_counter()
    with (
        (folder / "said").open("w+", encoding="utf-8") as said,
        subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "bot", *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdout=said,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        # Of this process alone, which `resource.getrusage` does not tell.
        _, status, used = os.wait4(process.pid, 0)
        whole_s = time.perf_counter() - begin_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command} ended with {process.returncode} in {checkout}")
        said.seek(0)
        return said.read(), {
            "in all": whole_s,
            "cores": used.ru_utime + used.ru_stime,
            "peak MiB": used.ru_maxrss / KIB_PER_MIB,
        }


if __name__ == "__main__":
    main()
