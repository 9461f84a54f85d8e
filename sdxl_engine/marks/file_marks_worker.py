"""Reads one file's XMP and Content Credentials: the file comes in, JSON goes out.

A process of its own, as the one that decodes pictures: a file may have been made to do harm.
"""

import io
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import c2pa
from PIL import Image

from sdxl_engine.marks.credentials import SETTINGS

_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_MEMORY_BYTES: Final = 4 << 30
_MAX_XMP_BYTES: Final = 1 << 20
_TEXT_CHARS: Final = 200  # of each name that somebody wrote
_MAX_LISTED: Final = 20
_UNTRUSTED: Final = "signingCredential.untrusted"  # no list of whom to trust is fetched


def read(data: bytes) -> dict[str, Any]:
    """What is found, as `FileMarks` has it."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            media_type, info = picture.get_format_mimetype(), dict(picture.info)
    except Exception:  # noqa: BLE001 - whatever Pillow raises for what is damaged
        return {"xmp": "", "credentials": None, "unread": True}
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    if isinstance(xmp, bytes):
        xmp = xmp[:_MAX_XMP_BYTES].decode("utf-8", "replace")
    try:
        credentials = _credentials(data, media_type or "")
    except c2pa.C2paError as error:
        problem = str(error)[:_TEXT_CHARS]
        credentials = {"state": "Invalid", "problems": [problem]}
    return {"xmp": xmp[:_MAX_XMP_BYTES], "credentials": credentials, "unread": False}


def _credentials(data: bytes, media_type: str) -> dict[str, Any] | None:
    with c2pa.Settings.from_dict(SETTINGS) as settings, c2pa.Context(settings) as context:
        try:
            reader = c2pa.Reader(media_type, io.BytesIO(data), context=context)
        except c2pa.C2paError.ManifestNotFound:
            return None
        with reader:
            if not reader.is_embedded():  # it lies elsewhere, and nobody asks for it
                return None
            told = json.loads(reader.json())
            state = reader.get_validation_state()
    manifest = told["manifests"][told["active_manifest"]]
    signature = manifest.get("signature_info", {})
    programs = manifest.get("claim_generator_info") or [{}]
    problems = {one["code"] for one in told.get("validation_status", [])} - {_UNTRUSTED}
    return {
        "state": state,
        "problems": sorted(problems)[:_MAX_LISTED],
        "signed_by": _text(signature.get("common_name")),
        "issuer": _text(signature.get("issuer")),
        "program": _text(programs[0].get("name")),
        "sources": [*dict.fromkeys(_sources(manifest))][:_MAX_LISTED],
    }


def _sources(manifest: dict[str, Any]) -> Iterator[str]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label")).startswith("c2pa.actions"):
            for action in assertion.get("data", {}).get("actions", []):
                if isinstance(action.get("digitalSourceType"), str):
                    yield action["digitalSourceType"][:_TEXT_CHARS]


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:_TEXT_CHARS]


def main() -> int:
    """Read standard input."""
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # no pixel is decoded
    with suppress(ImportError, ValueError, OSError):  # not everywhere, nor always allowed
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    sys.stdout.write(json.dumps(read(sys.stdin.buffer.read())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
