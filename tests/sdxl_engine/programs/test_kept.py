"""Compiled programs on disk: read back, thrown away when damaged, refused when open to others."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

import jax
import pytest

from sdxl_engine.programs.kept import KEPT_IN, KeptPrograms, _processor, _seal, _state

# In a process of its own: the tests' keeps its programs with jax. It prints what was traced and
# what compiled, and asserts what its programs compute, and that they take what was donated.
SCRIPT = """
import logging, os, sys, warnings
from functools import partial
from pathlib import Path
warnings.simplefilter("error")
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from sdxl_engine.programs.compiler import Program, make_mesh, replicated, working_bytes
from sdxl_engine.programs.kept import KeptPrograms

traced = 0

def raised(power, weights, images):
    global traced
    traced += 1
    return {"images": weights["w"][None] * images["x"] ** power}

def unlike(images):
    return jax.numpy.cumsum(images["x"], axis=-1)

compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
)
devices, count = jax.devices(), int(sys.argv[2])
mesh = make_mesh(devices, count)
images = NamedSharding(mesh, P("images"))
kept = KeptPrograms.in_folder(Path(sys.argv[1]))
assert (kept is None) == ("JAX_COMPILATION_CACHE_DIR" in os.environ)
compile_ = Program.compile if kept is None else kept.compiled

def shape(sharding, *sides):
    return jax.ShapeDtypeStruct(sides, np.float32, sharding=sharding)

x = {"x": shape(images, count, 5)}
for power in (2, 3):
    arguments = {"w": shape(replicated(devices), 5)}, x
    program = Program(mesh, partial(raised, power), arguments, P("images"), donated=(1,))
    executable = compile_(program)
    weights = {"w": jax.device_put(np.arange(5, dtype=np.float32), replicated(devices))}
    given = {"x": jax.device_put(np.full((count, 5), 2, np.float32), images)}
    result = executable(weights, given)["images"]
    np.testing.assert_array_equal(result, [np.arange(5) * 2**power] * count)
    assert given["x"].is_deleted(), "not donated"
    assert not weights["w"].is_deleted(), "donated"
    assert result.sharding.is_equivalent_to(images, 2), result.sharding
    assert working_bytes(executable) >= 0
    assert executable.out_info["images"].shape == (count, 5)
    try:
        executable(weights, {"x": jax.device_put(np.ones((count, 6), np.float32), images)})
    except TypeError:
        pass
    else:
        raise AssertionError("another shape was taken")
executable = compile_(Program(mesh, unlike, (x,), P("images")))
np.testing.assert_array_equal(
    executable({"x": jax.device_put(np.ones((count, 5), np.float32), images)}),
    [np.arange(1, 6)] * count,
)
print(traced, "traced,", len(compiled), "compiled")
"""
OTHERS = (
    {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
    {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"},
    {"LIBTPU_INIT_ARGS": "--xla_any=1"},
    {"JAX_DEFAULT_PRNG_IMPL": "rbg"},
)
NOTHING, EVERYTHING = "0 traced, 0 compiled\n", "2 traced, 3 compiled\n"


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the tests themselves are kept where their environment says."""
    monkeypatch.delenv(KEPT_IN, raising=False)


@pytest.fixture
def ours() -> Iterator[None]:
    """As if jax kept nothing in this process, which it does for all other tests."""
    kept = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", kept)


def start(folder: Path, environ: Mapping[str, str] | None = None, count: int = 2) -> str:
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", SCRIPT, str(folder), str(count)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **(environ or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Over 2 s of CPU, as most here: each start is a process of its own. One folder is filled for all.
@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "programs"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(KEPT_IN, raising=False)
        assert start(folder) == EVERYTHING
    assert folder.stat().st_mode & 0o777 == 0o700
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """What a first start kept."""
    return Path(shutil.copytree(filled, tmp_path / "programs"))


def test_a_second_start_traces_nothing_and_a_damaged_file_once_more(folder: Path) -> None:
    assert start(folder) == NOTHING
    cut_short, flipped = two_programs(folder)
    cut_short.write_bytes(cut_short.read_bytes()[:100])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 0xFF
    flipped.write_bytes(data)
    said = start(folder)
    assert said.count("a damaged program is compiled again") == 2
    assert said.endswith("2 traced, 2 compiled\n")
    assert start(folder) == NOTHING


@pytest.mark.parametrize("count", [4, 2])  # one a device, and one a pair
def test_on_several_devices(tmp_path: Path, count: int) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    assert start(tmp_path / "programs", {"XLA_FLAGS": flags}, count) == EVERYTHING
    assert start(tmp_path / "programs", {"XLA_FLAGS": flags}, count) == NOTHING


def test_other_flags_are_other_programs(folder: Path) -> None:
    for environ in OTHERS:
        assert start(folder, environ) == EVERYTHING, environ
    assert start(folder) == start(folder, OTHERS[0]) == NOTHING


