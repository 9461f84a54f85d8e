"""What goes over every wire: JSON objects."""

import json
import math
from typing import Any, Final, NoReturn

Json = dict[str, Any]

# Far beyond what any chat system sends, and far below where Python gives up.
MAX_JSON_DEPTH: Final = 64
MAX_NUMBER_CHARS: Final = 32


def parse_json(data: bytes | str) -> object:
    """The JSON that somebody sent; raises ValueError, whatever is wrong with it.

    Also refused is what Python takes and nobody means: NaN and Infinity, numbers that are longer
    than any id, lists in lists without end, and half a character.
    """
    try:
        value: object = json.loads(
            data, parse_constant=_refuse, parse_int=_whole, parse_float=_number
        )
    except RecursionError:
        raise ValueError("too deep") from None
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        if not level:
            return value
        level = [inner for outer in level for inner in _inside(outer)]
    raise ValueError("too deep")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, str) and not value.isascii():
        value.encode()  # half of a pair of escapes is no text: UnicodeEncodeError, a ValueError
    return value if isinstance(value, list) else []


def _whole(text: str) -> int:
    return int(text) if len(text) <= MAX_NUMBER_CHARS else _refuse(text)


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(text[:MAX_NUMBER_CHARS])
