"""The connection to Slack: Socket Mode, kept up until it is closed or Slack says no for good."""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import aiohttp
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import LoginError
from bot.homes.slack.calls import SHUT_OUT, code_of, named
from bot.shared.retry import Backoff, Sleep
from bot.shared.secret import Secret

log = logging.getLogger(__name__)

_BACKOFF: Final = Backoff()
_PING_S: Final = 10.0
_REMEMBERED: Final = 10_000  # envelopes; Slack repeats one within a minute or never
_CLOSING_S: Final = 10.0
_WRONG_TOKEN: Final = frozenset({"not_allowed_token_type", "missing_scope", *SHUT_OUT})

Listen = Callable[[AsyncApp], None]


class SlackConnection:
    """Logs in, and hands what Slack tells to listeners, each envelope once.

    api_url  empty is the real Slack
    """

    def __init__(
        self,
        bot_token: Secret,
        app_token: Secret,
        api_url: str,
        *,
        backoff: Backoff = _BACKOFF,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._app_token = app_token
        address: dict[str, Any] = {"base_url": api_url} if api_url else {}
        # Repeats nothing by itself: a message would be there twice.
        self._address: dict[str, Any] = {**address, "retry_handlers": []}
        self.client = AsyncWebClient(token=bot_token.reveal(), **self._address)
        self._backoff = backoff
        self._sleep = sleep
        self._closing = asyncio.Event()
        self._socket: SocketModeClient | None = None
        self._envelopes: OrderedDict[str, None] = OrderedDict()
        self._ready = asyncio.Event()
        self._bot_user = self._team = self._organisation = ""

    @property
    def is_online(self) -> bool:
        """Whether Slack's events reach the bot now."""
        session = None if self._socket is None else self._socket.current_session
        return session is not None and not session.closed

    @property
    def home(self) -> tuple[str, str]:
        """The workspace and the organisation that the bot is in, once it is logged in."""
        return self._team, self._organisation

    async def ready(self) -> None:
        """Wait until the bot is logged in."""
        await self._ready.wait()

    async def run(self, listen: Listen) -> None:
        """Stay connected until `close`; raises LoginError when Slack refuses for good.

        listen  puts the listeners on the app
        """
        session = aiohttp.ClientSession()
        self.client.session = session
        try:
            if not await self._logged_in():
                return
            listen(app := self._app())
            self._ready.set()
            await self._connected(app)
        finally:
            self._ready.clear()
            await session.close()

    async def close(self) -> None:
        """Go offline; `run` returns."""
        self._closing.set()

    def _app(self) -> AsyncApp:
        # Bolt would ask Slack who the bot is at the first event; that is known. No method of ours:
        # of a bound one it passes `self` by name, and fails.
        async def authorize() -> AuthorizeResult:
            return AuthorizeResult(
                enterprise_id=None,
                team_id=None,
                bot_user_id=self._bot_user,
                bot_token=self.client.token,
            )

        client = AsyncWebClient(session=self.client.session, **self._address)
        return AsyncApp(client=client, authorize=authorize)

    async def _logged_in(self) -> bool:
        """Whether Slack knows the tokens now; False where the bot is closed first."""
        for delay_s in self._backoff.delays_s():
            try:
                told = await self.client.auth_test()
                self._bot_user = str(told["user_id"])
                self._team = str(told.get("team_id") or "")
                self._organisation = str(told.get("enterprise_id") or "")
                apps = AsyncWebClient(
                    token=self._app_token.reveal(), session=self.client.session, **self._address
                )
                await apps.apps_connections_open(app_token=self._app_token.reveal())
            except SlackApiError as error:
                if code_of(error) in _WRONG_TOKEN:
                    raise LoginError(
                        f"Slack does not accept the bot's tokens: {named(error)}. Copy "
                        "SLACK_BOT_TOKEN (xoxb-) and SLACK_APP_TOKEN (xapp-, with the scope "
                        "connections:write) anew from the app's page."
                    ) from error
                failure: Exception = error
            except Exception as error:  # noqa: BLE001 - whatever broke: told, and tried again
                failure = error
            else:
                return True
            log.warning(
                "Slack cannot be reached (%s); next try in %.1f s. Is the network there?",
                named(failure),
                delay_s,
            )
            closing = asyncio.create_task(self._closing.wait())
            waiting = asyncio.ensure_future(self._sleep(delay_s))
            await asyncio.wait([closing, waiting], return_when=asyncio.FIRST_COMPLETED)
            for task in (closing, waiting):
                task.cancel()
            await asyncio.gather(closing, waiting, return_exceptions=True)
            if self._closing.is_set():
                return False
        return False

    async def _connected(self, app: AsyncApp) -> None:
        socket = SocketModeClient(
            app_token=self._app_token.reveal(),
            logger=logging.getLogger(f"{__name__}.socket"),
            web_client=AsyncWebClient(session=self.client.session, **self._address),
            ping_interval=_PING_S,
        )
        self._socket = socket

        async def handle(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
            await self._handle(app, client, request)

        socket.socket_mode_request_listeners.append(handle)
        connect: Callable[[], Coroutine[Any, Any, None]] = socket.connect  # it has no types
        connecting = asyncio.create_task(connect())
        try:
            await self._closing.wait()
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            with suppress(Exception):  # it is given up, whatever it says to that
                async with asyncio.timeout(_CLOSING_S):
                    close: Callable[[], Awaitable[None]] = socket.close  # nor has this
                    await close()

    async def _handle(
        self, app: AsyncApp, client: AsyncBaseSocketModeClient, request: SocketModeRequest
    ) -> None:
        """Answer one envelope at once; one that is told again is answered, and done once."""
        envelope = request.envelope_id
        payload: dict[str, Any] | None = None
        if envelope not in self._envelopes:
            self._envelopes[envelope] = None
            while len(self._envelopes) > _REMEMBERED:
                self._envelopes.popitem(last=False)
            asked = AsyncBoltRequest(mode="socket_mode", body=request.payload)
            answer = await app.async_dispatch(asked)
            if answer.status != 200:  # noqa: PLR2004 - HTTP's own
                log.info("nobody listens to that: %s", request.type)
            elif answer.body:
                payload = json.loads(answer.body)
        await client.send_socket_mode_response(
            SocketModeResponse(envelope_id=envelope, payload=payload)
        )
