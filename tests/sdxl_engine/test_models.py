"""Each network against PyTorch diffusers and transformers, layer by layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sdxl_engine.checkpoint import load_part
from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.models.config import SdxlConfig
from sdxl_engine.models.unet import UNet
from sdxl_engine.models.vae import Autoencoder
from sdxl_engine.programs import Networks
from tests.sdxl_engine.conftest import GOLDENS, Golden, assert_within

TOLERANCE = 1e-4  # of the oracle's largest value, float32 on both sides


def load(golden: Golden, part: str, network: nnx.Module) -> nnx.Module:
    state = load_part(golden.folder, part, network, dtype=np.float32, place=jnp.asarray)
    return nnx.merge(nnx.graphdef(network), state)


@pytest.fixture(scope="module")
def unet(golden: Golden) -> UNet:
    return load(golden, "unet", UNet(golden.config.unet))


@pytest.fixture(scope="module")
def vae(golden: Golden) -> Autoencoder:
    return load(golden, "vae", Autoencoder(golden.config.vae))


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2"])
def test_text_encoder(golden: Golden, part: str):
    encoder = load(golden, part, TextEncoder(getattr(golden.config, part)))
    ids = golden["tokenizer.token_ids" if part == "text_encoder" else "tokenizer_2.token_ids"]
    encoding = jax.jit(encoder)(jnp.asarray(ids))
    assert_within(encoding.penultimate, golden[f"{part}.penultimate"], TOLERANCE)
    assert_within(encoding.last, golden[f"{part}.last_hidden_state"], TOLERANCE)
    assert_within(encoding.pooled, golden[f"{part}.pooled"], TOLERANCE)


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2"])
def test_text_encoder_with_ids_above_the_end_token(golden: Golden, part: str):
    """Where tokens were added after the end token, the largest id is not the end."""
    if f"{part}_added.token_ids" not in golden.arrays:
        assert golden.config.text_encoder.eos_token_id == 2  # the relic, which has no such ids
        return
    encoder = load(golden, part, TextEncoder(getattr(golden.config, part)))
    encoding = jax.jit(encoder)(jnp.asarray(golden[f"{part}_added.token_ids"]))
    assert_within(encoding.pooled, golden[f"{part}_added.pooled"], TOLERANCE)


@pytest.mark.parametrize("case", ["unet", "unet_fraction"])
def test_unet(golden: Golden, unet: UNet, case: str):
    output = jax.jit(unet)(
        jnp.asarray(golden.nhwc(f"{case}.sample")),
        jnp.asarray(golden[f"{case}.timestep"]),
        jnp.asarray(golden["unet.encoder_hidden_states"]),
        jnp.asarray(golden["unet.text_embeds"]),
        jnp.asarray(golden["unet.time_ids"]),
    )
    assert_within(output, golden.nhwc(f"{case}.output"), TOLERANCE)


def test_unet_blocks(golden: Golden, unet: UNet):
    """Each block on the oracle's own inputs, so that a failure names the block."""
    temb = jnp.asarray(golden["unet.inside.time_embedding"] + golden["unet.inside.add_embedding"])
    context = jnp.asarray(golden["unet.encoder_hidden_states"])
    x = jnp.asarray(golden.nhwc("unet.inside.conv_in"))
    assert_within(unet.conv_in(jnp.asarray(golden.nhwc("unet.sample"))), np.asarray(x), TOLERANCE)
    skips = [x]
    for level, block in enumerate(unet.down_blocks):
        skips += block(x, temb, context)
        expected = golden.nhwc(f"unet.inside.down_blocks.{level}")
        assert_within(skips[-1], expected, TOLERANCE)
        x = jnp.asarray(expected)
    expected = golden.nhwc("unet.inside.mid_block")
    assert_within(unet.mid_block(x, temb, context), expected, TOLERANCE)
    for position, block in enumerate(unet.up_blocks):
        x = jnp.asarray(expected)
        expected = golden.nhwc(f"unet.inside.up_blocks.{position}")
        assert_within(block(x, skips, temb, context), expected, TOLERANCE)


def test_vae_encode(golden: Golden, vae: Autoencoder):
    latents = jax.jit(vae.encode)(jnp.asarray(golden.nhwc("vae.image")))
    expected = golden.nhwc("vae.mean") * golden.config.vae.scaling_factor
    assert_within(latents, expected, TOLERANCE)


def test_vae_decode(golden: Golden, vae: Autoencoder):
    # diffusers decodes unscaled latents; ours take them as the UNet knows them.
    latents = golden.nhwc("vae.latents") * np.float32(golden.config.vae.scaling_factor)
    pixels = jax.jit(vae.decode)(jnp.asarray(latents))
    assert_within(pixels, golden.nhwc("vae.decoded"), TOLERANCE)


def test_full_size_parameter_counts():
    networks = Networks.build(SdxlConfig.load(GOLDENS / "sdxl_base"))

    def count(network: nnx.Module) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))

    assert count(networks.unet) == 2_567_463_684
    assert count(networks.text_encoder) == 123_060_480
    assert count(networks.text_encoder_2) == 694_659_840
    assert count(networks.vae.decoder) == 49_490_179


def test_bfloat16_follows_float32(golden: Golden):
    """The policy on TPU and GPU: the same picture of the noise to within bfloat16's 8 bits."""
    definition = nnx.graphdef(UNet(golden.config.unet))
    outputs = []
    for dtype in (jnp.float32, jnp.bfloat16):
        state = load_part(
            golden.folder, "unet", UNet(golden.config.unet), dtype=dtype, place=jnp.asarray
        )
        output = jax.jit(lambda state, *inputs: nnx.merge(definition, state)(*inputs))(
            state,
            jnp.asarray(golden.nhwc("unet.sample"), dtype),
            jnp.asarray(golden["unet.timestep"]),
            jnp.asarray(golden["unet.encoder_hidden_states"], dtype),
            jnp.asarray(golden["unet.text_embeds"], dtype),
            jnp.asarray(golden["unet.time_ids"]),
        )
        assert output.dtype == dtype
        outputs.append(np.asarray(output, np.float32))
    wide, narrow = outputs
    assert np.sqrt(np.mean((wide - narrow) ** 2)) <= 0.05 * np.sqrt(np.mean(wide**2))
