"""The compiled programs: encode, denoise with guidance and without, decode, preview.

Compiled ahead of time for fixed shapes; an executable refuses any other shape instead of compiling
again. Everything that a request may choose (prompt, seed, sampler, steps, guidance) is an argument,
and so are the weights.

The devices form a mesh: the images of a request are spread along one axis, and where there are
devices to spare the two halves of guidance along another. `shard_map` runs the plain single-device
program on each device's share; the weights are on all of them. All that ever crosses between
devices is one half's output, once a step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.models.layers import Target
from sdxl_engine.models.unet import TIME_IDS, UNet, UNetConditioning
from sdxl_engine.models.vae import Autoencoder
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.samplers import C_IN, C_OUT, C_SKIP, COLUMNS, TIMESTEP, A, B, C, D
from sdxl_engine.tokenizer import TOKENIZER_FOLDERS

IMAGES: Final = "images"  # the mesh's axes
GUIDANCE: Final = "guidance"
_PROMPTS: Final = 2  # the negative one first
_RGB: Final = 3

State = nnx.State[Any, Any]
Executable = Callable[..., Any]  # jax.stages.Compiled is untyped


class Networks(NamedTuple):
    """The four networks, shapes only."""

    text_encoder: TextEncoder
    text_encoder_2: TextEncoder
    unet: UNet
    vae: Autoencoder
    target: Target

    @classmethod
    def build(cls, config: SdxlConfig, target: Target) -> "Networks":
        """The networks that a checkpoint's JSON describes."""
        return cls(
            TextEncoder(config.text_encoder, target),
            TextEncoder(config.text_encoder_2, target),
            UNet(config.unet, target),
            Autoencoder(config.vae, target),
            target,
        )


class Weights(NamedTuple):
    """The states of the four networks, on every device."""

    text_encoder: State
    text_encoder_2: State
    unet: State
    vae: State


class Sample(NamedTuple):
    """What the sampling loop holds: x and the previous estimate of the image, f32[n, h, w, c]."""

    latents: jax.Array
    denoised: jax.Array


class Guidance(NamedTuple):
    """How the outputs of the two prompts become one, f32[] each.

    scale    how far from the negative prompt's (Ho and Salimans 2022)
    rescale  0..1, how far its contrast is brought back to the prompt's (Lin et al. 2023, sec. 3.4)
    """

    scale: jax.Array
    rescale: jax.Array


@dataclass(frozen=True, slots=True)
class Program:
    """One program before it is compiled.

    function   what one device does
    arguments  pytrees of abstract arrays, each with its sharding
    donated    places of arguments whose memory the results take
    """

    mesh: Mesh
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    out_specs: P
    donated: tuple[int, ...] = ()

    def compile(self) -> Any:  # noqa: ANN401 - jax.stages.Compiled is untyped
        """Compile it for its devices, which need not be there."""
        spread = jax.shard_map(
            self.function,
            mesh=self.mesh,
            in_specs=jax.tree.map(lambda leaf: leaf.sharding.spec, self.arguments),
            out_specs=self.out_specs,
            # It knows of no rule for a kernel of our own, and could only confirm what is written
            # here: after `_denoise` has gathered both halves, devices of a pair hold the same.
            check_vma=False,
        )
        # Weights in float32 are asked for to be exact; by default a TPU would multiply them in
        # bfloat16 and a GPU in TF32. Narrower weights are not touched by this.
        with jax.default_matmul_precision("highest"):
            lowered = jax.jit(spread, donate_argnums=self.donated).lower(*self.arguments)
        return lowered.compile()


@dataclass(frozen=True, slots=True)
class SizePrograms:
    """The executables of one image size and number of images.

    num_images  how many are drawn at once, `Compiler.padded`
    by_image    where arrays with an entry an image belong
    encode      that of `Compiler.encode`, the same for every size
    guided      (unet weights, Sample, initial_sigma f32[], seed u32[], image_indices i32[n],
                 UNetConditioning, table f32[MAX_INFERENCE_STEPS, COLUMNS], first i32[], last i32[],
                 Guidance) -> Sample after the rows first..last-1; the old one is gone. Noise of
                 deviation `initial_sigma` is added before: draw 0 of the seed
    unguided    the same with the prompt alone, in half the time; Guidance plays no part
    decode      (vae weights, latents) -> (u8[n, height, width, 3], bool[n] whether it is finite)
    preview     (factors f32[c + 1, 3], latents) -> u8[n, h, w, 3], a pixel a latent
    """

    num_images: int
    by_image: NamedSharding
    encode: Executable
    guided: Executable
    unguided: Executable
    decode: Executable
    preview: Executable


def replicated(devices: Sequence[jax.Device]) -> NamedSharding:
    """Where arrays belong that are the same on every device."""
    return NamedSharding(make_mesh(devices, len(devices)), P())


