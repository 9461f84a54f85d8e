"""The judge sees what was drawn, and says so when it is not there."""

import numpy as np
import pytest
from judge import UNKNOWN, Asked, Judge, accuracy, found
from world import Scene, Thing, draw_background, draw_scene


def test_it_is_right_about_true_drawings(judge: Judge) -> None:
    shares = accuracy(judge, 240)
    assert min(shares.values()) >= 0.97, shares


def test_it_says_in_what_a_picture_is_wrong(judge: Judge) -> None:
    things = (Thing("star", "yellow", 34.0, 60.0, 50.0), Thing("house", "red", 94.0, 66.0, 46.0))
    seen = judge.look(draw_scene(Scene("blue", things)))
    star, house = ("star", "yellow", False), ("house", "red", False)
    left_of, right_of = (-1, 0), (1, 0)
    assert found(Asked("blue", (star, house), left_of), seen)["all"]
    reversed_order = found(Asked("blue", (star, house), right_of), seen)
    assert (reversed_order["order"], reversed_order["all"]) == (False, False)
    assert reversed_order["subject"]
    swapped = found(Asked("blue", (("star", "red", False), ("house", "yellow", False))), seen)
    assert swapped["subject"]
    assert swapped["colour"]
    assert not swapped["all"]  # each is there, on the wrong thing
    lonely = found(Asked("blue", (star,)), seen)
    assert not lonely["subject"]
    assert "order" not in found(Asked("blue", (star, ("cat", "red", False)), left_of), seen)
    assert not found(Asked("sea", (star, house)), seen)["background"]


def test_it_sees_past_small_errors_of_colour(judge: Judge) -> None:
    scene = Scene("meadow", (Thing("cat", "black", 60.0, 66.0, 64.0),), mirrored=True)
    noise = np.random.default_rng(0).normal(0, 8, (128, 128, 3))
    seen = judge.look(np.clip(draw_scene(scene) + noise, 0, 255).astype(np.uint8))
    assert seen.background == "meadow"
    (cat,) = seen.things
    assert (cat.subject, cat.colour, cat.hat) == ("cat", "black", False)
    assert (cat.x, cat.y) == pytest.approx((60, 66), abs=3)


def test_it_sees_nothing_where_nothing_is(judge: Judge) -> None:
    assert judge.look(draw_background("pool")).things == ()
    assert judge.look(np.full((96, 160, 3), 250, np.uint8)).background == "white"


def test_it_does_not_know_what_it_was_not_taught(judge: Judge) -> None:
    rows, columns = np.mgrid[:128, :128]
    cross = (abs(rows - 64) < 8) | (abs(columns - 64) < 8)
    cross &= (abs(rows - 64) < 40) & (abs(columns - 64) < 40)
    ring = abs(np.hypot(rows - 64, columns - 64) - 34) < 7
    grey = (128, 130, 126)
    for shape in (cross, ring):
        (thing,) = judge.look(np.where(shape[:, :, None], grey, 250).astype(np.uint8)).things
        assert (thing.subject, thing.colour) == (UNKNOWN, UNKNOWN)


def test_two_things_are_two(judge: Judge) -> None:
    things = (
        Thing("star", "yellow", 34.0, 60.0, 50.0),
        Thing("house", "red", 94.0, 66.0, 46.0),
    )
    seen = judge.look(draw_scene(Scene("blue", things)))
    left, right = sorted(seen.things, key=lambda thing: thing.x)
    assert (left.subject, left.colour) == ("star", "yellow")
    assert (right.subject, right.colour) == ("house", "red")
