"""What both wings' tests share: compiled programs, the judge, and who goes to one worker."""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import jax
import pytest
import pytest_asyncio
from hypothesis import settings
from judge import Judge
from playwright.async_api import Browser
from world import LEARNT
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # no py.typed

from sdxl_engine.programs.kept import KEPT_IN, keep_with_jax, machine
from tests.standins.discord.browser import running_browser

# Patterns of test ids that share what is dear and made once a worker: compiled models, a browser, a
# judge, a cluster. Each goes to one worker, in this order, which is that of their length.
GROUPS = (r"test_(doodle|judge)\.py", "tiny_a", "tiny_b", "/web/", "pool/test_cluster")
# With FEW_CASES in the environment, of each test its first case; and none of what comes out alike
# whatever Python is behind it: models and kernels as XLA compiles them, pages in a browser, what is
# on the disk of a bot that is killed.
ALIKE = (
    *GROUPS,
    r"test_(models|arithmetic|gpu_check|killing)\.py",
    r"sdxl_engine/test_(variants|quantised|memory|model_set|embeddings|picture_goldens)\.py",
    r"sdxl_engine/(forecast|lora)/",
)
MEMORY, FREE_BYTES = Path("/dev/shm"), 2**32  # noqa: S108 - a folder of a chance name in it
MOST_BYTES = 2**29  # of compiled programs; those of one state of the sources are 40 MB


# A busy machine is no fault of what is tested; no timing is asserted. Developers' runs look for new
# cases; what decides whether a change lands (`.ci/run` sets CI) tries the same ones every time.
settings.register_profile("any machine", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Write to memory, keep compiled programs, compile quickly: in workers and processes, too.

    Processes find the last two in their environment.
    """
    folder = _programs_folder()
    if not hasattr(config, "workerinput"):
        _write_to_memory(config)
        # Half of a compilation is LLVM's passes. What runs often is compiled with them all the same
        # (`fully_optimised`): without, it takes twice as long.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {flags}".strip()
        with suppress(FileNotFoundError):  # another run tidies up as well
            if sum(path.lstat().st_size for path in folder.rglob("*")) > MOST_BYTES:
                shutil.rmtree(folder)
    # With jax's own cache: tests compile more than the engine's programs, and what a change of the
    # source leaves as it was need not be compiled again.
    kept = os.environ.setdefault(KEPT_IN, str(folder / machine()))
    jax.config.update("jax_compilation_cache_dir", kept)
    keep_with_jax()


def _write_to_memory(config: pytest.Config) -> None:
    """Put the tests' folders where a ledger's every `fsync` costs nothing: half of their time."""
    is_there = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    if config.option.basetemp is not None or not is_there:
        return
    if shutil.disk_usage(MEMORY).free >= FREE_BYTES:
        base = Path(tempfile.mkdtemp(prefix="imagine-tests-", dir=MEMORY))
        config.option.basetemp = base / "run"
        config.add_cleanup(lambda: shutil.rmtree(base, ignore_errors=True))


def _programs_folder() -> Path:
    """Outside the checkout: CI clones it afresh, on a machine that may stay."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "imagine-bot" / "compiled-for-tests"


def _group(test_id: str) -> str:
    return next((group for group in GROUPS if re.search(group, test_id)), test_id)


class InGroups(LoadScopeScheduling):  # type: ignore[misc] # untyped, as above
    """Hands out groups, then what is in none, test by test.

    With pytest 9.2.0 pytest-xdist 3.8.0 overlooks every `xdist_group` (its issue 1386): --dist
    loadgroup would compile each model in each worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)  # for whoever runs without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> InGroups:
    """Take ours, whatever --dist says."""
    return InGroups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the groups first, so that the longest do not begin last."""
    if "FEW_CASES" in os.environ:
        few = set(_few(items))
        config.hook.pytest_deselected(items=[one for one in items if one not in few])
        items[:] = [one for one in items if one in few]
    items.sort(key=lambda item: [_group(item.nodeid) != group for group in GROUPS])


def _few(items: Iterable[pytest.Item]) -> Iterator[pytest.Item]:
    """Every test, with the first of its cases; of `ALIKE` none."""
    seen = set[str]()
    for item in items:
        function = item.nodeid.partition("[")[0]
        if function not in seen and not any(re.search(one, item.nodeid) for one in ALIKE):
            seen.add(function)
            yield item


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
    return Judge.train(also=LEARNT)


# A browser belongs to the event loop that started it: whatever uses it shares the session's loop.
@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium starts once a run."""
    async with running_browser() as running:
        yield running
