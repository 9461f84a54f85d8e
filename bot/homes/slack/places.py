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


@dataclass(frozen=True, slots=True)
class Install:
    """Where the bot is installed, each empty where nobody knows it.

    team          the workspace; of an organisation's install none in particular
    organisation  to which that belongs
    is_org_wide   whether the organisation has installed it for its workspaces together
    bot           the id of the user that the bot is there
    """

    team: str = ""
    organisation: str = ""
    is_org_wide: bool = False
    bot: str = ""


def community_of(team: str | None, organisation: str | None) -> str | None:
    """By what a workspace is known here: by its own id, which is one of its own in all of Slack.

    The organisation's is no part of it. A workspace that joins an organisation, or is installed
    for one instead of for itself, keeps its id: what holds there, is blocked there and was drawn
    there must stay its own. Nor do two workspaces of an organisation share anything, for each is
    managed by people of its own. Only what is done where Slack names no workspace belongs to the
    organisation; its id begins with another letter and can be no workspace's.

    A person is known by their own id alone: one install has one token, and whom an id means to it
    is never in doubt, in whichever workspace they are. So an erasure finds all of theirs.
    """
    return team or organisation
