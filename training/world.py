"""The small world that the embedded model knows: the scenes and their pictures.

A scene is one or two flat, crisp things before a background. Everything is drawn by this file with
Pillow, nothing is downloaded, and the same scene is always the same picture.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Pixels = npt.NDArray[np.uint8]

COLOURS: Final[dict[str, Colour]] = {
    "red": (222, 44, 44),
    "orange": (246, 137, 31),
    "yellow": (252, 212, 44),
    "green": (40, 155, 70),
    "blue": (44, 96, 222),
    "purple": (134, 64, 190),
    "pink": (246, 142, 192),
    "brown": (134, 84, 48),
    "black": (28, 28, 34),
    "white": (250, 250, 250),
}
SCENERIES: Final = ("meadow", "sea", "night", "pool")
BACKGROUNDS: Final = (*COLOURS, *SCENERIES)
SUBJECTS: Final = (
    "circle",
    "square",
    "triangle",
    "star",
    "heart",
    "house",
    "tree",
    "fish",
    "dolphin",
    "boat",
    "flower",
    "cat",
)
LEARNT: Final = ("rocket",)
"""Subjects that the model is not trained on: a LoRA teaches it (lora.py)."""
HAT_WEARERS: Final = ("fish", "dolphin")
# Before the others a stripe of the hat would be a hole in it.
HAT_BACKGROUNDS: Final = tuple(name for name in BACKGROUNDS if name not in {"yellow", "purple"})
SIZES_PX: Final = ((128, 128), (160, 96), (96, 160))
"""The aspects that are trained, (width, height); each has about as many pixels."""
EXTENTS_PX: Final = {"small": (44, 52), "medium": (58, 68), "large": (76, 86)}
"""The side of a thing's bounding square."""

# Things of these colours would hardly show before these sceneries.
_CLASHES: Final = {("blue", "sea"), ("black", "night")}
_OVERSAMPLING: Final = 4  # drawn four times as large, then averaged: smooth edges
_MARGIN_PX: Final = 5
_HAT_SHARE: Final = 0.3  # of the wearer's height


