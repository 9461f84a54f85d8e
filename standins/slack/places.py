"""Where the bot may read and write, and Slack's word where it may not."""

from standins.slack.errors import ApiError
from standins.slack.web_api import need_scope
from standins.slack.world import Channel, World


def readable(world: World, channel_id: str, *, inside: bool = True) -> Channel:
    """A channel that the bot sees; raises ApiError.

    inside  it must be in it
    """
    channel = world.channels.get(channel_id)
    # What is private does not even exist for whoever is not in it.
    if channel is None or (channel.kind != "channels" and not world.has_bot(channel)):
        raise ApiError("channel_not_found")
    need_team(world, channel.team_id)
    if inside and not world.has_bot(channel):
        raise ApiError("not_in_channel")
    return channel


def writable(world: World, name: str) -> Channel:
    """A channel that the bot may write in; raises ApiError.

    name  an id, #name of a public channel, or a person's id: the direct message with them
    """
    if name in world.people and name != world.bot_user_id:
        channel = world.direct_message(name)
        need_team(world, channel.team_id)
        return channel
    named = (one for one in world.channels.values() if not one.user_id and f"#{one.name}" == name)
    found = next(named, None)
    channel = readable(world, name if found is None else found.id, inside=False)
    if channel.is_archived:
        raise ApiError("is_archived")
    if not world.has_bot(channel) and "chat:write.public" not in world.scopes:
        raise ApiError("not_in_channel")
    if not channel.bot_may_post:
        raise ApiError("restricted_action")
    return channel


def need_team(world: World, team_id: str) -> None:
    """Raise ApiError where the app was not added to a workspace of the organisation."""
    if not world.team(team_id).has_app:
        raise ApiError("team_access_not_granted")


def need_channel_scope(world: World, channel: Channel, what: str) -> None:
    """Raise ApiError without the scope for channels of its kind, such as "groups:history"."""
    need_scope(world, f"{channel.kind}:{what}")
