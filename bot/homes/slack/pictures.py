"""Pictures that are shown blurred: Slack has no other way to hide one until somebody looks."""

import asyncio
import io
from typing import Final

from PIL import Image, ImageFilter

_BLURRED_AT_PX: Final = 64  # nothing of a picture is left that is smaller than a sixteenth
_RADIUS_PX: Final = 4.0
_SHOWN_PX: Final = 512


async def blurred(data: bytes) -> bytes:
    """A JPEG in which a picture's colours are to be seen, and nothing else; `data` is a file."""
    return await asyncio.to_thread(_blurred, data)


async def small(data: bytes) -> bytes:
    """A JPEG of a picture that is small already: Slack shows no WebP."""
    return await asyncio.to_thread(_small, data)


def blank() -> bytes:
    """A PNG with nothing on it, in the place of a picture that is lost."""
    file = io.BytesIO()
    Image.new("RGB", (_SHOWN_PX, _SHOWN_PX), "grey").save(file, "PNG")
    return file.getvalue()


def _small(data: bytes) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as opened:
        opened.convert("RGB").save(file, "JPEG", quality=85)
    return file.getvalue()


def _blurred(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((_BLURRED_AT_PX, _BLURRED_AT_PX))
    picture = picture.filter(ImageFilter.GaussianBlur(_RADIUS_PX))
    scale = _SHOWN_PX / max(picture.size)
    large = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
    )
    file = io.BytesIO()
    large.save(file, "JPEG", quality=80)
    return file.getvalue()
