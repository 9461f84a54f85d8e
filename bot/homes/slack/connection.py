"""The connection to Slack: logged in, and told over one way in, until it is closed or refused."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeVar

import aiohttp
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import LoginError
from bot.homes.slack.calls import SHUT_OUT, code_of, named
from bot.homes.slack.dispatch import Dispatch
from bot.homes.slack.places import Install
from bot.homes.slack.rotation import Rotation, RotationSettings
from bot.shared.retry import Backoff, Sleep
from bot.shared.secret import Secret

log = logging.getLogger(__name__)

T = TypeVar("T")

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
    rotation  what the client's next token is bought with; None: its token never ends
    clock     seconds since 1970, by which a token ends

    `client` alone holds the token: all others ask it.
    """

    def __init__(
        self,
        bot_token: Secret,
        way_in: WayIn,
        api_url: str,
        rotation: RotationSettings | None = None,
        *,
        backoff: Backoff = _BACKOFF,
        clock: Callable[[], float] = time.time,
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
        self._rotation: Rotation | None = None
        if rotation is not None:
            self._rotation = Rotation(self.client, rotation, clock=clock, sleep=sleep)
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
            async with self._fresh_token():
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

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """Make a call of the client's, with the next token where this one has ended.

        Raises as `make`.
        """
        return await (make() if self._rotation is None else self._rotation.call(make))

    @asynccontextmanager
    async def _fresh_token(self) -> AsyncIterator[None]:
        """Have the next token before this one ends, where it does."""
        if self._rotation is None:
            yield
            return
        keeping = asyncio.create_task(self._rotation.keep(), name="token rotation")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self._rotation.close()

    def _app(self) -> AsyncApp:
        # Bolt would ask Slack who the bot is at the first event; that is known. No method of ours:
        # of a bound one it passes `self` by name, and fails.
        async def authorize() -> AuthorizeResult:
            return AuthorizeResult(
                enterprise_id=None,
                team_id=None,
                bot_user_id=self._home.bot,
                bot_token=self.client.token,
            )

        # Without a name it would read the files of the whole stack for one: a tenth of a second.
        return AsyncApp(name="imagine", client=self._without_token(), authorize=authorize)

    def _without_token(self) -> AsyncWebClient:
        return AsyncWebClient(session=self.client.session, **self._address)

    async def _logged_in(self) -> bool:
        """Whether Slack knows the tokens now; False where the bot is closed first."""
        for delay_s in self._backoff.delays_s():
            try:
                if self._rotation is not None:
                    await self._rotation.begin()
                told = await self.call(self.client.auth_test)
                self._home = Install(
                    str(told.get("team_id") or ""),
                    str(told.get("enterprise_id") or ""),
                    is_org_wide=bool(told.get("is_enterprise_install")),
                    bot=str(told["user_id"]),
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