def make_mesh(devices: Sequence[jax.Device], num_images: int) -> Mesh:
    """The devices as IMAGES x GUIDANCE: the second has two where there are more than images."""
    halves = _PROMPTS if len(devices) > num_images and len(devices) % _PROMPTS == 0 else 1
    return Mesh(np.array(devices).reshape(-1, halves), (IMAGES, GUIDANCE))


class Compiler:
    """Knows the programs of one model for one set of devices.

    config, networks  the model
    weights           arrays, or shapes with a sharding for compiling without them
    devices           what they run on
    """

    def __init__(
        self,
        config: SdxlConfig,
        networks: Networks,
        weights: Weights,
        devices: Sequence[jax.Device],
    ) -> None:
        self._config = config
        self._weights = Weights(*(jax.tree.map(_abstract, state) for state in weights))
        self._text_encoder = nnx.graphdef(networks.text_encoder)
        self._text_encoder_2 = nnx.graphdef(networks.text_encoder_2)
        self._unet = nnx.graphdef(networks.unet)
        self._vae = nnx.graphdef(networks.vae)
        self._target = networks.target
        self.devices = tuple(devices)
        self.replicated = replicated(devices)

    def encode(self) -> Program:
        """What is computed once a request, of its two prompts and its size.

        (text_encoder weights, text_encoder_2 weights, unet weights,
        token_ids i32[2 prompts, 2 encoders, tokens], keep_negative bool[], False zeroes the
        negative prompt's conditioning, time_ids f32[6]) -> UNetConditioning of one prompt each,
        along a first axis
        """
        mesh = make_mesh(self.devices, len(self.devices))
        return Program(mesh, self._encode(), self._encode_arguments(), P())

    def size(self, width_px: int, height_px: int, num_images: int) -> dict[str, Program]:
        """What depends on the image size: the other fields of `SizePrograms` by their names."""
        mesh = make_mesh(self.devices, num_images)
        by_image = NamedSharding(mesh, P(IMAGES))
        count = self.padded(num_images)
        config, factor = self._config, self._config.vae.scale_factor
        channels = config.unet.in_channels
        shape = (count, height_px // factor, width_px // factor, channels)
        latents = self._shape(shape, jnp.float32, by_image)
        scalar, row = self._shape((), jnp.float32), self._shape((), jnp.int32)
        conditioning = jax.tree.map(
            lambda leaf: self._shape(leaf.shape, leaf.dtype),
            jax.eval_shape(self._encode(), *self._encode_arguments()),
        )
        step_arguments = (
            self._weights.unet,
            Sample(latents, latents),
            scalar,
            self._shape((), jnp.uint32),
            self._shape((count,), jnp.int32, by_image),
            conditioning,
            self._shape((MAX_INFERENCE_STEPS, COLUMNS), jnp.float32),
            row,
            row,
            Guidance(scalar, scalar),
        )

        def denoise(*, guided: bool) -> Program:
            function = partial(_denoise, self._unet, self._target, guided, mesh.shape[GUIDANCE])
            return Program(mesh, function, step_arguments, P(IMAGES), donated=(1,))

        decode = partial(_decode, self._vae)
        factors = self._shape((channels + 1, _RGB), jnp.float32)
        return {
            "guided": denoise(guided=True),
            "unguided": denoise(guided=False),
            "decode": Program(mesh, decode, (self._weights.vae, latents), P(IMAGES)),
            "preview": Program(mesh, _preview, (factors, latents), P(IMAGES)),
        }

    def compile_size(
        self, width_px: int, height_px: int, num_images: int, encode: Executable
    ) -> SizePrograms:
        """Compile what draws images of one size."""
        programs = self.size(width_px, height_px, num_images)
        by_image = NamedSharding(make_mesh(self.devices, num_images), P(IMAGES))
        compiled = {name: program.compile() for name, program in programs.items()}
        return SizePrograms(self.padded(num_images), by_image, encode, **compiled)

    def padded(self, num_images: int) -> int:
        """How many images are drawn at once: those asked for, rounded up to fill the devices."""
        along: int = make_mesh(self.devices, num_images).shape[IMAGES]
        return -(-num_images // along) * along

    def _encode(self) -> Callable[..., UNetConditioning]:
        return partial(_encode, self._text_encoder, self._text_encoder_2, self._unet)

    def _encode_arguments(self) -> tuple[Any, ...]:
        tokens = self._config.text_encoder.max_position_embeddings
        return (
            self._weights.text_encoder,
            self._weights.text_encoder_2,
            self._weights.unet,
            self._shape((_PROMPTS, len(TOKENIZER_FOLDERS), tokens), jnp.int32),
            self._shape((), jnp.bool_),
            self._shape((TIME_IDS,), jnp.float32),
        )

    def _shape(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        sharding: NamedSharding | None = None,
    ) -> Any:  # noqa: ANN401 - an abstract array stands for the array it describes
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding or self.replicated)


def _abstract(array: jax.Array) -> Any:  # noqa: ANN401 - an abstract array stands for the array it describes
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _encode(
    text_encoder: nnx.GraphDef[TextEncoder],
    text_encoder_2: nnx.GraphDef[TextEncoder],
    unet: nnx.GraphDef[UNet],
    weights: State,
    weights_2: State,
    unet_weights: State,
    token_ids: jax.Array,
    keep_negative: jax.Array,
    time_ids: jax.Array,
) -> UNetConditioning:
    prompt_embeds, pooled = _embed(
        text_encoder, text_encoder_2, weights, weights_2, token_ids, keep_negative
    )
    sizes = jnp.broadcast_to(time_ids[None], (_PROMPTS, TIME_IDS))
    condition = nnx.merge(unet, unet_weights).condition
    each = [
        condition(*(array[prompt : prompt + 1] for array in (prompt_embeds, pooled, sizes)))
        for prompt in range(_PROMPTS)
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
    prompt_embeds = jnp.concatenate([first.penultimate, second.penultimate], axis=-1)
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


def _denoise(
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
    unet = nnx.merge(unet_definition, unet_weights)
    shape = sample.latents.shape[1:]
    dtype = conditioning.added.dtype
    # Which prompts this device draws with: one of a pair takes the negative one, the other the
    # prompt; alone it takes both, or the prompt without guidance.
    prompts = _PROMPTS if guided and halves == 1 else 1
    begin = jax.lax.axis_index(GUIDANCE) if guided and halves > 1 else _PROMPTS - prompts
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
        x, denoised_prev = sample
        output = predict((row[C_IN] * x).astype(dtype), row[TIMESTEP])
        # From here on float32: differences of nearly equal numbers, summed over all steps.
        output = output.astype(jnp.float32)
        if guided:
            if halves > 1:
                output = jax.lax.all_gather(output, GUIDANCE, tiled=True)
            negative, positive = jnp.split(output, _PROMPTS)
            output = _guide(negative, positive, guidance)
        denoised = row[C_SKIP] * x + row[C_OUT] * output
        noise = _noise(seed, image_indices, index + 1, shape)
        return Sample(
            row[A] * x + row[B] * denoised + row[C] * denoised_prev + row[D] * noise, denoised
        )

    noise = _noise(seed, image_indices, jnp.int32(0), shape)
    begun = Sample(sample.latents + initial_sigma * noise, sample.denoised)
    final: Sample = jax.lax.fori_loop(first, last, step, begun)
    return final


def _join(leaf: jax.Array, prompts: int) -> jax.Array:
    """Prompts one by one as one batch: (prompts, 1, c) or, of what each block gets,
    (prompts, blocks, 1, tokens, c) without its first axis.
    """
    axis = 0 if leaf.ndim == 3 else 1  # noqa: PLR2004 - the two shapes above
    return jnp.concatenate([leaf[prompt] for prompt in range(prompts)], axis=axis)


def _guide(negative: jax.Array, positive: jax.Array, guidance: Guidance) -> jax.Array:
    guided = negative + guidance.scale * (positive - negative)
    axes = tuple(range(1, guided.ndim))
    contrast = positive.std(axes, keepdims=True) / guided.std(axes, keepdims=True)
    rescaled = guided * (1 + guidance.rescale * (contrast - 1))
    # Without it not even a rounding error; and a flat output has no contrast to divide by.
    return jnp.where(guidance.rescale > 0, rescaled, guided)


def _decode(
    vae_definition: nnx.GraphDef[Autoencoder], vae_weights: State, latents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    vae = nnx.merge(vae_definition, vae_weights)
    dtype = jax.tree.leaves(vae_weights)[0].dtype

    def one(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        pixels = vae.decode(latents[None].astype(dtype))[0].astype(jnp.float32)
        return _levels(pixels), jnp.isfinite(pixels).all()

    # One after the other: at full resolution an image's activations take gigabytes.
    decoded: tuple[jax.Array, jax.Array] = jax.lax.map(one, latents)
    return decoded


def _preview(factors: jax.Array, latents: jax.Array) -> jax.Array:
    return _levels(
        jnp.einsum("nhwc,cr->nhwr", latents, factors[:-1]) + factors[-1, None, None, None]
    )


def _levels(pixels: jax.Array) -> jax.Array:
    """Numbers of -1..1 as levels of 0..255."""
    return jnp.round(jnp.clip(pixels / 2 + 0.5, 0, 1) * 255).astype(jnp.uint8)
