"""Latents by principal components: unit variance, and enough to see the picture by."""

import random
from pathlib import Path

import numpy as np
from latents import CHANNELS, FACTOR, Album, PatchComponents
from world import draw_scene, random_scene


def test_components_hold_the_pictures() -> None:
    components = PatchComponents.fit(count=300)
    # The basis over the deviations: its rows' inverse is the basis times the deviations.
    back = np.linalg.pinv(components.basis)
    latents, errors = [], []
    for seed in range(10**6, 10**6 + 100):
        pixels = draw_scene(random_scene(random.Random(seed), (160, 96)))
        of_picture = components.latents(pixels)
        assert of_picture.shape == (CHANNELS, 96 // FACTOR, 160 // FACTOR)
        latents.append(of_picture.reshape(CHANNELS, -1))
        patches = of_picture.reshape(CHANNELS, -1).T @ back + components.mean
        drawn = patches.reshape(96 // FACTOR, 160 // FACTOR, FACTOR, FACTOR, 3)
        drawn = drawn.transpose(0, 2, 1, 3, 4).reshape(96, 160, 3)
        errors.append(np.square(drawn - (pixels / 127.5 - 1)).mean())
    values = np.concatenate(latents, axis=1)
    assert np.abs(values.std(axis=1) - 1).max() < 0.15
    assert np.abs(np.corrcoef(values) - np.eye(CHANNELS)).max() < 0.15
    assert 10 * np.log10(4 / np.mean(errors)) > 20  # decibels; flat colours alone give 17


def test_an_album_keeps_what_it_drew(tmp_path: Path) -> None:
    Album(tmp_path, 40)
    album = Album(tmp_path, 40)  # from disk
    for size_px, (scenes, kept_latents) in album.by_size.items():
        assert len(scenes) == len(kept_latents) > 0
        for scene, kept in zip(scenes, kept_latents, strict=True):
            assert (scene.width_px, scene.height_px) == size_px
            drawn = album.components.latents(draw_scene(scene))
            assert np.abs(drawn - kept).max() < 0.01  # float16
    scenes, latents, things = album.batch(random.Random(1), 3)
    assert things.shape == (3, 1, *latents.shape[2:])
    assert 0.02 < things.mean() < 0.7
    assert latents.shape[:2] == (3, CHANNELS)
    assert latents.shape[2] * FACTOR == scenes[0].height_px
