"""`imagine check`: which marks of a generated picture a file bears."""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.cli.arguments import Parser, path
from bot.cli.exit_codes import FAILED, OK
from bot.cli.pictures import read_picture
from bot.config.reading import load_config
from bot.core.recipe.reading import read_recipe
from bot.core.recipe.recipe import Recipe
from bot.errors import NoRecipeError
from bot.shared.shown import one_line
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.marks.xmp import SOURCES
from sdxl_engine.request import MAX_FILE_BYTES

if TYPE_CHECKING:  # they bring Pillow and SciPy
    from sdxl_engine.marks.file_marks import ContentCredentials, FileMarks
    from sdxl_engine.marks.watermark import Sighting, Watermark

_SHOWN_CHARS: Final = 200
_INDENT: Final = "    "
_MOST_SURE: Final = 15  # zeros; more would be a promise about every picture in the world
# C2PA's codes, in words.
_PROBLEMS: Final = {
    "assertion.dataHash.mismatch": "the picture was changed after it was signed",
    "claimSignature.mismatch": "the signature is not that of what was signed",
    "claimSignature.outsideValidity": "the certificate was not valid when it was signed",
    "signingCredential.expired": "the certificate had expired when it was signed",
    "signingCredential.invalid": "the certificate is none for signing pictures",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in one file.

    watermark  None if the picture could not be decoded; `unseen` says why
    recipe     None if the file does not say how it was drawn
    """

    file: Path
    marks: "FileMarks"
    watermark: "Sighting | None"
    unseen: str
    recipe: Recipe | None

    @property
    def is_marked(self) -> bool:
        """Whether anything says that a model made the picture."""
        credentials = self.marks.credentials
        return (
            self.marks.says_model
            or (credentials is not None and credentials.is_whole)
            or (self.watermark is not None and self.watermark.is_there)
            or (self.recipe is not None and self.recipe.program is not None)
        )


def add_arguments(parser: Parser) -> None:
    """Describe what `run` understands."""
    parser.add_argument("files", type=path, nargs="+", metavar="FILE", help="a picture")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Say it of each; whether any bears a mark. Raises UsageError, ConfigError."""
    from sdxl_engine.marks.watermark import USUAL_KEY, Watermark  # noqa: PLC0415 - brings Pillow

    config = load_config(args.config, os.environ).marks
    watermark = Watermark(config.watermark_key or USUAL_KEY)
    found = []
    for file in args.files:
        found.append(check(file, watermark))
        if not args.json:
            for line in _lines(found[-1]):
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
    if args.json:
        sys.stdout.write(json.dumps({"files": [_as_json(one) for one in found]}) + "\n")
    return OK if any(one.is_marked for one in found) else FAILED


def check(file: Path, watermark: "Watermark") -> Checked:
    """Look for every mark; raises UsageError if there is no such file."""
    # Late, for they bring Pillow.
    from PIL import Image  # noqa: PLC0415

    from sdxl_engine.marks.file_marks import marks_in  # noqa: PLC0415
    from sdxl_engine.pictures import decode  # noqa: PLC0415

    data = read_picture(file, MAX_FILE_BYTES)
    sighting, unseen = None, ""
    try:
        shown = decode(data)
    except InvalidRequestError as error:
        unseen = str(error)
    else:
        size_px = shown.width_px, shown.height_px
        sighting = watermark.sought(Image.frombytes("RGBA", size_px, shown.rgba).convert("RGB"))
    try:
        recipe = read_recipe(data)
    except NoRecipeError:
        recipe = None
    return Checked(file, marks_in(data), sighting, unseen, recipe)


def _as_json(one: Checked) -> dict[str, object]:
    credentials = one.marks.credentials
    return {
        "file": str(one.file),
        "marked": one.is_marked,
        "xmp": {"source": one.marks.source, "says_model": one.marks.says_model},
        "c2pa": credentials and {**asdict(credentials), "whole": credentials.is_whole},
        "watermark": one.watermark and {**asdict(one.watermark), "found": one.watermark.is_there},
        "recipe": one.recipe and one.recipe.program,
    }


def _lines(one: Checked) -> Iterator[str]:
    yield one_line(str(one.file), _SHOWN_CHARS)
    rows = {
        "XMP": _of_xmp(one.marks),
        "C2PA": _of_credentials(one.marks),
        "Watermark": _of_watermark(one),
        "Recipe": _of_recipe(one.recipe),
    }
    width = max(map(len, rows))
    for name, said in rows.items():
        yield f"{_INDENT}{name:{width}}  {one_line(said, 3 * _SHOWN_CHARS)}"


def _of_xmp(marks: "FileMarks") -> str:
    if marks.unread:
        return "could not be read"
    if marks.says_model:
        return "says that a trained model made the picture (trainedAlgorithmicMedia)"
    if marks.source is not None:
        return f"says that the picture is something else: {marks.source.removeprefix(SOURCES)}"
    return "none"


def _of_credentials(marks: "FileMarks") -> str:
    found = marks.credentials
    if marks.unread:
        return "could not be read"
    if found is None:
        return "none"
    if not found.is_whole:
        why = ", ".join(_PROBLEMS.get(code, code) for code in found.problems)
        return f"there are Content Credentials, but they are not to be believed: {why}"
    return "; ".join(_of_whole(found))


def _of_whole(found: "ContentCredentials") -> Iterator[str]:
    named = " of ".join(filter(None, (found.signed_by, found.issuer))) or "somebody without a name"
    yield f"signed by {named}, unchanged since"
    if found.sources:
        short = ", ".join(source.removeprefix(SOURCES) for source in found.sources)
        yield f"says where it comes from: {short}"
    if found.program is not None:
        yield f"made with {found.program}"
    if found.state != "Trusted":
        yield "whether the signer is who that says was not asked of anybody"


def _of_watermark(one: Checked) -> str:
    seen = one.watermark
    if seen is None:
        return f"could not be looked for: {one.unseen}"
    score = f"score {seen.score:.1f}"
    if not seen.is_there:
        return f"none to be seen ({score})"
    sure = _MOST_SURE if seen.alarms <= 0 else min(_MOST_SURE, math.floor(-math.log10(seen.alarms)))
    return (
        f"found ({score}; fewer than one in 10^{sure} pictures without it score as high), at "
        f"{seen.scale:.0%} of the size that was marked"
    )


def _of_recipe(recipe: Recipe | None) -> str:
    if recipe is None or recipe.program is None:
        return "none"
    return f"says that {recipe.program} drew it; `imagine recipe` shows how"
