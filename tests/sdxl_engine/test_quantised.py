"""Linears in int8 are the linears that they were made of, to within their rounding."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdxl_engine import ImageRequest, InvalidRequestError, Lora, SdxlPipeline
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.checkpoint.load import expected_parameters, load_part
from sdxl_engine.checkpoint.names import CODES, SCALES
from sdxl_engine.models.layers import PLAIN, TPU, Linear, Target
from sdxl_engine.models.quantised import QuantisedLinear, codes_of, scales_of
from sdxl_engine.models.unet import FeedForward, UNet
from sdxl_engine.programs.compiler import Networks
from tests.sdxl_engine.conftest import Golden
from tests.sdxl_engine.test_models import condition

F32 = npt.NDArray[np.float32]
INT8 = Target(quantised=True)
NUMBERS = st.floats(-1e4, 1e4, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 5)), elements=NUMBERS))
def test_codes_times_scales_are_the_weights_to_half_a_level(weights: F32) -> None:
    codes, scales = codes_of(weights), scales_of(weights)
    assert codes.dtype == np.int8
    assert np.abs(codes.astype(int)).max() <= 127
    # Half a level, and float32's own rounding.
    assert (np.abs(codes * scales - weights) <= scales * np.float32(0.5001)).all()


def pair(rng: np.random.Generator, *, use_bias: bool = True) -> tuple[Linear, QuantisedLinear]:
    kernel = rng.standard_normal((64, 48)).astype(np.float32)
    bias = rng.standard_normal(48).astype(np.float32)
    linear = Linear(64, 48, use_bias=use_bias)
    quantised = QuantisedLinear(64, 48, use_bias=use_bias)
    linear.kernel.set_value(jnp.asarray(kernel))
    quantised.codes.set_value(jnp.asarray(codes_of(kernel)))
    quantised.scales.set_value(jnp.asarray(scales_of(kernel)))
    for one in (linear, quantised):
        if one.bias is not None:
            one.bias.set_value(jnp.asarray(bias))
    return linear, quantised


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_linear_is_followed_whatever_each_token_is_large(dtype: jnp.dtype) -> None:
    rng = np.random.default_rng(0)
    linear, quantised = pair(rng)
    x = rng.standard_normal((2, 9, 64)) * np.logspace(-3, 3, 9)[None, :, None]
    mine = quantised(jnp.asarray(x, dtype))
    assert mine.dtype == dtype
    exact = np.asarray(linear(jnp.asarray(x, dtype).astype(jnp.float32)))
    error = np.abs(np.asarray(mine, np.float32) - exact).max(axis=-1)
    # Token by token. Measured: 0.013 of the largest at most.
    assert (error <= 0.02 * np.abs(exact).max(axis=-1)).all()


def test_a_token_of_zeros_is_the_bias() -> None:
    linear, quantised = pair(np.random.default_rng(1))
    zeros = jnp.zeros((1, 3, 64))
    np.testing.assert_array_equal(quantised(zeros), linear(zeros))


@pytest.mark.parametrize("place", [0, 1])
def test_parts_are_the_whole_cut_apart(place: int) -> None:
    one = pair(np.random.default_rng(2), use_bias=False)[place]
    x = jnp.asarray(np.random.default_rng(3).standard_normal((1, 5, 64)), jnp.float32)
    whole = jnp.concatenate(one.apart(x, 3), axis=-1)
    np.testing.assert_allclose(whole, one(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_checkpoints_weights_are_rounded_tensor_by_tensor(golden: Golden, stacked: bool) -> None:
    network = UNet(golden.config.unet, Target(stacked=stacked, quantised=True))
    plain = UNet(golden.config.unet, Target(stacked=stacked))
    rounded, exact = (
        dict(
            nnx.to_flat_state(
                load_part(golden.folder, "unet", one, dtype=np.float32, place=jnp.asarray)
            )
        )
        for one in (network, plain)
    )
    made = [each.path for each in expected_parameters("unet", network) if each.path[-1] == CODES]
    assert made
    for path in made:
        codes, scales = (np.asarray(rounded[*path[:-1], end][...]) for end in (CODES, SCALES))
        weights = np.asarray(exact[*path[:-1], "kernel"][...])
        assert codes.dtype == np.int8
        assert scales.dtype == np.float32
        for layer in range(len(codes)) if codes.ndim == 3 else [...]:
            np.testing.assert_array_equal(codes[layer], codes_of(weights[layer]))
            np.testing.assert_array_equal(scales[layer], scales_of(weights[layer]))
    # What the rest is made of is left alone.
    assert {path[-2] for path in made} == {"to_qkv", "to_q", "to_out", "proj_in", "proj_out"}
    assert sum("transformer_blocks" in map(str, path) for path in made) == len(made)


# Measured: 0.026 and 0.006 of the deviation.
@pytest.mark.parametrize("target", [INT8, Target(stacked=True, quantised=True)], ids=str)
def test_the_unet_follows(golden: Golden, target: Target) -> None:
    network = UNet(golden.config.unet, target)
    state = load_part(golden.folder, "unet", network, dtype=np.float32, place=jnp.asarray)
    unet: UNet = nnx.merge(nnx.graphdef(network), state)
    output = jax.jit(unet)(
        jnp.asarray(golden.nhwc("unet.sample")),
        jnp.asarray(golden["unet.timestep"]),
        condition(golden, unet),
    )
    expected = golden.nhwc("unet.output")
    error = np.sqrt(np.square(np.asarray(output) - expected).mean()) / expected.std()
    assert 1e-4 < error < 0.04


def test_nothing_else_is_known_and_no_lora_is_merged(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="choose of none, int8"):
        SdxlPipeline.load("doodle", quantise="int4")
    own = SdxlPipeline.load("doodle", quantise="int8", devices=jax.devices()[:1])
    assert own.loras == {}
    assert own.told == ()
    lora = ImageRequest("a", loras=(Lora("doodle_rocket", 1.0),), width_px=128, height_px=128)
    with pytest.raises(InvalidRequestError):
        own.check(lora)
    other = SdxlPipeline.load("doodle", quantise="int8", loras=tmp_path, devices=jax.devices()[:1])
    assert ["No LoRA can be chosen" in sentence for sentence in other.told] == [True]


def test_sdxls_weights_take_a_quarter_less() -> None:
    config, bfloat16 = SdxlConfig.load(sdxl_base()), np.dtype(ml_dtypes.bfloat16)
    plain, rounded = (
        Networks.build(config, target).size_bytes(bfloat16).total() for target in (PLAIN, INT8)
    )
    assert plain == pytest.approx(6.97e9, rel=0.001)
    assert rounded == pytest.approx(5.136e9, rel=0.001)


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("target", [PLAIN, TPU])
def test_a_tpu_makes_once_what_is_looked_at_twice(target: Target, quantised: bool) -> None:
    feed_forward = FeedForward(16, replace(target, quantised=quantised))
    definition, shapes = nnx.split(feed_forward)
    x = jax.ShapeDtypeStruct((1, 5, 16), jnp.float32)
    program = str(jax.make_jaxpr(lambda state, x: nnx.merge(definition, state)(x))(shapes, x))
    assert ("optimization_barrier" in program) == (target is TPU and quantised)
