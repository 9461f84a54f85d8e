"""The bot's token where Slack ends it after half a day: a new one in time, and for the next start.

With every token comes a refresh token, which buys the next pair and is spent by that. So a pair is
on the disk before anybody uses it: what is lost between the two nobody can buy again. Bots that
share the folder follow one token: whoever comes first buys, the others read what was bought.

slack_sdk has an `AsyncTokenRotator`. It is not used: it rotates what an installation store holds,
at the events that come in, and a bot that draws through the night hears none; it takes the time
from the machine's clock itself; and it has one error for a refresh token that is refused and for a
network that is away. Its two hours are ours, too.
"""

import asyncio
import base64
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import LoginError
from bot.homes.slack.calls import code_of, named, retry_after_s
from bot.shared.file_locks import held
from bot.shared.files import write_atomically
from bot.shared.retry import Backoff, Sleep, bounded_s
from bot.shared.secret import Secret

log = logging.getLogger(__name__)

T = TypeVar("T")

EARLY_S: Final = 2 * 3600.0
# A machine that sleeps stops the clock of every timer: the time is looked at again and again.
_LOOK_S: Final = 600.0
_STORING_S: Final = 60.0
_LIMIT_S: Final = 15
_BACKOFF: Final = Backoff(first_s=5.0, limit_s=300.0)
_LIVES_S: Final = 12 * 3600.0  # a token, as Slack's documents have it
_ENDED: Final = "token_expired"
_LOCKED: Final = ".lock"
_WRONG_APP: Final = frozenset({"invalid_client_id", "bad_client_secret", "invalid_client"})


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """What a new token is bought with.

    client_id, client_secret  the app's own
    refresh_token             that belongs to the bot's first token
    path                      where the pair of this time is kept
    """

    client_id: Secret
    client_secret: Secret
    refresh_token: Secret
    path: Path


@dataclass(frozen=True, slots=True)
class _Pair:
    """ends_at_s  of the token, in seconds since 1970"""

    token: Secret
    refresh_token: Secret
    ends_at_s: float


