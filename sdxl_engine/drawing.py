"""One request on its way through the programs: from its prompts and its picture to pixels."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise, repeat
from typing import Final, TypeVar

import jax
import numpy as np
import numpy.typing as npt

from sdxl_engine.canvas import Canvas, composited, latent_mask, masked_pixels, pixels
from sdxl_engine.errors import DrawError
from sdxl_engine.memory import KEPT_TEXTS
from sdxl_engine.models.unet import UNetConditioning
from sdxl_engine.picture_check import FetchScores, PictureCheck
from sdxl_engine.programs.arithmetic import Guidance, Known, Prompts, Sample, Start
from sdxl_engine.programs.compiler import Needs, SizePrograms, TextPrograms, Weights
from sdxl_engine.request import FetchImages, GeneratedImage, ImageRequest, Images
from sdxl_engine.sampling.samplers import Schedule
from sdxl_engine.sampling.table import MEMORIES
from sdxl_engine.sentence import say
from sdxl_engine.spans import Span

F32 = npt.NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)

SEGMENTS: Final = 10  # how often a request reports: often enough to watch and to cancel
_NO_PICTURE: Final = say(
    "The model computed numbers that are no picture. Try again with another seed; if that does not "
    "help, its files are damaged: fetch it again."
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Pixels, and what the picture check says of the same pixels: the one way to images.

    Made by `of`.

    pixels  u8[n, height, width, 3], on the devices or the host
    scores  what fetches them; None: nobody looks at pictures here
    """

    pixels: jax.Array | npt.NDArray[np.uint8]
    scores: FetchScores | None

    @classmethod
    def of(cls, pixels: jax.Array | npt.NDArray[np.uint8], check: PictureCheck | None) -> "Seen":
        """Have them looked at; returns at once, and raises PictureCheckError."""
        return cls(pixels, None if check is None else check.look(pixels))

    def images(self, request: ImageRequest) -> Images:
        """As the images of a request, when they and their scores are there.

        Raises PictureCheckError.
        """
        scores = repeat(None) if self.scores is None else self.scores()
        drawn = np.asarray(self.pixels)[: request.num_images]
        height_px, width_px = drawn.shape[1:3]
        return tuple(
            GeneratedImage(index, request.seed, width_px, height_px, image.tobytes(), own)
            for index, (image, own) in enumerate(
                zip(drawn, scores, strict=False), start=request.first_index
            )
        )


