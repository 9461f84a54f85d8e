"""What both wings' tests share."""

import logging
from collections.abc import Iterator

import jax
import pytest
from judge import Judge

from sdxl_engine.programs.cache import use_program_cache


@pytest.fixture(scope="session", autouse=True)
def kept_programs(request: pytest.FixtureRequest) -> None:
    """Many tests compile the same programs, and so does the next run: keep them, as the bot does.

    What is compiled is asked of jax's monitoring all the same.
    """
    cache = request.config.cache
    assert cache is not None
    assert use_program_cache(cache.mkdir("engine") / "programs")
    # At its first compile jax opens the folder, and no other after it: not that of a bot in a test.
    jax.jit(lambda x: x + 1)(1.0)


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
