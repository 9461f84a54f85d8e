"""Block Kit: what a block may be, and where in blocks an element is.

Limits are those of docs.slack.dev/reference/block-kit; the words of a breach are Slack's where they
are known.
"""

import ipaddress
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.schema import (
    Check,
    Rule,
    also,
    anything,
    fields,
    items,
    one_of,
    string,
    truth,
    typed,
    whole,
)

MAX_MESSAGE_BLOCKS, MAX_VIEW_BLOCKS = 50, 100
# Slack counts 12,000 characters of text over all blocks of a message and something for each block:
# of the messages measured in slackapi/bolt-js#2867, this parts the refused from the accepted.
MAX_BLOCKS_TEXT, BLOCK_WEIGHT = 12_000, 20

# Under which name a block that holds several elements has them.
_HOLDS_ELEMENTS: Final = {"actions": "elements", "card": "actions"}
_FILE_ID: Final = re.compile(r"[F][A-Z0-9]{8,}")
_TYPE: Final = anything  # it chose the rules already


def _text(maximum: int, *kinds: str, minimum: int = 1) -> Rule:
    """A text object; Slack tells of one that is wrong twice."""
    common = {"type": _TYPE, "text": string(maximum, minimum=minimum)}
    rule = typed(
        {
            kind: fields(common, {"emoji": truth} if kind == "plain_text" else {"verbatim": truth})
            for kind in kinds
        }
    )

    def told_twice(check: Check, value: object, at: str) -> None:
        inner = Check()
        rule(inner, value, at)
        if inner.messages:
            check.add("failed to match all allowed schemas", at)
            check.messages += inner.messages

    return told_twice


def _plain(maximum: int) -> Rule:
    return _text(maximum, "plain_text")


def _any_text(maximum: int) -> Rule:
    return _text(maximum, "plain_text", "mrkdwn")


def _image_url(check: Check, value: object, at: str) -> None:
    """Slack fetches it, so it must be where Slack gets to."""
    string(3_000)(check, value, at)
    if not isinstance(value, str):
        return
    try:
        parts = urlsplit(value)
    except ValueError:
        check.add("invalid_url", at)
        return
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host:
        check.add("invalid_url", at)
    elif host == "localhost" or _is_private(host):
        check.add("downloading image failed", at)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _slack_file(check: Check, value: object, at: str) -> None:
    if not isinstance(value, dict) or len(value.keys() & {"id", "url"}) != 1 or len(value) != 1:
        check.add("failed to match all allowed schemas", at)
        return
    file_id = value.get("id")
    if "id" in value and (not isinstance(file_id, str) or not _FILE_ID.fullmatch(file_id)):
        check.add("input must match regex pattern: ^[F][A-Z0-9]{8,}$", f"{at}/id")
    elif not check.find_file(value):
        check.add("invalid slack file", at)


def _one_picture(check: Check, value: object, at: str) -> None:
    if isinstance(value, dict) and len(value.keys() & {"image_url", "slack_file"}) != 1:
        check.add("must provide exactly one of image_url and slack_file", at)


_ACTION_ID: Final = string(255)
_CONFIRM: Final = fields(
    {"title": _plain(100), "text": _any_text(300), "confirm": _plain(30), "deny": _plain(30)},
    {"style": one_of("primary", "danger")},
)
_OPTION: Final = fields(
    {"text": _any_text(75), "value": string(150)},
    {"description": _any_text(75), "url": string(3_000)},
)
_OPTIONS: Final = items(_OPTION, 100)
_GROUPS: Final = items(fields({"label": _plain(75), "options": _OPTIONS}, {}), 100)
_PLACEHOLDER: Final = _plain(150)
_SELECT: Final = {
    "type": _TYPE,
    "action_id": _ACTION_ID,
    "placeholder": _PLACEHOLDER,
    "confirm": _CONFIRM,
    "focus_on_load": truth,
}
_OFTEN: Final = {"action_id": _ACTION_ID, "focus_on_load": truth, "placeholder": _PLACEHOLDER}


def _one_source(check: Check, value: object, at: str) -> None:
    if isinstance(value, dict) and len(value.keys() & {"options", "option_groups"}) != 1:
        check.add("must provide exactly one of options and option_groups", at)


def _static(more: dict[str, Rule]) -> Rule:
    known = {**_SELECT, "options": _OPTIONS, "option_groups": _GROUPS, **more}
    return also(fields({"type": _TYPE}, known), _one_source)


def _chosen_of_all(kind: str, **more: Rule) -> dict[str, Rule]:
    initial = {f"initial_{kind[:-1]}": string(255)}
    return {
        f"{kind}_select": fields({"type": _TYPE}, {**_SELECT, **initial, **more}),
        f"multi_{kind}_select": fields(
            {"type": _TYPE},
            {
                **_SELECT,
                **more,
                f"initial_{kind}": items(string(255), 100, minimum=0),
                "max_selected_items": whole(1, 100),
            },
        ),
    }


