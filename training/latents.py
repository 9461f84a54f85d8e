"""What the latents are, and the training scenes as latents.

The pictures of the small world are flat colours and crisp outlines, and that is what a latent says
of its patch. It is known before any network is trained, so the denoiser learns at once in its
final latent space, and the autoencoder is taught that space.
"""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import world
from safetensors.numpy import load_file, save_file
from scipy import ndimage
from tqdm import tqdm
from world import SIZES_PX, Scene, draw_mask, draw_scene, random_scene

FACTOR: Final = 8  # pixels a latent spans on one side, as in SDXL
CHANNELS: Final = 4
_FITTED_SCENES: Final = 3_000
_ASPECT_SHARES: Final = (0.6, 0.2, 0.2)  # most people ask for no size

OUTLINE_REACH_PX: Final = 16.0  # two latents: there is a slope wherever the outline passes near
_CLEAR_OF_THINGS_PX: Final = -14.0  # a little before OUTLINE_REACH_PX cuts the distance off

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class LatentSpace:
    """What the four latents of an 8x8 patch are: its mean colour, and where the outline is.

    The first three are principal components of mean colours. The last is the mean signed distance
    from the nearest thing's outline, positive inside, at most OUTLINE_REACH_PX either way. Over all
    pictures every latent has mean 0 and variance 1.

    mean   f32[CHANNELS]            of red, green and blue in -1..1, and of the distance in pixels
    basis  f32[CHANNELS, CHANNELS]  from differences to the mean to latents
    """

    def __init__(self, mean: F32, basis: F32) -> None:
        self.mean, self.basis = mean, basis

    @classmethod
    def fit(cls, count: int = _FITTED_SCENES) -> Self:
        """The space in which the world's own pictures have unit variance."""
        plain = np.concatenate([_plain(s).reshape(-1, CHANNELS) for s in scenes(range(count))])
        variances, vectors = np.linalg.eigh(np.cov(plain[:, :3].T))
        basis = np.zeros((CHANNELS, CHANNELS))
        basis[:3, :3] = (vectors / np.sqrt(variances))[:, ::-1]
        basis[3, 3] = 1 / plain[:, 3].std()
        return cls(plain.mean(axis=0).astype(np.float32), basis.astype(np.float32))

    def latents(self, scene: Scene) -> F32:
        """f32[CHANNELS, height / 8, width / 8] of a scene's picture."""
        grid = (_plain(scene) - self.mean) @ self.basis
        # Safetensors writes the memory as it lies: a view would come back scrambled.
        latents: F32 = np.ascontiguousarray(grid.transpose(2, 0, 1))
        return latents

    def is_near_things(self, latents: F32) -> Mask:
        """Where there are things or their outlines, bool[n, 1, h, w] of f32[n, CHANNELS, h, w]."""
        far = (_CLEAR_OF_THINGS_PX - self.mean[3]) * self.basis[3, 3]
        near: Mask = latents[:, 3:] > far
        return near


def _plain(scene: Scene) -> F32:
    """Mean red, green, blue in -1..1 and mean distance in pixels, f32[h / 8, w / 8, CHANNELS]."""
    inside = draw_mask(scene)
    distance = _distance_px(inside) - _distance_px(~inside)
    near = distance.clip(-OUTLINE_REACH_PX, OUTLINE_REACH_PX)
    pixels = draw_scene(scene).astype(np.float32) / 127.5 - 1
    everything = np.concatenate([pixels, near[..., None]], axis=2)
    height, width = inside.shape
    patches = everything.reshape(height // FACTOR, FACTOR, width // FACTOR, FACTOR, CHANNELS)
    mean: F32 = patches.mean(axis=(1, 3))
    return mean


def _distance_px(inside: Mask) -> F32:
    """From the middle of each pixel that is inside to the border, 0 outside; f32[h, w]."""
    if inside.all():
        return np.full(inside.shape, OUTLINE_REACH_PX, np.float32)
    distance: F32 = ndimage.distance_transform_edt(inside).astype(np.float32)
    within: F32 = np.maximum(distance - np.float32(0.5), 0)
    return within


def scenes(seeds: Sequence[int]) -> list[Scene]:
    """The training scenes of these seeds; a seed's scene and size are always the same."""
    return [_scene(seed) for seed in seeds]


def _scene(seed: int) -> Scene:
    rng = random.Random(seed)
    return random_scene(rng, rng.choices(SIZES_PX, _ASPECT_SHARES)[0])


class Album:
    """Training scenes and their latents, sorted by size; drawn once and kept on disk.

    by_size  size in pixels -> (scenes, f16[scenes, CHANNELS, height / 8, width / 8])
    """

    def __init__(self, folder: Path, count: int) -> None:
        # What was drawn by another world, or into another space, is not what is wanted now.
        sources = [world.__file__, __file__]
        digest = hashlib.sha256(b"".join(Path(path).read_bytes() for path in sources))
        folder = folder / f"album-{digest.hexdigest()[:12]}"
        self.space = _space(folder)
        everything = scenes(range(count))
        self.by_size: dict[tuple[int, int], tuple[list[Scene], npt.NDArray[np.float16]]] = {}
        for size in SIZES_PX:
            chosen = [s for s in everything if (s.width_px, s.height_px) == size]
            path = folder / f"latents-{size[0]}x{size[1]}-{count}.safetensors"
            if not path.exists():
                drawn = tqdm(chosen, f"drawing {size[0]}x{size[1]}", unit=" scenes")
                latents = [self.space.latents(s).astype(np.float16) for s in drawn]
                _save({"latents": np.stack(latents)}, path)
            self.by_size[size] = (chosen, load_file(path)["latents"])

    def batch(self, rng: random.Random, size: int) -> tuple[list[Scene], F32, Mask]:
        """Scenes of one image size.

        Returns the scenes, their latents f32[size, CHANNELS, h, w], and where those are near a
        thing, bool[size, 1, h, w].
        """
        group, latents = self.by_size[rng.choices(SIZES_PX, _ASPECT_SHARES)[0]]
        chosen = rng.sample(range(len(group)), size)
        drawn = latents[chosen].astype(np.float32)
        return [group[place] for place in chosen], drawn, self.space.is_near_things(drawn)


def _space(folder: Path) -> LatentSpace:
    path = folder / "space.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fitted = LatentSpace.fit()
        _save({"mean": fitted.mean, "basis": fitted.basis}, path)
    return LatentSpace(**load_file(path))


def _save(arrays: dict[str, npt.NDArray[Any]], path: Path) -> None:
    # A stop while writing leaves no half file behind under the name that is looked for.
    partial = path.with_suffix(".partial")
    save_file(arrays, partial)
    partial.replace(path)
