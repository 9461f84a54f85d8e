"""The compiled programs, from the text encoders' first layer to pixels.

Compiled ahead of time for fixed shapes; an executable refuses any other shape instead of compiling
again. Everything that a request may choose (prompt, seed, sampler, steps, guidance) is an argument,
and so are the weights. Those with a network in them draw a landscape and its portrait: see
`upright`.

The devices form a mesh: the images of a request are spread along one axis, and where there are
devices to spare the two halves of guidance along another. `shard_map` runs the plain single-device
program on each device's share; the weights are on all of them. All that ever crosses between
devices is one half's output, once a step.
"""

import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, Self

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.load import parameter_bytes
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.memory import Memory, Plan, group_of
from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.models.layers import Target
from sdxl_engine.models.unet import TIME_IDS, UNet, UNetConditioning
from sdxl_engine.models.vae import Autoencoder
from sdxl_engine.programs import arithmetic
from sdxl_engine.programs.arithmetic import (
    GUIDANCE,
    IMAGES,
    PROMPTS,
    Guidance,
    Known,
    Prompts,
    Reading,
    Sample,
    Start,
    State,
)
from sdxl_engine.programs.upright import (
    ForTransposed,
    Upright,
    spatial,
    transposed,
    transposed_kernels,
)
from sdxl_engine.sampling.table import COLUMNS, MAX_PASSES, MEMORIES
from sdxl_engine.tiles import Tiling
from sdxl_engine.tokenizer import TOKENIZER_FOLDERS

_RGB: Final = 3
_DTYPES: Final = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Of LLVM's passes, of 3 by default: a third of the compiling less, for programs as fast.
    "cpu": {"xla_backend_optimization_level": 2},
    # Of matrix products cuBLAS adds bias and what stands beside a block while it writes; Triton,
    # which the compiler would try as well, adds only the former, and so a guided step of four SDXL
    # pictures on an H100 has a tenth more memory to move. And three products of one block's input
    # are left three: merged they would have to be cut apart again, which is a copy each.
    "gpu": {"xla_gpu_enable_triton_gemm": False, "xla_gpu_dot_merger_threshold_mb": "0"},
}

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

    def size_bytes(self, dtype: np.dtype[Any]) -> Counter[tuple[str, str]]:
        """Of the weights, loaded in this dtype, by part and `memory.group_of`."""
        sizes: Counter[tuple[str, str]] = Counter()
        for part in Weights._fields:
            for path, size in parameter_bytes(getattr(self, part), dtype):
                sizes[part, group_of(part, path)] += size
        return sizes

    def kernels_bytes(self, dtype: np.dtype[Any]) -> int:
        """Of what is copied of the UNet's weights for a portrait."""
        leaves = jax.tree.leaves(nnx.state(self.unet, nnx.Param))
        kernels = (leaves[place] for place in spatial(leaves, self.target.kernels))
        numbers: int = sum(math.prod(kernel.shape) for kernel in kernels)
        return numbers * dtype.itemsize


class Weights(NamedTuple):
    """The states of the four networks: on every device, or NumPy's arrays, which live on the host.

    What lives there goes to the devices with each call that takes it, and is gone with its end.
    """

    text_encoder: State
    text_encoder_2: State
    unet: State
    vae: State


