"""Dialogs (Discord's modals): the rules for the form that a bot asks a person to fill in.

A dialog has one to five parts: labels with one field each, and texts between them. An action row
with a text input is how it was done before labels came, and still works.
"""

from collections.abc import Iterator
from itertools import count
from typing import Final

from standins.base.wire import Json
from standins.discord.components import (
    ACTION_ROW,
    MAX_CUSTOM_ID_CHARS,
    SELECTS,
    TEXT_DISPLAY,
    check_ids,
    check_options,
    check_select,
    check_text_display,
    is_a,
    is_filled,
)
from standins.discord.errors import FormErrors
from standins.discord.fields import (
    Path,
    check_choice,
    check_each,
    check_object,
    check_range,
    check_text,
    check_truth,
    list_in,
)

MAX_TITLE_CHARS = MAX_LABEL_CHARS = 45
MAX_DESCRIPTION_CHARS = MAX_INPUT_PLACEHOLDER_CHARS = 100
MAX_INPUT_CHARS: Final = 4_000
MAX_PARTS, MAX_FILES, MAX_GROUP_OPTIONS = 5, 10, 10

TEXT_INPUT, LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 4, 18, 19, 21, 22, 23
FILE_KINDS: Final = ("image", "video", "audio")  # besides endings such as ".png"

_PARTS = (ACTION_ROW, TEXT_DISPLAY, LABEL)
_IN_LABEL = tuple(
    sorted((TEXT_INPUT, *SELECTS, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX))
)


def check_dialog(dialog: Json) -> None:
    """What a bot sends to have a dialog opened; raises ApiError 50035."""
    errors, at = FormErrors(), ("data",)
    check_text(errors, (*at, "custom_id"), dialog.get("custom_id"), MAX_CUSTOM_ID_CHARS, minimum=1)
    check_text(errors, (*at, "title"), dialog.get("title"), MAX_TITLE_CHARS, minimum=1)
    parts, inside = dialog.get("components"), (*at, "components")
    if is_filled(errors, inside, parts, MAX_PARTS):
        check_each(errors, inside, parts, MAX_PARTS, _check_part)
    if "components" not in errors.tree.get("data", {}):  # what is wrong by itself is not counted
        check_ids(errors, _walk(parts, inside))
    errors.check()


def opened(dialog: Json) -> Json:
    """A dialog that passed the checks as its person gets it: each component has an id."""
    taken = {item.get("id") for _, item in _walk(dialog["components"])}
    free = (number for number in count(1) if number not in taken)

    def one(component: Json) -> Json:
        given = {name: value for name, value in component.items() if value is not None}
        item: Json = {**given, "id": given.get("id") or next(free)}
        if item["type"] == LABEL:
            item["component"] = one(item["component"])
        elif item["type"] == ACTION_ROW:
            item["components"] = [one(child) for child in item["components"]]
        return item

    parts = [one(component) for component in dialog["components"]]
    return {"custom_id": dialog["custom_id"], "title": dialog["title"], "components": parts}


def fields_in(part: Json) -> list[Json]:
    """What a person fills in of one part of a dialog; a text has nothing."""
    if part["type"] == LABEL:
        return [part["component"]]
    return list_in(part.get("components"))


def _walk(parts: object, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Every component with where it stands, of parts that passed the checks."""
    for place, part in enumerate(list_in(parts)):
        yield (*path, place), part
        for inner, field in enumerate(fields_in(part)):
            at = ("component",) if part["type"] == LABEL else ("components", inner)
            yield (*path, place, *at), field


def _check_part(errors: FormErrors, path: Path, part: Json) -> None:
    if not is_a(errors, path, part, _PARTS):
        return
    if part["type"] == TEXT_DISPLAY:
        check_text_display(errors, path, part)
    elif part["type"] == LABEL:
        _check_label(errors, path, part)
    elif is_filled(errors, (*path, "components"), part.get("components"), 1):
        check_each(errors, (*path, "components"), part["components"], 1, _check_lone_input)


def _check_label(errors: FormErrors, path: Path, label: Json) -> None:
    check_text(errors, (*path, "label"), label.get("label"), MAX_LABEL_CHARS, minimum=1)
    description = label.get("description")
    check_text(errors, (*path, "description"), description, MAX_DESCRIPTION_CHARS)
    field, at = label.get("component"), (*path, "component")
    if field is None:
        errors.add(at, "BASE_TYPE_REQUIRED", "This field is required")
    elif not isinstance(field, dict):
        check_object(errors, at, field)
    elif is_a(errors, at, field, _IN_LABEL):
        _check_field(errors, at, field)


def _check_lone_input(errors: FormErrors, path: Path, item: Json) -> None:
    """A text input in an action row says itself what it is for."""
    if is_a(errors, path, item, (TEXT_INPUT,)):
        check_text(errors, (*path, "label"), item.get("label"), MAX_LABEL_CHARS, minimum=1)
        _check_field(errors, path, item)


def _check_field(errors: FormErrors, path: Path, field: Json) -> None:
    kind = field["type"]
    if kind in SELECTS:
        check_select(errors, path, field)
        if field.get("disabled"):
            sentence = "A select in a modal cannot be disabled"
            errors.add((*path, "disabled"), "COMPONENT_DISABLED_IN_MODAL", sentence)
    else:
        custom_id = field.get("custom_id")
        check_text(errors, (*path, "custom_id"), custom_id, MAX_CUSTOM_ID_CHARS, minimum=1)
    check_truth(errors, (*path, "required"), field.get("required"))
    if kind == TEXT_INPUT:
        _check_text_input(errors, path, field)
    elif kind == FILE_UPLOAD:
        check_range(errors, path, field, "values", MAX_FILES)
        _check_file_types(errors, (*path, "file_types"), field.get("file_types"))
    elif kind == RADIO_GROUP:
        check_options(errors, path, field, MAX_GROUP_OPTIONS, minimum=2)
    elif kind == CHECKBOX_GROUP:
        check_range(errors, path, field, "values", MAX_GROUP_OPTIONS)
        check_options(errors, path, field, MAX_GROUP_OPTIONS)
        if field.get("min_values") == 0 and field.get("required") is not False:
            sentence = "A group that must be filled in has a minimum of at least 1"
            errors.add((*path, "min_values"), "COMPONENT_MIN_VALUES_REQUIRED", sentence)
    elif kind == CHECKBOX:
        check_truth(errors, (*path, "default"), field.get("default"))


def _check_text_input(errors: FormErrors, path: Path, field: Json) -> None:
    check_choice(errors, (*path, "style"), field.get("style"), (1, 2))
    check_range(errors, path, field, "length", MAX_INPUT_CHARS)
    check_text(errors, (*path, "value"), field.get("value"), MAX_INPUT_CHARS)
    placeholder = field.get("placeholder")
    check_text(errors, (*path, "placeholder"), placeholder, MAX_INPUT_PLACEHOLDER_CHARS)


def _check_file_types(errors: FormErrors, path: Path, kinds: object) -> None:
    if kinds is None:
        return
    if not isinstance(kinds, list):
        errors.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return
    for place, kind in enumerate(kinds):
        is_ending = isinstance(kind, str) and len(kind) > 1 and kind.startswith(".")
        if not is_ending and kind not in FILE_KINDS:
            sentence = f"Value must be an ending such as .png, or one of {set(FILE_KINDS)}."
            errors.add((*path, place), "BASE_TYPE_CHOICES", sentence)
