"""One call to Slack: how long it may take, how soon it may be made, and what its failure means.

Only Slack's own word is final: an answer with `ok: false` and one of its error words. Whatever else
comes back (a proxy's page, an answer that is no answer, none at all) says nothing about what was
asked, and the same may succeed later.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import AwayError, BotError, CardGoneError, UndeliveredError
from bot.shared.retry import Sleep
from bot.shared.shares import Shares
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

Answer = Mapping[str, Any]
# How a call is made whose token may have ended meanwhile.
Renewing = Callable[[Callable[[], Awaitable[Answer]]], Awaitable[Answer]]

MESSAGE_GONE: Final = frozenset({"message_not_found"})
NO_CHANNEL: Final = frozenset({"channel_not_found", "not_in_channel", "is_archived"})
INVALID_BLOCKS: Final = "invalid_blocks"
UNKNOWN_BLOCKS: Final = frozenset({INVALID_BLOCKS, "invalid_blocks_format"})
# The workspace, its administrators or its installer have shut the bot out.
SHUT_OUT: Final = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "not_authed",
        "token_expired",
        "token_revoked",
        "app_uninstalled",
        "team_access_not_granted",
        "org_login_required",
        "access_denied",
    }
)
READ_ONLY: Final = frozenset({"restricted_action", "restricted_action_read_only_channel"})
NO_PLACE: Final = NO_CHANNEL | READ_ONLY  # where nothing can be shown
# Slack's own trouble, or too much at once.
_PASSING: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "ratelimited",
        "rate_limited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
        "message_limit_exceeded",
    }
)
_TOO_LATE: Final = frozenset({"expired_trigger_id", "exchanged_trigger_id"})
_WHY: Final[Mapping[str, str]] = {
    "channel_not_found": say(
        "The channel is gone, or the bot is not in it. `/imagine jobs` still has the pictures."
    ),
    "not_in_channel": say(
        "The bot is not in this channel. Invite it there; `/imagine jobs` still has the pictures."
    ),
    "is_archived": say("This channel is archived now. `/imagine jobs` still has the pictures."),
    **dict.fromkeys(
        READ_ONLY,
        say(
            "The bot may not write in this channel. Ask who manages it; `/imagine jobs` still has "
            "the pictures."
        ),
    ),
    **dict.fromkeys(
        _TOO_LATE, say("Slack gave the bot too little time to open the dialog. Try again.")
    ),
    **dict.fromkeys(
        SHUT_OUT, say("This workspace no longer lets the bot in. Who installed it can add it anew.")
    ),
}
_TOO_MANY_REQUESTS: Final = 429
_FIRST_OF_SERVERS: Final = 500  # the statuses from here on say that it failed there
_LIMIT_S: Final = 15.0
_SLOWEST_BYTES_PER_S: Final = 250_000  # two megabits a second, upwards
_SHARE: Final = 8  # of one channel, or of one method that is none's
_LONGEST_PAUSE_S: Final = 600.0  # that is believed, whatever a proxy says
CALL_ERRORS: Final = (SlackClientError, aiohttp.ClientError, OSError, TimeoutError, ValueError)


def code_of(error: BaseException) -> str | None:
    """Slack's own word, where it is final."""
    if not isinstance(error, SlackApiError):
        return None
    code = _field(error, "error")
    return code if isinstance(code, str) and code not in _PASSING else None


def is_passing(error: Exception) -> bool:
    """Whether the same may succeed later."""
    if isinstance(error, BotError):
        return isinstance(error, AwayError)
    return code_of(error) is None and isinstance(error, CALL_ERRORS)


def may_be_done(error: Exception) -> bool:
    """Whether Slack may have done all the same what failed so: its answer was lost, or garbled."""
    if isinstance(error, BotError):
        return isinstance(error, AwayError) and error.may_come
    if isinstance(error, SlackApiError) and error.response.status_code == _TOO_MANY_REQUESTS:
        return False
    return is_passing(error) and not isinstance(error, aiohttp.ClientConnectorError)


def retry_after_s(error: BaseException) -> float:
    """How long Slack wants to be left alone; 0 if it did not say."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return 0.0
    said = next((headers[name] for name in headers if name.casefold() == "retry-after"), "0")
    try:
        return min(max(float(said), 0.0), _LONGEST_PAUSE_S)
    except ValueError:  # a proxy's own, a date
        return 0.0


def translated(error: Exception) -> BotError:
    """What a failed call means for a card, as an error with a sentence for its person."""
    if isinstance(error, BotError):
        return error
    code = code_of(error)
    if code is None:
        if not isinstance(error, CALL_ERRORS):
            log.warning("Slack's answer cannot be understood: %r", error, exc_info=error)
        return AwayError(
            f"Slack did not do it: {named(error)}.",
            retry_after_s(error),
            may_come=isinstance(error, TimeoutError),
        )
    if code in MESSAGE_GONE:
        return CardGoneError(say("The message for the pictures was deleted."))
    if code in _WHY:
        return UndeliveredError(_WHY[code])
    log.error("Slack does not take a card: %s", named(error))
    return UndeliveredError(
        say(
            "Slack did not take the pictures, and it has been noted. `/imagine jobs` still has "
            "them."
        )
    )


def named(error: BaseException) -> str:
    """A failure for the log: Slack's own words, without what was sent."""
    if not isinstance(error, SlackApiError):
        return repr(error)
    details = _field(error, "response_metadata")
    messages = details.get("messages") if isinstance(details, Mapping) else None
    return " ".join(map(str, filter(None, [_field(error, "error"), messages])))


