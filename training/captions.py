"""What people would say to get a scene of the small world: many wordings, orders and lengths.

python training/captions.py out.png        a sheet of scenes, each with a caption
"""

import argparse
import random
import textwrap
from itertools import chain
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw
from world import COLOURS, SCENERIES, SIZES_PX, Scene, Thing, draw_scene, random_scene

_NAMES: Final = {
    "circle": ("circle", "circle", "disc", "ball", "dot"),
    "square": ("square", "square", "box", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "house": ("house", "house", "home", "cottage", "hut"),
    "tree": ("tree",),
    "fish": ("fish",),
    "dolphin": ("dolphin",),
    "boat": ("boat", "sailboat", "ship"),
    "flower": ("flower", "flower", "blossom"),
    "cat": ("cat", "cat", "kitten", "cat face", "kitty"),
}
_TONES: Final = {
    "red": ("red", "red", "red", "crimson", "scarlet"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink", "pink", "rosy"),
}
_EXTENTS: Final = {
    "small": ("small", "little", "tiny"),
    "medium": ("", "", "medium-sized"),
    "large": ("big", "large", "huge", "giant"),
}
_PLACES: Final = {
    ("left", "top"): ("in the top left corner", "in the upper left", "at the top left"),
    ("right", "top"): ("in the top right corner", "in the upper right", "at the top right"),
    ("left", "bottom"): ("in the bottom left corner", "in the lower left", "at the bottom left"),
    ("right", "bottom"): (
        "in the bottom right corner",
        "in the lower right",
        "at the bottom right",
    ),
    ("left", "middle"): ("on the left", "on the left side", "at the left"),
    ("right", "middle"): ("on the right", "on the right side", "at the right"),
    ("middle", "top"): ("at the top", "near the top", "up high"),
    ("middle", "bottom"): ("at the bottom", "near the bottom", "down low"),
    ("middle", "middle"): ("in the middle", "in the center", "in the centre", "centered"),
}
_SETTINGS: Final = {
    "meadow": (
        "on a meadow",
        "in a meadow",
        "in a field",
        "on the grass",
        "under a blue sky",
        "in front of a meadow",
        "with a meadow in the background",
        "on green hills under a sunny sky",
        "sky and meadow",
        "outside on a sunny day",
    ),
    "sea": (
        "at sea",
        "on the sea",
        "in the sea",
        "in the ocean",
        "on the water",
        "by the sea",
        "in front of the sea",
        "sea background",
        "in the waves",
    ),
    "night": (
        "at night",
        "in the night",
        "under the stars",
        "under the moon",
        "in the moonlight",
        "in a starry night",
        "night sky",
        "with a night sky behind it",
        "in the dark",
    ),
    "pool": (
        "in a pool",
        "in the pool",
        "in a swimming pool",
        "at the pool",
        "swimming pool background",
        "in front of a pool",
    ),
}
_PLAIN: Final = (
    "on {a} {colour} background",
    "on {a} {colour} background",
    "on a plain {colour} background",
    "with {a} {colour} background",
    "against {a} {colour} background",
    "on {colour}",
    "{colour} background",
    "in front of {a} {colour} wall",
)
_OPENINGS: Final = (
    "a drawing of",
    "a picture of",
    "a painting of",
    "an illustration of",
    "an image of",
    "a photo of",
    "a sketch of",
    "a simple drawing of",
    "draw",
    "please draw",
    "show me",
    "i want",
    "make",
)
_MANNERS: Final = ("cute", "nice", "pretty", "beautiful", "simple", "happy", "lovely", "cartoon")
_ENDINGS: Final = (
    "flat design",
    "crisp",
    "simple",
    "clip art",
    "high quality",
    "minimal",
    "cartoon",
)
_HATS: Final = (
    "wearing a party hat",
    "with a party hat",
    "in a party hat",
    "with a party hat on",
    "that wears a party hat",
    "wearing a hat",
)
UNKNOWN: Final = (
    *("dog", "bird", "sun", "cloud", "car", "rocket", "two", "three", "very", "really", "zebra"),
    *("cathedral", "wizard", "quick", "jumping", "fantasy", "4k", "masterpiece", "robot", "logo"),
)
_RELATIONS: Final = {
    True: (
        ("to the left of", "left of", "on the left of", "and to its right"),
        ("to the right of", "right of", "on the right of", "and to its left"),
    ),
    False: (
        ("above", "over", "on top of", "and below it"),
        ("below", "under", "beneath", "and above it"),
    ),
}
_LOOSELY: Final = ("and", "and", "and", "with", "next to")
_LOOSELY_ACROSS: Final = ("beside", "next to")


def caption(scene: Scene, rng: random.Random) -> str:
    """One of the things that somebody might say to get this scene; seldom all of what is in it."""
    if rng.random() < 0.05:  # a negative prompt is often no more
        return _fragment(scene, rng)
    if len(scene.things) == 1:
        thing = scene.things[0]
        parts = [_noun(thing, rng)]
        if thing.hat:
            parts.append(rng.choice(_HATS))
        if rng.random() < 0.4:  # most people leave the place to chance
            parts.append(rng.choice(_PLACES[place_of(scene, thing)]))
        said = " ".join(parts)
    else:
        said = _related(scene, rng)
    order = rng.random()
    if order < 0.55:  # "a red star on a blue background"
        said = f"{said} {_setting(scene.background, rng)}"
    elif order < 0.7:  # "red star, blue background"
        said = f"{said}, {_setting(scene.background, rng)}"
    if rng.random() < 0.25:  # some are polite
        said = f"{rng.choice(_OPENINGS)} {said}"
    if 0.7 <= order < 0.8:  # "at night: draw a cat"
        said = f"{_setting(scene.background, rng)}{rng.choice((':', ','))} {said}"
    if rng.random() < 0.1:  # some know other models
        said = f"{said}, {rng.choice(_ENDINGS)}"
    if rng.random() < 0.06:  # some use words that mean nothing here; those must do no harm
        words = said.split()
        words.insert(rng.randrange(len(words) + 1), rng.choice(UNKNOWN))
        said = " ".join(words)
    return said


def place_of(scene: Scene, thing: Thing) -> tuple[str, str]:
    """In which of nine places a thing is, such as ("left", "top") or ("middle", "bottom")."""
    # A hat moves the middle of the figure up by half of what it adds.
    y = thing.y - (0.11 * thing.extent_px if thing.hat else 0)
    return _third(thing.x, scene.width_px, ("left", "middle", "right")), _third(
        y, scene.height_px, ("top", "middle", "bottom")
    )


def _third(at: float, side: int, names: tuple[str, str, str]) -> str:
    if abs(at / side - 0.5) < 0.08:  # of the side; what is further out looks off-centre
        return names[1]
    return names[0] if at < side / 2 else names[2]


def _fragment(scene: Scene, rng: random.Random) -> str:
    thing = rng.choice(scene.things)
    setting = scene.background
    if scene.background in SCENERIES or rng.choice((True, False)):
        setting = _setting(scene.background, rng)
    colour = rng.choice(_TONES.get(thing.colour, (thing.colour,)))
    return rng.choice((colour, rng.choice(_NAMES.get(thing.subject, (thing.subject,))), setting))


def _noun(thing: Thing, rng: random.Random) -> str:
    words = []
    if rng.random() < 0.45:  # fewer than half say how big
        words.append(rng.choice(_EXTENTS[thing.extent_name]))
    if rng.random() < 0.1:  # some flatter
        words.insert(0, rng.choice(_MANNERS))
    if rng.random() < 0.92:  # nearly all name the colour
        words.append(rng.choice(_TONES.get(thing.colour, (thing.colour,))))
    words.append(rng.choice(_NAMES.get(thing.subject, (thing.subject,))))
    noun = " ".join(word for word in words if word)
    if rng.random() < 0.75:  # "purple star" does without
        noun = f"{article(noun)} {noun}"
    return noun


def _related(scene: Scene, rng: random.Random) -> str:
    first, second = scene.things
    across = abs(first.x - second.x) > abs(first.y - second.y)
    nouns = [_noun(first, rng), _noun(second, rng)]
    if rng.random() < 0.3:  # "a cat and a dog": no matter how
        rng.shuffle(nouns)
        joint = rng.choice((*_LOOSELY, *_LOOSELY_ACROSS) if across else _LOOSELY)
        return f"{nouns[0]} {joint} {nouns[1]}"
    place = rng.choice((0, 1))
    joint = rng.choice(_RELATIONS[across][place])
    return f"{nouns[place]} {joint} {nouns[1 - place]}"


def _setting(background: str, rng: random.Random) -> str:
    if background in COLOURS:
        return rng.choice(_PLAIN).format(a=article(background), colour=background)
    return rng.choice(_SETTINGS[background])


def in_scene(background: str) -> str:
    """The plainest words for a background, such as "on a blue background" or "at sea"."""
    if background in COLOURS:
        return f"on {article(background)} {background} background"
    return _SETTINGS[background][0]


def article(word: str) -> str:
    """Of what begins with this word."""
    return "an" if word[0] in "aeiou" else "a"


def vocabulary() -> list[str]:
    """Every word that a caption means something by, and some that people will try beside them."""
    phrases = chain(
        *_NAMES.values(),
        COLOURS,
        *_TONES.values(),
        *_EXTENTS.values(),
        *_PLACES.values(),
        *_SETTINGS.values(),
        (plain.format(a="", colour="") for plain in _PLAIN),
        _OPENINGS,
        _MANNERS,
        _ENDINGS,
        _HATS,
        *(chain(*both) for both in _RELATIONS.values()),
        _LOOSELY,
        _LOOSELY_ACROSS,
        ("an , : . - ! no not without two three dog bird sun moon cloud car rocket",),
    )
    return " ".join(phrases).split()


def main() -> None:
    """Draw a sheet of random scenes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(1)
    sheet = Image.new("RGB", (8 * 168, 6 * 204), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for place in range(48):
        scene = random_scene(rng, rng.choice(SIZES_PX))
        left, top = place % 8 * 168 + 4, place // 8 * 204 + 4
        sheet.paste(Image.fromarray(draw_scene(scene)), (left, top))
        words = textwrap.fill(caption(scene, rng), 28)
        draw.text((left, top + 162), words, fill=(0, 0, 0))
    sheet.save(arguments.path)


if __name__ == "__main__":
    main()
