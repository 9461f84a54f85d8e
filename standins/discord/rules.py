"""Discord's rules for messages: lengths, counts, mentions. Each breach is named as Discord does."""

import re
from collections.abc import Callable
from typing import Any, Final

from standins.base.wire import Json
from standins.discord.errors import ApiError, FormErrors, Refusal
from standins.discord.wire import snowflake
from standins.discord.world import MENTION_EVERYONE, World

MAX_CONTENT_CHARS: Final = 2_000
MAX_ATTACHMENTS: Final = 10
MAX_DESCRIPTION_CHARS: Final = 1_024
MAX_ALLOWED_MENTIONS: Final = 100
MAX_EMBEDS, MAX_EMBED_FIELDS, MAX_EMBED_TOTAL_CHARS = 10, 25, 6_000
MAX_ROWS, MAX_BUTTONS_A_ROW, MAX_SELECT_OPTIONS = 5, 5, 25
MAX_CUSTOM_ID_CHARS, MAX_LABEL_CHARS = 100, 80

SUPPRESS_EMBEDS, EPHEMERAL, LOADING, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 6, 1 << 7, 1 << 12

ACTION_ROW, BUTTON, STRING_SELECT = 1, 2, 3
SELECTS = frozenset({STRING_SELECT, 5, 6, 7, 8})
LINK_STYLE, PREMIUM_STYLE = 5, 6

_EMBED_LIMITS = {"title": 256, "description": 4_096, "url": 2_048}
_EMBED_PARTS = {"footer": ("text", 2_048), "author": ("name", 256)}
_EMBED_OBJECTS = ("footer", "author", "image", "thumbnail")
_FIELD_LIMITS = {"name": 256, "value": 1_024}
_CODE = re.compile(r"```.*?```|``.+?``|`[^`\n]+`", re.DOTALL)
_EVERYONE = re.compile(r"@(everyone|here)\b")
_USER_MENTION, _ROLE_MENTION = re.compile(r"<@!?(\d{1,20})>"), re.compile(r"<@&(\d{1,20})>")

Path = tuple[str | int, ...]


def check_message(payload: Json) -> None:
    """Everything about a message's form that does not need the world; raises ApiError 50035."""
    errors = FormErrors()
    check_text(errors, ("content",), payload.get("content"), MAX_CONTENT_CHARS)
    _each(errors, ("embeds",), payload.get("embeds"), MAX_EMBEDS, _check_embed)
    _check_embed_total(errors, payload.get("embeds"))
    _each(errors, ("components",), payload.get("components"), MAX_ROWS, _check_row)
    _check_custom_ids(errors, payload.get("components"))
    _each(errors, ("attachments",), payload.get("attachments"), MAX_ATTACHMENTS, _check_attachment)
    _check_allowed_mentions(errors, payload.get("allowed_mentions"))
    check_object(errors, ("message_reference",), payload.get("message_reference"))
    flags = payload.get("flags")
    if flags is not None and (isinstance(flags, bool) or not isinstance(flags, int)):
        errors.add(("flags",), "NUMBER_TYPE_COERCE", f'Value "{flags}" is not int.')
    errors.check()


def check_text(
    errors: FormErrors, path: Path, value: object, maximum: int, *, minimum: int = 0
) -> None:
    """A text or nothing, within its lengths in characters."""
    if value is None or value == "":
        if minimum:
            errors.add(path, "BASE_TYPE_REQUIRED", "This field is required")
    elif not isinstance(value, str):
        errors.add(path, "STRING_TYPE_CONVERT", f'Could not interpret "{value}" as string.')
    elif len(value) > maximum:
        sentence = f"Must be {maximum} or fewer in length."
        errors.add(path, "BASE_TYPE_MAX_LENGTH", sentence)
    elif len(value) < minimum:
        errors.add(path, "BASE_TYPE_MIN_LENGTH", f"Must be {minimum} or more in length.")


def check_object(errors: FormErrors, path: Path, value: object) -> None:
    """An object or nothing."""
    if value is not None and not isinstance(value, dict):
        errors.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")


def _object(value: object) -> Json:
    """What is there to look into: something else was noted already, or will be."""
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _each(
    errors: FormErrors,
    path: Path,
    value: object,
    maximum: int,
    check: Callable[[FormErrors, Path, Json], None],
) -> None:
    """A list of objects or nothing, no longer than `maximum`, each held to `check`."""
    if value is None:
        return
    if not isinstance(value, list):
        errors.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return
    if len(value) > maximum:
        sentence = f"Must be {maximum} or fewer in length."
        errors.add(path, "BASE_TYPE_MAX_LENGTH", sentence)
    for place, item in enumerate(value):
        if isinstance(item, dict):
            check(errors, (*path, place), item)
        else:
            check_object(errors, (*path, place), item if item is not None else ())


