"""A model folder to be damaged."""

import shutil
from pathlib import Path

import pytest

from tests.sdxl_engine.conftest import GOLDENS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of tiny_b (sharded UNet) to be damaged."""
    return Path(shutil.copytree(GOLDENS / "tiny_b", tmp_path / "model"))
