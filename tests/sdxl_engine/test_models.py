"""Each network against PyTorch diffusers and transformers, layer by layer."""

import math
from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental.pallas import tpu as pltpu

from sdxl_engine.checkpoint.config import CLIP_SKIP, SdxlConfig
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.checkpoint.load import expected_parameters, load_part
from sdxl_engine.models.attention import attention, cross_attention, self_attention
from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.models.convolution import (
    _blocks,
    doubled_convolution,
    kernel_takes,
    normed_convolution,
)
from sdxl_engine.models.layers import (
    GPU,
    PLAIN,
    TPU,
    DoublingConv,
    FeatureMap,
    GroupNorm,
    ResnetBlock,
    Target,
    Upsample,
    quarter_kernels,
    sinusoidal_embedding,
)
from sdxl_engine.models.layers import Network as AnyNetwork
from sdxl_engine.models.unet import UNet, UNetConditioning
from sdxl_engine.models.vae import Autoencoder
from sdxl_engine.programs.arithmetic import State
from sdxl_engine.programs.compiler import Networks
from tests.sdxl_engine.conftest import Array, Golden, assert_within

TOLERANCE = 1e-4  # of the oracle's largest value, float32 on both sides


Network = TypeVar("Network", bound=AnyNetwork)


def load(golden: Golden, part: str, network: Network) -> Network:
    state = load_part(golden.folder, part, network, dtype=np.float32, place=jnp.asarray)
    loaded: Network = nnx.merge(nnx.graphdef(network), state)
    return loaded


STACKED = Target(stacked=True)  # as on a TPU: equal layers are one loop


@pytest.fixture(scope="module", params=[PLAIN, STACKED, GPU], ids=["apart", "stacked", "gpu"])
def target(request: pytest.FixtureRequest) -> Target:
    target: Target = request.param
    return target


@pytest.fixture(scope="module")
def unet(golden: Golden, target: Target) -> UNet:
    return load(golden, "unet", UNet(golden.config.unet, target))


def condition(golden: Golden, unet: UNet) -> UNetConditioning:
    return unet.condition(
        jnp.asarray(golden["unet.encoder_hidden_states"]),
        jnp.asarray(golden["unet.text_embeds"]),
        jnp.asarray(golden["unet.time_ids"]),
    )


@pytest.fixture(scope="module")
def vae(golden: Golden, target: Target) -> Autoencoder:
    return load(golden, "vae", Autoencoder(golden.config.vae, target))


def check_text_encoder(
    golden: Golden, part: str, token_ids: Array, case: str, target: Target
) -> None:
    encoder = load(golden, part, TextEncoder(getattr(golden.config, part), target))
    encoding = jax.jit(encoder)(jnp.asarray(token_ids), jnp.int32(CLIP_SKIP))
    assert_within(encoding.hidden, golden[f"{case}.penultimate"], TOLERANCE)
    assert_within(encoding.last, golden[f"{case}.last_hidden_state"], TOLERANCE)
    assert_within(encoding.pooled, golden[f"{case}.pooled"], TOLERANCE)


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2"])
def test_text_encoder(golden: Golden, part: str, target: Target) -> None:
    tokenizer = part.replace("text_encoder", "tokenizer")
    check_text_encoder(golden, part, golden[f"{tokenizer}.token_ids"], part, target)


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2"])
def test_clip_skip_counts_from_the_last_layer(golden: Golden, part: str) -> None:
    """What is left to be done from the states taken leads to what the oracle has further on."""
    token_ids = jnp.asarray(golden[f"{part.replace('text_encoder', 'tokenizer')}.token_ids"])
    config = getattr(golden.config, part)

    def taken(skip: int) -> tuple[TextEncoder, jax.Array]:
        encoder = load(golden, part, TextEncoder(config))
        return encoder, encoder(token_ids, jnp.int32(skip)).hidden

    encoder, states = taken(1)
    assert_within(encoder.final_layer_norm(states), golden[f"{part}.last_hidden_state"], TOLERANCE)
    encoder, states = taken(3)
    assert isinstance(encoder.layers, nnx.List)
    states = encoder.layers[-2](states)
    assert_within(states, golden[f"{part}.penultimate"], TOLERANCE)


# tiny_a has the old end token id, 2, and no such ids.
@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)
@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2"])
def test_text_encoder_with_ids_above_the_end_token(golden: Golden, part: str) -> None:
    """Where tokens were added after the end token, the largest id is not the end."""
    token_ids = golden[f"{part}_added.token_ids"]
    check_text_encoder(golden, part, token_ids, f"{part}_added", PLAIN)


