"""Compiled programs on disk: read back, thrown away when damaged, refused when open to others."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sdxl_engine.programs.cache import KEPT_IN, _machine, use_program_cache

# In a process of its own: the cache belongs to a whole process. It prints what was compiled anew.
SCRIPT = """
import logging, sys, warnings
from pathlib import Path
warnings.simplefilter("error")
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
import jax, jax.numpy as jnp
from sdxl_engine.programs.cache import use_program_cache
assert use_program_cache(Path(sys.argv[1]))
misses = []
jax.monitoring.register_event_listener(
    lambda event, **_: misses.append(event) if event.endswith("cache_misses") else None
)
for power in (2, 3):
    program = jax.jit(lambda x: jnp.sum(x**power)).lower(jnp.ones(5)).compile()
    assert program(jnp.full(5, 2.0)) == 5 * 2**power
print(len(misses), "compiled")
"""


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the tests themselves are kept where their environment says."""
    monkeypatch.delenv(KEPT_IN, raising=False)


def start(folder: Path, **environ: str) -> str:
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", SCRIPT, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_second_start_compiles_nothing_and_a_damaged_file_once_more(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    assert not start(folder).endswith("0 compiled\n")
    assert start(folder).endswith("0 compiled\n")
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = sorted((folder / _machine()).glob("*-cache"), key=lambda path: path.stat().st_size)
    cut_short, flipped = kept[-2:]
    cut_short.write_bytes(cut_short.read_bytes()[:100])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 0xFF
    flipped.write_bytes(data)
    said = start(folder)
    assert said.count("a damaged program is compiled again") == 2
    assert said.endswith("2 compiled\n")
    assert start(folder).endswith("0 compiled\n")


def two_programs(folder: Path) -> tuple[Path, Path]:
    """The files of the script's two, which have the same arguments and results."""
    one, other = sorted((folder / _machine()).glob("jit__lambda*-cache"))
    return one, other


def exchange(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def exchange_with_seals(one: Path, other: Path) -> None:
    exchange(one, other)
    exchange(*(path.with_name(path.name.replace("-cache", "-seal")) for path in (one, other)))


def copy(one: Path, other: Path) -> None:
    other.write_bytes(one.read_bytes())


def plant(one: Path, other: Path) -> None:
    """As a file that jax alone has written."""
    copy(one, other)
    other.with_name(other.name.replace("-cache", "-seal")).unlink()


@pytest.mark.parametrize(
    ("change", "count"), [(exchange, 2), (exchange_with_seals, 2), (copy, 1), (plant, 1)]
)
def test_a_program_under_anothers_name_is_not_run(
    tmp_path: Path, change: Callable[[Path, Path], None], count: int
) -> None:
    """The script asserts what its programs compute."""
    folder = tmp_path / "programs"
    start(folder)
    change(*two_programs(folder))
    said = start(folder)
    assert said.count("a damaged program is compiled again: jit__lambda") == count
    assert said.endswith(f"{count} compiled\n")
    assert start(folder).endswith("0 compiled\n")


def test_the_environment_may_name_another_folder(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "programs", tmp_path / "elsewhere"
    assert not start(folder, **{KEPT_IN: str(elsewhere)}).endswith("0 compiled\n")
    assert start(folder, **{KEPT_IN: str(elsewhere)}).endswith("0 compiled\n")
    assert not folder.exists()


def test_what_other_versions_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir(mode=0o700)
    (folder / "0123456789abcdef").mkdir()
    (folder / "0123456789abcdef" / "jit_f-cache").write_bytes(b"old")
    (folder / "somebody's").mkdir()
    start(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([_machine(), "somebody's"])


@pytest.mark.parametrize("planted", ["link", "file"])
def test_a_folder_that_is_not_ours_is_not_trusted(
    tmp_path: Path, planted: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It returns before it touches jax, so this process stays as it is."""
    folder, elsewhere = tmp_path / "programs", tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    elsewhere.mkdir()
    own = folder / _machine()
    if planted == "link":
        own.symlink_to(elsewhere)
    else:
        own.write_bytes(b"")
    assert not use_program_cache(folder)
    assert "compiled programs are not kept" in caplog.text


def test_a_link_is_not_followed_and_nothing_behind_it_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "0123456789abcdef").mkdir(parents=True)
    (tmp_path / "programs").symlink_to(elsewhere)
    assert not use_program_cache(tmp_path / "programs")
    assert "is not a folder" in caplog.text
    assert [path.name for path in elsewhere.iterdir()] == ["0123456789abcdef"]


def test_a_folder_that_is_open_to_others_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs").chmod(0o777)
    assert not use_program_cache(tmp_path / "programs")
    assert "is open to others" in caplog.text


def test_no_folder_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert not use_program_cache(tmp_path / "file" / "programs")
    assert "compiled programs are not kept" in caplog.text
