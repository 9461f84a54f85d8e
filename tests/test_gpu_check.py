"""The check for a machine with an NVIDIA card, tried dry: here is none, and no PyTorch."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.__main__ import PARTS
from benchmarks.gpu_check.setting import DONE
from benchmarks.gpu_check.table import COLUMNS, table
from sdxl_engine.programs.kept import KEPT_IN
from tests.children import ENVIRONMENT

ROOT = Path(__file__).parents[1]


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    kept = os.environ.get(KEPT_IN)
    return subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "benchmarks.gpu_check", "--out", str(folder), *options],
        cwd=ROOT,
        env={
            **ENVIRONMENT,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'training'}",
            **({KEPT_IN: kept} if kept else {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def numbers(found: Any) -> Iterator[float]:
    if isinstance(found, dict | list):
        for one in found.values() if isinstance(found, dict) else found:
            yield from numbers(one)
    elif isinstance(found, int | float):
        yield found


# A minute of CPU: it compiles what a request of each of two models calls, of one in both types.
# Later runs find that compiled.
def test_a_dry_run_finds_something_out_in_every_part(tmp_path: Path) -> None:
    done = check(tmp_path, "--tiny", "--seconds", "100000")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu-check.json").read_text("utf-8"))
    parts = report["parts"]
    assert list(parts) == list(PARTS)
    assert {part["state"] for part in parts.values()} == {DONE}
    assert all(math.isfinite(number) for number in numbers(report))
    assert '"failed"' not in json.dumps({**parts, "machine": {}})  # nvidia-smi is not here
    assert parts["doodle"]["float32"]["largest"] <= parts["doodle"]["tolerance"]
    assert parts["doodle"]["rounding"]["latents_share"] > 0  # two types, two pictures
    assert all(own["same_first"] for own in parts["doodle"]["picture_check"].values())
    assert parts["engine"]["request_s"] > parts["engine"]["step_ms"] / 1e3 > 0
    assert set(parts["engine"]["compile_s"]) >= {"condition", "begin", "guided", "decode"}
    assert "torch is not here" in parts["pytorch"]["absent"]
    assert all(ways for ways in parts["pieces"]["pieces"].values())
    table = (tmp_path / "gpu-check.txt").read_text("utf-8")
    assert table in done.stdout
    assert max(map(len, table.splitlines())) <= COLUMNS


def test_without_a_card_it_says_so(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 1
    assert "jax sees no NVIDIA card here" in done.stderr.splitlines()[-1]


def test_what_does_not_fit_its_time_is_said(tmp_path: Path) -> None:
    done = check(tmp_path, "--tiny", "--seconds", "0", "--parts", "machine")
    assert done.returncode == 1
    assert "out of time" in (tmp_path / "gpu-check.txt").read_text("utf-8")


def test_the_table_shows_what_only_a_card_tells() -> None:
    """Also what fails there; each at the width of a page."""
    failed = {"failed": "XlaRuntimeError: " + "RESOURCE_EXHAUSTED " * 9, "traceback": "..."}
    card = {"name": "NVIDIA H200", "memory.total": "143771 MiB", "driver_version": "580.1"}
    parts: dict[str, dict[str, Any]] = {
        "machine": {"cards": [{**card, "power.limit": "700 W", "clocks.max.sm": "1980 MHz"}]},
        "doodle": {
            "tolerance": 3,
            "pictures": 7,
            "float32": {"compile_s": 9.0, "largest": 4, "mean": 0.1},
            "bfloat16": failed,
            "picture_check": failed,
        },
        "engine": {
            "refused": [{"way": "4 images, attention cudnn", **failed}],
            "images": 4,
            "size_px": [1024, 1024],
            "steps": 20,
            "dtype": "bfloat16",
            "attention": "xla",
            "kernels": "OHWI",
            "compile_s": {"guided": 90.0, "decode": 20.0},
            "rounds": 3,
            "request_s": 4.0,
            "encode_ms": 5.0,
            "step_ms": 180.0,
            "decode_ms": 300.0,
            "step_tflop_per_s": 300.4,
            "weights_bytes": 7 * 2**30,
            "peak_bytes": 30 * 2**30,
            "guided_temporary_bytes": 2**30,
            "busiest": [{"kernel": "k" * 60, "calls": 70, "ms": 60.1, "share": 0.334}],
        },
        "pytorch": {
            "images": 4,
            "model": "plain PyTorch",
            "version": "2.9",
            "cudnn": 91400,
            "eager_ms": 240.0,
            "compiled_ms": failed,
            "pieces": {"conv": 1.25},
        },
        "pieces": {"pieces": {"conv": {"OHWI": 1.0, "HWIO": failed}}},
    }
    report = {"began": "today", "tiny": False, "parts": parts}
    for part in parts.values():
        part |= {"state": DONE, "took_s": 1.0}
    lines = table(report).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    shown = " ".join(" ".join(lines).split())  # a long row goes on in the next line
    for text in (
        "NVIDIA H200, 143771 MiB, driver 580.1, 700 W",
        "at most 4 levels of 255, on average 0.100 (3 are allowed): TOO FAR",
        "110: guided 90, decode 20",
        "180.00 ms 300.4 TFLOP/s",
        "7.0 GiB of weights, 30.0 GiB at most",
        "33.4%",
        "240.00 ms; the engine takes 0.75 of it",
        "OHWI 1.000, HWIO no, PyTorch 1.250",
    ):
        assert text in shown
    assert shown.count("RESOURCE_EXHAUSTED RESOURCE_EXHAUSTED") >= 5
