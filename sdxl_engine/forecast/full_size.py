"""One model's production programs with abstract weights, for devices that need not be there."""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import published_check, sdxl_base
from sdxl_engine.checkpoint.names import own_dtype
from sdxl_engine.checkpoint.vision import SafetyCheckerConfig, VisionFolder
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.memory import CHECK, Memory, Offer
from sdxl_engine.models.layers import Target
from sdxl_engine.models.vision import SafetyChecker
from sdxl_engine.picture_check import Looking
from sdxl_engine.programs.arithmetic import IMAGES
from sdxl_engine.programs.compiler import (
    Compiler,
    EncodePrograms,
    Networks,
    Program,
    Weights,
    make_mesh,
    replicated,
)
from sdxl_engine.request import MAX_CHUNKS, QUANTISED, ImageRequest, parse_bytes

STEPS: Final = 20


class FullSize:
    """The programs of a model and of the published picture check, for one size of pictures.

    model       a folder in diffusers format; its weights are not read
    devices     of one kind
    target      what they are
    size_px     width and height of the images
    num_images  of a request
    chunks      the most chunks of a prompt
    limit_bytes of each device, see `Memory`

    Raises InvalidRequestError for a size or a number of images that nobody can ask for.
    """

    def __init__(
        self,
        model: Path,
        devices: Sequence[jax.Device],
        target: Target,
        size_px: tuple[int, int],
        num_images: int,
        chunks: int = 1,
        limit_bytes: int | None = None,
    ) -> None:
        width_px, height_px = size_px
        ImageRequest("any", width_px=width_px, height_px=height_px, num_images=num_images)
        if not 1 <= chunks <= MAX_CHUNKS:
            raise InvalidRequestError(f"A prompt has 1 to {MAX_CHUNKS} chunks, not {chunks}.")
        self.config = SdxlConfig.load(model)
        self.networks = Networks.build(self.config, target)
        self.devices = tuple(devices)
        self.size_px, self.chunks = size_px, chunks
        everywhere = replicated(self.devices)
        weights = Weights(
            *(
                abstract(nnx.state(getattr(self.networks, part)), everywhere)
                for part in Weights._fields
            )
        )
        self.compiler = Compiler(self.config, self.networks, weights, self.devices)
        check = VisionFolder.read(published_check())
        assert isinstance(check.config, SafetyCheckerConfig)  # noqa: S101 - the published one
        self.checker = SafetyChecker(check.config, target)
        checker_weights = abstract(nnx.state(self.checker), everywhere)
        self._looking = Looking(check, self.checker, checker_weights, self.devices)
        sizes = self.networks.size_bytes(np.dtype(jnp.bfloat16))
        sizes["picture check", CHECK] = _size_bytes(checker_weights)
        along = make_mesh(self.devices, num_images).shape[IMAGES]
        offer = Offer((size_px,), -(-num_images // along), chunks)
        bfloat16 = np.dtype(jnp.bfloat16)
        turned_bytes = self.networks.kernels_bytes(bfloat16)
        self.memory = Memory(self.config, target, bfloat16, sizes, offer, turned_bytes, limit_bytes)
        self.plan = self.compiler.plan(self.memory, size_px, num_images)
        self.mesh = make_mesh(self.devices, self.plan.num_images)
        self.parts = -(-num_images // self.plan.num_images)

    def programs(self) -> dict[str, Program]:
        """By name; of those for more than one chunk the number follows, such as "guided 2"."""
        programs: dict[str, Program] = {}
        images = self.plan.num_images
        for chunks in range(1, self.chunks + 1):
            each = self.compiler.encode(chunks)
            each |= self.compiler.denoise(*self.size_px, images, chunks)
            number = f" {chunks}" if chunks > 1 else ""
            programs |= {name + number: program for name, program in each.items()}
        at_once = self.compiler.padded(images)
        looking = self._looking.programs(*self.size_px, at_once, self.mesh)
        vae = self.compiler.size(*self.size_px, images, tiled=self.plan.tiled)
        return programs | vae | self.compiler.transposing(*self.size_px, images) | looking

    @property
    def images_each(self) -> int:
        """How many images a device draws at once."""
        images: int = self.compiler.padded(self.plan.num_images) // self.mesh.shape[IMAGES]
        return images

    def request_s(self, seconds: Mapping[str, float]) -> float:
        """All images of one request: encode, STEPS guided steps, decode, look at them.

        seconds  of each program; of those that denoise, of one step
        """
        # Of one program for both as it is with guidance; a model may be told its guidance.
        step_s = next(seconds[name] for name in ("guided", "either", "told") if name in seconds)
        each_s = STEPS * step_s + sum(seconds[name] for name in ("decode", "fit", "look"))
        return self.parts * each_s + sum(seconds[name] for name in EncodePrograms._fields)


def abstract(tree: Any, sharding: jax.sharding.NamedSharding) -> Any:  # noqa: ANN401 - pytrees
    """Arrays as a TPU or GPU holds them, in bfloat16 but for weights of a dtype of their own."""

    def one(path: Any, leaf: Any) -> Any:  # noqa: ANN401 - a key path, an abstract array
        names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
        dtype = own_dtype(names[-1] if names else "", jnp.bfloat16)
        return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(one, tree)


def arguments_of(description: str, devices: str, such_as: str) -> argparse.Namespace:
    """What a forecast was asked on the command line.

    devices, such_as  what its first argument is called, and an example
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(devices, help=f"such as {such_as}")
    parser.add_argument("--size", default="1024x1024")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--chunks", type=int, default=1, help="the most of a prompt, 1 to 4")
    parser.add_argument("--memory", type=_memory, help="of each, that may be taken; such as 8GB")
    parser.add_argument("--quantise", choices=QUANTISED, default="none")
    parser.add_argument("--model", type=Path, default=sdxl_base())
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _memory(text: str) -> int:
    try:
        return parse_bytes(text)
    except InvalidRequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def first_line(error: BaseException) -> str:
    """What jax or a compiler says, without the pages that may follow, and without a full stop."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0].rstrip(".")


def _size_bytes(tree: Any) -> int:  # noqa: ANN401 - a pytree
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
