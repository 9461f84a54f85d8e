"""What monitoring asks: is the process alive, is it of use, and what has it counted?

On the loopback address alone: who may ask is whoever has an account on this machine.
"""

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.errors import ConfigError
from bot.operations.metrics import CONTENT_TYPE, Metrics

_HOST: Final = "127.0.0.1"
_NAMES: Final = frozenset({_HOST, "localhost"})
_OWN_SITES: Final = frozenset({"none", "same-origin"})  # none: somebody typed the address

Check = Callable[[], bool]


class HealthServer:
    """Serves /livez, /readyz and /metrics.

    alive  what must hold for the process to be worth keeping, by name
    ready  what must hold besides for people to be served
    """

    def __init__(
        self, metrics: Metrics, *, alive: Mapping[str, Check], ready: Mapping[str, Check]
    ) -> None:
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen, on any free port if 0; raises ConfigError if the port is taken."""
        app = web.Application(middlewares=[_guard])
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_text)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"The port {port} for /livez and /metrics is taken or not allowed. Set [health] "
                "port to another, or to 0 for none."
            ) from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _verdict(self._alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _verdict({**self._alive, **self._ready})

    async def _metrics_text(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whoever asks this machine by its own name, and no page in a browser.

    A name of somebody else's that leads here (DNS rebinding) stands in Host; what another page
    makes a browser send says so in Origin or Sec-Fetch-Site.
    """
    name = request.host.rpartition(":")[0] or request.host
    site = request.headers.get("Sec-Fetch-Site", "none")
    if name not in _NAMES or "Origin" in request.headers or site not in _OWN_SITES:
        raise web.HTTPForbidden(text="Ask as 127.0.0.1, from this machine.\n")
    return await handler(request)


def _verdict(checks: Mapping[str, Check]) -> web.Response:
    found = {name: check() for name, check in checks.items()}
    lines = [f"{'ok' if holds else 'NO'} {name}\n" for name, holds in found.items()]
    return web.Response(text="".join(lines), status=200 if all(found.values()) else 503)
