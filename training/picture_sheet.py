"""The picture of what becomes of pictures: a row a drawing, nothing picked.

python training/picture_sheet.py [PATH]       by default docs/pictures.png
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from adherence import LIKE
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from sdxl_engine import GeneratedImage, ImageRequest, SdxlPipeline
from sdxl_engine.pictures import picture_of
from sdxl_engine.request import (
    AROUND,
    VARIATIONS,
    Picture,
    Source,
    Variation,
)

_SHOWN_PX: Final = 256
_MARGIN_PX: Final = 12
_TEXT_PX: Final = 40
_LIKE: Final = replace(LIKE, num_images=1, guidance_scale=3.0)
_OTHER_SEED: Final = 77


class Row(NamedTuple):
    """What is drawn, what is asked of it afterwards, in the place of its thing, and around it."""

    prompt: str
    changed: str
    instead: str
    around: str


ROWS: Final = (
    Row("a red cat on a blue background", "an orange cat", "a yellow star", "blue background"),
    Row("a pink flower on white", "a purple star on white", "a green fish", "white background"),
    Row("a white boat at sea", "a red boat at sea", "a yellow heart at sea", "the sea"),
)


def _mask(side_px: int) -> Picture:
    """White but for a border of an eighth."""
    levels = np.zeros((side_px, side_px, 4), np.uint8)
    levels[..., 3] = 255
    inside = slice(side_px // 8, side_px - side_px // 8)
    levels[inside, inside] = 255
    rgb = np.ascontiguousarray(levels[..., :3]).tobytes()
    return picture_of(GeneratedImage(0, 0, side_px, side_px, rgb))


def panels(pipeline: SdxlPipeline, row: Row, seed: int) -> Iterator[tuple[str, GeneratedImage]]:
    """What stands below each, and the image."""
    request = replace(_LIKE, prompt=row.prompt, seed=seed)
    first = _draw(pipeline, request)
    yield row.prompt, first
    for name, strength in VARIATIONS.items():
        varied = replace(request, variation=Variation(_OTHER_SEED, strength))
        yield f"{name} variation", _draw(pipeline, varied)
    picture, mask = picture_of(first), _mask(first.width_px)
    cases = (
        (
            f"img2img: {row.changed}",
            replace(request, prompt=row.changed, source=Source(picture.digest, 0.8)),
        ),
        (
            f"inpainting: {row.instead}",
            replace(
                request, prompt=row.instead, source=Source(picture.digest, 1.0, mask=mask.digest)
            ),
        ),
        (
            f"zoomed out: {row.around}",
            replace(
                request,
                prompt=row.around,
                seed=_OTHER_SEED,  # the same noise would draw the same thing there again
                source=Source(picture.digest, 1.0, zoom=1.5, mask=AROUND),
            ),
        ),
        (
            "twice as large, in tiles",
            replace(request, guidance_scale=1.0, source=Source(picture.digest, 0.3), upscale=2.0),
        ),
    )
    for title, one in cases:
        yield title, _draw(pipeline, one, picture, mask)


def _draw(pipeline: SdxlPipeline, request: ImageRequest, *pictures: Picture) -> GeneratedImage:
    *_, last = pipeline.generate(request, pictures={one.digest: one for one in pictures})
    assert last.fetch is not None  # noqa: S101 - the engine's promise
    (image,) = last.fetch()
    return image


def sheet(pipeline: SdxlPipeline) -> Image.Image:
    """All rows; row k has seed k."""
    across, down = _SHOWN_PX + _MARGIN_PX, _SHOWN_PX + _TEXT_PX
    rows = [list(panels(pipeline, row, seed)) for seed, row in enumerate(tqdm(ROWS))]
    size = (len(rows[0]) * across + _MARGIN_PX, len(rows) * down + _MARGIN_PX)
    drawn = Image.new("RGB", size, (255, 255, 255))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(size=14)
    for y, row in enumerate(rows):
        for x, (title, image) in enumerate(row):
            place = _MARGIN_PX + x * across, _MARGIN_PX + y * down
            shown = Image.frombytes("RGB", (image.width_px, image.height_px), image.rgb)
            drawn.paste(shown.resize((_SHOWN_PX, _SHOWN_PX), Image.Resampling.NEAREST), place)
            pen.text((place[0], place[1] + _SHOWN_PX + 5), title, fill=(40, 40, 40), font=font)
    return drawn


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, nargs="?", default=Path("docs/pictures.png"))
    arguments = parser.parse_args()
    pipeline = SdxlPipeline.load("doodle")
    pipeline.warm_up([(LIKE.width_px, LIKE.height_px)], num_images=1)
    sheet(pipeline).save(arguments.path, optimize=True)


if __name__ == "__main__":
    main()