@pytest.mark.parametrize("case", ["unet", "unet_fraction"])
def test_unet(golden: Golden, unet: UNet, case: str) -> None:
    output = jax.jit(unet)(
        jnp.asarray(golden.nhwc(f"{case}.sample")),
        jnp.asarray(golden[f"{case}.timestep"]),
        condition(golden, unet),
    )
    assert_within(output, golden.nhwc(f"{case}.output"), TOLERANCE)


def test_unet_blocks(golden: Golden, unet: UNet) -> None:
    """Each block on the oracle's own inputs, so that a failure names the block."""
    temb = jnp.asarray(golden["unet.inside.time_embedding"] + golden["unet.inside.add_embedding"])
    text = condition(golden, unet)
    expected = golden.nhwc("unet.inside.conv_in")
    assert_within(unet.conv_in(jnp.asarray(golden.nhwc("unet.sample"))), expected, TOLERANCE)
    skips = [x := feature_map(expected)]
    for level, block in enumerate(unet.down_blocks):
        skips += jax.jit(block)(x, temb, text.down[level])
        expected = golden.nhwc(f"unet.inside.down_blocks.{level}")
        assert_within(skips[-1].pixels, expected, TOLERANCE)
        x = feature_map(expected)
    expected = golden.nhwc("unet.inside.mid_block")
    assert_within(jax.jit(unet.mid_block)(x, temb, text.mid).pixels, expected, TOLERANCE)
    for position, up_block in enumerate(unet.up_blocks):
        x = feature_map(expected)
        expected = golden.nhwc(f"unet.inside.up_blocks.{position}")
        # Not jitted: it takes its skips off the list itself.
        assert_within(up_block(x, skips, temb, text.up[position]).pixels, expected, TOLERANCE)


def test_vae_encode(golden: Golden, vae: Autoencoder) -> None:
    latents = jax.jit(vae.encode)(jnp.asarray(golden.nhwc("vae.image")))
    expected = golden.nhwc("vae.mean") * golden.config.vae.scaling_factor
    assert_within(latents, expected, TOLERANCE)


def test_vae_decode(golden: Golden, vae: Autoencoder) -> None:
    # diffusers decodes unscaled latents; ours take them as the UNet knows them.
    latents = golden.nhwc("vae.latents") * np.float32(golden.config.vae.scaling_factor)
    pixels = jax.jit(vae.decode)(jnp.asarray(latents))
    assert_within(pixels, golden.nhwc("vae.decoded"), TOLERANCE)


def test_latents_that_are_shifted(golden: Golden) -> None:
    """diffusers decodes latents * std / scaling_factor + mean, as of Playground 2.5."""
    channels = golden.config.vae.latent_channels
    mean, std = np.linspace(-1.5, 1, channels), np.linspace(2, 3, channels)
    shifted = replace(
        golden.config.vae, scaling_factor=0.5, latents_mean=tuple(mean), latents_std=tuple(std)
    )
    vae = load(golden, "vae", Autoencoder(shifted))
    latents = ((golden.nhwc("vae.latents") - mean) / std * 0.5).astype(np.float32)
    pixels = jax.jit(vae.decode)(jnp.asarray(latents))
    assert_within(pixels, golden.nhwc("vae.decoded"), TOLERANCE)
    encoded = jax.jit(vae.encode)(jnp.asarray(golden.nhwc("vae.image")))
    expected = ((golden.nhwc("vae.mean") - mean) / std * 0.5).astype(np.float32)
    assert_within(encoded, expected, TOLERANCE)


def test_vae_blocks(golden: Golden, vae: Autoencoder) -> None:
    """Each half on the oracle's own inputs, so that a failure names the half."""
    x = FeatureMap(vae.encoder.conv_in(jnp.asarray(golden.nhwc("vae.image"))))
    for block in vae.encoder.down_blocks:
        x = block(x)
    expected = golden.nhwc("vae.inside.encoder.mid_block")
    assert_within(vae.encoder.mid_block(x).pixels, expected, TOLERANCE)
    latents = vae.post_quant_conv(jnp.asarray(golden.nhwc("vae.latents")))
    expected = golden.nhwc("vae.inside.decoder.conv_in")
    assert_within(vae.decoder.conv_in(latents), expected, TOLERANCE)
    mixed = vae.decoder.mid_block(feature_map(expected))
    assert_within(mixed.pixels, golden.nhwc("vae.inside.decoder.mid_block"), TOLERANCE)