@dataclass(frozen=True, slots=True)
class Program:
    """One program before it is compiled.

    function   what one device does
    arguments  pytrees of abstract arrays, each with its sharding over the mesh's devices; that of
               what is the same on all of them may be of another mesh
    donated    places of arguments whose memory the results take
    """

    mesh: Mesh
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    out_specs: P
    donated: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """That of its function."""
        name: str = getattr(self.function, "func", self.function).__name__
        return name

    @property
    def options(self) -> dict[str, Any]:
        """What the compiler is told beside the flags of the environment, which come first."""
        own = OPTIONS.get(self.mesh.devices.flat[0].platform, {})
        told = os.environ.get("XLA_FLAGS", "")
        return {name: value for name, value in own.items() if name not in told}

    def compile(self) -> Any:  # noqa: ANN401 - jax.stages.Compiled is untyped
        """Compile it for its devices, which need not be there."""
        # The weights were placed before anybody knew how many images there would be. To jax it is
        # all one where they lie the same, but not to a primitive with `custom_partitioning`, such
        # as cuDNN's attention: it wants one mesh in the whole program.
        arguments = jax.tree.map(self._on_mesh, self.arguments)
        spread = jax.shard_map(
            self.function,
            mesh=self.mesh,
            in_specs=jax.tree.map(lambda leaf: leaf.sharding.spec, arguments),
            out_specs=self.out_specs,
            # It knows of no rule for a kernel of our own, and could only confirm what is written
            # here: after `denoise` has gathered both halves, devices of a pair hold the same.
            check_vma=False,
        )
        # Weights in float32 are asked for to be exact; by default a TPU would multiply them in
        # bfloat16 and a GPU in TF32. Narrower weights are not touched by this.
        with jax.default_matmul_precision("highest"):
            lowered = jax.jit(spread, donate_argnums=self.donated).lower(*arguments)
        return lowered.compile(self.options)

    def _on_mesh(self, leaf: Any) -> Any:  # noqa: ANN401 - abstract arrays
        sharding = NamedSharding(self.mesh, leaf.sharding.spec)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


Compile = Callable[[Program], Executable]


def not_compiled(*_: object) -> NoReturn:
    """In the place of a program that nobody needs: nothing is compiled after `warm_up`."""
    raise InvalidRequestError("This calls a program that warm_up was not told to make ready.")


def _as_they_are(weights: State) -> State:
    return weights


@dataclass(frozen=True, slots=True)
class Needs:
    """Which programs are called.

    names   fields of `TextPrograms` and `SizePrograms`; those that encode are always needed
    chunks  of the prompts: the numbers of chunks
    """

    names: frozenset[str]
    chunks: frozenset[int]

    @classmethod
    def everything(cls, chunks: int) -> Self:
        """What requests may ask for whose prompts have up to so many chunks."""
        return cls(_NAMES, frozenset(range(1, chunks + 1)))

    def __or__(self, other: "Needs") -> "Needs":
        """What either needs."""
        return Needs(self.names | other.names, self.chunks | other.chunks)


# In this process: weights that visit are on the devices for one call, whoever makes it.
_ALONE: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Alone:
    """An executable that has the devices' memory for itself, and is done when its call returns."""

    executable: Any  # jax.stages.Compiled is untyped

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401, D102 - as the executable's
        with _ALONE:
            return jax.block_until_ready(self.executable(*arguments))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the executable's
        return getattr(self.executable, name)


@dataclass(frozen=True, slots=True)
class Settled:
    """An executable whose first arguments are known."""

    executable: Any  # jax.stages.Compiled is untyped
    first: tuple[np.generic, ...]

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401, D102 - as the executable's
        return self.executable(*self.first, *arguments)

    def memory_analysis(self) -> Any:  # noqa: ANN401 - as the executable's
        """As of the executable alone."""
        return self.executable.memory_analysis()


class EncodePrograms(NamedTuple):
    """The executables of one number of chunks of the prompt; see `arithmetic.read`, `condition`.

    text_encoder, text_encoder_2  (its weights, words, Prompts) -> Reading
    condition                     (unet weights, (Reading, Reading), Prompts) -> UNetConditioning of
                                  one prompt each, along a first axis
    """

    text_encoder: Executable
    text_encoder_2: Executable
    condition: Executable

    def __call__(
        self, weights: Weights, token_ids: npt.NDArray[np.int32], prompts: Prompts
    ) -> UNetConditioning:
        """What is computed once a request, of its two prompts and its size.

        token_ids  as in `prompts`, on the host: so are the tables, of which they take a few rows
        """
        readings = tuple(
            read(own, _table(own)[ids], prompts)
            for read, own, ids in zip(self[:2], weights[:2], token_ids, strict=True)
        )
        said: UNetConditioning = self.condition(weights.unet, readings, prompts)
        return said


