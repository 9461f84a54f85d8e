"""Whom a stand-in answers at all: this machine, and of browsers its own page alone.

Every path is behind it: a name that somebody else's DNS points here (rebinding) arrives in the
Host header, and whatever another page makes a browser send says so in Origin or Sec-Fetch-Site.
A client that is no browser sends neither.
"""

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})  # none: somebody typed the address


def guard(
    bound_to: Callable[[], str | None],
    *,
    stood_in_for: frozenset[str] = frozenset(),
    clients_paths: tuple[str, ...] = (),
) -> Middleware:
    """The outermost layer.

    bound_to       the name that the server was started under; it is answered too
    stood_in_for   names that a client may mean while its connector carries it here; no browser
                   does: it would speak TLS to them
    clients_paths  where paths begin that such a client asks for
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _host_of(request)
        is_client = host in stood_in_for and request.path.startswith(clients_paths)
        if not is_client and host not in {*_LOOPBACK_NAMES, bound_to()}:
            return _refusal("The playground answers on this machine only. Open it as 127.0.0.1.")
        if not _is_own_page(request) or (is_client and "Origin" in request.headers):
            return _refusal("Only the playground's own page may do this.")
        return await handler(request)

    return middleware


def _host_of(request: web.Request) -> str | None:
    try:
        return urlsplit(f"//{request.host}").hostname
    except ValueError:
        return None


def _is_own_page(request: web.Request) -> bool:
    """Whether no browser sent it for another page; a link that is followed here is no other page's
    doing, for that page does not get to see the answer.
    """
    origins = request.headers.getall("Origin", [])
    if any(origin != f"http://{request.host}" for origin in origins):
        return False
    followed = request.method == "GET" and request.headers.get("Sec-Fetch-Dest") == "document"
    return request.headers.get("Sec-Fetch-Site", "none") in _OWN_SITES or followed


def _refusal(sentence: str) -> web.Response:
    """A sentence that clients of the API and the page both find."""
    body = json.dumps({"message": sentence, "code": 0, "refusal": sentence})
    return web.Response(text=body, status=403, content_type="application/json")
