"""What drawing takes of a device's memory, and what gives way where that is short.

What a step needs stays on the devices. All else may live on the host and visit: it goes there with
the call that takes it, one call at a time. The fewer images are drawn at once, and the smaller the
tiles in which the VAE decodes, the less is worked in.

How much a program works in only its compiler knows, and what to load is to be known before it is
asked. So this estimates: weights are counted, and what is worked in is told by how many arrays as
large as the largest layer's a program holds at once. `imagine doctor --gpu` has the compiler's own
figures beside it.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.models.layers import Target
from sdxl_engine.sentence import all_of
from sdxl_engine.tiles import Tiling

# What is loaded and leaves together.
WORDS: Final = "words"  # the text encoders' tables
TEXT: Final = "text"  # the rest of them, and what the UNet makes of the text before the first step
UNET: Final = "unet"  # what its steps take
VAE: Final = "vae"
CHECK: Final = "check"  # the picture check
# What stays on the devices, the first that fits. Of the words a prompt takes a few rows.
EVERYTHING: Final = frozenset({TEXT, UNET, VAE, CHECK})
_LEVELS: Final = (EVERYTHING, EVERYTHING - {TEXT}, frozenset({UNET}))
_CALLED: Final = {TEXT: "the text encoders", VAE: "the VAE", CHECK: "the picture check"}
# By whose weights a program computes.
_GROUPS: Final = {
    **dict.fromkeys(("text_encoder", "text_encoder_2", "condition"), TEXT),
    **dict.fromkeys(("guided", "unguided", "either", "told"), UNET),
    **dict.fromkeys(("encode_picture", "decode"), VAE),
    "look": CHECK,
}
# What the prompts say is computed anew where they change; with `[cat|dog]` it is the same two in
# turn.
KEPT_TEXTS: Final = 2
# Modules of the UNet that only `UNet.condition` reads.
_OF_TEXT: Final = frozenset({"to_kv", "add_embedding", "cond_proj"})


class _Held(NamedTuple):
    """How many arrays a program holds at once, by the compiler's figures for SDXL and a tenth more.

    denoise         as the UNet's first layer makes them, of each picture with each prompt
    decode          as the VAE's decoder makes them in its last level
    encode_picture  as its encoder does in its first
    dtype           of their numbers; None: that of the weights
    """

    denoise: float
    decode: float
    encode_picture: float
    dtype: Any = None


_MODERN: Final = _Held(11.8, 2.2, 3.3)
# Scores of attention are written down, and cards before Ampere have no bfloat16.
_PLAIN: Final = _Held(30.0, 2.8, 4.4, np.float32)
# Reading prompts, looking at pictures, and the libraries' own: the most that any of them took.
_BESIDE_BYTES: Final = 300_000_000


def group_of(part: str, path: tuple[Any, ...]) -> str:
    """Which of the groups a parameter of one of `Weights` belongs to."""
    names = set(map(str, path))
    if part == "vae":
        return VAE
    if part == "unet":
        return TEXT if names & _OF_TEXT else UNET
    return WORDS if "token_embedding" in names else TEXT


class Offer(NamedTuple):
    """What is going to be drawn.

    sizes_px    width and height of each size; none: the model's own
    num_images  of one request
    chunks      the most of a prompt
    """

    sizes_px: tuple[tuple[int, int], ...] = ()
    num_images: int = 4
    chunks: int = 1


class Plan(NamedTuple):
    """How images of one size are drawn.

    num_images  the most at once
    tiled       whether they go through the VAE in tiles
    bytes       that it takes of each device, as estimated, weights and all
    """

    num_images: int
    tiled: bool
    bytes: int


@dataclass(frozen=True)
class Memory:
    """What a model takes of each device, and how it makes do with what there is.

    config       the model's
    target       what it is loaded for
    dtype        of its weights
    weights      their bytes by part and group, with the picture check's
    offer        what is drawn, of `num_images` those that each device draws
    turned_bytes of the kernels that a portrait has a copy of
    limit_bytes  of a device, that it may take; None: there is room for all
    """

    config: SdxlConfig
    target: Target
    dtype: np.dtype[Any]
    weights: Mapping[tuple[str, str], int]
    offer: Offer
    turned_bytes: int = 0
    limit_bytes: int | None = None

    @cached_property
    def stays(self) -> frozenset[str]:
        """The groups that are on the devices all the time.

        As many as leave room for all images at once, decoded whole; or for more than any fewer do.
        """
        sizes_px = self.offer.sizes_px or (self.config.native_size,)

        def worst(stays: frozenset[str]) -> tuple[bool, bool, int]:
            plans = [self._plan(stays, size_px, self.offer.num_images) for size_px in sizes_px]
            most_bytes = max(plan.bytes for plan in plans)
            if not self._fits(most_bytes):
                return False, False, -most_bytes
            return True, *min((not plan.tiled, plan.num_images) for plan in plans)

        return max(_LEVELS, key=worst)

    @property
    def visitors(self) -> frozenset[str]:
        """The groups that live on the host and go to the devices when they are needed."""
        there = {group for (_, group), size in self.weights.items() if size}
        return (EVERYTHING - self.stays) & there

    def plan(self, size_px: tuple[int, int], num_images: int) -> Plan:
        """How to draw so many images on each device; the least that can be where nothing fits."""
        return self._plan(self.stays, size_px, num_images)

    def told(self, plan: Plan) -> str:
        """A plan in words, such as "all weights stay, 4 images at once"."""
        visitors = self.visitors
        away = [name for group, name in _CALLED.items() if group in visitors]
        weights = f"{all_of(away)} come when they are needed" if away else "all weights stay"
        images = f"{plan.num_images} images at once" if plan.num_images > 1 else "image by image"
        return f"{weights}, {images}{', decoded in tiles' if plan.tiled else ''}"

    def taken(
        self,
        stays: frozenset[str],
        size_px: tuple[int, int],
        num_images: int,
        *,
        tiled: bool = False,
    ) -> int:
        """Bytes of each device at the most, as estimated, where these groups stay there."""
        held = _MODERN if self.target.attention != "xla" else _PLAIN
        width = np.dtype(self.dtype if held.dtype is None else held.dtype).itemsize
        unet, vae = self.config.unet, self.config.vae
        pictures = 1 if self.target.one_by_one else 2 * num_images
        sides = [side // vae.scale_factor for side in size_px]
        pixels = math.prod(size_px) * (Tiling.in_four(*sides).share if tiled else 1)
        # Of the decoder's last level the first layer has as many channels as the level before.
        wide = vae.block_out_channels[:2][-1]
        denoise = held.denoise * pictures * math.prod(sides) * unet.block_out_channels[0]
        decode = held.decode * pixels * wide
        encode_picture = held.encode_picture * pixels * vae.block_out_channels[0]
        denoise, seen = denoise * width, max(decode, encode_picture) * width
        if stays == EVERYTHING:  # a request is decoded while the next one is begun
            working = denoise + seen
        else:
            # One at a time, with what visits for it: of the text a part at a time.
            visits = [
                size + (seen if group == VAE else 0)
                for (_, group), size in self.weights.items()
                if group not in {*stays, WORDS}
            ]
            working = max(denoise, seen, *visits)
        kept = KEPT_TEXTS * self.said_bytes + (self.turned_bytes if sides[0] < sides[1] else 0)
        return int(self.resident_bytes(stays) + working + kept + _BESIDE_BYTES)

    def peak_bytes(self, given: Mapping[str, float], working: Mapping[str, float]) -> float:
        """The same by the compiler's figures.

        given    what each program takes as arguments; behind its name may stand a number
        working  what it takes beside them
        """
        # A portrait's, as long as it is drawn.
        turned = working.get("unet_kernels", 0)
        working = {name: size for name, size in working.items() if name != "unet_kernels"}
        if self.stays == EVERYTHING:  # two at a time, as above
            kept = KEPT_TEXTS * self.said_bytes + turned
            return self.resident_bytes(EVERYTHING) + kept + sum(sorted(working.values())[-2:])
        groups = {name: _GROUPS.get(name.split()[0], "") for name in working}
        return turned + max(
            self.resident_bytes(self.stays - {groups[name]})
            + given[name]
            + working[name]
            # One of them is what a step is given, or what is being read.
            + (KEPT_TEXTS - (groups[name] in {TEXT, UNET})) * self.said_bytes
            for name in working
        )

    @property
    def said_bytes(self) -> int:
        """Of what a request's two prompts say to the transformers of the UNet."""
        unet, channels = self.config.unet, self.config.unet.block_out_channels
        ways = [
            *zip(channels, unet.down_transformers, strict=True),
            (channels[-1], unet.mid_transformers),
            *zip(channels[::-1], unet.up_transformers, strict=True),
        ]
        features = sum(2 * dim * sum(blocks) for dim, blocks in ways)  # keys and values
        tokens = self.offer.chunks * self.config.text_encoder.max_position_embeddings
        return 2 * tokens * features * self.dtype.itemsize

    def resident_bytes(self, groups: Collection[str]) -> int:
        """Of the weights in these groups."""
        return sum(size for (_, group), size in self.weights.items() if group in groups)

    def _plan(self, stays: frozenset[str], size_px: tuple[int, int], num_images: int) -> Plan:
        plans = [
            Plan(images, tiled, self.taken(stays, size_px, images, tiled=tiled))
            for tiled in (False, True)
            for images in range(num_images, 0, -1)
        ]
        return next((one for one in plans if self._fits(one.bytes)), plans[-1])

    def _fits(self, size_bytes: int) -> bool:
        return self.limit_bytes is None or size_bytes <= self.limit_bytes
