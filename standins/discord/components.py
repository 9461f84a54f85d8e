"""A message's components: Discord's rules for them, and how they are shown.

A legacy message has up to five action rows below its text. One with the flag IS_COMPONENTS_V2 has
nothing but components: containers of texts, sections, galleries, files, separators and rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Final
from urllib.parse import unquote

from standins.base.wire import Json
from standins.discord.errors import FormErrors
from standins.discord.fields import (
    Path,
    check_choice,
    check_each,
    check_number,
    check_object,
    check_range,
    check_text,
    check_truth,
    list_in,
    object_in,
)
from standins.discord.wire import Snowflakes

IS_COMPONENTS_V2: Final = 1 << 15

MAX_ROWS, MAX_BUTTONS_A_ROW, MAX_SELECT_OPTIONS = 5, 5, 25
MAX_CUSTOM_ID_CHARS, MAX_LABEL_CHARS, MAX_OPTION_CHARS = 100, 80, 100
MAX_COMPONENTS, MAX_TEXT_CHARS = 40, 4_000  # of a whole message
MAX_PLACEHOLDER_CHARS: Final = 150
MAX_SECTION_TEXTS, MAX_GALLERY_ITEMS = 3, 10
MAX_DESCRIPTION_CHARS: Final = 1_024
MAX_MEDIA_URL_CHARS: Final = 2_048
MAX_ID, MAX_COLOUR = 2**31 - 1, 0xFFFFFF

ACTION_ROW, BUTTON, STRING_SELECT = 1, 2, 3
USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT = 5, 6, 7, 8
SELECTS = frozenset({STRING_SELECT, USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT})
SECTION, TEXT_DISPLAY, THUMBNAIL, MEDIA_GALLERY, FILE, SEPARATOR, CONTAINER = (
    9,
    10,
    11,
    12,
    13,
    14,
    17,
)
LINK_STYLE, PREMIUM_STYLE = 5, 6

_IN_CONTAINER = (ACTION_ROW, SECTION, TEXT_DISPLAY, MEDIA_GALLERY, FILE, SEPARATOR)
_AT_TOP = (*_IN_CONTAINER, CONTAINER)
_IN_ROW = (BUTTON, *sorted(SELECTS))
_HOLDERS = (ACTION_ROW, SECTION, CONTAINER)
_LEGACY_FIELDS = ("content", "embeds", "poll", "sticker_ids")
_DEFAULTS: Final[Mapping[int, Json]] = {
    THUMBNAIL: {"description": None, "spoiler": False},
    FILE: {"spoiler": False},
    SEPARATOR: {"divider": True, "spacing": 1},
    CONTAINER: {"accent_color": None, "spoiler": False},
}


def check_components(errors: FormErrors, payload: Json, before: Json) -> None:
    """The components of a message's form, and what may stand beside them.

    before  the message as it was, {} where there was none
    """
    is_v2 = is_components_v2(before, payload)
    if (
        payload.get("flags") is not None
        and is_components_v2(before)
        and not is_components_v2(payload)
    ):
        sentence = "The IS_COMPONENTS_V2 flag cannot be removed from a message."
        errors.add(("flags",), "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG", sentence)
    components = payload.get("components")
    if is_v2:
        for name in _LEGACY_FIELDS:
            if {**before, **payload}.get(name):
                sentence = (
                    f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                )
                code = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
                errors.add((name,), code, sentence)
        check_each(errors, ("components",), components, MAX_COMPONENTS, _check_at_top)
    else:
        check_each(errors, ("components",), components, MAX_ROWS, _check_row)
    if "components" not in errors.tree:  # what is wrong by itself is not counted
        check_ids(errors, walk(components))
        if is_v2:
            _check_totals(errors, components)


def is_components_v2(*parts: Json) -> bool:
    """Whether a message of these parts (as it was, the form that changes it) is of components."""
    flags = (part.get("flags") for part in parts)
    return any(isinstance(value, int) and value & IS_COMPONENTS_V2 for value in flags)


def walk(components: object, path: Path = ("components",)) -> Iterator[tuple[Path, Json]]:
    """Every component with where it stands, of components that passed the checks.

    What holds others comes before those in it.
    """
    for place, item in enumerate(list_in(components)):
        yield (*path, place), item
        if item["type"] in _HOLDERS:
            yield from walk(item["components"], (*path, place, "components"))
        if item["type"] == SECTION:
            yield (*path, place, "accessory"), item["accessory"]


def text_of(message: Json) -> str:
    """What a message says, in its text and in its components."""
    texts = [item for _, item in walk(message["components"]) if item["type"] == TEXT_DISPLAY]
    return "\n".join(item["content"] for item in (message, *texts) if item["content"])


def files_of(message: Json) -> list[Json]:
    """The files that a message shows, as attachments: those beside it, and those in components."""
    every = [item for _, item in walk(message["components"])]
    holders = [holder for item in every for holder in item.get("items", [item])]
    named = [
        {
            **media,
            "id": media["attachment_id"],
            "filename": unquote(media["url"].rpartition("/")[2]),
            "description": holder.get("description"),
        }
        for holder in holders
        if (media := holder.get("media") or holder.get("file")) and media.get("attachment_id")
    ]
    return [*message["attachments"], *named]


def pressable(message: Json) -> list[Json]:
    """The buttons and menus of a message, in the order in which they stand there."""
    return [item for _, item in walk(message["components"]) if "custom_id" in item]


def attachments_in(components: object) -> set[str]:
    """The ids of the attachments that components show."""
    return {
        media["attachment_id"]
        for _, item in walk(components)
        for _, media in _media_in(item)
        if "attachment_id" in media
    }


def shown(components: list[Json], files: Mapping[str, Json], snowflakes: Snowflakes) -> list[Json]:
    """Components that passed the checks as Discord sends them back; raises ApiError 50035.

    Each has an id, its defaults filled in, and what is known of its media.

    files  the message's attachments that `attachment://` reaches, by name
    """
    errors = FormErrors()
    for path, item in walk(components):
        for inner, media in _media_in(item):
            name = _attachment_name(media)
            if name is not None and name not in files:
                code = "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"
                sentence = f'The referenced attachment "{name}" was not found.'
                errors.add((*path, *inner, "url"), code, sentence)
    errors.check()
    # "Generation of ids won't use another id that exists in the message"; 0 is as good as none.
    taken = {item.get("id") for _, item in walk(components)}
    free = (number for number in count(1) if number not in taken)

    def media_json(media: Json) -> Json:
        name = _attachment_name(media)
        if name is None:
            return {"id": str(snowflakes.new()), "url": media["url"], "proxy_url": media["url"]}
        file = files[name]
        known = {name: file[name] for name in ("id", "url", "proxy_url", "content_type")}
        size = {"width": file.get("width"), "height": file.get("height")}
        return {**known, **size, "attachment_id": file["id"]}

    def one(component: Json) -> Json:
        given = {name: value for name, value in component.items() if value is not None}
        kind, own_id = given["type"], given.get("id") or next(free)
        item: Json = {**_DEFAULTS.get(kind, {}), **given, "id": own_id}
        if kind in _HOLDERS:
            item["components"] = [one(child) for child in item["components"]]
        if kind == SECTION:
            item["accessory"] = one(item["accessory"])
        elif kind == THUMBNAIL:
            item["media"] = media_json(item["media"])
        elif kind == MEDIA_GALLERY:
            item["items"] = [
                {
                    "media": media_json(picture["media"]),
                    "description": picture.get("description"),
                    "spoiler": bool(picture.get("spoiler")),
                }
                for picture in item["items"]
            ]
        elif kind == FILE:
            file = files[_attachment_name(item["file"]) or ""]
            item |= {
                "file": media_json(item["file"]),
                "name": file["filename"],
                "size": file["size"],
            }
        return item

    return [one(component) for component in components]


def _media_in(item: Json) -> Iterator[tuple[Path, Json]]:
    if item["type"] == THUMBNAIL:
        yield ("media",), item["media"]
    elif item["type"] == FILE:
        yield ("file",), item["file"]
    elif item["type"] == MEDIA_GALLERY:
        for place, picture in enumerate(item["items"]):
            yield ("items", place, "media"), picture["media"]


def _attachment_name(media: Json) -> str | None:
    """The file that `attachment://` names; None: the address is another."""
    scheme, _, name = media["url"].partition("://")
    return name if scheme == "attachment" else None


def check_ids(errors: FormErrors, components: Iterable[tuple[Path, Json]]) -> None:
    """No two of the components, each with where it stands, have the same id or custom_id."""
    seen: set[int] = set()
    seen_custom: set[str] = set()
    for path, item in components:
        own_id, custom_id = item.get("id"), item.get("custom_id")
        if isinstance(own_id, int) and own_id in seen:
            sentence = "Component id cannot be duplicated"
            errors.add((*path, "id"), "COMPONENT_ID_DUPLICATED", sentence)
        elif isinstance(own_id, int) and own_id:
            seen.add(own_id)
        if isinstance(custom_id, str) and custom_id in seen_custom:
            sentence = "Component custom id cannot be duplicated"
            errors.add((*path, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", sentence)
        elif isinstance(custom_id, str):
            seen_custom.add(custom_id)


def _check_totals(errors: FormErrors, components: object) -> None:
    if sum(1 for _ in walk(components)) > MAX_COMPONENTS:
        sentence = f"Total number of components cannot exceed {MAX_COMPONENTS}"
        errors.add(("components",), "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", sentence)
    texts = (item["content"] for _, item in walk(components) if item["type"] == TEXT_DISPLAY)
    if sum(map(len, texts)) > MAX_TEXT_CHARS:
        sentence = f"Components displayable text size exceeds maximum size of {MAX_TEXT_CHARS}"
        errors.add(("components",), "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", sentence)


def is_a(errors: FormErrors, path: Path, item: Json, kinds: tuple[int, ...]) -> bool:
    """Whether a component is of one of the kinds; its id is checked along."""
    kind = item.get("type")
    if isinstance(kind, bool) or kind not in kinds:
        listed = f"({kinds[0]},)" if len(kinds) == 1 else str(kinds)
        sentence = f'Value of field "type" must be one of {listed}.'
        errors.add((*path, "type"), "UNION_TYPE_CHOICES", sentence)
        return False
    check_number(errors, (*path, "id"), item.get("id"), MAX_ID)
    return True


def _check_at_top(errors: FormErrors, path: Path, item: Json) -> None:
    if not is_a(errors, path, item, _AT_TOP):
        return
    if item["type"] != CONTAINER:
        _check_block(errors, path, item)
        return
    check_number(errors, (*path, "accent_color"), item.get("accent_color"), MAX_COLOUR)
    check_truth(errors, (*path, "spoiler"), item.get("spoiler"))
    inside = (*path, "components")
    if is_filled(errors, inside, item.get("components"), MAX_COMPONENTS):
        check_each(errors, inside, item["components"], MAX_COMPONENTS, _check_in_container)


def _check_in_container(errors: FormErrors, path: Path, item: Json) -> None:
    if is_a(errors, path, item, _IN_CONTAINER):
        _check_block(errors, path, item)


def _check_block(errors: FormErrors, path: Path, item: Json) -> None:
    kind = item["type"]
    if kind == ACTION_ROW:
        _check_in_row(errors, path, item)
    elif kind == SECTION:
        _check_section(errors, path, item)
    elif kind == TEXT_DISPLAY:
        check_text_display(errors, path, item)
    elif kind == MEDIA_GALLERY:
        if is_filled(errors, (*path, "items"), item.get("items"), MAX_GALLERY_ITEMS):
            check_each(errors, (*path, "items"), item["items"], MAX_GALLERY_ITEMS, _check_picture)
    elif kind == FILE:
        _check_media(errors, (*path, "file"), item.get("file"), ("attachment",))
        check_truth(errors, (*path, "spoiler"), item.get("spoiler"))
    elif kind == SEPARATOR:
        check_truth(errors, (*path, "divider"), item.get("divider"))
        if item.get("spacing") is not None:
            check_choice(errors, (*path, "spacing"), item["spacing"], (1, 2))


def is_filled(
    errors: FormErrors, path: Path, value: object, maximum: int, *, minimum: int = 1
) -> bool:
    """Whether a list is there that is neither too short nor too long; what is none passes."""
    if value is None:
        errors.add(path, "BASE_TYPE_REQUIRED", "This field is required")
    elif isinstance(value, list) and not minimum <= len(value) <= maximum:
        sentence = f"Must be between {minimum} and {maximum} in length."
        errors.add(path, "BASE_TYPE_BAD_LENGTH", sentence)
    else:
        return True
    return False


def _check_section(errors: FormErrors, path: Path, section: Json) -> None:
    inside = (*path, "components")
    if is_filled(errors, inside, section.get("components"), MAX_SECTION_TEXTS):
        check_each(errors, inside, section["components"], MAX_SECTION_TEXTS, _check_section_text)
    accessory, at = section.get("accessory"), (*path, "accessory")
    if accessory is None:
        errors.add(at, "BASE_TYPE_REQUIRED", "This field is required")
    elif not isinstance(accessory, dict):
        check_object(errors, at, accessory)
    elif is_a(errors, at, accessory, (BUTTON, THUMBNAIL)):
        if accessory["type"] == BUTTON:
            _check_button(errors, at, accessory)
        else:
            _check_picture(errors, at, accessory)


def _check_section_text(errors: FormErrors, path: Path, item: Json) -> None:
    if is_a(errors, path, item, (TEXT_DISPLAY,)):
        check_text_display(errors, path, item)


def check_text_display(errors: FormErrors, path: Path, item: Json) -> None:
    """A text between other components."""
    check_text(errors, (*path, "content"), item.get("content"), MAX_TEXT_CHARS, minimum=1)


def _check_picture(errors: FormErrors, path: Path, item: Json) -> None:
    """A thumbnail or an item of a gallery."""
    _check_media(errors, (*path, "media"), item.get("media"), ("http", "https", "attachment"))
    check_truth(errors, (*path, "spoiler"), item.get("spoiler"))
    description = item.get("description")
    if description == "":
        sentence = f"Must be between 1 and {MAX_DESCRIPTION_CHARS} in length."
        errors.add((*path, "description"), "BASE_TYPE_BAD_LENGTH", sentence)
    check_text(errors, (*path, "description"), description, MAX_DESCRIPTION_CHARS)


def _check_media(errors: FormErrors, path: Path, media: object, schemes: tuple[str, ...]) -> None:
    if media is None:
        errors.add(path, "BASE_TYPE_REQUIRED", "This field is required")
        return
    check_object(errors, path, media)
    if not isinstance(media, dict):
        return
    url = media.get("url")
    check_text(errors, (*path, "url"), url, MAX_MEDIA_URL_CHARS, minimum=1)
    if not isinstance(url, str) or not url:
        return
    scheme, _, rest = url.partition("://")
    if not scheme or not rest:
        errors.add((*path, "url"), "URL_TYPE_INVALID_URL", "Not a well formed URL.")
    elif scheme not in schemes:
        listed = f"('{schemes[0]}',)" if len(schemes) == 1 else str(schemes)
        sentence = f'Scheme "{scheme}" must be one of {listed}.'
        errors.add((*path, "url"), "URL_TYPE_INVALID_SCHEME", sentence)


def _check_row(errors: FormErrors, path: Path, row: Json) -> None:
    if is_a(errors, path, row, (ACTION_ROW,)):
        _check_in_row(errors, path, row)


def _check_in_row(errors: FormErrors, path: Path, row: Json) -> None:
    if not row.get("components"):
        sentence = "Must be between 1 and 5 in length."
        errors.add((*path, "components"), "BASE_TYPE_BAD_LENGTH", sentence)
    inside = (*path, "components")
    check_each(errors, inside, row.get("components"), MAX_BUTTONS_A_ROW, _check_component)


def _check_component(errors: FormErrors, path: Path, item: Json) -> None:
    if not is_a(errors, path, item, _IN_ROW):
        return
    if item["type"] in SELECTS:
        check_select(errors, path, item)
    else:
        _check_button(errors, path, item)


def check_select(errors: FormErrors, path: Path, item: Json) -> None:
    """A menu of options, people, roles or channels."""
    custom_id, placeholder = item.get("custom_id"), item.get("placeholder")
    check_text(errors, (*path, "custom_id"), custom_id, MAX_CUSTOM_ID_CHARS, minimum=1)
    check_text(errors, (*path, "placeholder"), placeholder, MAX_PLACEHOLDER_CHARS)
    check_truth(errors, (*path, "disabled"), item.get("disabled"))
    check_range(errors, path, item, "values", MAX_SELECT_OPTIONS)
    if item["type"] == STRING_SELECT:
        check_options(errors, path, item, MAX_SELECT_OPTIONS)


def check_options(
    errors: FormErrors, path: Path, item: Json, maximum: int, *, minimum: int = 1
) -> None:
    """The options of a menu or a group: there are as many as may be chosen, each of its own."""
    options, at, most = item.get("options"), (*path, "options"), item.get("max_values")
    least = most if isinstance(most, int) and minimum < most <= maximum else minimum
    if not is_filled(errors, at, options, maximum, minimum=least):
        return
    check_each(errors, at, options, maximum, _check_option)
    seen: list[object] = []
    for place, option in enumerate(list_in(options)):
        value = object_in(option).get("value")
        if value in seen:
            sentence = "The specified option value is already used"
            code = "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"
            errors.add((*at, place, "value"), code, sentence)
        seen.append(value)


def _check_option(errors: FormErrors, path: Path, option: Json) -> None:
    for name in ("label", "value"):
        check_text(errors, (*path, name), option.get(name), MAX_OPTION_CHARS, minimum=1)
    check_text(errors, (*path, "description"), option.get("description"), MAX_OPTION_CHARS)
    check_truth(errors, (*path, "default"), option.get("default"))


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