@dataclass(frozen=True, slots=True)
class Thing:
    """One drawn subject.

    x, y         centre of its bounding square, in pixels from the left and the top
    extent_px    side of that square
    faces_left   matters for fish, dolphin and boat
    hat          a party hat on its head
    """

    subject: str
    colour: str
    x: float
    y: float
    extent_px: float
    faces_left: bool = False
    hat: bool = False

    @property
    def extent_name(self) -> str:
        """Which of EXTENTS_PX it is."""
        return next(name for name, (_, most) in EXTENTS_PX.items() if self.extent_px <= most)


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture shows.

    things    one, or two that do not overlap
    mirrored  the scenery is drawn from right to left
    """

    background: str
    things: tuple[Thing, ...]
    width_px: int = 128
    height_px: int = 128
    mirrored: bool = False


# Which scenes there are


def is_visible(colour: str, background: str) -> bool:
    """Whether a thing of this colour stands out from this background."""
    return colour != background and (colour, background) not in _CLASHES


def visible_colours(background: str) -> list[str]:
    """The colours that stand out from a background."""
    return [colour for colour in COLOURS if is_visible(colour, background)]


def is_held_out(subject: str, colour: str, background: str) -> bool:
    """Whether this combination is kept from training, to test with: a fixed one in eight.

    Of those that can be seen it is one in seven or eight, of circles and dolphins one in sixteen.
    Every subject in every colour, every subject before every background and every colour before
    every background are trained; the three together, for these, never are.
    """
    place = SUBJECTS.index(subject) + 3 * list(COLOURS).index(colour)
    return (place + 5 * BACKGROUNDS.index(background)) % 8 == 0


def is_taught(colour: str, background: str) -> bool:
    """Whether a LoRA is shown its subject so; one combination in five is kept to test with."""
    return (list(COLOURS).index(colour) + 3 * BACKGROUNDS.index(background)) % 5 != 0


def random_scene(rng: random.Random, size_px: tuple[int, int] = (128, 128)) -> Scene:
    """A scene for training: of 20, thirteen hold one thing, five hold two, two a hat."""
    kind = rng.choices(("single", "pair", "hat"), (13, 5, 2))[0]
    background = rng.choice(BACKGROUNDS)
    if kind == "pair":
        return random_pair(rng, background, size_px)
    subject = rng.choice(HAT_WEARERS if kind == "hat" else SUBJECTS)
    colour = _trained_colour(rng, subject, background)
    return random_single(rng, subject, colour, background, size_px, hat=kind == "hat")


def random_single(
    rng: random.Random,
    subject: str,
    colour: str,
    background: str,
    size_px: tuple[int, int] = (128, 128),
    *,
    hat: bool = False,
) -> Scene:
    """A scene with one thing of any size, anywhere."""
    # A hat stands above its wearer's square; both must fit.
    above = _HAT_SHARE if hat else 0.0
    extent_px = _random_extent(rng, rng.choice(list(EXTENTS_PX)))
    extent_px = min(extent_px, (size_px[1] - 2 * _MARGIN_PX) / (1 + above))
    place = [
        _random_place(rng, side_px, extent_px, over_px=over_px)
        for side_px, over_px in zip(size_px, (0, above * extent_px), strict=True)
    ]
    thing = Thing(subject, colour, place[0], place[1], extent_px, _toss(rng), hat)
    return Scene(background, (thing,), *size_px, mirrored=_toss(rng))


def random_pair(
    rng: random.Random, background: str, size_px: tuple[int, int] = (128, 128)
) -> Scene:
    """Two small things beside or above each other."""
    first = rng.choice(SUBJECTS)
    second = rng.choice([subject for subject in SUBJECTS if subject != first])
    colour = _trained_colour(rng, first, background)
    other = _trained_colour(rng, second, background, but=colour)
    width_px, height_px = size_px
    across = width_px > height_px or (width_px == height_px and _toss(rng))
    things = []
    for place, (subject, hue) in enumerate(((first, colour), (second, other))):
        along_px, side_px = (width_px, height_px) if across else (height_px, width_px)
        extent_px = _random_extent(rng, "small")
        along = along_px * (0.26 + 0.48 * place) + rng.uniform(-3, 3)
        beside = side_px / 2 + rng.uniform(-0.12, 0.12) * side_px
        x, y = (along, beside) if across else (beside, along)
        things.append(Thing(subject, hue, x, y, extent_px, _toss(rng)))
    return Scene(background, tuple(things), *size_px, mirrored=_toss(rng))


def _trained_colour(rng: random.Random, subject: str, background: str, but: str = "") -> str:
    return rng.choice(
        [
            colour
            for colour in visible_colours(background)
            if colour != but and not is_held_out(subject, colour, background)
        ]
    )


def _toss(rng: random.Random) -> bool:
    return rng.choice((True, False))


def _random_extent(rng: random.Random, name: str) -> float:
    return rng.uniform(*EXTENTS_PX[name])


def _random_place(rng: random.Random, side_px: int, extent_px: float, *, over_px: float) -> float:
    low = extent_px / 2 + _MARGIN_PX + over_px
    high = side_px - extent_px / 2 - _MARGIN_PX
    # Thirds, so that "left" and "top" are as common as "in the middle".
    third = rng.choice((0.0, 0.5, 1.0))
    spread = (high - low) * rng.uniform(-0.12, 0.12)
    return min(max(low + (high - low) * third + spread, low), high)


# Pictures


def draw_scene(scene: Scene) -> Pixels:
    """The picture, u8[height_px, width_px, 3]."""
    canvas = _large_background(
        scene.background, scene.width_px, scene.height_px, scene.mirrored
    ).copy()
    for thing in scene.things:
        _draw_thing(ImageDraw.Draw(canvas), thing)
    return np.asarray(canvas.reduce(_OVERSAMPLING))


def draw_mask(scene: Scene) -> npt.NDArray[np.bool_]:
    """Where the things are, bool[height_px, width_px]."""
    size = (scene.width_px * _OVERSAMPLING, scene.height_px * _OVERSAMPLING)
    nowhere = (255, 0, 255)  # no thing has this colour
    canvas = Image.new("RGB", size, nowhere)
    for thing in scene.things:
        _draw_thing(ImageDraw.Draw(canvas), thing)
    # The middle of every drawn pixel; the whole of it would cost more and say little more.
    every_middle = slice(_OVERSAMPLING // 2, None, _OVERSAMPLING)
    middles = np.asarray(canvas)[every_middle, every_middle]
    mask: npt.NDArray[np.bool_] = (middles != nowhere).any(axis=2)
    return mask


@cache
def draw_background(
    background: str, width_px: int = 128, height_px: int = 128, *, mirrored: bool = False
) -> Pixels:
    """A picture without things, u8[height_px, width_px, 3]."""
    return draw_scene(Scene(background, (), width_px, height_px, mirrored))


class _Pen:
    """Draws in a thing's own coordinates: its square is -1..1, y downwards, facing right."""

    def __init__(self, draw: ImageDraw.ImageDraw, thing: Thing) -> None:
        self._draw = draw
        self._x, self._y = thing.x * _OVERSAMPLING, thing.y * _OVERSAMPLING
        self._half = thing.extent_px / 2 * _OVERSAMPLING
        self._mirror = -1 if thing.faces_left else 1

    def at(self, x: float, y: float) -> Point:
        return self._x + self._mirror * self._half * x, self._y + self._half * y

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([self.at(*point) for point in points], fill=colour)

    def disc(
        self, x: float, y: float, radius: float, colour: Colour, height: float | None = None
    ) -> None:
        tall = radius if height is None else height
        turn = [2 * math.pi * step / 64 for step in range(64)]
        self.polygon([(x + radius * math.cos(t), y + tall * math.sin(t)) for t in turn], colour)

    def blob(self, points: Sequence[Point], colour: Colour) -> None:
        """A smooth closed curve through the points (Catmull and Rom 1974)."""
        self.polygon(smooth(points), colour)


