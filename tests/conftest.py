"""What both wings' tests share: compiled programs, the judge, and who goes to one worker."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import jax
import pytest
from judge import Judge

from sdxl_engine.programs.cache import KEPT_IN, use_program_cache

# Dear, and made once a worker: what asks for one of these goes to the same worker.
SHARED = ("browser", "golden", "judge")
MOST_BYTES = 2**29  # of compiled programs; those of one state of the sources are 40 MB


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs and compile quickly: here, in workers, in processes of the tests.

    The last two find both in their environment.
    """
    folder = _programs_folder()
    if not hasattr(config, "workerinput"):
        # Half of a compilation is LLVM's passes, and a small model's few steps are no slower.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {flags}".strip()
        with suppress(FileNotFoundError):  # another run tidies up as well
            if sum(path.lstat().st_size for path in folder.rglob("*")) > MOST_BYTES:
                shutil.rmtree(folder)
    if use_program_cache(folder):
        os.environ[KEPT_IN] = str(jax.config.values["jax_compilation_cache_dir"])


def _programs_folder() -> Path:
    """Outside the checkout: CI clones it afresh, on a machine that may stay."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "imagine-bot" / "test-programs"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Send what shares something dear to one worker."""
    for item in items:
        assert isinstance(item, pytest.Function)
        for name in SHARED:
            if name in item.fixturenames:
                which = item.callspec.params.get(name, "") if hasattr(item, "callspec") else ""
                item.add_marker(pytest.mark.xdist_group(f"{name} {which}".strip()))


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Undo what a command line that a test runs does to the log of the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Learning to judge takes seconds: once a run."""
    return Judge.train()