def _ticks(one: str, rule: Rule) -> Rule:
    return fields(
        {"type": _TYPE, "options": items(_OPTION, 10)},
        {"action_id": _ACTION_ID, one: rule, "confirm": _CONFIRM, "focus_on_load": truth},
    )


_BUTTON: Final = fields(
    {"type": _TYPE, "text": _plain(75)},
    {
        "action_id": _ACTION_ID,
        "url": string(3_000),
        "value": string(2_000),
        "style": one_of("primary", "danger"),
        "confirm": _CONFIRM,
        "accessibility_label": string(75),
    },
)
_IMAGE_ELEMENT: Final = also(
    fields(
        {"type": _TYPE, "alt_text": string(2_000)},
        {"image_url": _image_url, "slack_file": _slack_file},
    ),
    _one_picture,
)
_MENUS: Final[dict[str, Rule]] = {
    "static_select": _static({"initial_option": _OPTION}),
    "multi_static_select": _static(
        {"initial_options": _OPTIONS, "max_selected_items": whole(1, 100)}
    ),
    **_chosen_of_all("users"),
    **_chosen_of_all("channels"),
    **_chosen_of_all("conversations", default_to_current_conversation=truth),
    "radio_buttons": _ticks("initial_option", _OPTION),
    "checkboxes": _ticks("initial_options", items(_OPTION, 10)),
    "datepicker": fields(
        {"type": _TYPE}, {**_OFTEN, "initial_date": string(10), "confirm": _CONFIRM}
    ),
    "timepicker": fields(
        {"type": _TYPE},
        {**_OFTEN, "initial_time": string(5), "confirm": _CONFIRM, "timezone": string(100)},
    ),
}
_OVERFLOW: Final = fields(
    {"type": _TYPE, "options": items(_OPTION, 5)}, {"action_id": _ACTION_ID, "confirm": _CONFIRM}
)
_DISPATCH: Final = fields(
    {"trigger_actions_on": items(one_of("on_enter_pressed", "on_character_entered"), 2)}, {}
)
_TYPED: Final = {**_OFTEN, "initial_value": string(3_000), "dispatch_action_config": _DISPATCH}
_FIELDS: Final[dict[str, Rule]] = {
    "plain_text_input": fields(
        {"type": _TYPE},
        {
            **_TYPED,
            "initial_value": string(3_000, minimum=0),
            "multiline": truth,
            "min_length": whole(0, 3_000),
            "max_length": whole(1, 3_000),
        },
    ),
    "number_input": fields(
        {"type": _TYPE, "is_decimal_allowed": truth},
        {**_TYPED, "min_value": string(100), "max_value": string(100)},
    ),
    "email_text_input": fields({"type": _TYPE}, _TYPED),
    "url_text_input": fields({"type": _TYPE}, _TYPED),
    "file_input": fields(
        {"type": _TYPE},
        {
            "action_id": _ACTION_ID,
            "filetypes": items(string(20), 100),
            "max_files": whole(1, 10),
        },
    ),
}
_PRESSED: Final[dict[str, Rule]] = {"button": _BUTTON, "overflow": _OVERFLOW, **_MENUS}


def _block(required: dict[str, Rule], optional: dict[str, Rule] | None = None) -> Rule:
    return fields({"type": _TYPE, **required}, {"block_id": string(255), **(optional or {})})


def _says_something(check: Check, value: object, at: str) -> None:
    if isinstance(value, dict) and not value.keys() & {"text", "fields"}:
        check.add("missing required field: text", at)


def _ids(check: Check, value: object, at: str) -> None:
    """No two blocks have one id, no two elements of a block have one action."""
    if not isinstance(value, dict):
        return
    block_id = value.get("block_id")
    if isinstance(block_id, str):
        if block_id in check.block_ids:
            check.add(f"block_id already exists: {block_id}", f"{at}/block_id")
        check.block_ids.add(block_id)
    seen: set[object] = set()
    for element in elements_of(value):
        action_id = element.get("action_id")
        if isinstance(action_id, str) and action_id in seen:
            check.add(f"action_id already exists: {action_id}", at)
        seen.add(action_id)


def _shows_something(check: Check, value: object, at: str) -> None:
    if isinstance(value, dict) and not value.keys() & {"hero_image", "title", "actions", "body"}:
        check.add("must provide at least one of hero_image, title, actions and body", at)


