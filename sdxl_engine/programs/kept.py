"""Compiled programs on disk, so that a second start compiles nothing, and traces nothing.

jax has a cache of its own, but asks it for a program that is traced and lowered already, which is
most of a second start. So each is kept here under a hash of all that it is made of: the engine's
source, what its function holds, the shapes, the devices, versions, flags. A compiled program is
code, so the folder must be the owner's alone; and a file that is not what was written under its
name is thrown away, be it damaged or another program, which would be run.
"""

import ctypes
import hashlib
import logging
import os
import pickle
import platform
import re
import shutil
import stat
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final, Self

import jax
from jax.experimental import serialize_executable

import sdxl_engine
from sdxl_engine.programs.compiler import Executable, Program

log = logging.getLogger(__name__)

KEPT_IN: Final = "JAX_COMPILATION_CACHE_DIR"  # jax's own
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_STATE: Final = r"[0-9a-f]{16}"  # the names that `_state` gives
_CPU_FACTS: Final = Path("/proc/cpuinfo")
# What a processor can do, and which it is: as x86 has it, then as ARM has it.
_CPU_LINES: Final = ("flags", "model name", "Features", "CPU implementer", "CPU part")
# What traces and compiles, and whose code compiled programs call.
_COMPILES: Final = re.compile(r"jax|flax|numpy|libtpu|nvidia-", re.IGNORECASE)
_COMPILERS_OWN: Final = ("XLA_", "LIBTPU_", "TPU_", "CUDA_", "NVIDIA_", "TF_")  # in the environment
_SEAL_BYTES: Final = 32


class KeptPrograms:
    """The compiled programs of one folder; made by `in_folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def in_folder(cls, folder: Path) -> Self | None:
        """Those in `folder`, which is made, readable by its owner alone.

        None, with a word in the log, where it cannot be made or is open to others: then everything
        is compiled at each start. None also where jax was told a folder, as by `KEPT_IN` in the
        environment: then jax keeps them there. Both at once would not do: an executable that came
        out of jax's cache can be written, but what is read back does not run
        (findings/jax_serialize_from_cache.sh).
        """
        if jax.config.values["jax_compilation_cache_dir"]:
            keep_with_jax()
            return None
        own = folder / _state()
        return cls(own) if _tidied(folder, own) else None

    def compiled(self, program: Program) -> Executable:
        """A program as it was kept, or compiled and kept from now on."""
        key = _key(program)
        path = self._folder / f"{program.name}-{key}"
        executable = self._loaded(path, key, program)
        if executable is None:
            executable = program.compile()
            self._keep(path, key, executable)
        return executable

    def _loaded(self, path: Path, key: str, program: Program) -> Executable | None:
        try:
            written = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s is compiled again: %s", program.name, error.strerror)
            return None
        content = written[_SEAL_BYTES:]
        if written[:_SEAL_BYTES] != _seal(key, content):
            log.warning("a damaged program is compiled again: %s is not what was kept", path.name)
            return None
        devices = list(program.mesh.devices.flat)
        try:
            # Ours, by its seal, in a folder of our own.
            serialized, in_tree, out_tree = pickle.loads(content)  # noqa: S301
            loaded: Executable = serialize_executable.deserialize_and_load(
                serialized,
                in_tree,
                out_tree,
                backend=devices[0].client,
                execution_devices=devices,
            )
        except Exception as error:  # noqa: BLE001 - whatever a device's runtime raises
            log.warning("%s is compiled again: it cannot be loaded: %s", path.name, error)
            return None
        _give_back_memory()
        return loaded

    def _keep(self, path: Path, key: str, executable: Any) -> None:  # noqa: ANN401 - jax.stages.Compiled is untyped
        """Write it; cut off in between, it is compiled again."""
        try:
            content = pickle.dumps(serialize_executable.serialize(executable))
            beside = path.with_name(f"{path.name}.{os.getpid()}")
            beside.write_bytes(_seal(key, content) + content)
            beside.replace(path)  # so nobody reads a half
        # No file, and whatever the runtime of a device raises that cannot write its programs.
        except Exception as error:  # noqa: BLE001
            log.warning("%s is not kept, and compiled at each start: %s", path.name, error)


def _give_back_memory() -> None:
    """What loading took for a while the C library keeps; of the embedded model 60 MB for good."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def keep_with_jax() -> None:
    """Have jax's own cache keep everything, however quick: what it leaves out is compiled again."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _key(program: Program) -> str:
    """A hash of all that a program comes of beside `_state`."""
    devices = list(program.mesh.devices.flat)
    client = devices[0].client
    leaves, tree = jax.tree.flatten(program.arguments)
    facts = (
        program.name,
        hashlib.sha256(pickle.dumps(program.function)).hexdigest(),
        str(tree),
        [(leaf.shape, leaf.dtype.name, str(leaf.sharding.spec)) for leaf in leaves],
        str(program.out_specs),
        program.donated,
        program.options,
        dict(program.mesh.shape),
        [(device.id, device.device_kind, device.process_index) for device in devices],
        (client.platform, client.platform_version),
        sorted(jax.config.values.items()),
        sorted(one for one in os.environ.items() if one[0].startswith(_COMPILERS_OWN)),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def machine() -> str:
    """Names what compiles here, and the processor, whose instructions programs may need."""
    facts = [platform.machine(), platform.python_version()]
    facts += sorted(
        f"{one.name} {one.version}" for one in distributions() if _COMPILES.match(one.name or "")
    )
    if _CPU_FACTS.exists():
        facts += _processor(_CPU_FACTS.read_text(encoding="utf-8", errors="replace"))
    return _named("\n".join(facts).encode())


def _processor(facts: str) -> list[str]:
    """Of what Linux tells of each core what its programs depend on, once."""
    return sorted({line for line in facts.splitlines() if line.startswith(_CPU_LINES)})


def _state() -> str:
    """Names what all programs come of: the machine and our source."""
    return _named(machine().encode() + _SOURCE)


def _source() -> bytes:
    ours = Path(sdxl_engine.__file__).parent
    files = sorted(ours.rglob("*.py"))
    whole = [f"\n{path.relative_to(ours)}\n".encode() + path.read_bytes() for path in files]
    return hashlib.sha256(b"".join(whole)).digest()


# Of what this process has imported: later the files may be another version's.
_SOURCE: Final = _source()


def _named(facts: bytes) -> str:
    return hashlib.sha256(facts).hexdigest()[:16]


def _tidied(folder: Path, own: Path) -> bool:
    """Make `own` in `folder`, and remove what will not be read again; False if it cannot be."""
    try:
        # Nothing is changed in a folder before it is known to be ours.
        for place in (folder, own):
            place.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
            if fault := _fault(place):
                log.warning("compiled programs are not kept: %s", fault)
                return False
        # The folders of other versions.
        for other in folder.iterdir():
            if other != own and re.fullmatch(_STATE, other.name) and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)
    except OSError as error:
        log.warning("compiled programs are not kept: %s: %s", folder, error.strerror)
        return False
    return True


def _seal(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + content).digest()


def _fault(folder: Path) -> str:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        return f"{folder} is not a folder"
    if facts.st_uid != os.getuid():
        return f"{folder} belongs to somebody else"
    if stat.S_IMODE(facts.st_mode) & _OTHERS:
        return f"{folder} is open to others"
    return ""
