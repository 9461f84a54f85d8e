"""Pictures with texts, as programs write them."""

import io
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

PNG = b"\x89PNG\r\n\x1a\n"


def png(**texts: str) -> bytes:
    """With text chunks; an underscore is a dash in `sd_metadata`."""
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name.replace("sd_", "sd-"), text)
    return saved("PNG", pnginfo=info)


def graph(nodes: Mapping[str, tuple[str, Mapping[str, Any]]]) -> bytes:
    """A PNG with a graph of ComfyUI: by id, the kind and the inputs of each node."""
    told = {
        name: {"class_type": kind, "inputs": dict(inputs)} for name, (kind, inputs) in nodes.items()
    }
    return png(prompt=json.dumps(told))


def saved(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(comment: bytes, order: str = ">", tag: int = 0x9286, kind: int = 7) -> bytes:
    """Exif whose first directory holds one text."""
    head = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(f"{order}HHHLLL", 1, tag, kind, len(comment), 26, 0)
    return b"Exif\0\0" + head + struct.pack(f"{order}L", 8) + entry + comment


def chunk(kind: bytes, body: bytes) -> bytes:
    """One of a PNG."""
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
