"""The connection to Discord: kept up until it is closed or Discord says no for good."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import aiohttp
import discord

from bot.core.ports.home import Shard
from bot.errors import LoginError
from bot.homes.discord.calls import DISCORD_ERRORS
from bot.homes.discord.client import ImagineClient
from bot.homes.discord.sync import Size
from bot.shared.retry import Backoff, Sleep
from bot.shared.secret import Secret

log = logging.getLogger(__name__)

MakeClient = Callable[[asyncio.Event], ImagineClient]

_BACKOFF: Final = Backoff()
_WRONG_TOKEN_CLOSE: Final = 4004
_SHARD_CLOSES: Final = frozenset({4010, 4011})  # there is no such shard; there must be more
_UNAUTHORIZED: Final = "401"  # how Discord's own words for it begin
# A connection that lasted this long was one: the next failure is a new story.
_LASTED_S: Final = 60.0
_CLOSING_S: Final = 10.0


class DiscordConnection:
    """Logs in, stays connected, and begins anew whatever broke it.

    While a client lives it mends its own connection; one that fails is replaced by a fresh one.
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
        self._closing = asyncio.Event()

    @property
    def is_online(self) -> bool:
        """Whether all of Discord's events that are this bot's reach it now."""
        return self._client is not None and self._client.is_online

    @property
    def shards(self) -> Sequence[Shard]:
        """Those that are this bot's."""
        return () if self._client is None else self._client.states

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
        delays_s = self._backoff.delays_s()
        while not self._closing.is_set():
            client = self._client = make_client(self._logged_in)
            if self._sizes:
                client.offer(self._sizes)
            begun_s = time.monotonic()
            error = await self._connected(client)
            self._logged_in.clear()  # nobody shall get one that is being closed
            await _close(client)
            if self._closing.is_set():
                break
            if client.was_online and time.monotonic() - begun_s > _LASTED_S:
                delays_s = self._backoff.delays_s()
            delay_s = next(delays_s)
            _tell_of(error, delay_s)
            await self._sleep(delay_s)

    async def offer(self, sizes: tuple[Size, ...]) -> None:
        """Offer these sizes in /imagine."""
        self._sizes = sizes
        if self._client is not None:
            self._client.offer(sizes)

    async def _connected(self, client: ImagineClient) -> Exception | None:
        """Be connected for as long as it goes; returns what ended it, raises what is final."""
        try:
            await client.login(self._token.reveal())
        except discord.LoginFailure as error:
            if not _is_discords_own(error.__cause__):
                return error
            raise _final(error) from error
        except Exception as error:
            if client.application is not None:  # Discord has said it all: a fault of our own
                raise
            return error
        try:
            await client.connect()
        except (discord.PrivilegedIntentsRequired, discord.ConnectionClosed) as error:
            raise _final(error) from error
        except Exception as error:  # noqa: BLE001 - told, and the next try is another client's
            return error
        return None

    async def close(self) -> None:
        """Go offline; `run` returns."""
        self._closing.set()
        if self._client is not None:
            await self._client.close()


async def _close(client: ImagineClient) -> None:
    with suppress(Exception):  # it is given up, whatever it says to that
        async with asyncio.timeout(_CLOSING_S):
            await client.close()


def _tell_of(error: Exception | None, delay_s: float) -> None:
    is_outage = error is None or isinstance(error, DISCORD_ERRORS)
    log.log(
        logging.WARNING if is_outage else logging.ERROR,
        "Discord cannot be reached (%s); next try in %.1f s. Is the network there? "
        "`imagine doctor --online` tells more.",
        "the connection ended" if error is None else reach_failure(error),
        delay_s,
        exc_info=None if is_outage else error,
    )


def _is_discords_own(error: BaseException | None) -> bool:
    """Whether Discord itself does not know the token; a proxy's page says 401 as well."""
    return (
        isinstance(error, discord.HTTPException)
        and error.response.headers.get("Content-Type") == "application/json"
        and error.text.startswith(_UNAUTHORIZED)
    )


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
    if isinstance(error, discord.ConnectionClosed) and error.code in _SHARD_CLOSES:
        return LoginError(
            "Discord wants what it tells cut into more parts, or other ones. Set [discord] shards "
            "to 0, or where several bots share them, to as many as "
            "`imagine doctor --online` recommends."
        )
    return LoginError(f"Discord refuses this bot: {error}. See the developer portal.")