def _check_attachment(errors: FormErrors, path: Path, item: Json) -> None:
    if snowflake(item.get("id")) is None:
        sentence = f'Value "{item.get("id")}" is not snowflake.'
        errors.add((*path, "id"), "NUMBER_TYPE_COERCE", sentence)
    check_text(errors, (*path, "description"), item.get("description"), MAX_DESCRIPTION_CHARS)
    check_text(errors, (*path, "filename"), item.get("filename"), 1_024)


def _check_embed(errors: FormErrors, path: Path, embed: Json) -> None:
    for name, maximum in _EMBED_LIMITS.items():
        check_text(errors, (*path, name), embed.get(name), maximum)
    for part in _EMBED_OBJECTS:
        check_object(errors, (*path, part), embed.get(part))
    for part, (name, maximum) in _EMBED_PARTS.items():
        check_text(errors, (*path, part, name), _object(embed.get(part)).get(name), maximum)
    _each(errors, (*path, "fields"), embed.get("fields"), MAX_EMBED_FIELDS, _check_field)


def _check_field(errors: FormErrors, path: Path, item: Json) -> None:
    for name, maximum in _FIELD_LIMITS.items():
        check_text(errors, (*path, name), item.get(name), maximum, minimum=1)


def _check_embed_total(errors: FormErrors, embeds: object) -> None:
    if not isinstance(embeds, list) or not all(isinstance(embed, dict) for embed in embeds):
        return
    if sum(map(_embed_chars, embeds)) > MAX_EMBED_TOTAL_CHARS:
        sentence = f"Embed size exceeds maximum size of {MAX_EMBED_TOTAL_CHARS}"
        errors.add(("embeds",), "MAX_EMBED_SIZE_EXCEEDED", sentence)


def _embed_chars(embed: Json) -> int:
    texts = [embed.get("title"), embed.get("description")]
    texts += [_object(embed.get(part)).get(name) for part, (name, _) in _EMBED_PARTS.items()]
    for item in _list(embed.get("fields")):
        texts += [item.get(name) for name in _FIELD_LIMITS] if isinstance(item, dict) else []
    return sum(len(text) for text in texts if isinstance(text, str))


def _check_row(errors: FormErrors, path: Path, row: Json) -> None:
    if row.get("type") != ACTION_ROW:
        # Components v2 are another message format; the loopback speaks rows of buttons and selects.
        sentence = 'Value of field "type" must be one of (1,).'
        errors.add((*path, "type"), "UNION_TYPE_CHOICES", sentence)
        return
    if not row.get("components"):
        sentence = "Must be between 1 and 5 in length."
        errors.add((*path, "components"), "BASE_TYPE_BAD_LENGTH", sentence)
    inside = (*path, "components")
    _each(errors, inside, row.get("components"), MAX_BUTTONS_A_ROW, _check_component)


def _check_component(errors: FormErrors, path: Path, item: Json) -> None:
    kind = item.get("type")
    if isinstance(kind, int) and kind in SELECTS:
        custom_id = item.get("custom_id")
        check_text(errors, (*path, "custom_id"), custom_id, MAX_CUSTOM_ID_CHARS, minimum=1)
        options = item.get("options")
        if kind == STRING_SELECT and not options:
            errors.add((*path, "options"), "BASE_TYPE_REQUIRED", "This field is required")
        _each(errors, (*path, "options"), options, MAX_SELECT_OPTIONS, _check_select_option)
    elif kind == BUTTON:
        _check_button(errors, path, item)
    else:
        sentence = 'Value of field "type" must be one of (2, 3, 5, 6, 7, 8).'
        errors.add((*path, "type"), "UNION_TYPE_CHOICES", sentence)


def _check_select_option(errors: FormErrors, path: Path, option: Json) -> None:
    for name in ("label", "value"):
        check_text(errors, (*path, name), option.get(name), 100, minimum=1)
    check_text(errors, (*path, "description"), option.get("description"), 100)


def _check_button(errors: FormErrors, path: Path, button: Json) -> None:
    check_text(errors, (*path, "label"), button.get("label"), MAX_LABEL_CHARS)
    style = button.get("style")
    if not isinstance(style, int) or not 1 <= style <= PREMIUM_STYLE:
        sentence = "Value must be one of {1, 2, 3, 4, 5, 6}."
        errors.add((*path, "style"), "BASE_TYPE_CHOICES", sentence)
    elif style == LINK_STYLE:
        check_text(errors, (*path, "url"), button.get("url"), 512, minimum=1)
    elif style < LINK_STYLE:
        custom_id = button.get("custom_id")
        check_text(errors, (*path, "custom_id"), custom_id, MAX_CUSTOM_ID_CHARS, minimum=1)
        if not button.get("label") and not button.get("emoji"):
            sentence = "A button must have a label, an emoji or both"
            errors.add((*path, "label"), "BUTTON_COMPONENT_INVALID_LABEL", sentence)


