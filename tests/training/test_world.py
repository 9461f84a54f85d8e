"""The small world: its pictures are what the scenes say, its held-out combinations stay out."""

import random
from collections import Counter
from itertools import product

import numpy as np
import pytest
from world import (
    BACKGROUNDS,
    COLOURS,
    EXTENTS_PX,
    SIZES_PX,
    SUBJECTS,
    Scene,
    Thing,
    draw_background,
    draw_scene,
    is_held_out,
    is_visible,
    random_scene,
    smooth,
)

COMBINATIONS = list(product(SUBJECTS, COLOURS, BACKGROUNDS))


@pytest.mark.parametrize("size_px", SIZES_PX)
def test_a_scene_is_always_the_same_picture(size_px: tuple[int, int]) -> None:
    for seed in range(20):
        scene = random_scene(random.Random(seed), size_px)
        assert scene == random_scene(random.Random(seed), size_px)
        picture = draw_scene(scene)
        assert picture.shape == (size_px[1], size_px[0], 3)
        assert np.array_equal(picture, draw_scene(scene))


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("faces_left", [False, True])
def test_a_thing_is_drawn_where_it_is_said_to_be(subject: str, faces_left: bool) -> None:
    thing = Thing(subject, "red", 52.0, 70.0, 60.0, faces_left)
    scene = Scene("white", (thing,))
    touched = (draw_scene(scene) != draw_background("white")).any(axis=2)
    rows, columns = (np.flatnonzero(touched.any(axis=axis)) for axis in (1, 0))
    # Within its bounding square, give or take the tip of a star, and filling most of it.
    assert 52 - 34 <= columns[0] <= columns[-1] < 52 + 34
    assert 70 - 34 <= rows[0] <= rows[-1] < 70 + 34
    assert columns[-1] - columns[0] > 45
    assert rows[-1] - rows[0] > 30


def test_facing_and_mirroring_turn_the_picture() -> None:
    right = Thing("fish", "orange", 64.0, 64.0, 60.0)
    left = Thing("fish", "orange", 64.0, 64.0, 60.0, faces_left=True)
    drawn = [draw_scene(Scene("blue", (thing,))).astype(int) for thing in (right, left)]
    # Rasterising rounds edges the other way round; their smoothed pixels may differ a little.
    assert np.abs(drawn[0] - drawn[1][:, ::-1]).mean() < 2
    assert np.abs(drawn[0] - drawn[1]).mean() > 5
    assert np.array_equal(draw_background("sea"), draw_background("sea", mirrored=True)[:, ::-1])


def test_a_party_hat_is_on_top() -> None:
    for subject in ("fish", "dolphin"):
        bare = Thing(subject, "green", 64.0, 74.0, 66.0)
        dressed = Thing(subject, "green", 64.0, 74.0, 66.0, hat=True)
        added = (draw_scene(Scene("white", (bare,))) != draw_scene(Scene("white", (dressed,)))).any(
            axis=2
        )
        rows = np.flatnonzero(added.any(axis=1))
        assert rows[0] < 74 - 33
        assert rows[-1] < 74 + 5


def test_things_stand_out_and_do_not_overlap() -> None:
    for seed in range(2_000):
        scene = random_scene(random.Random(seed), SIZES_PX[seed % 3])
        assert all(is_visible(thing.colour, scene.background) for thing in scene.things)
        for thing in scene.things:
            assert thing.extent_px / 2 <= thing.x <= scene.width_px - thing.extent_px / 2
            assert thing.extent_px / 2 <= thing.y <= scene.height_px - thing.extent_px / 2
            assert thing.extent_name in EXTENTS_PX
        if len(scene.things) == 2:
            first, second = scene.things
            apart = max(abs(first.x - second.x), abs(first.y - second.y))
            assert apart > (first.extent_px + second.extent_px) / 2 * 0.9


def test_held_out_combinations_are_never_trained_and_their_parts_are() -> None:
    held = [c for c in COMBINATIONS if is_held_out(*c)]
    assert 0.1 < len(held) / len(COMBINATIONS) < 0.15
    seen = Counter(
        (thing.subject, thing.colour, scene.background)
        for seed in range(20_000)
        for scene in [random_scene(random.Random(seed))]
        for thing in scene.things
    )
    assert not any(seen[c] for c in held)
    for pick in ((0, 1), (0, 2), (1, 2)):
        pairs = {tuple(c[i] for i in pick) for c in seen}
        held_pairs = {tuple(c[i] for i in pick) for c in held if is_visible(c[1], c[2])}
        assert held_pairs <= pairs


def test_a_smooth_curve_goes_through_its_points() -> None:
    points = [(0.0, 0.0), (1.0, 0.2), (0.8, 1.0), (-0.1, 0.7)]
    curve = smooth(points, between=10)
    assert len(curve) == 40
    assert np.allclose(curve[::10], points)
