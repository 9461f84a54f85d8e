"""What the ids in an interaction's data stand for: people, roles, channels, files, messages."""

from standins.base.wire import Json
from standins.discord.forms import Upload
from standins.discord.messages import Message, Messages
from standins.discord.wire import snowflake
from standins.discord.world import Person, World


class Resolved:
    """Collects them while somebody fills in a command or a dialog.

    json  the `resolved` of the interaction's data, {} while there is nothing
    """

    def __init__(self, world: World, messages: Messages, person: Person, channel_id: int) -> None:
        self.json: Json = {}
        self._world = world
        self._messages = messages
        self._person = person
        self._channel_id = channel_id

    def user(self, value: object) -> str | None:
        """The id of a person with their membership; None: nobody has this id."""
        person = self._world.people.get(snowflake(value) or 0)
        if person is None:
            return None
        member = self._world.member_json(person, with_user=False)
        member["permissions"] = str(self._world.permissions(person))
        self._add("members", str(person.id), member)
        return self._add("users", str(person.id), self._world.user_json(person))

    def role(self, value: object) -> str | None:
        """The id of a role, None: no role has it."""
        role = self._world.roles.get(snowflake(value) or 0)
        return (
            None if role is None else self._add("roles", str(role.id), self._world.role_json(role))
        )

    def channel(self, value: object) -> str | None:
        """The id of a channel, with what the person may do in it; None: no channel has it."""
        channel = self._world.channels.get(snowflake(value) or 0)
        if channel is None:
            return None
        shown = self._world.channel_json(channel)
        shown["permissions"] = str(self._world.permissions(self._person))
        return self._add("channels", str(channel.id), shown)

    def attachment(self, upload: Upload) -> str:
        """The id of a file, which is stored from now on."""
        attachment = self._messages.attach(self._channel_id, upload)
        return self._add("attachments", attachment["id"], attachment)

    def message(self, message: Message) -> str:
        """The id of a message, which comes whole, whatever the bot's intents."""
        return self._add("messages", str(message.id), message.snapshot())

    def _add(self, kind: str, key: str, value: Json) -> str:
        self.json.setdefault(kind, {})[key] = value
        return key
