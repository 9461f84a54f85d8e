"""A picture drawn anew, sharper and larger than the model's programs, in overlapping tiles.

Every pass through the model is made tile by tile, and what the tiles come to is blended before the
next (Bar-Tal et al. 2023, MultiDiffusion): so none goes a way of its own, and no seam is left. The
steps of a sampler are linear, so the blend of their results is that of the model's outputs.
Between the steps the picture holds the whole together, less and less (Du et al. 2024, DemoFusion).
"""

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from sdxl_engine.canvas import pixels
from sdxl_engine.drawing import F32, SEGMENTS, Drawing
from sdxl_engine.programs.arithmetic import Known, Sample
from sdxl_engine.request import FetchImages, Images
from sdxl_engine.sampling.table import LEFT, MAX_PASSES, MEMORIES, MODEL_COLUMNS, NOISE
from sdxl_engine.tiles import Tiling

# How fast the picture lets go: Du et al. 2024 (DemoFusion) have 3; with the embedded model 0.5 kept
# the subject in 8 and 3 in 6 of 12 pictures.
_LETS_GO: Final = 0.5
_NOISE_COLUMN: Final = MODEL_COLUMNS + NOISE


class _Large(NamedTuple):
    """What the loop holds of one image, on the host: as `Sample`, f32[h, w, c] each."""

    latents: F32
    denoised: F32
    memory: tuple[F32, ...]


