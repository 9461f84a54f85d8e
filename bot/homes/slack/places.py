"""Where something is in Slack, as the core's text ids have it."""

from dataclasses import dataclass
from typing import Final

from bot.core.job import Venue

HOME: Final = "slack"  # in `Person.home`, and in every ledger there is


@dataclass(frozen=True, slots=True)
class Place:
    """A channel, or a thread in it.

    thread  the `ts` of the message that it hangs on; None: the channel itself
    """

    channel: str
    thread: str | None = None

    def __str__(self) -> str:
        return self.channel if self.thread is None else f"{self.channel}/{self.thread}"


def place_of(venue: Venue) -> Place | None:
    """Where a job was asked for; None where nobody said."""
    if venue.channel is None:
        return None
    channel, _, thread = venue.channel.partition("/")
    return Place(channel, thread or None)


def community_of(team: str | None, enterprise: str | None) -> str | None:
    """The workspace, or the organisation that an app is installed in as a whole."""
    return team or enterprise
