"""What Discord's own client does before a command, a press or a dialog reaches anybody."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from standins.base.wire import Json
from standins.discord.commands import (
    ATTACHMENT,
    BOOLEAN,
    CHANNEL,
    CHAT_INPUT,
    GROUP,
    INTEGER,
    MENTIONABLE,
    MESSAGE_MENU,
    NUMBER,
    ROLE,
    STRING,
    SUBCOMMAND,
    USER,
    USER_MENU,
)
from standins.discord.components import BUTTON, LINK_STYLE, walk
from standins.discord.errors import CommandRefused
from standins.discord.forms import Upload
from standins.discord.messages import Message, Messages
from standins.discord.places import check_offered, of_place
from standins.discord.resolved import Resolved
from standins.discord.submissions import choose, fill_dialog, how_many
from standins.discord.world import Channel, Person, World

MAX_STRING_OPTION_CHARS = 6_000
MAX_SAFE_INTEGER = 2**53 - 1

_WORDS = {BOOLEAN: "true or false", INTEGER: "a whole number", NUMBER: "a number", STRING: "text"}


def type_command(
    commands: Sequence[Json],
    line: str,
    values: Mapping[str, object],
    *,
    person: Person,
    channel: Channel,
    world: World,
    messages: Messages,
    focused: str | None = None,
) -> Json:
    """The `data` of the interaction that a typed command makes.

    line     the command's name, with its subcommands after spaces
    values   its options as typed; of an attachment option an Upload
    focused  the option that is being filled in: the bot is asked what may stand there, and required
             options may be empty still. None: the command is sent

    Raises CommandRefused.
    """
    name, *path = line.removeprefix("/").split() or [""]
    command = _usable(commands, CHAT_INPUT, name, person, channel, world)
    resolved = Resolved(world, messages, person, channel)
    filling = _Filling(resolved, focused)
    data = _data_of(command)
    options = filling.options(f"/{name}", command.get("options", []), path, values)
    if options:
        data["options"] = options
    return _with_resolved(data, resolved)


def choose_in_menu(
    commands: Sequence[Json],
    name: str,
    target: Message | Person,
    *,
    person: Person,
    channel: Channel,
    world: World,
    messages: Messages,
) -> Json:
    """The `data` of the interaction that an entry of a message's or a person's menu makes.

    Raises CommandRefused.
    """
    kind = USER_MENU if isinstance(target, Person) else MESSAGE_MENU
    command = _usable(commands, kind, name, person, channel, world)
    resolved = Resolved(world, messages, person, channel)
    if isinstance(target, Person):
        resolved.user(target.id)
    elif target.viewer_id is not None:
        raise CommandRefused("What only one person sees has no apps in its menu.")
    else:
        resolved.message(target)
    return _with_resolved({**_data_of(command), "target_id": str(target.id)}, resolved)


def focused_option(commands: Sequence[Json], data: Json) -> Json:
    """The option that is filled in, as registered; raises CommandRefused if nothing is offered."""
    command = next(one for one in commands if one["id"] == data["id"])
    offered, filled = command.get("options", []), data.get("options", [])
    while filled and filled[0]["type"] in {SUBCOMMAND, GROUP}:
        offered = next(one for one in offered if one["name"] == filled[0]["name"])["options"]
        filled = filled[0]["options"]
    name = next((one["name"] for one in filled if one.get("focused")), None)
    option: Json | None = next((one for one in offered if one["name"] == name), None)
    if option is None or not option.get("autocomplete"):
        raise CommandRefused("The bot offers nothing for this option.")
    return option


def press_component(
    message: Json, custom_id: str, values: Sequence[str], resolved: Resolved
) -> Json:
    """The `data` of the interaction that a press (or a choice) makes; raises CommandRefused."""
    found = [item for _, item in walk(message["components"])]
    item = next((one for one in found if one.get("custom_id") == custom_id), None)
    if item is None:
        raise CommandRefused(f"The message has nothing to press with the id {custom_id!r}.")
    if item.get("disabled"):
        raise CommandRefused(f"{item.get('label') or custom_id!r} is disabled.")
    data: Json = {
        "id": item["id"],
        "component_type": item["type"],
        "custom_id": custom_id,
    }
    if item["type"] == BUTTON:
        if item["style"] == LINK_STYLE:
            raise CommandRefused("A link opens a page; nothing is sent to the bot.")
        return data
    low, high = how_many(item)
    if not low <= len(values) <= high:
        raise CommandRefused(f"Choose {low} to {high}, not {len(values)}.")
    data["values"] = [choose(item, value, resolved) for value in values]
    return _with_resolved(data, resolved)


def submit_dialog(
    dialog: Json, values: Mapping[str, object], resolved: Resolved, file_limit_bytes: int
) -> Json:
    """The `data` of the interaction that a filled-in dialog makes; raises CommandRefused."""
    parts = fill_dialog(dialog["components"], values, resolved, file_limit_bytes)
    return _with_resolved({"custom_id": dialog["custom_id"], "components": parts}, resolved)


def _usable(
    commands: Sequence[Json], kind: int, name: str, person: Person, channel: Channel, world: World
) -> Json:
    """The command as registered; raises CommandRefused unless it is there and theirs to use."""
    shown = f"/{name}" if kind == CHAT_INPUT else name
    command = of_place(commands, channel, world).get((kind, name))
    if command is None:
        raise CommandRefused(f"There is no command {shown} here.")
    check_offered(command, shown, person, channel, world)
    return command


def _data_of(command: Json) -> Json:
    data = {name: command[name] for name in ("id", "name", "type")}
    return {**data, **{name: command[name] for name in ("guild_id",) if name in command}}


def _with_resolved(data: Json, resolved: Resolved) -> Json:
    return {**data, "resolved": resolved.json} if resolved.json else data


class _Filling:
    """Fills a command's options in, and collects what their ids resolve to."""

    def __init__(self, resolved: Resolved, focused: str | None) -> None:
        self._resolved = resolved
        self._focused = focused

    def options(
        self, line: str, offered: Sequence[Json], path: Sequence[str], values: Mapping[str, object]
    ) -> list[Json]:
        nested = [option for option in offered if option["type"] in {SUBCOMMAND, GROUP}]
        if nested:
            chosen = next((one for one in nested if path and one["name"] == path[0]), None)
            if chosen is None:
                names = ", ".join(option["name"] for option in nested)
                raise CommandRefused(f"Say which {line} is meant: {names}.")
            inner = f"{line} {chosen['name']}"
            children = self.options(inner, chosen.get("options", []), path[1:], values)
            return [{"type": chosen["type"], "name": chosen["name"], "options": children}]
        if path:
            raise CommandRefused(f"{line} has no subcommand {path[0]}.")
        if unknown := values.keys() - {option["name"] for option in offered}:
            raise CommandRefused(f"{line} has no option {min(unknown)}.")
        filled = []
        for option in offered:
            value = values.get(option["name"])
            if option["name"] == self._focused:
                entry = {"type": option["type"], "name": option["name"], "focused": True}
                filled.append({**entry, "value": str(value or "")})
            elif value is not None:
                entry = {"type": option["type"], "name": option["name"]}
                filled.append({**entry, "value": self._value(option, value)})
            elif option.get("required") and self._focused is None:
                raise CommandRefused(f"This option is required: {option['name']}.")
        return filled

    def _value(self, option: Json, value: object) -> object:
        name, kind = option["name"], option["type"]
        if kind in _WORDS:
            return _plain_value(option, value)
        if kind == ATTACHMENT and isinstance(value, Upload):
            return self._resolved.attachment(value)
        if kind == CHANNEL:
            found = self._resolved.channel(value, option.get("channel_types") or ())
        else:
            find = {
                USER: self._resolved.user,
                ROLE: self._resolved.role,
                MENTIONABLE: self._resolved.mentionable,
            }.get(kind)
            found = None if find is None else find(value)
        if found is None:
            raise CommandRefused(f"{name}: {value!r} is nothing that can be chosen here.")
        return found