class Rotation:
    """Keeps the token of a client fresh; whoever calls by that client needs to know nothing of it.

    clock  seconds since 1970: when a token ends outlives this process
    """

    def __init__(
        self,
        client: AsyncWebClient,
        settings: RotationSettings,
        *,
        backoff: Backoff = _BACKOFF,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        # One of its own: it has no token, and asks before the other's session is there.
        self._asking = AsyncWebClient(base_url=client.base_url, timeout=_LIMIT_S, retry_handlers=[])
        self._settings = settings
        self._backoff = backoff
        self._clock = clock
        self._sleep = sleep
        self._pair = _Pair(Secret(client.token or ""), settings.refresh_token, 0.0)
        self._begun = asyncio.Event()
        self._is_stored = True
        self._refused = ""
        self._renewing: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Have a token that lives; to be tried again after any error but LoginError."""
        if not self._begun.is_set():
            await self._restore()
        if self._due_in_s() <= 0:
            try:
                await self._renew(self._client.token)
            except LoginError:
                if not self._lives:  # else it opens everything for a while
                    raise
        self._begun.set()

    async def keep(self) -> None:
        """Buy the next token each time well before this one's end, from `begin` on, for ever."""
        await self._begun.wait()
        delays = self._backoff.delays_s()
        while True:
            if not self._is_stored:
                await self._store()
            if (due_in_s := self._due_in_s()) > 0:
                await self._sleep(min(due_in_s, _LOOK_S if self._is_stored else _STORING_S))
                continue
            try:
                await self._renew(self._client.token)
                delays = self._backoff.delays_s()
            except LoginError:  # it was told; nothing is ended before the token of this time ends
                return
            except Exception as error:  # noqa: BLE001 - whatever broke: told, and tried again
                wait_s = max(next(delays), bounded_s(retry_after_s(error)))
                log.warning(
                    "Slack gives no new token (%s), next try in %.1f s", named(error), wait_s
                )
                await self._sleep(wait_s)

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """Make a call of the client's; where its token has ended, once more with the next one.

        A call that is refused so was not carried out. Raises as `make`.
        """
        token = self._client.token
        try:
            return await make()
        except SlackApiError as error:
            if code_of(error) != _ENDED:
                raise
            try:
                await self._renew(token)
            except LoginError:  # that is for whoever runs the bot, and was told them
                raise error from None
        return await make()

    async def close(self) -> None:
        """Wait for a token that is being bought: broken off in between both would be lost."""
        if self._renewing is not None:
            await asyncio.gather(self._renewing, return_exceptions=True)

    @property
    def _lives(self) -> bool:
        return self._pair.ends_at_s > self._clock()

    def _due_in_s(self) -> float:
        return self._pair.ends_at_s - EARLY_S - self._clock()

    async def _renew(self, ended: str | None) -> None:
        """Have another token than this one; raises LoginError, and what slack_sdk raises."""
        if self._client.token != ended:  # somebody else has seen to it
            return
        if self._refused:
            raise LoginError(self._refused)
        if self._renewing is None or self._renewing.done():
            # Whoever waits may give up; the refresh token is spent, and its pair comes in.
            self._renewing = asyncio.create_task(self._next(), name="token rotation")
            self._renewing.add_done_callback(_heard)
        await asyncio.shield(self._renewing)

    async def _next(self) -> None:
        """Have the next pair: another bot's, where one shares the folder and was first."""
        async with held(self._settings.path.with_suffix(_LOCKED)):
            ended = self._client.token
            await self._restore()
            if self._client.token == ended or self._due_in_s() <= 0:
                await self._buy()

    async def _buy(self) -> None:
        of_app = self._settings.client_id, self._settings.client_secret
        app = ":".join(one.reveal() for one in of_app).encode()
        try:
            # Not `oauth_v2_access`: it goes by what aiohttp warns of and will not have for long.
            answer = await self._asking.api_call(
                "oauth.v2.access",
                data={
                    "grant_type": "refresh_token",
                    "refresh_token": self._pair.refresh_token.reveal(),
                },
                headers={"Authorization": f"Basic {base64.b64encode(app).decode()}"},
            )
        except SlackApiError as error:
            code = code_of(error)
            if code is None:
                raise
            self._refused = _sentence(code)
            if self._begun.is_set() or self._lives:
                log.error("%s", self._refused)  # noqa: TRY400 - the sentence is all of it
            raise LoginError(self._refused) from error
        self._pair = _Pair(
            Secret(str(answer["access_token"])),
            Secret(str(answer["refresh_token"])),
            # Whatever it says of that: the old pair is spent.
            self._clock() + float(answer.get("expires_in") or _LIVES_S),
        )
        await self._store()
        self._client.token = self._pair.token.reveal()
        log.info("the bot has a new token")

    async def _store(self) -> None:
        """Put the pair on the disk.

        Where that fails it is used all the same, for the one before is spent, and tried again.
        """
        kept = {
            "from": self._origin(),
            "token": self._pair.token.reveal(),
            "refresh_token": self._pair.refresh_token.reveal(),
            "ends_at_s": self._pair.ends_at_s,
        }
        data = json.dumps(kept).encode()
        try:
            await asyncio.to_thread(write_atomically, self._settings.path, data)
        except OSError as error:
            self._is_stored = False
            log.error(  # noqa: TRY400 - the sentence is all of it
                "The bot's new token cannot be kept in %s (%s). Make room there before the bot is "
                "started anew, or it must be installed anew.",
                self._settings.path,
                error.strerror,
            )
        else:
            self._is_stored = True

    async def _restore(self) -> None:
        """Take up a later pair, of another start or bot, that comes of the same refresh token."""
        try:
            data = await asyncio.to_thread(self._settings.path.read_bytes)
            kept: Mapping[str, Any] = json.loads(data)
            if kept["from"] != self._origin():  # whoever runs the bot has set another one
                return
            pair = _Pair(
                Secret(str(kept["token"])),
                Secret(str(kept["refresh_token"])),
                float(kept["ends_at_s"]),
            )
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, LookupError) as error:
            log.warning(
                "The bot's token in %s cannot be read (%s); that of the environment is used.",
                self._settings.path,
                type(error).__name__,
            )
            return
        if pair.ends_at_s > self._pair.ends_at_s:  # else ours could not be kept, and it is spent
            self._pair = pair
            self._client.token = pair.token.reveal()

    def _origin(self) -> str:
        """By what a pair is known to come of the refresh token that the bot was started with."""
        return hashlib.sha256(self._settings.refresh_token.reveal().encode()).hexdigest()


def _sentence(code: str) -> str:
    if code in _WRONG_APP:
        return (
            f"Slack gives the bot no new token: {code}. Copy SLACK_CLIENT_ID and "
            "SLACK_CLIENT_SECRET anew from the app's page, under Basic Information."
        )
    return (
        f"Slack gives the bot no new token: {code}. The refresh token was used elsewhere, or its "
        "successor was lost. Install the app anew on its page, under OAuth & Permissions, and copy "
        "both from there: SLACK_BOT_TOKEN (xoxe.xoxb-) and SLACK_REFRESH_TOKEN (xoxe-)."
    )


def _heard(task: asyncio.Task[None]) -> None:
    """Whoever waited for it may be gone: its error is nobody's surprise."""
    if not task.cancelled():
        task.exception()
