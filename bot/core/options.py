"""What people choose beside a prompt, as text: to ask for a wish again, and to read one of it.

The names are those of the options of /imagine, in every home and in every place where they are
typed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from bot.core import loras, typed
from bot.core.suggestion import suggestion
from bot.core.wish import WHOLE, Size, Wish
from bot.shared.shown import shown
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.flags import Flags, nearest_size, parse_aspect, read_flags
from sdxl_engine.request import (
    SAMPLERS,
    SPACINGS,
    format_size,
    format_timesteps,
    parse_sampler_and_spacing,
    parse_size,
    parse_spacing,
    parse_timesteps,
)
from sdxl_engine.sentence import say, sentences

# Options that are numbers, by their names: the fields of a wish, and what sort of number it is.
_WHOLE: Final = {"seed": "seed", "steps": "num_inference_steps", "count": "num_images"}
_NUMBERS: Final = {"guidance": "guidance_scale", "guidance_rescale": "guidance_rescale"}
_PARTS: Final = ("guidance_start", "guidance_stop")
MAX_COUNT: Final = 4  # as many as are drawn at once
_STRENGTH: Final = "strength"
# How far, in logarithms, a size may be from the shape that was asked for: not from 4:3 to a square.
_OF_THAT_SHAPE: Final = 0.28
_LINE: Final = re.compile(r"\s*([\w ]+?)\s*[:=]\s*(.*?)\s*")


@dataclass(frozen=True, slots=True)
class Texts:
    """Options that are texts to whoever sends them, choices too: none is believed."""

    style: str | None = None
    aspect: str | None = None
    size: str | None = None
    sampler: str | None = None
    spacing: str | None = None
    lora: str | None = None
    timesteps: str | None = None

    def typed(self) -> dict[str, str]:
        """What was typed, by the option's name; of what was chosen from a list, its title."""
        titles = SAMPLERS | SPACINGS
        return {name: titles.get(text, text) for name, text in asdict(self).items() if text}

    def read_into(self, wish: Wish, sizes: Sequence[Size]) -> Wish:
        """The wish with what they, and its prompt's tags and flags, say.

        sizes  those that a shape may come to

        Raises InvalidRequestError.
        """
        said = read_flags(wish.prompt)
        # Commands of other programs are pasted here: "DPM++ 2M Karras" names both.
        both = (None, None) if self.sampler is None else parse_sampler_and_spacing(self.sampler)
        sampler, spacing = both
        chosen = {one.name: getattr(wish, one.name) for one in fields(wish)}
        chosen |= {
            "prompt": None,
            "left_out": None,
            "size_px": self.chosen_size(said, sizes),
            "sampler": sampler,
            "spacing": spacing if self.spacing is None else parse_spacing(self.spacing),
            "loras": loras.read_list(self.lora or ""),
            "timesteps": None if self.timesteps is None else parse_timesteps(self.timesteps),
            "style": self.style,
        }
        return typed.overruled(typed.wish_of(said), chosen)

    def chosen_size(self, said: Flags, sizes: Sequence[Size]) -> Size | None:
        """What is chosen before what is typed, and a size before a shape."""
        if self.size is not None:
            return parse_size(self.size)
        aspect = said.aspect if self.aspect is None else parse_aspect(self.aspect)
        if aspect is None or (self.aspect is None and said.size_px is not None):
            return said.size_px
        if not sizes:
            raise InvalidRequestError(
                say(
                    "Which shapes there are is not known while the engine warms up. Ask again in "
                    "a minute, or without a shape."
                )
            )
        size = nearest_size(aspect, sizes)
        if abs(math.log(aspect[0] / aspect[1] * size[1] / size[0])) > _OF_THAT_SHAPE:
            raise InvalidRequestError(
                say(
                    "No size here is of that shape. There are {sizes}.",
                    sizes=", ".join(format_size(*one) for one in sizes),
                )
            )
        return size


_TEXTS: Final = tuple(one.name for one in fields(Texts))
_NAMES: Final = (*_WHOLE, *_NUMBERS, *_PARTS, _STRENGTH, "model", *_TEXTS)


@dataclass(frozen=True, slots=True)
class Settings:
    """Options that somebody typed, one a line, read as far as that needs no model.

    wish      what they say of a wish; what is not among them is left open
    strength  how much of the picture may change that is started from
    """

    wish: Wish
    texts: Texts
    strength: float | None

    def read_into(self, wish: Wish, sizes: Sequence[Size]) -> Wish:
        """The wish with these settings, and none of its own; as `Texts.read_into`.

        What no option says stays as it is. The lines were there before: what is typed into the
        prompt is stronger. Raises InvalidRequestError.
        """
        of = {name: getattr(self.wish, name) for name in _SAID}
        lines = self.texts.read_into(replace(wish, prompt="", loras=(), **of), sizes)
        flags = read_flags(wish.prompt)
        said = typed.wish_of(flags)
        chosen = {name: getattr(said, name) for name in _TYPED}
        chosen["size_px"] = Texts().chosen_size(flags, sizes)
        return replace(typed.overruled(lines, chosen), styled=None)


