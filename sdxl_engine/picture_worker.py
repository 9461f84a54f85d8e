"""Decodes one picture: its file on standard input, what is seen on standard output.

A process of its own, so that a file which takes too long or too much memory costs nothing but that.
On standard output stand `HEADER` and the pixels, or a sentence for the person who sent the file;
the exit code tells which.
"""

import hashlib
import io
import struct
import sys
import warnings
import zlib
from contextlib import suppress
from typing import Final, cast

from PIL import Image, ImageCms, ImageOps

from sdxl_engine.sentence import say, sentence_of, to_json

MAX_PIXELS: Final = 64_000_000
KEPT_SIDE_PX: Final = 4_096  # twice the largest side that is drawn
REFUSED: Final = 3
# The content hash, 32 bytes; width and height.
HEADER: Final = struct.Struct(">32sII")
# No others: some of Pillow's readers start programs.
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")
_READ: Final = "PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF"
_MEMORY_BYTES: Final = 4 << 30
_FTYP: Final = b"ftyp"
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
_JXL_STARTS: Final = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")
_STARTS: Final = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0 ftypavif": "AVIF",
}
_LOW_BYTE: Final = 256  # 16 bits a level to 8
# What Pillow raises for what is damaged, whichever of its readers meets it.
_UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,  # of AVIF
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class _RefusedError(Exception):
    """A sentence for the person."""


def decoded(data: bytes) -> tuple[bytes, Image.Image]:
    """Its content hash and the picture, RGBA, upright, in sRGB; raises _RefusedError.

    The hash is that of width, height and pixels before a picture larger than KEPT_SIDE_PX is
    shrunk.
    """
    try:
        image = _upright(data)
    except _UNREADABLE as error:
        raise _RefusedError(_why_unreadable(data)) from error
    digest = digest_of(image.width, image.height, image.tobytes())
    image.thumbnail((KEPT_SIDE_PX, KEPT_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=None)
    return digest, image


def digest_of(width_px: int, height_px: int, rgba: bytes) -> bytes:
    """The content hash of a picture, 32 bytes."""
    return hashlib.sha256(struct.pack(">II", width_px, height_px) + rgba).digest()


def _upright(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise _RefusedError(
            say(
                "The picture is {width:,} x {height:,} pixels large; {most} million in all are the "
                "most. Send a smaller one.",
                width=image.width,
                height=image.height,
                most=MAX_PIXELS // 1_000_000,
            )
        )
    image.load()
    profile, transparency = image.info.get("icc_profile"), image.info.get("transparency")
    alpha = None
    if "A" in image.getbands() or transparency is not None:
        alpha = image.convert("RGBA").getchannel("A")
    rgb = _in_srgb(_of_eight_bits(image), profile)
    if alpha is not None:
        rgb.putalpha(alpha)
    return _oriented(rgb.convert("RGBA"), image)


def _of_eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow cuts levels above 255 off
        whole = image.convert("I")
        _, most = cast("tuple[int, int]", whole.getextrema())  # of one channel
        if image.mode != "I" or most >= _LOW_BYTE:
            whole = whole.point(lambda level: level / _LOW_BYTE)
        return whole.convert("L")
    if image.mode == "F":
        raise _RefusedError(
            say("The picture holds levels that are no whole numbers. Save it as PNG or JPEG.")
        )
    if image.mode in {"P", "PA", "1", "LA", "La", "RGBa"}:
        return image.convert("RGBA").convert("RGB")
    return image


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode in {"RGB", "RGBA", "L", "CMYK"}:
        source = image.convert("RGB") if image.mode == "RGBA" else image
        # One that is broken, or of other colours than the picture's, says nothing.
        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            shown = ImageCms.profileToProfile(
                source,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            if shown is not None:
                return shown
    return image.convert("RGB")


def _oriented(image: Image.Image, original: Image.Image) -> Image.Image:
    """As the camera was held."""
    with suppress(OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        image.getexif()[_ORIENTATION] = original.getexif().get(_ORIENTATION, 1)
    return ImageOps.exif_transpose(image)


_ORIENTATION: Final = 0x0112


def _why_unreadable(data: bytes) -> str:
    if not data:
        return say("The file is empty. Send a picture.")
    kind = None
    if data[4:8] == _FTYP and data[8:12] in _HEIC_BRANDS:
        kind = "HEIC"
    elif data.startswith(_JXL_STARTS):
        kind = "JPEG XL"
    if kind is not None:
        return say(
            "This is a {kind} picture, which is not read here. Save it as PNG or JPEG and send "
            "that.",
            kind=kind,
        )
    for start, known in _STARTS.items():
        if data.startswith(start):
            return say("The {kind} picture is damaged or cut off. Send it again.", kind=known)
    return say(
        "The file is no picture that can be read here; {kinds} are. Send one of these.",
        kinds=_READ,
    )


def main() -> int:
    """Decode standard input."""
    warnings.simplefilter("ignore")  # whatever Pillow warns of, a picture is read or it is not
    Image.MAX_IMAGE_PIXELS = None  # it would raise from twice its own limit on; ours is looked at
    with suppress(ImportError, ValueError, OSError):  # not everywhere, nor always allowed
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    try:
        digest, image = decoded(sys.stdin.buffer.read())
    except _RefusedError as refused:
        sys.stdout.buffer.write(to_json(sentence_of(refused)).encode())
        return REFUSED
    sys.stdout.buffer.write(HEADER.pack(digest, image.width, image.height))
    sys.stdout.buffer.write(image.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
