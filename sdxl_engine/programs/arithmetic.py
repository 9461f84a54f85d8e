"""What the programs compute, from the text encoders' first layer to pixels.

Plain functions of one device's share; `compiler` compiles them and spreads them over devices.
"""

from collections.abc import Callable
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
    LEFT,
    MEMORIES,
    MODEL_COLUMNS,
    SOURCES,
    TIMESTEP,
)
from sdxl_engine.tiles import Tiling

IMAGES: Final = "images"  # the mesh's axes
GUIDANCE: Final = "guidance"
PROMPTS: Final = 2  # the negative one first
_SAME_NOISE: Final = 1e-3  # the sine of an angle at which there is no arc between two noises

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


class Known(NamedTuple):
    """What stays of a picture while the rest is painted; the same in every step.

    latents  f32[n, h, w, c] of the picture
    noise    f32[n, h, w, c] the unit noise that the sample began with
    painted  bool[n, h, w, 1] where the sample is free; elsewhere it is the picture's, noised
    shown    f32[n, h, w, c'] what an inpainting model sees beside the sample, of others None
    """

    latents: jax.Array
    noise: jax.Array
    painted: jax.Array
    shown: jax.Array | None


class Prompts(NamedTuple):
    """What the text encoders read, the negative prompt first, and how.

    token_ids       i32[2 encoders, PROMPTS * chunks + 1, tokens], at last a chunk without text
    weights         f32[2 encoders, PROMPTS * chunks, tokens] of what each token comes to
    interpolation   bool[] see `emphasized`
    keep_negative   bool[] False: zeroes in the place of all that the negative prompt says
    clip_skip       i32[] see `TextEncoder`
    time_ids        f32[TIME_IDS]
    guidance_scale  f32[]
    """

    token_ids: jax.Array
    weights: jax.Array
    interpolation: jax.Array
    keep_negative: jax.Array
    clip_skip: jax.Array
    time_ids: jax.Array
    guidance_scale: jax.Array


class Reading(NamedTuple):
    """What one text encoder makes of the prompts.

    hidden  (PROMPTS, chunks * tokens, features)
    pooled  (PROMPTS, features of its pooled state) of the first chunk
    """

    hidden: jax.Array
    pooled: jax.Array


class Start(NamedTuple):
    """The noise that images begin with, and what lies under it.

    seed       u32[], with `indices` i32[n] what noise depends on
    draw       i32[] 0 for the initial sample, step + 1 within the loop
    other      u32[], with `others` i32[n] the noise that it is turned towards
    variation  f32[] 0..1, how far
    latents    f32[n, h, w, c] under the noise
    sigma      f32[] its deviation
    """

    seed: jax.Array
    indices: jax.Array
    draw: jax.Array
    other: jax.Array
    others: jax.Array
    variation: jax.Array
    latents: jax.Array
    sigma: jax.Array


class Guidance(NamedTuple):
    """How the outputs of the two prompts become one, f32[] each.

    scale    how far from the negative prompt's (Ho and Salimans 2022)
    rescale  0..1, how far its contrast is brought back to the prompt's (Lin et al. 2023, sec. 3.4)
    """

    scale: jax.Array
    rescale: jax.Array


def read(
    text_encoder: nnx.GraphDef[TextEncoder],
    place: int,
    weights: State,
    words: jax.Array,
    prompts: Prompts,
) -> Reading:
    """What one text encoder makes of the prompts.

    Each chunk is encoded with a beginning and an end of its own.

    place  which of the two it is
    words  (PROMPTS * chunks + 1, tokens, features) that the tokens are in its table
    """
    texts = prompts.token_ids[place]
    encoding = nnx.merge(text_encoder, weights).read(words, texts, prompts.clip_skip)
    weighed = emphasized(
        encoding.hidden[:-1],
        encoding.hidden[-1:],
        prompts.weights[place][..., None],
        prompts.interpolation,
    )
    tokens, features = weighed.shape[1:]
    chunks = len(weighed) // PROMPTS
    return Reading(
        weighed.reshape(PROMPTS, chunks * tokens, features),
        encoding.pooled[: PROMPTS * chunks].reshape(PROMPTS, chunks, -1)[:, 0],
    )


