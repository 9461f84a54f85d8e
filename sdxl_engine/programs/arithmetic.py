"""What the programs compute: encode, denoise with guidance and without, decode, preview.

Plain functions of one device's share; `compiler` compiles them and spreads them over devices.
"""

from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.models.layers import Target
from sdxl_engine.models.unet import TIME_IDS, UNet, UNetConditioning
from sdxl_engine.models.vae import Autoencoder
from sdxl_engine.sampling.table import (
    C_IN,
    C_OUT,
    C_SKIP,
    MEMORIES,
    MODEL_COLUMNS,
    SOURCES,
    TIMESTEP,
)

IMAGES: Final = "images"  # the mesh's axes
GUIDANCE: Final = "guidance"
PROMPTS: Final = 2  # the negative one first

State = nnx.State[Any, Any]


class Sample(NamedTuple):
    """What the sampling loop holds, f32[n, h, w, c] each.

    latents   x
    denoised  the previous estimate of the image
    memory    MEMORIES more, for what the sampler looks back at
    """

    latents: jax.Array
    denoised: jax.Array
    memory: tuple[jax.Array, ...]


class Guidance(NamedTuple):
    """How the outputs of the two prompts become one, f32[] each.

    scale    how far from the negative prompt's (Ho and Salimans 2022)
    rescale  0..1, how far its contrast is brought back to the prompt's (Lin et al. 2023, sec. 3.4)
    """

    scale: jax.Array
    rescale: jax.Array


def encode(
    text_encoder: nnx.GraphDef[TextEncoder],
    text_encoder_2: nnx.GraphDef[TextEncoder],
    unet: nnx.GraphDef[UNet],
    weights: State,
    weights_2: State,
    unet_weights: State,
    token_ids: jax.Array,
    keep_negative: jax.Array,
    time_ids: jax.Array,
    guidance_scale: jax.Array,
) -> UNetConditioning:
    """What the UNet is told of each prompt, the negative one first; see `Compiler.encode`."""
    prompt_embeds, pooled = _embed(
        text_encoder, text_encoder_2, weights, weights_2, token_ids, keep_negative
    )
    sizes = jnp.broadcast_to(time_ids[None], (PROMPTS, TIME_IDS))
    condition = nnx.merge(unet, unet_weights).condition
    each = [
        condition(prompt_embeds[own], pooled[own], sizes[own], guidance_scale)
        for own in (slice(prompt, prompt + 1) for prompt in range(PROMPTS))
    ]
    stacked: UNetConditioning = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    return stacked