def test_full_size_parameter_counts(target: Target) -> None:
    """As the checkpoint counts them: the engine sums some up in advance."""
    networks = Networks.build(SdxlConfig.load(sdxl_base()), target)

    def count(part: str, prefix: str = "") -> int:
        return sum(
            math.prod(tensor.shape)
            for parameter in expected_parameters(part, getattr(networks, part))
            for tensor in parameter
            if tensor.name.startswith(prefix)
        )

    assert count("unet") == 2_567_463_684
    assert count("text_encoder") == 123_060_480
    assert count("text_encoder_2") == 694_659_840
    assert count("vae", "decoder.") == 49_490_179


# Measured: 0.0217 and 0.0129 of the deviation.
@pytest.mark.parametrize(
    ("golden", "bound"), [("tiny_a", 0.025), ("tiny_b", 0.016)], indirect=["golden"]
)
def test_bfloat16_follows_float32(golden: Golden, bound: float) -> None:
    """The policy on TPU and GPU: the same picture of the noise to within bfloat16's 8 bits."""
    definition = nnx.graphdef(UNet(golden.config.unet))
    outputs = []
    for dtype in (jnp.float32, jnp.bfloat16):
        state = load_part(
            golden.folder, "unet", UNet(golden.config.unet), dtype=dtype, place=jnp.asarray
        )

        def forward(
            state: State, sample: jax.Array, timestep: jax.Array, *inputs: jax.Array
        ) -> jax.Array:
            unet: UNet = nnx.merge(definition, state)
            return unet(sample, timestep, unet.condition(*inputs))

        output = jax.jit(forward)(
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
    assert np.sqrt(np.mean((wide - narrow) ** 2)) <= bound * np.sqrt(np.mean(wide**2))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_scores_are_float32(causal: bool) -> None:
    """Scores near 256, where bfloat16 knows even numbers only, that differ by about 1."""
    draw = np.random.default_rng(0)
    query, key, value = draw.standard_normal((3, 2, 32, 2 * 16))
    # The first feature of each head says the same of every key: a softmax does not see it.
    query[..., ::16], key[..., ::16] = 16, 64
    narrow = [jnp.asarray(x, jnp.bfloat16) for x in (query, key, value)]
    wide = [x.astype(jnp.float32) for x in narrow]
    mixed = attention(*narrow, heads=2, causal=causal)
    assert mixed.dtype == jnp.bfloat16
    expected = np.asarray(attention(*wide, heads=2, causal=causal))
    # The weights and the result are rounded to 8 bits each; rounded scores are off by a half.
    assert_within(mixed.astype(jnp.float32), expected, 2**-7)


def test_attention_is_the_formula() -> None:
    draw = np.random.default_rng(1)
    query = draw.standard_normal((2, 5, 3 * 4))
    key, value = draw.standard_normal((2, 2, 7, 3 * 4))
    mixed = attention(*(jnp.asarray(x, jnp.float32) for x in (query, key, value)), heads=3)
    for head in (slice(0, 4), slice(4, 8), slice(8, 12)):
        weights = np.exp(query[..., head] @ key[..., head].swapaxes(1, 2) / 2)
        weights /= weights.sum(axis=-1, keepdims=True)
        assert_within(mixed[..., head], weights @ value[..., head], 1e-5)


# Two heads in 128 columns as in SDXL, one, and four; tokens that fill no block.
@pytest.mark.parametrize(("heads", "dim"), [(4, 64), (2, 128), (8, 32)])
@pytest.mark.parametrize("tokens", [1100, 16])
def test_the_tpu_kernel_is_attention(heads: int, dim: int, tokens: int) -> None:
    draw = np.random.default_rng(2)
    qkv = jnp.asarray(draw.standard_normal((2, tokens, 3 * heads * dim)), jnp.float32)
    key_value = jnp.asarray(draw.standard_normal((2, 77, 2 * heads * dim)), jnp.float32)
    query = qkv[..., : heads * dim]
    for attend, given in ((self_attention, (qkv,)), (cross_attention, (query, key_value))):
        expected = attend(*given, heads=heads)
        with pltpu.force_tpu_interpret_mode():
            mixed = attend(*given, heads=heads, kernel="pallas")
        assert_within(mixed, np.asarray(expected), 5e-6)


def test_the_tpu_kernel_is_attention_in_bfloat16() -> None:
    """Of scores as large as make a few keys count, in three parts of the keys."""
    qkv = bfloat16(3 * np.random.default_rng(3).standard_normal((1, 300, 3 * 128)))
    expected = self_attention(qkv.astype(jnp.float32), heads=2)
    with pltpu.force_tpu_interpret_mode():
        mixed = self_attention(qkv, heads=2, kernel="pallas")
    assert mixed.dtype == jnp.bfloat16
    # Weights and results are rounded to eight digits each.
    assert_within(mixed.astype(jnp.float32), np.asarray(expected), 2**-7)


# Columns and channels that fill no register, rows that fill no block; one tile of output channels
# and several, each with one block of rows and several.
@pytest.mark.parametrize(
    ("channels", "out_channels", "vmem_mib", "steps"),
    [(128, 320, 4, 3), (128, 320, 8, 1), (160, 256, 2.5, 3), (160, 256, 5, 1)],
)
def test_the_tpu_kernel_is_a_normed_convolution(
    monkeypatch: pytest.MonkeyPatch, channels: int, out_channels: int, vmem_mib: float, steps: int
) -> None:
    size = (21, 24)
    monkeypatch.setattr("sdxl_engine.models.convolution._vmem_bytes", lambda: int(vmem_mib * 2**20))
    draw = np.random.default_rng(4)
    x = bfloat16(draw.standard_normal((2, *size, channels)))
    kernel = bfloat16(draw.standard_normal((3, 3, channels, out_channels)) / (9 * channels) ** 0.5)
    residual = bfloat16(draw.standard_normal((2, *size, out_channels)))
    scale, shift = draw.standard_normal((2, 2, channels)).astype(np.float32)
    bias = jnp.asarray(draw.standard_normal((2, out_channels)), jnp.float32)
    assert kernel_takes(x, out_channels)
    assert row_steps(x, out_channels, 1) == steps
    with pltpu.force_tpu_interpret_mode():
        convolved, sums = normed_convolution(x, scale, shift, kernel, bias, residual)
        again, none = normed_convolution(x, scale, shift, kernel, bias, residual, sums=False)
    normed = x.astype(jnp.float32) * scale[:, None, None] + shift[:, None, None]
    expected = convolution(nnx.silu(normed), kernel) + bias[:, None, None]
    expected += residual.astype(jnp.float32)
    assert convolved.dtype == jnp.bfloat16
    # What is normed is rounded to 8 bits and so is the result.
    assert_within(convolved.astype(jnp.float32), np.asarray(expected), 2**-8)
    assert sums is not None
    assert_means(sums, expected, 1e-3)
    assert none is None
    np.testing.assert_array_equal(again, convolved)


# As above; what is left of the last block's rows is none of the picture's.
@pytest.mark.parametrize(("vmem_mib", "steps"), [(4, 2), (9, 1)])
def test_the_tpu_kernel_is_a_doubled_convolution(
    monkeypatch: pytest.MonkeyPatch, vmem_mib: int, steps: int
) -> None:
    monkeypatch.setattr("sdxl_engine.models.convolution._vmem_bytes", lambda: vmem_mib * 2**20)
    draw = np.random.default_rng(5)
    x = bfloat16(draw.standard_normal((2, 13, 24, 128)))
    # Whole numbers of 64ths: what is summed of four of them is exact in bfloat16.
    kernel = draw.integers(-2, 3, (3, 3, 128, 256)).astype(np.float32) / 64
    bias = jnp.asarray(draw.standard_normal((2, 256)), jnp.float32)
    assert kernel_takes(x, 256, factor=2)
    assert row_steps(x, 256, 2) == steps
    with pltpu.force_tpu_interpret_mode():
        doubled, sums = doubled_convolution(x, bfloat16(quarter_kernels(kernel)), bias)
    repeated = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2).astype(jnp.float32)
    expected = convolution(repeated, jnp.asarray(kernel)) + bias[:, None, None]
    assert_within(doubled.astype(jnp.float32), np.asarray(expected), 2**-8)
    assert sums is not None
    assert_means(sums, expected, 1e-5)


