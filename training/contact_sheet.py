"""The picture of what the embedded model draws: 24 prompts, four images each, nothing picked.

python training/contact_sheet.py [PATH]       by default docs/doodle.png
"""

import argparse
import textwrap
from pathlib import Path
from typing import Final

from adherence import draw
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from sdxl_engine import ImageRequest, SdxlPipeline

PROMPTS: Final = (
    "a red circle on a blue background",
    "purple star, white background",
    "a big green tree on a meadow",
    "a white boat at sea",
    "a dolphin with a party hat in a pool",
    "a black cat at night",
    "an orange fish in the ocean",
    "yellow house on a pink background",
    "a pink heart on a black background",
    "a small blue square at the top left",
    "a huge yellow flower on green",
    "a purple dolphin under the moon",
    "a red triangle above a white circle",
    "a green fish wearing a party hat, yellow background",
    "a brown cat next to a pink flower",
    "a red house on a meadow",
    "a blue star left of an orange heart",
    "white cat on red",
    "show me a cute pink dolphin at sea",
    "a yellow star in the night sky",
    "a black heart on an orange background",
    "green triangle on the right, purple background",
    "a small orange boat in a pool",
    "a fish",
)
_COLUMNS: Final = 6
_SIDE_PX: Final = 128
_GAP_PX: Final = 2  # between the four images of a prompt
_MARGIN_PX: Final = 18
_TEXT_PX: Final = 44


def contact_sheet(pipeline: SdxlPipeline, prompts: tuple[str, ...]) -> Image.Image:
    """All prompts with their images; prompt k has seed k and the bot's default settings."""
    block_px = 2 * _SIDE_PX + _GAP_PX
    across, down = block_px + _MARGIN_PX, block_px + _TEXT_PX + _MARGIN_PX
    rows = -(-len(prompts) // _COLUMNS)
    size = (_COLUMNS * across + _MARGIN_PX, rows * down + _MARGIN_PX)
    sheet = Image.new("RGB", size, (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for place, prompt in enumerate(tqdm(prompts, unit=" prompts")):
        left = _MARGIN_PX + place % _COLUMNS * across
        top = _MARGIN_PX + place // _COLUMNS * down
        request = ImageRequest(prompt, seed=place, width_px=_SIDE_PX, height_px=_SIDE_PX)
        for k, pixels in enumerate(draw(pipeline, request)):
            x, y = (side * (_SIDE_PX + _GAP_PX) for side in (k % 2, k // 2))
            sheet.paste(Image.fromarray(pixels), (left + x, top + y))
        words = textwrap.fill(prompt, 34)
        pen.text((left, top + block_px + 5), words, fill=(40, 40, 40), font=font)
    return sheet


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, nargs="?", default=Path("docs/doodle.png"))
    parser.add_argument("--model", default="doodle")
    arguments = parser.parse_args()
    pipeline = SdxlPipeline.load(arguments.model)
    pipeline.warm_up([(_SIDE_PX, _SIDE_PX)])
    contact_sheet(pipeline, PROMPTS).save(arguments.path, optimize=True)


if __name__ == "__main__":
    main()