# The fields of a wish that lines say, or leave open.
_SAID: Final = (
    *_WHOLE.values(),
    *_NUMBERS.values(),
    "guidance_interval",
    "size_px",
    "sampler",
    "spacing",
    "timesteps",
    "style",
    "model",
)


# Those that are typed into a prompt.
_TYPED: Final = (
    "prompt",
    "negative_prompt",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "sampler",
    "spacing",
    "loras",
    "style",
    "left_out",
)


def options(wish: Wish) -> dict[str, str]:
    """What to type to ask for the same again, by the option's name."""
    return {
        "prompt": wish.prompt,
        **({"negative_prompt": wish.negative_prompt} if wish.negative_prompt else {}),
        **_settings(wish),
    }


def written(wish: Wish) -> str:
    """The settings of a wish as lines that `read_lines` reads; without the prompts."""
    said = _settings(wish)
    if wish.source is not None and wish.upscale is None:
        said[_STRENGTH] = f"{wish.source[1]:.15g}"
    return "\n".join(f"{name}: {value}" for name, value in said.items())


def lines_of(text: str) -> dict[str, str]:
    """What stands in lines of settings by their names, whether or not there are such."""
    matches = filter(None, map(_LINE.fullmatch, text.split("\n")))
    return {_folded(match[1]): match[2] for match in matches if match[2]}


def read_lines(text: str) -> Settings:
    """Read settings, one a line, such as "steps: 20".

    Raises InvalidRequestError for what is no setting, or has no such value.
    """
    said: dict[str, str] = {}
    for line in filter(str.strip, text.split("\n")):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InvalidRequestError(
                say(
                    "The setting {setting} cannot be read. Write one a line, as in {example}.",
                    setting=shown(line.strip()),
                    example='"steps: 20"',
                )
            )
        name = _folded(match[1])
        if name not in _NAMES:
            raise InvalidRequestError(
                sentences(
                    say("There is no setting {name}.", name=shown(name)),
                    suggestion(name, _NAMES),
                )
            )
        if match[2]:
            said[name] = match[2]
    return Settings(
        _wish(said),
        Texts(**{name: said[name] for name in _TEXTS if name in said}),
        _number(_STRENGTH, said[_STRENGTH]) if _STRENGTH in said else None,
    )


def _folded(name: str) -> str:
    return "_".join(name.casefold().split())


def _wish(said: Mapping[str, str]) -> Wish:
    wish: dict[str, Any] = {f: _whole(n, said[n]) for n, f in _WHOLE.items() if n in said}
    count = wish.get("num_images")
    if count is not None and not 1 <= count <= MAX_COUNT:
        raise InvalidRequestError(
            say("So many pictures are not drawn at once. Ask for 1 to {most}.", most=MAX_COUNT)
        )
    wish |= {f: _number(n, said[n]) for n, f in _NUMBERS.items() if n in said}
    start, stop = (
        _number(name, said[name]) if name in said else usual
        for name, usual in zip(_PARTS, WHOLE, strict=True)
    )
    return Wish("", guidance_interval=(start, stop), model=said.get("model"), **wish)


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidRequestError(
            say(
                "{name}: {text} is no whole number. Write digits, as in {example}.",
                name=name,
                text=shown(text),
                example="20",
            )
        ) from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidRequestError(
            say(
                "{name}: {text} is no number. Write one as in {example}.",
                name=name,
                text=shown(text),
                example="0.5",
            )
        ) from None


def _settings(wish: Wish) -> dict[str, str]:
    start, stop = wish.guidance_interval
    chosen = {
        "seed": wish.seed,
        "steps": wish.num_inference_steps,
        "guidance": None if wish.guidance_scale is None else f"{wish.guidance_scale:.15g}",
        "guidance_rescale": f"{wish.guidance_rescale:.15g}" if wish.guidance_rescale else None,
        "guidance_start": f"{start:.15g}" if start > WHOLE[0] else None,
        "guidance_stop": f"{stop:.15g}" if stop < WHOLE[1] else None,
        "size": None if wish.size_px is None else format_size(*wish.size_px),
        "sampler": None if wish.sampler is None else SAMPLERS.get(wish.sampler, wish.sampler),
        "spacing": None if wish.spacing is None else SPACINGS.get(wish.spacing, wish.spacing),
        "timesteps": None if wish.timesteps is None else format_timesteps(wish.timesteps),
        "lora": loras.written(wish.loras) or None,
        "style": wish.style,
        "model": wish.model,
        "count": wish.num_images,
    }
    return {name: str(value) for name, value in chosen.items() if value is not None}
