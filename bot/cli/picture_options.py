"""What `draw` takes to draw from a picture: the options, the files, what becomes of them."""

import argparse
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.cli.arguments import real, whole
from bot.core.offspring import source_fields
from bot.core.wish import SourceFields, VariationFields
from bot.errors import UsageError
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    ALPHA,
    AROUND,
    CHANGING,
    MAX_SEED,
    NO_PICTURES,
    PAINTING,
    PICTURE_VARIATIONS,
    RESIZES,
    UPSCALES,
    UPSCALING,
    VARIATIONS,
    ImageRequest,
    Picture,
    Pictures,
    Source,
)

_ADDRESS: Final = re.compile(r"https?:/", re.IGNORECASE)  # a path has lost the second slash
_OF_A_PICTURE: Final = ("strength", "resize", "zoom", "mask", "feather", "upscale")


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture to start from")
    parser.add_argument(
        "--strength",
        type=real,
        metavar="X",
        help="0 to 1: how much of the picture may change; default: 0.6, with a mask 1, to upscale "
        "0.3, where 0 invents nothing",
    )
    parser.add_argument(
        "--resize", choices=RESIZES, help="how a picture of another shape is brought in"
    )
    parser.add_argument(
        "--zoom", type=real, metavar="X", help="1 to 4: zoom out, and paint what comes into view"
    )
    parser.add_argument(
        "--mask",
        metavar="FILE",
        help=f"what is painted is white in it; {ALPHA}: what is transparent in the picture, "
        f"{AROUND}: what it leaves of the canvas",
    )
    parser.add_argument(
        "--feather", type=whole(), metavar="PX", help="how softly a mask ends, 0 to 256 pixels"
    )
    parser.add_argument(
        "--upscale",
        type=real,
        metavar="X",
        help=f"{' or '.join(f'{times:g}' for times in UPSCALES)}: the picture so many times as "
        "large as --size, sharper",
    )
    parser.add_argument(
        "--vary",
        type=_variation,
        metavar="HOW",
        help=f"{', '.join(VARIATIONS)} or 0 to 1: pictures like that of the same seed, or like the "
        "one of --image",
    )
    parser.add_argument(
        "--vary-seed", type=whole(), metavar="N", help="of the variation; default: a random one"
    )
    parser.add_argument(
        "--vary-index", type=whole(), metavar="K", help="which picture of the seed; default: 0"
    )


def _variation(text: str) -> str | float:
    if text in VARIATIONS:
        return text
    try:
        return real(text)
    except argparse.ArgumentTypeError as error:
        names = ", ".join(VARIATIONS)
        raise argparse.ArgumentTypeError(f"{error}, nor one of: {names}") from None


@dataclass(frozen=True, slots=True)
class Brought:
    """What somebody brought to draw from.

    source, variation, upscale  as in `Wish`
    pictures                    by their content hashes
    files                       the options that bring the same files again
    """

    source: SourceFields | None
    variation: VariationFields | None
    upscale: float | None
    pictures: Pictures
    files: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int] | None:
        """Width and height of the picture."""
        if self.source is None:
            return None
        picture = self.pictures[self.source[0]]
        return picture.width_px, picture.height_px


def brought(args: argparse.Namespace) -> Brought:
    """Read the files; raises UsageError, InvalidRequestError."""
    if args.vary is None or args.image is not None:
        extra = [name for name in ("vary_seed", "vary_index") if getattr(args, name) is not None]
        if extra:
            raise UsageError(
                f"--{extra[0].replace('_', '-')} goes with --vary, and without --image: there "
                "--seed is what differs."
            )
    if args.vary is not None and args.strength is not None:
        raise UsageError("--vary says how much changes: leave --strength out.")
    if args.vary is not None and args.upscale is not None:
        raise UsageError("--vary and --upscale are two wishes: leave one of them out.")
    if args.image is None:
        extra = [name for name in _OF_A_PICTURE if getattr(args, name) is not None]
        if extra:
            raise UsageError(f"--{extra[0]} needs a picture: give one with --image.")
        return Brought(None, _of_noise(args), None, NO_PICTURES, ())
    picture = _read(args.image)
    pictures, files = {picture.digest: picture}, [f"--image={args.image}"]
    mask = args.mask
    if mask is None and args.zoom not in {None, 1.0} and args.upscale is None:
        mask = AROUND
    if mask not in {None, ALPHA, AROUND}:
        painted = _read(Path(mask))
        pictures[painted.digest] = painted
        files.append(f"--mask={mask}")
        mask = painted.digest
    given = Source(
        picture.digest,
        strength=_strength(args, masked=mask is not None),
        mask=mask,
        **{
            name: value
            for name, value in (
                ("resize", args.resize),
                ("zoom", args.zoom),
                ("feather_px", args.feather),
            )
            if value is not None
        },
    )
    return Brought(source_fields(given), None, args.upscale, pictures, tuple(files))


def picture_words(request: ImageRequest) -> list[tuple[str, object]]:
    """Options and their values that ask for the same of the same files."""
    source, variation = request.source, request.variation
    words: list[tuple[str, object]] = [("--upscale", request.upscale)]
    if source is not None:
        usual = Source(source.picture)
        own = source.mask if source.mask in {ALPHA, AROUND} else None
        words += [
            ("--strength", source.strength),
            ("--resize", source.resize if source.resize != usual.resize else None),
            ("--zoom", source.zoom if source.zoom != usual.zoom else None),
            ("--mask", own),
            ("--feather", source.feather_px if source.feather_px != usual.feather_px else None),
        ]
    if variation is not None:
        words += [
            ("--vary", variation.strength),
            ("--vary-seed", variation.seed),
            ("--vary-index", variation.index),
        ]
    return words


def _strength(args: argparse.Namespace, *, masked: bool) -> float:
    if args.strength is not None:
        strength: float = args.strength
    elif args.vary is not None:
        strength = PICTURE_VARIATIONS.get(args.vary, args.vary)
    elif args.upscale is not None:
        strength = UPSCALING
    else:
        strength = PAINTING if masked else CHANGING
    return strength


def _of_noise(args: argparse.Namespace) -> VariationFields | None:
    if args.vary is None:
        return None
    seed = secrets.randbelow(MAX_SEED + 1) if args.vary_seed is None else args.vary_seed
    return seed, VARIATIONS.get(args.vary, args.vary), args.vary_index or 0


def _read(path: Path) -> Picture:
    # Late: to decode a picture takes libraries that drawing from words does without.
    from sdxl_engine.pictures import decode  # noqa: PLC0415

    if _ADDRESS.match(str(path)):
        raise UsageError(
            f"{path} is an address: nothing is fetched. Save the picture, name its file."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return decode(data)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{path}: {error}") from error
