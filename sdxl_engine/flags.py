"""Flags that people type into prompts from habit: `--ar 16:9`, `--no red`, `--seed 7`."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    parse_sampler_and_spacing,
    parse_size,
)
from sdxl_engine.sentence import say, sentence_of

# Phones make one dash of two; where that is no flag's it is a dash.
_FLAG: Final = re.compile(r"(?<!\S)(--|\N{EM DASH})([a-z][a-z-]*)(?:=|(?!\S)\s*)", re.IGNORECASE)
_VALUE: Final = re.compile(r"\S*[^\s,;]")
_WORDS: Final = frozenset({"negative", "style", "sampler"})  # what a sentence may go on with
_ALL: Final = re.compile(r".*", re.DOTALL)
_NUMERIC: Final = re.compile(r"[+-]?\.?\d\S*|https?://\S+")
_RATIO: Final = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)[:x/](\d{1,4}(?:\.\d{1,3})?)")
_WIDEST: Final = 4.0  # how much longer one side may be than the other
# Shapes as people call them.
ASPECTS: Final[Mapping[str, tuple[float, float]]] = {
    "square": (1, 1),
    "portrait": (3, 4),
    "landscape": (4, 3),
    "wide": (16, 9),
    "tall": (9, 16),
    "phone": (9, 16),
    "cinema": (21, 9),
}
# What is offered: these, as ratios too, and those of most photographs.
_OFFERED: Final = {
    **{f"{x:g}:{y:g}": (x, y) for x, y in (*ASPECTS.values(), (3, 2), (2, 3))},
    **ASPECTS,
}
# How far, in logarithms, a size may be from a shape to go by its name: 2:3 still goes by 3:4's.
_ALIKE: Final = 0.12
_SHOWN_CHARS: Final = 40


@dataclass(frozen=True, slots=True)
class Flags:
    """What a prompt says besides what it shows; None where it says nothing.

    prompt    without flags
    negative  what `--no` names
    aspect    width and height in any unit
    style     its name
    unknown   flags that nobody here knows, as they were written
    """

    prompt: str
    negative: str | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    aspect: tuple[float, float] | None = None
    size_px: tuple[int, int] | None = None
    sampler: tuple[str, str | None] | None = None
    style: str | None = None
    unknown: tuple[str, ...] = ()


def read_flags(text: str) -> Flags:
    """Read the flags out of a text; one that is repeated counts as it is written last.

    Raises InvalidRequestError for a value that cannot be read.
    """
    said: dict[str, Any] = {}
    unknown: list[str] = []
    kept: list[str] = []
    position = 0
    found = [match for match in _FLAG.finditer(text) if match[1] == "--" or _is_known(match[2])]
    if not found:
        return Flags(text)
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=True):
        kept.append(text[position : match.start()])
        rest, name = text[match.end() : end], match[2].casefold()
        field = _NAMES.get(name)
        if field is None:
            value = _NUMERIC.match(rest)
            unknown.append(f"--{name} {value[0]}" if value else f"--{name}")
        else:
            value = (_ALL if field == "negative" else _VALUE).match(rest)
            said[field] = _read(field, name, "" if value is None else value[0].strip())
        position = match.end() + (0 if value is None else value.end())
    kept.append(text[position:])
    prompt = " ".join(filter(None, (part.strip() for part in kept)))
    return Flags(prompt, **said, unknown=tuple(unknown))


def known_flags() -> tuple[str, ...]:
    """What a prompt may say, as it is written there."""
    return tuple(f"--{name}" for name in _NAMES)


def left_out(said: Flags) -> list[str]:
    """What a person should know of flags that change nothing: a sentence each."""
    sentences: list[str] = []
    if said.unknown:
        sentences.append(
            say(
                "Left out of the prompt, as nobody here knows it: {flags}.",
                flags=", ".join(said.unknown),
            )
        )
    return sentences


def size_of_aspect(
    aspect: tuple[float, float], native_px: tuple[int, int], multiple_px: int
) -> tuple[int, int]:
    """Width and height of these proportions, of about as many pixels as the native size.

    Both are multiples of `multiple_px`: of SDXL's 1024x1024, 16:9 is 1344x768.
    """
    area, ratio = native_px[0] * native_px[1], aspect[0] / aspect[1]
    ideal = math.sqrt(area * ratio), math.sqrt(area / ratio)
    least, most = (
        math.ceil(MIN_SIDE_PX / multiple_px) * multiple_px,
        MAX_SIDE_PX // multiple_px * multiple_px,
    )

    def sides(side: float) -> list[int]:
        down = math.floor(side / multiple_px) * multiple_px
        return [min(max(one, least), most) for one in (down, down + multiple_px)]

    def strays(size: tuple[int, int]) -> float:
        """How far its shape and its area are off, in logarithms."""
        return _strays(aspect, size) + abs(math.log(size[0] * size[1] / area))

    return min(((x, y) for x in sides(ideal[0]) for y in sides(ideal[1])), key=strays)


def nearest_size(aspect: tuple[float, float], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """That of the sizes, one at least, whose shape is nearest; of equal ones the first."""
    return min(sizes, key=lambda size: _strays(aspect, size))


def aspects(sizes: Sequence[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The names and ratios that come out as one of the sizes, and as which; names first."""
    every = (*ASPECTS, *(name for name in _OFFERED if name not in ASPECTS))
    found = {name: nearest_size(_OFFERED[name], sizes) for name in every} if sizes else {}
    return {name: size for name, size in found.items() if _strays(_OFFERED[name], size) < _ALIKE}