def _table(text_encoder: State) -> npt.NDArray[Any]:
    table: Any = text_encoder["token_embedding"]["embedding"]
    return np.asarray(table[...])


@dataclass(frozen=True, slots=True)
class TextPrograms:
    """The executables of one image size, number of images and number of chunks of the prompt.

    encode      the same for every size
    guided      (unet weights, Sample, Known, seed u32[], image_indices i32[n], UNetConditioning,
                 table f32[MAX_PASSES, COLUMNS], first i32[], last i32[], Guidance) -> Sample after
                 the rows first..last-1; the old one is gone
    unguided    the same with the prompt alone, in half the time; Guidance plays no part. A model
                that is told the guidance scale has this one as `guided`, too
    """

    encode: EncodePrograms
    guided: Executable = not_compiled
    unguided: Executable = not_compiled

    @classmethod
    def of(
        cls,
        encode: EncodePrograms,
        denoise: Mapping[str, Executable],
        upright: Callable[[Executable], Executable] | None = None,
    ) -> "TextPrograms":
        """Of the compiled programs of `Compiler.denoise`.

        upright  makes of one of them that of its portrait; None: they draw a landscape or a square
        """
        stands = np.bool_(upright is not None)

        def own(lying: Executable, *first: np.generic) -> Executable:
            settled = Settled(lying, (*first, stands))
            return settled if upright is None else upright(settled)

        if "either" in denoise:
            both = (own(denoise["either"], np.int32(prompts)) for prompts in (PROMPTS, 1))
            return cls(encode, *both)
        if "told" in denoise:
            told = own(denoise["told"])
            return cls(encode, told, told)
        return cls(encode, **{name: own(lying) for name, lying in denoise.items()})


@dataclass(frozen=True, slots=True)
class SizePrograms:
    """The executables of one image size and number of images.

    num_images      how many are drawn at once, `Compiler.padded`
    most_images     of a request; those beyond `num_images` are drawn after the others
    by_image        where arrays with an entry an image belong
    texts           by the number of chunks of the prompts
    begin           Start -> (latents f32[n, h, w, c], noise f32[n, h, w, c])
    encode_picture  (vae weights, f32[height, width, 3] in -1..1) -> (latents f32[h, w, c], bool[]
                    whether they are finite)
    decode          (vae weights, latents) -> (u8[n, height, width, 3], bool[n] whether it is
                    finite)
    preview         (factors f32[c + 1, 3], latents) -> u8[n, h, w, 3], a pixel a latent
    unet, vae       a network's weights -> those that all these are called with; of a portrait they
                    have kernels of their own
    """

    num_images: int
    most_images: int
    by_image: NamedSharding
    texts: Mapping[int, TextPrograms]
    begin: Executable = not_compiled
    encode_picture: Executable = not_compiled
    decode: Executable = not_compiled
    preview: Executable = not_compiled
    unet: Callable[[State], State] = _as_they_are
    vae: Callable[[State], State] = _as_they_are

    def serve(self, needs: Needs) -> bool:
        """Whether all that is needed was compiled."""
        if not needs.chunks <= self.texts.keys():
            return False
        texts = [self.texts[chunks] for chunks in needs.chunks]
        needed = [getattr(text, name) for text in texts for name in needs.names & _BY_TEXT]
        needed += [getattr(self, name) for name in needs.names & _BY_SIZE]
        return not_compiled not in needed

    def by_name(self) -> dict[str, Any]:
        """All that were compiled, as they were; of what differs by the chunks a number follows."""
        called = {name: getattr(self, name) for name in _BY_SIZE}
        for chunks, text in self.texts.items():
            own = {**text.encode._asdict(), "guided": text.guided, "unguided": text.unguided}
            called |= {f"{name} {chunks}": program for name, program in own.items()}
        named: dict[str, Any] = {}
        for name, program in called.items():
            if isinstance(program, Upright):
                named |= {f"{name} {part}": one for part, one in program.parts().items()}
            elif program is not not_compiled:
                named[name] = program
        for name, network in _KERNELS.items():
            if isinstance(turned := getattr(self, network), ForTransposed):
                named[name] = turned.executable
        return {
            name: one.executable if isinstance(one, Settled) else one for name, one in named.items()
        }


