"""Slack's refusals (the loopback answers with them) and the loopback's own errors.

ApiError       what a call is answered with: {"ok": false, "error": word}
ActionRefused  Slack's own client would not let a person do this; nothing reached the bot
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from standins.base.wire import Json


class ApiError(Exception):
    """A call that Slack refuses.

    error     Slack's word for it, such as "channel_not_found"
    messages  what exactly was wrong, as Slack puts it into `response_metadata`
    """

    def __init__(self, error: str, messages: Sequence[str] = (), **more: object) -> None:
        self.error = error
        self.body: Json = {"ok": False, "error": error, **more}
        if messages:
            self.body["errors"] = list(messages)
            told = [f"[ERROR] {message}" for message in messages]
            self.body["response_metadata"] = {"messages": told}
        super().__init__(error)


class RateLimited(Exception):  # noqa: N818 - it reads as what Slack says: 429, ratelimited
    """Too many calls.

    retry_after_s  whole seconds
    """

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"again in {retry_after_s} s")


class ActionRefused(Exception):  # noqa: N818 - it reads as what Slack's client does
    """Slack's client would not offer this to the person; the sentence says why."""
