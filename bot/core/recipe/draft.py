"""A recipe while it is read: a request that can be drawn at any time, and words for the rest."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from typing import Any, Final, TypeVar

from bot.core import loras
from bot.core.recipe.recipe import OURS, Recipe
from bot.core.wish import Wish
from bot.shared.shown import one_line
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    MAX_SEED,
    ImageRequest,
    Lora,
    name_of_model,
    parse_sampler_and_spacing,
    parse_spacing,
)
from sdxl_engine.sentence import say, say_many, sentence_of

T = TypeVar("T")

MAX_PROMPT_CHARS: Final = 8_000  # twice what is drawn: what is too long shall be seen to be
_MAX_LEFT_OUT: Final = 40
_SHOWN_CHARS: Final = 100
_NAME_CHARS: Final = 200
_MAX_DIGITS: Final = 20  # seeds of 64 bits have as many
_ENDINGS: Final = re.compile(r"\.(ckpt|pt|pth|bin|gguf)$")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER: Final = re.compile(
    r"[+-]?([0-9]{1,18}\.?|[0-9]{0,18}\.[0-9]{1,30})(e[+-]?[0-9]{1,3})?", re.IGNORECASE
)
# Which strength a LoRA has where several are said, for the UNet and the encoders or parts of them.
_LONG_TAG: Final = re.compile(r"<(?:lora|lyco):([^<>:]*):([^<>:]*):[^<>]*>", re.IGNORECASE)
NOT_REPEATED: Final = say("not repeated")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Draft:
    """Collects what is read. What cannot be drawn here is put into words, once, and left out."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.prompt = ""
        self.negative: str | None = None
        self.model: str | None = None
        self.model_hash: str | None = None
        self._fields: dict[str, Any] = {}
        self._left_out: dict[str, None] = {}  # each once, in order

    def leave(self, what: str, value: object = None, why: str = NOT_REPEATED) -> None:
        """Say that something is not in the wish.

        what  in the words of the program that wrote it, or a `Sentence`
        """
        text = "" if value is None else _said(value)
        said = say("{what} {value}", what=what, value=text) if text else what
        line = one_line(said, _SHOWN_CHARS)
        line = said if line == said else line
        self._say(say("{setting} ({why})", setting=line, why=why) if why else said)

    def keep(self, **fields: object) -> None:
        """Fields of `ImageRequest`, of the right types; refused ones are left out, with why."""
        try:
            # It checks them as they go together, so there is always something to draw.
            ImageRequest("x", **{"num_images": 1, **self._fields, **fields})
        except InvalidRequestError as error:
            self._say(sentence_of(error))
        else:
            self._fields.update(fields)

    def made(self, kind: Callable[..., T], *parts: object) -> T | None:
        """What is made of these parts; if they are refused, nothing, and it is said why."""
        try:
            return kind(*parts)
        except InvalidRequestError as error:
            self._say(sentence_of(error))
            return None

    def has(self, field: str) -> bool:
        """Whether a field is kept."""
        return field in self._fields

    def whole(self, field: str, label: str, value: object) -> None:
        """A field that is a whole number, whatever it was written as."""
        self._count(field, label, value, whole(value))

    def number(self, field: str, label: str, value: object) -> None:
        """A field that is a number."""
        self._count(field, label, value, number(value))

    def _count(self, field: str, label: str, value: object, read: float | None) -> None:
        if read is not None:
            self.keep(**{field: read})
        elif value is not None:
            self.leave(label, value, say("no number that can be read"))

    def seed(self, value: object) -> None:
        """The seed; many programs have larger ones."""
        if (whole(value) or 0) > MAX_SEED:
            self.leave("Seed", value, say("seeds end at {most} here", most=MAX_SEED))
        else:
            self.whole("seed", "Seed", value)

    def size(self, width: object, height: object) -> None:
        """Width and height in pixels."""
        sides = whole(width), whole(height)
        if None not in sides:
            self.keep(width_px=sides[0], height_px=sides[1])
        elif (width, height) != (None, None):
            self.leave("Size", f"{_said(width)} x {_said(height)}", say("no size that can be read"))

    def sampler(self, name: object) -> None:
        """A sampler as any program calls it, perhaps with its spacing."""
        if not isinstance(name, str) or not name:
            return
        try:
            # Whatever is longer is none.
            sampler, spacing = parse_sampler_and_spacing(name[:_SHOWN_CHARS])
        except InvalidRequestError:
            self.leave("Sampler", name, say("there is none of that name here"))
            return
        self.keep(sampler=sampler)
        if spacing is not None:
            self.keep(spacing=spacing)

    def spacing(self, name: object, *, open_names: Iterable[str] = ()) -> None:
        """How noise levels are placed; some names of a program leave that to the sampler."""
        if not isinstance(name, str) or not name or name.casefold() in {*open_names}:
            return
        try:
            self.keep(spacing=parse_spacing(name[:_SHOWN_CHARS]))
        except InvalidRequestError:
            self.leave("Spacing", name, say("there is none of that name here"))

    def lora(self, path: object, strength: object) -> None:
        """A LoRA by its file; one without a number has strength 1."""
        if not isinstance(path, str) or path in {"", "None"}:
            return
        weight = 1.0 if strength is None else number(strength)
        if weight is None:
            self.leave("LoRA", path, say("no strength that can be read"))
        elif weight != 0:
            self.exact_lora(file_name(path), weight)

    def exact_lora(self, name: str, strength: float) -> None:
        """A LoRA by its name, as it is."""
        lora = self.made(Lora, name, strength)
        if lora is not None:
            self.keep(loras=(*self._fields.get("loras", ()), lora))

    def tags(self, text: str) -> str:
        """A text without tags such as <lora:film:0.8>, which become LoRAs."""
        text = self._cut(text)
        if _LONG_TAG.search(text):
            text = _LONG_TAG.sub(r"<lora:\1:\2>", text)
            self.leave(
                say("LoRAs with several strengths"), why=say("the first counts for all of each")
            )
        text, found = self.made(loras.read_out, text) or (text, ())
        for name, strength in found:
            self.lora(name, strength)
        return text

    def drawn_by(self, model: object, digest: object = None) -> None:
        """The model's name or path, and the hash of its file."""
        if isinstance(model, str) and model:
            self.model = clean(file_name(model)[:_NAME_CHARS])
        if isinstance(digest, str) and digest:
            self.model_hash = clean(digest[:_NAME_CHARS])

    def recipe(self) -> Recipe:
        """What was read; the draft is not used any more."""
        kept = self._fields
        negative = self.negative
        wish = Wish(
            self._cut(self.prompt),
            negative_prompt=None if negative is None else self._cut(negative),
            num_images=1,
            size_px=(kept["width_px"], kept["height_px"]) if "width_px" in kept else None,
            **{name: _as_in_wish(value) for name, value in kept.items() if name not in _SIDES},
        )
        try:
            ImageRequest(wish.prompt, wish.negative_prompt)
        except InvalidRequestError as error:
            self._say(sentence_of(error))
        if self.program != OURS and "seed" in kept:
            self._say(say("The seed draws another picture here: noise is made in another way"))
        said = list(self._left_out)
        if len(said) > _MAX_LEFT_OUT:
            more = len(said) - _MAX_LEFT_OUT
            said[_MAX_LEFT_OUT:] = [say_many("{count} more setting", "{count} more settings", more)]
        return Recipe(self.program, wish, self.model, self.model_hash, tuple(said))

    def _cut(self, text: str) -> str:
        if len(text) > MAX_PROMPT_CHARS:
            self.leave(say("A text of {chars:,} characters", chars=len(text)), why=say("cut here"))
        return clean(text[:MAX_PROMPT_CHARS]).strip()

    def _say(self, sentence: str) -> None:
        cleaned = clean(sentence)
        self._left_out[sentence if cleaned == sentence else cleaned] = None


