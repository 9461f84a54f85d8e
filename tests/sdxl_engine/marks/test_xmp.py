"""XMP: where each format wants it, and read whoever wrote it."""

import io
import struct
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdxl_engine.images import encode_png, encode_within
from sdxl_engine.marks.file_marks import marks_in
from sdxl_engine.marks.marks import NO_MARKS, Marks
from sdxl_engine.marks.xmp import SOURCES, TRAINED_MODEL, packet, source_in
from sdxl_engine.request import GeneratedImage

IMAGE = GeneratedImage(0, 7, 64, 64, bytes(64 * 64 * 3))
MARKS = Marks(xmp=True)
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def png() -> bytes:
    return encode_png(IMAGE, "a cat", MARKS)


def webp() -> bytes:
    return encode_within(IMAGE, "a cat", 1, MARKS).data


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", xmp=packet().encode())
    return file.getvalue()


def in_png(data: bytes) -> bytes:
    """As PNG (third edition, 11.3.3.4) has it: keyword, not compressed, no language."""
    place = 8
    while place < len(data):
        length, kind = struct.unpack_from(">L4s", data, place)
        body = data[place + 8 : place + 8 + length]
        if kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0\0\0\0\0"):
            return body[22:]
        place += 12 + length
    raise AssertionError("there is no XMP")


def in_webp(data: bytes) -> bytes:
    """As RFC 9649 has it: a chunk of its own, and a flag in the first."""
    assert data[12:16] == b"VP8X"
    assert data[20] & 0b100
    at = data.index(b"XMP ")
    (length,) = struct.unpack_from("<L", data, at + 4)
    return data[at + 8 : at + 8 + length]


def in_jpeg(data: bytes) -> bytes:
    """As XMP part 3 has it: an APP1 segment that begins with the namespace."""
    start = b"http://ns.adobe.com/xap/1.0/\0"
    at = data.index(start)
    (length,) = struct.unpack_from(">H", data, at - 2)
    assert data[at - 4 : at - 2] == b"\xff\xe1"
    return data[at + len(start) : at - 2 + length]


@pytest.mark.parametrize(("file", "read"), [(png, in_png), (webp, in_webp), (jpeg, in_jpeg)])
def test_it_stands_where_the_format_has_it(file: object, read: object) -> None:
    assert callable(file)
    assert callable(read)
    tree = ElementTree.fromstring(read(file()).decode())  # noqa: S314 - ours
    (description,) = tree.iter(f"{RDF}Description")
    assert description.get(f"{IPTC}DigitalSourceType") == TRAINED_MODEL
    assert marks_in(file()).says_model


def test_the_parameters_stay_where_they_are() -> None:
    with Image.open(io.BytesIO(png())) as picture:
        assert picture.info["parameters"] == "a cat"


def test_what_is_off_is_not_there() -> None:
    data = encode_png(IMAGE, "a cat", NO_MARKS)
    assert b"xmp" not in data
    assert marks_in(data).source is None


@pytest.mark.parametrize(
    "xmp",
    [
        '<x a:DigitalSourceType="{}"/>',
        "<x a:DigitalSourceType = '{}'/>",
        "<a:DigitalSourceType>{}</a:DigitalSourceType>",
        "<a:DigitalSourceType>\n  {}\n</a:DigitalSourceType>",
        '<a:DigitalSourceType rdf:resource="{}"/>',
    ],
)
def test_every_way_to_write_it_is_read(xmp: str) -> None:
    assert source_in(xmp.format(TRAINED_MODEL)) == TRAINED_MODEL
    assert source_in(xmp.format(SOURCES + "digitalCapture")) == SOURCES + "digitalCapture"


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert source_in(text) is None or "DigitalSourceType" in text


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_said_to_be_unread(data: bytes) -> None:
    assert marks_in(data).unread
