"""/settings: what is usual for a person, a channel, a server, where /imagine leaves it open."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from discord import app_commands
from discord.app_commands import Choice

from bot.core import card
from bot.core.defaults import SETTABLE, Defaults, Manner, Scope, scopes_of
from bot.core.options import Texts
from bot.core.studio import Studio
from bot.core.wish import Wish
from bot.errors import NotAllowedError
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.commands import Count, Guidance, ImagineCommand, NegativePrompt, Steps
from bot.homes.discord.intake import actor_of, person_of, venue_of
from sdxl_engine.request import SAMPLERS, format_size

log = logging.getLogger(__name__)

_WHOSE: Final = {"person": "mine", "channel": "this channel's", "community": "this server's"}
_TITLES: Final = {"person": "Yours", "channel": "This channel's", "community": "This server's"}
# What can be taken back, by the name of the option that says it.
_OPTIONS: Final = {
    "negative_prompt": "negative_prompt",
    "num_images": "count",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "size_px": "size",
    "sampler": "sampler",
    "style": "style",
    "loras": "lora",
    "model": "model",
    "private": "private",
    "spoiler": "spoiler",
    "mention": "tell_me",
}
_EVERYTHING: Final = "everything"
_NO_SERVER: Final = "There is no server here: only what is usual for you can be set."


class SettingsCommand:
    """Shows and changes what is usual.

    imagine  completes names as it does for itself
    """

    def __init__(self, studio: Studio, imagine: ImagineCommand) -> None:
        self._studio = studio
        self._imagine = imagine

    def build(self, sizes: Sequence[tuple[int, int]]) -> "app_commands.Command[Any, ..., None]":
        """The command as Discord shall offer it."""

        @app_commands.command(
            name="settings", description="What is usual where /imagine does not say it"
        )
        @app_commands.describe(
            whose="For whom; left out, for you",
            negative_prompt="What pictures should stay away from",
            count="How many pictures",
            steps="How many steps",
            guidance="How closely to follow the prompt",
            size="Width x height in pixels",
            sampler="The way from noise to the picture",
            style="The words of a style around the prompt's",
            lora="LoRAs with their strengths",
            model="What to draw with",
            private="Show the pictures to me alone, until I publish them",
            spoiler="Blur the pictures until somebody looks",
            tell_me="Mention me when they are there",
            take_back="What is usual no more",
        )
        @app_commands.choices(
            whose=[Choice(name=title, value=whose) for whose, title in _WHOSE.items()],
            sampler=[Choice(name=title, value=name) for name, title in SAMPLERS.items()],
            size=[Choice(name=format_size(*size), value=format_size(*size)) for size in sizes],
            take_back=[Choice(name=name, value=name) for name in (_EVERYTHING, *_OPTIONS.values())],
        )
        async def settings(
            interaction: Interaction,
            *,
            whose: str = "person",
            negative_prompt: NegativePrompt | None = None,
            count: Count | None = None,
            steps: Steps | None = None,
            guidance: Guidance | None = None,
            size: str | None = None,
            sampler: str | None = None,
            style: str | None = None,
            lora: str | None = None,
            model: str | None = None,
            private: bool | None = None,
            spoiler: bool | None = None,
            tell_me: bool | None = None,
            take_back: str | None = None,
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            wish = Wish(
                "",
                negative_prompt=negative_prompt,
                num_images=count,
                num_inference_steps=steps,
                guidance_scale=None if guidance is None else float(guidance),
                model=model,
            )
            texts = Texts(style=style, size=size, sampler=sampler, lora=lora)
            wish = texts.read_into(wish, ())
            said = Defaults(wish, Manner(private, spoiler, tell_me))
            scope = _scope(interaction, whose)
            names = _taken_back(take_back)
            if names or not said.is_empty:
                await self._studio.set_defaults(scope, said, actor_of(interaction), take_back=names)
            await self._show(interaction)

        settings.autocomplete("style")(self._imagine.complete_style)
        settings.autocomplete("lora")(self._imagine.complete_lora)
        settings.autocomplete("model")(self._imagine.complete_model)
        return settings

    async def _show(self, interaction: Interaction) -> None:
        person, venue = person_of(interaction), venue_of(interaction)
        lines = []
        for scope in scopes_of(person, venue):
            words = _words(await self._studio.defaults(scope))
            if words:
                lines.append(f"**{_TITLES[scope.whose]}**: {render.plain(' · '.join(words))}")
        usual = await self._studio.settled(Defaults(), person, venue)
        usual_words = [one for one in _words(usual) if not one.startswith("Seed ")]
        lines.append(
            f"**What /imagine draws here for you**: {render.plain(' · '.join(usual_words))}"
        )
        text = render.cut("\n".join(lines), render.MAX_MESSAGE_UNITS)
        await interaction.client.calls.surely(
            lambda: interaction.edit_original_response(content=text), "settings"
        )


def _scope(interaction: Interaction, whose: str) -> Scope:
    for scope in scopes_of(person_of(interaction), venue_of(interaction)):
        if scope.whose == whose:
            return scope
    raise NotAllowedError(_NO_SERVER)


def _taken_back(name: str | None) -> tuple[str, ...]:
    """The fields behind the name of an option."""
    if name == _EVERYTHING:
        return (*SETTABLE, *(one.name for one in fields(Manner)))
    return tuple(field for field, option in _OPTIONS.items() if option == name)


def _words(said: Defaults) -> list[str]:
    wish, manner = said.wish, said.manner
    words = list(card.settings(wish))
    if wish.num_images is not None:
        words.append("1 picture" if wish.num_images == 1 else f"{wish.num_images} pictures")
    if wish.negative_prompt is not None:
        words.append(f"staying away from: {wish.negative_prompt or 'nothing'}")
    if manner.private is not None:
        words.append("private" if manner.private else "for all to see")
    if manner.spoiler is not None:
        words.append("blurred" if manner.spoiler else "not blurred")
    if manner.mention is not None:
        words.append("you are told" if manner.mention else "you are not told")
    return words