def smooth(points: Sequence[Point], between: int = 10) -> list[Point]:
    """A closed Catmull-Rom spline through the points, `between` steps from each to the next."""
    knots = np.array(points, dtype=np.float64)
    t = np.linspace(0, 1, between, endpoint=False)[:, None]
    before, here, after, beyond = (np.roll(knots, shift, axis=0) for shift in (1, 0, -1, -2))
    pieces = [
        h
        + t * ((a - b) / 2 + t * (b - 2.5 * h + 2 * a - o / 2 + t * (1.5 * (h - a) + (o - b) / 2)))
        for b, h, a, o in zip(before, here, after, beyond, strict=True)
    ]
    return [(float(x), float(y)) for x, y in np.concatenate(pieces)]


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour in this one."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _shade(colour: Colour) -> Colour:
    """A darker tone, or a lighter one where there is nothing darker."""
    return (
        mixed(colour, (255, 255, 255), 0.35) if sum(colour) < 120 else mixed(colour, (0, 0, 0), 0.3)
    )  # black's tone


def _tint(colour: Colour) -> Colour:
    """A lighter tone, or a darker one where there is nothing lighter."""
    return (
        mixed(colour, (0, 0, 0), 0.2) if sum(colour) > 720 else mixed(colour, (255, 255, 255), 0.55)
    )  # white's tone


def _draw_thing(draw: ImageDraw.ImageDraw, thing: Thing) -> None:
    pen = _Pen(draw, thing)
    _FORMS[thing.subject](pen, COLOURS[thing.colour])
    if thing.hat:
        _party_hat(pen, thing.subject)


def _circle(pen: _Pen, colour: Colour) -> None:
    pen.disc(0, 0, 0.95, colour)


def _square(pen: _Pen, colour: Colour) -> None:
    pen.polygon([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)], colour)


def _triangle(pen: _Pen, colour: Colour) -> None:
    pen.polygon([(0, -0.9), (1, 0.85), (-1, 0.85)], colour)


