"""The registered application commands and Discord's rules for registering them."""

import asyncio
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from standins.base.timers import Clock
from standins.base.wire import Json
from standins.discord.errors import ApiError, FormErrors, Refusal, form_error
from standins.discord.fields import (
    Path,
    check_choice,
    check_object,
    check_text,
    check_truth,
    list_in,
    object_in,
)
from standins.discord.wire import Snowflakes, snowflake

MAX_COMMANDS: Final = 100  # that are typed
MAX_MENU_COMMANDS: Final = 15  # in the menu of a message, and as many in that of a person
MAX_CREATES_A_DAY: Final = 200
DAY_S: Final = 86_400.0
MAX_OPTIONS = MAX_CHOICES = 25
MAX_COMMAND_CHARS: Final = 8_000  # of its names, descriptions and values together
MAX_NAME_CHARS, MAX_DESCRIPTION_CHARS = 32, 100
LOCALES: Final = frozenset(
    "ar bg cs da de el en-GB en-US es-419 es-ES fi fr he hi hr "  # noqa: SIM905 - 34 lines of a list
    "hu id it ja ko lt nl no pl pt-BR ro ru sv-SE th tr uk vi zh-CN zh-TW".split()
)

CHAT_INPUT, USER_MENU, MESSAGE_MENU, ENTRY_POINT = 1, 2, 3, 4
_KINDS: Final = (CHAT_INPUT, USER_MENU, MESSAGE_MENU, ENTRY_POINT)
_MENUS: Final = (USER_MENU, MESSAGE_MENU)
SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL = 1, 2, 3, 4, 5, 6, 7
ROLE, MENTIONABLE, NUMBER, ATTACHMENT = 8, 9, 10, 11

# Where it is installed (a server, a person), and where used (a server, DMs with the bot, others).
_PLACES: Final = {"integration_types": (0, 1), "contexts": (0, 1, 2)}
_NESTED: Final = (SUBCOMMAND, GROUP)
_EXCLUSIVE: Final = (
    "Sub-command and sub-command group option types are mutually exclusive to all other types"
)
_CHANNEL_KINDS: Final = (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16)
_ASSIGNED = frozenset({"id", "application_id", "version", "guild_id"})
_DEFAULTS: Final[Json] = {
    "type": CHAT_INPUT,
    "description": "",
    "name_localizations": None,
    "description_localizations": None,
    "default_member_permissions": None,
    "dm_permission": True,
    "contexts": None,
    "integration_types": [0],
    "nsfw": False,
}


class CommandRegistry:
    """What `PUT /applications/{id}/commands` and its neighbours keep.

    syncs       how often a whole list was put
    creates     how many commands were new or renamed in all
    registered  set while there are any
    """

    def __init__(self, application_id: int, snowflakes: Snowflakes, clock: Clock) -> None:
        self.syncs = 0
        self.creates = 0
        self.registered = asyncio.Event()
        self._application_id = application_id
        self._snowflakes = snowflakes
        self._clock = clock
        self._scopes: dict[int | None, dict[int, Json]] = {}
        self._created_at: deque[float] = deque()

    def all(self) -> list[Json]:
        """Every command, the guilds' own first: they hide global ones of their name."""
        scopes = sorted(self._scopes.items(), key=lambda scope: scope[0] is None)
        return [command for _, commands in scopes for command in commands.values()]

    def listed(self, guild_id: int | None) -> list[Json]:
        """The commands of one guild (None: the global ones)."""
        return list(self._scopes.get(guild_id, {}).values())

    def get(self, guild_id: int | None, command_id: int) -> Json:
        """One command; raises ApiError 10063."""
        command = self._scopes.get(guild_id, {}).get(command_id)
        if command is None:
            raise ApiError(Refusal.UNKNOWN_COMMAND)
        return command

    def put(self, guild_id: int | None, payload: object) -> list[Json]:
        """Replace the whole list; what did not change keeps its id and version."""
        commands = [] if payload is None else payload
        if not isinstance(commands, list) or not all(isinstance(one, dict) for one in commands):
            sentence = "Only iterables may be used in a ListType"
            raise form_error((), "LIST_TYPE_CONVERT", sentence)
        errors = FormErrors()
        names: list[tuple[object, object]] = []
        for place, command in enumerate(commands):
            check_command(errors, (place,), command)
            name = (command.get("type") or CHAT_INPUT, command.get("name"))
            if name in names:
                sentence = "Application command names must be unique"
                code = "APPLICATION_COMMANDS_DUPLICATE_NAME"
                errors.add((place, "name"), code, sentence)
            names.append(name)
        errors.check()
        _check_count(commands)
        before = self._scopes.get(guild_id, {})
        known = {(old["type"], old["name"]) for old in before.values()}
        self._count_creates(len(set(names) - known))
        self.syncs += 1
        stored = [self._stored(guild_id, command) for command in commands]
        self._scopes[guild_id] = {int(command["id"]): command for command in stored}
        self._refresh_registered()
        return stored

    def create(self, guild_id: int | None, payload: Json) -> tuple[Json, bool]:
        """Add one command or overwrite the one of its name; returns it and whether it is new."""
        errors = FormErrors()
        check_command(errors, (), payload)
        errors.check()
        old = self._same_name(guild_id, payload)
        if old is None:
            _check_count([*self.listed(guild_id), payload])
            self._count_creates(1)
        command = self._stored(guild_id, payload)
        self._scopes.setdefault(guild_id, {})[int(command["id"])] = command
        self._refresh_registered()
        return command, old is None

    def edit(self, guild_id: int | None, command_id: int, payload: Json) -> Json:
        """Change what the payload names."""
        old = self.get(guild_id, command_id)
        merged = {name: value for name, value in old.items() if name not in _ASSIGNED} | payload
        errors = FormErrors()
        check_command(errors, (), merged)
        errors.check()
        command = {**self._stored(guild_id, merged), "id": old["id"]}
        self._scopes[guild_id][command_id] = command
        return command

    def delete(self, guild_id: int | None, command_id: int) -> None:
        """Remove one command; raises ApiError 10063."""
        self.get(guild_id, command_id)
        del self._scopes[guild_id][command_id]
        self._refresh_registered()

    def _refresh_registered(self) -> None:
        if any(self._scopes.values()):
            self.registered.set()
        else:
            self.registered.clear()

    def _same_name(self, guild_id: int | None, command: Json) -> Json | None:
        name = (command.get("type") or CHAT_INPUT, command["name"])
        found = [old for old in self.listed(guild_id) if (old["type"], old["name"]) == name]
        return found[0] if found else None

    def _stored(self, guild_id: int | None, payload: Json) -> Json:
        """The command as kept: with its old id if it had one, its old version if it is the same."""
        command = {name: value for name, value in payload.items() if name not in _ASSIGNED}
        command = {**_DEFAULTS, **{k: v for k, v in command.items() if v is not None}}
        if command["default_member_permissions"] is not None:
            command["default_member_permissions"] = str(command["default_member_permissions"])
        if "options" in command:
            command["options"] = [_option_json(option) for option in command["options"]]
        old = self._same_name(guild_id, command)
        fresh = str(self._snowflakes.new())
        kept = {k: v for k, v in (old or {}).items() if k not in _ASSIGNED}
        assigned: Json = {
            "id": fresh if old is None else old["id"],
            "application_id": str(self._application_id),
            "version": old["version"] if old is not None and kept == command else fresh,
        }
        if guild_id is not None:
            assigned["guild_id"] = str(guild_id)
        return {**assigned, **command}

    def _count_creates(self, number: int) -> None:
        now = self._clock()
        while self._created_at and self._created_at[0] <= now - DAY_S:
            self._created_at.popleft()
        if len(self._created_at) + number > MAX_CREATES_A_DAY:
            raise ApiError(Refusal.TOO_MANY_CREATES)
        self._created_at.extend([now] * number)
        self.creates += number


def _check_count(commands: Sequence[Json]) -> None:
    """How many there may be of each kind; raises ApiError."""
    kinds = Counter(command.get("type") or CHAT_INPUT for command in commands)
    if kinds[CHAT_INPUT] > MAX_COMMANDS:
        raise ApiError(Refusal.TOO_MANY_COMMANDS)
    if any(kinds[menu] > MAX_MENU_COMMANDS for menu in _MENUS):
        raise ApiError(Refusal.TOO_MANY_MENU_COMMANDS)


