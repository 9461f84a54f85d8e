"""/imagine-admin: what those who manage a server say, and do, about the bot."""

from collections.abc import Sequence
from typing import Final

import discord
from discord import app_commands
from discord.app_commands import Range, locale_str

from bot.core import order
from bot.core.case import MAX_REASON_CHARS
from bot.core.desk_card import blocked, unblocked
from bot.core.job import Person
from bot.core.moderators import Moderators
from bot.core.order import MOST_DAYS, MOST_HOURS
from bot.core.policy import DAY_S
from bot.core.studio import Studio
from bot.errors import UsageError
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer
from bot.homes.discord.audit_commands import AuditCommands
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.filter_commands import FilterCommands
from bot.homes.discord.intake import HOME, actor_of
from bot.homes.discord.places import BY_SERVERS, IN_SERVERS, check_writable
from bot.homes.discord.policy_commands import AnyChannel, PolicyCommands
from bot.homes.discord.translator import described
from sdxl_engine.sentence import say, sentences

Reason = Range[str, 0, MAX_REASON_CHARS]
Days = Range[int, 1, MOST_DAYS]
Hours = Range[int, 1, MOST_HOURS]

_HOUR_S: Final = 3_600.0
_WHY: Final = say("Why; it is written down")
_WHY_TO_THEM: Final = say("Why; they read it, and it is written down")
_WHOM: Final = say("Whom")


class AdminCommand:
    """One group of commands; who may use them is the core's to say."""

    def __init__(self, studio: Studio, moderators: Moderators) -> None:
        self._moderators = moderators
        self._policy = PolicyCommands(studio, moderators)
        self._filter = FilterCommands(moderators)
        self._audit = AuditCommands(moderators)

    def build(self, sizes: Sequence[tuple[int, int]]) -> app_commands.Group:
        """The group as Discord shall offer it."""
        group = app_commands.Group(
            name="imagine-admin",
            description=locale_str(order.DESCRIPTION),
            default_permissions=discord.Permissions(manage_guild=True),
            allowed_contexts=IN_SERVERS,
            allowed_installs=BY_SERVERS,
        )
        self._policy.add_to(group, sizes)
        self._add_settings(group)
        self._filter.add_to(group)
        self._add_measures(group)
        self._audit.add_to(group)
        return group

    def _add_settings(self, group: app_commands.Group) -> None:
        moderators = self._moderators

        @group.command(
            name="desk",
            description=locale_str(order.COMMANDS["desk"]),
        )
        @described(
            channel=say("A channel that only moderators see"),
            take_back=say("There is none any more"),
        )
        async def desk(
            interaction: Interaction,
            channel: discord.TextChannel | None = None,
            *,
            take_back: bool = False,
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            by = actor_of(interaction)
            house = await moderators.house(by)  # who may not is told that first
            if channel is None and take_back:
                await moderators.set_desk(None, by)
                await answer(interaction, order.DESK_TAKEN_BACK)
                return
            if channel is None:
                await answer(interaction, order.desk(house.desk))
                return
            check_writable(channel)
            await moderators.set_desk(str(channel.id), by)
            done = order.desk(str(channel.id))
            if channel.permissions_for(channel.guild.default_role).view_channel:
                await answer(interaction, sentences(done, order.SEEN_BY_ALL))
                return
            await answer(interaction, done)

        @group.command(name="pause", description=locale_str(order.COMMANDS["pause"]))
        @described(reason=say("Why; people read it"))
        async def pause(interaction: Interaction, reason: Reason = "") -> None:
            await acknowledge_press(interaction, unseen=True)
            said = await moderators.pause(actor_of(interaction), reason)
            await answer(interaction, order.paused(said))

        @group.command(name="resume", description=locale_str(order.COMMANDS["resume"]))
        async def resume(interaction: Interaction) -> None:
            await acknowledge_press(interaction, unseen=True)
            await moderators.resume(actor_of(interaction))
            await answer(interaction, order.RESUMED)

        @group.command(name="keep", description=locale_str(order.COMMANDS["keep"]))
        @described(
            days=say("At most so many days"), take_back=say("As long as elsewhere from now on")
        )
        async def keep(
            interaction: Interaction, days: Days | None = None, *, take_back: bool = False
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            by = actor_of(interaction)
            if days is not None or take_back:
                await moderators.set_keep_days(days, by)
            house = await moderators.house(by)
            await answer(interaction, order.kept(house, moderators.keep_days))

    def _add_measures(self, group: app_commands.Group) -> None:
        moderators = self._moderators

        @group.command(name="purge", description=locale_str(order.COMMANDS["purge"]))
        @described(
            hours=say("Those asked for within so many hours"),
            person=_WHOM,
            channel=say("Where"),
            reason=_WHY,
        )
        async def purge(
            interaction: Interaction,
            hours: Hours,
            person: discord.User | None = None,
            channel: AnyChannel | None = None,
            reason: Reason = "",
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            if person is None and channel is None:
                raise UsageError(order.OF_WHOM)
            count = await moderators.purge(
                actor_of(interaction),
                person=None if person is None else _person(person),
                channel=None if channel is None else str(channel.id),
                threads=_threads(interaction.guild, channel),
                within_s=hours * _HOUR_S,
                reason=reason,
            )
            await answer(interaction, order.purged(count))

        @group.command(name="block", description=locale_str(order.COMMANDS["block"]))
        @described(
            person=_WHOM,
            days=say("For so many days; left out, until unblocked"),
            reason=_WHY_TO_THEM,
        )
        async def block(
            interaction: Interaction,
            person: discord.User,
            days: Days | None = None,
            reason: Reason = "",
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            for_s = None if days is None else days * DAY_S
            by, whom = actor_of(interaction), _person(person)
            await moderators.block(whom, by, is_bot=person.bot, for_s=for_s, reason=reason)
            await answer(interaction, blocked(whom.id, days))

        @group.command(name="unblock", description=locale_str(order.COMMANDS["unblock"]))
        @described(person=_WHOM, reason=_WHY)
        async def unblock(
            interaction: Interaction, person: discord.User, reason: Reason = ""
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            whom = _person(person)
            await moderators.unblock(whom, actor_of(interaction), reason=reason)
            await answer(interaction, unblocked(whom.id))


def _threads(guild: discord.Guild | None, channel: AnyChannel | None) -> list[str]:
    """Those of a channel that Discord has not archived: of the rest it tells a bot nothing."""
    if guild is None or channel is None:
        return []
    return [str(one.id) for one in guild.threads if one.parent_id == channel.id]


def _person(user: discord.User | discord.Member) -> Person:
    return Person(HOME, str(user.id), user.name)
