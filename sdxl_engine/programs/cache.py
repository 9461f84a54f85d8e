"""Compiled programs on disk, so that a second start compiles nothing.

jax keeps them, each under a hash of everything that it was made from: the program with its shapes
and shardings, the compiler's version and flags, the kind and number of devices. What is ours here:
a compiled program is code, so the folder must be the owner's alone; programs for one processor are
not tried on another; and a file that is not what was written under its name is thrown away, be it
damaged or another program, which jax would run.
"""

import hashlib
import logging
import os
import platform
import re
import shutil
import stat
from importlib.metadata import version
from pathlib import Path
from typing import Final

import jax
from jax._src import compilation_cache

log = logging.getLogger(__name__)

KEPT_IN: Final = "JAX_COMPILATION_CACHE_DIR"  # jax's own
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MACHINE: Final = r"[0-9a-f]{16}"  # the names that `_machine` gives
_CPU_FACTS: Final = Path("/proc/cpuinfo")


def use_program_cache(folder: Path) -> bool:
    """Keep compiled programs in `folder` from now on, for the whole process.

    Makes the folder, readable by its owner alone. Returns False, with a word in the log, where it
    cannot be made or is open to others: then everything is compiled at each start, as before.
    Where `KEPT_IN` names a folder in the environment, that one is taken, as it is.
    """
    if not os.environ.get(KEPT_IN):
        own = folder / _machine()
        if not _tidied(folder, own):
            return False
        # Absolute, for jax keeps the name and not the place.
        jax.config.update("jax_compilation_cache_dir", str(own.absolute()))
        # jax has no door to what lies between it and its files; a test finds out if this one moves.
        compilation_cache._cache = SealedPrograms(own.absolute())  # type: ignore[assignment] # noqa: SLF001
    # Everything, however quick: a program that is left out is compiled at each start.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return True


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
            if other != own and re.fullmatch(_MACHINE, other.name) and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)
    except OSError as error:
        log.warning("compiled programs are not kept: %s: %s", folder, error.strerror)
        return False
    return True


class SealedPrograms:
    """The files of jax's cache, by its names, each with a seal beside it.

    The seal is a hash of name and content, so a file that lies under another's name is noticed. A
    file without one is not read: nobody can tell what it is.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder  # as jax calls it

    def get(self, key: str) -> bytes | None:
        """What was put under this key; None if that is not what is there now. Raises OSError."""
        program, seal = self._files(key)
        try:
            content = program.read_bytes()
        except FileNotFoundError:
            return None
        if seal.exists() and seal.read_bytes() == _seal(key, content):
            return content
        log.warning("a damaged program is compiled again: %s is not what was kept", program.name)
        program.unlink(missing_ok=True)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keep it; raises OSError. Cut off in between, it is compiled again."""
        program, seal = self._files(key)
        program.write_bytes(value)
        seal.write_bytes(_seal(key, value))

    def _files(self, key: str) -> tuple[Path, Path]:
        return self._path / f"{key}-cache", self._path / f"{key}-seal"


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


def _machine() -> str:
    """Names what compiled programs depend on beside what jax looks at: a CPU's instructions."""
    facts = ["sealed", platform.machine(), version("jax"), version("jaxlib")]
    if _CPU_FACTS.exists():
        lines = _CPU_FACTS.read_text(encoding="utf-8", errors="replace").splitlines()
        facts += sorted({line for line in lines if line.startswith(("flags", "model name"))})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
