"""Weights on their way from a file's type and layout to the engine's, at the speed of memory.

NumPy alone casts fp16 number by number, and turns a matrix by going through all of its memory for
each row. So both happen in blocks that a core's cache holds, and the result lies in the only
memory that is new.
"""

import ctypes
import math
import mmap
import sys
from collections.abc import Iterable
from typing import Final

import ml_dtypes
import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.safetensors_file import ROWS, Array

_BFLOAT16: Final = np.dtype(ml_dtypes.bfloat16)
# From here on all pages of an array are asked for at once, which Linux does since 5.14: each by
# itself, as it is first written to, takes twice as long. By ctypes, for `mmap` would hold Python's
# lock meanwhile.
_WHOLE_PAGES_BYTES: Final = 2**18
_MADV_POPULATE_WRITE: Final = 23
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None
_LINE_BYTES: Final = 64  # of a core's cache; jax wants arrays to begin at a multiple of it, too


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array that jax, on a CPU, takes as it is instead of copying it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= _WHOLE_PAGES_BYTES and _LIBC is not None:
        pages = np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
        # An older system refuses, and the pages come one by one.
        _LIBC.madvise(
            ctypes.c_void_p(pages.ctypes.data), ctypes.c_size_t(size), _MADV_POPULATE_WRITE
        )
        return pages.view(dtype).reshape(shape)
    memory = np.empty(size + _LINE_BYTES, np.uint8)
    first = -memory.ctypes.data % _LINE_BYTES
    return memory[first : first + size].view(dtype).reshape(shape)


def copy(blocks: Iterable[Array], target: Array) -> None:
    """Fill the target with blocks of whole rows, to the bit as `target[...] = ` would.

    Fast also where the target is a turned view of an array.
    """
    # As bits, which NumPy moves faster than the numbers of a type that is not its own.
    bits = target.view(f"u{target.itemsize}")
    # Rows that lie a power of two apart would drive each other out of the cache.
    row, line = math.prod(target.shape[1:]), _LINE_BYTES // bits.itemsize
    apart = (math.ceil(row / line) | 1) * line
    rows = np.empty((ROWS, apart), bits.dtype)[:, :row].reshape(ROWS, *target.shape[1:])
    place = 0
    for block in blocks:
        numbers = cast(block, target.dtype).view(bits.dtype)
        for first in range(0, len(numbers), ROWS):
            some = numbers[first : first + ROWS]
            rows[: len(some)] = some
            bits[place : place + len(some)] = rows[: len(some)]
            place += len(some)


def cast(array: Array, dtype: np.dtype[np.generic]) -> Array:
    """`array.astype(dtype)`, to the bit; the same array where there is nothing to do."""
    if array.dtype != np.float16 or dtype != _BFLOAT16:
        return array.astype(dtype, copy=False)
    half = np.ascontiguousarray(array).view(np.uint16)
    # Both are sign, exponent, fraction. Three of the fraction's ten bits go, rounded to nearest and
    # ties to even; a fraction that is rounded up to one carries into the exponent, as it should.
    bits = half >> 3
    bits &= 1
    bits += half
    bits += 3
    signed = bits.view(np.int16)
    signed >>= 3  # the sign stays, and fills what gets free
    bits &= 0x8FFF  # so that between it and the exponent's five bits three are free
    bits += (127 - 15) << 7  # from the one exponent's bias to the other's
    # Zeros, subnormals, infinities and what is no number, of which there are few.
    magnitude = half << 1
    magnitude -= 0x0800
    # Of exponent 0 (which wrapped around) and 31; by their places, since a mask is slower twice.
    odd = np.flatnonzero(magnitude >= 0xF000)  # noqa: PLR2004
    bits.reshape(-1)[odd] = half.reshape(-1)[odd].view(np.float16).astype(dtype).view(np.uint16)
    return bits.view(dtype)