def components_of(rows: object) -> list[tuple[Path, Json]]:
    """Every button and select in rows of components, with where it stands."""
    return [
        (("components", at, "components", place), item)
        for at, row in enumerate(_list(rows))
        if isinstance(row, dict)
        for place, item in enumerate(_list(row.get("components")))
        if isinstance(item, dict)
    ]


def _check_custom_ids(errors: FormErrors, rows: object) -> None:
    seen: set[str] = set()
    for path, item in components_of(rows):
        custom_id = item.get("custom_id")
        if not isinstance(custom_id, str):
            continue
        if custom_id in seen:
            sentence = "Component custom id cannot be duplicated"
            errors.add((*path, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", sentence)
        seen.add(custom_id)


def _check_allowed_mentions(errors: FormErrors, value: object) -> None:
    if not isinstance(value, dict):
        check_object(errors, ("allowed_mentions",), value)
        return
    for name in ("parse", "users", "roles"):
        if value.get(name) is not None and not isinstance(value[name], list):
            sentence = "Only iterables may be used in a ListType"
            errors.add(("allowed_mentions", name), "LIST_TYPE_CONVERT", sentence)
    for name in ("users", "roles"):
        for place, one in enumerate(_list(value.get(name))):
            if snowflake(one) is None:
                sentence = f'Value "{one}" is not snowflake.'
                errors.add(("allowed_mentions", name, place), "NUMBER_TYPE_COERCE", sentence)
    parse = _list(value.get("parse"))
    for place, kind in enumerate(parse):
        if kind not in ("users", "roles", "everyone"):
            sentence = "Value must be one of {'users', 'roles', 'everyone'}."
            errors.add(("allowed_mentions", "parse", place), "BASE_TYPE_CHOICES", sentence)
    for kind in ("users", "roles"):
        if len(_list(value.get(kind))) > MAX_ALLOWED_MENTIONS:
            sentence = f"Must be {MAX_ALLOWED_MENTIONS} or fewer in length."
            errors.add(("allowed_mentions", kind), "BASE_TYPE_MAX_LENGTH", sentence)
        if kind in parse and value.get(kind):
            sentence = f"parse:['{kind}'] and {kind}: [ids...] are mutually exclusive."
            code = "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"
            errors.add(("allowed_mentions",), code, sentence)


def mentions(
    content: str,
    allowed: Json | None,
    world: World,
    permissions: int,
    replied_to: Json | None = None,
) -> Json:
    """Whom a message pings, as its `mentions`, `mention_roles` and `mention_everyone`.

    content      the text; what stands in code is not a mention
    allowed      the request's allowed_mentions, None: everything is parsed
    permissions  what its author may do in the channel
    replied_to   the message that it replies to: its author is pinged unless told not to
    """
    text = _CODE.sub(" ", content)
    parse = {"users", "roles", "everyone"} if allowed is None else set(allowed.get("parse") or [])
    listed = allowed or {}

    def pinged(kind: str, pattern: re.Pattern[str]) -> list[int]:
        ids = dict.fromkeys(int(match) for match in pattern.findall(text))
        chosen = {snowflake(value) for value in listed.get(kind) or []}
        return [one for one in ids if kind in parse or one in chosen]

    may_ping_all = bool(permissions & MENTION_EVERYONE)
    user_ids = pinged("users", _USER_MENTION)
    if replied_to is not None and (allowed is None or allowed.get("replied_user")):
        author_id = int(replied_to["author"]["id"])
        user_ids = list(dict.fromkeys([*user_ids, author_id]))
    users = [world.people[one] for one in user_ids if one in world.people]
    roles = [world.roles[one] for one in pinged("roles", _ROLE_MENTION) if one in world.roles]
    everyone = "everyone" in parse and may_ping_all and _EVERYONE.search(text) is not None
    return {
        "mentions": [world.user_json(person) for person in users],
        "mention_roles": [str(role.id) for role in roles if role.mentionable or may_ping_all],
        "mention_everyone": everyone,
    }


def check_not_empty(message: Json) -> None:
    """A message shows something: text, an embed, a file or a component."""
    if not any(message[part] for part in ("content", "embeds", "attachments", "components")):
        raise ApiError(Refusal.EMPTY_MESSAGE)