def _star(pen: _Pen, colour: Colour) -> None:
    radii = (1.05, 0.45)
    turn = [math.pi * (step / 5 - 0.5) for step in range(10)]
    pen.polygon(
        [
            (radii[step % 2] * math.cos(t), radii[step % 2] * math.sin(t) + 0.08)
            for step, t in enumerate(turn)
        ],
        colour,
    )


def _heart(pen: _Pen, colour: Colour) -> None:
    turn = [2 * math.pi * step / 80 for step in range(80)]
    pen.polygon(
        [
            (
                math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
                / 16,
            )
            for t in turn
        ],
        colour,
    )


def _house(pen: _Pen, colour: Colour) -> None:
    pen.polygon([(-0.72, -0.1), (0.72, -0.1), (0.72, 0.95), (-0.72, 0.95)], colour)
    pen.polygon([(0, -0.98), (1, -0.05), (-1, -0.05)], _shade(colour))
    light = mixed(COLOURS["yellow"], COLOURS["white"], 0.6)
    pen.polygon([(-0.5, 0.15), (-0.1, 0.15), (-0.1, 0.52), (-0.5, 0.52)], light)
    pen.polygon(
        [(0.14, 0.3), (0.54, 0.3), (0.54, 0.95), (0.14, 0.95)], mixed(colour, (40, 24, 12), 0.6)
    )


def _tree(pen: _Pen, colour: Colour) -> None:
    trunk = (110, 70, 40)
    pen.polygon([(-0.16, 0.2), (0.16, 0.2), (0.22, 1), (-0.22, 1)], trunk)
    for x, y, radius in ((-0.42, -0.05, 0.48), (0.42, -0.05, 0.48), (0, -0.48, 0.52), (0, 0, 0.5)):
        pen.disc(x, y, radius, colour)


def _fish(pen: _Pen, colour: Colour) -> None:
    shade = _shade(colour)
    pen.polygon([(-0.45, 0), (-1, -0.55), (-0.86, 0), (-1, 0.55)], shade)
    pen.blob([(-0.25, -0.45), (0.1, -0.82), (0.35, -0.42)], shade)
    pen.disc(0.2, 0, 0.8, colour, 0.54)
    pen.blob([(-0.1, 0.02), (-0.34, 0.34), (0.12, 0.26)], shade)
    pen.disc(0.62, -0.14, 0.17, (255, 255, 255))
    pen.disc(0.66, -0.14, 0.09, (15, 15, 20))


def _dolphin(pen: _Pen, colour: Colour) -> None:
    shade = _shade(colour)
    # Tail flukes, dorsal fin, body in an arc with a beak, belly, flipper, eye.
    pen.polygon([(-0.7, 0.42), (-1, 0.2), (-0.88, 0.55), (-0.98, 0.95), (-0.66, 0.66)], shade)
    pen.polygon([(-0.2, -0.42), (-0.3, -0.9), (0.2, -0.5)], shade)
    pen.blob(
        [
            (-0.82, 0.55),
            (-0.55, 0.02),
            (-0.15, -0.4),
            (0.3, -0.5),
            (0.62, -0.36),
            (0.76, -0.12),
            (0.98, 0.06),
            (0.94, 0.18),
            (0.64, 0.18),
            (0.3, 0.32),
            (-0.1, 0.34),
            (-0.5, 0.46),
        ],
        colour,
    )
    pen.blob(
        [(0.66, 0.16), (0.3, 0.31), (-0.1, 0.33), (-0.4, 0.4), (0.1, 0.1), (0.45, 0.02)],
        _tint(colour),
    )
    pen.polygon([(0.1, 0.2), (0.38, 0.22), (0.02, 0.68)], shade)
    pen.disc(0.52, -0.14, 0.1, (255, 255, 255))
    pen.disc(0.54, -0.14, 0.06, (15, 15, 20))