_CARD: Final = also(
    _block(
        {},
        {
            "hero_image": typed({"image": _IMAGE_ELEMENT}),
            "icon": typed({"image": _IMAGE_ELEMENT}),
            "title": _any_text(150),
            "subtitle": _any_text(150),
            "body": _any_text(200),
            "subtext": _any_text(200),
            "actions": items(typed({"button": _BUTTON}), 3),
        },
    ),
    _shows_something,
)
_MESSAGE_BLOCKS: Final[dict[str, Rule]] = {
    "section": also(
        _block(
            {},
            {
                "text": _any_text(3_000),
                "fields": items(_any_text(2_000), 10),
                "accessory": typed({**_PRESSED, "image": _IMAGE_ELEMENT}),
                "expand": truth,
            },
        ),
        _says_something,
    ),
    "header": _block({"text": _plain(150)}, {"level": whole(1, 4)}),
    "divider": _block({}),
    "image": also(
        _block(
            {"alt_text": string(2_000)},
            {"image_url": _image_url, "slack_file": _slack_file, "title": _plain(2_000)},
        ),
        _one_picture,
    ),
    "context": _block(
        {
            "elements": items(
                typed(
                    {
                        "image": _IMAGE_ELEMENT,
                        "mrkdwn": _text(3_000, "mrkdwn"),
                        "plain_text": _plain(3_000),
                    }
                ),
                10,
            )
        }
    ),
    "actions": _block({"elements": items(typed(_PRESSED), 25)}),
    "input": _block(
        {"label": _plain(2_000), "element": typed({**_FIELDS, **_MENUS})},
        {"hint": _plain(2_000), "optional": truth, "dispatch_action": truth},
    ),
    "rich_text": _block({"elements": items(anything, 1_000)}),
    "markdown": _block({"text": string(12_000)}),
    "card": _CARD,
    "carousel": _block({"elements": items(also(typed({"card": _CARD}), _ids), 10)}),
}
_VIEW_BLOCKS: Final = {
    kind: rule
    for kind, rule in _MESSAGE_BLOCKS.items()
    if kind not in {"markdown", "card", "carousel"}
}


MESSAGE_BLOCKS: Final = items(also(typed(_MESSAGE_BLOCKS), _ids), MAX_MESSAGE_BLOCKS, minimum=0)
VIEW_BLOCKS: Final = items(also(typed(_VIEW_BLOCKS), _ids), MAX_VIEW_BLOCKS, minimum=0)


def check_message_blocks(blocks: object, check: Check) -> list[Json]:
    """The blocks of a message with the ids that Slack adds; raises ApiError."""
    MESSAGE_BLOCKS(check, blocks, "/blocks")
    if check.messages or not isinstance(blocks, list):
        raise ApiError("invalid_blocks", check.messages)
    if sum(_texts(blocks)) + BLOCK_WEIGHT * len(blocks) > MAX_BLOCKS_TEXT:
        raise ApiError("msg_blocks_too_long")
    return with_ids(blocks)


def with_ids(blocks: Sequence[Json]) -> list[Json]:
    """The blocks, with an id for each block and element that has none."""
    return [_with_ids(block) for block in blocks]


def _with_ids(block: Json) -> Json:
    named = {**block, "block_id": block.get("block_id") or secrets.token_urlsafe(4)}
    for name in ("accessory", "element"):
        if name in named:
            named[name] = _with_action_id(named[name])
    if named["type"] == "carousel":
        named["elements"] = with_ids(named["elements"])
    held = _HOLDS_ELEMENTS.get(named["type"])
    if held in named:
        named[held] = [_with_action_id(element) for element in named[held]]
    return named


def _with_action_id(element: Json) -> Json:
    if element["type"] == "image":
        return element
    return {**element, "action_id": element.get("action_id") or secrets.token_urlsafe(4)}


def elements_of(block: Json) -> list[Json]:
    """What of a block a person can use."""
    listed = block.get(_HOLDS_ELEMENTS.get(str(block.get("type")), ""))
    every = [block.get("accessory"), block.get("element")]
    every += listed if isinstance(listed, list) else []
    return [one for one in every if isinstance(one, dict) and one.get("type") != "image"]


def every_element(blocks: Sequence[Json]) -> Iterator[tuple[Json, Json]]:
    """Each block with each element in it that a person can use; of a carousel, each card."""
    for block in blocks:
        if block["type"] == "carousel":
            yield from every_element(block["elements"])
        for element in elements_of(block):
            yield block, element


def options_of(element: Json) -> list[Json]:
    """What a menu offers, of all its groups."""
    grouped = [group["options"] for group in element.get("option_groups", [])]
    return [option for options in (element.get("options", []), *grouped) for option in options]


def _texts(value: object) -> Iterator[int]:
    """How long each text in it is."""
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == "text" and isinstance(one, str):
                yield len(one)
            else:
                yield from _texts(one)
