"""GELU, of every bfloat16 number that there is, against the formula in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sdxl_engine.models.gelu import gelu

_ALL = np.arange(2**16, dtype=np.uint16).view(jnp.bfloat16)
INPUTS = _ALL[np.isfinite(_ALL.astype(np.float32))]
EXACT = INPUTS.astype(np.float64) * ndtr(INPUTS.astype(np.float64))
# Smaller ones a processor may flush to zero.
NORMAL = np.abs(EXACT) >= 2.0**-126
DIGIT = np.ldexp(1.0, np.frexp(EXACT)[1] - 8)  # the last of eight bits
NEAREST = np.round(EXACT / DIGIT) * DIGIT


def _jax_gelu(x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x, approximate=False)


def _wrong(rounded: npt.NDArray[np.float64]) -> int:
    return int(((rounded != NEAREST) & NORMAL).sum())


def test_more_bfloat16_numbers_are_rounded_right_than_by_jax() -> None:
    own, theirs = (
        np.asarray(jax.jit(function)(jnp.asarray(INPUTS))).astype(np.float64)
        for function in (gelu, _jax_gelu)
    )
    assert len(INPUTS) == 2**16 - 2**8  # those whose exponent is all ones
    assert _wrong(own) < _wrong(theirs) / 3
    assert _wrong(own) < 0.005 * len(INPUTS)


def test_a_bfloat16_number_is_a_neighbour_of_the_exact_one_and_the_tail_is_near() -> None:
    own = np.asarray(jax.jit(gelu)(jnp.asarray(INPUTS))).astype(np.float64)
    tail = (np.abs(EXACT) < 2.0**-12) & (INPUTS < -3)
    others = ~tail & NORMAL
    assert min(tail.sum(), others.sum()) > 100
    assert (np.abs(own - EXACT) / DIGIT)[others].max() < 1
    assert np.abs(own - EXACT)[tail].max() < 1.6e-6


def test_float32_is_jaxs_to_the_last_bit() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(0, 4, 100_000).astype(np.float32))
    np.testing.assert_array_equal(jax.jit(gelu)(x), jax.jit(_jax_gelu)(x))