def _boat(pen: _Pen, colour: Colour) -> None:
    pen.polygon([(-0.06, -0.98), (0.06, -0.98), (0.06, 0.5), (-0.06, 0.5)], (110, 70, 40))
    pen.polygon([(0.12, -0.9), (0.88, 0.3), (0.12, 0.3)], _tint(colour))
    pen.polygon([(-0.12, -0.62), (-0.12, 0.3), (-0.7, 0.3)], _tint(colour))
    pen.polygon([(-1, 0.42), (1, 0.42), (0.62, 0.95), (-0.62, 0.95)], colour)


def _flower(pen: _Pen, colour: Colour) -> None:
    for step in range(6):
        turn = math.pi * step / 3
        pen.disc(0.58 * math.cos(turn), 0.58 * math.sin(turn), 0.38, colour)
    heart = COLOURS["orange" if colour == COLOURS["yellow"] else "yellow"]
    pen.disc(0, 0, 0.36, heart)


def _cat(pen: _Pen, colour: Colour) -> None:
    shade = _shade(colour)
    for side in (-1, 1):
        pen.polygon([(side * 0.88, -0.1), (side * 0.8, -0.98), (side * 0.18, -0.6)], colour)
        pen.polygon([(side * 0.72, -0.3), (side * 0.7, -0.74), (side * 0.38, -0.52)], shade)
    pen.disc(0, 0.15, 0.92, colour, 0.76)
    for side in (-1, 1):
        pen.disc(side * 0.36, 0.04, 0.19, (255, 255, 255), 0.22)
        pen.disc(side * 0.36, 0.06, 0.1, (15, 15, 20), 0.16)
    pen.polygon(
        [(-0.13, 0.34), (0.13, 0.34), (0, 0.5)], mixed(COLOURS["pink"], COLOURS["red"], 0.4)
    )
    pen.polygon([(-0.3, 0.6), (0, 0.68), (0.3, 0.6), (0, 0.78)], shade)


def _rocket(pen: _Pen, colour: Colour) -> None:
    shade = _shade(colour)
    for way in (-1, 1):
        pen.polygon([(way * 0.3, 0.1), (way * 0.72, 0.78), (way * 0.28, 0.6)], shade)
    flame = COLOURS["yellow" if colour == COLOURS["orange"] else "orange"]
    pen.polygon([(-0.2, 0.6), (0.2, 0.6), (0, 1)], flame)
    pen.blob(
        [
            (0, -1),
            (0.36, -0.4),
            (0.36, 0.3),
            (0.24, 0.68),
            (-0.24, 0.68),
            (-0.36, 0.3),
            (-0.36, -0.4),
        ],
        colour,
    )
    pen.disc(0, -0.2, 0.17, (255, 255, 255))


def _party_hat(pen: _Pen, subject: str) -> None:
    """A striped cone with a pompom, on the head, leaning forward a little."""
    x, y = {"fish": (0.42, -0.44), "dolphin": (0.42, -0.42)}[subject]
    tip = (x + 0.12, y - 0.86)
    left, right = (x - 0.32, y + 0.02), (x + 0.36, y + 0.1)
    hat, stripe = (150, 60, 200), COLOURS["yellow"]

    def toward(point: Point, share: float) -> Point:
        return point[0] + (tip[0] - point[0]) * share, point[1] + (tip[1] - point[1]) * share

    pen.polygon([left, right, tip], hat)
    pen.polygon(
        [toward(left, 0.3), toward(right, 0.3), toward(right, 0.58), toward(left, 0.58)], stripe
    )
    pen.disc(*tip, 0.15, COLOURS["pink"])


_FORMS: Final = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "house": _house,
    "tree": _tree,
    "fish": _fish,
    "dolphin": _dolphin,
    "boat": _boat,
    "flower": _flower,
    "cat": _cat,
    "rocket": _rocket,
}


@cache
def _large_background(
    background: str, width_px: int, height_px: int, mirrored: bool
) -> Image.Image:
    width, height = width_px * _OVERSAMPLING, height_px * _OVERSAMPLING
    if background in COLOURS:
        return Image.new("RGB", (width, height), COLOURS[background])
    canvas = _SCENERY[background](width, height)
    return canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else canvas


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    rows = np.linspace(top, bottom, height)[:, None].round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(rows, (height, width, 3))))


