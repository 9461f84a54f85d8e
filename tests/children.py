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
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}


def storage_folder(cache: pytest.Cache) -> Path:
    """A `[storage] folder` with the programs that children compiled in earlier runs, nothing else.

    One child at a time: a bot takes it for itself.
    """
    folder = cache.mkdir("children") / "out" / "ask"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name != "programs":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder
