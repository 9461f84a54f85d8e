"""Whom the server answers at all: see `standins.base.guard`."""

from collections.abc import Callable
from typing import Final

from aiohttp.typedefs import Middleware

from standins.base import guard as base
from standins.discord.middleware import API_PATH

GATEWAY_PATH: Final = "/gateway"
# A client that is carried here by its connector still names whom it means.
_STOOD_IN_FOR: Final = frozenset({"discord.com", "gateway.discord.gg"})
_CLIENTS_PATHS: Final = (API_PATH + "/", GATEWAY_PATH)


def guard(bound_to: Callable[[], str | None]) -> Middleware:
    """The outermost layer.

    bound_to  the name that the server was started under; it is answered too
    """
    return base.guard(bound_to, stood_in_for=_STOOD_IN_FOR, clients_paths=_CLIENTS_PATHS)
