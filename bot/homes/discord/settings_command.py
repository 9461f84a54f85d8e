"""/settings: what is usual for a person, a channel, a server, where /imagine leaves it open."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from discord import app_commands
from discord.app_commands import Choice, locale_str

from bot.core import settings_list
from bot.core.defaults import Defaults, Manner
from bot.core.options import Texts
from bot.core.studio import Studio
from bot.core.wish import Wish
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.commands import Count, Guidance, ImagineCommand, NegativePrompt, Steps
from bot.homes.discord.intake import actor_of, person_of, venue_of
from bot.homes.discord.translator import described
from bot.homes.discord.voice import voice_of
from sdxl_engine.request import SAMPLERS, format_size
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_WHOSE: Final = {
    "person": say("mine"),
    "channel": say("this channel's"),
    "community": say("this server's"),
}
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
_EVERYTHING: Final = say("everything")


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
            name="settings",
            description=locale_str(say("What is usual where /imagine does not say it")),
        )
        @described(
            whose=say("For whom; left out, for you"),
            negative_prompt=say("What pictures should stay away from"),
            count=say("How many pictures"),
            steps=say("How many steps"),
            guidance=say("How closely to follow the prompt"),
            size=say("Width x height in pixels"),
            sampler=say("The way from noise to the picture"),
            style=say("The words of a style around the prompt's"),
            lora=say("LoRAs with their strengths"),
            model=say("What to draw with"),
            private=say("Show the pictures to me alone, until I publish them"),
            spoiler=say("Blur the pictures until somebody looks"),
            tell_me=say("Mention me when they are there"),
            take_back=say("What is usual no more"),
        )
        @app_commands.choices(
            whose=[Choice(name=locale_str(one), value=whose) for whose, one in _WHOSE.items()],
            sampler=[Choice(name=title, value=name) for name, title in SAMPLERS.items()],
            size=[Choice(name=format_size(*size), value=format_size(*size)) for size in sizes],
            take_back=[
                Choice(name=locale_str(_EVERYTHING), value=str(_EVERYTHING)),
                *(Choice(name=name, value=name) for name in _OPTIONS.values()),
            ],
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
            scope = settings_list.scope_of(whose, person_of(interaction), venue_of(interaction))
            names = _taken_back(take_back)
            if names or not said.is_empty:
                await self._studio.set_defaults(scope, said, actor_of(interaction), take_back=names)
            await self._show(interaction)

        settings.autocomplete("style")(self._imagine.complete_style)
        settings.autocomplete("lora")(self._imagine.complete_lora)
        settings.autocomplete("model")(self._imagine.complete_model)
        return settings

    async def _show(self, interaction: Interaction) -> None:
        person, venue, voice = person_of(interaction), venue_of(interaction), voice_of(interaction)
        lines = [
            f"**{voice.say(one.title)}**: {render.plain(' · '.join(map(voice.say, one.words)))}"
            for one in await settings_list.said(self._studio, person, venue)
        ]
        text = render.cut("\n".join(lines), render.MAX_MESSAGE_UNITS)
        await interaction.client.calls.surely(
            lambda: interaction.edit_original_response(content=text), "settings"
        )


def _taken_back(name: str | None) -> tuple[str, ...]:
    """The fields behind the name of an option."""
    if name == _EVERYTHING:
        return settings_list.EVERYTHING
    return tuple(field for field, option in _OPTIONS.items() if option == name)
