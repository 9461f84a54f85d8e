"""How long is a start, cold and with the compiled programs kept?

    .venv/bin/python benchmarks/start.py [--rounds 3]

`imagine draw` with the embedded model in a folder of its own: from the command to four pictures,
the first time and again. Medians.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

IMAGINE: Final = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "imagine"
PARTS: Final = ("load", "compile", "inference", "encode")


def main() -> None:
    """Start, start again, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    starts: dict[str, list[dict[str, float]]] = {"cold": [], "again": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for times_s in starts.values():  # the second finds what the first has compiled
                times_s.append(_draw(Path(folder)))
    print(f"{'':<6}" + "".join(f"{name:>11}" for name in (*PARTS, "in all")) + "   seconds")
    for kind, times_s in starts.items():
        medians_s = [statistics.median(one[name] for one in times_s) for name in (*PARTS, "in all")]
        print(f"{kind:<6}" + "".join(f"{value_s:11.2f}" for value_s in medians_s))


def _draw(folder: Path) -> dict[str, float]:
    begin_s = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own command
        [IMAGINE, "draw", "a red circle on a blue background", "--json", "--out", "out"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    whole_s = time.perf_counter() - begin_s
    timings_s: dict[str, float] = json.loads(done.stdout)["timings_s"]
    return {**timings_s, "in all": whole_s}


if __name__ == "__main__":
    main()
