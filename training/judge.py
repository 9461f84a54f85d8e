"""Says what a picture of the small world shows, without a network.

The background is the one whose clean drawing lies nearest; what differs from it are things; a
thing's colour is the commonest in it, and its subject is read from its outline by a small kernel
classifier that learns from the world's own drawings when it is made (seconds).

    python training/judge.py        its accuracy on fresh drawings
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from world import (
    BACKGROUNDS,
    COLOURS,
    HAT_WEARERS,
    SCENERIES,
    SUBJECTS,
    Pixels,
    Scene,
    draw_background,
    draw_scene,
    is_visible,
    random_pair,
    random_single,
)

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_STANDS_OUT: Final = 42.0  # distance in RGB; the nearest two colours of the palette are 76 apart
_SAME_COLOUR: Final = 45.0
_FAR: Final = 60.0  # what is further off counts no more: it is a thing, not the background
_LEAST_PX: Final = 90  # smaller spots are a star or a cloud a little out of place
_TOGETHER_PX: Final = 2  # parts of one thing may be this far apart
_OUTLINE_PX: Final = 24
_FEATURES: Final = 2_500
_WIDTH: Final = 5.5  # of the kernel, in the distance of two outlines
_RIDGE: Final = 0.3
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


class Judge:
    """Looks at pictures; made by `train`."""

    def __init__(self, classify: Callable[[F32], Kind]) -> None:
        self._classify = classify

    @classmethod
    def train(cls, seed: int = 0) -> Self:
        """Learn the outlines from fresh drawings; the same seed makes the same judge."""
        rng = random.Random(seed)
        outlines, labels = [], []
        for label, kind in enumerate(_KINDS):
            for _ in range(_DRAWN_A_KIND):
                mask = next(
                    iter(_masks(*_against_background(draw_scene(_scene_of(rng, kind))))), None
                )
                if mask is not None:
                    outlines.append(_outline(mask))
                    labels.append(label)
        return cls(_kernel_classifier(np.stack(outlines), np.array(labels), seed))

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
    background = rng.choice(BACKGROUNDS)
    colour = rng.choice([c for c in COLOURS if is_visible(c, background)])
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


def _distance(pixels: Pixels, others: Pixels) -> F32:
    distance: F32 = np.linalg.norm(pixels.astype(np.float32) - others, axis=2)
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
    distances = np.linalg.norm(pixels[:, None].astype(np.float32) - palette, axis=2)
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
    outlines: F32, labels: npt.NDArray[np.int64], seed: int
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
    weights = np.linalg.solve(gram, lifted.T @ np.eye(len(_KINDS))[labels])

    def classify(outline: F32) -> Kind:
        scores = features(outline) @ weights
        best = int(scores.argmax())
        return _KINDS[best] if scores[best] > _LEAST_SCORE else (UNKNOWN, False)

    return classify


def accuracy(judge: Judge, count: int, seed: int = 10**6) -> dict[str, float]:
    """Shares of fresh drawings in which the judge sees what was drawn.

    subject, colour, background, all  of `count` pictures of one thing
    hat                               of as many fish and dolphins, half of them with a hat
    pair                              of as many pictures of two things, both right
    """
    rng = random.Random(seed)
    right: Counter[str] = Counter()
    for place in range(count):
        scene = _scene_of(rng, (SUBJECTS[place % len(SUBJECTS)], False))
        seen, thing = judge.look(draw_scene(scene)), scene.things[0]
        first = seen.things[0] if seen.things else None
        found = {
            "subject": first is not None and first.subject == thing.subject,
            "colour": first is not None and first.colour == thing.colour,
            "background": seen.background == scene.background,
        }
        right.update(name for name, hit in found.items() if hit)
        right["all"] += all(found.values())
        dressed = _scene_of(rng, (HAT_WEARERS[place % 2], place % 4 < 2))
        seen = judge.look(draw_scene(dressed))
        right["hat"] += bool(seen.things) and seen.things[0].hat == dressed.things[0].hat
        pair = random_pair(rng, rng.choice(BACKGROUNDS))
        seen = judge.look(draw_scene(pair))
        wanted = {(t.subject, t.colour) for t in pair.things}
        right["pair"] += {(t.subject, t.colour) for t in seen.things[:2]} == wanted
    names = ("subject", "colour", "background", "all", "hat", "pair")
    return {name: right[name] / count for name in names}


def main() -> None:
    """Print the judge's accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_200)
    for name, share in accuracy(Judge.train(), parser.parse_args().count).items():
        print(f"{name:<12}{share:7.1%}")


if __name__ == "__main__":
    main()
