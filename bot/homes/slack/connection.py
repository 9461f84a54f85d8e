"""The connection to Slack: logged in, and told over one way in, until it is closed or refused."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import LoginError
from bot.homes.slack.calls import SHUT_OUT, code_of, named
from bot.homes.slack.dispatch import Dispatch
from bot.homes.slack.places import Install
from bot.shared.retry import Backoff, Sleep
from bot.shared.secret import Secret

if TYPE_CHECKING:
    from bot.homes.slack.rotation import Rotation

log = logging.getLogger(__name__)

_BACKOFF: Final = Backoff()
_WRONG_TOKEN: Final = frozenset({"not_allowed_token_type", "missing_scope", *SHUT_OUT})

Listen = Callable[[AsyncApp], None]


class WayIn(Protocol):
    """How what Slack tells gets to the bot.

    tokens  which it needs, in words for whoever runs the bot
    """

    tokens: str

    @property
    def is_open(self) -> bool:
        """Whether something that Slack tells now would get here."""

    async def check(self, client: AsyncWebClient) -> None:
        """Ask Slack whether it may be used; raises SlackApiError."""

    async def run(self, dispatch: Dispatch, client: AsyncWebClient, closing: asyncio.Event) -> None:
        """Hand on what Slack tells until `closing`; raises BotError where that cannot be.

        client  asks Slack for what the way itself needs, and has no token
        """


class SlackConnection:
    """Logs in, and hands what Slack tells to listeners, each thing once.

    api_url   empty is the real Slack
    rotation  of the client's token; None: it never ends
    """

    def __init__(
        self,
        bot_token: Secret,
        way_in: WayIn,
        api_url: str,
        *,
        backoff: Backoff = _BACKOFF,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._way_in = way_in
        address: dict[str, Any] = {"base_url": api_url} if api_url else {}
        # Repeats nothing by itself: a message would be there twice.
        self._address: dict[str, Any] = {**address, "retry_handlers": []}
        self.client = AsyncWebClient(token=bot_token.reveal(), **self._address)
        self._backoff = backoff
        self._sleep = sleep
        self._closing = asyncio.Event()
        self._ready = asyncio.Event()
        self.rotation: Rotation | None = None
        self._bot_user = ""
        self._home = Install()

    @property
    def is_online(self) -> bool:
        """Whether Slack's events reach the bot now."""
        return self._way_in.is_open

    @property
    def home(self) -> Install:
        """Where the bot is installed, once it is logged in."""
        return self._home

    async def ready(self) -> None:
        """Wait until the bot is logged in."""
        await self._ready.wait()

    async def run(self, listen: Listen) -> None:
        """Stay connected until `close`; raises LoginError when Slack refuses for good, ConfigError.

        listen  puts the listeners on the app
        """
        session = aiohttp.ClientSession()
        self.client.session = session
        try:
            if not await self._logged_in():
                return
            listen(app := self._app())
            self._ready.set()
            await self._way_in.run(Dispatch(app), self._without_token(), self._closing)
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

        return AsyncApp(client=self._without_token(), authorize=authorize)

    def _without_token(self) -> AsyncWebClient:
        return AsyncWebClient(session=self.client.session, **self._address)

    async def _logged_in(self) -> bool:
        """Whether Slack knows the tokens now; False where the bot is closed first."""
        for delay_s in self._backoff.delays_s():
            try:
                if self.rotation is None:
                    told = await self.client.auth_test()
                else:
                    await self.rotation.begin()
                    told = await self.rotation.call(self.client.auth_test)
                self._bot_user = str(told["user_id"])
                self._home = Install(
                    str(told.get("team_id") or ""),
                    str(told.get("enterprise_id") or ""),
                    is_org_wide=bool(told.get("is_enterprise_install")),
                )
                await self._way_in.check(self._without_token())
            except SlackApiError as error:
                if code_of(error) in _WRONG_TOKEN:
                    raise LoginError(
                        f"Slack does not accept the bot's tokens: {named(error)}. Copy "
                        f"{self._way_in.tokens} anew from the app's page."
                    ) from error
                failure: Exception = error
            except LoginError:
                raise
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
