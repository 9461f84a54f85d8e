"""The Stable Diffusion XL pipeline: a request in, images out."""

import logging
import time
from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import jax
import numpy as np
import numpy.typing as npt

from sdxl_engine.canvas import canvas_of
from sdxl_engine.checkpoint.checkpoint import Checkpoint
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.embeddings import read_embeddings, with_rows
from sdxl_engine.checkpoint.hub import EMBEDDED_MODEL, embedded_loras
from sdxl_engine.checkpoint.load import check_weights, expected_parameters, load_weights
from sdxl_engine.devices import local_devices
from sdxl_engine.devices import memory_bytes as device_bytes
from sdxl_engine.drawing import Drawing, Seen, needed
from sdxl_engine.errors import InvalidRequestError, PictureCheckError
from sdxl_engine.hashes import SeenFile
from sdxl_engine.host_copy import HostCopy
from sdxl_engine.lora.folder import LoraFacts, LoraFolder
from sdxl_engine.lora.merging import Chosen, MergedWeights
from sdxl_engine.lora.names import PARTS
from sdxl_engine.memory import CHECK, Memory, Offer, Plan, group_of
from sdxl_engine.models.layers import PLAIN, Target
from sdxl_engine.picture_check import PictureCheck
from sdxl_engine.programs.arithmetic import IMAGES, Sample
from sdxl_engine.programs.compiler import (
    Alone,
    Compiler,
    Needs,
    Networks,
    Program,
    SizePrograms,
    Weights,
    make_mesh,
    replicated,
    weights_dtype,
    working_bytes,
)
from sdxl_engine.programs.kept import KeptPrograms
from sdxl_engine.programs.preview import preview_factors
from sdxl_engine.request import (
    MAX_CHUNKS,
    NO_PICTURES,
    QUANTISED,
    FetchImages,
    ImageRequest,
    Images,
    ModelCard,
    Pictures,
    Progress,
    format_size,
    name_of_model,
)
from sdxl_engine.sampling.noise import trained_sigmas
from sdxl_engine.sampling.samplers import Schedule, make_schedule
from sdxl_engine.sentence import say
from sdxl_engine.spans import Span, read_spans
from sdxl_engine.thread import sign_of_start
from sdxl_engine.tokenizer import PromptTokenizer
from sdxl_engine.upscaling import upscaled

log = logging.getLogger(__name__)

_NO_LORAS: Final = (
    'No LoRA can be chosen: [engine] quantise is "int8", and they are added to weights that are '
    "not rounded. Leave one of the two out."
)
_OFFER: Final = Offer()
# Programs that are compiled: while one is traced, in Python, the other is with the compiler, which
# is no Python. More would not be faster on few cores, and a large one takes gigabytes to compile.
_AT_ONCE: Final = 2


class Prepared(NamedTuple):
    """All of a model but its weights, and these found to be whole.

    told  what is not drawn as its files, or those beside it, ask for: a sentence each
    """

    checkpoint: Checkpoint
    tokenizer: PromptTokenizer
    networks: Networks
    factors: npt.NDArray[np.float32]
    loras: LoraFolder | None
    told: tuple[str, ...]

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        target: Target = PLAIN,
        *,
        loras: Path | None = None,
        embeddings: Path | None = None,
    ) -> "Prepared":
        """What loading needs to begin with; raises CheckpointError for all that it would refuse.

        target             what it is loaded for
        loras, embeddings  as `SdxlPipeline.load`
        """
        config = checkpoint.config
        factors = preview_factors(checkpoint.home, config.vae)
        learnt, unfit = ([], []) if embeddings is None else read_embeddings(embeddings, config)
        tokenizer = PromptTokenizer(checkpoint.home, config, learnt)
        networks = Networks.build(config, target)
        for name, part in checkpoint.parts.items():
            check_weights(part, getattr(networks, name))
        folder = None
        if loras is not None:
            parts = {part: expected_parameters(part, getattr(networks, part)) for part in PARTS}
            folder = LoraFolder(loras, parts)
        told = (*config.scheduler.told, *unfit, *tokenizer.unfit)
        return cls(checkpoint, tokenizer, networks, factors, folder, told)


