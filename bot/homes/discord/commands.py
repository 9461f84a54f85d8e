"""/imagine: its options, and the way from an interaction to a wish."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import Choice, Range, locale_str

from bot.core import loras, offspring, styles
from bot.core.defaults import Defaults, Manner
from bot.core.heard import Heard
from bot.core.options import MAX_COUNT, Texts, options
from bot.core.policy import Viewer
from bot.core.ports.engine import Model
from bot.core.studio import Studio
from bot.core.wish import WHOLE, Size, Usual, Wish
from bot.errors import LedgerError
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.intake import Intake, circumstances_of, person_of, venue_of
from bot.homes.discord.render import cut, units
from bot.homes.discord.translator import described
from bot.homes.discord.uploads import Uploads
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.flags import aspects
from sdxl_engine.request import (
    CHANGING,
    MAX_GUIDANCE_SCALE,
    MAX_INFERENCE_STEPS,
    MAX_PROMPT_CHARS,
    MAX_SEED,
    SAMPLERS,
    SPACINGS,
    Source,
    format_size,
)
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

# Discord's limits for what is offered while somebody types.
_COMPLETING_S: Final = 2.0  # of three, for the way there and back
MAX_CHOICES: Final = 25
_MAX_CHOICE_UNITS: Final = 100
_AS_BEFORE: Final = "\u21ba"  # before a job's id: the prompt of that job
_RECALLED: Final = re.compile(_AS_BEFORE + "([a-z2-7]{8})")

Prompt = Range[str, 1, MAX_PROMPT_CHARS]
NegativePrompt = Range[str, 0, MAX_PROMPT_CHARS]
Seed = Range[int, 0, MAX_SEED]
Count = Range[int, 1, MAX_COUNT]
Steps = Range[int, 1, MAX_INFERENCE_STEPS]
Guidance = Range[float, 0.0, MAX_GUIDANCE_SCALE]
Part = Range[float, 0.0, 1.0]
Offers = Iterator[tuple[str, str]]  # what may be typed, each with a note or an empty one


class ImagineCommand:
    """Turns /imagine interactions into wishes.

    usual  what is drawn where an option is left out
    """

    def __init__(self, studio: Studio, intake: Intake, uploads: Uploads, usual: Usual) -> None:
        self._studio = studio
        self._intake = intake
        self._uploads = uploads
        self._usual = usual
        self._offered_sizes: Sequence[Size] = ()

    def build(self, sizes: Sequence[tuple[int, int]]) -> "app_commands.Command[Any, ..., None]":
        """The command as Discord shall offer it; with no sizes known, `size` is free text."""
        self._offered_sizes = sizes

        usual = self._usual

        @app_commands.command(
            name="imagine", description=locale_str(say("Draw pictures of what you describe"))
        )
        @described(
            prompt=say("What the pictures should show"),
            negative_prompt=say("What they should stay away from"),
            image=say("A picture to start from"),
            strength=say(
                "How much of that picture may change; left out, {usual:g}", usual=CHANGING
            ),
            count=say("How many pictures; left out, {usual}", usual=usual.num_images),
            seed=say("The same seed draws the same pictures; left out, a random one"),
            steps=say("More steps take longer; left out, {usual}", usual=usual.num_inference_steps),
            guidance_rescale=say(
                "How far the contrast that guidance adds is taken back; left out, 0"
            ),
            guidance_start=say(
                "The part of the steps before the first that is guided; left out, 0"
            ),
            guidance_stop=say("The part of the steps after which none is guided; left out, 1"),
            guidance=say(
                "How closely to follow the prompt; left out, {usual:g}", usual=usual.guidance_scale
            ),
            style=say("The words of a style around the prompt's"),
            aspect=say("The shape, such as wide or 16:9; left out, the model's own"),
            size=say("Width x height in pixels, in the place of a shape"),
            sampler=say(
                "The way from noise to the picture; left out, {usual}", usual=self._usual_sampler()
            ),
            spacing=say("How its steps are placed; left out, the model's own way"),
            timesteps=say("In the place of a spacing, such as 999, 749, 499, 249; a step for each"),
            lora=say("LoRAs with their strengths, such as film:0.8, other:1"),
            model=say("What to draw with; left out, the first"),
            private=say("Show the pictures to me alone, until I publish them"),
            spoiler=say("Blur the pictures until somebody looks"),
            tell_me=say("Mention me when they are there"),
        )
        @app_commands.choices(
            sampler=[Choice(name=title, value=name) for name, title in SAMPLERS.items()],
            spacing=[Choice(name=title, value=name) for name, title in SPACINGS.items()],
            size=[Choice(name=format_size(*size), value=format_size(*size)) for size in sizes],
        )
        async def imagine(
            interaction: Interaction,
            *,
            prompt: Prompt,
            negative_prompt: NegativePrompt | None = None,
            image: discord.Attachment | None = None,
            strength: Part | None = None,
            count: Count | None = None,
            seed: Seed | None = None,
            steps: Steps | None = None,
            guidance: Guidance | None = None,
            style: str | None = None,
            aspect: str | None = None,
            size: str | None = None,
            sampler: str | None = None,
            spacing: str | None = None,
            lora: str | None = None,
            model: str | None = None,
            guidance_rescale: Part = 0.0,
            guidance_start: Part = WHOLE[0],
            guidance_stop: Part = WHOLE[1],
            timesteps: str | None = None,
            private: bool | None = None,
            spoiler: bool | None = None,
            tell_me: bool | None = None,
        ) -> None:
            wish = Wish(
                prompt=prompt,
                negative_prompt=negative_prompt,
                seed=seed,
                num_inference_steps=steps,
                num_images=count,
                guidance_scale=None if guidance is None else float(guidance),
                guidance_rescale=float(guidance_rescale),
                guidance_interval=(float(guidance_start), float(guidance_stop)),
                model=model,
            )
            texts = Texts(
                style=style,
                aspect=aspect,
                size=size,
                sampler=sampler,
                spacing=spacing,
                lora=lora,
                timesteps=timesteps,
            )
            await self._ask(
                interaction,
                wish,
                texts,
                None if image is None and strength is None else _Image(image, strength),
                Manner(private, spoiler, tell_me),
            )

        imagine.autocomplete("prompt")(self.complete_prompt)
        imagine.autocomplete("style")(self.complete_style)
        imagine.autocomplete("aspect")(self.complete_aspect)
        imagine.autocomplete("lora")(self.complete_lora)
        imagine.autocomplete("model")(self.complete_model)
        return imagine

    async def complete_prompt(self, interaction: Interaction, current: str) -> list[Choice[str]]:
        """What one asked for lately that holds what is typed."""
        try:
            async with asyncio.timeout(_COMPLETING_S):
                found = await self._studio.prompts(person_of(interaction), current)
        except (LedgerError, TimeoutError) as error:
            log.warning("prompts cannot be offered: %r", error)
            return []
        latest = islice(found.items(), MAX_CHOICES)
        return [
            Choice(
                name=cut(" ".join(prompt.split()), _MAX_CHOICE_UNITS),
                # One that is too long to be sent stands for itself by its job.
                value=prompt if units(prompt) <= _MAX_CHOICE_UNITS else f"{_AS_BEFORE}{job_id}",
            )
            for prompt, job_id in latest
        ]

    async def complete_style(self, _: Interaction, current: str) -> list[Choice[str]]:
        """The styles that go on as is typed."""
        found = styles.completions(current, self._usual.styles)
        return offered((one.name, one.description) for one in found)

    async def complete_aspect(self, _: Interaction, current: str) -> list[Choice[str]]:
        """The shapes that go on as is typed, each with the size that it comes to."""
        begun = current.strip().casefold()
        return offered(
            (name, format_size(*size))
            for name, size in aspects(self.sizes).items()
            if name.startswith(begun)
        )

    async def complete_lora(self, _: Interaction, current: str) -> list[Choice[str]]:
        """What was typed, with the names of LoRAs that go on so."""

        def complete(model: Model) -> Offers:
            names = [name for name, lora in model.loras.items() if lora.problem is None]
            # Without notes: what is chosen is typed on, at its strength or with another name.
            return ((text, "") for text in loras.completions(current, names))

        return await self._choices(complete)

    async def complete_model(self, _: Interaction, current: str) -> list[Choice[str]]:
        """The names of models that go on as is typed."""
        typed = current.strip().casefold()

        def complete(model: Model) -> Offers:
            for name in model.models:
                if typed in name.casefold():
                    yield name, self._usual.note_of(name)

        return await self._choices(complete)

    def _usual_sampler(self) -> str:
        usual = self._usual.sampler
        return say("the model's own") if usual is None else SAMPLERS[usual]

    async def _choices(self, complete: Callable[[Model], Offers]) -> list[Choice[str]]:
        """What may be typed; nothing where that cannot be said in time, for it is a courtesy."""
        model = self._studio.model
        if model is None:
            return []
        try:
            async with asyncio.timeout(_COMPLETING_S):
                offers = await asyncio.to_thread(lambda: list(complete(model)))
        except Exception as error:  # noqa: BLE001 - whatever the files there said
            log.warning("what may be typed cannot be offered: %r", error)
            return []
        return offered(offers)

    @property
    def sizes(self) -> Sequence[Size]:
        """The warm ones, or those that were offered last, while it is not known."""
        return self._studio.sizes or self._offered_sizes

    async def _ask(
        self,
        interaction: Interaction,
        wish: Wish,
        texts: Texts,
        image: "_Image | None",
        manner: Manner,
    ) -> None:
        # A seed is chosen here, so that a refusal can tell what to ask again: what was typed until
        # it is read, for what cannot be read is not known otherwise.
        seed = wish.seeded().seed
        again = options(replace(wish, seed=seed)) | texts.typed()

        async def ask(heard: Heard) -> None:
            nonlocal again
            prompt = await self._recalled(wish.prompt, heard.viewer)
            read = texts.read_into(replace(wish, prompt=prompt), self.sizes)
            if read.seed is None:
                read = replace(read, seed=seed)
            venue = heard.origin.venue
            said = await self._studio.settled(
                Defaults(read, manner), heard.person, venue, heard.around
            )
            read = said.wish
            again = options(read)
            if image is not None:
                (source,) = await self._uploads.bring(heard, [image.sent])
                read = replace(read, source=offspring.source_fields(image.begun(source)))
            await self._studio.ask(
                heard, read, showing=replace(said.manner.showing, private=heard.unseen)
            )

        async def unseen() -> bool:
            if manner.private is not None:
                return manner.private
            person, venue = person_of(interaction), venue_of(interaction)
            around = circumstances_of(interaction)
            usual = await self._studio.settled(Defaults(), person, venue, around)
            return usual.manner.showing.private

        await self._intake.take(interaction, ask, lambda: again, unseen)

    async def _recalled(self, prompt: str, by: Viewer) -> str:
        """What was typed, with the prompt that was chosen in the place of its job's mark."""
        match = _RECALLED.match(prompt)
        if match is None:
            return prompt
        record = await self._studio.record(match[1], by)
        return record.job.wish.prompt + prompt[match.end() :]


@dataclass(frozen=True, slots=True)
class _Image:
    """A picture that was sent along, and how much of it may change."""

    attachment: discord.Attachment | None
    strength: float | None

    @property
    def sent(self) -> discord.Attachment:
        """The picture; raises InvalidRequestError if there is none."""
        if self.attachment is None:
            raise InvalidRequestError(
                say("A strength needs a picture to start from: send one along.")
            )
        return self.attachment

    def begun(self, source: Source) -> Source:
        """How it is started from."""
        return source if self.strength is None else replace(source, strength=float(self.strength))


def offered(offers: Iterable[tuple[str, str]]) -> list[Choice[str]]:
    """What may be typed, each with a note or an empty one, as far as Discord takes it."""
    return [
        Choice(name=cut(f"{text} · {note}" if note else text, _MAX_CHOICE_UNITS), value=text)
        for text, note in offers
        if units(text) <= _MAX_CHOICE_UNITS
    ][:MAX_CHOICES]
