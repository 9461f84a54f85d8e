"""What may be done where: which commands a place offers, and what a closed thread takes."""

from collections.abc import Collection, Sequence

from standins.base.wire import Json
from standins.discord.errors import ApiError, CommandRefused, Refusal
from standins.discord.world import (
    ADMINISTRATOR,
    ATTACH_FILES,
    FORUM,
    GUILD_INSTALL,
    IN_BOT_DM,
    IN_GUILD,
    IN_PRIVATE_CHANNEL,
    MANAGE_THREADS,
    PRIVATE_CHANNELS,
    PRIVATE_THREAD,
    SEND_MESSAGES,
    SEND_MESSAGES_IN_THREADS,
    THREADS,
    USE_APPLICATION_COMMANDS,
    VIEW_CHANNEL,
    Channel,
    Person,
    World,
)

_EVERYWHERE = frozenset({IN_GUILD, IN_BOT_DM, IN_PRIVATE_CHANNEL})


def of_place(
    commands: Sequence[Json], channel: Channel, world: World
) -> dict[tuple[int, str], Json]:
    """The commands of everywhere and of the guild of this channel, by kind and name.

    commands  a guild's own before those of everywhere: they hide them
    """
    found: dict[tuple[int, str], Json] = {}
    for command in commands:
        if command.get("guild_id") in {None, str(world.guild_of(channel))}:
            found.setdefault((command["type"], command["name"]), command)
    return found


def is_offered(command: Json, person: Person, channel: Channel, world: World) -> bool:
    """Whether somebody is offered a command in a channel."""
    try:
        check_offered(command, command["name"], person, channel, world)
    except CommandRefused:
        return False
    return True


def installs_of(command: Json) -> Collection[int]:
    """The kinds of installation by which somebody has a command."""
    if "guild_id" in command:
        return (GUILD_INSTALL,)
    return command.get("integration_types") or (GUILD_INSTALL,)


def check_offered(command: Json, name: str, person: Person, channel: Channel, world: World) -> None:
    """Whether somebody is offered a command in a channel; raises CommandRefused.

    name  as they read it
    """
    check_reached(person, channel, world)
    context, permissions = world.context(channel), world.permissions(person, channel)
    if channel.kind in THREADS:
        manages = permissions & MANAGE_THREADS
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
    # In direct messages nobody has a rank, so there what a command asks for does not count.
    if context == IN_GUILD and _needed(command) & ~permissions:
        raise CommandRefused(f"{person.display_name} may not use {name}.")


def _needed(command: Json) -> int:
    """The permissions that somebody needs for a command, unless a server decides otherwise."""
    said = command.get("default_member_permissions")
    # That none is enough is how a command is said to be for administrators alone.
    own = 0 if said is None else int(said) or ADMINISTRATOR
    return own | USE_APPLICATION_COMMANDS


def is_reached(person: Person, channel: Channel, world: World) -> bool:
    """Whether somebody can be in a channel."""
    is_closed = channel.kind in PRIVATE_CHANNELS or channel.kind == PRIVATE_THREAD
    is_inside = not is_closed or person.id in channel.member_ids
    return is_inside and bool(world.permissions(person, channel) & VIEW_CHANNEL)


def check_reached(person: Person, channel: Channel, world: World) -> None:
    """Whether somebody can be in a channel that messages are in; raises CommandRefused."""
    if not is_reached(person, channel, world):
        raise CommandRefused(f"{person.display_name} is not in that channel.")
    if channel.kind == FORUM:
        raise CommandRefused("In a forum one writes in its posts.")


def check_may_write(person: Person, channel: Channel, world: World, *, files: bool) -> None:
    """Whether somebody may write a message there, with files; raises CommandRefused."""
    check_reached(person, channel, world)
    needed = needed_to_write(channel, files=files)
    if needed & ~world.permissions(person, channel):
        raise CommandRefused(f"{person.display_name} may not write this in that channel.")


def needed_to_write(channel: Channel, *, files: bool) -> int:
    """The permissions that a message takes, with files or without."""
    write = SEND_MESSAGES_IN_THREADS if channel.kind in THREADS else SEND_MESSAGES
    return write | ATTACH_FILES if files else write


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


def check_recipient(channel: Channel, world: World) -> None:
    """Whether the bot may write direct messages on its own account; raises ApiError.

    Its answers to what somebody does there come by another way, whatever they closed.
    """
    if world.context(channel) != IN_BOT_DM:
        return
    person = next(world.people[one] for one in channel.member_ids if one != world.bot.id)
    if not world.bot_is_member and not person.has_installed:
        raise ApiError(Refusal.NO_MUTUAL_GUILDS)
    if not person.takes_messages:
        raise ApiError(Refusal.CANNOT_WRITE_TO_USER)