def test_fused_blocks_are_the_same_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resnet with a shortcut and the time, then twice the size: as on a TPU and elsewhere."""
    monkeypatch.setattr("sdxl_engine.models.convolution._vmem_bytes", lambda: 2**24)
    draw = np.random.default_rng(6)
    x = bfloat16(draw.standard_normal((2, 8, 16, 128)))
    temb = bfloat16(draw.standard_normal((2, 64)))

    def forward(target: Target) -> tuple[FeatureMap, FeatureMap]:
        block = ResnetBlock(128, 256, temb_channels=64, groups=32, eps=1e-5, target=target)
        definition, shapes = nnx.split(nnx.List([block, Upsample(256, target)]))
        weights = np.random.default_rng(7)
        resnet, upsample = nnx.merge(
            definition,
            jax.tree.map(lambda leaf: bfloat16(weights.normal(0, 0.05, leaf.shape)), shapes),
        )
        with pltpu.force_tpu_interpret_mode():
            hidden = resnet(FeatureMap(x), temb)
            return hidden, upsample(hidden)

    fused, apart = forward(Target(fused=True)), forward(PLAIN)
    for own, other in zip(fused, apart, strict=True):
        # They round in different places; bfloat16 has 8 bits.
        assert (own.pixels != other.pixels).any()
        expected = np.asarray(other.pixels, np.float32)
        assert_within(own.pixels.astype(jnp.float32), expected, 2**-6)
        assert own.sums is not None
        assert_means(own.sums, own.pixels, 3e-3)
        assert other.sums is None


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The kernels by their formulas, of anything; and of each norm whether it is told its sums."""

    def normed(
        x: jax.Array,
        scale: jax.Array,
        shift: jax.Array,
        kernel: jax.Array,
        bias: jax.Array,
        residual: jax.Array | None = None,
        *,
        sums: bool,
    ) -> tuple[jax.Array, jax.Array | None]:
        y = convolution(nnx.silu(x * scale[:, None, None] + shift[:, None, None]), kernel)
        y += bias[:, None, None]
        y = y if residual is None else y + residual
        return summed(y) if sums else (y, None)

    def doubled(x: jax.Array, quarters: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
        plain = DoublingConv(x.shape[-1], PLAIN)
        plain.quarter_kernels.set_value(quarters)
        plain.bias.set_value(bias[0])
        return summed(plain(x).pixels)

    def summed(y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return y, jnp.stack([y.sum(axis=(1, 2)), jnp.square(y).sum(axis=(1, 2))], axis=1)

    norms: list[bool] = []
    affine = GroupNorm.affine

    def noted(norm: GroupNorm, x: FeatureMap) -> tuple[jax.Array, jax.Array]:
        norms.append(x.sums is not None)
        return affine(norm, x)

    for name, stand_in in {
        "kernel_takes": lambda *_, **__: True,
        "normed_convolution": normed,
        "doubled_convolution": doubled,
    }.items():
        monkeypatch.setattr(f"sdxl_engine.models.layers.{name}", stand_in)
    monkeypatch.setattr(GroupNorm, "affine", noted)
    return norms


# Of SDXL's own shape.
@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
def test_what_the_unet_s_kernels_write_is_not_summed_again(
    golden: Golden, told: list[bool]
) -> None:
    unet = load(golden, "unet", UNet(golden.config.unet, Target(fused=True)))
    output = jax.jit(unet)(
        jnp.asarray(golden.nhwc("unet.sample")),
        jnp.asarray(golden["unet.timestep"]),
        condition(golden, unet),
    )
    assert_within(output, golden.nhwc("unet.output"), TOLERANCE)
    # Only what conv_in, a strided convolution or an attention wrote is read for it, where there is
    # nothing else beside it; a resnet has two norms, an attention one.
    first, attended = [False, True], [False, True, True]
    down = [*first, True, True, *attended * 2, *attended * 2]
    middle = [*first, True, *first]
    up = [True, True, True, *attended * 2, True, True, True, *attended * 2, *[True, True] * 3]
    assert told == [*down, *middle, *up, True]


# Three levels, of which two are doubled.
@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)
def test_what_the_decoder_s_kernels_write_is_not_summed_again(
    golden: Golden, told: list[bool]
) -> None:
    vae = load(golden, "vae", Autoencoder(golden.config.vae, Target(fused=True)))
    latents = golden.nhwc("vae.latents") * np.float32(golden.config.vae.scaling_factor)
    pixels = jax.jit(vae.decode)(jnp.asarray(latents))
    assert_within(pixels, golden.nhwc("vae.decoded"), TOLERANCE)
    middle = [False, True, True, False, True]
    assert told == [*middle, *[True, True] * 9, True]


@pytest.mark.parametrize("known", ["ab", "a", "b", ""])
def test_sums_of_two_beside_each_other(known: str) -> None:
    """Those of each in its place; what one of the two lacks is made, and nothing for neither."""
    draw = np.random.default_rng(10)
    each = {
        name: draw.normal(mean, 2, (2, 5, 3, channels)).astype(np.float32)
        for name, mean, channels in (("a", -1, 2), ("b", 4, 6))
    }
    a, b = (
        FeatureMap(
            jnp.asarray(pixels),
            jnp.stack([pixels.sum(axis=(1, 2)), (pixels**2).sum(axis=(1, 2))], axis=1)
            if name in known
            else None,
        )
        for name, pixels in each.items()
    )
    both = a.beside(b)
    np.testing.assert_array_equal(both.pixels, np.concatenate([*each.values()], axis=-1))
    assert (both.sums is None) == (not known)
    if both.sums is not None:
        assert_means(both.sums, both.pixels, 1e-6)


def test_the_tpu_kernel_takes_what_is_wide_and_narrow_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sdxl_engine.models.convolution._vmem_bytes", lambda: 2**23)
    small: Any = jax.ShapeDtypeStruct((1, 8, 16, 128), jnp.bfloat16)  # stands for such an array
    assert kernel_takes(small, 128)
    assert not kernel_takes(small.update(dtype=jnp.float32), 128)
    assert not kernel_takes(small.update(shape=(1, 8, 16, 64)), 128)
    assert not kernel_takes(small, 64)
    monkeypatch.setattr("sdxl_engine.models.convolution._vmem_bytes", lambda: 2**19)
    assert not kernel_takes(small, 128)


def test_a_chip_that_jax_has_no_figures_of_has_no_kernel() -> None:
    assert not kernel_takes(jnp.zeros((1, 8, 16, 128), jnp.bfloat16), 128)


def test_a_tpu_is_told_to_fuse_every_resnet_and_upsampling() -> None:
    networks = Networks.build(SdxlConfig.load(sdxl_base()), TPU)
    fusing = (ResnetBlock, DoublingConv)
    for network, count in ((networks.unet, 17 + 2), (networks.vae, 10 + 14 + 3)):
        blocks = [node for _, node in nnx.iter_graph(network) if isinstance(node, fusing)]
        assert [block.fused for block in blocks] == [True] * count


def row_steps(x: jax.Array, out_channels: int, factor: int) -> int:
    blocks = _blocks(x.shape, out_channels, factor)
    assert blocks is not None
    return math.ceil(x.shape[1] / blocks.rows)


def bfloat16(array: Array) -> jax.Array:
    return jnp.asarray(array, jnp.bfloat16)


def feature_map(array: Array) -> FeatureMap:
    return FeatureMap(jnp.asarray(array))


def assert_means(sums: jax.Array, pixels: jax.Array, tolerance: float) -> None:
    """Each channel's, and of its squares; within so much of its deviation, and of its square."""
    wide = np.asarray(pixels, np.float64)
    expected = np.stack([wide.mean(axis=(1, 2)), np.square(wide).mean(axis=(1, 2))], axis=1)
    means = np.asarray(sums) / (pixels.shape[1] * pixels.shape[2])
    scale = np.sqrt(expected[:, 1])
    assert (np.abs(means - expected) <= tolerance * np.stack([scale, scale**2], axis=1)).all()


def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel.astype(x.dtype), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_attention_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    qkv = jnp.asarray(draw.standard_normal((2, 36, 3 * 8)), jnp.float32)
    whole = self_attention(qkv, heads=2)
    monkeypatch.setattr("sdxl_engine.models.attention._MAX_SCORES_BYTES", 4_000)
    jaxpr = str(jax.make_jaxpr(lambda qkv: self_attention(qkv, heads=2))(qkv))
    assert "scan" in jaxpr
    assert_within(self_attention(qkv, heads=2), np.asarray(whole), 1e-6)


@pytest.mark.parametrize("dim", [6, 256, 320])
def test_sinusoidal_embedding_of_large_positions(dim: int) -> None:
    """Against float64: a timestep off by 1 or a size off by 1 pixel shows at every frequency."""
    positions = np.array([0, 1, 333.25, 951, 999, 1371, 2048, 4095])
    angles = positions[:, None] / 10_000 ** (np.arange(dim // 2) / (dim // 2))
    expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)
    embedding = sinusoidal_embedding(jnp.asarray(positions, jnp.float32), dim)
    assert embedding.dtype == jnp.float32
    # An angle in float32 is off by a few of its last bits, which are 2^-23 of it.
    assert (np.abs(embedding - expected) <= 2**-22 * positions[:, None] + 1e-7).all()
