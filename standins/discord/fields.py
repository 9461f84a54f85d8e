"""Single fields of any form: texts, numbers, lists. Each breach is named as Discord does."""

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


def object_in(value: object) -> Json:
    """What is there to look into: something else was noted already, or will be."""
    return value if isinstance(value, dict) else {}


def list_in(value: object) -> list[Any]:
    """The same of a list."""
    return value if isinstance(value, list) else []


def check_number(
    errors: FormErrors, path: Path, value: object, maximum: int, *, minimum: int = 0
) -> None:
    """A whole number from `minimum` to `maximum`, or nothing."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        errors.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
    elif value < minimum:
        sentence = f"int value should be greater than or equal to {minimum}."
        errors.add(path, "NUMBER_TYPE_MIN", sentence)
    elif value > maximum:
        sentence = f"int value should be less than or equal to {maximum}."
        errors.add(path, "NUMBER_TYPE_MAX", sentence)


def check_range(errors: FormErrors, path: Path, item: Json, of: str, maximum: int) -> None:
    """How few and how many: `min_` and `max_` before what is counted, such as "values"."""
    low, high = f"min_{of}", f"max_{of}"
    check_number(errors, (*path, low), item.get(low), maximum)
    check_number(errors, (*path, high), item.get(high), maximum, minimum=1)
    least, most = item.get(low), item.get(high)
    if isinstance(least, int) and isinstance(most, int) and least > most:
        sentence = f"{low} must be less than or equal to {high}"
        errors.add((*path, low), "COMPONENT_RANGE_INVALID", sentence)


def check_truth(errors: FormErrors, path: Path, value: object) -> None:
    """A truth value or nothing."""
    if value is not None and not isinstance(value, bool):
        errors.add(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")


def check_choice(errors: FormErrors, path: Path, value: object, choices: tuple[int, ...]) -> None:
    """One of the whole numbers."""
    if isinstance(value, bool) or value not in choices:
        sentence = f"Value must be one of {set(choices)}."
        errors.add(path, "BASE_TYPE_CHOICES", sentence)


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
