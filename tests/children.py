"""What tests give to the Python processes that they start."""

import os
import shutil
from pathlib import Path

import pytest

# Nothing of whoever runs the tests; a CPU; and programs that are compiled in half of the time, for
# which pixel is which colour is not asked of a child.
ENVIRONMENT = {
    **{
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("IMAGINE_", "JAX_", "PYTHON")) and name != "DISCORD_TOKEN"
    },
    "JAX_PLATFORMS": "cpu",
    # No child is asked for a long prompt.
    "IMAGINE_ENGINE__PROMPT_CHUNKS": "1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}


def storage_folder(cache: pytest.Cache) -> Path:
    """A `[storage] folder` in which children find the programs that earlier ones compiled."""
    folder = cache.mkdir("children") / "out" / "ask"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def clear_records(folder: Path) -> None:
    """Leave nothing but the programs: the one bot that takes the folder finds no jobs of old."""
    for path in folder.iterdir():
        if path.name != "programs":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
