"""The connection to Discord: kept up until it is closed or Discord says no for good."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

import aiohttp
import discord

from bot.errors import LoginError
from bot.homes.discord.client import ImagineClient
from bot.homes.discord.message import is_passing
from bot.homes.discord.sync import Size
from bot.shared.retry import Backoff, Sleep
from bot.shared.secret import Secret

log = logging.getLogger(__name__)

MakeClient = Callable[[asyncio.Event], ImagineClient]

_BACKOFF: Final = Backoff()
_OFFER_BACKOFF: Final = Backoff(attempts=5)
_WRONG_TOKEN_CLOSE: Final = 4004
_OUTAGES: Final = (
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    discord.GatewayNotFound,
)


class DiscordConnection:
    """Logs in, stays connected, and tries again while nothing has ever worked.

    Once a client has been online it mends its own connection.
    """

    def __init__(
        self, token: Secret, *, backoff: Backoff = _BACKOFF, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._token = token
        self._backoff = backoff
        self._sleep = sleep
        self._logged_in = asyncio.Event()
        self._client: ImagineClient | None = None
        self._sizes: tuple[Size, ...] = ()
        self._closed = False

    @property
    def is_online(self) -> bool:
        """Whether Discord's events reach the bot now."""
        return self._client is not None and self._client.is_online

    async def client(self) -> ImagineClient:
        """The client, as soon as it is logged in."""
        await self._logged_in.wait()
        assert self._client is not None  # noqa: S101 - it set the event
        return self._client

    async def run(self, make_client: MakeClient) -> None:
        """Stay connected until `close`; raises LoginError when Discord refuses for good.

        make_client  a fresh client for each attempt: discord.py's cannot be used twice. It sets
                     the event when it is logged in
        """
        for delay_s in self._backoff.delays_s():
            if self._closed:
                break
            client = self._client = make_client(self._logged_in)
            if self._sizes:
                await client.offer(self._sizes, backoff=_OFFER_BACKOFF)
            try:
                await client.start(self._token.reveal())
                break
            except (
                discord.LoginFailure,
                discord.PrivilegedIntentsRequired,
                discord.ConnectionClosed,
            ) as error:
                raise _final(error) from error
            except Exception as error:
                cause = _connection_error(error)
                # Once it was online it reconnects by itself; and a fault of ours is no outage.
                if client.was_online or cause is None:
                    raise
                log.warning(
                    "Discord cannot be reached (%s); next try in %.1f s. Is the network there? "
                    "`imagine doctor --online` tells more.",
                    reach_failure(cause),
                    delay_s,
                )
            self._logged_in.clear()  # nobody shall get one that is being closed
            await client.close()
            await self._sleep(delay_s)

    async def offer(self, sizes: tuple[Size, ...]) -> None:
        """Offer these sizes in /imagine."""
        self._sizes = sizes
        if self._client is not None:
            await self._client.offer(sizes, backoff=_OFFER_BACKOFF, sleep=self._sleep)

    async def close(self) -> None:
        """Go offline; `run` returns."""
        self._closed = True
        if self._client is not None:
            await self._client.close()


def _connection_error(error: Exception) -> BaseException | None:
    """Why the first connection failed, if that is why; None: it is something else."""
    if isinstance(error, AttributeError) and error.__context__ is not None:
        # discord.py 2.7 stumbles over the socket that it did not get.
        return error.__context__ if _is_outage(error.__context__) else None
    return error if _is_outage(error) else None


def _is_outage(error: BaseException) -> bool:
    # Not any OSError: a full disk of ours is one.
    if isinstance(error, discord.HTTPException | discord.RateLimited):
        return is_passing(error)
    return isinstance(error, _OUTAGES)


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
            "Discord does not accept the bot's token. Copy it anew from the developer portal into "
            "DISCORD_TOKEN."
        )
    return LoginError(f"Discord refuses this bot: {error}. See the developer portal.")