@dataclass(frozen=True, slots=True)
class Drawing:
    """A request that is found to be drawable, and all that draws it.

    request        with the model's own sampler where it named none
    spans          what its prompts say
    keep_negative  False: zeroes in the place of all that the negative prompt says
    clip_skip      see `TextEncoder`
    empty          i32[2 encoders, tokens] of a text without words
    canvas         its picture, as large as its result; None: it starts from noise alone
    shape          height, width and channels of the latents of one image
    inpaints       whether the model was trained to see a mask
    everywhere     where arrays belong that are the same on every device
    picture_check  what looks at its pictures; None: nobody does
    noise          instead of the seed's, f32[num_images, h, w, c] of unit variance
    """

    request: ImageRequest
    programs: SizePrograms
    weights: Weights
    schedule: Schedule
    spans: tuple[Span, ...]
    keep_negative: bool
    clip_skip: int
    empty: npt.NDArray[np.int32]
    canvas: Canvas | None
    shape: tuple[int, int, int]
    inpaints: bool
    everywhere: jax.sharding.Sharding
    picture_check: PictureCheck | None
    noise: F32 | None = None
    _texts: dict[bytes, UNetConditioning] = field(default_factory=dict)

    def parts(self) -> list["Drawing"]:
        """The same, as many images at a time as are drawn at once."""
        most, request = self.programs.num_images, self.request
        return [
            replace(
                self,
                request=replace(
                    request,
                    num_images=min(most, request.num_images - done),
                    first_index=request.first_index + done,
                ),
                noise=None if self.noise is None else self.noise[done : done + most],
            )
            for done in range(0, request.num_images, most)
        ]

    def denoise(self) -> Iterator[tuple[int, Sample]]:
        """The sampling loop: (steps done, sample) up to the last step.

        The sample lies on the devices, image k of the request at place k, and is gone with the
        next step.
        """
        sample, known = self._begun()
        arguments = self.same_in_all_steps(self.schedule.table)
        unet = self.programs.unet(self.weights.unet)
        for first, last, guided in segments(self.request, {span.end for span in self.spans}):
            texts, conditioning = self.said_at(first)
            denoise = texts.guided if guided else texts.unguided
            rows = (np.int32(self.schedule.row(step)) for step in (first, last))
            seed, indices, table, guidance = arguments
            sample = denoise(
                unet,
                sample,
                known,
                seed,
                indices,
                conditioning,
                table,
                *rows,
                guidance,
            )
            yield last, jax.block_until_ready(sample)

    def forget_texts(self) -> None:
        """Give back what the prompts said, with that of all parts."""
        self._texts.clear()

    def decode(self, latents: jax.Array) -> FetchImages:
        """Have the images drawn from their latents, and looked at; returns at once, or where
        weights visit when they are drawn.

        What it returns waits for them. It raises DrawError for numbers that are no picture: they
        would turn black without a word. Both raise PictureCheckError.
        """
        decoded = self._decoded(latents)
        # Straight from the device, behind what draws them. But what is laid over a picture that
        # somebody brought is to be seen as it will be shown.
        seen = self.seen(decoded[0]) if self.canvas is None else None

        def fetch() -> Images:
            drawn = _fetched(*decoded)[: self.request.num_images]
            whole = seen or self.seen(composited(self._brought, drawn))
            return whole.images(self.request)

        return fetch

    def decode_pixels(self, latents: jax.Array) -> Callable[[], npt.NDArray[np.uint8]]:
        """The same, of all places u8[n, height, width, 3], as the model drew them, seen by nobody.

        They are parts of pictures.
        """
        return partial(_fetched, *self._decoded(latents))

    def seen(self, pixels: jax.Array | npt.NDArray[np.uint8]) -> Seen:
        """Have finished pixels looked at; see `Seen.of`."""
        return Seen.of(pixels, self.picture_check)

    @property
    def _brought(self) -> Canvas:
        assert self.canvas is not None  # noqa: S101 - its callers have looked
        return self.canvas

    def _decoded(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Pixels, and whether they are finite, on their way from the devices."""
        vae = self.programs.vae(self.weights.vae)
        decoded: tuple[jax.Array, jax.Array] = self.programs.decode(vae, latents)
        for array in decoded:
            array.copy_to_host_async()  # as soon as it is there, not when somebody asks
        return decoded

    def encode_picture(self, shown: F32) -> F32:
        """Latents f32[h, w, c] of pixels f32[height, width, 3] in -1..1; raises DrawError."""
        vae = self.programs.vae(self.weights.vae)
        latents, finite = self.programs.encode_picture(vae, shown)
        if not finite:
            raise DrawError(_NO_PICTURE)
        return np.asarray(latents)

    def begin(self, under: F32, sigma: np.float32, draw: int = 0) -> tuple[jax.Array, jax.Array]:
        """The sample of all images on `under` f32[n, h, w, c], and its unit noise."""
        variation = self.request.variation
        start = Start(
            seed=self._placed(np.uint32(self.request.seed)),
            indices=self._indices(),
            draw=self._placed(np.int32(draw)),
            other=self._placed(np.uint32(0 if variation is None else variation.seed)),
            others=self._places(),
            variation=self._placed(np.float32(0 if variation is None else variation.strength)),
            latents=self.by_image(under),
            sigma=self._placed(sigma),
        )
        begun: tuple[jax.Array, jax.Array] = self.programs.begin(start)
        return begun

    def same_in_all_steps(self, table: F32) -> tuple[jax.Array, jax.Array, jax.Array, Guidance]:
        """What the loop is told in every step: seed, indices of the images, table, guidance."""
        request = self.request
        guidance = (request.guidance_scale, request.guidance_rescale)
        seed, placed = self._placed(np.uint32(request.seed)), self._placed(table)
        numbers = (self._placed(np.float32(number)) for number in guidance)
        return seed, self._indices(), placed, Guidance(*numbers)

    def said_at(self, step: int) -> tuple[TextPrograms, UNetConditioning]:
        """What the prompts say there to the UNet, and the programs that hear as much."""
        span = next(span for span in self.spans if step < span.end)
        programs = self.programs.texts[span.chunks]
        if span.key not in self._texts:
            if len(self._texts) == KEPT_TEXTS:
                del self._texts[next(iter(self._texts))]
            self._texts[span.key] = self._said(programs, span)
        return programs, self._texts[span.key]

    def _said(self, programs: TextPrograms, span: Span) -> UNetConditioning:
        request = self.request
        height, width = request.height_px, request.width_px
        token_ids, weights = span.texts(self.empty)
        prompts = Prompts(
            token_ids=self._placed(token_ids),
            weights=self._placed(weights),
            interpolation=self._placed(np.bool_(request.emphasis == "interpolation")),
            keep_negative=self._placed(np.bool_(self.keep_negative)),
            clip_skip=self._placed(np.int32(self.clip_skip)),
            time_ids=self._placed(np.array([height, width, 0, 0, height, width], np.float32)),
            guidance_scale=self._placed(np.float32(request.guidance_scale)),
        )
        return programs.encode(self.weights, token_ids, prompts)

    def by_image(self, array: npt.NDArray[np.generic]) -> jax.Array:
        """On the devices, each with the images that it draws."""
        placed: jax.Array = jax.device_put(array, self.programs.by_image)
        return placed

    def nothing_known(self) -> Known:
        """That all is painted, whatever the picture."""
        count = self.programs.num_images
        nothing = np.zeros((count, *self.shape), np.float32)
        latents, noise = self.by_image(nothing), self.by_image(nothing)
        painted = self.by_image(np.ones((count, *self.shape[:2], 1), np.bool_))
        return Known(latents, noise, painted, None)

    def _placed(self, array: npt.ArrayLike) -> jax.Array:
        """The same on every device."""
        placed: jax.Array = jax.device_put(array, self.everywhere)
        return placed

    def _begun(self) -> tuple[Sample, Known]:
        count, source = self.programs.num_images, self.request.source
        nothing = np.zeros((count, *self.shape), np.float32)
        known, under, sigma = self.nothing_known(), nothing, self.schedule.initial_sigma
        if self.canvas is not None and source is not None:
            picture = self._everywhere_alike(self.encode_picture(pixels(self.canvas)))
            # What is painted anew altogether knows nothing of what was there.
            if self.canvas.mask is None or source.strength < 1:
                under, sigma = picture, self.schedule.added_sigma
            known = self._known(known, picture)
        if self.noise is None:
            latents, noise = self.begin(under, sigma)
        else:
            own = nothing.copy()
            own[: len(self.noise)] = self.noise
            latents, noise = self.by_image(under + sigma * own), self.by_image(own)
        # Each in a place of its own: the program takes their memory.
        denoised, *memory = (self.by_image(nothing) for _ in range(1 + MEMORIES))
        return Sample(latents, denoised, tuple(memory)), known._replace(noise=noise)

    def _known(self, known: Known, picture: F32) -> Known:
        """What the canvas keeps, as the model is made for it."""
        assert self.canvas is not None  # noqa: S101 - its only caller has looked
        factor = self.canvas.pixels.shape[0] // self.shape[0]
        mask = np.ones((*self.shape[:2], 1), np.float32)
        if self.canvas.mask is not None:
            mask = latent_mask(self.canvas, factor)
        if self.inpaints:  # it sees what stays, and leaves it alone by itself
            left = self.encode_picture(masked_pixels(self.canvas))
            shown = self._everywhere_alike(np.concatenate([mask, left], axis=-1))
            return known._replace(shown=self.by_image(shown))
        painted = self._everywhere_alike(mask > 0)
        return known._replace(latents=self.by_image(picture), painted=self.by_image(painted))

    def _everywhere_alike(self, one: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
        """The same for every image."""
        return np.broadcast_to(one[None], (self.programs.num_images, *one.shape))

    def _places(self) -> jax.Array:
        """The index of the image at each place."""
        own = np.arange(self.programs.num_images, dtype=np.int32)
        return self.by_image(own + np.int32(self.request.first_index))

    def _indices(self) -> jax.Array:
        """The same, or that of the one image which all are to be like."""
        variation = self.request.variation
        if variation is None:
            return self._places()
        return self.by_image(np.full(self.programs.num_images, variation.index, np.int32))


def needed(request: ImageRequest, spans: Iterable[Span], *, previews: bool = False) -> Needs:
    """The programs that draw a request, whose prompts say this."""
    if not request.steps:  # an upscale that only scales
        return Needs(frozenset(), frozenset())
    names = {"begin", "decode"}
    guided = frozenset(request.guided_steps)
    names |= {"guided" if step in guided else "unguided" for step in request.steps}
    if request.source is not None:
        names.add("encode_picture")
    if previews:
        names.add("preview")
    return Needs(frozenset(names), frozenset(span.chunks for span in spans))


def segments(request: ImageRequest, cuts: Collection[int] = ()) -> Iterator[tuple[int, int, bool]]:
    """(first step, last step + 1, whether they are guided) of the calls that draw a request.

    cuts  steps before which a call must end
    """
    steps, guided = request.steps, request.guided_steps
    longest = -(-len(steps) // SEGMENTS)
    ends = {*steps[longest::longest], guided.start, guided.stop, *cuts, steps.stop}
    inside = sorted(end for end in ends if steps.start < end <= steps.stop)
    for first, last in pairwise((steps.start, *inside)):
        yield first, last, first in guided


def _fetched(pixels: jax.Array, finite: jax.Array) -> npt.NDArray[np.uint8]:
    decoded: npt.NDArray[np.uint8] = np.asarray(pixels)
    if not np.asarray(finite).all():
        raise DrawError(_NO_PICTURE)
    return decoded
