"""Latents by principal components, and the training scenes as latents.

A picture of the small world is flat colour and edges: four principal components of its 8x8 patches
hold nearly all of it. They are known before any network is trained, so the denoiser learns at
once in its final latent space, and the autoencoder is taught that space.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file
from tqdm import tqdm
from world import SIZES_PX, Pixels, Scene, draw_scene, random_scene

FACTOR: Final = 8  # pixels a latent spans on one side, as in SDXL
CHANNELS: Final = 4
_FITTED_SCENES: Final = 3_000
_ASPECT_SHARES: Final = (0.6, 0.2, 0.2)  # most people ask for no size

_PLAINLY: Final = 0.3  # standard deviations of a latent

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class PatchComponents:
    """The linear map from 8x8 patches to latents of unit variance, channel by channel.

    mean   f32[192]           of a patch, pixels in -1..1
    basis  f32[192, CHANNELS] principal components over their standard deviations
    """

    def __init__(self, mean: F32, basis: F32) -> None:
        self.mean, self.basis = mean, basis

    @classmethod
    def fit(cls, count: int = _FITTED_SCENES) -> Self:
        """Principal components of the world's own pictures."""
        patches = np.concatenate([_patches(draw_scene(s)) for s in scenes(range(count))])
        mean = patches.mean(axis=0)
        variances, vectors = np.linalg.eigh(np.cov((patches - mean).T))
        kept = slice(-1, -CHANNELS - 1, -1)
        basis = vectors[:, kept] / np.sqrt(variances[kept])
        return cls(mean.astype(np.float32), basis.astype(np.float32))

    def latents(self, pixels: Pixels) -> F32:
        """f32[CHANNELS, height / 8, width / 8] of one picture."""
        height, width, _ = pixels.shape
        flat = (_patches(pixels) - self.mean) @ self.basis
        grid = flat.reshape(height // FACTOR, width // FACTOR, CHANNELS)
        # Safetensors writes the memory as it lies: a view would come back scrambled.
        return np.ascontiguousarray(grid.transpose(2, 0, 1))


def _patches(pixels: Pixels) -> F32:
    height, width, colours = pixels.shape
    grid = pixels.reshape(height // FACTOR, FACTOR, width // FACTOR, FACTOR, colours)
    flat = grid.transpose(0, 2, 1, 3, 4).reshape(-1, FACTOR * FACTOR * colours)
    scaled: F32 = flat.astype(np.float32) / 127.5 - 1
    return scaled


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
        # What was drawn by another world is not what the captions say.
        world = hashlib.sha256(Path(draw_scene.__code__.co_filename).read_bytes()).hexdigest()
        folder = folder / f"album-{world[:12]}"
        self.components = _components(folder)
        self._empty: dict[Scene, F32] = {}
        everything = scenes(range(count))
        self.by_size: dict[tuple[int, int], tuple[list[Scene], npt.NDArray[np.float16]]] = {}
        for size in SIZES_PX:
            chosen = [s for s in everything if (s.width_px, s.height_px) == size]
            path = folder / f"latents-{size[0]}x{size[1]}-{count}.safetensors"
            if not path.exists():
                drawn = tqdm(chosen, f"drawing {size[0]}x{size[1]}", unit=" scenes")
                latents = [self.components.latents(draw_scene(s)).astype(np.float16) for s in drawn]
                _save({"latents": np.stack(latents)}, path)
            self.by_size[size] = (chosen, load_file(path)["latents"])

    def batch(self, rng: random.Random, size: int) -> tuple[list[Scene], F32, Mask]:
        """Scenes of one image size.

        Returns the scenes, their latents f32[size, CHANNELS, h, w], and where those show a thing
        rather than the background, bool[size, 1, h, w].
        """
        group, latents = self.by_size[rng.choices(SIZES_PX, _ASPECT_SHARES)[0]]
        chosen = rng.sample(range(len(group)), size)
        picked = [group[place] for place in chosen]
        drawn = latents[chosen].astype(np.float32)
        behind = np.stack([self._behind(replace(s, things=())) for s in picked])
        things = (np.abs(drawn - behind) > _PLAINLY).any(axis=1, keepdims=True)
        return picked, drawn, things

    def _behind(self, empty: Scene) -> F32:
        if empty not in self._empty:
            self._empty[empty] = self.components.latents(draw_scene(empty))
        return self._empty[empty]


def _components(folder: Path) -> PatchComponents:
    path = folder / "components.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fitted = PatchComponents.fit()
        _save({"mean": fitted.mean, "basis": np.ascontiguousarray(fitted.basis)}, path)
    return PatchComponents(**load_file(path))


def _save(arrays: dict[str, npt.NDArray[Any]], path: Path) -> None:
    # A stop while writing leaves no half file behind under the name that is looked for.
    partial = path.with_suffix(".partial")
    save_file(arrays, partial)
    partial.replace(path)
