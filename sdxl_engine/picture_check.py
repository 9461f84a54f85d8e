"""The picture check: what finished pictures and previews show, said before anybody sees them.

A network of its own, with programs of its own, beside the model. It says, and decides nothing:
what follows from a score is for whoever shows pictures. Where it cannot say, there is no picture.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Self

import jax
import numpy as np
import numpy.typing as npt
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from PIL import Image

from sdxl_engine.checkpoint.hub import PUBLISHED_CHECK, find_check, published_check
from sdxl_engine.checkpoint.load import check_weights, load_weights, parameter_bytes
from sdxl_engine.checkpoint.parts import Part
from sdxl_engine.checkpoint.vision import SafetyCheckerConfig, VisionFolder
from sdxl_engine.devices import local_devices
from sdxl_engine.errors import PictureCheckError
from sdxl_engine.models.layers import PLAIN, Target
from sdxl_engine.models.vision import Classifier, SafetyChecker
from sdxl_engine.programs import looking
from sdxl_engine.programs.arithmetic import IMAGES, State
from sdxl_engine.programs.compiler import (
    Compile,
    Executable,
    Program,
    replicated,
    weights_dtype,
    working_bytes,
)
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

U8 = npt.NDArray[np.uint8]
Scores = Mapping[str, float]
FetchScores = Callable[[], Sequence[Scores]]

_RGB: Final = 3
_FAILED: Final = say(
    "The picture check failed, so nothing is shown. Try again; if that does not help, tell whoever "
    "runs the bot: the log has the cause."
)
_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def read_check(check: str, *, half: bool = False) -> tuple[VisionFolder, Part]:
    """What a check's JSON says, and its weights, which are not read yet.

    check  as `PictureCheck.load`
    half   as `find_model`

    Raises CheckpointError for all that loading would refuse.
    """
    folder = VisionFolder.read(find_check(check, half=half))
    part = Part.of_folder(folder.path, folder.part, half=half, alone=True)
    check_weights(part, network_of(folder, PLAIN))
    return folder, part


def network_of(folder: VisionFolder, target: Target) -> SafetyChecker | Classifier:
    """The network that a folder's JSON describes, shapes only."""
    if isinstance(folder.config, SafetyCheckerConfig):
        return SafetyChecker(folder.config, target)
    return Classifier(folder.config, target)


def size_of_check(check: str, dtype: np.dtype[Any]) -> int:
    """Bytes of a check's weights, loaded in this dtype; the published one need not be here.

    Raises CheckpointError.
    """
    folder = VisionFolder.read(published_check() if check == PUBLISHED_CHECK else find_check(check))
    return sum(size for _, size in parameter_bytes(network_of(folder, PLAIN), dtype))


class Looking:
    """Knows the programs of one check for one set of devices, as `Compiler` those of a model.

    weights  arrays, or shapes with a sharding
    """

    def __init__(
        self,
        folder: VisionFolder,
        network: SafetyChecker | Classifier,
        weights: State,
        devices: Sequence[jax.Device],
    ) -> None:
        self._processing = folder.processing
        self._definition = nnx.graphdef(network)
        self._everywhere = replicated(devices)
        self._weights: Any = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._everywhere),
            weights,
        )

    def programs(
        self, width_px: int, height_px: int, num_images: int, mesh: Mesh
    ) -> dict[str, Program]:
        """What `looking` has for this many pictures of this size: "fit" and "look".

        mesh  as that of the model's programs that draw as many
        """
        by_image = NamedSharding(mesh, P(IMAGES))
        side = self._processing.side_px

        def pictures(height: int, width: int) -> jax.ShapeDtypeStruct:
            shape = (num_images, height, width, _RGB)
            return jax.ShapeDtypeStruct(shape, np.uint8, sharding=by_image)

        matrices = tuple(
            jax.ShapeDtypeStruct((2, side, given), np.float32, sharding=self._everywhere)
            for given in (width_px, height_px)
        )
        look = partial(looking.look, self._definition, self._processing)
        return {
            "fit": Program(
                mesh, looking.fit, (*matrices, pictures(height_px, width_px)), P(IMAGES)
            ),
            "look": Program(mesh, look, (self._weights, pictures(side, side)), P(IMAGES)),
        }


