"""The texts of an Exif block (Exif 2.32; TIFF 6.0, section 2)."""

import struct
from collections.abc import Iterator
from typing import Final

_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
_EXIF_IFD: Final = 0x8769
_TAGS: Final = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x927C: "MakerNote",
    0x9286: "UserComment",
}
_BYTE, _ASCII, _LONG, _UNDEFINED = 1, 2, 4, 7  # types of values
_MAX_ENTRIES: Final = 200
_MAX_BYTES: Final = 4 << 20  # a megabyte of characters at their longest
_CODE_BYTES: Final = 8  # at the beginning of a UserComment
_UNICODE, _PLAIN = b"UNICODE\0", (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(_CODE_BYTES))


def exif_texts(tiff: bytes) -> Iterator[tuple[str, str]]:
    """The texts of its first directory and of Exif's own, called as their tags are."""
    order = _ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:  # noqa: PLR2004 - its header
        return
    (first,) = struct.unpack_from(f"{order}L", tiff, 4)
    directories = [first]
    for place in directories:
        for tag, kind, value in _entries(tiff, order, place):
            if tag == _EXIF_IFD and kind == _LONG and len(directories) == 1:
                directories.append(struct.unpack(f"{order}L", value[:4])[0])
            elif tag in _TAGS and kind in {_BYTE, _ASCII, _UNDEFINED}:
                text = _comment(value, order) if _TAGS[tag] == "UserComment" else _plain(value)
                # ComfyUI writes what it calls a text before the text.
                name, colon, rest = text.partition(":")
                if colon and name in {"prompt", "workflow"} and rest.lstrip()[:1] == "{":
                    yield name, rest
                else:
                    yield _TAGS[tag], text


def _entries(tiff: bytes, order: str, place: int) -> Iterator[tuple[int, int, bytes]]:
    """Tag, type and bytes of each entry of a directory, as far as it is whole."""
    if place + 2 > len(tiff):
        return
    (count,) = struct.unpack_from(f"{order}H", tiff, place)
    for entry in range(place + 2, place + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        if entry + 12 > len(tiff):
            return
        tag, kind, length, start = struct.unpack_from(f"{order}HHLL", tiff, entry)
        if kind == _LONG or length <= 4:  # noqa: PLR2004 - such values stand in their place's place
            start, length = entry + 8, 4 if kind == _LONG else length
        if length <= _MAX_BYTES:
            yield tag, kind, tiff[start : start + length]


def _comment(value: bytes, order: str) -> str:
    code, text = value[:_CODE_BYTES], value[_CODE_BYTES:]
    if code == _UNICODE:
        return _utf16(text, order).rstrip("\0")
    return _plain(text if code in _PLAIN else value)


def _utf16(text: bytes, order: str) -> str:
    """In the order of a mark, of a big-endian block, or in which more is Latin.

    Exif asks for the block's own order; most programs write big-endian into little-endian blocks.
    """
    text = text[: len(text) // 2 * 2]
    little = text[:2] == b"\xff\xfe"
    if not little and text[:2] != b"\xfe\xff" and order == "<":
        little = text[1::2].count(0) > text[::2].count(0)
    decoded = text.decode("utf-16-le" if little else "utf-16-be", "replace")
    return decoded.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")


def _plain(text: bytes) -> str:
    text = text.rstrip(b"\0")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
