"""The compiled programs: encode, start, denoise, decode.

Compiled ahead of time for fixed shapes; an executable refuses any other shape instead of compiling
again. Everything that a request may choose (prompt, seed, sampler, steps, guidance) is an argument,
and so are the weights.

The images of a request are spread over the devices by `shard_map` and the weights are on all of
them: each device runs the plain single-device program on its share, without any communication.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy.typing as npt
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.models.config import SdxlConfig
from sdxl_engine.models.unet import TIME_IDS, UNet
from sdxl_engine.models.vae import Autoencoder
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.samplers import C_IN, C_OUT, C_SKIP, COLUMNS, TIMESTEP, A, B, C, D
from sdxl_engine.tokenizer import TOKENIZER_FOLDERS

IMAGES: Final = "images"  # the mesh's one axis
_PROMPTS: Final = 2  # the negative one first

State = nnx.State[Any, Any]
Executable = Callable[..., Any]  # jax.stages.Compiled is untyped


class Networks(NamedTuple):
    """The four networks, shapes only."""

    text_encoder: TextEncoder
    text_encoder_2: TextEncoder
    unet: UNet
    vae: Autoencoder

    @classmethod
    def build(cls, config: SdxlConfig) -> "Networks":
        """The networks that a checkpoint's JSON describes."""
        return cls(
            TextEncoder(config.text_encoder),
            TextEncoder(config.text_encoder_2),
            UNet(config.unet),
            Autoencoder(config.vae),
        )


class Weights(NamedTuple):
    """The states of the four networks, on every device of the mesh."""

    text_encoder: State
    text_encoder_2: State
    unet: State
    vae: State


class Conditioning(NamedTuple):
    """What the text says, the negative prompt first.

    prompt_embeds         (2, tokens, features of both encoders)
    pooled_prompt_embeds  (2, features of the second encoder's projection)
    """

    prompt_embeds: jax.Array
    pooled_prompt_embeds: jax.Array


class Sample(NamedTuple):
    """What the sampling loop holds: x and the previous estimate of the image, f32[n, h, w, c]."""

    latents: jax.Array
    denoised: jax.Array


@dataclass(frozen=True, slots=True)
class SizePrograms:
    """The executables of one image size and number of images.

    num_images  how many are drawn at once: the number asked for, rounded up to fill the devices
    encode      that of `Compiler.encode`, the same for every size
    start       (seed u32[], image_indices i32[n], initial_sigma f32[]) -> Sample
    denoise     (unet weights, Sample, seed, image_indices, Conditioning, time_ids f32[6],
                 table f32[MAX_INFERENCE_STEPS, COLUMNS], first i32[], last i32[],
                 guidance_scale f32[]) -> Sample after the rows first..last-1; the old one is gone
    decode      (vae weights, latents) -> (u8[n, height, width, 3], bool[n] whether it is finite)
    """

    num_images: int
    encode: Executable
    start: Executable
    denoise: Executable
    decode: Executable