class PictureCheck:
    """A check on its devices; made by `load`.

    Its weights stay there, or visit. `look` and what it returns may be called from any thread.

    name        of its folder or repository
    categories  what its scores are of
    """

    def __init__(
        self,
        name: str,
        folder: VisionFolder,
        network: SafetyChecker | Classifier,
        weights: State,
        devices: Sequence[jax.Device],
    ) -> None:
        self.name = name
        self.categories = folder.config.categories
        self._processing = folder.processing
        self._weights = weights
        self._everywhere = replicated(devices)
        self._looking = Looking(folder, network, weights, devices)
        self._fit: dict[tuple[int, ...], Callable[[jax.Array], jax.Array]] = {}
        self._look: dict[int, Executable] = {}
        self._by_image: dict[int, NamedSharding] = {}
        self._working_bytes = 0

    @classmethod
    def load(
        cls,
        check: str,
        *,
        dtype: str = "auto",
        devices: Sequence[jax.Device] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Put a check's weights on the devices.

        check  as `find_check`; a folder is in transformers' format, with either Stable Diffusion's
               safety checker or a vision transformer that classifies
        dtype, devices, on_progress  as `SdxlPipeline.load`

        Raises CheckpointError.
        """
        devices = tuple(devices or local_devices())
        platform = devices[0].platform
        own_dtype = weights_dtype(dtype, platform)
        half = own_dtype.itemsize < np.dtype(np.float32).itemsize
        folder, part = read_check(check, half=half)
        network = network_of(folder, Target.of(devices[0]))
        everywhere, done = replicated(devices), 0

        def on_bytes(size: int) -> None:
            nonlocal done
            done += size
            if on_progress is not None:
                on_progress(done, part.size_bytes)

        weights = load_weights(
            part,
            network,
            dtype=own_dtype,
            place=lambda array: jax.device_put(array, everywhere),
            on_bytes=on_bytes,
        )
        return cls(check, folder, network, weights, devices)

    @property
    def size_bytes(self) -> int:
        """Of its weights."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._weights))

    @property
    def visits(self) -> bool:
        """Whether its weights live on the host."""
        return any(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(self._weights))

    def visit(self) -> None:
        """Have its weights on the host, from where they go to the devices with each look."""
        self._weights = jax.tree.map(np.asarray, self._weights)

    @property
    def working_bytes(self) -> int:
        """What looking takes of each device beside the weights, by the compiler's figures."""
        return self._working_bytes

    def warm_up(
        self,
        width_px: int,
        height_px: int,
        num_images: int,
        mesh: Mesh,
        compile_: Compile = Program.compile,
    ) -> None:
        """Compile what looks at so many pictures of this size where they lie on the devices.

        mesh      as `Looking.programs`
        compile_  what compiles a program, or has it compiled already
        """
        by_image = NamedSharding(mesh, P(IMAGES))
        place = (num_images, height_px, width_px, _RGB)
        if place in self._fit and self._by_image[num_images] == by_image:
            return
        programs = self._looking.programs(width_px, height_px, num_images, mesh)
        across, down = (
            jax.device_put(
                looking.resizing(axis, self._processing.side_px, self._processing.filter),
                self._everywhere,
            )
            for axis in self._processing.placed(width_px, height_px)
        )
        fit = compile_(programs["fit"])
        self._fit[place] = partial(fit, across, down)
        if self._by_image.get(num_images) != by_image:
            self._look[num_images] = compile_(programs["look"])
            self._by_image[num_images] = by_image
        own = working_bytes(fit) + working_bytes(self._look[num_images])
        self._working_bytes = max(self._working_bytes, own)

    def look(self, pixels: jax.Array | U8) -> FetchScores:
        """Have pictures u8[n, height, width, 3] looked at; returns at once, or where weights visit
        when they have been.

        pixels  on the devices, as large and as many as `warm_up` was told; on the host of any size

        What it returns waits for the scores of each. Both raise PictureCheckError.
        """
        count = len(pixels)
        try:
            if isinstance(pixels, np.ndarray):
                scores = [self._run(batch) for batch in self._batches(pixels)]
            else:
                scores = [self._look[count](self._weights, self._fit[pixels.shape](pixels))]
            for each in scores:
                each.copy_to_host_async()
        except Exception as error:
            log.exception("the picture check %s failed", self.name)
            raise PictureCheckError(_FAILED) from error

        def fetch() -> list[Scores]:
            try:
                return self._told(np.concatenate([np.asarray(each) for each in scores]), count)
            except Exception as error:
                log.exception("the picture check %s failed", self.name)
                raise PictureCheckError(_FAILED) from error

        return fetch

    def _told(self, scores: npt.NDArray[Any], count: int) -> list[Scores]:
        """Raises ValueError for what are no scores of so many pictures."""
        if scores.shape[0] < count or scores.shape[1:] != (len(self.categories),):
            raise ValueError(f"the check's scores have the shape {scores.shape}")
        if not all(math.isfinite(score) and 0 <= score <= 1 for score in scores[:count].flat):
            raise ValueError("the check's scores are no numbers of 0 to 1")
        return [dict(zip(self.categories, map(float, row), strict=True)) for row in scores[:count]]

    def _run(self, batch: U8) -> jax.Array:
        placed = jax.device_put(batch, self._by_image[len(batch)])
        scores: jax.Array = self._look[len(batch)](self._weights, placed)
        return scores

    def _batches(self, pixels: U8) -> list[U8]:
        """Pictures of the host, fitted, as many at a time as are looked at at once."""
        most = max(self._look)
        fitted = np.stack([self._fitted(picture) for picture in pixels])
        missing = -len(fitted) % most
        filled = np.concatenate([fitted, np.repeat(fitted[-1:], missing, axis=0)])
        return np.split(filled, len(filled) // most)

    def _fitted(self, picture: U8) -> U8:
        """As `looking.fit`, of whatever size: nothing is compiled for it."""
        height, width, _ = picture.shape
        across, down = self._processing.placed(width, height)
        resampling, image = _FILTERS[self._processing.filter], Image.fromarray(picture)
        for size in ((across.resized, height), (across.resized, down.resized)):
            image = image.resize(size, resampling)
        side = self._processing.side_px
        box = across.first, down.first, across.first + side, down.first + side
        return np.asarray(image.crop(box))
