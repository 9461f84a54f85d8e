"""Each of the examples does what its first line says."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.children import ENVIRONMENT, clear_records, storage_folder

EXAMPLES = Path(__file__).parents[2] / "examples"


def process(
    name: str, *arguments: str, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """An example, run to its end."""
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=cwd,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run(name: str, *arguments: str, cwd: Path, **environment: str) -> list[str]:
    """The lines that an example prints."""
    done = process(name, *arguments, cwd=cwd, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# Four seconds, and ten more where no earlier run has compiled the programs.
def test_draw(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert request.config.cache is not None
    *_, last = run(
        "draw.py",
        *("a red circle on a blue background", "circle.png"),
        cwd=tmp_path,
        JAX_COMPILATION_CACHE_DIR=str(request.config.cache.mkdir("examples")),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
    assert last == "circle.png"
    with Image.open(tmp_path / "circle.png") as picture:
        assert picture.size == (128, 128)
        middle, corner = picture.getpixel((64, 64)), picture.getpixel((4, 4))
    assert isinstance(middle, tuple)
    assert isinstance(corner, tuple)
    assert middle[0] > middle[2]
    assert corner[2] > corner[0]


# Seven seconds, for it is a whole bot, and twelve more where its programs are to be compiled.
def test_ask_and_latest(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    assert request.config.cache is not None
    folder = storage_folder(request.config.cache)
    clear_records(folder)
    run("ask.py", "a blue star", str(tmp_path / "star.png"), cwd=folder.parents[1])
    with Image.open(tmp_path / "star.png") as picture:
        assert picture.size == (128, 128)
    [line] = run("latest.py", "5", cwd=tmp_path, IMAGINE_STORAGE__FOLDER=str(folder))
    _day, _time, job, state, told = line.split(maxsplit=4)
    assert state == "delivered"
    pictures = ", ".join(f"{job}_{place}.png" for place in range(4))
    assert told == f"a blue star: {pictures}"


def test_latest_where_no_bot_has_worked(tmp_path: Path) -> None:
    done = process("latest.py", "5", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("imagine: There are no jobs on record")
