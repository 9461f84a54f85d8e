"""One call to Discord: how long it may take, how many there may be, and what its failure means.

Only Discord's own word is final: JSON with one of its own codes. Whatever else comes back (a
proxy's page, an answer that is no answer, none at all) says nothing about what was asked, and the
same may succeed later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import aiohttp
import discord

from bot.errors import AwayError, BotError, CardGoneError, UndeliveredError
from bot.shared.retry import Backoff, Sleep, persist
from bot.shared.shares import Shares
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

T = TypeVar("T")

GetClient = Callable[[], Awaitable[discord.Client]]

ALREADY_ACKNOWLEDGED: Final = 40060
TOKEN_IS_DEAD: Final = frozenset({10015, 50027})  # unknown webhook, invalid webhook token
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, MISSING_ACCESS, MISSING_PERMISSIONS = 10003, 10008, 50001, 50013
TOO_LARGE: Final = 40005
TOO_MANY_FOLLOW_UPS: Final = 40094
_THREAD_ARCHIVED, _THREAD_LOCKED = 50083, 160005
_FIRST_CODE: Final = 10_000  # Discord's own have five digits or more; 0 is a status' name alone
# Slow mode, three sorts of written too often, a limited service, edits of an old message, overload.
_PASSING_CODES: Final = frozenset({20016, 20022, 20028, 20029, 40062, 30046, 130000})
_TOO_MANY_REQUESTS: Final = 429
_CLIENT_ERRORS, _SERVER_ERRORS = 400, 500
DISCORD_ERRORS: Final = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
_NO_CHANNEL: Final = say("The channel is gone, or closed to the bot. /jobs still has the pictures.")
_CLOSED_THREAD: Final = say("This thread is closed now. /jobs still has the pictures.")
_WHY_UNDELIVERED: Final = {
    UNKNOWN_CHANNEL: _NO_CHANNEL,
    MISSING_ACCESS: _NO_CHANNEL,
    _THREAD_ARCHIVED: _CLOSED_THREAD,
    _THREAD_LOCKED: _CLOSED_THREAD,
    MISSING_PERMISSIONS: say(
        "The bot may not show pictures here. Ask a moderator to give it Attach Files and Send "
        "Messages; /jobs still has the pictures."
    ),
    TOO_LARGE: say("Discord finds the pictures too large. Ask for fewer or smaller ones."),
}
# Discord's own name for an interaction's answer, where the id of the message is not known.
ORIGINAL: Final[Any] = "@original"
_APPLICATION: Final = 3

# A quarter of an hour, which is as long as an interaction can be answered.
_ANSWERING: Final = Backoff(attempts=20)
_LIMIT_S: Final = 15.0
_MAX_LIMIT_S: Final = 240.0
_SLOWEST_BYTES_PER_S: Final = 250_000  # two megabits a second, upwards
_SHARE: Final = 16  # of one channel; it bears five in five seconds


def is_final(error: Exception) -> bool:
    """Whether Discord itself says that the same cannot succeed later."""
    if not isinstance(error, discord.HTTPException):
        return False
    code: object = error.code  # whatever stood in the JSON
    return (
        _CLIENT_ERRORS <= error.status < _SERVER_ERRORS
        and error.status != _TOO_MANY_REQUESTS
        and isinstance(code, int)
        and code >= _FIRST_CODE
        and code not in _PASSING_CODES
    )


def is_passing(error: Exception) -> bool:
    """Whether the same may succeed later."""
    return not is_final(error)


def code_of(error: Exception) -> int | None:
    """Discord's own code, where that is what it said."""
    return error.code if isinstance(error, discord.HTTPException) and is_final(error) else None


def retry_after_s(error: Exception) -> float:
    """How long Discord wants to be left alone; 0 if it did not say."""
    if isinstance(error, discord.RateLimited):
        return error.retry_after
    if isinstance(error, discord.HTTPException) and error.status == _TOO_MANY_REQUESTS:
        try:
            return float(error.response.headers.get("Retry-After", 0))
        except ValueError:  # a proxy's own, a date
            return 0.0
    return 0.0


def translated(error: Exception) -> BotError:
    """What a failed call means for a card, as an error with a sentence for its person."""
    if is_passing(error):
        if not isinstance(error, DISCORD_ERRORS):
            log.warning("Discord's answer cannot be understood: %r", error, exc_info=error)
        return AwayError(
            f"Discord did not do it: {error!r}.",
            retry_after_s(error),
            may_come=isinstance(error, TimeoutError),
        )
    code = code_of(error)
    if code == UNKNOWN_MESSAGE:
        return CardGoneError(say("The message for the pictures was deleted."))
    if code in _WHY_UNDELIVERED:
        return UndeliveredError(_WHY_UNDELIVERED[code])
    log.error("Discord does not take a card: %r", error)
    return UndeliveredError(
        say("Discord did not take the pictures, and it has been noted. /jobs still has them.")
    )


def of_press(error: Exception) -> BotError:
    """What the final failure of the answer to a press means, for the one who pressed."""
    code = code_of(error)
    if code in {MISSING_ACCESS, MISSING_PERMISSIONS, TOO_LARGE, _THREAD_ARCHIVED, _THREAD_LOCKED}:
        return translated(error)
    if code == UNKNOWN_MESSAGE:
        return CardGoneError(say("The message was deleted."))
    log.error("Discord does not take the answer to a press: %r", error)
    return UndeliveredError(
        say("Discord did not take the answer to this, and it has been noted. Press it again.")
    )


class Patience:
    """How long the calls of one card may take: longer after each that took too long.

    A Discord that answers everything late, but answers, is waited for in the end.
    """

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._now_s = first_s

    async def wait_for(self, call: Callable[[], Awaitable[T]], size_bytes: int) -> T:
        """Make a call that carries so many bytes; raises TimeoutError if it takes too long."""
        try:
            async with asyncio.timeout(self._now_s + size_bytes / _SLOWEST_BYTES_PER_S):
                result = await call()
        except TimeoutError:
            self._now_s = min(2 * self._now_s, _MAX_LIMIT_S)
            raise
        self._now_s = self._first_s
        return result


class Calls:
    """All calls of one bot: bounded in time, and those about cards in number as well.

    at_once  how many about cards may be under way, so that commands find room beside them
    limit_s  how long one may take that carries no files; None is the usual time
    """

    def __init__(
        self, at_once: int, *, limit_s: float | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._places = Shares(at_once, min(at_once, _SHARE))
        self._limit_s = _LIMIT_S if limit_s is None else limit_s
        self._sleep = sleep

    async def surely(
        self, call: Callable[[], Awaitable[object]], what: str, *, size_bytes: int = 0
    ) -> None:
        """Answer an interaction, again and again for as long as it can be answered.

        what        is answered, for the log
        size_bytes  of the files that go with it

        Raises what is final, any BotError of the call's own, and in the end whatever the last call
        raised.
        """
        patience = self.patience()
        await persist(
            lambda: patience.wait_for(call, size_bytes),
            what,
            is_passing=lambda error: is_passing(error) and not isinstance(error, BotError),
            retry_after_s=retry_after_s,
            backoff=_ANSWERING,
            sleep=self._sleep,
        )

    def patience(self) -> Patience:
        """A new card's."""
        return Patience(self._limit_s)

    async def make(
        self,
        client: discord.Client,
        call: Callable[[], Awaitable[T]],
        *,
        channel: int | None,
        patience: Patience,
        size_bytes: int = 0,
    ) -> T:
        """Make one call.

        Raises what discord.py raises, TimeoutError; AwayError if the client was closed meanwhile.
        """
        async with self._places.place(channel):
            try:
                return await patience.wait_for(call, size_bytes)
            except (TimeoutError, asyncio.CancelledError):
                _reopen(client)
                raise
            except RuntimeError as error:
                if not client.is_closed():
                    raise
                raise AwayError("The client was closed meanwhile.") from error


def webhook_of(client: discord.Client, token: str) -> discord.Webhook:
    """What an interaction's token opens, for any client that is logged in."""
    assert client.application_id is not None  # noqa: S101 - known once it is logged in
    # As an interaction's own: only an application's webhook may say something to one alone.
    return discord.Webhook.from_state(
        {"id": client.application_id, "type": _APPLICATION, "token": token},
        client._connection,  # noqa: SLF001 - discord.py's own way makes one of an interaction only
    )


def _reopen(client: discord.Client) -> None:
    """Open the gate that discord.py closes while all of Discord wants to be left alone.

    In 2.7 only the call that met the limit opens it again, and not if it is broken off: every later
    one would wait for ever.
    """
    gate: Any = client.http._global_over  # noqa: SLF001 - there is no other way to it
    if isinstance(gate, asyncio.Event):  # else not logged in yet
        gate.set()
