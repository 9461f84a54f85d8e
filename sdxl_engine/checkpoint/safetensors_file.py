"""What a safetensors file holds: its header checked to the last byte, its tensors read one by one.

The format: eight bytes with the length of the header, the header in JSON, then the tensors' bytes,
each beginning where the last one ended.
"""

import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.files import MAX_JSON_BYTES, open_file, reason
from sdxl_engine.checkpoint.json_reader import parse_json
from sdxl_engine.checkpoint.kinds import foreign
from sdxl_engine.errors import CheckpointError

# The types that weights come in; a file may hold others, but not in a tensor that is read.
DTYPES: Final[Mapping[str, npt.DTypeLike]] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
}
# And what single numbers beside them may be.
NUMBERS: Final[Mapping[str, npt.DTypeLike]] = {
    **DTYPES,
    "F64": np.float64,
    "I64": np.int64,
    "I32": np.int32,
}
FLOAT8: Final = ("F8_E4M3", "F8_E5M2")
ROWS: Final = 32  # of a matrix: turned, they fill whole lines of a core's cache
_AT_ONCE: Final = 2**19  # numbers that a core's second cache holds while they are read and cast
_PREFIX_BYTES: Final = 8
_TELLING_BYTES: Final = 64  # enough to tell a file of another kind
# Beyond these numbers are no tensor's, and multiplying enough of them takes hours.
_MAX_AXES: Final = 8
_MAX_SIDE: Final = 2**48

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor lies: `offset` and `size` in bytes from the start of the file.

    shape       as it is read
    transposed  it is a matrix that lies there the other way round
    scale       what its numbers are to be multiplied by (scaled float8): one for all, or one a row
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    transposed: bool = False
    scale: "StoredTensor | None" = None

    @property
    def matrix(self) -> "StoredTensor":
        """A 1x1 convolution as the matrix that it is; anything else as it is."""
        if len(self.shape) == 4 and self.shape[2:] == (1, 1):  # noqa: PLR2004 - OIHW
            return replace(self, shape=self.shape[:2])
        return self

    @property
    def turned(self) -> "StoredTensor":
        """A matrix the other way round."""
        return replace(self, shape=self.shape[::-1], transposed=not self.transposed)

    def split(self, count: int) -> list["StoredTensor"]:
        """Equal parts that lie one below the other; raises CheckpointError if they cannot be."""
        rows = self.shape[0] if self.shape else 0
        if rows % count or self.transposed:
            raise CheckpointError(
                f"{self.path} has a tensor of {list(self.shape)} where {count} equal ones should "
                "lie one below the other. Fetch it again."
            )
        size, shape = self.size // count, (rows // count, *self.shape[1:])
        scales = [self.scale] * count
        if self.scale is not None and math.prod(self.scale.shape) > 1:
            scales = [*self.scale.split(count)]
        return [
            replace(self, shape=shape, size=size, offset=self.offset + number * size, scale=scale)
            for number, scale in enumerate(scales)
        ]

    def read(self) -> Array:
        """Its values; raises CheckpointError."""
        shape = self.shape[::-1] if self.transposed else self.shape
        with self._open() as file:
            array = self._fill(np.empty(shape, NUMBERS[self.dtype]), file)
        if self.scale is not None:
            scale = self.scale.read().astype(np.float32)
            # One a row lies as [rows] or [rows, 1]; whatever the kernel, it runs along the first.
            array = array.astype(np.float32) * scale.reshape(-1, *(1,) * (array.ndim - 1))
        return array.T if self.transposed else array

    def blocks(self) -> Iterator[Array]:
        """Its values, a multiple of `ROWS` rows at a time, each in the memory of the one before.

        To touch new memory takes longer than to read into it. Raises CheckpointError.
        """
        if self.transposed or self.scale is not None:
            yield self.read()
            return
        length, *row = self.shape
        rows = math.ceil(_AT_ONCE / max(1, ROWS * math.prod(row))) * ROWS
        with self._open() as file:
            block = np.empty((min(rows, length), *row), NUMBERS[self.dtype])
            for first in range(0, length, rows):
                yield self._fill(block[: length - first], file)

    @contextmanager
    def _open(self) -> Iterator[io.BufferedReader]:
        """Its file, at its first byte: plain reads, for a memory map counts as our memory."""
        try:
            with open_file(self.path) as file:
                file.seek(self.offset)
                yield file
        except (OSError, ValueError) as error:  # ValueError: a shape that numpy cannot hold
            raise CheckpointError(f"{self.path} cannot be read: {reason(error)}.") from error

    def _fill(self, array: Array, file: io.BufferedReader) -> Array:
        if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise CheckpointError(f"{self.path} is truncated. Fetch it again.")
        return array


