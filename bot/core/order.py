"""What those who keep order read once it is done, whichever the home."""

from collections.abc import Mapping, Sequence
from typing import Final

from bot.core import rule_table
from bot.core.card import Link
from bot.core.rules import House, Place
from sdxl_engine.sentence import all_of, say, say_many, sentences

DESCRIPTION: Final = say("Keep order: what holds here, who may ask, what was done")
# What there is to be said and done, by what is typed for it.
COMMANDS: Final[Mapping[str, str]] = {
    "policy": say("Where the bot may be used, and how pictures are shown"),
    "limits": say("How much may be asked for, and with what"),
    "desk": say("Where moderators see what is to be decided"),
    "pause": say("Take nothing in for a while"),
    "resume": say("Take wishes in again"),
    "keep": say("How long jobs are kept"),
    "filter": say("What prompts may not say here"),
    "filter add": say("Add to the list here"),
    "filter remove": say("Take from the list here"),
    "filter list": say("Show the list here"),
    "filter test": say("Try what the filter finds"),
    "block": say("Let somebody ask for nothing here"),
    "unblock": say("Let somebody ask here again"),
    "purge": say("Delete pictures of a person or a channel"),
    "audit": say("What was done to keep order"),
    "export": say("The audit as a file"),
}
MOST_DAYS, MOST_HOURS = 3_650, 8_760
RESUMED: Final = say("The bot may be asked again.")
SEEN_BY_ALL: Final = say(
    "But everybody can see that channel, with the prompts and names there. Close it to them, or "
    "name another."
)
OF_WHOM: Final = say("Say of whom, or in which channel.")
DESK_TAKEN_BACK: Final = say("The moderators have no desk now.")
_MOST_PLACES: Final = 5


def desk(channel: str | None) -> str:
    """Where moderators decide."""
    if channel is None:
        return say("The moderators have no desk. Name a channel for it.")
    return say("Moderators decide in {channel} now.", channel=Link("channel", channel))


def desk_is_needed(waiting: Sequence[Place]) -> str:
    """Why the desk cannot be taken back: of these places it is said that pictures wait there."""
    return say(
        "Pictures wait for moderators at the desk, by a rule for: {places}. Take back the policy "
        "review there first.",
        places=all_of(map(_named, waiting[:_MOST_PLACES])),
    )


def paused(reason: str) -> str:
    """What holds from now on; `reason` is what people read."""
    done = say("Paused. What waits is still drawn.")
    return sentences(done, say("People read: “{reason}”.", reason=reason) if reason else "")


def kept(house: House, usual_days: int) -> str:
    """How long jobs are kept.

    usual_days  where a community does not say fewer
    """
    if house.keep_days is None or house.keep_days > usual_days:
        return say_many(
            "Jobs are kept for {count} day, as the bot's owner has it.",
            "Jobs are kept for {count} days, as the bot's owner has it.",
            usual_days,
        )
    return say_many(
        "Jobs are kept for {count} day.", "Jobs are kept for {count} days.", house.keep_days
    )


def purged(count: int) -> str:
    """How many jobs lost their pictures."""
    return say_many(
        "The pictures of {count} job are deleted.",
        "The pictures of {count} jobs are deleted.",
        count,
    )


def _named(place: Place) -> object:
    """A place within a sentence."""
    match rule_table.links(place):
        case channel, role:
            return say("{role} in {channel}", role=role, channel=channel)
        case (only,):
            return only
        case _:
            return rule_table.EVERYWHERE
