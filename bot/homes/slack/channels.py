"""Whether the bot can write in a channel: known before a wish is taken in."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from bot.errors import AwayError, WrongPlaceError
from bot.homes.slack.calls import READ_ONLY, SHUT_OUT, Calls, code_of, named, translated
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_MOST_KNOWN: Final = 10_000
_KNOWN_FOR_S: Final = 300.0  # of several bots Slack tells one what changed
_NOT_IN_PRIVATE: Final = say(
    "The bot is not in this private channel. Type `/invite` and its name here, then ask again."
)
_NOT_IN: Final = say(
    "The bot is not in this channel. Type `/invite` and its name here, then ask again."
)
_ARCHIVED: Final = say("This channel is archived, so nothing can be shown in it. Ask in another.")
_READ_ONLY: Final = say(
    "The bot may not write in this channel. Ask who manages it, or ask for pictures in another."
)


# Why nothing can be shown, before anything is drawn, by Slack's words.
NOTHING_SHOWN: Final[Mapping[str, str]] = {
    "channel_not_found": _NOT_IN_PRIVATE,
    "not_in_channel": _NOT_IN,
    "is_archived": _ARCHIVED,
    **dict.fromkeys(READ_ONLY, _READ_ONLY),
}


class Channels:
    """Remembers the channels that the bot is in, for a while.

    clock  seconds
    """

    def __init__(self, calls: Calls, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._open: dict[str, float] = {}  # until when that is believed

    def changed(self, channel: str) -> None:
        """The bot joined or left it, or it was archived, or opened again."""
        self._open.pop(channel, None)

    async def is_private(self, channel: str) -> bool:
        """Whether only those see it who are in it, as far as Slack says so now."""
        try:
            answer = await self._calls.make("conversations.info", channel)
        except Exception as error:  # noqa: BLE001 - whatever Slack said: nobody is warned in vain
            log.info("whether a channel is private is not known: %s", named(error))
            return True
        return bool((answer.get("channel") or {}).get("is_private"))

    async def check(self, channel: str) -> None:
        """Whether the bot can write there; raises WrongPlaceError.

        What Slack does not answer now is left to whatever comes of the first card.
        """
        if self._open.get(channel, 0.0) > self._clock() or channel.startswith("D"):
            return
        try:
            answer = await self._calls.make("conversations.info", channel)
        except Exception as error:
            code = code_of(error)
            if code == "channel_not_found":
                raise WrongPlaceError(_NOT_IN_PRIVATE) from error
            if code in SHUT_OUT:
                raise translated(error) from error
            log.warning("whether the bot is in a channel is not known: %r", code or error)
            if isinstance(translated(error), AwayError):
                return
            raise WrongPlaceError(_NOT_IN) from error
        found: dict[str, Any] = dict(answer.get("channel") or {})
        if found.get("is_archived"):
            raise WrongPlaceError(_ARCHIVED)
        if found.get("is_member") is False and not found.get("is_im"):
            raise WrongPlaceError(_NOT_IN_PRIVATE if found.get("is_private") else _NOT_IN)
        if found.get("is_read_only"):
            raise WrongPlaceError(_READ_ONLY)
        if len(self._open) >= _MOST_KNOWN:
            self._open.clear()
        self._open[channel] = self._clock() + _KNOWN_FOR_S
