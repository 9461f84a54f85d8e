"""The hashes by which readers of pictures and model sites know files."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

from sdxl_engine.checkpoint.files import open_file, reason
from sdxl_engine.errors import CheckpointError

_MODEL_DIGITS, _LORA_DIGITS = 10, 12  # AutoV2 and AutoV3, as model sites call them
_CHUNK_BYTES: Final = 2**22
_PREFIX_BYTES: Final = 8  # of a safetensors file: the length of its header


def model_hash(path: Path) -> str:
    """AutoV2 of a model's or a VAE's file: the first 10 digits of the SHA-256 of all of it.

    7 GB take seconds, so not on an event loop; once for each state of a file. Raises
    CheckpointError.
    """
    return _hashed(path, tensors_only=False)[:_MODEL_DIGITS]


def lora_hash(path: Path) -> str:
    """AutoV3 of a LoRA's safetensors file: 12 digits of the SHA-256 of what follows its header.

    So what is told in the header may be edited. Cost and errors as `model_hash`.
    """
    return _hashed(path, tensors_only=True)[:_LORA_DIGITS]


def _hashed(path: Path, *, tensors_only: bool) -> str:
    try:
        facts = path.stat()
        return _digest(path, facts.st_size, facts.st_mtime_ns, tensors_only=tensors_only)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {reason(error)}.") from error


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, mtime_ns: int, *, tensors_only: bool) -> str:  # noqa: ARG001 - the key of the cache
    digest = hashlib.sha256()
    with open_file(path) as file:
        if tensors_only:
            header_bytes = int.from_bytes(file.read(_PREFIX_BYTES), "little")
            file.seek(min(_PREFIX_BYTES + header_bytes, size))
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
