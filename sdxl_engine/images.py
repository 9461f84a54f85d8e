"""Finished pixels to file bytes, with the settings inside the file. No jax here.

PNG carries the settings as text under `parameters`, WebP as the Exif UserComment: the two places
where other tools for Stable Diffusion look for them.
"""

import io
import json
import re
import struct
from dataclasses import dataclass
from typing import Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdxl_engine.marks.marks import NO_MARKS, Marks
from sdxl_engine.marks.xmp import PNG_KEYWORD
from sdxl_engine.request import (
    EMPHASES,
    SAMPLERS,
    SPACINGS,
    USUAL_EMPHASIS,
    GeneratedImage,
    ImageRequest,
    Images,
    ModelCard,
    Source,
    Variation,
    format_size,
    format_timesteps,
)

# zlib level 1: on 1024 x 1024 pictures a third of the time of level 6 for some 5 % more bytes.
_PNG_COMPRESS_LEVEL: Final = 1
_LOSSY_QUALITIES: Final = (92, 80, 60, 40)
_PREVIEW_SIDE_PX: Final = 256  # of each picture's longer side; a few kilobytes in all
_THUMBNAIL_SIDE_PX: Final = 384  # a third of a phone's width, sharp
_PREVIEW_QUALITY: Final = 70
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_LONG, _UNDEFINED = 4, 7  # types of Exif's values
_SEPARATORS: Final = re.compile(r'[,:\n"]')
_FIELDS: Final = re.compile(r"\b(negative prompt|steps):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A finished file.

    extension     "png" or "webp", also the end of its media type
    """

    data: bytes
    extension: str


def describe(request: ImageRequest, index: int = 0, *, model: ModelCard | str) -> str:
    """The settings of one picture in the three-line form that other tools write and read back.

    index  of the picture, `GeneratedImage.index`: with it this picture alone can be drawn again
    model  what drew it, at least its name

    LoRAs stand in the prompt, where those tools have them.
    """
    if isinstance(model, str):
        model = ModelCard(model)
    # 15 digits: all that people write, and none that floating point makes of them.
    tags = [f"<lora:{lora.name}:{lora.strength:.15g}>" for lora in request.loras]
    lines = [" ".join([_one_line(request.prompt), *tags])]
    if request.negative_prompt is not None:  # an empty one draws another picture than none
        lines.append(f"Negative prompt: {_one_line(request.negative_prompt)}".rstrip())
    hashes = [
        f"{lora.name}: {model.lora_hashes[lora.name]}"
        for lora in request.loras
        if lora.name in model.lora_hashes
    ]
    start, stop = request.guidance_interval
    settings = {
        "Steps": request.num_inference_steps,
        "Sampler": request.sampler and SAMPLERS[request.sampler],
        "Schedule type": request.spacing and SPACINGS[request.spacing],
        "Timesteps": request.timesteps and format_timesteps(request.timesteps),
        "CFG scale": f"{request.guidance_scale:.15g}",
        "CFG Rescale phi": f"{request.guidance_rescale:.15g}" if request.guidance_rescale else None,
        "Guidance interval": None if (start, stop) == (0, 1) else f"{start:.15g} to {stop:.15g}",
        "Seed": request.seed,
        "Index": index,
        "Size": format_size(request.width_px, request.height_px),
        "Model hash": model.hash,
        "Model": model.name,
        "VAE hash": model.vae_hash,
        "VAE": model.vae,
        "Clip skip": model.clip_skip,
        "Emphasis": None if request.emphasis == USUAL_EMPHASIS else EMPHASES[request.emphasis],
        "Lora hashes": ", ".join(hashes) or None,
        **_of_variation(request.variation),
        **_of_source(request.source),
        "Hires upscale": request.upscale and f"{request.upscale:g}",
    }
    lines.append(
        ", ".join(
            f"{key}: {_quoted(str(value))}" for key, value in settings.items() if value is not None
        )
    )
    return "\n".join(lines)


def _of_variation(variation: Variation | None) -> dict[str, object]:
    if variation is None:
        return {}
    return {
        "Variation seed": variation.seed,
        "Variation seed strength": f"{variation.strength:.15g}",
        "Variation of": variation.index,
    }


def _of_source(source: Source | None) -> dict[str, object]:
    if source is None:
        return {}
    return {
        "Denoising strength": f"{source.strength:.15g}",
        "Source": source.picture,
        "Resize mode": source.resize,
        "Zoom": None if source.zoom == 1 else f"{source.zoom:.15g}",
        "Mask": source.mask,
        "Mask blur": None if source.mask is None else source.feather_px,
    }


def _quoted(value: str) -> str:
    """As A1111 writes a value that holds what separates values, or what it quotes them with."""
    return json.dumps(value, ensure_ascii=False) if _SEPARATORS.search(value) else value


def _one_line(text: str) -> str:
    """A prompt that no reader takes for the settings that follow it.

    On one line, and with a space before the colon of what would begin them: to CLIP's tokenizers
    the same words.
    """
    return _FIELDS.sub(r"\1 :", " ".join(text.split()))


def encode_png(image: GeneratedImage, parameters: str, marks: Marks = NO_MARKS) -> bytes:
    """Lossless bytes with `parameters` as a text chunk (iTXt where Latin-1 does not suffice)."""
    return _png(marks.on_pixels(_picture(image)), parameters, marks)


def encode_within(
    image: GeneratedImage, parameters: str, limit_bytes: int, marks: Marks = NO_MARKS
) -> EncodedImage:
    """PNG if it fits `limit_bytes`, else the best WebP that does (the smallest if none does)."""
    picture = marks.on_pixels(_picture(image))
    png = _png(picture, parameters, marks)
    if len(png) <= limit_bytes:
        return EncodedImage(png, "png")
    xmp = {} if marks.packet is None else {"xmp": marks.packet.encode()}
    for quality in _LOSSY_QUALITIES:
        webp = _saved(picture, "WEBP", quality=quality, exif=_exif(parameters), **xmp)
        webp = marks.on_file(webp, "webp")
        if len(webp) <= limit_bytes:
            break
    return EncodedImage(webp, "webp")


def _png(picture: Image.Image, parameters: str, marks: Marks) -> bytes:
    info = PngInfo()
    info.add_text("parameters", parameters)
    if marks.packet is not None:  # Pillow writes `xmp` into other files, but not into these
        info.add_itxt(PNG_KEYWORD, marks.packet)
    png = _saved(picture, "PNG", pnginfo=info, compress_level=_PNG_COMPRESS_LEVEL)
    return marks.on_file(png, "png")


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


def thumbnail(file: bytes) -> EncodedImage:
    """A picture that was encoded here, small; 0.05 s of a core. Not for other people's files."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(file)) as picture:
        picture.draft("RGB", (_THUMBNAIL_SIDE_PX, _THUMBNAIL_SIDE_PX))
        small = picture.convert("RGB")
    small.thumbnail((_THUMBNAIL_SIDE_PX, _THUMBNAIL_SIDE_PX))
    small.save(buffer, "WEBP", quality=_PREVIEW_QUALITY)
    return EncodedImage(buffer.getvalue(), "webp")


def _exif(parameters: str) -> bytes:
    """Exif with a UserComment and nothing else; Pillow would give it a type that it must not have.

    Exif 2.32: a TIFF header (4.5.2), an IFD that holds the place of the Exif IFD, that with one
    entry (4.6.2). The comment (4.6.5) begins with eight bytes that name its character code.
    """
    comment = b"UNICODE\0" + parameters.encode("utf-16-be")
    header_bytes, ifd_bytes = 8, 18
    entry = ">HHHLLL"  # one entry: how many, tag, type, count, value or its place; no next IFD
    first = struct.pack(entry, 1, _EXIF_IFD, _LONG, 1, header_bytes + ifd_bytes, 0)
    place = header_bytes + 2 * ifd_bytes
    second = struct.pack(entry, 1, _USER_COMMENT, _UNDEFINED, len(comment), place, 0)
    return b"Exif\0\0" + struct.pack(">2sHL", b"MM", 42, header_bytes) + first + second + comment


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _picture(image: GeneratedImage) -> Image.Image:
    return Image.frombytes("RGB", (image.width_px, image.height_px), image.rgb)
