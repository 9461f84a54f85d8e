"""What any body of a request is held to: texts, objects and lists, each breach at its place."""

from collections.abc import Callable
from typing import Any

from standins.base.wire import Json
from standins.discord.errors import FormErrors

Path = tuple[str | int, ...]


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


def object_of(value: object) -> Json:
    """What is there to look into: something else was noted already, or will be."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """A list, as `object_of`."""
    return value if isinstance(value, list) else []


def check_each(
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
