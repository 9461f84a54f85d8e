"""What the ids in an interaction's data stand for: people, roles, channels, files, messages."""

from collections.abc import Collection

from standins.base.wire import Json
from standins.discord.forms import Upload
from standins.discord.messages import Message, Messages
from standins.discord.places import is_reached
from standins.discord.wire import snowflake
from standins.discord.world import PRIVATE_CHANNELS, Channel, Person, World


class Resolved:
    """Collects them while somebody fills in a command or a dialog in a channel.

    json  the `resolved` of the interaction's data, {} while there is nothing
    """

    def __init__(self, world: World, messages: Messages, person: Person, place: Channel) -> None:
        self.json: Json = {}
        self._world = world
        self._messages = messages
        self._person = person
        self._place = place

    def user(self, value: object) -> str | None:
        """The id of a person with their membership; None: nobody has this id."""
        person = self._world.people.get(snowflake(value) or 0)
        if person is None:
            return None
        member = self._world.member_json(person, with_user=False)
        member["permissions"] = str(self._world.permissions(person, self._place))
        self._add("members", str(person.id), member)
        return self._add("users", str(person.id), self._world.user_json(person))

    def role(self, value: object) -> str | None:
        """The id of a role, None: no role has it."""
        role = self._world.roles.get(snowflake(value) or 0)
        return (
            None if role is None else self._add("roles", str(role.id), self._world.role_json(role))
        )

    def mentionable(self, value: object) -> str | None:
        """The id of a person or a role, None: neither has it."""
        return self.user(value) or self.role(value)

    def channel(self, value: object, kinds: Collection[int] = ()) -> str | None:
        """The id of a channel of the guild, with what the person may do in it.

        kinds  of channels that may be chosen; empty: all

        None: no channel has this id that they see and may choose.
        """
        channel, world = self._world.channels.get(snowflake(value) or 0), self._world
        if channel is None or world.guild_of(channel) != world.guild_of(self._place):
            return None
        is_offered = channel.kind not in PRIVATE_CHANNELS and (not kinds or channel.kind in kinds)
        if not is_offered or not is_reached(self._person, channel, world):
            return None
        shown = world.channel_json(channel)
        shown["permissions"] = str(world.permissions(self._person, channel))
        return self._add("channels", str(channel.id), shown)

    def attachment(self, upload: Upload) -> str:
        """The id of a file, which is stored from now on."""
        attachment = self._messages.attach(self._place.id, upload)
        return self._add("attachments", attachment["id"], attachment)

    def message(self, message: Message) -> str:
        """The id of a message, which comes whole, whatever the bot's intents."""
        return self._add("messages", str(message.id), message.snapshot())

    def _add(self, kind: str, key: str, value: Json) -> str:
        self.json.setdefault(kind, {})[key] = value
        return key
