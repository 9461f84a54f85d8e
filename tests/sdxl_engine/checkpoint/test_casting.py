"""Weights cast and turned in blocks are to the bit what NumPy makes of them at once."""

from typing import Any

import jax
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine.checkpoint.casting import cast, copy, empty

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TYPES = [np.float32, np.float16, BFLOAT16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]


def test_every_fp16_number_becomes_the_bfloat16_that_ml_dtypes_makes_of_it() -> None:
    """Subnormals, ties, infinities and each kind of NaN among them."""
    half = np.arange(2**16, dtype=np.uint16).view(np.float16)
    with np.errstate(invalid="ignore"):  # some of them are signalling NaNs
        wanted, found = half.astype(BFLOAT16), cast(half, BFLOAT16)
    np.testing.assert_array_equal(found.view(np.uint16), wanted.view(np.uint16))


@pytest.mark.parametrize("stored", TYPES)
@pytest.mark.parametrize("wanted", [np.float32, BFLOAT16])
@given(
    shape=st.lists(st.integers(0, 3), max_size=3).flatmap(
        lambda rest: st.integers(0, 100).map(lambda rows: (rows, *rest))
    ),
    turned=st.booleans(),
    rows=st.integers(1, 70),
)
def test_blocks_fill_an_array_whatever_its_layout(
    stored: npt.DTypeLike, wanted: npt.DTypeLike, shape: tuple[int, ...], turned: bool, rows: int
) -> None:
    numbers: Any = np.random.default_rng(0).standard_normal(shape).astype(stored)
    target = empty(shape[::-1], wanted).T if turned else empty(shape, wanted)
    copy((numbers[first : first + rows] for first in range(0, shape[0], rows)), target)
    np.testing.assert_array_equal(target, numbers.astype(wanted))


@pytest.mark.parametrize("shape", [(3,), (1000, 1000), (7, 11, 13)])
def test_a_cpu_takes_an_array_as_it_is(shape: tuple[int, ...]) -> None:
    array = empty(shape, np.float32)
    array[...] = 1
    placed = jax.device_put(array, jax.devices()[0])
    assert placed.unsafe_buffer_pointer() == array.ctypes.data
