"""Finished pixels to file bytes, with the settings inside the file. No jax here.

PNG carries the settings as text under `parameters`, WebP as the Exif UserComment: the two places
where other tools for Stable Diffusion look for them.
"""

import io
from dataclasses import dataclass
from typing import Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdxl_engine.request import (
    SAMPLERS,
    SPACINGS,
    GeneratedImage,
    ImageRequest,
    Images,
    format_size,
)

# zlib level 1: on 1024 x 1024 pictures a third of the time of level 6 for some 5 % more bytes.
_PNG_COMPRESS_LEVEL: Final = 1
_LOSSY_QUALITIES: Final = (92, 80, 60, 40)
_PREVIEW_SIDE_PX: Final = 256  # of each picture's longer side; a few kilobytes in all
_PREVIEW_QUALITY: Final = 70
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A finished file.

    extension     "png" or "webp", also the end of its media type
    """

    data: bytes
    extension: str


def describe(request: ImageRequest, index: int, *, model: str) -> str:
    """The settings of one picture in the three-line form that other tools write and read back.

    index  of the picture, `GeneratedImage.index`: with it this picture alone can be drawn again
    """
    lines = [_one_line(request.prompt)]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {_one_line(request.negative_prompt)}")
    spacing = f"Schedule type: {SPACINGS[request.spacing]}, " if request.spacing else ""
    lines.append(
        f"Steps: {request.num_inference_steps}, Sampler: {SAMPLERS[request.sampler]}, {spacing}"
        f"CFG scale: {request.guidance_scale:g}, Seed: {request.seed}, Index: {index}, "
        f"Size: {format_size(request.width_px, request.height_px)}, Model: {model}"
    )
    return "\n".join(lines)


def _one_line(text: str) -> str:
    # A line break in a prompt could pose as the settings that follow it.
    return " ".join(text.split())


def encode_png(image: GeneratedImage, parameters: str) -> bytes:
    """Lossless bytes with `parameters` as a text chunk (iTXt where Latin-1 does not suffice)."""
    info = PngInfo()
    info.add_text("parameters", parameters)
    return _save(image, "PNG", pnginfo=info, compress_level=_PNG_COMPRESS_LEVEL)


def encode_within(image: GeneratedImage, parameters: str, limit_bytes: int) -> EncodedImage:
    """PNG if it fits `limit_bytes`, else the best WebP that does (the smallest if none does)."""
    png = encode_png(image, parameters)
    if len(png) <= limit_bytes:
        return EncodedImage(png, "png")
    for quality in _LOSSY_QUALITIES:
        webp = _save(image, "WEBP", quality=quality, exif=_exif(parameters))
        if len(webp) <= limit_bytes:
            break
    return EncodedImage(webp, "webp")


def encode_preview(previews: Images) -> EncodedImage:
    """Small pictures, two in a row, as one of a size to look at."""
    width_px, height_px = previews[0].width_px, previews[0].height_px
    scale = _PREVIEW_SIDE_PX / max(width_px, height_px)
    side_px = round(width_px * scale), round(height_px * scale)
    columns = min(2, len(previews))
    rows = -(-len(previews) // columns)
    sheet = Image.new("RGB", (columns * side_px[0], rows * side_px[1]))
    for place, image in enumerate(previews):
        enlarged = _picture(image).resize(side_px, Image.Resampling.BICUBIC)
        sheet.paste(enlarged, (place % columns * side_px[0], place // columns * side_px[1]))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=_PREVIEW_QUALITY)
    return EncodedImage(buffer.getvalue(), "webp")


def _exif(parameters: str) -> Image.Exif:
    exif = Image.Exif()
    # Exif 2.32, 4.6.6 UserComment: eight bytes name the character code, here UTF-16.
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + parameters.encode("utf-16-be")
    return exif


def _save(image: GeneratedImage, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    _picture(image).save(buffer, kind, **options)
    return buffer.getvalue()


def _picture(image: GeneratedImage) -> Image.Image:
    return Image.frombytes("RGB", (image.width_px, image.height_px), image.rgb)
