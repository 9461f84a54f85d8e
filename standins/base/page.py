"""What a page of any stand-in is served with: its files, a strict policy, events and refusals.

Whoever can open a page acts as anybody in its world, so a POST must say that it comes from the page
itself; that it comes from this machine, `guard.py` has seen.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Final

from aiohttp import web

from standins.base.wire import Json, parse_json

_MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_INCLUDE: Final = re.compile(rb" *<!-- include (\S+) -->\n")
_HEADERS: Final = {
    # Everything comes from this server; no text can become markup or script (trusted types).
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# How often a quiet stream looks whether the bot came or went; it also finds closed connections.
PULSE_S: Final = 1.0
_RETRY_MS: Final = 500  # how soon the browser connects again

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# The pages of the playground beside each other: their names and addresses.
Chats = Callable[[], Mapping[str, str]]


def is_page(path: str) -> bool:
    """Whether a path is of a page, and of nothing that the real server has."""
    return path == "/" or path.startswith("/page/")


class PageFiles:
    """A page's own files and those that every stand-in's page shares, by name.

    What several pages have in common in their markup they name: <!-- include over.html -->.

    room  the package whose folder `web` has its own
    """

    def __init__(self, room: str) -> None:
        read = {
            item.name: item.read_bytes()
            for place in ("standins.base", room)
            for item in (resources.files(place) / "web").iterdir()
        }
        self._files = {
            name: (_INCLUDE.sub(lambda found: read[found[1].decode()], data), _media_type(name))
            for name, data in read.items()
        }

    def add_to(self, app: web.Application) -> None:
        """Serve the page at / and its files at /page/NAME."""
        app.router.add_get("/", guarded(self._index))
        app.router.add_get("/page/{name}", guarded(self._file))

    async def _index(self, _request: web.Request) -> web.Response:
        return self._serve("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return self._serve(request.match_info["name"])

    def _serve(self, name: str) -> web.Response:
        if name not in self._files:
            raise web.HTTPNotFound
        data, media_type = self._files[name]
        return web.Response(body=data, content_type=media_type, charset="utf-8")


def _media_type(name: str) -> str:
    return _MEDIA_TYPES[name[name.rindex(".") :]]


def guarded(handler: Handler) -> Handler:
    """Answer a POST only from the page itself, and always with the policy."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            _check_sender(request)
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return guarded


def _check_sender(request: web.Request) -> None:
    if request.method == "POST" and request.headers.get("Origin") != f"http://{request.host}":
        raise refused(web.HTTPForbidden, "Only the playground's own page may do this.")


def refused(kind: type[web.HTTPException], sentence: str) -> web.HTTPException:
    """An answer with a sentence that the page shows."""
    return kind(text=json.dumps({"refusal": sentence}), content_type="application/json")


async def read_json(request: web.Request) -> Json:
    """The JSON object that the page sent; raises HTTPException."""
    try:
        is_json = request.content_type == "application/json"
        body = parse_json(await request.read()) if is_json else None
    except (ValueError, web.RequestPayloadError):  # the latter: not compressed as it says
        body = None
    if not isinstance(body, dict):
        raise refused(web.HTTPBadRequest, "The page sends a JSON object.")
    return body


async def begin_events(request: web.Request) -> web.StreamResponse:
    """The answer to whom server-sent events go, begun."""
    response = web.StreamResponse()
    response.content_type = "text/event-stream"
    response.headers.update(_HEADERS)  # its headers leave before the guard sees it
    await response.prepare(request)
    await response.write(f"retry: {_RETRY_MS}\n".encode())
    return response


async def send_event(response: web.StreamResponse, name: str, data: object) -> None:
    """Send one event."""
    # JSON has no raw line breaks, so one data line holds it whatever the message says.
    await response.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


def no_chats() -> Mapping[str, str]:
    """A page that stands alone."""
    return {}


def chats_json(chats: Chats, own_url: str) -> list[Json]:
    """The pages beside each other, as a page shows them."""
    return [{"name": n, "url": u, "is_here": u == own_url} for n, u in chats().items()]
