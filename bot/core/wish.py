"""A wish: what somebody asked for, as they asked for it, with size, steps and seed perhaps open.

It is data and checks nothing: one that an older or newer version wrote down can always be read and
shown. It becomes an `ImageRequest` here alone, for every face, and there it is checked.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final, TypeVar

from bot.core.loras import Loras
from bot.core.styles import Styles, folded, joined
from bot.shared.shown import shown
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    MAX_PROMPT_CHARS,
    MAX_SEED,
    ImageRequest,
    Lora,
    Source,
    Variation,
)
from sdxl_engine.sentence import say

T = TypeVar("T")
Size = tuple[int, int]
SourceFields = tuple[str, float, str, float, str | None, int]
VariationFields = tuple[int, float, int]

# What a wish is checked with while no model's own size is known.
SOME_SIZE: Final[Size] = 1024, 1024
WHOLE: Final = 0.0, 1.0  # the interval of all steps

_SETTLED_AT_ASKING: Final = ("seed", "num_inference_steps", "guidance_scale", "num_images")
# No fields of a request.
_NOT_DRAWN: Final = frozenset({"size_px", "style", "styled", "left_out", "unread"})


@dataclass(frozen=True, slots=True)
class Usual:
    """What is drawn where a wish leaves it open; fields as in `ImageRequest`.

    sampler   and spacing, size_px, negative_prompt: None leaves it to the model
    model     its name, where there are several
    by_model  what is usual with each of several models, by name
    note      what people should know of the model, in a few words
    styles    that a wish may name, whatever the model
    """

    num_inference_steps: int = 20
    guidance_scale: float = 5.0
    num_images: int = 4
    sampler: str | None = None
    spacing: str | None = None
    size_px: Size | None = None
    negative_prompt: str | None = None
    emphasis: str | None = None
    model: str | None = None
    by_model: Mapping[str, "Usual"] = field(default_factory=dict)
    note: str = ""
    styles: Styles = field(default_factory=dict)

    @property
    def sizes_px(self) -> tuple[Size, ...]:
        """The sizes that are usual with one model or another."""
        every = (self, *self.by_model.values())
        return tuple(dict.fromkeys(one.size_px for one in every if one.size_px is not None))

    def note_of(self, model: str) -> str:
        """What people should know of a model by this name."""
        return self.by_model.get(model, self).note


@dataclass(frozen=True, slots=True)
class Wish:
    """Fields as in `ImageRequest`, None where nobody chose.

    size_px            width and height; None is the model's own
    loras              names and strengths
    source, variation  the fields of `request.Source` and `request.Variation`, in their order
    style              its name; prompt and negative_prompt are without it
    styled             both prompts in the style, as they are drawn whatever becomes of it; whoever
                       changes a prompt or the style takes it away
    left_out           flags of its prompt that nobody knows, for people to read
    unread             the names of settings that this version of the bot does not know
    """

    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    size_px: Size | None = None
    num_images: int | None = None
    first_index: int = 0
    sampler: str | None = None
    spacing: str | None = None
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] = WHOLE
    loras: Loras = ()
    timesteps: tuple[int, ...] | None = None
    model: str | None = None
    source: SourceFields | None = None
    upscale: float | None = None
    variation: VariationFields | None = None
    emphasis: str | None = None
    clip_skip: int | None = None
    style: str | None = None
    styled: tuple[str, str | None] | None = None
    left_out: tuple[str, ...] | None = None
    unread: tuple[str, ...] = ()

    @property
    def indices(self) -> range:
        """Of its pictures, once it is known how many there are."""
        return range(self.first_index, self.first_index + (self.num_images or 1))

    def seeded(self) -> "Wish":
        """The wish with a seed, so that it draws the same however often it is asked."""
        return replace(self, seed=secrets.randbelow(MAX_SEED + 1)) if self.seed is None else self

    def settled(self, usual: Usual) -> "Wish":
        """The wish with everything chosen that need not be left to a loaded model.

        Settled once more, it stays as it is. That a style is not there, `resolve` says.
        """
        to_style = self.style is not None and self.styled is None
        style = usual.styles.get(folded(self.style or "")) if to_style else None
        model = _chosen(self.model, usual.model)
        if model is not None:
            usual = usual.by_model.get(model, usual)
        if style is not None:
            usual = replace(usual, **style.settings)  # type: ignore[arg-type]  # as they are there
        # A spacing goes with its sampler: another one may place its steps itself.
        own_way = self.sampler is None and self.timesteps is None
        spacing = usual.spacing if own_way else None
        steps = usual.num_inference_steps if self.timesteps is None else len(self.timesteps)
        settled = replace(
            self.seeded(),
            model=model,
            negative_prompt=_chosen(self.negative_prompt, usual.negative_prompt),
            size_px=_chosen(self.size_px, usual.size_px),
            sampler=_chosen(self.sampler, usual.sampler),
            spacing=_chosen(self.spacing, spacing),
            num_inference_steps=_chosen(self.num_inference_steps, steps),
            guidance_scale=_chosen(self.guidance_scale, usual.guidance_scale),
            num_images=_chosen(self.num_images, usual.num_images),
            emphasis=_chosen(self.emphasis, usual.emphasis),
        )
        if style is None:
            return settled
        return replace(
            settled,
            style=style.name,
            styled=style.around(settled.prompt, settled.negative_prompt),
            loras=joined(self.loras, style.loras),
        )

    def resolve(self, native_px: Size) -> ImageRequest:
        """What the engine is asked for; raises InvalidRequestError if it cannot be drawn.

        native_px  the size if nobody chose one
        """
        if self.unread:
            raise InvalidRequestError(
                say(
                    "This was asked with settings that this version of the bot does not know "
                    "({settings}). Ask again without them.",
                    settings=f"{', '.join(self.unread):.100}",
                )
            )
        open_still = [name for name in _SETTLED_AT_ASKING if getattr(self, name) is None]
        if open_still:
            raise InvalidRequestError(
                say(
                    "The record of this does not say its {settings}. Ask again.",
                    settings=", ".join(open_still),
                )
            )
        prompt, negative_prompt = self._words()
        width_px, height_px = native_px if self.size_px is None else self.size_px
        # What nobody chose is left to the request's own defaults.
        chosen = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in _NOT_DRAWN
        }
        chosen |= {"prompt": prompt, "negative_prompt": negative_prompt}
        settings = {name: value for name, value in chosen.items() if value is not None}
        settings["loras"] = tuple(Lora(*one) for one in self.loras)
        if self.source is not None:
            settings["source"] = Source(*self.source)
        if self.variation is not None:
            settings["variation"] = Variation(*self.variation)
        return ImageRequest(**settings, width_px=width_px, height_px=height_px)

    def _words(self) -> tuple[str, str | None]:
        """Both prompts as they are drawn; raises InvalidRequestError where a style plays a part."""
        if self.style is None and self.styled is None:
            return self.prompt, self.negative_prompt
        style = shown(self.style)
        if self.styled is None:
            raise InvalidRequestError(
                say(
                    "There is no style {style} here. Choose another, or leave it out.",
                    style=style,
                )
            )
        ImageRequest(self.prompt, self.negative_prompt)  # what could not be said without it either
        names = say("prompt"), say("negative prompt")
        for name, text in zip(names, self.styled, strict=True):
            if text is not None and len(text) > MAX_PROMPT_CHARS:
                raise InvalidRequestError(
                    say(
                        "With the words of the style {style} the {name} is {chars:,} characters "
                        "long; the limit is {limit:,}. Shorten it, or leave the style out.",
                        style=style,
                        name=name,
                        chars=len(text),
                        limit=MAX_PROMPT_CHARS,
                    )
                )
        return self.styled


def _chosen(value: T | None, usual: T) -> T:
    return usual if value is None else value