def check_command(errors: FormErrors, path: Path, command: Json) -> None:
    """Note everything that Discord would refuse in a command."""
    kind = CHAT_INPUT if command.get("type") is None else command["type"]
    if type(kind) is not int or kind not in _KINDS:
        sentence = "Value must be one of {1, 2, 3, 4}."
        errors.add((*path, "type"), "BASE_TYPE_CHOICES", sentence)
        return
    needed = command.get("default_member_permissions")
    if needed is not None and snowflake(needed) is None:
        sentence = f'Value "{needed}" is not int.'
        errors.add((*path, "default_member_permissions"), "NUMBER_TYPE_COERCE", sentence)
    check_truth(errors, (*path, "nsfw"), command.get("nsfw"))
    check_truth(errors, (*path, "dm_permission"), command.get("dm_permission"))
    for name, choices in _PLACES.items():
        _check_places(errors, (*path, name), command.get(name), choices)
    if kind in _MENUS:
        _check_localized(errors, path, command, "name", _check_title)
        for name in ("description", "options"):
            if command.get(name):
                sentence = f"Context menu commands cannot have {name}"
                code = f"APPLICATION_COMMAND_CONTEXT_MENU_{name.upper()}_NOT_ALLOWED"
                errors.add((*path, name), code, sentence)
        return
    _check_named(errors, path, command)
    _check_options(errors, path, command.get("options"), _NESTED)
    if _chars(command) > MAX_COMMAND_CHARS:
        sentence = f"Command exceeds maximum size ({MAX_COMMAND_CHARS})"
        errors.add(path, "APPLICATION_COMMAND_TOO_LARGE", sentence)


def _check_places(errors: FormErrors, path: Path, value: object, choices: tuple[int, ...]) -> None:
    """Where a command is installed or used, or what channels: some of the choices, each once."""
    if value is None:
        return
    if not isinstance(value, list):
        errors.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    elif not value:
        errors.add(path, "BASE_TYPE_BAD_LENGTH", "Must be 1 or more in length.")
    elif any(value.count(one) > 1 for one in value):
        errors.add(path, "SET_TYPE_ALREADY_CONTAINS_VALUE", "The set already contains this value")
    else:
        for place, one in enumerate(value):
            check_choice(errors, (*path, place), one, choices)


def _check_named(errors: FormErrors, path: Path, node: Json) -> None:
    """Name and description of a command or an option, in every language."""
    _check_localized(errors, path, node, "name", _check_name)
    _check_localized(errors, path, node, "description", _check_words)


def _check_localized(
    errors: FormErrors,
    path: Path,
    node: Json,
    name: str,
    check: Callable[[FormErrors, Path, object], None],
) -> None:
    """A text, and what it is in other languages: each is held to the same rules."""
    check(errors, (*path, name), node.get(name))
    at, localized = (*path, f"{name}_localizations"), node.get(f"{name}_localizations")
    check_object(errors, at, localized)
    for locale, text in object_in(localized).items():
        if locale in LOCALES:
            check(errors, (*at, locale), text)
        else:
            sentence = f"Value must be one of {sorted(LOCALES)}."
            errors.add((*at, locale), "BASE_TYPE_CHOICES", sentence)


def _check_title(errors: FormErrors, path: Path, name: object) -> None:
    """What stands in a menu: any words."""
    check_text(errors, path, name, MAX_NAME_CHARS, minimum=1)


def _check_words(errors: FormErrors, path: Path, description: object) -> None:
    check_text(errors, path, description, MAX_DESCRIPTION_CHARS, minimum=1)


