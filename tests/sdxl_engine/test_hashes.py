"""Files are known by the hashes of model sites, as long as they are those that were read."""

import hashlib
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sdxl_engine.hashes import SeenFile

WEIGHTS = {"x": np.arange(4, dtype=np.float32)}


def test_the_hashes_that_sites_know_files_by(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(WEIGHTS, path, {"title": "one"})
    seen = SeenFile.now(path)
    assert seen.model_hash() == hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    lora = seen.lora_hash()
    assert lora == hashlib.sha256(WEIGHTS["x"].tobytes()).hexdigest()[:12]
    save_file(WEIGHTS, path, {"title": "another one"})
    now = SeenFile.now(path)
    assert now.model_hash() == hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    assert now.lora_hash() == lora


def test_a_file_that_was_replaced_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(WEIGHTS, path)
    seen, facts = SeenFile.now(path), path.stat()
    assert seen.model_hash()
    save_file({"x": WEIGHTS["x"] + 1}, path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as if nothing had happened
    assert (seen.model_hash(), seen.lora_hash()) == (None, None)
    path.unlink()
    assert (seen.model_hash(), seen.lora_hash()) == (None, None)
