"""By what a message of the bot's own is known again: metadata, on what the bot itself posted."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from bot.errors import UndeliveredError
from bot.homes.slack import render
from bot.homes.slack.calls import Calls
from bot.homes.slack.places import Install, Place
from sdxl_engine.sentence import say

Kind = Literal["job", "case", "notice"]
Message = Mapping[str, Any]

_OURS: Final = re.compile(r"([a-z2-7]{8})_[0-9]")  # what the gallery calls its files
_SEARCHED_BEFORE_S: Final = 60.0  # as far as two clocks may differ
_SOON_S: Final = 600.0  # after it was asked for: else it waited for a later process
_PAGE: Final = 200  # messages; to apps that are not a workspace's own Slack gives 15
_MOST_PAGES: Final = 500
_TOO_MANY: Final = say(
    "So many messages came in the meantime that the bot cannot tell whether its own is among them."
)


def metadata(kind: Kind, about: str | int) -> dict[str, Any]:
    """What goes with a message about one of these; `about` is its id."""
    return {"event_type": f"imagine_{kind}", "event_payload": {kind: about}}


def about(message: Message, kind: Kind, bot: str) -> object:
    """The same as `Posted.about`, of the bot that is this user."""
    found = message.get("metadata") or {}
    # Any app, and any person with a token, can say the same of what they post.
    if message.get("user") != bot or found.get("event_type") != f"imagine_{kind}":
        return None
    return (found.get("event_payload") or {}).get(kind)


class Posted:
    """Reads it, and looks for it.

    home_of  where the bot is installed, and as whom
    ready    returns once that is known
    clock    seconds since 1970
    """

    def __init__(
        self,
        calls: Calls,
        home_of: Callable[[], Install],
        ready: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._calls = calls
        self._home_of = home_of
        self._ready = ready
        self._clock = clock

    def about(self, message: Message, kind: Kind) -> object:
        """The id of the one of these that a message is about; None: it is about none."""
        return about(message, kind, self._home_of().bot)

    def job_in(self, message: Message) -> str | None:
        """The job whose card a message is, also where Slack tells no metadata of it.

        By what the pictures in it are called: that a shortcut's message has its metadata no
        document of Slack's says.
        """
        said = self.about(message, "job")
        if isinstance(said, str):
            return said
        if message.get("user") != self._home_of().bot:
            return None
        named = (match[1] for match in map(_OURS.match, render.files_of(message)) if match)
        return next(named, None)

    async def find(self, place: Place, kind: Kind, what: str, since_s: float) -> Message | None:
        """The message about one of these among those that were posted since then.

        All of them are looked through: where many talk, or the bot was away for long, one page ends
        before the message, which would be posted once more. Raises UndeliveredError where they are
        too many, and as `Calls`.
        """
        await self._ready()  # without its own name it would find nothing, and post once more
        begin_s, soon_s = since_s - _SEARCHED_BEFORE_S, since_s + _SOON_S
        if self._clock() < soon_s:
            return await self._between(place, kind, what, begin_s, None)
        # Nearly each was posted at once, and thousands may have been since.
        found = await self._between(place, kind, what, begin_s, soon_s)
        return found or await self._between(place, kind, what, soon_s, None)

    async def _between(
        self, place: Place, kind: Kind, what: str, oldest_s: float, latest_s: float | None
    ) -> Message | None:
        method = "conversations.history" if place.thread is None else "conversations.replies"
        cursor = None
        for _ in range(_MOST_PAGES):
            answer = await self._calls.make(
                method,
                place.channel,
                ts=place.thread,
                oldest=f"{oldest_s:.6f}",
                latest=None if latest_s is None else f"{latest_s:.6f}",
                inclusive=True,
                limit=_PAGE,
                cursor=cursor,
                include_all_metadata=True,
            )
            for message in answer.get("messages") or ():
                if self.about(message, kind) == what:
                    its: Message = message
                    return its
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return None
        raise UndeliveredError(_TOO_MANY)
