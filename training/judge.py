"""Says what a picture of the small world shows, without a network.

The background is the one whose clean drawing lies nearest; what differs from it are things; a
thing's colour is the commonest in it, and its subject is read from its outline by a small kernel
classifier that learns from the world's own drawings when it is made, in half a minute.

    python training/judge.py        its accuracy on fresh drawings

It looks at outlines, not at what is inside: a cat without eyes is a cat. Spots of less than
`_LEAST_PX` pixels it does not see, and a background that is nobody's is to it the nearest one.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from world import (
    BACKGROUNDS,
    COLOURS,
    HAT_BACKGROUNDS,
    HAT_WEARERS,
    SCENERIES,
    SUBJECTS,
    Pixels,
    Scene,
    draw_background,
    draw_scene,
    random_pair,
    random_single,
    visible_colours,
)

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_STANDS_OUT: Final = 42.0  # distance in RGB; the nearest two colours of the palette are 76 apart
_SAME_COLOUR: Final = 45.0
_FAR: Final = 60.0  # what is further off counts no more: it is a thing, not the background
_LEAST_PX: Final = 90  # smaller spots are a star or a cloud a little out of place, or a smudge
_TOGETHER_PX: Final = 2  # parts of one thing may be this far apart
_APART_PX: Final = 16.0  # so far is plainly to one side
_OUTLINE_PX: Final = 24
_FEATURES: Final = 2_500
_WIDTH: Final = 5.5  # of the kernel, in the distance of two outlines
_RIDGE: Final = 0.3  # of a Gram matrix whose diagonal is about 1,500
_DRAWN_A_KIND: Final = 220

UNKNOWN: Final = "unknown"
_LEAST_SCORE: Final = 0.4  # of a kind; true drawings have 0.7 to 1.06
_LEAST_SHARE: Final = 0.3  # of a thing's pixels that have its colour

Kind = tuple[str, bool]
"""A subject, and whether it wears a hat."""
_KINDS: Final[tuple[Kind, ...]] = (
    *((subject, False) for subject in SUBJECTS),
    *((subject, True) for subject in HAT_WEARERS),
)


@dataclass(frozen=True, slots=True)
class SeenThing:
    """One thing in a picture; x, y is the centre of its bounding box in pixels.

    Subject and colour are UNKNOWN where nothing in the world looks like it.
    """

    subject: str
    colour: str
    hat: bool
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a picture shows, the largest thing first."""

    background: str
    things: tuple[SeenThing, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a picture must show, and nothing beside it.

    things     (subject, colour, hat) of each
    direction  where the first is seen from the second, in x and y; (0, 0) does not matter
    """

    background: str
    things: tuple[tuple[str, str, bool], ...]
    direction: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """What a true drawing of a scene shows, wherever things are."""
        return cls(scene.background, tuple((t.subject, t.colour, t.hat) for t in scene.things))


def found(asked: Asked, seen: Seen) -> dict[str, bool]:
    """In which respects a picture shows what was asked for.

    subject, colour, background, hat  all its things, neither more nor fewer, are right in this
    order                             the two asked for are there and lie as asked; only where a
                                      direction was asked for and both are there
    all                               everything right
    """
    things = [(t.subject, t.colour, t.hat) for t in seen.things]
    right = {
        name: _same([t[place] for t in things], [t[place] for t in asked.things])
        for place, name in enumerate(("subject", "colour", "hat"))
    }
    right["background"] = seen.background == asked.background
    both = _same(things, asked.things)
    complete = all(right.values()) and both
    if any(asked.direction):
        if both:
            places = [seen.things[things.index(thing)] for thing in asked.things]
            along = asked.direction[0] * (places[0].x - places[1].x)
            along += asked.direction[1] * (places[0].y - places[1].y)
            right["order"] = along > _APART_PX
        complete = complete and right.get("order", False)
    return {**right, "all": complete}


def _same(seen: Sequence[object], asked: Sequence[object]) -> bool:
    return Counter(seen) == Counter(asked)


class Judge:
    """Looks at pictures; made by `train`."""

    def __init__(self, classify: Callable[[F32], Kind]) -> None:
        self._classify = classify

    @classmethod
    def train(cls, seed: int = 0, *, also: Sequence[str] = ()) -> Self:
        """Learn the outlines from fresh drawings; the same seed makes the same judge.

        also  subjects beside those that the model was trained on
        """
        rng = random.Random(seed)
        outlines, labels = [], []
        kinds = (*_KINDS, *((subject, False) for subject in also))
        for label, kind in enumerate(kinds):
            for _ in range(_DRAWN_A_KIND):
                mask = next(
                    iter(_masks(*_against_background(draw_scene(_scene_of(rng, kind))))), None
                )
                if mask is not None:
                    outlines.append(_outline(mask))
                    labels.append(label)
        return cls(_kernel_classifier(kinds, np.stack(outlines), np.array(labels), seed))

    def look(self, pixels: Pixels) -> Seen:
        """What u8[height, width, 3] shows."""
        background, distance = _against_background(pixels)
        return Seen(background, tuple(self._thing(pixels, m) for m in _masks(background, distance)))

    def _thing(self, pixels: Pixels, mask: Mask) -> SeenThing:
        subject, hat = self._classify(_outline(mask))
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        x, y = (columns[0] + columns[-1] + 1) / 2, (rows[0] + rows[-1] + 1) / 2
        return SeenThing(subject, _colour(pixels[mask]), hat, float(x), float(y))


def _scene_of(rng: random.Random, kind: Kind) -> Scene:
    subject, hat = kind
    background = rng.choice(HAT_BACKGROUNDS if hat else BACKGROUNDS)
    colour = rng.choice(visible_colours(background))
    return random_single(rng, subject, colour, background, hat=hat)


def _against_background(pixels: Pixels) -> tuple[str, F32]:
    """The background's name, and every pixel's distance from it in RGB, f32[height, width]."""
    height, width, _ = pixels.shape
    distances: dict[str, F32] = {}
    for name in BACKGROUNDS:
        # A sun on the left and a cloud on the left are both in order: what either way round has.
        ways = [
            draw_background(name, width, height, mirrored=mirrored)
            for mirrored in (False, True)[: 1 + (name in SCENERIES)]
        ]
        distances[name] = np.min([_distance(pixels, clean) for clean in ways], axis=0)
    nearest = min(distances, key=lambda name: np.minimum(distances[name], _FAR).sum())
    return nearest, distances[nearest]


def _distance(pixels: Pixels, others: Pixels | F32) -> F32:
    """Of colours along the last axis; `np.linalg.norm` takes six times as long along three."""
    square = np.square(pixels.astype(np.float32) - others)
    distance: F32 = np.sqrt(square[..., 0] + square[..., 1] + square[..., 2])
    return distance


def _masks(background: str, distance: F32) -> Iterable[Mask]:
    """Where the things are, the largest first."""
    # In a scenery a wave or a star may be a little off; its edges are one or two pixels wide.
    apart = distance > _STANDS_OUT
    kept = ndimage.binary_opening(apart, iterations=1 + (background in SCENERIES))
    near = ndimage.binary_dilation(kept, iterations=_TOGETHER_PX)
    labels, count = ndimage.label(near)
    masks = [(labels == label) & apart for label in range(1, count + 1)]
    return sorted((m for m in masks if m.sum() >= _LEAST_PX), key=lambda m: -int(m.sum()))


def _colour(pixels: Pixels) -> str:
    """The palette's colour that most pixels have."""
    palette = np.array(list(COLOURS.values()), np.float32)
    distances = _distance(pixels[:, None], palette)
    votes = (distances.argmin(axis=1), distances.min(axis=1) < _SAME_COLOUR)
    counts = np.bincount(votes[0], weights=votes[1], minlength=len(palette))
    if counts.max() < _LEAST_SHARE * len(pixels):
        return UNKNOWN
    return list(COLOURS)[int(counts.argmax())]


def _outline(mask: Mask) -> F32:
    """The bounding box of a mask, scaled to a small square, with its proportions: f32[features]."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    image = Image.fromarray(cut.astype(np.uint8) * 255)
    small = image.resize((_OUTLINE_PX, _OUTLINE_PX), Image.Resampling.BOX)
    proportion = np.log(cut.shape[1] / cut.shape[0]) * 4
    return np.append(np.asarray(small, np.float32).ravel() / 255, np.float32(proportion))


def _kernel_classifier(
    kinds: Sequence[Kind], outlines: F32, labels: npt.NDArray[np.int64], seed: int
) -> Callable[[F32], Kind]:
    """Ridge regression on random Fourier features (Rahimi and Recht 2007)."""
    rng = np.random.default_rng(seed)
    projection = rng.standard_normal((outlines.shape[1], _FEATURES)) / _WIDTH
    phase = rng.uniform(0, 2 * np.pi, _FEATURES)

    def features(values: F32) -> npt.NDArray[np.float64]:
        lifted: npt.NDArray[np.float64] = np.cos(values @ projection + phase)
        return lifted

    lifted = features(outlines)
    gram = lifted.T @ lifted + _RIDGE * np.eye(_FEATURES)
    weights = np.linalg.solve(gram, lifted.T @ np.eye(len(kinds))[labels])

    def classify(outline: F32) -> Kind:
        scores = features(outline) @ weights
        best = int(scores.argmax())
        return kinds[best] if scores[best] > _LEAST_SCORE else (UNKNOWN, False)

    return classify


def accuracy(judge: Judge, count: int, seed: int = 10**6) -> dict[str, float]:
    """Shares of fresh drawings in which the judge sees exactly what was drawn, by `found`.

    subject, colour, background, single  of `count` pictures of one thing; the last is everything
    hat                                  everything, of as many fish and dolphins, half with a hat
    pair                                 everything, of as many pictures of two things
    """
    rng = random.Random(seed)
    right: Counter[str] = Counter()

    def look(scene: Scene) -> dict[str, bool]:
        return found(Asked.of(scene), judge.look(draw_scene(scene)))

    for place in range(count):
        single = look(_scene_of(rng, (SUBJECTS[place % len(SUBJECTS)], False)))
        right.update(name for name in ("subject", "colour", "background") if single[name])
        right["single"] += single["all"]
        right["hat"] += look(_scene_of(rng, (HAT_WEARERS[place % 2], place % 4 < 2)))["all"]
        right["pair"] += look(random_pair(rng, rng.choice(BACKGROUNDS)))["all"]
    names = ("subject", "colour", "background", "single", "hat", "pair")
    return {name: right[name] / count for name in names}


def main() -> None:
    """Print the judge's accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_200)
    for name, share in accuracy(Judge.train(), parser.parse_args().count).items():
        print(f"{name:<12}{share:7.1%}")


if __name__ == "__main__":
    main()
