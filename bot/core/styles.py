"""Styles: words around what somebody asks for, under a name, and settings that go with them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bot.core.loras import Loras
from bot.core.suggestion import suggestion
from bot.shared.shown import shown
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.prompt import enclosed
from sdxl_engine.sentence import say, sentences

PLACE: Final = "{prompt}"  # where somebody's words stand in a style's
_GAPS: Final = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Style:
    """One style; settings as in `Usual`, None where it leaves them open.

    name             as `folded` makes it
    title            as people read it
    prompt           with PLACE, or to stand behind somebody's words
    negative_prompt  likewise; empty where nothing is added
    loras            drawn with besides those that are asked for
    """

    name: str
    title: str
    prompt: str = PLACE
    negative_prompt: str = ""
    description: str = ""
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    sampler: tuple[str, str | None] | None = None
    loras: Loras = ()

    @property
    def settings(self) -> dict[str, object]:
        """The settings that it does not leave open; a spacing goes with its sampler."""
        sampler, spacing = self.sampler or (None, None)
        settings: dict[str, object] = {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "sampler": sampler,
        }
        said = {name: value for name, value in settings.items() if value is not None}
        return said if sampler is None else {**said, "spacing": spacing}

    def around(self, prompt: str, negative_prompt: str | None) -> tuple[str, str | None]:
        """What is drawn, and what is stayed away from, where somebody asks for these in it."""
        if not self.negative_prompt:
            return _within(self.prompt, prompt), negative_prompt
        return _within(self.prompt, prompt), _within(self.negative_prompt, negative_prompt or "")


Styles = Mapping[str, Style]  # by their names


def folded(name: str) -> str:
    """A style's name, however it is written: "Film Still" is film-still."""
    return _GAPS.sub("-", name.casefold()).strip("-")


def style_named(name: str, styles: Styles) -> Style:
    """That of this name, however it is written; raises InvalidRequestError."""
    style = styles.get(folded(name))
    if style is None:
        raise InvalidRequestError(
            sentences(
                say("There is no style {name} here.", name=shown(name)),
                suggestion(folded(name), styles),
                say("Choose another, or leave it out."),
            )
        )
    return style


def completions(text: str, styles: Styles) -> list[Style]:
    """The styles that somebody may be typing; those whose name begins so come first."""
    begun = folded(text)
    found = [
        (not style.name.startswith(begun), style.name)
        for style in styles.values()
        if begun in style.name or begun in folded(style.title)
    ]
    return [styles[name] for _, name in sorted(found)]


def joined(loras: Loras, more: Iterable[tuple[str, float]]) -> Loras:
    """LoRAs, and those of more that are not among them."""
    names = {name for name, _ in loras}
    return (*loras, *(one for one in more if one[0] not in names))


def _within(template: str, words: str) -> str:
    """Somebody's words in a style's, each saying what they say alone; nothing is expanded twice."""
    if not words.strip():
        return template.replace(PLACE, "").strip(" ,")
    before, *after = template.split(PLACE)
    if not after:  # as A1111 reads them
        return f"{enclosed(words)}, {template}"
    text = before
    for part in after:
        text += enclosed(words, before=text) + part
    return text
