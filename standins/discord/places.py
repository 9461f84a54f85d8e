"""What may be done where: which commands a place offers, and what a closed thread takes."""

from collections.abc import Collection

from standins.base.wire import Json
from standins.discord.errors import ApiError, CommandRefused, Refusal
from standins.discord.world import (
    FORUM,
    GUILD_INSTALL,
    IN_BOT_DM,
    IN_GUILD,
    IN_PRIVATE_CHANNEL,
    MANAGE_THREADS,
    PRIVATE_CHANNELS,
    PRIVATE_THREAD,
    THREADS,
    Channel,
    Person,
    World,
)

_EVERYWHERE = frozenset({IN_GUILD, IN_BOT_DM, IN_PRIVATE_CHANNEL})


def is_of_place(command: Json, channel: Channel, world: World) -> bool:
    """Whether a command belongs to everywhere, or to the guild of this channel."""
    return command.get("guild_id") in {None, str(world.guild_of(channel))}


def installs_of(command: Json) -> Collection[int]:
    """The kinds of installation by which somebody has a command."""
    if "guild_id" in command:
        return (GUILD_INSTALL,)
    return command.get("integration_types") or (GUILD_INSTALL,)


def check_offered(command: Json, name: str, person: Person, channel: Channel, world: World) -> None:
    """Whether somebody is offered a command in a channel; raises CommandRefused.

    name  as they read it
    """
    check_reached(person, channel)
    context = world.context(channel)
    if channel.kind in THREADS:
        manages = world.permissions(person) & MANAGE_THREADS
        if channel.archived or (channel.locked and not manages):
            raise CommandRefused("No command can be used in a thread that is closed.")
    if "guild_id" in command:
        contexts = frozenset({IN_GUILD})
    else:
        said = command.get("contexts")
        contexts = _EVERYWHERE if said is None else frozenset(said)
        if not command.get("dm_permission", True):
            contexts &= {IN_GUILD}
    if context not in contexts:
        raise CommandRefused(f"There is no command {name} in a place of this kind.")
    if not world.installs(person, channel, installs_of(command)):
        raise CommandRefused(f"There is no command {name} here: the application is not installed.")
    # In direct messages it is the person's own choice to see such commands; here they have made it.
    if command.get("nsfw") and context == IN_GUILD and not world.is_nsfw(channel):
        raise CommandRefused(f"{name} can only be used in an age-restricted channel.")


def is_reached(person: Person, channel: Channel) -> bool:
    """Whether somebody can be in a channel."""
    is_closed = channel.kind in PRIVATE_CHANNELS or channel.kind == PRIVATE_THREAD
    return not is_closed or person.id in channel.member_ids


def check_reached(person: Person, channel: Channel) -> None:
    """Whether somebody can be in a channel and write there; raises CommandRefused."""
    if not is_reached(person, channel):
        raise CommandRefused(f"{person.display_name} is not in that channel.")
    if channel.kind == FORUM:
        raise CommandRefused("In a forum one writes in its posts.")


def check_writable(channel: Channel, permissions: int, *, is_new: bool) -> bool:
    """Whether a channel takes a message, or a message's change; raises ApiError.

    permissions  of whoever writes
    is_new       it is a new message, which opens an archived thread again

    Returns whether the thread was archived and has to be opened.
    """
    if channel.kind == FORUM:
        raise ApiError(Refusal.NOT_A_TEXT_CHANNEL)
    if channel.kind not in THREADS:
        return False
    may_open = not channel.locked or permissions & MANAGE_THREADS
    if channel.archived and not (is_new and may_open):
        raise ApiError(Refusal.THREAD_ARCHIVED)
    if not may_open:
        raise ApiError(Refusal.THREAD_LOCKED)
    return channel.archived
