"""Discord's rules for messages: lengths, counts, mentions. Each breach is named as Discord does."""

import re
from typing import Final

from standins.base.wire import Json
from standins.discord.components import (
    MAX_DESCRIPTION_CHARS,
    check_components,
    is_components_v2,
)
from standins.discord.errors import ApiError, FormErrors, Refusal
from standins.discord.fields import (
    Path,
    check_each,
    check_object,
    check_text,
    list_in,
    object_in,
)
from standins.discord.wire import snowflake
from standins.discord.world import MENTION_EVERYONE, World

MAX_CONTENT_CHARS: Final = 2_000
MAX_ATTACHMENTS: Final = 10
MAX_ALLOWED_MENTIONS: Final = 100
MAX_NONCE_CHARS: Final = 25
MAX_EMBEDS, MAX_EMBED_FIELDS, MAX_EMBED_TOTAL_CHARS = 10, 25, 6_000

SUPPRESS_EMBEDS, EPHEMERAL, LOADING, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 6, 1 << 7, 1 << 12

_EMBED_LIMITS = {"title": 256, "description": 4_096, "url": 2_048}
_EMBED_PARTS = {"footer": ("text", 2_048), "author": ("name", 256)}
_EMBED_OBJECTS = ("footer", "author", "image", "thumbnail")
_FIELD_LIMITS = {"name": 256, "value": 1_024}
_CODE = re.compile(r"```.*?```|``.+?``|`[^`\n]+`", re.DOTALL)
_EVERYONE = re.compile(r"@(everyone|here)\b")
_USER_MENTION, _ROLE_MENTION = re.compile(r"<@!?(\d{1,20})>"), re.compile(r"<@&(\d{1,20})>")


def check_message(payload: Json, before: Json) -> None:
    """Everything about a message's form that does not need the world; raises ApiError 50035.

    before  the message as it was, {} where there was none
    """
    errors = FormErrors()
    check_text(errors, ("content",), payload.get("content"), MAX_CONTENT_CHARS)
    check_each(errors, ("embeds",), payload.get("embeds"), MAX_EMBEDS, _check_embed)
    _check_embed_total(errors, payload.get("embeds"))
    check_components(errors, payload, before)
    check_each(
        errors, ("attachments",), payload.get("attachments"), MAX_ATTACHMENTS, _check_attachment
    )
    _check_allowed_mentions(errors, payload.get("allowed_mentions"))
    check_object(errors, ("message_reference",), payload.get("message_reference"))
    nonce = payload.get("nonce")
    check_text(errors, ("nonce",), str(nonce) if type(nonce) is int else nonce, MAX_NONCE_CHARS)
    flags = payload.get("flags")
    if flags is not None and (isinstance(flags, bool) or not isinstance(flags, int)):
        errors.add(("flags",), "NUMBER_TYPE_COERCE", f'Value "{flags}" is not int.')
    errors.check()


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
        check_text(errors, (*path, part, name), object_in(embed.get(part)).get(name), maximum)
    check_each(errors, (*path, "fields"), embed.get("fields"), MAX_EMBED_FIELDS, _check_field)


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
    texts += [object_in(embed.get(part)).get(name) for part, (name, _) in _EMBED_PARTS.items()]
    for item in list_in(embed.get("fields")):
        texts += [item.get(name) for name in _FIELD_LIMITS] if isinstance(item, dict) else []
    return sum(len(text) for text in texts if isinstance(text, str))


def _check_allowed_mentions(errors: FormErrors, value: object) -> None:
    if not isinstance(value, dict):
        check_object(errors, ("allowed_mentions",), value)
        return
    for name in ("parse", "users", "roles"):
        if value.get(name) is not None and not isinstance(value[name], list):
            sentence = "Only iterables may be used in a ListType"
            errors.add(("allowed_mentions", name), "LIST_TYPE_CONVERT", sentence)
    for name in ("users", "roles"):
        for place, one in enumerate(list_in(value.get(name))):
            if snowflake(one) is None:
                sentence = f'Value "{one}" is not snowflake.'
                errors.add(("allowed_mentions", name, place), "NUMBER_TYPE_COERCE", sentence)
    parse = list_in(value.get("parse"))
    for place, kind in enumerate(parse):
        if kind not in ("users", "roles", "everyone"):
            sentence = "Value must be one of {'users', 'roles', 'everyone'}."
            errors.add(("allowed_mentions", "parse", place), "BASE_TYPE_CHOICES", sentence)
    for kind in ("users", "roles"):
        if len(list_in(value.get(kind))) > MAX_ALLOWED_MENTIONS:
            sentence = f"Must be {MAX_ALLOWED_MENTIONS} or fewer in length."
            errors.add(("allowed_mentions", kind), "BASE_TYPE_MAX_LENGTH", sentence)
        if kind in parse and value.get(kind):
            sentence = f"parse:['{kind}'] and {kind}: [ids...] are mutually exclusive."
            code = "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"
            errors.add(("allowed_mentions",), code, sentence)


def mentions(
    text: str,
    allowed: Json | None,
    world: World,
    permissions: int,
    replied_to: Json | None = None,
) -> Json:
    """Whom a message pings, as its `mentions`, `mention_roles` and `mention_everyone`.

    text         what it says; what stands in code is not a mention
    allowed      the request's allowed_mentions, None: everything is parsed
    permissions  what its author may do in the channel
    replied_to   the message that it replies to: its author is pinged unless told not to
    """
    text = _CODE.sub(" ", text)
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
    """A message shows something: text, an embed, a file or a component; by rule, a component."""
    parts = ("content", "embeds", "attachments", "components")
    if not any(message[part] for part in (parts[-1:] if is_components_v2(message) else parts)):
        raise ApiError(Refusal.EMPTY_MESSAGE)