def _check_name(errors: FormErrors, path: Path, name: object) -> None:
    check_text(errors, path, name, MAX_NAME_CHARS, minimum=1)
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_CHARS:
        return
    fitting = all(char in "-_'" or unicodedata.category(char)[0] in "LN" for char in name)
    if not fitting or name != name.lower():
        errors.add(path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


def _check_options(
    errors: FormErrors, path: Path, options: object, nested: Collection[int]
) -> None:
    """The options of a command, a group or a subcommand.

    nested  what may stand here instead of options that are filled in
    """
    inside = (*path, "options")
    if options is None:
        return
    if not isinstance(options, list) or not all(isinstance(option, dict) for option in options):
        errors.add(inside, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return
    if len(options) > MAX_OPTIONS:
        sentence = f"Must be {MAX_OPTIONS} or fewer in length."
        errors.add(inside, "BASE_TYPE_MAX_LENGTH", sentence)
    are_nested = [option.get("type") in _NESTED for option in options]
    if any(are_nested) and not all(are_nested):
        errors.add(inside, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", _EXCLUSIVE)
        return
    optional_seen = False
    names: list[object] = []
    for place, option in enumerate(options):
        here = (*inside, place)
        _check_option(errors, here, option, nested)
        if option.get("required") and optional_seen:
            sentence = "Required options must be placed before non-required options"
            errors.add(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", sentence)
        optional_seen = optional_seen or not option.get("required")
        if option.get("name") in names:
            sentence = "Option name already used"
            errors.add((*here, "name"), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_USED", sentence)
        names.append(option.get("name"))


def _check_option(errors: FormErrors, path: Path, option: Json, nested: Collection[int]) -> None:
    _check_named(errors, path, option)
    kind = option.get("type")
    if type(kind) is not int or not SUBCOMMAND <= kind <= ATTACHMENT:
        sentence = "Value must be one of {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}."
        errors.add((*path, "type"), "BASE_TYPE_CHOICES", sentence)
        return
    if kind in _NESTED:
        _check_nested(errors, path, option, nested)
        return
    if option.get("options"):
        sentence = "Only subcommands and groups have options"
        errors.add((*path, "options"), "APPLICATION_COMMAND_OPTIONS_INVALID", sentence)
    if option.get("channel_types"):
        _check_places(errors, (*path, "channel_types"), option["channel_types"], _CHANNEL_KINDS)
    low, high = ("min_length", "max_length") if kind == STRING else ("min_value", "max_value")
    least, most = option.get(low), option.get(high)
    if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
        sentence = f"{low} must be less than or equal to {high}"
        errors.add((*path, low), "APPLICATION_COMMAND_OPTION_RANGE_INVALID", sentence)
    for limit in ("min_length", "max_length", "min_value", "max_value"):
        number = option.get(limit)
        fitting = type(number) is int or (isinstance(number, float) and kind == NUMBER)
        if number is not None and not fitting:
            sentence = f'Value "{number}" is not a number.'
            errors.add((*path, limit), "NUMBER_TYPE_COERCE", sentence)
    choices = [] if option.get("choices") is None else option["choices"]
    if not check_choices(errors, path, kind, choices):
        return
    if choices and kind not in {STRING, INTEGER, NUMBER}:
        sentence = "Choices are for string, integer and number options"
        errors.add((*path, "choices"), "APPLICATION_COMMAND_OPTIONS_CHOICES_INVALID", sentence)
    if choices and option.get("autocomplete"):
        sentence = "Autocomplete cannot be set when choices are present"
        code = "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID"
        errors.add((*path, "autocomplete"), code, sentence)


def _check_nested(errors: FormErrors, path: Path, option: Json, nested: Collection[int]) -> None:
    """A subcommand, or a group of subcommands: at the top, or a subcommand in a group."""
    kind, options = option["type"], option.get("options")
    if kind not in nested:
        sentence = "Sub-commands stand in groups or at the top, groups at the top"
        errors.add((*path, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", sentence)
        return
    inner = (SUBCOMMAND,) if kind == GROUP else ()
    if kind == GROUP and any(object_in(one).get("type") not in _NESTED for one in list_in(options)):
        sentence = "A group has sub-commands and nothing else"
        errors.add((*path, "options"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", sentence)
        return
    _check_options(errors, path, options, inner)


def check_choices(errors: FormErrors, path: Path, kind: int, choices: object) -> bool:
    """Note what Discord would refuse in the choices of an option; False: they are no list."""
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        sentence = "Only iterables may be used in a ListType"
        errors.add((*path, "choices"), "LIST_TYPE_CONVERT", sentence)
        return False
    if len(choices) > MAX_CHOICES:
        sentence = f"Must be {MAX_CHOICES} or fewer in length."
        errors.add((*path, "choices"), "BASE_TYPE_MAX_LENGTH", sentence)
    for place, choice in enumerate(choices):
        here = (*path, "choices", place)
        _check_localized(errors, here, choice, "name", _check_words)
        if kind == STRING:
            check_text(errors, (*here, "value"), choice.get("value"), 100, minimum=1)
        elif not isinstance(choice.get("value"), int | float):
            sentence = f'Value "{choice.get("value")}" is not a number.'
            errors.add((*here, "value"), "NUMBER_TYPE_COERCE", sentence)
    return True


def _option_json(option: Json) -> Json:
    shown = {name: value for name, value in option.items() if value is not None}
    if "options" in shown:
        shown["options"] = [_option_json(child) for child in shown["options"]]
    return shown


def _chars(node: Json) -> int:
    """Name, description and value, each in its longest language, of the command and all in it."""
    own = sum(
        max(len(str(text or "")) for text in (node.get(name), *_localized(node, name)))
        for name in ("name", "description", "value")
    )
    inside = [node.get(name) for name in ("options", "choices")]
    children = [child for some in inside if isinstance(some, list) for child in some]
    return own + sum(_chars(child) for child in children if isinstance(child, dict))


def _localized(node: Json, name: str) -> list[object]:
    return list(object_in(node.get(f"{name}_localizations")).values())
