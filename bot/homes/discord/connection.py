"""The connection to Discord: kept up until it is closed or Discord says no for good."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import aiohttp
import discord

from bot.config.reading import TOKEN_VARIABLE
from bot.errors import LoginError
from bot.homes.discord.client import ImagineClient
from bot.homes.discord.sync import Size
from bot.shared.retry import Backoff, Sleep
from bot.shared.secret import Secret

log = logging.getLogger(__name__)

_BACKOFF: Final = Backoff()
_OFFER_BACKOFF: Final = Backoff(attempts=5)
_WRONG_TOKEN_CLOSE: Final = 4004


class DiscordConnection:
    """Logs in, stays connected, and tries again while nothing has ever worked.

    make_client  a fresh client for each attempt: discord.py's cannot be used twice. It sets the
                 event when it is logged in. Once one has been online it mends its own connection.
    """

    def __init__(
        self,
        make_client: Callable[[asyncio.Event], ImagineClient],
        token: Secret,
        *,
        backoff: Backoff = _BACKOFF,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._make_client = make_client
        self._token = token
        self._backoff = backoff
        self._sleep = sleep
        self._logged_in = asyncio.Event()
        self._client = make_client(self._logged_in)
        self._sizes: tuple[Size, ...] = ()

    @property
    def is_online(self) -> bool:
        """Whether Discord's events reach the bot now."""
        return self._client.is_online

    async def client(self) -> ImagineClient:
        """The client, as soon as it is logged in."""
        await self._logged_in.wait()
        return self._client

    async def run(self) -> None:
        """Stay connected until `close`; raises LoginError when Discord refuses for good."""
        for delay_s in self._backoff.delays_s():
            client = self._client
            try:
                return await client.start(self._token.reveal())
            except (
                discord.LoginFailure,
                discord.PrivilegedIntentsRequired,
                discord.ConnectionClosed,
            ) as error:
                raise _final(error) from error
            except Exception as error:
                # A first connection that fails reaches us as anything, an AttributeError of
                # discord.py's own included; after that discord.py reconnects by itself.
                if client.was_online:
                    raise
                cause = error.__context__ if isinstance(error, AttributeError) else None
                log.warning(
                    "Discord cannot be reached (%s); next try in %.1f s. Is the network there? "
                    "`imagine doctor --online` tells more.",
                    reach_failure(cause or error),
                    delay_s,
                )
            self._logged_in.clear()  # nobody shall get one that is being closed
            await client.close()
            await self._sleep(delay_s)
            self._client = self._make_client(self._logged_in)
            if self._sizes:
                await self._client.offer(self._sizes, backoff=_OFFER_BACKOFF)
        return None

    async def offer(self, sizes: tuple[Size, ...]) -> None:
        """Offer these sizes in /imagine."""
        self._sizes = sizes
        await self._client.offer(sizes, backoff=_OFFER_BACKOFF, sleep=self._sleep)

    async def close(self) -> None:
        """Go offline; `run` returns."""
        await self._client.close()


def reach_failure(error: BaseException) -> str:
    """Why a connection failed, in words: aiohttp's own hold its whole connection key."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}: {error.os_error.strerror or error.os_error}"
    return str(error) or type(error).__name__


def _final(error: Exception) -> LoginError:
    wrong_token = isinstance(error, discord.LoginFailure) or (
        isinstance(error, discord.ConnectionClosed) and error.code == _WRONG_TOKEN_CLOSE
    )
    if wrong_token:
        return LoginError(
            f"Discord does not accept the bot's token. Copy it anew from the developer portal "
            f"into {TOKEN_VARIABLE}."
        )
    return LoginError(f"Discord refuses this bot: {error}. See the developer portal.")
