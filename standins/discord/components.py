"""What a message is made of besides its text: rows of buttons, or a whole layout (Components V2).

A message with the flag IS_COMPONENTS_V2 is its components and nothing else, for good: no text, no
embeds, and of its files only those are seen that a component names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from standins.base.wire import Json
from standins.discord.checks import Path, check_each, check_text, list_of, object_of
from standins.discord.errors import FormErrors

MAX_ROWS, MAX_BUTTONS_A_ROW, MAX_SELECT_OPTIONS = 5, 5, 25
MAX_CUSTOM_ID_CHARS, MAX_LABEL_CHARS = 100, 80
MAX_COMPONENTS, MAX_LAYOUT_CHARS = 40, 4_000
MAX_GALLERY_ITEMS, MAX_SECTION_TEXTS = 10, 3
MAX_DESCRIPTION_CHARS, MAX_URL_CHARS = 1_024, 2_048

IS_COMPONENTS_V2: Final = 1 << 15

ACTION_ROW, BUTTON, STRING_SELECT = 1, 2, 3
SELECTS: Final = frozenset({STRING_SELECT, 5, 6, 7, 8})
SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER = 9, 10, 11, 12, 13, 14, 17
LINK_STYLE, PREMIUM_STYLE = 5, 6

_LEGACY_FIELDS: Final = ("content", "embeds", "sticker_ids", "poll")
_SCHEME: Final = "attachment"
_MAX_COLOUR: Final = 0xFFFFFF
_OF_A_FILE: Final = (("name", "filename"), ("size", "size"))
# What Discord fills in where the sender was silent.
_DEFAULTS: Final[Mapping[int, Json]] = {
    THUMBNAIL: {"spoiler": False, "description": None},
    FILE: {"spoiler": False},
    SEPARATOR: {"divider": True, "spacing": 1},
    CONTAINER: {"spoiler": False, "accent_color": None},
}


def check_rows(errors: FormErrors, rows: object) -> None:
    """Components below a text: rows of buttons and selects."""
    check_each(errors, ("components",), rows, MAX_ROWS, _check_row)
    _check_ids(errors, rows)


def check_layout(errors: FormErrors, payload: Json) -> None:
    """Components that are a whole message."""
    for name in _LEGACY_FIELDS:
        if payload.get(name):
            sentence = f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
            code = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
            errors.add((name,), code, sentence)
    top, path = payload.get("components"), ("components",)
    check_each(errors, path, top, MAX_COMPONENTS, _check_top)
    every = [item for _, item in components_of(top)]
    if len(every) > MAX_COMPONENTS:
        sentence = f"Must be {MAX_COMPONENTS} or fewer in length."
        errors.add(path, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", sentence)
    texts = [item["content"] for item in every if isinstance(item.get("content"), str)]
    if sum(map(len, texts)) > MAX_LAYOUT_CHARS:
        sentence = f"The text of all components together exceeds {MAX_LAYOUT_CHARS} characters."
        errors.add(path, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", sentence)
    _check_ids(errors, top)


def components_of(components: object) -> list[tuple[Path, Json]]:
    """Every component, at whatever depth, with where it stands."""
    return list(_walk(("components",), components))


def text_of(message: Json) -> str:
    """What a message says, in its text or its components."""
    every = [message, *(item for _, item in components_of(message["components"]))]
    return "\n".join(item["content"] for item in every if item.get("content"))


def pressable(message: Json) -> list[Json]:
    """The buttons and menus of a message, in the order in which they stand there."""
    return [item for _, item in components_of(message["components"]) if "custom_id" in item]


def shown(components: Sequence[Json], files: Sequence[Json]) -> tuple[list[Json], FormErrors]:
    """Components as Discord sends them back: numbered, with defaults, `attachment://` resolved.

    files  the message's attachments

    Returns with them what they name and is not there.
    """
    errors, named = FormErrors(), {one["filename"]: one for one in files}
    taken = {item["id"] for _, item in components_of(components) if _is_id(item.get("id"))}
    free = (number for number in range(1, 10_000) if number not in taken)

    def media(path: Path, given: object) -> Json:
        item = object_of(given)
        scheme, _, filename = str(item.get("url", "")).partition("://")
        if scheme != _SCHEME:
            return {"id": str(next(free)), "proxy_url": item.get("url"), **item}
        file = named.get(filename)
        if file is None:
            sentence = "The referenced attachment was not found"
            code = "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"
            errors.add((*path, "url"), code, sentence)
            return item
        facts = ("url", "proxy_url", "width", "height", "content_type")
        known = {name: file[name] for name in facts if name in file}
        return {"id": file["id"], **known, "attachment_id": file["id"]}

    def one(path: Path, given: Json) -> Json:
        item = {name: value for name, value in given.items() if value is not None}
        number = item["id"] if _is_id(item.get("id")) else next(free)
        item = {**_DEFAULTS.get(item["type"], {}), **item, "id": number}
        for name in ("media", "file"):
            if name in item:
                item[name] = media((*path, name), item[name])
        if item["type"] == FILE:
            filename = given["file"]["url"].partition("://")[2]
            item |= {name: named.get(filename, {}).get(fact) for name, fact in _OF_A_FILE}
        if "accessory" in item:
            item["accessory"] = one((*path, "accessory"), item["accessory"])
        if "items" in item:
            item["items"] = [
                {"description": None, "spoiler": False}
                | entry
                | {"media": media((*path, "items", place, "media"), entry["media"])}
                for place, entry in enumerate(item["items"])
            ]
        if "components" in item:
            inside = (*path, "components")
            item["components"] = [
                one((*inside, place), child) for place, child in enumerate(item["components"])
            ]
        return item

    return [one(("components", place), item) for place, item in enumerate(components)], errors


def _walk(path: Path, components: object) -> Iterator[tuple[Path, Json]]:
    for place, item in enumerate(list_of(components)):
        if isinstance(item, dict):
            here = (*path, place)
            yield here, item
            yield from _walk((*here, "components"), item.get("components"))
            if isinstance(item.get("accessory"), dict):
                yield (*here, "accessory"), item["accessory"]


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _refuse_kind(errors: FormErrors, path: Path, kinds: Sequence[int]) -> None:
    choices = f"({', '.join(map(str, kinds))}{',' if len(kinds) == 1 else ''})"
    sentence = f'Value of field "type" must be one of {choices}.'
    errors.add((*path, "type"), "UNION_TYPE_CHOICES", sentence)


def _check_top(errors: FormErrors, path: Path, item: Json) -> None:
    if item.get("type") == CONTAINER:
        colour = item.get("accent_color")
        is_colour = isinstance(colour, int) and 0 <= colour <= _MAX_COLOUR
        if colour is not None and not is_colour:
            errors.add((*path, "accent_color"), "NUMBER_TYPE_MAX", "Must be a colour.")
        _check_length(errors, (*path, "components"), item.get("components"), 1, MAX_COMPONENTS)
        inside = (*path, "components")
        check_each(errors, inside, item.get("components"), MAX_COMPONENTS, _check_inside)
    elif item.get("type") in _CHECKS:
        _check_inside(errors, path, item)
    else:
        _refuse_kind(errors, path, (*_CHECKS, CONTAINER))


def _check_inside(errors: FormErrors, path: Path, item: Json) -> None:
    check = _CHECKS.get(item.get("type", 0))
    if check is None:
        _refuse_kind(errors, path, tuple(_CHECKS))
    else:
        check(errors, path, item)


def _check_gallery(errors: FormErrors, path: Path, gallery: Json) -> None:
    items, here = gallery.get("items"), (*path, "items")
    _check_length(errors, here, items, 1, MAX_GALLERY_ITEMS)
    check_each(errors, here, items, MAX_GALLERY_ITEMS, _check_media)


def _check_file(errors: FormErrors, path: Path, item: Json) -> None:
    url, here = object_of(item.get("file")).get("url"), (*path, "file", "url")
    check_text(errors, here, url, MAX_URL_CHARS, minimum=1)
    if isinstance(url, str) and not url.startswith(f"{_SCHEME}://"):
        errors.add(here, "URL_TYPE_INVALID_SCHEME", "Scheme must be one of ('attachment',).")


def _check_separator(errors: FormErrors, path: Path, item: Json) -> None:
    if item.get("spacing") not in {None, 1, 2}:
        errors.add((*path, "spacing"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2}.")


def _check_section(errors: FormErrors, path: Path, section: Json) -> None:
    texts = section.get("components")
    _check_length(errors, (*path, "components"), texts, 1, MAX_SECTION_TEXTS)
    check_each(errors, (*path, "components"), texts, MAX_SECTION_TEXTS, _check_text_display)
    accessory, here = object_of(section.get("accessory")), (*path, "accessory")
    if accessory.get("type") == BUTTON:
        _check_button(errors, here, accessory)
    elif accessory.get("type") == THUMBNAIL:
        _check_media(errors, here, accessory)
    elif accessory:
        _refuse_kind(errors, here, (BUTTON, THUMBNAIL))
    else:
        errors.add(here, "BASE_TYPE_REQUIRED", "This field is required")


def _check_text_display(errors: FormErrors, path: Path, item: Json) -> None:
    if item.get("type") != TEXT:
        _refuse_kind(errors, path, (TEXT,))
        return
    check_text(errors, (*path, "content"), item.get("content"), MAX_LAYOUT_CHARS, minimum=1)


def _check_media(errors: FormErrors, path: Path, item: Json) -> None:
    url = object_of(item.get("media")).get("url")
    check_text(errors, (*path, "media", "url"), url, MAX_URL_CHARS, minimum=1)
    if isinstance(url, str) and url.partition("://")[0] not in {_SCHEME, "http", "https"}:
        sentence = "Scheme must be one of ('http', 'https', 'attachment')."
        errors.add((*path, "media", "url"), "URL_TYPE_INVALID_SCHEME", sentence)
    if item.get("description") is not None:
        here = (*path, "description")
        check_text(errors, here, item["description"], MAX_DESCRIPTION_CHARS, minimum=1)


def _check_length(errors: FormErrors, path: Path, value: object, low: int, high: int) -> None:
    if not low <= len(list_of(value)) <= high:
        sentence = f"Must be between {low} and {high} in length."
        errors.add(path, "BASE_TYPE_BAD_LENGTH", sentence)


def _check_row(errors: FormErrors, path: Path, row: Json) -> None:
    if row.get("type") != ACTION_ROW:
        _refuse_kind(errors, path, (ACTION_ROW,))
        return
    if not row.get("components"):
        sentence = "Must be between 1 and 5 in length."
        errors.add((*path, "components"), "BASE_TYPE_BAD_LENGTH", sentence)
    inside = (*path, "components")
    check_each(errors, inside, row.get("components"), MAX_BUTTONS_A_ROW, _check_component)


def _check_component(errors: FormErrors, path: Path, item: Json) -> None:
    kind = item.get("type")
    if isinstance(kind, int) and kind in SELECTS:
        custom_id = item.get("custom_id")
        check_text(errors, (*path, "custom_id"), custom_id, MAX_CUSTOM_ID_CHARS, minimum=1)
        options = item.get("options")
        if kind == STRING_SELECT and not options:
            errors.add((*path, "options"), "BASE_TYPE_REQUIRED", "This field is required")
        check_each(errors, (*path, "options"), options, MAX_SELECT_OPTIONS, _check_select_option)
    elif kind == BUTTON:
        _check_button(errors, path, item)
    else:
        _refuse_kind(errors, path, (BUTTON, *sorted(SELECTS)))


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


def _check_ids(errors: FormErrors, components: object) -> None:
    seen: set[object] = set()
    for path, item in components_of(components):
        for name, code in (
            ("custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED"),
            ("id", "COMPONENT_ID_DUPLICATED"),
        ):
            value = item.get(name)
            if not isinstance(value, str if name == "custom_id" else int):
                continue
            if (name, value) in seen:
                sentence = f"Component {name.replace('_', ' ')} cannot be duplicated"
                errors.add((*path, name), code, sentence)
            seen.add((name, value))


# What may stand in a container, and at the top beside containers.
_CHECKS: Final[Mapping[int, Callable[[FormErrors, Path, Json], None]]] = {
    ACTION_ROW: _check_row,
    SECTION: _check_section,
    TEXT: _check_text_display,
    GALLERY: _check_gallery,
    FILE: _check_file,
    SEPARATOR: _check_separator,
}