_SIDES: Final = frozenset({"width_px", "height_px"})


def _as_in_wish(value: Any) -> Any:  # noqa: ANN401 - fields of every kind
    if isinstance(value, tuple):
        return tuple(map(_as_in_wish, value))
    return astuple(value) if hasattr(value, "__dataclass_fields__") else value


def clean(text: str) -> str:
    """A text without halves of surrogate pairs, which JSON can hold and nothing can send."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def whole(value: object) -> int | None:
    """A whole number, of a number or a text; None if it is none, or has far too many digits."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**_MAX_DIGITS:
        return None
    return value


def number(value: object) -> float | None:
    """A number, of a number or a text; None if it is none, or beyond all bounds."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 10**_MAX_DIGITS else None  # NaN is not, either


def json_object(text: object) -> Mapping[str, Any] | None:
    """The object that a text is the JSON of, if it is; as deep as Python reads."""
    if not isinstance(text, str) or text.lstrip()[:1] != "{":
        return None
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):  # also a number of 5,000 digits
        return None
    return read if isinstance(read, dict) else None


def file_name(path: str) -> str:
    """The name of a model's file as it is called here: without its folder and ending."""
    return _ENDINGS.sub("", name_of_model(path))


def _said(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        is_short = abs(value) < 10**_MAX_DIGITS
        return str(value) if is_short else say("with far too many digits")
    return ""  # a list has too many words of its own