def _field(error: SlackApiError, name: str) -> object:
    try:
        found: object = error.response.get(name)
    except (AttributeError, ValueError):  # the answer was no JSON
        return None
    return found


def _form(arguments: Mapping[str, object]) -> dict[str, str]:
    """Arguments as a form, which every method takes: what is nested is JSON in it."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in arguments.items()
        if value is not None
    }


class Calls:
    """All calls of one bot: bounded in time and number, none while Slack asks for peace.

    at_once   how many may be under way
    limit_s   how long one may take that carries no files; None is the usual time
    renewing  as in `Rotation.call`; None: the token never ends
    clock     seconds
    sleep     between tries
    """

    def __init__(
        self,
        client: AsyncWebClient,
        at_once: int,
        *,
        limit_s: float | None = None,
        renewing: Renewing | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.client = client
        self._places = Shares(at_once, min(at_once, _SHARE))
        self._limit_s = _LIMIT_S if limit_s is None else limit_s
        self._renewing = renewing
        self._clock = clock
        self.sleep = sleep
        self._until_s: dict[tuple[str, str | None], float] = {}  # when each may be made again

    async def make(self, method: str, channel: str | None = None, **arguments: object) -> Answer:
        """Make one call of the Web API, all of it in its body: an address stands in logs.

        Raises what slack_sdk raises, TimeoutError.
        """
        form = _form({"channel": channel, **arguments})

        async def call() -> Answer:
            response = await self.client.api_call(method, data=form)
            if not isinstance(response.data, dict):
                raise ValueError("The answer is no JSON object.")  # noqa: TRY004 - of what was sent
            return response.data

        return await self._paced(method, channel, call)

    async def send_file(self, url: str, data: bytes) -> None:
        """Send a file to the address that Slack gave for it; raises as `make`."""

        async def call() -> None:
            session = self._session()
            async with session.post(url, data=data) as response:
                await response.read()
                if response.status != 200:  # noqa: PLR2004 - HTTP's own
                    raise AwayError(f"Slack did not take a file: {response.status}.")

        await self._bounded("upload", call, len(data))

    async def fetch(self, url: str, most_bytes: int) -> bytes:
        """A file that Slack keeps; raises ValueError for more than that, and as `make`."""
        session = self._session()
        headers = {"Authorization": f"Bearer {self.client.token}"}

        async def call() -> bytes:
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status != 200:  # noqa: PLR2004 - HTTP's own
                    raise ValueError(f"Slack does not give the file: {response.status}.")
                data = bytearray(await response.content.read(most_bytes + 1))
                while len(data) <= most_bytes and (more := await response.content.read(2**20)):
                    data += more
                if len(data) > most_bytes:
                    raise ValueError("The file is larger than Slack said.")
                return bytes(data)

        async with self._places.place("fetch"):
            async with asyncio.timeout(self._limit_s + most_bytes / _SLOWEST_BYTES_PER_S):
                return await call()

    async def respond(self, url: str, message: Mapping[str, object]) -> None:
        """Say something in answer to a command or a press; raises as `make`."""

        async def call() -> None:
            session = self._session()
            async with session.post(url, json=dict(message)) as response:
                text = await response.text()
                status = response.status
                if status == _TOO_MANY_REQUESTS or status >= _FIRST_OF_SERVERS:
                    away = f"Slack did not take an answer: {status}."
                    raise AwayError(away, may_come=status != _TOO_MANY_REQUESTS)
                if INVALID_BLOCKS in text:  # as long as it is busy with a file in them
                    raise AwayError(f"Slack did not take an answer: {text[:80]!r}.")
                if status != 200:  # noqa: PLR2004 - HTTP's own
                    raise UndeliveredError(f"Slack did not take an answer: {text[:80]!r}.")

        await self._bounded("respond", call, 0)

    def _session(self) -> aiohttp.ClientSession:
        session = self.client.session
        assert session is not None  # noqa: S101 - the connection gives it one
        return session

    async def _paced(
        self, method: str, channel: str | None, call: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        key = method, channel
        while (wait_s := self._until_s.get(key, 0.0) - self._clock()) > 0:
            await self.sleep(wait_s)
        async with self._places.place(channel or method):
            try:
                async with asyncio.timeout(self._limit_s):
                    return await (call() if self._renewing is None else self._renewing(call))
            except SlackApiError as error:
                if error.response.status_code == _TOO_MANY_REQUESTS:
                    self._until_s = {
                        one: until for one, until in self._until_s.items() if until > self._clock()
                    }
                    self._until_s[key] = self._clock() + retry_after_s(error)
                raise

    async def _bounded(
        self, what: str, call: Callable[[], Awaitable[None]], size_bytes: int
    ) -> None:
        async with self._places.place(what):
            async with asyncio.timeout(self._limit_s + size_bytes / _SLOWEST_BYTES_PER_S):
                await call()
