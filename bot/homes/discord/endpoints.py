"""Which Discord the client talks to: the real one, or another address from the configuration."""

from typing import Final

import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

_REAL_API: Final = Route.BASE
_REAL_GATEWAY: Final = DiscordWebSocket.DEFAULT_GATEWAY


def point_client_at(api_url: str, gateway_url: str) -> None:
    """Send every Discord client of this process to these addresses; empty is the real Discord.

    discord.py 2.7 has no setting for it; these two class attributes are what it reads.
    """
    Route.BASE = api_url.rstrip("/") or _REAL_API
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url) if gateway_url else _REAL_GATEWAY