def _plain_value(option: Json, value: object) -> object:
    """A text, number or truth value, held to the option's limits."""
    name, kind = option["name"], option["type"]

    def refuse(why: str) -> NoReturn:
        raise CommandRefused(f"{name}: {why}.")

    expected: dict[int, type | tuple[type, ...]] = {
        STRING: str,
        INTEGER: int,
        NUMBER: (int, float),
        BOOLEAN: bool,
    }
    if not isinstance(value, expected[kind]) or (isinstance(value, bool) and kind != BOOLEAN):
        refuse(f"enter {_WORDS[kind]}")
    choices = [choice["value"] for choice in option.get("choices", [])]
    if choices and value not in choices:
        refuse("choose one of the list")
    if isinstance(value, str):
        low, high = option.get("min_length", 0), option.get("max_length", MAX_STRING_OPTION_CHARS)
        if option.get("required") and not value.strip():
            raise CommandRefused(f"This option is required: {name}.")
        if not low <= len(value) <= high:
            refuse(f"enter {low} to {high} characters, not {len(value)}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low = option.get("min_value", -MAX_SAFE_INTEGER)
        high = option.get("max_value", MAX_SAFE_INTEGER)
        if not low <= value <= high:  # also refuses NaN
            refuse(f"enter a number from {low} to {high}")
    return value
