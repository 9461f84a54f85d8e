"""Convolutions that a TPU makes as matrix products: the same as convolutions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sdxl_engine.models.layers import PLAIN, TPU, Conv, Target
from sdxl_engine.models.products import every_second, few_inputs, few_outputs

ByProducts = Callable[[jax.Array, jax.Array], jax.Array | None]
FORMS = [(few_inputs, 4, 24, 1), (few_outputs, 24, 3, 1), (every_second, 24, 16, 2)]


def arrays(channels: int, out_channels: int, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    draw = np.random.default_rng(8)
    x = draw.standard_normal((2, 6, 10, channels))
    kernel = draw.standard_normal((3, 3, channels, out_channels)) / (9 * channels) ** 0.5
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.parametrize(("form", "channels", "out_channels", "stride"), FORMS)
def test_products_are_the_convolution(
    form: ByProducts, channels: int, out_channels: int, stride: int
) -> None:
    x, kernel = arrays(channels, out_channels, jnp.dtype(jnp.float32))
    y = form(x, kernel)
    assert y is not None
    np.testing.assert_allclose(y, convolution(x, kernel, stride), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("form", "channels", "out_channels", "stride"), FORMS)
def test_sums_of_bfloat16_are_rounded_once(
    form: ByProducts, channels: int, out_channels: int, stride: int
) -> None:
    x, kernel = arrays(channels, out_channels, jnp.dtype(jnp.bfloat16))
    y = form(x, kernel)
    assert y is not None
    assert y.dtype == jnp.bfloat16
    exact = convolution(x.astype(jnp.float32), kernel.astype(jnp.float32), stride)
    # Half of the last of eight digits, and what float32 is off by.
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=2e-6)


def test_what_is_wide_or_has_no_pairs_is_left_to_the_compiler() -> None:
    x, kernel = arrays(24, 16, jnp.dtype(jnp.float32))
    assert few_inputs(x, kernel) is None
    assert few_outputs(x, kernel) is None
    assert every_second(x[:, 1:], kernel) is None
    assert every_second(x[:, :, 1:], kernel) is None


@pytest.mark.parametrize("target", [TPU, PLAIN])
@pytest.mark.parametrize(
    ("channels", "out_channels", "stride", "padding", "by_products"),
    [
        (4, 24, 1, None, True),
        (24, 3, 1, None, True),
        (24, 16, 2, None, True),
        (24, 16, 1, None, False),
        (24, 16, 2, (0, 1), False),
    ],
)
def test_a_tpu_multiplies_what_is_no_convolution_to_it(
    target: Target,
    channels: int,
    out_channels: int,
    stride: int,
    padding: tuple[int, int] | None,
    by_products: bool,
) -> None:
    conv = Conv(channels, out_channels, stride=stride, padding=padding, target=target)
    definition, shapes = nnx.split(conv)
    x = jax.ShapeDtypeStruct((1, 6, 10, channels), jnp.float32)
    program = str(jax.make_jaxpr(lambda state, x: nnx.merge(definition, state)(x))(shapes, x))
    assert ("conv_general_dilated" not in program) == (target.fused and by_products)
