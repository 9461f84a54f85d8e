import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sdxl_engine import CheckpointError
from sdxl_engine.hashes import lora_hash, model_hash


def test_the_hashes_that_sites_know_files_by(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weights = {"x": np.arange(4, dtype=np.float32)}
    save_file(weights, path, {"title": "one"})
    assert model_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    lora = lora_hash(path)
    assert lora == hashlib.sha256(weights["x"].tobytes()).hexdigest()[:12]
    before = model_hash(path)
    save_file(weights, path, {"title": "another one"})
    assert model_hash(path) != before
    assert lora_hash(path) == lora


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read"):
        model_hash(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="folder, not a file"):
        lora_hash(tmp_path)