def condition(
    unet: nnx.GraphDef[UNet],
    unet_weights: State,
    readings: tuple[Reading, Reading],
    prompts: Prompts,
) -> UNetConditioning:
    """What the UNet is told of each prompt, along a first axis, the negative one first."""
    prompt_embeds, pooled = joined(readings, prompts.keep_negative)
    sizes = jnp.broadcast_to(prompts.time_ids[None], (PROMPTS, TIME_IDS))
    network = nnx.merge(unet, unet_weights)
    each = [
        network.condition(prompt_embeds[own], pooled[own], sizes[own], prompts.guidance_scale)
        for own in (slice(prompt, prompt + 1) for prompt in range(PROMPTS))
    ]
    stacked: UNetConditioning = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    return stacked


def joined(
    readings: tuple[Reading, Reading], keep_negative: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(PROMPTS, chunks * tokens, features of both encoders), and what the second pooled."""
    keep = jnp.stack([keep_negative, jnp.ones_like(keep_negative)])
    hidden = jnp.concatenate([reading.hidden for reading in readings], axis=-1)
    return (
        jnp.where(keep[:, None, None], hidden, 0),
        jnp.where(keep[:, None], readings[1].pooled, 0),
    )


def emphasized(
    hidden: jax.Array, empty: jax.Array, weights: jax.Array, interpolation: jax.Array
) -> jax.Array:
    """Chunks whose tokens count by their weights; those whose weights are all 1 as they were.

    Either each state goes its weight's part of the way from that of a text without words, as
    ComfyUI has it, or is multiplied by its weight and the chunk brought back to the mean that it
    had, as A1111 has it.

    hidden         [chunks, tokens, features]
    empty          [1, tokens, features]
    weights        f32[chunks, tokens, 1]
    interpolation  bool[]
    """
    # float32: a mean of 100,000 numbers around 0 is their rounding errors otherwise.
    states, origin = hidden.astype(jnp.float32), empty.astype(jnp.float32)
    on_the_way = origin + weights * (states - origin)
    scaled = weights * states
    mean, new_mean = (each.mean((1, 2), keepdims=True) for each in (states, scaled))
    restored = scaled * jnp.where(
        new_mean == 0, 1.0, mean / jnp.where(new_mean == 0, 1.0, new_mean)
    )
    weighted = jnp.where(interpolation, on_the_way, restored)
    touched = jnp.where(interpolation, weights != 1, (weights != 1).any(1, keepdims=True))
    return jnp.where(touched, weighted.astype(hidden.dtype), hidden)


def begin(start: Start) -> tuple[jax.Array, jax.Array]:
    """The sample that images begin with, and its unit noise; see `SizePrograms.begin`."""
    shape = start.latents.shape[1:]
    own = _noise(start.seed, start.indices, start.draw, shape)
    other = _noise(start.other, start.others, start.draw, shape)
    noise = jnp.where(start.variation > 0, _turned(own, other, start.variation), own)
    return start.latents + start.sigma * noise, noise


def _turned(own: jax.Array, other: jax.Array, share: jax.Array) -> jax.Array:
    """Noises f32[n, h, w, c] on the arc between two (Shoemake 1985): their variance stays one."""
    axes = tuple(range(1, own.ndim))
    product = (own * other).sum(axes, keepdims=True)
    lengths = jnp.sqrt((own**2).sum(axes, keepdims=True) * (other**2).sum(axes, keepdims=True))
    angle = jnp.arccos(jnp.clip(product / lengths, -1, 1))
    sine = jnp.sin(angle)
    apart = sine > _SAME_NOISE
    inverse = 1 / jnp.where(apart, sine, 1.0)
    turned = jnp.sin((1 - share) * angle) * inverse * own + jnp.sin(share * angle) * inverse * other
    return jnp.where(apart, turned, own)


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
    halves: int,
    prompts: int | jax.Array,
    upright: jax.Array,
    unet_weights: State,
    sample: Sample,
    known: Known,
    seed: jax.Array,
    image_indices: jax.Array,
    conditioning: UNetConditioning,
    table: jax.Array,
    first: jax.Array,
    last: jax.Array,
    guidance: Guidance,
) -> Sample:
    """The rows first..last-1 of the table; see `SizePrograms.guided`.

    prompts  PROMPTS with guidance, 1 for the prompt alone; i32[] where one program is for both,
             see `Target.one_by_one`
    upright  bool[] whether all this is a portrait's, transposed: then its noise is, too
    """
    unet = nnx.merge(unet_definition, unet_weights)
    shape = sample.latents.shape[1:]
    dtype = conditioning.added.dtype

    def of_prompt(prompt: int | jax.Array) -> UNetConditioning:
        own: UNetConditioning = jax.tree.map(
            lambda leaf: jax.lax.dynamic_index_in_dim(leaf, prompt, keepdims=False), conditioning
        )
        return own

    def passed(scaled: jax.Array, timestep: jax.Array, own: UNetConditioning) -> jax.Array:
        """All images with one prompt."""
        if target.one_by_one:
            each: jax.Array = jax.lax.map(lambda one: unet(one[None], timestep, own)[0], scaled)
            return each
        return unet(scaled, timestep, own)

    def predict(scaled: jax.Array, timestep: jax.Array) -> tuple[jax.Array, jax.Array]:
        """With the negative prompt and with the prompt; alone this stands for both.

        float32 from here on: differences of nearly equal numbers, summed over all steps.
        """
        if halves > 1:
            # One of a pair of devices takes the negative prompt, the other the prompt.
            own = jnp.where(prompts == PROMPTS, jax.lax.axis_index(GUIDANCE), PROMPTS - 1)
            output = passed(scaled, timestep, of_prompt(own)).astype(jnp.float32)
            negative, positive = jnp.split(
                jax.lax.all_gather(output, GUIDANCE, tiled=True), PROMPTS
            )
        elif target.one_by_one:
            # The prompt first.
            outputs = jax.lax.fori_loop(
                0,
                prompts,
                lambda place, outputs: outputs.at[place].set(
                    passed(scaled, timestep, of_prompt(PROMPTS - 1 - place)).astype(jnp.float32)
                ),
                jnp.zeros((PROMPTS, len(scaled), *shape), jnp.float32),
            )
            positive = outputs[0]
            negative = jnp.where(prompts == PROMPTS, outputs[1], positive)
        elif prompts == PROMPTS:
            joined = jax.tree.map(_join, conditioning)
            output = unet(jnp.concatenate([scaled] * PROMPTS), timestep, joined)
            negative, positive = jnp.split(output.astype(jnp.float32), PROMPTS)
        else:
            positive = passed(scaled, timestep, of_prompt(PROMPTS - 1)).astype(jnp.float32)
            negative = positive
        return negative, positive

    def step(index: jax.Array, sample: Sample) -> Sample:
        row = table[index]
        x = sample.latents
        scaled = (row[C_IN] * x).astype(dtype)
        if known.shown is not None:
            scaled = jnp.concatenate([scaled, known.shown.astype(dtype)], axis=-1)
        negative, positive = predict(scaled, row[TIMESTEP])
        output = jnp.where(prompts == PROMPTS, _guide(negative, positive, guidance), positive)
        denoised, denoised_negative = (
            row[C_SKIP] * x + row[C_OUT] * each for each in (output, negative)
        )
        noise = _noise(seed, image_indices, index + 1, shape)
        noise = jnp.where(upright, _of_portrait(noise), noise)
        # In the order of their columns.
        sources = (x, denoised, sample.denoised, noise, *sample.memory, denoised_negative)
        weights = row[MODEL_COLUMNS:].reshape(1 + MEMORIES, SOURCES)
        latents, *memory = (_combined(own, sources) for own in weights)
        kept = known.latents + row[LEFT] * known.noise
        return Sample(jnp.where(known.painted, latents, kept), denoised, tuple(memory))

    final: Sample = jax.lax.fori_loop(first, last, step, sample)
    return final


def _of_portrait(noise: jax.Array) -> jax.Array:
    """Of noise f32[n, h, w, c] the same numbers as a portrait has them, row by row, transposed."""
    count, height, width, channels = noise.shape
    return noise.reshape(count, width, height, channels).swapaxes(1, 2)


def _join(leaf: jax.Array) -> jax.Array:
    """Prompts one by one as one batch: (prompts, 1, c) or, of what each block gets,
    (prompts, blocks, 1, tokens, c) without its first axis.
    """
    axis = 0 if leaf.ndim == 3 else 1  # noqa: PLR2004 - the two shapes above
    return jnp.concatenate(list(leaf), axis=axis)


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


def encode_picture(
    vae_definition: nnx.GraphDef[Autoencoder],
    tiling: Tiling | None,
    vae_weights: State,
    pixels: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Latents of a picture, and whether they are finite; see `SizePrograms.encode_picture`."""
    dtype = jax.tree.leaves(vae_weights)[0].dtype
    vae = nnx.merge(vae_definition, vae_weights)

    def one(tile: jax.Array) -> jax.Array:
        # float32, as the sampling loop has it.
        return vae.encode(tile[None].astype(dtype))[0].astype(jnp.float32)

    latents = _in_tiles(one, tiling, pixels)
    return latents, jnp.isfinite(latents).all()


def decode(
    vae_definition: nnx.GraphDef[Autoencoder],
    tiling: Tiling | None,
    vae_weights: State,
    latents: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Pixels of latents, and whether they are finite; see `SizePrograms.decode`.

    tiling  of the latents, where there is no memory for all of a picture at once
    """
    vae = nnx.merge(vae_definition, vae_weights)
    dtype = jax.tree.leaves(vae_weights)[0].dtype

    def drawn(tile: jax.Array) -> jax.Array:
        return vae.decode(tile[None].astype(dtype))[0].astype(jnp.float32)

    def one(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        pixels = _in_tiles(drawn, tiling, latents)
        return _levels(pixels), jnp.isfinite(pixels).all()

    # One after the other: at full resolution an image's activations take gigabytes.
    decoded: tuple[jax.Array, jax.Array] = jax.lax.map(one, latents)
    return decoded


def _in_tiles(
    function: Callable[[jax.Array], jax.Array], tiling: Tiling | None, whole: jax.Array
) -> jax.Array:
    """What a function makes of the tiles of [h, w, c], blended as `Tiling.blend` does.

    tiling  of the smaller of what is given and what is made; None: all at once
    """
    if tiling is None:
        return function(whole)
    given = tiling.scaled(whole.shape[0] // tiling.sides[0])
    tiles = jax.lax.map(function, jnp.stack([whole[place] for place in given.places]))
    made = tiling.scaled(tiles.shape[1] // tiling.tile[0])
    total = jnp.zeros((*made.sides, tiles.shape[-1]), tiles.dtype)
    for place, tile in zip(made.places, made.weight[None] * tiles, strict=True):
        total = total.at[place].add(tile)
    return total / made.weights


def preview(factors: jax.Array, latents: jax.Array) -> jax.Array:
    """Colours of latents by a linear map; see `SizePrograms.preview`."""
    return _levels(
        jnp.einsum("nhwc,cr->nhwr", latents, factors[:-1]) + factors[-1, None, None, None]
    )


def _levels(pixels: jax.Array) -> jax.Array:
    """Numbers of -1..1 as levels of 0..255."""
    return jnp.round(jnp.clip(pixels / 2 + 0.5, 0, 1) * 255).astype(jnp.uint8)
