"""How near to the exact GELU is one by a tanh in bfloat16, and of which polynomial?

    .venv/bin/python benchmarks/gelu.py

Fits polynomials of x^2 so that x * (1 + tanh(x * polynomial)) / 2 is off by the same small share
of max(|gelu(x)|, FLOOR) at its worst places (Lawson 1961: least squares whose weights grow with
the errors). Then counts, of all finite bfloat16 inputs whose result is a normal number, those that
are not rounded as they should be.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sdxl_engine.models.gelu import gelu

FLOOR = 1e-3  # what is smaller than this counts as this: relative accuracy ends there
LARGEST = 5.6  # beyond it Phi is 1 to float32's last digits
SATURATED = 36.0
ROUNDS = 4000
F64 = npt.NDArray[np.float64]


def main() -> None:
    """Fit and print."""
    inputs = np.arange(2**16, dtype=np.uint16).view(jnp.bfloat16)
    inputs = inputs[np.isfinite(inputs.astype(np.float32))]
    print(f"{'':<24}{'wrong':>7}{'largest error':>15}  coefficients")
    for name, function in (
        ("jax.nn.gelu", lambda x: jax.nn.gelu(x, approximate=False)),
        ("the engine's", gelu),
    ):
        print(f"{name:<24}{wrong(inputs, np.asarray(jax.jit(function)(inputs))):>7}")
    for degree in (1, 2, 3):
        coefficients, error = fit(degree)
        rounded = np.asarray(jax.jit(by_tanh, static_argnums=1)(inputs, tuple(coefficients)))
        label = f"tanh, x^2 to the {degree}"
        given = ", ".join(f"{one:.9g}" for one in coefficients)
        print(f"{label:<24}{wrong(inputs, rounded):>7}{error:>14.2%}  {given}")


def fit(degree: int) -> tuple[F64, float]:
    """Coefficients of 1, x^2, x^4, ..., and the largest error as a share of what is above."""
    x = np.linspace(0, LARGEST, 5601)[1:]
    exact = np.arctanh(2 * ndtr(x) - 1)
    # How far the result moves with the tanh's argument, on the side where it is small.
    share = x / 2 / np.cosh(exact) ** 2 / np.maximum(x * ndtr(-x), FLOOR)
    scaled = (x / LARGEST) ** 2
    powers = np.vander(scaled, degree + 1, increasing=True) * x[:, None]
    weights = np.ones(len(x))
    for _ in range(ROUNDS):
        root = np.sqrt(weights) * share
        solved = np.linalg.lstsq(powers * root[:, None], exact * root, rcond=None)[0]
        errors = np.abs((powers @ solved - exact) * share)
        weights *= errors / errors.max()
        weights /= weights.sum()
    return solved / LARGEST ** (2 * np.arange(degree + 1)), float(errors.max())


def by_tanh(x: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
    """As the engine's, of any polynomial."""
    wide = x.astype(jnp.float32)
    square = jnp.minimum(wide * wide, SATURATED)
    polynomial = jnp.polyval(jnp.array(coefficients[::-1], jnp.float32), square)
    return (wide * 0.5 * (1 + jnp.tanh(wide * polynomial))).astype(x.dtype)


def wrong(inputs: npt.NDArray[np.generic], rounded: npt.NDArray[np.generic]) -> int:
    """How many results are not the bfloat16 nearest to the exact one."""
    x = inputs.astype(np.float64)
    exact = x * ndtr(x)
    normal = np.abs(exact) >= 2.0**-126
    return int(((rounded.astype(np.float64) != nearest(exact)) & normal).sum())


def nearest(exact: F64) -> F64:
    """The nearest numbers of eight bits, ties to the even one."""
    _, exponent = np.frexp(exact)
    digit = np.ldexp(1.0, exponent - 8)
    whole: F64 = np.round(exact / digit) * digit
    return whole


if __name__ == "__main__":
    main()
