"""Slack's Socket Mode: the bot opens the connection, and is told over it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.homes.slack.dispatch import Dispatch
from bot.shared.secret import Secret

_PING_S: Final = 10.0
_CLOSING_S: Final = 10.0

# What slack_sdk's client has, which has no types of its own.
_Connect = Callable[[], Coroutine[Any, Any, None]]
_Close = Callable[[], Awaitable[None]]


class SocketMode:
    """Implements `WayIn`: needs no address, and is kept up by Slack's own client."""

    tokens = "SLACK_BOT_TOKEN (xoxb-) and SLACK_APP_TOKEN (xapp-, with the scope connections:write)"

    def __init__(self, app_token: Secret) -> None:
        self._app_token = app_token
        self._socket: SocketModeClient | None = None

    @property
    def is_open(self) -> bool:
        """See `WayIn.is_open`."""
        session = None if self._socket is None else self._socket.current_session
        return session is not None and not session.closed

    async def check(self, client: AsyncWebClient) -> None:
        """See `WayIn.check`."""
        await client.apps_connections_open(app_token=self._app_token.reveal())

    async def run(self, dispatch: Dispatch, client: AsyncWebClient, closing: asyncio.Event) -> None:
        """See `WayIn.run`."""
        socket = SocketModeClient(
            app_token=self._app_token.reveal(),
            logger=logging.getLogger(f"{__name__}.socket"),
            web_client=client,
            ping_interval=_PING_S,
        )
        self._socket = socket

        async def handle(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
            # At once, and also what is told again: Slack has not heard the first answer.
            payload = await dispatch.tell(request.payload, request.envelope_id)
            if payload is not None:
                await client.send_socket_mode_response(
                    SocketModeResponse(envelope_id=request.envelope_id, payload=payload or None)
                )

        socket.socket_mode_request_listeners.append(handle)
        connect: _Connect = socket.connect
        connecting = asyncio.create_task(connect())
        try:
            await closing.wait()
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            with suppress(Exception):  # it is given up, whatever it says to that
                async with asyncio.timeout(_CLOSING_S):
                    close: _Close = socket.close
                    await close()
