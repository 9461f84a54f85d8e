"""What the app is told, whichever way it goes: when it must be acked, and when it is sent again.

What a person does is sent once, and has failed when it is not acked in time. An event is sent
again: at once, after a minute, after five (docs.slack.dev/apis/events-api, "Retries").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from standins.base.wire import Json

ACK_DEADLINE_S: Final = 3.0
RETRY_DELAYS_S: Final = (0.0, 60.0, 300.0)

EnvelopeType = Literal["slash_commands", "interactive", "events_api"]


@dataclass(slots=True, eq=False)
class Envelope:
    """One thing that the app is told.

    answerable  whether the ack may carry a payload
    on_ack      gets that payload
    on_failure  is called when nothing came in time
    attempts    how often it was sent so far
    """

    type: EnvelopeType
    payload: Json
    answerable: bool = False
    on_ack: Callable[[Json], None] = lambda _: None
    on_failure: Callable[[], None] = lambda: None
    acked: bool = False
    attempts: int = 0

    def again_in_s(self) -> float | None:
        """How long until it is sent again after this attempt failed; None: never."""
        if self.type != "events_api" or self.attempts > len(RETRY_DELAYS_S):
            return None
        return RETRY_DELAYS_S[self.attempts - 1]

    def ack(self, payload: object) -> None:
        """The app has acked, and said this with it."""
        self.acked = True
        self.on_ack(payload if self.answerable and isinstance(payload, dict) else {})
