"""What people type and choose: the state of an element, as Slack tells the bot of it."""

from collections.abc import Mapping, Sequence
from typing import Final

from standins.base.wire import Json
from standins.slack.blocks import every_element, options_of
from standins.slack.errors import ActionRefused

# By type of element: under which name its state is told, and the name of what it starts with.
_TYPED: Final = ("value", "initial_value")
_STATES: Final = {
    "plain_text_input": _TYPED,
    "number_input": _TYPED,
    "email_text_input": _TYPED,
    "url_text_input": _TYPED,
    "static_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "overflow": ("selected_option", ""),
    "multi_static_select": ("selected_options", "initial_options"),
    "checkboxes": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "file_input": ("files", ""),
}


def initial(element: Json) -> Json:
    """The state of an element that nobody has touched."""
    name, start = _STATES[element["type"]]
    empty: object = [] if name.endswith("s") else None
    return {"type": element["type"], name: element.get(start, empty)}


def chosen(element: Json, value: object) -> Json:
    """The state of an element in which a person chose or typed `value`; raises ActionRefused.

    value  a text, the value of an option, an id; of what takes several a list of them
    """
    kind = element["type"]
    name, _ = _STATES[kind]
    if name == "value":
        _check_typed(element, value)
        return {"type": kind, name: value}
    several = name.endswith("s")
    if several != isinstance(value, list | tuple):
        raise ActionRefused(f"{element['action_id']} takes {'a list' if several else 'one value'}.")
    if "option" in name:
        by_value = {option["value"]: option for option in options_of(element)}
        wanted = value if isinstance(value, list | tuple) else [value]
        missing = [one for one in wanted if one not in by_value]
        if missing:
            raise ActionRefused(f"{element['action_id']} does not offer {missing[0]!r}.")
        value = [by_value[one] for one in wanted] if several else by_value[wanted[0]]
    return {"type": kind, name: list(value) if isinstance(value, tuple) else value}


def state(blocks: Sequence[Json], values: Mapping[str, object], before: Json | None = None) -> Json:
    """The state of every element in blocks: {block_id: {action_id: ...}}; raises ActionRefused.

    values  what the person chose, by action_id; the rest stays as it was, or as it starts
    """
    told: Json = {}
    unknown = set(values)
    for block, element in every_element(blocks):
        if element["type"] not in _STATES or element["type"] == "overflow":
            continue
        action_id, block_id = element["action_id"], block["block_id"]
        if action_id in values:
            entry = chosen(element, values[action_id])
        else:
            entry = (before or {}).get(block_id, {}).get(action_id) or initial(element)
        told.setdefault(block_id, {})[action_id] = entry
        unknown.discard(action_id)
    if unknown:
        raise ActionRefused(f"There is nothing called {min(unknown)!r} to fill in.")
    return told


def check_complete(blocks: Sequence[Json], told: Json) -> None:
    """Raise ActionRefused where Slack's client would not submit: something is still missing."""
    for block in blocks:
        if block["type"] != "input" or block.get("optional"):
            continue
        element = block["element"]
        entry = told[block["block_id"]][element["action_id"]]
        if not entry[_STATES[element["type"]][0]]:
            raise ActionRefused(f"{block['label']['text']}: please complete this required field.")


def _check_typed(element: Json, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise ActionRefused(f"{element['action_id']} takes a text.")
    low, high = element.get("min_length", 0), element.get("max_length", 3_000)
    if value and not low <= len(value) <= high:
        raise ActionRefused(f"{element['action_id']} takes {low} to {high} characters.")
    if element["type"] == "number_input" and value:
        _check_number(element, value)


def _check_number(element: Json, value: str) -> None:
    try:
        number = float(value) if element["is_decimal_allowed"] else int(value)
    except ValueError:
        raise ActionRefused(f"{element['action_id']} takes a number.") from None
    low, high = element.get("min_value"), element.get("max_value")
    if (low is not None and number < float(low)) or (high is not None and number > float(high)):
        raise ActionRefused(f"{element['action_id']} takes {low} to {high}.")