class Compiler:
    """Compiles the programs of one model for one set of devices.

    config, networks  the model
    weights           arrays, or shapes with a sharding for compiling without them
    mesh              the devices, along the axis IMAGES
    """

    def __init__(
        self, config: SdxlConfig, networks: Networks, weights: Weights, mesh: Mesh
    ) -> None:
        self._config = config
        self._weights = Weights(*(jax.tree.map(_abstract, state) for state in weights))
        self._text_encoder = nnx.graphdef(networks.text_encoder)
        self._text_encoder_2 = nnx.graphdef(networks.text_encoder_2)
        self._unet = nnx.graphdef(networks.unet)
        self._vae = nnx.graphdef(networks.vae)
        self._mesh = mesh
        self.replicated = NamedSharding(mesh, P())
        self.by_image = NamedSharding(mesh, P(IMAGES))

    def encode(self) -> Executable:
        """Compile the text encoders for one request's two prompts.

        (text_encoder weights, text_encoder_2 weights, token_ids i32[2 prompts, 2 encoders, tokens],
        keep_negative bool[], False zeroes the negative prompt's conditioning) -> Conditioning
        """
        tokens = self._config.text_encoder.max_position_embeddings
        return self._compile(
            partial(_encode, self._text_encoder, self._text_encoder_2),
            self._weights.text_encoder,
            self._weights.text_encoder_2,
            self._shape((_PROMPTS, len(TOKENIZER_FOLDERS), tokens), jnp.int32),
            self._shape((), jnp.bool_),
            in_specs=(P(), P(), P(), P()),
            out_specs=P(),
        )

    def size(
        self, width_px: int, height_px: int, num_images: int, encode: Executable
    ) -> SizePrograms:
        """Compile what depends on the image size."""
        devices = self._mesh.size
        count = -(-num_images // devices) * devices
        config, factor = self._config, self._config.vae.scale_factor
        shape = (height_px // factor, width_px // factor, config.unet.in_channels)
        latents = self._shape((count, *shape), jnp.float32, self.by_image)
        sample = Sample(latents, latents)
        seed = self._shape((), jnp.uint32)
        indices = self._shape((count,), jnp.int32, self.by_image)
        scalar, row = self._shape((), jnp.float32), self._shape((), jnp.int32)
        dtype = jax.tree.leaves(self._weights.unet)[0].dtype
        tokens = config.text_encoder.max_position_embeddings
        conditioning = Conditioning(
            self._shape((_PROMPTS, tokens, config.unet.cross_attention_dim), dtype),
            self._shape((_PROMPTS, config.unet.pooled_dim), dtype),
        )
        start = self._compile(
            partial(_start, shape),
            seed,
            indices,
            scalar,
            in_specs=(P(), P(IMAGES), P()),
            out_specs=P(IMAGES),
        )
        denoise = self._compile(
            partial(_denoise, self._unet),
            self._weights.unet,
            sample,
            seed,
            indices,
            conditioning,
            self._shape((TIME_IDS,), jnp.float32),
            self._shape((MAX_INFERENCE_STEPS, COLUMNS), jnp.float32),
            row,
            row,
            scalar,
            in_specs=(P(), P(IMAGES), P(), P(IMAGES), P(), P(), P(), P(), P(), P()),
            out_specs=P(IMAGES),
            donate=(1,),
        )
        decode = self._compile(
            partial(_decode, self._vae),
            self._weights.vae,
            latents,
            in_specs=(P(), P(IMAGES)),
            out_specs=P(IMAGES),
        )
        return SizePrograms(count, encode, start, denoise, decode)

    def _shape(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        sharding: NamedSharding | None = None,
    ) -> Any:  # noqa: ANN401 - an abstract array stands for the array it describes
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding or self.replicated)

    def _compile(
        self,
        function: Callable[..., Any],
        *arguments: Any,  # noqa: ANN401 - pytrees of abstract arrays
        in_specs: tuple[P, ...],
        out_specs: P,
        donate: tuple[int, ...] = (),
    ) -> Executable:
        spread = jax.shard_map(function, mesh=self._mesh, in_specs=in_specs, out_specs=out_specs)
        # Weights in float32 are asked for to be exact; by default a TPU would multiply them in
        # bfloat16 and a GPU in TF32. Narrower weights are not touched by this.
        with jax.default_matmul_precision("highest"):
            lowered = jax.jit(spread, donate_argnums=donate).lower(*arguments)
        compiled: Executable = lowered.compile()
        return compiled


def _abstract(array: jax.Array) -> Any:  # noqa: ANN401 - an abstract array stands for the array it describes
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _encode(
    text_encoder: nnx.GraphDef[TextEncoder],
    text_encoder_2: nnx.GraphDef[TextEncoder],
    weights: State,
    weights_2: State,
    token_ids: jax.Array,
    keep_negative: jax.Array,
) -> Conditioning:
    first = nnx.merge(text_encoder, weights)(token_ids[:, 0])
    second = nnx.merge(text_encoder_2, weights_2)(token_ids[:, 1])
    prompt_embeds = jnp.concatenate([first.penultimate, second.penultimate], axis=-1)
    keep = jnp.stack([keep_negative, jnp.ones_like(keep_negative)])
    return Conditioning(
        jnp.where(keep[:, None, None], prompt_embeds, 0), jnp.where(keep[:, None], second.pooled, 0)
    )


def _start(
    shape: tuple[int, ...], seed: jax.Array, image_indices: jax.Array, initial_sigma: jax.Array
) -> Sample:
    latents = _noise(seed, image_indices, jnp.int32(0), shape) * initial_sigma
    return Sample(latents, jnp.zeros_like(latents))


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


def _denoise(
    unet_definition: nnx.GraphDef[UNet],
    unet_weights: State,
    sample: Sample,
    seed: jax.Array,
    image_indices: jax.Array,
    conditioning: Conditioning,
    time_ids: jax.Array,
    table: jax.Array,
    first: jax.Array,
    last: jax.Array,
    guidance_scale: jax.Array,
) -> Sample:
    unet = nnx.merge(unet_definition, unet_weights)
    count = sample.latents.shape[0]
    # The batch holds every image with the negative prompt, then every image with the prompt.
    prompt_embeds = jnp.repeat(conditioning.prompt_embeds, count, axis=0)
    pooled = jnp.repeat(conditioning.pooled_prompt_embeds, count, axis=0)
    sizes = jnp.broadcast_to(time_ids[None], (_PROMPTS * count, TIME_IDS))

    def step(index: jax.Array, sample: Sample) -> Sample:
        row = table[index]
        x, denoised_prev = sample
        scaled = (row[C_IN] * x).astype(prompt_embeds.dtype)
        both = jnp.concatenate([scaled, scaled])
        output = unet(both, row[TIMESTEP], prompt_embeds, pooled, sizes)
        # From here on float32: differences of nearly equal numbers, summed over all steps.
        negative, positive = jnp.split(output.astype(jnp.float32), _PROMPTS)
        guided = negative + guidance_scale * (positive - negative)  # Ho and Salimans 2022
        denoised = row[C_SKIP] * x + row[C_OUT] * guided
        noise = _noise(seed, image_indices, index + 1, x.shape[1:])
        return Sample(
            row[A] * x + row[B] * denoised + row[C] * denoised_prev + row[D] * noise, denoised
        )

    final: Sample = jax.lax.fori_loop(first, last, step, sample)
    return final


def _decode(
    vae_definition: nnx.GraphDef[Autoencoder], vae_weights: State, latents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    vae = nnx.merge(vae_definition, vae_weights)
    dtype = jax.tree.leaves(vae_weights)[0].dtype

    def one(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        pixels = vae.decode(latents[None].astype(dtype))[0].astype(jnp.float32)
        levels = jnp.round(jnp.clip(pixels / 2 + 0.5, 0, 1) * 255).astype(jnp.uint8)
        return levels, jnp.isfinite(pixels).all()

    # One after the other: at full resolution an image's activations take gigabytes.
    decoded: tuple[jax.Array, jax.Array] = jax.lax.map(one, latents)
    return decoded