class StoredFile(NamedTuple):
    """What the header of a safetensors file says: its tensors by name, and words about it."""

    tensors: dict[str, StoredTensor]
    metadata: Mapping[str, str]


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file, by name; raises CheckpointError for a damaged one."""
    return read_stored(path).tensors


def read_stored(path: Path) -> StoredFile:
    """The whole header of a safetensors file; raises CheckpointError for a damaged one."""
    try:
        with open_file(path) as file:
            total = os.fstat(file.fileno()).st_size
            begin = file.read(_TELLING_BYTES)
            if (other := foreign(path.name, begin)) is not None:
                raise CheckpointError(f"{path} is {other.advice}")
            file.seek(_PREFIX_BYTES)
            length = int.from_bytes(begin[:_PREFIX_BYTES], "little")
            start = _PREFIX_BYTES + length
            if total < start:
                raise CheckpointError(
                    f"{path} is truncated or not a safetensors file. Fetch it again."
                )
            if length > MAX_JSON_BYTES:
                raise CheckpointError(
                    f"{path} has a header of {length:,} bytes; of a model that this engine draws "
                    f"it has at most {MAX_JSON_BYTES:,}. Fetch it again, or choose another."
                )
            header = parse_json(file.read(length))
        metadata = header.pop("__metadata__", None)
        tensors = {name: _stored(path, start, entry) for name, entry in header.items()}
        end = _end(start, tensors.values())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {reason(error)}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} has a damaged header. Fetch it again.") from error
    if end != total:
        raise CheckpointError(
            f"{path} is {total:,} bytes long where its header says {end:,}: it is truncated or "
            "damaged. Fetch it again."
        )
    words = metadata.items() if isinstance(metadata, dict) else ()
    return StoredFile(tensors, {name: word for name, word in words if isinstance(word, str)})


def _stored(path: Path, start: int, entry: Mapping[str, Any]) -> StoredTensor:
    first, last = entry["data_offsets"]
    dtype, shape = entry["dtype"], entry["shape"]
    if not (isinstance(dtype, str) and isinstance(shape, list)):
        raise TypeError("a tensor without a type or shape")
    if len(shape) > _MAX_AXES:
        raise ValueError("a tensor of too many axes")
    if not all(type(number) is int and 0 <= number < _MAX_SIDE for number in (first, last, *shape)):
        raise ValueError("an offset or side that is not a whole number, or too large")
    if dtype in NUMBERS and last - first != math.prod(shape) * np.dtype(NUMBERS[dtype]).itemsize:
        raise ValueError("a tensor's size is not that of its shape")
    return StoredTensor(path, dtype, tuple(shape), start + first, last - first)


def _end(start: int, tensors: Iterable[StoredTensor]) -> int:
    """Where the last tensor ends; raises ValueError for a gap or an overlap before it."""
    end = start
    for tensor in sorted(tensors, key=attrgetter("offset", "size")):
        if tensor.offset != end or tensor.size < 0:
            raise ValueError("a tensor does not begin where the last one ended")
        end += tensor.size
    return end
