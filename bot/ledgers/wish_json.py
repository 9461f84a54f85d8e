"""The stored form of a wish: JSON with a version, read leniently.

A row that today's version cannot use must stop nothing: it is read as far as it goes, and what it
holds besides is named in `Wish.unread`, so that it is shown, and not drawn as something else.

    version 1  an `ImageRequest` with all its fields, as form 2 of the ledger held it, no "version"
    version 2  "version": 2 and the fields of `Wish`, those that are not open; "unread" holds the
               names of what an earlier reader found and did not know. Until a model had a sampler
               of its own, "sampler" was never left out
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from bot.core.wish import Wish

_VERSION: Final = 2
_MOST: Final = 2**63
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_UNREADABLE: Final = Wish("(unreadable)", unread=("everything",))


def _text(value: object) -> bool:
    # JSON can hold half of a surrogate pair, which is no text and can be sent nowhere.
    return isinstance(value, str) and not _SURROGATE.search(value)


def _text_or_none(value: object) -> bool:
    return value is None or _text(value)


def _whole(value: object) -> bool:
    # What needs more bits can be neither printed nor counted with.
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST


def _number(value: object) -> bool:
    return isinstance(value, float) or _whole(value)


def _tuple_of(*kinds: Callable[[object], bool]) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        return (
            isinstance(value, list)
            and len(value) == len(kinds)
            and all(kind(one) for kind, one in zip(kinds, value, strict=True))
        )

    return fits


def _list_of(kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(kind, value))


_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "prompt": _text,
    "negative_prompt": _text,
    "seed": _whole,
    "num_inference_steps": _whole,
    "guidance_scale": _number,
    "size_px": _tuple_of(_whole, _whole),
    "num_images": _whole,
    "first_index": _whole,
    "sampler": _text,
    "spacing": _text,
    "guidance_rescale": _number,
    "guidance_interval": _tuple_of(_number, _number),
    "loras": _list_of(_tuple_of(_text, _number)),
    "timesteps": _list_of(_whole),
    "model": _text,
    "source": _tuple_of(_text, _number, _text, _number, _text_or_none, _whole),
    "upscale": _number,
    "variation": _tuple_of(_whole, _number, _whole),
    "emphasis": _text,
    "clip_skip": _whole,
    "left_out": _list_of(_text),
    "style": _text,
    "styled": _tuple_of(_text, _text_or_none),
}


def write(wish: Wish) -> str:
    """The stored form."""
    settings = {name: value for name, value in asdict(wish).items() if value is not None}
    return json.dumps({"version": _VERSION, **settings})


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _names(value: object) -> list[str]:
    return [name for name in value if _text(name)] if isinstance(value, list) else ["unread"]


def read(text: str) -> Wish:
    """The wish, whatever stands there."""
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        return _UNREADABLE
    if not isinstance(stored, dict):
        return _UNREADABLE
    version = stored.pop("version", 1)
    if version == 1 and "width_px" in stored and "height_px" in stored:
        stored["size_px"] = [stored.pop("width_px"), stored.pop("height_px")]
    settings: dict[str, Any] = {}
    unread = _names(stored.pop("unread", []))
    if version not in (1, _VERSION):
        unread.append(f"version {version!s:.20}")
    for name, value in stored.items():
        if name in _KINDS and _KINDS[name](value):
            settings[name] = _frozen(value)
        elif value is not None or name not in _KINDS:
            unread.append(name)
    if "prompt" not in settings:
        settings["prompt"] = _UNREADABLE.prompt
        unread = unread if "prompt" in unread else [*unread, "prompt"]
    return Wish(**settings, unread=tuple(unread))