def two_programs(folder: Path) -> tuple[Path, Path]:
    """The files of the script's two that have the same arguments and results."""
    one, other = sorted((folder / _state()).glob("raised-*"))
    return one, other


def exchange(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def copy(one: Path, other: Path) -> None:
    other.write_bytes(one.read_bytes())


def plant(one: Path, other: Path) -> None:
    """Without the seal."""
    other.write_bytes(one.read_bytes()[32:])


@pytest.mark.parametrize(("change", "count"), [(exchange, 2), (copy, 1), (plant, 1)])
def test_a_program_under_anothers_name_is_not_run(
    folder: Path, change: Callable[[Path, Path], None], count: int
) -> None:
    """The script asserts what its programs compute."""
    change(*two_programs(folder))
    said = start(folder)
    assert said.count("a damaged program is compiled again: raised") == count
    assert said.endswith(f"{count} traced, {count} compiled\n")


def test_what_cannot_be_loaded_is_compiled_again(folder: Path) -> None:
    """Sealed as it should be, and no program."""
    one, _ = two_programs(folder)
    content = pickle.dumps(({}, None, None))
    one.write_bytes(_seal(one.name.removeprefix("raised-"), content) + content)
    said = start(folder)
    assert "cannot be loaded" in said
    assert said.endswith("1 traced, 1 compiled\n")


def test_where_the_environment_names_a_folder_jax_keeps_them(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "programs", tmp_path / "elsewhere"
    assert start(folder, {KEPT_IN: str(elsewhere)}).startswith("2 traced")
    assert len(list(elsewhere.glob("jit_raised*-cache"))) == 2  # however quickly compiled
    assert not folder.exists()


def test_what_other_versions_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir(mode=0o700)
    (folder / "0123456789abcdef").mkdir()
    (folder / "0123456789abcdef" / "decode-0").write_bytes(b"old")
    (folder / "somebody's").mkdir()
    start(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([_state(), "somebody's"])


X86 = """processor	: 0
model name	: Intel(R) Xeon(R) Platinum 8481C
cpu MHz		: 2699.998
flags		: fpu sse4_2 avx2 avx512f
bogomips	: 5399.99
"""
ARM = """processor	: 0
BogoMIPS	: 2000.00
Features	: fp asimd sve bf16
CPU implementer	: 0x41
CPU architecture: 8
CPU part	: 0xd4f
"""


@pytest.mark.parametrize(
    ("facts", "able", "less"), [(X86, " avx512f", ""), (ARM, " sve", ""), (ARM, "0xd4f", "0xd0c")]
)
def test_a_program_is_of_the_processors_kind(facts: str, able: str, less: str) -> None:
    """And not of which of its cores, or of how fast it runs just now."""
    assert able in "".join(_processor(facts))
    assert _processor(facts.replace(able, less)) != _processor(facts)
    other_core = facts.replace("processor	: 0", "processor	: 1").replace("99", "42")
    assert _processor(f"{facts}\n{other_core.replace('2000.00', '2100.00')}") == _processor(facts)


def anew() -> ModuleType:
    """`kept`, as another process imports it."""
    spec = find_spec(KeptPrograms.__module__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_source_is_what_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an upgrade writes below a running process is not what that process compiles."""
    monkeypatch.setattr("sdxl_engine.__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "unet.py").write_text("steps = 1")
    before, running = anew()._state(), anew()
    (tmp_path / "unet.py").write_text("steps = 2")
    assert running._state() == before
    assert anew()._state() != before


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("planted", ["link", "file"])
def test_a_folder_that_is_not_ours_is_not_trusted(
    tmp_path: Path, planted: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, elsewhere = tmp_path / "programs", tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    elsewhere.mkdir()
    own = folder / _state()
    if planted == "link":
        own.symlink_to(elsewhere)
    else:
        own.write_bytes(b"")
    assert KeptPrograms.in_folder(folder) is None
    assert "compiled programs are not kept" in caplog.text


@pytest.mark.usefixtures("ours")
def test_a_link_is_not_followed_and_nothing_behind_it_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "0123456789abcdef").mkdir(parents=True)
    (tmp_path / "programs").symlink_to(elsewhere)
    assert KeptPrograms.in_folder(tmp_path / "programs") is None
    assert "is not a folder" in caplog.text
    assert [path.name for path in elsewhere.iterdir()] == ["0123456789abcdef"]


@pytest.mark.usefixtures("ours")
def test_a_folder_that_is_open_to_others_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs").chmod(0o777)
    assert KeptPrograms.in_folder(tmp_path / "programs") is None
    assert "is open to others" in caplog.text


@pytest.mark.usefixtures("ours")
def test_no_folder_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert KeptPrograms.in_folder(tmp_path / "file" / "programs") is None
    assert "compiled programs are not kept" in caplog.text