_BY_TEXT: Final = frozenset({"guided", "unguided"})
_BY_SIZE: Final = frozenset({"begin", "encode_picture", "decode", "preview"})
_NAMES: Final = _BY_TEXT | _BY_SIZE
# Programs with a network in them, and which, and what they are called as: minutes to compile, and
# so a landscape's are also its portrait's.
_LARGE: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "denoise": ("unet", _BY_TEXT),
    "encode_picture": ("vae", frozenset({"encode_picture"})),
    "decode": ("vae", frozenset({"decode"})),
}
_KERNELS: Final = {"unet_kernels": "unet", "vae_kernels": "vae"}  # of which network


def working_bytes(program: Any) -> int:  # noqa: ANN401 - an Executable, which is untyped
    """What one program takes of each device beside its arguments."""
    memory = program.memory_analysis()
    taken: int = (
        memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    return taken


def weights_dtype(dtype: str, platform: str) -> np.dtype[Any]:
    """What "auto", "float32" or "bfloat16" means there; raises InvalidRequestError for others."""
    if dtype == "auto":
        dtype = "float32" if platform == "cpu" else "bfloat16"
    if dtype not in _DTYPES:
        choices = ", ".join(["auto", *_DTYPES])
        raise InvalidRequestError(f"There is no dtype {dtype!r} here; choose one of {choices}.")
    chosen: np.dtype[Any] = np.dtype(_DTYPES[dtype])
    return chosen


def replicated(devices: Sequence[jax.Device]) -> NamedSharding:
    """Where arrays belong that are the same on every device."""
    return NamedSharding(make_mesh(devices, len(devices)), P())


def make_mesh(devices: Sequence[jax.Device], num_images: int) -> Mesh:
    """The devices as IMAGES x GUIDANCE: the second has two where there are more than images."""
    halves = PROMPTS if len(devices) > num_images and len(devices) % PROMPTS == 0 else 1
    return Mesh(np.array(devices).reshape(-1, halves), (IMAGES, GUIDANCE))


def _lying(width_px: int, height_px: int) -> tuple[int, int]:
    """Of a portrait its landscape, of other sizes themselves."""
    return max(width_px, height_px), min(width_px, height_px)


def _results(futures: Mapping[str, Future[Executable]]) -> dict[str, Executable]:
    return {name: future.result() for name, future in futures.items()}


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
        self.replicated = replicated(devices)
        # Without the arrays, which come and go.
        self._weights = Weights(
            *(
                jax.tree.map(lambda leaf: self._shape(leaf.shape, leaf.dtype), state)
                for state in weights
            )
        )
        self._text_encoders = {
            "text_encoder": nnx.graphdef(networks.text_encoder),
            "text_encoder_2": nnx.graphdef(networks.text_encoder_2),
        }
        self._unet = nnx.graphdef(networks.unet)
        self._vae = nnx.graphdef(networks.vae)
        self.target = networks.target
        self.devices = tuple(devices)

    @property
    def shapes(self) -> tuple[object, ...]:
        """All that its programs are made of; those of equal shapes serve each other's weights."""
        networks = *self._text_encoders.values(), self._unet, self._vae
        return self.devices, self._config.vae, self._weights, networks

    def encode(self, chunks: int = 1) -> dict[str, Program]:
        """Fields of `EncodePrograms` by name."""
        mesh = make_mesh(self.devices, len(self.devices))
        prompts = self._prompts(chunks)
        readings, programs = [], {}
        for place, (name, own) in enumerate(self._text_encoders.items()):
            config, weights = getattr(self._config, name), getattr(self._weights, name)
            dtype = jax.tree.leaves(weights)[0].dtype
            texts, tokens = prompts.token_ids.shape[1:]
            words = self._shape((texts, tokens, config.hidden_size), dtype)
            read = partial(arithmetic.read, own, place)
            programs[name] = Program(mesh, read, (weights, words, prompts), P())
            hidden = (PROMPTS, chunks * tokens, config.hidden_size)
            pooled = (PROMPTS, config.projection_dim or config.hidden_size)
            readings.append(Reading(self._shape(hidden, dtype), self._shape(pooled, dtype)))
        arguments = (self._weights.unet, tuple(readings), prompts)
        condition = partial(arithmetic.condition, self._unet)
        return programs | {"condition": Program(mesh, condition, arguments, P())}

    def denoise(
        self,
        width_px: int,
        height_px: int,
        num_images: int,
        chunks: int = 1,
        said: UNetConditioning | None = None,
    ) -> dict[str, Program]:
        """By name the programs whose compiled forms `TextPrograms.of` takes; of a portrait those of
        its landscape.

        "guided" and "unguided", where each is a batch of another size; "either", which is told the
        number of prompts before its other arguments, where each prompt is a pass of its own or a
        device's own; "told" alone of a model that is told its guidance.

        said  what "condition" of `encode` returns, in shapes; None: it is traced to find out
        """
        mesh = make_mesh(self.devices, num_images)
        by_image = NamedSharding(mesh, P(IMAGES))
        sample, known = self._held(*_lying(width_px, height_px), num_images)
        count = sample.latents.shape[0]
        scalar, row = self._shape((), jnp.float32), self._shape((), jnp.int32)
        if said is None:
            condition = self.encode(chunks)["condition"]
            said = jax.eval_shape(condition.function, *condition.arguments)
        conditioning = jax.tree.map(lambda leaf: self._shape(leaf.shape, leaf.dtype), said)
        step_arguments = (
            self._shape((), jnp.bool_),
            self._weights.unet,
            sample,
            known,
            self._shape((), jnp.uint32),
            self._shape((count,), jnp.int32, by_image),
            conditioning,
            self._shape((MAX_PASSES, COLUMNS), jnp.float32),
            row,
            row,
            Guidance(scalar, scalar),
        )

        halves = mesh.shape[GUIDANCE]
        function = partial(arithmetic.denoise, self._unet, self.target, halves)
        if self._config.unet.time_cond_proj_dim:
            each = {"told": 1}
        elif halves > 1 or self.target.one_by_one:
            arguments = (row, *step_arguments)
            return {"either": Program(mesh, function, arguments, P(IMAGES), donated=(3,))}
        else:
            each = {"guided": PROMPTS, "unguided": 1}
        return {
            name: Program(mesh, partial(function, prompts), step_arguments, P(IMAGES), donated=(2,))
            for name, prompts in each.items()
        }

    def size(
        self, width_px: int, height_px: int, num_images: int, *, tiled: bool = False
    ) -> dict[str, Program]:
        """What depends on the size and not on the prompts: fields of `SizePrograms` by name.

        Of a portrait "encode_picture" and "decode" are those of its landscape.

        tiled  whether pictures go through the VAE in tiles, which takes less memory
        """
        mesh = make_mesh(self.devices, num_images)
        latents = self._latents(width_px, height_px, num_images)
        scalar, whole = self._shape((), jnp.float32), self._shape((), jnp.int32)
        seed = self._shape((), jnp.uint32)
        indices = self._shape((latents.shape[0],), jnp.int32, NamedSharding(mesh, P(IMAGES)))
        start = Start(seed, indices, whole, seed, indices, scalar, latents, scalar)
        lying = _lying(width_px, height_px)
        vae, lying_latents = self._weights.vae, self._latents(*lying, num_images)
        factors = self._shape((latents.shape[-1] + 1, _RGB), jnp.float32)
        tiling = Tiling.in_four(*lying_latents.shape[1:3]) if tiled else None
        encode_picture = partial(arithmetic.encode_picture, self._vae, tiling)
        decode = partial(arithmetic.decode, self._vae, tiling)
        return {
            "begin": Program(mesh, arithmetic.begin, (start,), P(IMAGES)),
            "encode_picture": Program(mesh, encode_picture, (vae, self._pixels(*lying)), P()),
            "decode": Program(mesh, decode, (vae, lying_latents), P(IMAGES)),
            "preview": Program(mesh, arithmetic.preview, (factors, latents), P(IMAGES)),
        }

    def transposing(
        self, width_px: int, height_px: int, num_images: int, names: frozenset[str] = _NAMES
    ) -> dict[str, Program]:
        """What a portrait is drawn with beside its landscape's programs; nothing of other sizes.

        Of each program with a network `transposed` for the images that it is given, "_in" behind
        its name, and for what it returns, "_out"; and "unet_kernels" and "vae_kernels", which are
        the same for all portraits.

        names  of what is called, as in `Needs`
        """
        size, lying = (width_px, height_px), _lying(width_px, height_px)
        if size == lying:
            return {}
        mesh = make_mesh(self.devices, num_images)
        by_image = NamedSharding(mesh, P(IMAGES))
        held, (drawn, _) = self._held(*size, num_images), self._held(*lying, num_images)
        count, *latents = drawn.latents.shape
        picture = self._shape(tuple(latents), jnp.float32), self._shape((), jnp.bool_)
        levels = self._shape((count, *lying[::-1], _RGB), jnp.uint8, by_image)
        finite = self._shape((count,), jnp.bool_, by_image)
        images: dict[str, tuple[P, Any, Any]] = {
            "denoise": (P(IMAGES), held, drawn),
            "encode_picture": (P(), (self._pixels(*size),), picture),
            "decode": (P(IMAGES), (held[0].latents,), (levels, finite)),
        }
        everywhere = make_mesh(self.devices, len(self.devices))
        turn = partial(transposed_kernels, self.target.kernels)
        programs = {}
        for name, (network, called) in _LARGE.items():
            if not names & called:
                continue
            spec, given, returned = images[name]
            programs[f"{name}_in"] = Program(mesh, transposed, (given,), spec)
            programs[f"{name}_out"] = Program(mesh, transposed, (returned,), spec)
            leaves = jax.tree.leaves(getattr(self._weights, network))
            kernels = [leaves[place] for place in self._spatial(network)]
            programs[f"{network}_kernels"] = Program(everywhere, turn, (kernels,), P())
        return programs

    def compile_size(
        self,
        width_px: int,
        height_px: int,
        plan: Plan,
        most_images: int,
        encode: Mapping[int, Mapping[str, Future[Any]]],
        needs: Needs,
        begin: Callable[[Hashable, Program], Future[Executable]],
    ) -> SizePrograms:
        """Compile what draws images of one size.

        plan    how many are drawn at once, and whether the VAE takes them in tiles
        most_images
                see `SizePrograms`
        encode  those of `encode`, by the number of chunks
        begin   begins to compile a program, if none has begun under this key; several may be under
                way
        """
        size, lying = (width_px, height_px), _lying(width_px, height_px)
        num_images = plan.num_images
        others = self.size(*size, num_images, tiled=plan.tiled)
        by_size = {
            name: begin((name, plan[:2], lying if name in _LARGE else size), others[name])
            for name in sorted(needs.names & _BY_SIZE)
        }
        by_text = {}
        for chunks, own in encode.items():
            said = own["condition"].result().out_info
            programs = self.denoise(*size, num_images, chunks, said)
            names = needs.names & _BY_TEXT
            if names and not names <= programs.keys():  # one for both
                names = frozenset(programs)
            by_text[chunks] = {
                name: begin((name, chunks, plan[:2], lying), programs[name])
                for name in sorted(names)
            }
        upright, weights = self._upright(*size, num_images, needs, begin)
        texts = {
            chunks: TextPrograms.of(
                EncodePrograms(**_results(encode[chunks])),
                _results(compiled),
                upright.get("denoise"),
            )
            for chunks, compiled in by_text.items()
        }
        drawing = {
            name: upright[name](executable) if name in upright else executable
            for name, executable in _results(by_size).items()
        }
        by_image = NamedSharding(make_mesh(self.devices, num_images), P(IMAGES))
        return SizePrograms(
            self.padded(num_images), most_images, by_image, texts, **drawing, **weights
        )

    def plan(self, memory: Memory, size_px: tuple[int, int], num_images: int) -> Plan:
        """How so many images of a size are drawn on all devices together."""
        along = make_mesh(self.devices, num_images).shape[IMAGES]
        each = self.padded(num_images) // along
        plan = memory.plan(size_px, each)
        most = num_images if plan.num_images == each else plan.num_images * along
        return plan._replace(num_images=most)

    def _upright(
        self,
        width_px: int,
        height_px: int,
        num_images: int,
        needs: Needs,
        begin: Callable[[Hashable, Program], Future[Executable]],
    ) -> tuple[Mapping[str, Callable[[Executable], Executable]], Mapping[str, ForTransposed]]:
        """Of a portrait, what makes of its landscape's executables its own, by their names, and
        what makes the weights for them, by the network's name; of other sizes nothing.
        """
        size = width_px, height_px
        programs = self.transposing(*size, num_images, needs.names)
        # Kernels are the same for all sizes.
        begun = {
            name: begin((name, None if name in _KERNELS else (size, num_images)), program)
            for name, program in programs.items()
        }
        compiled = _results(begun)
        upright = {
            name: partial(
                Upright,
                images=len(programs[f"{name}_in"].arguments[0]),
                lay_down=compiled[f"{name}_in"],
                stand_up=compiled[f"{name}_out"],
            )
            for name in _LARGE
            if f"{name}_in" in compiled
        }
        weights = {
            network: ForTransposed(self._spatial(network), compiled[name])
            for name, network in _KERNELS.items()
            if name in compiled
        }
        return upright, weights

    def padded(self, num_images: int) -> int:
        """How many images are drawn at once: those asked for, rounded up to fill the devices."""
        along: int = make_mesh(self.devices, num_images).shape[IMAGES]
        return -(-num_images // along) * along

    def _prompts(self, chunks: int) -> Prompts:
        tokens, encoders = self._config.text_encoder.max_position_embeddings, len(TOKENIZER_FOLDERS)
        texts = PROMPTS * chunks
        return Prompts(
            token_ids=self._shape((encoders, texts + 1, tokens), jnp.int32),
            weights=self._shape((encoders, texts, tokens), jnp.float32),
            interpolation=self._shape((), jnp.bool_),
            keep_negative=self._shape((), jnp.bool_),
            clip_skip=self._shape((), jnp.int32),
            time_ids=self._shape((TIME_IDS,), jnp.float32),
            guidance_scale=self._shape((), jnp.float32),
        )

    def _spatial(self, network: str) -> tuple[int, ...]:
        """Where the weights of a network have kernels that a portrait's are transposed of."""
        return spatial(getattr(self._weights, network), self.target.kernels)

    def _held(self, width_px: int, height_px: int, num_images: int) -> tuple[Sample, Known]:
        """What the sampling loop is given of pictures."""
        latents = self._latents(width_px, height_px, num_images)
        shown, sides = self._config.shown_channels, latents.shape[:-1]
        known = Known(
            latents,
            latents,
            self._shape((*sides, 1), jnp.bool_, latents.sharding),
            self._shape((*sides, shown), jnp.float32, latents.sharding) if shown else None,
        )
        return Sample(latents, latents, (latents,) * MEMORIES), known

    def _pixels(self, width_px: int, height_px: int) -> Any:  # noqa: ANN401 - as `_shape`
        """Those of one picture that is brought."""
        return self._shape((height_px, width_px, _RGB), jnp.float32)

    def _latents(self, width_px: int, height_px: int, num_images: int) -> Any:  # noqa: ANN401 - as `_shape`
        """Those of all images of a request."""
        vae, mesh = self._config.vae, make_mesh(self.devices, num_images)
        sides = height_px // vae.scale_factor, width_px // vae.scale_factor
        shape = (self.padded(num_images), *sides, vae.latent_channels)
        return self._shape(shape, jnp.float32, NamedSharding(mesh, P(IMAGES)))

    def _shape(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        sharding: NamedSharding | None = None,
    ) -> Any:  # noqa: ANN401 - an abstract array stands for the array it describes
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding or self.replicated)