def _strays(aspect: tuple[float, float], size: tuple[int, int]) -> float:
    """How far a size is from a shape, in logarithms."""
    return abs(math.log(size[0] / size[1] * aspect[1] / aspect[0]))


def parse_aspect(text: str) -> tuple[float, float]:
    """The two numbers of "16:9", or of a name in ASPECTS; raises InvalidRequestError."""
    match = _RATIO.fullmatch(text)
    named = ASPECTS.get(text.strip().casefold(), (0.0, 0.0))
    ratio = (float(match[1]), float(match[2])) if match else named
    if min(ratio) <= 0 or max(ratio) > _WIDEST * min(ratio):
        raise InvalidRequestError(
            say(
                "{text} is no shape of a picture. Write width:height, such as 16:9, or one of "
                "{shapes}; one side is at most {times:g} times as long as the other.",
                text=repr(text[:_SHOWN_CHARS]),
                shapes=", ".join(ASPECTS),
                times=_WIDEST,
            )
        )
    return ratio


def _whole(text: str) -> int:
    return (
        int(text)
        if re.fullmatch(r"[0-9]{1,12}", text)
        else _refuse(say("a whole number, such as 7"))
    )


def _number(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{0,6})?", text):
        _refuse(say("a number, such as 5"))
    return float(text)


def _text(text: str) -> str:
    return text or _refuse(say("a word"))


def _refuse(wanted: str) -> Any:  # noqa: ANN401 - it never returns
    raise ValueError(wanted)


def _is_known(name: str) -> bool:
    """Whether a single dash before it is a flag's: not before what a sentence may go on with."""
    return _NAMES.get(name.casefold(), "style") not in _WORDS


def _read(field: str, name: str, text: str) -> object:
    try:
        return _READS[field](text)
    except ValueError as error:
        raise InvalidRequestError(
            say(
                "--{name} needs {wanted}; after it stands {text}.",
                name=name,
                wanted=sentence_of(error),
                text=repr(text[:_SHOWN_CHARS]) if text else say("nothing"),
            )
        ) from None


_READS: Final[Mapping[str, Callable[[str], object]]] = {
    "negative": _text,
    "seed": _whole,
    "steps": _whole,
    "guidance": _number,
    "aspect": parse_aspect,
    "size_px": parse_size,
    "sampler": parse_sampler_and_spacing,
    "style": _text,
}
_NAMES: Final[Mapping[str, str]] = {
    "no": "negative",
    "negative": "negative",
    "neg": "negative",
    "seed": "seed",
    "steps": "steps",
    "cfg": "guidance",
    "guidance": "guidance",
    "scale": "guidance",
    "ar": "aspect",
    "aspect": "aspect",
    "size": "size_px",
    "sampler": "sampler",
    "style": "style",
}
