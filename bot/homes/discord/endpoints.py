"""Which Discord a client talks to: the real one, or another address from the configuration."""

import aiohttp
import yarl
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from discord.gateway import DiscordWebSocket
from discord.http import Route


class ElsewhereConnector(aiohttp.TCPConnector):
    """Carries what one client means for the real Discord to other addresses.

    api_url, gateway_url  such as "http://127.0.0.1:8642/api/v10"; empty is the real Discord
    limit                 how many connections there may be; whoever wants one more waits

    discord.py 2.7 has no setting for it, only two class attributes that move every client of the
    process. A connector is one client's own, and its interactions and webhooks go through it too.
    """

    def __init__(self, api_url: str, gateway_url: str, *, limit: int = 0) -> None:
        super().__init__(limit=limit)
        self._moves = [
            (yarl.URL(str(real)), yarl.URL(elsewhere.rstrip("/")))
            for real, elsewhere in (
                (Route.BASE, api_url),
                (DiscordWebSocket.DEFAULT_GATEWAY, gateway_url),
            )
            if elsewhere
        ]

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> Connection:
        """Connect to where the request is carried."""
        for real, elsewhere in self._moves:
            if req.url.origin() == real.origin():
                rest = req.url.raw_path.removeprefix(real.raw_path.rstrip("/")).rstrip("/")
                place = elsewhere.with_path(elsewhere.raw_path + rest, encoded=True)
                req.url = place.with_query(req.url.raw_query_string)
        return await super().connect(req, traces, timeout)
