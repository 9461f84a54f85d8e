"""From an interaction to a job: heard, acknowledged, taken in, or refused to the one who asked."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

import discord

from bot.core.heard import Heard
from bot.core.job import Origin, Person, Venue, new_job_id
from bot.core.policy import Actor, Viewer
from bot.core.rules import Circumstances
from bot.core.studio import UNNOTED, Studio
from bot.errors import AwayError, BotError, KnownJobError, WrongPlaceError
from bot.homes.discord.acknowledgement import acknowledge
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.places import Offered, check_showable
from bot.homes.discord.refusal import refuse, say_instead_of_card
from bot.homes.discord.voice import voice_of
from bot.shared.job_context import in_job
from sdxl_engine.errors import EngineError
from sdxl_engine.sentence import say, sentence_of

log = logging.getLogger(__name__)

HOME: Final = "discord"  # in `Person.home`, and in every ledger there is

_LOOKING_S: Final = 0.8  # of the three seconds there are
# Where why could not be said to them alone.
_NOT_TAKEN: Final = say("This was not taken. Ask again in a minute.")


Ask = Callable[[Heard], Awaitable[object]]


def nothing_to_repeat() -> None:
    """Where a refusal has no command to be sent again."""


async def seen_by_all() -> bool:
    """Where there is nothing private."""
    return False


class Intake:
    """Takes in what is wished, whether it was typed or pressed.

    role_weights  the share of people with these roles, by role id; 1 is anybody's
    offered       where anything is taken in; old cards may be elsewhere
    """

    def __init__(self, studio: Studio, role_weights: Mapping[int, float], offered: Offered) -> None:
        self._studio = studio
        self._offered = offered
        self._role_weights = role_weights

    async def take(
        self,
        interaction: Interaction,
        ask: Ask,
        again: Callable[[], Mapping[str, str] | None] = nothing_to_repeat,
        unseen: Callable[[], Awaitable[bool]] = seen_by_all,
    ) -> None:
        """Have something asked of the studio, and answer with a card of its own, or a refusal.

        again   the options of /imagine that ask for the same, as far as they are known by then
        unseen  whether the card is for the one who asked alone; where that cannot be found out, it
                is
        """
        asked_at_s = time.time()
        job_id = new_job_id()
        with in_job(job_id):
            try:
                self._offered.check(interaction)
                check_showable(interaction)
            except WrongPlaceError as error:
                await refuse(interaction, error, job_id, again())
                return
            origin, person = _origin_of(interaction), person_of(interaction)
            around = circumstances_of(interaction)

            async def alone() -> bool:
                by_rule = await self._studio.shows_privately(origin.venue, around)
                return by_rule or await unseen()

            is_noted = await self._studio.hear(origin, person.locale)
            text = None if is_noted else voice_of(interaction).say(UNNOTED)
            try:
                acknowledged = await acknowledge(interaction, unseen=await _found(alone), text=text)
            except AwayError as error:
                if await _say_instead(interaction, sentence_of(error)):
                    await self._studio.answered(origin)
                return
            if acknowledged is None:
                await self._studio.answered(origin)
                return
            heard = Heard(
                job_id,
                person,
                replace(origin, message=acknowledged.message_id),
                asked_at_s,
                self._weight(interaction.user),
                around,
                acknowledged.unseen,
            )
            try:
                await ask(heard)
            except KnownJobError as error:  # its first telling is being answered
                log.warning("%s", error)
                await self._studio.let_go(job_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked must hear
                await self._studio.let_go(job_id)
                said = await refuse(interaction, error, job_id, again(), thinking=True)
                if said or await _say_instead(interaction, _NOT_TAKEN):
                    await self._studio.answered(origin)

    def _weight(self, person: discord.User | discord.Member) -> float:
        if not isinstance(person, discord.Member):
            return 1.0
        theirs = (w for role, w in self._role_weights.items() if person.get_role(role) is not None)
        return max(theirs, default=1.0)


def person_of(interaction: Interaction) -> Person:
    """Who did it."""
    user = interaction.user
    return Person(HOME, str(user.id), user.name, interaction.locale.value)


def community_of(interaction: Interaction) -> str | None:
    """In which server; None in a private channel."""
    return None if interaction.guild_id is None else str(interaction.guild_id)


def venue_of(interaction: Interaction) -> Venue:
    """In which channel of which server."""
    channel = interaction.channel_id
    return Venue(HOME, community_of(interaction), None if channel is None else str(channel))


def viewer_of(interaction: Interaction) -> Viewer:
    """Who wants to see something, and where."""
    return Viewer(person_of(interaction), venue_of(interaction))


def circumstances_of(interaction: Interaction) -> Circumstances:
    """What the rules of a place look at, as Discord tells it with each interaction."""
    user, channel = interaction.user, interaction.channel
    # By their ids: of a server that is not known yet, `roles` would leave out those that bar.
    roles = user._roles if isinstance(user, discord.Member) else ()  # noqa: SLF001 - as above
    thread = channel if isinstance(channel, discord.Thread) else None
    return Circumstances(
        frozenset(map(str, roles)),
        None if thread is None else str(thread.parent_id),
        adult=is_for_adults(channel),
    )


def is_for_adults(channel: object) -> bool:
    """Whether Discord shows a channel to adults alone; what it does not say is not so."""
    if isinstance(channel, discord.Thread) and channel.parent is None:
        return False
    is_nsfw = getattr(channel, "is_nsfw", None)
    return bool(is_nsfw is not None and is_nsfw())


def actor_of(interaction: Interaction) -> Actor:
    """Who did it, and what else they may do there."""
    # As Discord has worked it out for this channel, from the server's roles and the channel's.
    may, venue = interaction.permissions, venue_of(interaction)
    return Actor(
        person_of(interaction),
        moderates=venue if may.manage_messages else None,
        manages=venue if may.manage_guild and venue.community is not None else None,
    )


async def _found(unseen: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(_LOOKING_S):
            return await unseen()
    except (BotError, EngineError, TimeoutError) as error:  # what is asked then says it, too
        log.info("who may see the card cannot be found out: %r", error)
        return True


async def _say_instead(interaction: Interaction, sentence: str) -> bool:
    client = interaction.client
    return await say_instead_of_card(
        client.live, client.calls, interaction.token, sentence, voice_of(interaction)
    )


def _origin_of(interaction: Interaction) -> Origin:
    return Origin(
        venue=venue_of(interaction),
        event=str(interaction.id),
        message=None,
        token=interaction.token,
        attachment_limit_bytes=interaction.filesize_limit,
    )
