"""The hashes by which readers of pictures and model sites know files."""

import hashlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, Self

from sdxl_engine.checkpoint.files import open_file

_MODEL_DIGITS, _LORA_DIGITS = 10, 12  # AutoV2 and AutoV3, as model sites call them
_CHUNK_BYTES: Final = 2**22
_PREFIX_BYTES: Final = 8  # of a safetensors file: the length of its header

Version = tuple[int, int, int, int]


def version(path: Path) -> Version:
    """Another one when the file is another; raises OSError."""
    facts = path.stat()
    # Its name may be set back to the time that another file had; when that was done may not.
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


class SeenFile(NamedTuple):
    """A file as it was when something was read from it; it may be replaced since."""

    path: Path
    version: Version

    @classmethod
    def now(cls, path: Path) -> Self:
        """As it is; raises OSError."""
        return cls(path, version(path))

    def model_hash(self) -> str | None:
        """AutoV2 of a model's or a VAE's file: the first 10 digits of the SHA-256 of all of it.

        None where the file is another by now, or gone. 7 GB take seconds, so not on an event loop;
        once for each state of a file.
        """
        return self._hash(_MODEL_DIGITS, tensors_only=False)

    def lora_hash(self) -> str | None:
        """AutoV3 of a LoRA's safetensors file: 12 digits of the SHA-256 of what follows its header.

        So what is told in the header may be edited. Cost, and None, as `model_hash`.
        """
        return self._hash(_LORA_DIGITS, tensors_only=True)

    def _hash(self, digits: int, *, tensors_only: bool) -> str | None:
        with suppress(OSError):
            if version(self.path) == self.version:
                digest = _digest(self, tensors_only=tensors_only)
                if version(self.path) == self.version:  # and was not replaced while it was read
                    return digest[:digits]
        return None


@lru_cache(maxsize=1024)
def _digest(file: SeenFile, *, tensors_only: bool) -> str:
    digest = hashlib.sha256()
    with open_file(file.path) as stream:
        if tensors_only:
            header_bytes = int.from_bytes(stream.read(_PREFIX_BYTES), "little")
            size, *_ = file.version
            stream.seek(min(_PREFIX_BYTES + header_bytes, size))
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
