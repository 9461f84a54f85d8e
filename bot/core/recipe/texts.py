"""The texts that lie beside a picture's pixels; none of them is decoded, and all is bounded.

PNG (third edition, 11.3.3): tEXt, zTXt, iTXt, eXIf. JPEG (ITU T.81, B.1.1.2): APP1 with Exif, COM.
WebP (RFC 9649, 2.7): EXIF.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from bot.core.recipe.exif import exif_texts
from bot.errors import NoRecipeError
from sdxl_engine.sentence import say

MAX_FILE_BYTES: Final = 16 << 20  # as far as a file is read
MAX_TEXT_CHARS: Final = 1 << 20  # of all texts together
_MAX_PIECES: Final = 20_000  # of 16 MiB, if they hold 800 bytes each
_MAX_TEXTS: Final = 64  # each of which may be a megabyte compressed to a thousand bytes
# How a graph lies on the screen of who made it; what it does stands in another text.
_PASSED_OVER: Final = frozenset({"workflow", "invokeai_workflow", "XML:com.adobe.xmp"})

_PNG, _JPEG, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"WEBP"
_EXIF: Final = b"Exif\0\0"
_MARK, _APP1, _COM, _SOS, _EOI = 0xFF, 0xE1, 0xFE, 0xDA, 0xD9  # of JPEG
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers that nothing belongs to


def texts_of(data: bytes) -> dict[str, str]:
    """The texts of a PNG, JPEG or WebP file by their names, each name's first.

    Of Exif they are called as its tags are. Damage ends the reading, not what was read before it.
    Raises NoRecipeError for a file of another kind.
    """
    data = data[:MAX_FILE_BYTES]
    if data.startswith(_PNG):
        found = _of_png(data)
    elif data.startswith(_JPEG):
        found = _of_jpeg(data)
    elif data.startswith(_RIFF) and data[8:12] == _WEBP:
        found = _of_webp(data)
    else:
        raise NoRecipeError(
            say(
                "This is no PNG, JPEG or WebP file: of others it is not known where they say how "
                "they were drawn. Give the picture as it was saved first."
            )
        )
    texts: dict[str, str] = {}
    left = MAX_TEXT_CHARS
    for name, text in islice(found, _MAX_TEXTS):
        if name not in texts and name not in _PASSED_OVER and len(text) <= left and text.strip():
            texts[name] = text
            left -= len(text)
    return texts


def _of_png(data: bytes) -> Iterator[tuple[str, str]]:
    place = len(_PNG)
    for _ in range(_MAX_PIECES):
        if place + 8 > len(data):
            return
        length, kind = struct.unpack_from(">L4s", data, place)
        place += 8
        if kind in {b"tEXt", b"zTXt", b"iTXt"} and length <= MAX_TEXT_CHARS * 4:
            key, end, body = data[place : place + length].partition(b"\0")
            yield key.decode("latin-1"), _READ_PNG[kind](body) if end else ""
        elif kind == b"eXIf":
            yield from exif_texts(data[place : place + length])
        place += length + 4  # and its checksum


def _latin(body: bytes) -> str:
    return body.decode("latin-1")


def _compressed_latin(body: bytes) -> str:
    return _inflated(body[1:]).decode("latin-1")


def _international(body: bytes) -> str:
    compressed = body[:1] != b"\0"
    *_, text = body[2:].split(b"\0", 2)  # behind a language and the keyword in it
    return (_inflated(text) if compressed else text).decode("utf-8", "replace")


_READ_PNG: Final = {b"tEXt": _latin, b"zTXt": _compressed_latin, b"iTXt": _international}


def _inflated(body: bytes) -> bytes:
    """The whole of it; nothing if it is damaged, or larger than a text may be."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(body, MAX_TEXT_CHARS + 1)
    except zlib.error:
        return b""
    return inflated if len(inflated) <= MAX_TEXT_CHARS else b""


def _of_jpeg(data: bytes) -> Iterator[tuple[str, str]]:
    place = 2
    for _ in range(_MAX_PIECES):
        if place + 4 > len(data) or data[place] != _MARK:
            return
        marker = data[place + 1]
        if marker == _MARK or marker in _ALONE:
            place += 1 if marker == _MARK else 2
            continue
        if marker in {_SOS, _EOI}:
            return
        (length,) = struct.unpack_from(">H", data, place + 2)
        body = data[place + 4 : place + 2 + length]
        if marker == _APP1 and body.startswith(_EXIF):
            yield from exif_texts(body.removeprefix(_EXIF))
        elif marker == _COM:
            yield "comment", body.decode("utf-8", "replace")
        place += 2 + max(length, 2)


def _of_webp(data: bytes) -> Iterator[tuple[str, str]]:
    place = 12
    for _ in range(_MAX_PIECES):
        if place + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sL", data, place)
        if kind == b"EXIF":
            yield from exif_texts(data[place + 8 : place + 8 + length].removeprefix(_EXIF))
        place += 8 + length + length % 2
