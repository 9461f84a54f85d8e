"""What other tools read in our pictures: sd-parsers, sd-prompt-reader, piexif, exiftool, exiv2.

    python3 -m venv .readers
    .readers/bin/pip install sd-parsers sd-prompt-reader piexif exiv2
    PYTHONPATH=. .readers/bin/python tests/release/readers.py

A tool that is not installed is passed over, and said. Ends with 1 where one misreads.
"""

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from PIL import Image

from sdxl_engine.images import describe, encode_png, encode_within
from sdxl_engine.marks.marks import Marks
from sdxl_engine.marks.xmp import TRAINED_MODEL
from sdxl_engine.request import GeneratedImage, ImageRequest, Lora, ModelCard

CARD: Final = ModelCard("a model, of two", "0123456789", "a vae", "abcdef0123", {"x": "1" * 12})
MARKS: Final = Marks(xmp=True)
IMAGE: Final = GeneratedImage(0, 7, 64, 64, bytes(64 * 64 * 3))
_LIKE: Final = ImageRequest("x", seed=7, width_px=64, height_px=64, sampler="euler")
REQUESTS: Final = (
    replace(_LIKE, prompt="a cat", negative_prompt="dogs, birds", loras=(Lora("x", 0.8),)),
    replace(_LIKE, prompt="a cät 🐈, blue"),
    replace(_LIKE, prompt="Negative prompt: dogs"),
    replace(_LIKE, prompt="Steps: 20, Sampler: Euler", negative_prompt="birds"),
)
Read = Callable[[Path], dict[str, str]]
_OPENED: Final[list[Image.Image]] = []


def sd_parsers(path: Path) -> dict[str, str]:
    """Prompts and the seed as sd-parsers has them."""
    parsers: Any = importlib.import_module("sd_parsers")
    # sd-parsers 0.6 keeps what it read under an image's id, which the next one gets.
    _OPENED.append(Image.open(path))
    info = parsers.ParserManager().parse(_OPENED[-1])
    if info is None:
        return {"prompt": ""}
    return {
        "prompt": " ".join(prompt.value for prompt in info.prompts),
        "negative": " ".join(prompt.value for prompt in info.negative_prompts),
        "seed": str(info.samplers[0].parameters["seed"]),
    }


def sd_prompt_reader(path: Path) -> dict[str, str]:
    """The same of sd-prompt-reader."""
    reader: Any = importlib.import_module("sd_prompt_reader.image_data_reader")
    data = reader.ImageDataReader(str(path))
    return {
        "prompt": data.positive,
        "negative": data.negative,
        "seed": str(data.parameter.get("seed")),
    }


def piexif(path: Path) -> dict[str, str]:
    """The whole text as piexif finds it; WebP alone."""
    if path.suffix != ".webp":
        return {}
    library: Any = importlib.import_module("piexif")
    helper: Any = importlib.import_module("piexif.helper")
    comment = library.load(str(path))["Exif"][library.ExifIFD.UserComment]
    return {"text": helper.UserComment.load(comment)}


def exiftool(path: Path) -> dict[str, str]:
    """The same of exiftool, of both kinds."""
    done = subprocess.run(  # noqa: S603 - a file of ours
        ["exiftool", "-json", "-UserComment", "-Parameters", str(path)],  # noqa: S607 - as installed
        capture_output=True,
        check=True,
    )
    (found,) = json.loads(done.stdout)
    return {"text": found.get("UserComment") or found["Parameters"]}


def exiv2(path: Path) -> dict[str, str]:
    """The source of the picture that exiv2 finds in XMP."""
    library: Any = importlib.import_module("exiv2")
    picture = library.ImageFactory.open(str(path))
    picture.readMetadata()
    return {"source": picture.xmpData()["Xmp.iptcExt.DigitalSourceType"].toString()}


READERS: Final[tuple[Read, ...]] = (sd_parsers, sd_prompt_reader, piexif, exiftool, exiv2)


def misread(read: Read, folder: Path) -> Iterator[str]:
    """What a tool finds otherwise than we wrote it."""
    for number, request in enumerate(REQUESTS):
        text = describe(request, 0, model=CARD)
        prompt, negative = text.splitlines()[0], request.negative_prompt or ""
        wanted = {"prompt": prompt, "negative": negative, "seed": "7", "text": text}
        wanted["source"] = TRAINED_MODEL
        small = encode_within(IMAGE, text, 1, MARKS).data
        for ending, data in (("png", encode_png(IMAGE, text, MARKS)), ("webp", small)):
            path = folder / f"{number}.{ending}"
            path.write_bytes(data)
            for key, value in read(path).items():
                if value != wanted[key]:
                    yield f"{path.name}: {key} is {value!r}, not {wanted[key]!r}"


def main() -> int:
    """Print a line a tool; 1 if one misreads."""
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for read in READERS:
            name = read.__name__
            if not (importlib.util.find_spec(name) or shutil.which(name)):
                print(f"{name:18} not installed")
                continue
            found = list(misread(read, Path(folder)))
            print(f"{name:18} {'; '.join(found) or 'reads all of it'}")
            worst |= bool(found)
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