def upscaled(drawing: Drawing) -> Iterator[tuple[int, FetchImages | None]]:
    """(steps done, None) on the way, and at last (all steps, what fetches the images).

    The canvas holds the picture as large as it shall become.
    """
    request, steps, canvas = drawing.request, drawing.request.steps, drawing.canvas
    assert canvas is not None  # noqa: S101 - a request for it has a picture
    if not steps:
        alone = np.stack([canvas.pixels] * request.num_images)
        yield request.num_inference_steps, lambda: drawing.seen(alone).images(request)
        return
    height, width, _ = drawing.shape
    factor = request.height_px // height
    tall, wide = (side // factor for side in canvas.pixels.shape[:2])
    tiling = Tiling.of(tall, wide, height, width)
    in_pixels = tiling.scaled(factor)
    loop = _Loop(drawing, tiling)
    picture = tiling.blend(
        np.stack([drawing.encode_picture(tile) for tile in in_pixels.cut(pixels(canvas))])
    )
    nothing = np.zeros_like(picture)
    fetches = []
    every = len(steps) * request.num_images
    longest = -(-every // SEGMENTS)
    for image in range(request.num_images):
        noise = loop.noise(0)[image]
        latents = picture + drawing.schedule.added_sigma * noise
        large = _Large(latents, nothing, (nothing,) * MEMORIES)
        for taken, step in enumerate(steps):
            large = loop.step(large, step, image)
            # Less and less is as the picture would be there: a tile alone takes a corner for more.
            held = (0.5 + 0.5 * math.cos(math.pi * (taken + 1) / len(steps))) ** _LETS_GO
            left = drawing.schedule.table[drawing.schedule.row(step + 1) - 1, LEFT]
            change = picture + left * noise - large.latents
            large = large._replace(latents=large.latents + np.float32(held) * change)
            done = image * len(steps) + taken + 1
            if done % longest == 0 and done < every:
                yield steps.start + done // request.num_images, None
        fetches.append(_decoded(drawing, in_pixels, tiling.cut(large.latents)))

    def fetch() -> Images:
        return drawing.seen(np.stack([fetch() for fetch in fetches])).images(request)

    yield steps.stop, fetch


class _Loop:
    """The sampling loop of one drawing over its tiles."""

    def __init__(self, drawing: Drawing, tiling: Tiling) -> None:
        self._drawing = drawing
        self._tiling = tiling
        # A tile's own noise would fade where it is blended with another's: it is added afterwards.
        table = drawing.schedule.table.copy()
        table[:, _NOISE_COLUMN] = 0
        self._unet = drawing.programs.unet(drawing.weights.unet)
        self._arguments = drawing.same_in_all_steps(table)
        self._known: Known = drawing.nothing_known()
        self._noises: tuple[int, F32] | None = None
        self._guided = frozenset(drawing.request.guided_steps)

    def noise(self, draw: int) -> F32:
        """Unit noise of each image, f32[n, h, w, c], put together of patches of a tile's size."""
        if self._noises is None or self._noises[0] != draw:
            self._noises = draw, self._patches(draw)
        return self._noises[1]

    def _patches(self, draw: int) -> F32:
        drawing, (tall, wide) = self._drawing, self._tiling.sides
        height, width, channels = drawing.shape
        under = np.zeros((drawing.programs.num_images, height, width, channels), np.float32)
        rows, columns = math.ceil(tall / height), math.ceil(wide / width)
        patches = [
            # Beyond all draws that a step may make.
            np.asarray(drawing.begin(under, np.float32(0), draw + patch * (MAX_PASSES + 1))[1])
            for patch in range(rows * columns)
        ]
        lines = [np.concatenate(patches[own], axis=2) for own in _batches(len(patches), columns)]
        return np.concatenate(lines, axis=1)[:, :tall, :wide]

    def step(self, large: _Large, step: int, image: int) -> _Large:
        """The sample after one step."""
        schedule = self._drawing.schedule
        for row in range(schedule.row(step), schedule.row(step + 1)):
            large = self._passed(large, step, row)
            scale = schedule.table[row, _NOISE_COLUMN]
            if scale:
                noisy = large.latents + scale * self.noise(row + 1)[image]
                large = large._replace(latents=noisy)
        return large

    def _passed(self, large: _Large, step: int, row: int) -> _Large:
        drawing = self._drawing
        programs, conditioning = drawing.said_at(step)
        denoise = programs.guided if step in self._guided else programs.unguided
        seed, indices, table, guidance = self._arguments
        leaves, structure = jax.tree.flatten(large)
        tiles = [self._tiling.cut(leaf) for leaf in leaves]
        count, num_tiles = drawing.programs.num_images, len(tiles[0])
        samples = []
        for batch in _batches(num_tiles, count):
            places = _filled(batch, count)
            own = [drawing.by_image(leaf[places]) for leaf in tiles]
            latents, denoised, *memory = own
            samples.append(
                denoise(
                    self._unet,
                    Sample(latents, denoised, tuple(memory)),
                    self._known,
                    seed,
                    indices,
                    conditioning,
                    table,
                    np.int32(row),
                    np.int32(row + 1),
                    guidance,
                )
            )
        each = [jax.tree.leaves(sample) for sample in samples]
        blended = [
            self._tiling.blend(np.concatenate([np.asarray(one) for one in leaf])[:num_tiles])
            for leaf in zip(*each, strict=True)
        ]
        after: _Large = jax.tree.unflatten(structure, blended)
        return after


def _decoded(
    drawing: Drawing, in_pixels: Tiling, tiles: F32
) -> Callable[[], npt.NDArray[np.uint8]]:
    count = drawing.programs.num_images
    fetches = [
        drawing.decode_pixels(drawing.by_image(tiles[_filled(batch, count)]))
        for batch in _batches(len(tiles), count)
    ]

    def fetch() -> npt.NDArray[np.uint8]:
        drawn = np.concatenate([fetch() for fetch in fetches])[: len(tiles)]
        return np.rint(in_pixels.blend(drawn.astype(np.float32))).astype(np.uint8)

    return fetch


def _batches(number: int, most: int) -> list[slice]:
    return [slice(first, min(first + most, number)) for first in range(0, number, most)]


def _filled(batch: slice, count: int) -> list[int]:
    """As many places as are drawn at once: the last one again where there are fewer."""
    places = [*range(batch.start, batch.stop)]
    return places + places[-1:] * (count - len(places))