def _embed(
    text_encoder: nnx.GraphDef[TextEncoder],
    text_encoder_2: nnx.GraphDef[TextEncoder],
    weights: State,
    weights_2: State,
    token_ids: jax.Array,
    keep_negative: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """(2, tokens, features of both encoders) and the pooled (2, features of the second)."""
    first = nnx.merge(text_encoder, weights)(token_ids[:, 0])
    second = nnx.merge(text_encoder_2, weights_2)(token_ids[:, 1])
    prompt_embeds = jnp.concatenate([first.hidden, second.hidden], axis=-1)
    keep = jnp.stack([keep_negative, jnp.ones_like(keep_negative)])
    return (
        jnp.where(keep[:, None, None], prompt_embeds, 0),
        jnp.where(keep[:, None], second.pooled, 0),
    )


def _noise(
    seed: jax.Array, image_indices: jax.Array, draw: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
    """Unit noise that depends on the seed, the image's index and the draw, and on nothing else.

    draw  0 for the initial sample, step + 1 within the loop
    """

    def one(index: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), draw)
        return jax.random.normal(key, shape, jnp.float32)

    return jax.vmap(one)(image_indices)


def denoise(
    unet_definition: nnx.GraphDef[UNet],
    target: Target,
    guided: bool,
    halves: int,
    unet_weights: State,
    sample: Sample,
    initial_sigma: jax.Array,
    seed: jax.Array,
    image_indices: jax.Array,
    conditioning: UNetConditioning,
    table: jax.Array,
    first: jax.Array,
    last: jax.Array,
    guidance: Guidance,
) -> Sample:
    """The rows first..last-1 of the table; see `SizePrograms.guided`."""
    unet = nnx.merge(unet_definition, unet_weights)
    shape = sample.latents.shape[1:]
    dtype = conditioning.added.dtype
    # Which prompts this device draws with: one of a pair takes the negative one, the other the
    # prompt; alone it takes both, or the prompt without guidance.
    prompts = PROMPTS if guided and halves == 1 else 1
    begin = jax.lax.axis_index(GUIDANCE) if guided and halves > 1 else PROMPTS - prompts
    conditioning = jax.tree.map(
        lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, begin, prompts), conditioning
    )

    def predict(scaled: jax.Array, timestep: jax.Array) -> jax.Array:
        """All images with the one prompt, then all with the other."""
        if target.one_by_one:
            each: jax.Array = jax.lax.map(
                lambda own: jax.lax.map(lambda one: unet(one[None], timestep, own)[0], scaled),
                conditioning,
            )
            return each.reshape(-1, *shape)
        joined = jax.tree.map(lambda leaf: _join(leaf, prompts), conditioning)
        return unet(jnp.concatenate([scaled] * prompts), timestep, joined)

    def step(index: jax.Array, sample: Sample) -> Sample:
        row = table[index]
        x = sample.latents
        output = predict((row[C_IN] * x).astype(dtype), row[TIMESTEP])
        # From here on float32: differences of nearly equal numbers, summed over all steps.
        output = output.astype(jnp.float32)
        negative = output
        if guided:
            if halves > 1:
                output = jax.lax.all_gather(output, GUIDANCE, tiled=True)
            negative, positive = jnp.split(output, PROMPTS)
            output = _guide(negative, positive, guidance)
        denoised, denoised_negative = (
            row[C_SKIP] * x + row[C_OUT] * each for each in (output, negative)
        )
        noise = _noise(seed, image_indices, index + 1, shape)
        # In the order of their columns.
        sources = (x, denoised, sample.denoised, noise, *sample.memory, denoised_negative)
        weights = row[MODEL_COLUMNS:].reshape(1 + MEMORIES, SOURCES)
        latents, *memory = (_combined(own, sources) for own in weights)
        return Sample(latents, denoised, tuple(memory))

    noise = _noise(seed, image_indices, jnp.int32(0), shape)
    begun = sample._replace(latents=sample.latents + initial_sigma * noise)
    final: Sample = jax.lax.fori_loop(first, last, step, begun)
    return final


def _join(leaf: jax.Array, prompts: int) -> jax.Array:
    """Prompts one by one as one batch: (prompts, 1, c) or, of what each block gets,
    (prompts, blocks, 1, tokens, c) without its first axis.
    """
    axis = 0 if leaf.ndim == 3 else 1  # noqa: PLR2004 - the two shapes above
    return jnp.concatenate([leaf[prompt] for prompt in range(prompts)], axis=axis)


def _combined(weights: jax.Array, sources: tuple[jax.Array, ...]) -> jax.Array:
    """Their weighted sum, one by one: as a product of matrices a TPU would have to fold them."""
    total = weights[0] * sources[0]
    for place, source in enumerate(sources[1:], start=1):
        total += weights[place] * source
    return total


def _guide(negative: jax.Array, positive: jax.Array, guidance: Guidance) -> jax.Array:
    guided = negative + guidance.scale * (positive - negative)
    axes = tuple(range(1, guided.ndim))
    contrast = positive.std(axes, keepdims=True) / guided.std(axes, keepdims=True)
    rescaled = guided * (1 + guidance.rescale * (contrast - 1))
    # Without it not even a rounding error; and a flat output has no contrast to divide by.
    return jnp.where(guidance.rescale > 0, rescaled, guided)


def decode(
    vae_definition: nnx.GraphDef[Autoencoder], vae_weights: State, latents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Pixels of latents, and whether they are finite; see `SizePrograms.decode`."""
    vae = nnx.merge(vae_definition, vae_weights)
    dtype = jax.tree.leaves(vae_weights)[0].dtype

    def one(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        pixels = vae.decode(latents[None].astype(dtype))[0].astype(jnp.float32)
        return _levels(pixels), jnp.isfinite(pixels).all()

    # One after the other: at full resolution an image's activations take gigabytes.
    decoded: tuple[jax.Array, jax.Array] = jax.lax.map(one, latents)
    return decoded


def preview(factors: jax.Array, latents: jax.Array) -> jax.Array:
    """Colours of latents by a linear map; see `SizePrograms.preview`."""
    return _levels(
        jnp.einsum("nhwc,cr->nhwr", latents, factors[:-1]) + factors[-1, None, None, None]
    )


def _levels(pixels: jax.Array) -> jax.Array:
    """Numbers of -1..1 as levels of 0..255."""
    return jnp.round(jnp.clip(pixels / 2 + 0.5, 0, 1) * 255).astype(jnp.uint8)