def _ellipse(
    draw: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, colour: Colour
) -> None:
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)


def _meadow(width: int, height: int) -> Image.Image:
    canvas = _gradient(width, height, (120, 190, 245), (200, 232, 252))
    draw, unit = ImageDraw.Draw(canvas), 128 * _OVERSAMPLING
    _ellipse(draw, width - 0.15 * unit, 0.15 * unit, 0.085 * unit, 0.085 * unit, (255, 226, 110))
    for x, y, r in ((0.14, 0.17, 0.07), (0.22, 0.14, 0.085), (0.31, 0.18, 0.065)):
        _ellipse(draw, x * unit, y * unit, r * unit, 0.7 * r * unit, (246, 250, 253))
    _ellipse(draw, 0.75 * width, 1.12 * height, 0.85 * width, 0.48 * height, (148, 208, 100))
    _ellipse(draw, 0.15 * width, 1.22 * height, 0.9 * width, 0.52 * height, (120, 192, 82))
    return canvas


def _sea(width: int, height: int) -> Image.Image:
    canvas = _gradient(width, height, (170, 216, 246), (226, 240, 248))
    water = _gradient(width, height - round(0.42 * height), (64, 150, 206), (24, 92, 160))
    canvas.paste(water, (0, round(0.42 * height)))
    draw, unit = ImageDraw.Draw(canvas), 128 * _OVERSAMPLING
    _ellipse(draw, 0.18 * unit, 0.17 * unit, 0.085 * unit, 0.085 * unit, (255, 232, 140))
    for row, (y, shift) in enumerate(((0.56, 0.1), (0.72, 0.45), (0.88, 0.2))):
        for x in (shift, shift + 0.6):
            left, top = x * width, y * height
            draw.rounded_rectangle(
                (left, top, left + (0.16 + 0.03 * row) * unit, top + 0.028 * unit),
                0.014 * unit,
                fill=(130, 196, 230),
            )
    return canvas


def _night(width: int, height: int) -> Image.Image:
    canvas = _gradient(width, height, (18, 22, 66), (52, 54, 116))
    draw, unit = ImageDraw.Draw(canvas), 128 * _OVERSAMPLING
    x, y = width - 0.17 * unit, 0.17 * unit
    _ellipse(draw, x, y, 0.095 * unit, 0.095 * unit, (250, 240, 196))
    _ellipse(draw, x - 0.045 * unit, y - 0.02 * unit, 0.08 * unit, 0.08 * unit, (24, 28, 74))
    for left, top in (
        (0.09, 0.12),
        (0.3, 0.3),
        (0.5, 0.09),
        (0.12, 0.5),
        (0.88, 0.48),
        (0.64, 0.36),
    ):
        _ellipse(draw, left * width, top * height, 0.018 * unit, 0.018 * unit, (246, 240, 210))
    _ellipse(draw, 0.3 * width, 1.18 * height, 0.9 * width, 0.38 * height, (30, 66, 62))
    return canvas


def _pool(width: int, height: int) -> Image.Image:
    canvas = _gradient(width, height, (130, 224, 232), (44, 176, 206))
    draw, unit = ImageDraw.Draw(canvas), 128 * _OVERSAMPLING
    draw.rectangle((0, 0, width, 0.1 * unit), fill=(236, 228, 208))
    draw.rectangle((0, 0.1 * unit, width, 0.125 * unit), fill=(96, 150, 190))
    tile = 0.125 * unit
    for column in range(math.ceil(width / tile)):
        if column % 2:
            draw.rectangle(
                (column * tile, height - tile, (column + 1) * tile, height), fill=(28, 148, 186)
            )
    for x, y in ((0.12, 0.3), (0.66, 0.42), (0.2, 0.66), (0.62, 0.76)):
        draw.rounded_rectangle(
            (x * width, y * height, x * width + 0.19 * unit, y * height + 0.026 * unit),
            0.013 * unit,
            fill=(176, 238, 242),
        )
    return canvas


_SCENERY: Final = {"meadow": _meadow, "sea": _sea, "night": _night, "pool": _pool}
