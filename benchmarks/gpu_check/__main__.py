"""Is the engine right on this machine's NVIDIA card, and how fast is it beside PyTorch?

    make gpu-check [GPU_PYTHON=python3]
    PYTHONPATH=.:training python3 -m benchmarks.gpu_check [--out FOLDER] [--parts NAME ...]
        [--seconds 530] [--tiny]

Needs a Python with jax for CUDA, flax and transformers; with PyTorch beside it the same UNet is
timed there, too. Nothing is fetched: the embedded model and its pictures are in this repository,
SDXL has random weights. Leaves `gpu-check.json` and `gpu-check.txt` in the folder, written anew
with everything that is found, so a run that is cut off leaves what it had. A compilation cache that
JAX_COMPILATION_CACHE_DIR names is used, and makes seconds of compiling mean nothing.

Each part is a process, for jax and PyTorch would hold the card's memory at once. A part must be
done by a certain second; what an earlier one has not used is left to it. `--tiny` tries every part
with tiny models, also on a CPU: its times say nothing.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Final

from benchmarks.gpu_check.setting import DONE, FAILED, LATE, PENDING, RUNNING, failure
from benchmarks.gpu_check.table import table

# By when each must be done, as a share of all seconds; in the order in which they run.
PARTS: Final = {"machine": 0.1, "doodle": 0.3, "engine": 0.66, "pytorch": 0.87, "pieces": 1.0}
SECONDS: Final = 530.0  # a lent machine gives a command ten minutes
_LAST_S: Final = 20.0  # from the end of what a part tells to its own
_LOG_CHARACTERS: Final = 4_000  # of what a part that failed wrote to stderr
_ENVIRONMENT: Final = {
    # The card is a part's own; jax takes three quarters of it by default.
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9",
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
}


def main() -> int:
    """0 when every part is done; 1 when one is not, or no card is here."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT") or "out"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for everything")
    parser.add_argument("--tiny", action="store_true", help="tiny models; a CPU will do")
    arguments = parser.parse_args()
    report = Report(arguments.out, arguments.parts, tiny=arguments.tiny)
    # So that a part does not outlive what runs it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    begin_s = time.monotonic()
    for name, share in PARTS.items():
        # The first says whether the others have anything to run on.
        if name == "machine" or name in arguments.parts:
            run_part(name, report, begin_s + share * arguments.seconds)
        if name == "machine" and not (arguments.tiny or report.has_card):
            report.write()
            print(report.no_card, file=sys.stderr)
            return 1
    print(report.text())
    return 0 if all(part["state"] == DONE for part in report.parts.values()) else 1


class Report:
    """What is known so far, on disk after every change."""

    def __init__(self, folder: Path, parts: list[str], *, tiny: bool) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._facts = {"began": datetime.now(UTC).isoformat(timespec="seconds"), "tiny": tiny}
        asked = {"machine", *parts}
        self.parts: dict[str, dict[str, Any]] = {
            name: {"state": PENDING} for name in PARTS if name in asked
        }

    @property
    def tiny(self) -> bool:
        """Whether it is a dry run."""
        return bool(self._facts["tiny"])

    @property
    def has_card(self) -> bool:
        """Whether jax sees a GPU."""
        return self.parts["machine"].get("platform") == "gpu"

    @property
    def no_card(self) -> str:
        """Why nothing was measured."""
        machine = self.parts["machine"]
        seen = machine.get("platform") or machine.get("failed") or "nothing"
        return (
            f"jax sees no NVIDIA card here, but: {seen}. Run this where it does, with jax's plugin "
            "for CUDA and a driver; --tiny tries the check itself on a CPU."
        )

    def text(self) -> str:
        """The table; should it fail, why: the findings are dearer than how they look."""
        try:
            return table({**self._facts, "parts": self.parts})
        except Exception as error:  # noqa: BLE001 - as above
            return f"There is no table ({failure(error)['failed']}), but gpu-check.json."

    def write(self) -> None:
        """Both files, each whole or as it was."""
        facts = json.dumps({**self._facts, "parts": self.parts}, indent=1)
        for name, text in {"gpu-check.json": facts, "gpu-check.txt": self.text()}.items():
            new = self._folder / f".{name}.new"
            new.write_text(text + "\n", encoding="utf-8")
            new.replace(self._folder / name)


def run_part(name: str, report: Report, ends_s: float) -> None:
    """Run one part in a process of its own, and note each finding when it comes."""
    begin_s = time.monotonic()
    findings = report.parts[name]
    findings["state"] = RUNNING
    report.write()
    print(f"{name}: {ends_s - begin_s:.0f} s at most", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.gpu_check.part", name]
    command += ["--seconds", str(ends_s - begin_s), *(["--tiny"] if report.tiny else [])]
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    process = subprocess.Popen(  # noqa: S603 - ourselves
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**_ENVIRONMENT, **os.environ, "CUDA_VISIBLE_DEVICES": card},
        start_new_session=True,  # so that what compiles for it ends with it
    )
    assert process.stdout is not None  # noqa: S101 - both were asked for
    assert process.stderr is not None  # noqa: S101
    told: SimpleQueue[str | None] = SimpleQueue()
    log: list[str] = []
    readers = [
        threading.Thread(target=_read, args=(process.stdout, told.put), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, log.append), daemon=True),
    ]
    for reader in readers:
        reader.start()
    state = status = None
    try:
        state = _follow(process, told, findings, report, ends_s)
        if state is None:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(_LAST_S)
    finally:
        # Whatever it started ends with it, or the card would not be free for the next.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    findings["state"] = state or (DONE if status == 0 else FAILED)
    findings["took_s"] = round(time.monotonic() - begin_s, 1)
    if findings["state"] != DONE:
        findings.setdefault("failed", state or f"its process ended with {status}")
        findings["log"] = "".join(line for line in [*log] if line)[-_LOG_CHARACTERS:]
    report.write()


def _read(stream: IO[str], put: Any) -> None:
    for line in stream:
        put(line)
    put(None)


def _follow(
    process: subprocess.Popen[str],
    told: "SimpleQueue[str | None]",
    findings: dict[str, Any],
    report: Report,
    ends_s: float,
) -> str | None:
    """Take what the part tells until it has ended; LATE if that takes too long."""
    while (left_s := ends_s - time.monotonic()) > 0:
        try:
            line = told.get(timeout=min(1.0, left_s))
        except Empty:
            # What it started may hold its stdout open.
            if process.poll() is None:
                continue
            return None
        if line is None:
            return None
        with suppress(ValueError):  # cut off where a process died
            findings |= json.loads(line)
            report.write()
    return LATE


if __name__ == "__main__":
    sys.exit(main())
