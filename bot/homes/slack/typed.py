"""What people type behind /imagine, read and written: a prompt with flags."""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.core import loras
from bot.core.defaults import Manner
from bot.core.options import read_lines
from bot.core.wish import WHOLE, Size, Wish
from bot.errors import UsageError
from sdxl_engine.request import format_size, format_timesteps
from sdxl_engine.sentence import say

_DASHES: Final = r"(?<!\S)(?:--|\N{EM DASH})"  # phones make one dash of two
_MANNERS: Final = {
    "private": Manner(private=True),
    "public": Manner(private=False),
    "spoiler": Manner(spoiler=True),
    "tell-me": Manner(mention=True),
}
_MANNER: Final = re.compile(rf"{_DASHES}({'|'.join(_MANNERS)})(?!\S)", re.IGNORECASE)
# Options that no flag of a prompt says; the rest is the engine's to read.
_OPTIONS: Final = (
    "count",
    "model",
    "lora",
    "spacing",
    "timesteps",
    "strength",
    "guidance-rescale",
    "guidance-start",
    "guidance-stop",
)
_OPTION: Final = re.compile(rf"{_DASHES}({'|'.join(_OPTIONS)})(?:=|\s+)(\S+)", re.IGNORECASE)
# What Slack makes of an address, a channel or a name that somebody typed.
_MADE: Final = re.compile(r"<(?:[^|<>]*\|([^<>]*)|([^<>]*))>")
_MENTION: Final = re.compile(r"<@[A-Z0-9]+(?:\|[^<>]*)?>")


@dataclass(frozen=True, slots=True)
class Typed:
    """A prompt with its flags, and what was said beside them.

    settings  options, one a line, as `read_lines` reads them
    """

    prompt: str
    settings: str
    manner: Manner

    def wish(self, sizes: Sequence[Size]) -> Wish:
        """What is wished; raises InvalidRequestError, UsageError.

        sizes  those that a shape may come to
        """
        wish = read_lines(self.settings).read_into(Wish(self.prompt), sizes)
        if not wish.prompt:
            raise UsageError(say("Say what the pictures should show."))
        return wish


def read(text: str) -> Typed:
    """What somebody typed."""
    manner = Manner()
    for match in _MANNER.finditer(text):
        manner = _over(_MANNERS[match[1].casefold()], manner)
    text = _MANNER.sub("", text)
    lines = [f"{match[1].replace('-', '_')}: {match[2]}" for match in _OPTION.finditer(text)]
    return Typed(_OPTION.sub("", text).strip(), "\n".join(lines), manner)


def written(wish: Wish) -> str:
    """What to type for the same; `read` reads it."""
    return " ".join((wish.prompt, *_flags(wish)))


def as_typed(text: str) -> str:
    """A text before Slack made entities of its signs, and links of addresses and names."""
    return html.unescape(_MADE.sub(lambda match: match[1] or match[2] or "", text)).strip()


def behind_mention(text: str) -> str:
    """What is said to the bot behind its name."""
    return _MENTION.sub("", text, count=1)


def _flags(wish: Wish) -> Iterator[str]:
    (start, stop), way = wish.guidance_interval, (wish.sampler, wish.spacing)
    said = {
        "seed": wish.seed,
        "steps": wish.num_inference_steps,
        "guidance": wish.guidance_scale,
        "guidance-rescale": wish.guidance_rescale or None,
        "guidance-start": start if start > WHOLE[0] else None,
        "guidance-stop": stop if stop < WHOLE[1] else None,
        "size": None if wish.size_px is None else format_size(*wish.size_px),
        # A sampler that is named alone places its steps in its own way.
        "sampler": "_".join(filter(None, way)) if wish.sampler else None,
        "spacing": None if wish.sampler else wish.spacing,
        "timesteps": None if wish.timesteps is None else format_timesteps(wish.timesteps),
        "lora": loras.written(wish.loras) or None,
        "style": wish.style,
        "model": wish.model,
        "count": wish.num_images,
        "no": wish.negative_prompt or None,
    }
    for name, value in said.items():
        if value is not None:
            text = f"{value:.15g}" if isinstance(value, float) else str(value)
            yield f"--{name} {text if name == 'no' else text.replace(' ', '')}"


def _over(said: Manner, other: Manner) -> Manner:
    """What is said last counts."""
    return Manner(
        other.private if said.private is None else said.private,
        other.spoiler if said.spoiler is None else said.spoiler,
        other.mention if said.mention is None else said.mention,
    )
