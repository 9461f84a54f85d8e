"""Request bodies: JSON, or multipart with `payload_json` and `files[n]`, within Discord's sizes."""

import asyncio
import io
import mimetypes
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from PIL import Image

from standins.base.wire import Json, parse_json
from standins.discord.errors import ApiError, Refusal, form_error

PAYLOAD: Final = web.RequestKey("payload", object)  # a request's parsed JSON
MAX_REQUEST_BYTES: Final = 25 * 2**20
MAX_IMAGE_PIXELS: Final = 2**26

_FILE_FIELD = re.compile(r"files\[([0-9]{1,3})\]")
_CHUNK_BYTES: Final = 2**16


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it came in.

    width_px, height_px  of an image that Pillow can read the header of, else None
    """

    filename: str
    content_type: str
    data: bytes
    width_px: int | None = None
    height_px: int | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A request body.

    uploads  by n of `files[n]`
    """

    payload: Json
    uploads: dict[int, Upload] = field(default_factory=dict)


async def read_json(request: web.Request) -> object:
    """The JSON body; raises ApiError."""
    allowance = _Allowance(request)
    data = await allowance.collect(request.content.iter_chunked(_CHUNK_BYTES))
    if allowance.spent:
        raise ApiError(Refusal.TOO_LARGE)
    return _parse(data, request)


async def read_form(request: web.Request, *, file_limit_bytes: int) -> Form:
    """The JSON or multipart body; raises ApiError."""
    if not request.content_type.startswith("multipart/"):
        return Form(_object(await read_json(request)))
    allowance = _Allowance(request)
    parts: list[tuple[str, str, bytes]] = []
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise ApiError(Refusal.BAD_REQUEST)
            data = await allowance.collect(_chunks(part))
            parts.append((part.name or "", part.filename or "unknown", data))
    except (ValueError, HttpProcessingError):  # aiohttp's words for a multipart body that is none
        raise ApiError(Refusal.BAD_REQUEST) from None
    if allowance.spent:
        raise ApiError(Refusal.TOO_LARGE)
    payload: object = {}
    uploads: dict[int, Upload] = {}
    for name, filename, data in parts:
        if name == "payload_json":
            payload = _parse(data, request)
        elif match := _FILE_FIELD.fullmatch(name):
            if len(data) > file_limit_bytes:
                raise ApiError(Refusal.TOO_LARGE)
            uploads[int(match[1])] = await make_upload(filename, data)
        else:
            sentence = "Only payload_json and files[n] are read."
            raise form_error((name,), "UNKNOWN_FORM_FIELD", sentence)
    return Form(_object(payload), uploads)


async def make_upload(filename: str, data: bytes) -> Upload:
    """A file with its type guessed from its name and an image's size read from its header."""
    name = re.sub(r"[^\w.\-]+", "_", filename).lstrip(".") or "unknown"
    content_type = mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
    size_px = None
    if content_type.startswith("image/"):
        size_px = await asyncio.to_thread(_image_size, data)
    return Upload(name, content_type, data, *(size_px or (None, None)))


class _Allowance:
    """What a request may still bring; a body beyond it is read to its end but not kept."""

    def __init__(self, request: web.Request) -> None:
        self._left_bytes = MAX_REQUEST_BYTES
        self._transport = request.transport

    @property
    def spent(self) -> bool:
        return self._left_bytes < 0

    async def collect(self, chunks: AsyncIterator[bytes]) -> bytes:
        kept = bytearray()
        try:
            await self._collect(chunks, kept)
        except web.RequestPayloadError:  # not compressed as it says, or broken off
            raise ApiError(Refusal.BAD_REQUEST) from None
        return bytes(kept)

    async def _collect(self, chunks: AsyncIterator[bytes], kept: bytearray) -> None:
        async for chunk in chunks:
            self._left_bytes -= len(chunk)
            if not self.spent:
                kept += chunk
            # A refusal sent while the client still writes would reach it as a broken connection,
            # so a body that is too long is read on; one that goes on for ever is cut off.
            elif self._left_bytes < -4 * MAX_REQUEST_BYTES and self._transport is not None:
                self._transport.abort()


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        yield bytes(chunk)


def _parse(data: bytes, request: web.Request) -> object:
    """The JSON in `data`, noted on the request for whoever checks bodies."""
    try:
        payload = parse_json(data)
    except ValueError:
        raise ApiError(Refusal.INVALID_JSON) from None
    request[PAYLOAD] = payload
    return payload


def _object(payload: object) -> Json:
    if not isinstance(payload, dict):
        raise ApiError(Refusal.INVALID_JSON)
    return payload


def _image_size(data: bytes) -> tuple[int, int] | None:
    try:
        # Opening reads the header alone; no pixel is decoded.
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "JPEG", "GIF")) as image:
            size_px = image.size
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        return None
    return size_px if size_px[0] * size_px[1] <= MAX_IMAGE_PIXELS else None