class DrawingFiles(NamedTuple):
    """The files that a picture tells of, as they were loaded; None where there is not exactly one.

    unet  the file with the UNet, which for a model of one file is all of it
    vae   that of a VAE that took the place of the model's
    """

    unet: SeenFile | None = None
    vae: SeenFile | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint, *, own_vae: bool) -> "DrawingFiles":
        """Those of a checkpoint; its VAE's only if that is one of its own."""
        unet, vae = (
            _seen(files) for files in (checkpoint.parts[name].files for name in ("unet", "vae"))
        )
        return cls(unet, vae if own_vae else None)


def _seen(files: Collection[Path]) -> SeenFile | None:
    with suppress(OSError):  # gone already: loading says so
        return SeenFile.now(next(iter(files))) if len(files) == 1 else None
    return None


class SdxlPipeline:
    """A model on its devices, with the programs that draw.

    Made by `load`. Belongs to one thread, and draws one request at a time; only `check`, `card`,
    `tokenizer` and what fetches images may be called from others.

    tokenizer      of its prompts
    weights        of its networks with the last request's LoRAs, where they live (`Weights`), or on
                   the host alone where it has left
    told           see `Prepared`
    picture_check  looks at all that it draws; None: nobody does
    programs       by (width_px, height_px); models of equal `shapes` may have the same
    alone          whether its programs run one at a time, as they must where weights visit
    """

    def __init__(
        self,
        model_name: str,
        config: SdxlConfig,
        tokenizer: PromptTokenizer,
        weights: Weights,
        compiler: Compiler,
        memory: Memory,
        factors: npt.NDArray[np.float32],
        loras: LoraFolder | None = None,
        files: DrawingFiles | None = None,
        told: tuple[str, ...] = (),
        picture_check: PictureCheck | None = None,
        kept: KeptPrograms | None = None,
    ) -> None:
        self.model_name = model_name
        self.tokenizer = tokenizer
        self.weights = weights
        self.told = told
        self.picture_check = picture_check
        self._config = config
        self._compiler = compiler
        self._factors = factors
        self._kept = kept
        self._memory = memory
        self.alone = bool(memory.visitors)
        self.programs: dict[tuple[int, int], SizePrograms] = {}
        self._loras = loras
        self._files = files or DrawingFiles()
        self._drawn_with: dict[str, SeenFile] = {}  # the LoRAs, as they were last read
        self._host = HostCopy(weights, partial(jax.device_put, device=compiler.replicated))
        self._merged = None
        if loras is not None:
            self._merged = MergedWeights(weights, loras.expected, self._host)

    @classmethod
    def load(
        cls,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        quantise: str = "none",
        vae: str | None = None,
        unet: str | None = None,
        clip_skip: int | None = None,
        devices: Sequence[jax.Device] | None = None,
        loras: Path | None = None,
        embeddings: Path | None = None,
        picture_check: PictureCheck | None = None,
        kept: KeptPrograms | None = None,
        offer: Offer = _OFFER,
        memory_bytes: int | None = None,
        make_room: Callable[[int], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Put a model's weights on the devices.

        model        "doodle" (embedded), a folder in diffusers format, a .safetensors file with
                     the original's names, or "owner/name"
        revision     branch, tag or commit of a Hugging Face repository
        vae          a file or folder whose VAE takes the place of the model's
        unet         a file or folder whose UNet does
        clip_skip    which states of the text encoders condition the UNet, counted from the end:
                     2 is SDXL's own; None: what the card beside the model says, or 2
        dtype        "float32", "bfloat16", or "auto": bfloat16 on TPU and GPU, float32 on a CPU
                     (whose bfloat16 is slower)
        quantise     "int8": the UNet's transformers multiply in it, and take half the memory; no
                     LoRA can be merged then, and pictures differ a little. "none"
        devices      all local ones by default
        loras        the folder of LoRAs that requests may choose from; without one the embedded
                     model has its own
        embeddings   the folder of words learnt by textual inversion that prompts may hold
        picture_check
                     looks at all pictures and previews, on the same devices; several models may
                     have the same. None: nobody does, and they have no scores
        kept         where compiled programs are kept for the next start; None: nowhere
        offer        what is going to be drawn, so that what is short of memory can be known
        memory_bytes of each device, that this and the picture check may take (`memory`); None: as
                     much as the devices say that they have
        make_room    told the bytes that the weights will take on each device, before they are there
        on_progress  told (bytes read, bytes in all)

        Raises CheckpointError.
        """
        devices = tuple(devices or local_devices())
        own_dtype = weights_dtype(dtype, devices[0].platform)
        half = own_dtype.itemsize < 4  # noqa: PLR2004 - bytes of a float32
        source = Checkpoint.find(
            model, revision=revision, half=half, vae=vae, unet=unet, clip_skip=clip_skip
        )
        if quantise not in QUANTISED:
            choices = ", ".join(QUANTISED)
            raise InvalidRequestError(f"Nothing is quantised to {quantise!r}; choose of {choices}.")
        told = []
        if quantise != "none":
            # They would be added to weights that are rounded already.
            told = [] if loras is None else [_NO_LORAS]
            loras = None
        elif loras is None and model == EMBEDDED_MODEL:
            loras = embedded_loras()
        files = DrawingFiles.of(source, own_vae=vae is not None)
        target = replace(Target.of(devices[0]), quantised=quantise == "int8")
        ready = Prepared.of(source, target, loras=loras, embeddings=embeddings)
        sizes = ready.networks.size_bytes(own_dtype)
        if picture_check is not None:
            sizes["picture check", CHECK] = picture_check.size_bytes
        along = make_mesh(devices, offer.num_images).shape[IMAGES]
        offer = offer._replace(num_images=-(-offer.num_images // along))
        limit_bytes = device_bytes(devices) if memory_bytes is None else memory_bytes
        turned_bytes = ready.networks.kernels_bytes(own_dtype)
        memory = Memory(source.config, target, own_dtype, sizes, offer, turned_bytes, limit_bytes)
        if make_room is not None:
            make_room(memory.resident_bytes(memory.stays - {CHECK}))
        if picture_check is not None and CHECK not in memory.stays:
            picture_check.visit()
        everywhere = replicated(devices)
        weights = _load_weights(ready, own_dtype, everywhere, memory.stays, on_progress)
        for encoder, rows in zip(weights[:2], ready.tokenizer.rows, strict=True):
            if rows:
                table: Any = encoder["token_embedding"]["embedding"]
                table.set_value(with_rows(table.get_value(), rows))
        compiler = Compiler(source.config, ready.networks, weights, devices)
        return cls(
            model,
            source.config,
            ready.tokenizer,
            weights,
            compiler,
            memory,
            ready.factors,
            ready.loras,
            files,
            (*ready.told, *told),
            picture_check,
            kept,
        )

    def with_weights(self, weights: Weights) -> Self:
        """The same model with other weights of the same shapes; nothing of it is compiled yet."""
        devices = self._compiler.devices
        networks = Networks.build(self._config, self._compiler.target)
        compiler = Compiler(self._config, networks, weights, devices)
        return type(self)(
            self.model_name,
            self._config,
            self.tokenizer,
            weights,
            compiler,
            self._memory,
            self._factors,
            picture_check=self.picture_check,
            kept=self._kept,
        )

    @property
    def size_bytes(self) -> int:
        """Of its weights, on each device."""
        return self._host.size_bytes

    @property
    def working_bytes(self) -> int:
        """What drawing takes of each device beside the weights, by the compiler's figures.

        A picture is looked at while the next request is drawn.
        """
        resident = self._memory.resident_bytes(self._memory.stays)
        looking = 0 if self.picture_check is None else self.picture_check.working_bytes
        return max(map(self._peak_bytes, self.programs.values())) - resident + looking

    def _peak_bytes(self, programs: SizePrograms) -> int:
        named = programs.by_name()
        given = {name: one.memory_analysis().argument_size_in_bytes for name, one in named.items()}
        working = {name: working_bytes(one) for name, one in named.items()}
        return int(self._memory.peak_bytes(given, working))

    def leave(self) -> None:
        """Have its weights on the host alone, which keeps them from now on."""
        self._host.leave()
        if self._merged is not None:
            self._merged.forget()

    def arrive(self) -> None:
        """Have its weights on the devices again, without LoRAs."""
        self._host.arrive()

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the model was trained for."""
        return self._config.native_size

    @property
    def size_multiple_px(self) -> int:
        """Sides of its images must be multiples of this."""
        return self._config.size_multiple_px

    @property
    def loras(self) -> dict[str, LoraFacts]:
        """The LoRAs that requests may choose from, by name; also those with a problem."""
        return {} if self._loras is None else self._loras.facts()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The warm sizes, (width_px, height_px), in the order in which they were warmed."""
        return tuple(self.programs)

    @property
    def models(self) -> tuple[str, ...]:
        """The names that requests may call the model by."""
        return (name_of_model(self.model_name),)

    @property
    def trained_sigmas(self) -> npt.NDArray[np.float64]:
        """The noise levels that the model was trained with, f64[timesteps]."""
        return trained_sigmas(self._config.scheduler)

    @property
    def default_sampler(self) -> str:
        """What draws a request that names no sampler, one of `request.SAMPLERS`."""
        return self._config.scheduler.sampler

    @property
    def default_spacing(self) -> str:
        """How the noise levels lie in a request that names no spacing, of `request.SPACINGS`."""
        return self._config.scheduler.spacing

    @property
    def _most_chunks(self) -> int:
        """Of a prompt that is ready to be drawn; before anything is, of any."""
        known = [chunks for programs in self.programs.values() for chunks in programs.texts]
        return max(known, default=MAX_CHUNKS)

    def latent_shape(self, width_px: int, height_px: int) -> tuple[int, int, int]:
        """Height, width and channels of the latents of one image."""
        factor = self._config.vae.scale_factor
        return height_px // factor, width_px // factor, self._config.vae.latent_channels

    @property
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""
        devices = self._compiler.devices
        return f"{len(devices)} x {devices[0].device_kind}"

    def warm_up(
        self,
        sizes: Sequence[tuple[int, int]] = (),
        *,
        num_images: int = 4,
        chunks: int = 1,
    ) -> float:
        """Compile everything that requests of these sizes need; nothing is compiled afterwards.

        sizes       (width_px, height_px); the model's own if there are none
        num_images  the most images of one request
        chunks      the most chunks of one prompt, each as much as the text encoders read at once

        Returns the seconds it took. Raises InvalidRequestError for a size the model cannot draw, or
        a model that draws nothing here.
        """
        return self._warm_up(sizes or (self.native_size,), num_images, Needs.everything(chunks))

    def warm_up_for(self, requests: Sequence[ImageRequest]) -> float:
        """Compile what drawing these requests calls, without previews, and nothing else.

        A request that calls more is refused. Returns and raises as `warm_up`; also for prompts that
        no model reads.
        """
        sizes = [(request.width_px, request.height_px) for request in requests]
        each = map(self.resolved, requests)
        needs = [needed(one, read_spans(self.tokenizer, one, MAX_CHUNKS)) for one in each]
        most = max(request.num_images for request in requests)
        return self._warm_up(sizes, most, reduce(or_, needs))

    def _warm_up(self, sizes: Iterable[tuple[int, int]], num_images: int, needs: Needs) -> float:
        distinct = dict.fromkeys(sizes)
        for size in distinct:
            self._check_drawable(*size, num_images)
        plans = {size: self._compiler.plan(self._memory, size, num_images) for size in distinct}
        goes_on = sign_of_start()
        begin = time.perf_counter()
        pool = ThreadPoolExecutor(_AT_ONCE)

        begun: dict[Hashable, Future[Any]] = {}

        def compile_(key: Hashable, program: Program) -> Future[Any]:
            if key not in begun:
                begun[key] = pool.submit(self._compiled, program)
            return begun[key]

        try:
            encode = {
                chunks: {
                    name: compile_((name, chunks), program)
                    for name, program in self._compiler.encode(chunks).items()
                }
                for chunks in sorted(needs.chunks)
            }
            for size in distinct:
                goes_on()
                plan = plans[size]
                self.programs[size] = self._compiler.compile_size(
                    *size, plan, num_images, encode, needs, compile_
                )
                self._tell_memory(size, plan, num_images)
        finally:
            # What broke off is not to wait for all that was to be compiled after it.
            pool.shutdown(wait=False, cancel_futures=True)
        for size in distinct:
            if self.picture_check is not None:
                height, width, _ = self.latent_shape(*size)
                count = self.programs[size].num_images
                mesh = make_mesh(self._compiler.devices, plans[size].num_images)
                for own in (size, (width, height)) if "preview" in needs.names else (size,):
                    goes_on()
                    self.picture_check.warm_up(*own, count, mesh, self._compiled)
        return time.perf_counter() - begin

    def _tell_memory(self, size_px: tuple[int, int], plan: Plan, num_images: int) -> None:
        """Of a size that is compiled: what gives way for it, and whether there is room."""
        limit = self._memory.limit_bytes
        if limit is None:
            return
        taken = self._peak_bytes(self.programs[size_px])
        told = format_size(*size_px), self._memory.told(plan), taken / 1e9
        if taken > limit:
            log.warning(
                "%s: %s, which takes %.1f GB of each device, and there are %.1f. Offer smaller "
                "sizes, or see what [engine] memory and quantise can do",
                *told,
                limit / 1e9,
            )
        elif plan[:2] != (num_images, False) or self._memory.visitors:
            log.info("%s: %s, %.1f GB of each device", *told)

    def _compiled(self, program: Program) -> Any:  # noqa: ANN401 - an Executable
        compiled = program.compile() if self._kept is None else self._kept.compiled(program)
        return Alone(compiled) if self.alone else compiled

    def resolved(self, request: ImageRequest) -> ImageRequest:
        """With the model's own sampler where the request names none."""
        return replace(request, sampler=request.sampler or self.default_sampler)

    def card(self, request: ImageRequest) -> ModelCard:
        """What a picture of it says of the files that drew it.

        Any thread may ask, but no event loop: to hash the files takes seconds the first time.
        """
        unet, vae = self._files
        loras = {one.name: self._drawn_with.get(one.name) for one in request.loras}
        hashes = {name: file.lora_hash() for name, file in loras.items() if file is not None}
        return ModelCard(
            request.model or self.models[0],
            None if unet is None else unet.model_hash(),
            None if vae is None else vae.path.stem,
            None if vae is None else vae.model_hash(),
            {name: told for name, told in hashes.items() if told is not None},
            request.clip_skip or self._config.clip_skip,
        )

    @property
    def checks(self) -> tuple[str, ...]:
        """The categories of its pictures' scores; none where nobody looks at them."""
        return () if self.picture_check is None else self.picture_check.categories

    @property
    def shapes(self) -> tuple[object, ...]:
        """See `Compiler.shapes`; and the picture check, which is warm for one model's sizes."""
        return *self._compiler.shapes, self.picture_check

    def check(self, request: ImageRequest) -> None:
        """Raise InvalidRequestError if the request cannot be drawn here; costs no device time."""
        spans = self._checked(request)
        self._check_compiled(self._programs_for(request), needed(self.resolved(request), spans))

    def check_settings(self, request: ImageRequest) -> None:
        """The same, whatever is compiled yet."""
        self._checked(request)

    def _checked(self, request: ImageRequest) -> tuple[Span, ...]:
        """What its prompts say."""
        if request.model not in {None, *self.models}:
            raise InvalidRequestError(
                say(
                    "There is no model {model} here. Choose one of: {known}.",
                    model=repr(request.model),
                    known=", ".join(self.models),
                )
            )
        self._check_model_draws(request)
        self._chosen(request)
        self._clip_skip(request)
        spans = read_spans(self.tokenizer, request, self._most_chunks)
        self._schedule(self.resolved(request))
        return spans

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        latents: npt.NDArray[np.float32] | None = None,
        token_ids: npt.NDArray[np.int32] | None = None,
        previews: bool = False,
    ) -> Generator[Progress]:
        """Draw a request: progress some ten times on the way, the last to fetch the images with.

        pictures   those that the request starts from, by their content hashes
        latents    noise to start from instead of the seed's, f32[num_images, h, w, 4] of unit
                   variance
        token_ids  instead of those of the request's prompts, i32[2 prompts, 2 encoders, tokens],
                   the negative one first; without a negative prompt its row is zeroes to the UNet
        previews   whether progress carries small pictures of what is becoming

        Raises InvalidRequestError at once, before any device time. Closing the iterator stops.
        """
        chosen, drawing = self._prepared(request, pictures, latents, token_ids)
        # To look at each the picture check would have to come to the devices.
        previews = previews and CHECK not in self._memory.visitors
        needs = needed(drawing.request, drawing.spans, previews=previews)
        self._check_compiled(drawing.programs, needs)
        if request.upscale is not None:
            return self._upscale(chosen, drawing)
        return self._generate(chosen, drawing, previews=previews)

    def denoise(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        latents: npt.NDArray[np.float32] | None = None,
        token_ids: npt.NDArray[np.int32] | None = None,
    ) -> Iterator[tuple[int, Sample]]:
        """The sampling loop alone, as `Drawing.denoise`; arguments and errors as `generate`."""
        chosen, drawing = self._prepared(request, pictures, latents, token_ids)

        def steps() -> Iterator[tuple[int, Sample]]:
            self._choose(chosen)
            yield from drawing.denoise()

        return steps()

    def decode(self, request: ImageRequest, latents: jax.Array) -> FetchImages:
        """As `Drawing.decode`, of a request that starts from no picture."""
        _, drawing = self._prepared(request, NO_PICTURES, None, None)
        return drawing.decode(latents)

    def preview(self, request: ImageRequest, denoised: jax.Array) -> Images:
        """Small pictures, a pixel a latent, of an estimate of the images f32[n, h, w, 4].

        Raises PictureCheckError.
        """
        seen = self._programs_for(request).preview(self._factors, denoised)
        return Seen.of(seen, self.picture_check).images(request)

    def _prepared(
        self,
        request: ImageRequest,
        pictures: Pictures,
        latents: npt.NDArray[np.float32] | None,
        token_ids: npt.NDArray[np.int32] | None,
    ) -> tuple[list[Chosen], Drawing]:
        """The request's LoRAs, and all else that draws it; raises InvalidRequestError."""
        keep_negative = request.negative_prompt is not None or (
            token_ids is None and not self._config.zero_empty_negative
        )
        programs, request = self._programs_for(request), self.resolved(request)
        if token_ids is None:
            spans = read_spans(self.tokenizer, request, self._most_chunks)
        else:
            spans = (Span.of_tokens(token_ids, request.num_inference_steps),)
        if latents is not None:
            self._check_latents(request, latents)
        self._check_model_draws(request)
        return self._chosen(request), Drawing(
            request=request,
            programs=programs,
            weights=self.weights,
            schedule=self._schedule(request),
            spans=spans,
            keep_negative=keep_negative,
            clip_skip=self._clip_skip(request),
            empty=self.tokenizer.empty(),
            canvas=canvas_of(request, pictures),
            shape=self.latent_shape(request.width_px, request.height_px),
            inpaints=self._config.inpaints,
            everywhere=self._compiler.replicated,
            noise=latents,
            picture_check=self.picture_check,
        )

    def _generate(
        self, chosen: Sequence[Chosen], drawing: Drawing, *, previews: bool
    ) -> Generator[Progress]:
        request, parts = drawing.request, drawing.parts()
        total, first = request.num_inference_steps, request.steps.start
        self._choose(chosen)
        yield Progress(first, total)
        shown: Images = ()  # of the parts that are drawn
        fetches: list[FetchImages] = []
        for place, part in enumerate(parts):
            seen: Images = ()
            for step, sample in part.denoise():
                done = place * (total - first) + step - first
                if done < len(parts) * (total - first):
                    seen = self._previews(part, sample) if previews else ()
                    yield Progress(first + done // len(parts), total, (*shown, *seen))
            shown = (*shown, *seen)
            fetches.append(part.decode(sample.latents))
        drawing.forget_texts()
        yield Progress(total, total, fetch=partial(_together, fetches))

    def _previews(self, drawing: Drawing, sample: Sample) -> Images:
        """None where nobody could look at them: the pictures themselves will be looked at again."""
        try:
            return self.preview(drawing.request, sample.denoised)
        except PictureCheckError:
            log.warning("a preview is left out, for the picture check failed")
            return ()

    def _upscale(self, chosen: Sequence[Chosen], drawing: Drawing) -> Generator[Progress]:
        request, parts = drawing.request, drawing.parts()
        total = request.num_inference_steps
        first = min(request.steps.start, total - 1)
        self._choose(chosen)
        yield Progress(first, total)
        fetches: list[FetchImages] = []
        for place, part in enumerate(parts):
            for step, fetch in upscaled(part):
                if fetch is not None:
                    fetches.append(fetch)
                    continue
                done = place * (total - first) + step - first
                yield Progress(first + done // len(parts), total)
        yield Progress(total, total, fetch=partial(_together, fetches))

    def _choose(self, loras: Sequence[Chosen]) -> None:
        """Have the weights with these, and no others."""
        if self._merged is not None:
            self._merged.switch(loras)
        self._drawn_with |= {one.name: SeenFile(one.file.path, one.file.version) for one in loras}

    @property
    def edits(self) -> bool:
        """Whether it was trained to edit pictures in a way of its own, which nothing here does."""
        return self._config.edits

    def _check_trained_to_draw(self) -> None:
        if self.edits:
            raise InvalidRequestError(
                say(
                    "{model} was trained for editing: it sees a picture beside the noise, as "
                    "nothing here shows it. Choose another model.",
                    model=self.model_name,
                )
            )

    def _check_model_draws(self, request: ImageRequest) -> None:
        self._check_trained_to_draw()
        if self._config.inpaints and (request.source is None or request.upscale is not None):
            raise InvalidRequestError(
                say(
                    "{model} was trained for inpainting: it changes a picture that it is given. "
                    "Give it one and a mask, or choose another model.",
                    model=self.model_name,
                )
            )

    def _clip_skip(self, request: ImageRequest) -> int:
        own = self._config.text_encoder
        if request.clip_skip is None:
            return own.clip_skip
        most = min(own.num_hidden_layers, self._config.text_encoder_2.num_hidden_layers)
        if request.clip_skip > most:
            raise InvalidRequestError(
                say(
                    "Clip skip {clip_skip} is beyond the first of the {most} layers of this "
                    "model's smaller text encoder. Choose less; most models want 2.",
                    clip_skip=request.clip_skip,
                    most=most,
                )
            )
        return request.clip_skip

    def _chosen(self, request: ImageRequest) -> list[Chosen]:
        """The request's LoRAs, each of which fits the model; raises InvalidRequestError."""
        if self._loras is None and request.loras:
            raise InvalidRequestError(
                say(
                    "There is no LoRA {name} here: the engine was given no folder of LoRAs.",
                    name=repr(request.loras[0].name),
                )
            )
        return [
            Chosen(lora.name, self._loras.find(lora.name), lora.strength)
            for lora in request.loras
            if self._loras is not None
        ]

    def _programs_for(self, request: ImageRequest) -> SizePrograms:
        if not self.programs:
            raise InvalidRequestError("No size is compiled yet: warm_up comes first.")
        programs = self.programs.get((request.width_px, request.height_px))
        if programs is None:
            warm = ", ".join(format_size(*size) for size in self.sizes)
            raise InvalidRequestError(
                say(
                    "The size {size} is not ready here. Choose one of: {sizes}.",
                    size=format_size(request.width_px, request.height_px),
                    sizes=warm,
                )
            )
        if request.num_images > programs.most_images:
            raise InvalidRequestError(
                say(
                    "{number} images at once are more than the {most} this engine is ready for. "
                    "Ask for fewer.",
                    number=request.num_images,
                    most=programs.most_images,
                )
            )
        return programs

    @staticmethod
    def _check_compiled(programs: SizePrograms, needs: Needs) -> None:
        if not programs.serve(needs):
            raise InvalidRequestError(
                "This calls programs that are not ready here: they were made ready for other "
                "requests alone (warm_up_for). After warm_up all are."
            )

    def _schedule(self, request: ImageRequest) -> Schedule:
        return make_schedule(
            self._config.scheduler,
            request.sampler or self.default_sampler,
            request.spacing,
            request.num_inference_steps,
            request.timesteps,
            # An upscale at strength 0 takes no step; its table is that of the last one.
            min(request.steps.start, request.num_inference_steps - 1),
        )

    def _check_drawable(self, width_px: int, height_px: int, num_images: int) -> None:
        self._check_trained_to_draw()
        ImageRequest("any", width_px=width_px, height_px=height_px, num_images=num_images)
        multiple = self.size_multiple_px
        if width_px % multiple or height_px % multiple:
            raise InvalidRequestError(
                say(
                    "{model} draws sizes that are multiples of {multiple} pixels, not {size}. Its "
                    "own size is {native}.",
                    model=self.model_name,
                    multiple=multiple,
                    size=format_size(width_px, height_px),
                    native=format_size(*self.native_size),
                )
            )

    def _check_latents(self, request: ImageRequest, latents: npt.NDArray[np.float32]) -> None:
        wanted = (request.num_images, *self.latent_shape(request.width_px, request.height_px))
        if latents.shape != wanted:
            raise InvalidRequestError(f"The latents must be {wanted}, not {latents.shape}.")


def _together(fetches: Iterable[FetchImages]) -> Images:
    return tuple(image for fetch in fetches for image in fetch())


def _load_weights(
    ready: Prepared,
    dtype: np.dtype[Any],
    everywhere: jax.sharding.NamedSharding,
    stays: Collection[str],
    on_progress: Callable[[int, int], None] | None,
) -> Weights:
    done, total = 0, ready.checkpoint.size_bytes

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        if on_progress is not None:
            on_progress(done, total)

    def visits(part: str, path: tuple[Any, ...]) -> bool:
        return group_of(part, path) not in stays

    return Weights(
        **{
            name: load_weights(
                part,
                getattr(ready.networks, name),
                dtype=dtype,
                place=lambda array: jax.device_put(array, everywhere),
                visits=partial(visits, name),
                on_bytes=on_bytes,
            )
            for name, part in ready.checkpoint.parts.items()
        }
    )
