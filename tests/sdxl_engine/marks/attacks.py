"""What is done to pictures on their way through chats, and pictures to do it to."""

import io
import math
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from world import draw_scene, random_scene

Attack = Callable[[Image.Image], Image.Image]
Draw = Callable[[int, int], Image.Image]

PREVIEW_SHARE: Final = 550 / 1024  # Discord shows 1,024 pixels in 550


def saved(picture: Image.Image, kind: str, quality: int) -> Image.Image:
    """As it comes out of a lossy file."""
    file = io.BytesIO()
    picture.save(file, kind, quality=quality)
    with Image.open(file) as opened:
        return opened.convert("RGB")


def scaled(picture: Image.Image, share: float) -> Image.Image:
    """Smaller, as everybody does it."""
    size_px = round(picture.width * share), round(picture.height * share)
    return picture.resize(size_px, Image.Resampling.LANCZOS)


def cropped(picture: Image.Image, left: float, top: float) -> Image.Image:
    """A fifth of the width and of the height gone, so much of it from the left and from above."""
    width_px, height_px = round(picture.width * 0.8), round(picture.height * 0.8)
    x, y = round(picture.width * left), round(picture.height * top)
    return picture.crop((x, y, x + width_px, y + height_px))


def half(picture: Image.Image) -> Image.Image:
    """Half the size."""
    return scaled(picture, 0.5)


ATTACKS: Final[Mapping[str, Attack]] = {
    "none": lambda picture: picture,
    "JPEG 75": partial(saved, kind="JPEG", quality=75),
    "WebP 75": partial(saved, kind="WEBP", quality=75),
    "WebP 60": partial(saved, kind="WEBP", quality=60),
    "half": half,
    "half, JPEG 75": lambda picture: saved(half(picture), "JPEG", 75),
    "crop": partial(cropped, left=0.1, top=0.1),
    "crop off centre": partial(cropped, left=0.17, top=0.02),
    "crop, JPEG 75": lambda picture: saved(cropped(picture, 0.13, 0.06), "JPEG", 75),
    "preview": lambda picture: saved(scaled(picture, PREVIEW_SHARE), "WEBP", 75),
}


def drawing(seed: int, side_px: int) -> Image.Image:
    """A scene as the embedded model learnt them."""
    scene = random_scene(random.Random(seed), (side_px, side_px))
    return Image.fromarray(draw_scene(scene))


def flat(seed: int, side_px: int) -> Image.Image:
    """White, black or any colour, or one that goes over into another."""
    rng = np.random.default_rng(seed)
    first = (np.full(3, 255.0), np.zeros(3), rng.uniform(0, 255, 3))[seed % 3]
    last = rng.uniform(0, 255, 3) if seed % 2 else first
    share = np.linspace(0, 1, side_px)[:, None, None]
    levels = np.broadcast_to(first * (1 - share) + last * share, (side_px, side_px, 3))
    return Image.fromarray(levels.astype(np.uint8))


def clouds(seed: int, side_px: int) -> Image.Image:
    """What has the spectrum of photographs, where power falls with the square of frequency."""
    rng = np.random.default_rng(seed)
    across, down = np.fft.rfftfreq(side_px), np.fft.fftfreq(side_px)
    frequency = np.hypot(down[:, None], across[None, :])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(rng.normal(size=(3, side_px, side_px)))
    waves = np.fft.irfft2((noise + 2 * noise[:1]) / frequency, s=(side_px, side_px))
    levels = 128 + rng.uniform(25, 60) * waves / waves.std()
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())


def texture(seed: int, side_px: int) -> Image.Image:
    """Gravel, grass: noise from edge to edge."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(size=(side_px, side_px, 1)) + 0.3 * rng.normal(size=(side_px, side_px, 3))
    grain = gaussian_filter(grain, (rng.uniform(0, 1.5),) * 2 + (0,))
    levels = 128 + rng.uniform(15, 50) * grain / grain.std()
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


KINDS: Final[Mapping[str, Draw]] = {
    "drawing": drawing,
    "flat": flat,
    "clouds": clouds,
    "texture": texture,
}


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio of two pictures."""
    error = np.square(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean()
    return 10 * math.log10(255**2 / error) if error else math.inf
