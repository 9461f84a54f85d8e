"""The latent space: unit variance, the colours and the outlines of the pictures."""

import random
from pathlib import Path

import numpy as np
from latents import CHANNELS, FACTOR, OUTLINE_REACH_PX, Album, LatentSpace
from world import Scene, Thing, draw_scene, random_scene


def test_latents_hold_colours_and_have_unit_variance() -> None:
    space = LatentSpace.fit(count=300)
    latents = []
    for seed in range(10**6, 10**6 + 100):
        scene = random_scene(random.Random(seed), (160, 96))
        of_scene = space.latents(scene)
        assert of_scene.shape == (CHANNELS, 96 // FACTOR, 160 // FACTOR)
        latents.append(of_scene.reshape(CHANNELS, -1))
        patches = of_scene.transpose(1, 2, 0) @ np.linalg.inv(space.basis) + space.mean
        pixels = draw_scene(scene).reshape(12, FACTOR, 20, FACTOR, 3)
        assert np.abs(patches[..., :3] - (pixels / 127.5 - 1).mean(axis=(1, 3))).max() < 1e-4
    values = np.concatenate(latents, axis=1)
    assert np.abs(values.std(axis=1) - 1).max() < 0.15
    assert np.abs(np.corrcoef(values) - np.eye(CHANNELS)).max() < 0.15


def test_the_last_latent_is_the_distance_to_the_outline() -> None:
    space = LatentSpace.fit(count=50)
    # A square from 30 to 98 pixels either way: 0.85 of its bounding square.
    latents = space.latents(Scene("white", (Thing("square", "red", 64, 64, 80),)))
    distance_px = latents[3] / space.basis[3, 3] + space.mean[3]
    middle_row = distance_px[8]
    assert abs(middle_row[0] + OUTLINE_REACH_PX) < 1e-3  # 22 pixels away or more
    assert abs(middle_row[3] - (28 - 30)) < 0.5  # the middle of its fourth patch is at 28
    assert abs(middle_row[4] - (36 - 30)) < 0.5
    assert abs(middle_row[8] - OUTLINE_REACH_PX) < 1e-3
    near = space.is_near_things(latents[None])[0, 0]
    assert near[3:13, 3:13].all()
    assert not near[0].any()
    everywhere = space.latents(Scene("white", ()))
    assert not space.is_near_things(everywhere[None]).any()


def test_an_album_keeps_what_it_drew(tmp_path: Path) -> None:
    Album(tmp_path, 40)
    album = Album(tmp_path, 40)  # from disk
    for size_px, (scenes, kept_latents) in album.by_size.items():
        assert len(scenes) == len(kept_latents) > 0
        for scene, kept in zip(scenes, kept_latents, strict=True):
            assert (scene.width_px, scene.height_px) == size_px
            assert np.abs(album.space.latents(scene) - kept).max() < 0.01  # float16
    scenes, latents, things = album.batch(random.Random(1), 3)
    assert things.shape == (3, 1, *latents.shape[2:])
    assert 0.02 < things.mean() < 0.7
    assert latents.shape[:2] == (3, CHANNELS)
    assert latents.shape[2] * FACTOR == scenes[0].height_px
