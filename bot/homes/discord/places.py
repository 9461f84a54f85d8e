"""Where the bot is offered, and whether a place can show pictures: known before a job is taken."""

from dataclasses import dataclass
from typing import Final

import discord
from discord.app_commands import AppCommandContext, AppInstallationType

from bot.errors import WrongPlaceError
from bot.homes.discord.buttons import Interaction
from sdxl_engine.sentence import all_of, say

# Of a command that means nothing elsewhere; what is left open would be as of the others.
IN_SERVERS: Final = AppCommandContext(guild=True, dm_channel=False, private_channel=False)
BY_SERVERS: Final = AppInstallationType(guild=True, user=False)
_PLACES: Final = {
    "server": say("servers"),
    "dm": say("direct messages with the bot"),
    "private": say("other direct messages and groups"),
}
# As Discord shows them to those who can give them.
_PERMISSIONS: Final = {
    "attach_files": say("Attach Files"),
    "view_channel": say("View Channel"),
    "send_messages": say("Send Messages"),
    "send_messages_in_threads": say("Send Messages in Threads"),
}


@dataclass(frozen=True, slots=True)
class Offered:
    """In what places commands are offered, and to whom.

    contexts  of "server", "dm" (with the bot), "private" (direct messages with others, groups)
    installs  of "server" (that invited the bot), "user" (who added it for themselves)
    nsfw      in age-restricted channels alone
    """

    contexts: frozenset[str] = frozenset({"server"})
    installs: frozenset[str] = frozenset({"server"})
    nsfw: bool = False

    @property
    def in_servers(self) -> bool:
        """Whether they are in servers that invited the bot."""
        return "server" in self.contexts and "server" in self.installs

    @property
    def app_contexts(self) -> AppCommandContext:
        """The places, as Discord is told them."""
        return AppCommandContext(
            guild="server" in self.contexts,
            dm_channel="dm" in self.contexts,
            private_channel="private" in self.contexts,
        )

    @property
    def app_installs(self) -> AppInstallationType:
        """The installations, as Discord is told them."""
        return AppInstallationType(guild="server" in self.installs, user="user" in self.installs)

    def check(self, interaction: Interaction) -> None:
        """Whether a command came from where it is offered; raises WrongPlaceError.

        Discord sees to it, by what it was told last: that may be an hour old, or another bot's.
        """
        if _context(interaction) not in self.contexts:
            places = all_of(_PLACES[one] for one in _PLACES if one in self.contexts)
            raise WrongPlaceError(say("The bot works in {places} only. Ask there.", places=places))
        by_user = interaction.is_user_integration() and not interaction.is_guild_integration()
        if by_user and "user" not in self.installs:
            raise WrongPlaceError(say("The bot works only in servers that invited it. Ask in one."))
        channel = interaction.channel
        if (
            self.nsfw
            and _has_bot(interaction)
            and isinstance(channel, discord.TextChannel | discord.Thread)
            and not channel.is_nsfw()
        ):
            raise WrongPlaceError(say("The bot works in age-restricted channels only. Ask in one."))


def check_showable(interaction: Interaction) -> None:
    """Whether the answer to an interaction may become pictures there; raises WrongPlaceError.

    The interaction's own token would carry pictures for a quarter of an hour, whatever the channel
    leaves the bot. Where it is a member it does not count on that: a job may wait for longer, and
    who took a permission from the bot meant it. Elsewhere the token is all there is, and pictures
    that come too late for it are kept for /jobs.
    """
    may, channel = interaction.app_permissions, interaction.channel
    in_thread = isinstance(channel, discord.Thread)
    needed = ["attach_files"]
    if _has_bot(interaction):
        needed += ["view_channel", "send_messages_in_threads" if in_thread else "send_messages"]
    missing = [_PERMISSIONS[one] for one in needed if not getattr(may, one)]
    if missing:
        raise WrongPlaceError(
            say(
                "The bot may not show pictures in this channel: it lacks {permissions}. Ask a "
                "moderator to give it that, or ask for pictures in another channel.",
                permissions=all_of(missing),
            )
        )
    if isinstance(channel, discord.Thread) and channel.locked and not may.manage_threads:
        raise WrongPlaceError(
            say(
                "This thread is locked. Ask a moderator to unlock it, or ask for pictures in "
                "another channel."
            )
        )


def check_writable(channel: discord.TextChannel) -> None:
    """Whether the bot may write and show pictures in a channel; raises WrongPlaceError."""
    may = channel.permissions_for(channel.guild.me)
    needed = ("view_channel", "send_messages", "attach_files")
    missing = [_PERMISSIONS[one] for one in needed if not getattr(may, one)]
    if missing:
        raise WrongPlaceError(
            say(
                "The bot cannot work in that channel: it lacks {permissions}. Give it that there, "
                "then ask again.",
                permissions=all_of(missing),
            )
        )


def _context(interaction: Interaction) -> str:
    if interaction.guild_id is not None:
        return "server"
    return "private" if interaction.context.private_channel else "dm"


def _has_bot(interaction: Interaction) -> bool:
    """Whether the bot is known to be a member of the server that it came from."""
    guild_id = interaction.guild_id
    return guild_id is not None and interaction.client.get_guild(guild_id) is not None
