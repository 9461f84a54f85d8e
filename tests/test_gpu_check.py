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
from benchmarks.gpu_check.table import COLUMNS
from sdxl_engine.programs.cache import KEPT_IN
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


# A minute and a half of CPU: it compiles the programs of two models, of one in both types. Later
# runs find them compiled.
def test_a_dry_run_finds_something_out_in_every_part(tmp_path: Path) -> None:
    done = check(tmp_path, "--tiny", "--seconds", "280")
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
    assert set(parts["engine"]["compile_s"]) >= {"encode", "begin", "guided", "decode"}
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
    done = check(tmp_path, "--tiny", "--seconds", "1", "--parts", "engine")
    assert done.returncode == 1
    assert "out of time" in (tmp_path / "gpu-check.txt").read_text("utf-8")
