"""/queue, /about and /help: what is to be known, in words, for whoever asks alone."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from discord import app_commands
from discord.app_commands import locale_str

from bot.core import crowd_lines
from bot.core.studio import Crowd, Studio
from bot.core.wish import Usual
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.intake import person_of
from bot.homes.discord.picture_menus import BEGIN, RECIPE
from bot.homes.discord.report_menu import REPORT
from bot.homes.discord.voice import Voice, voice_of
from sdxl_engine.request import format_size
from sdxl_engine.sentence import say

_HELP: Final = (
    say(
        "**/imagine** draws what you describe; its answer becomes the pictures. Besides the prompt "
        "it takes a picture to start from, a style, a shape, a seed and more, none of which you "
        "need."
    ),
    say(
        "**In the prompt** `(word:1.3)` counts more, `[word]` less; `--ar 16:9`, `--no dogs` and "
        "`--seed 7` are read."
    ),
    say(
        "**Below the pictures** ⤢ draws one larger, 🎲 others like it, 🔁 all anew; ✏️ changes the "
        "words; 🔍 shows one alone, where you can like it; 📋 says how it was drawn; 🌫️ blurs them "
        "and 🗑️ deletes them (whoever asked, and moderators)."
    ),
    say(
        '**Any picture** in a message: in its menu, under Apps, "{begin}" starts from it and '
        '"{recipe}" says how it was drawn, as **/recipe** does of a file.',
        begin=BEGIN,
        recipe=RECIPE,
    ),
    say(
        '"{report}", in the menu of a message, tells the moderators of pictures; **/privacy** '
        "shows, gives you and erases what the bot keeps of you.",
        report=REPORT,
    ),
    say("**/imagine-admin** is for those who keep order here."),
    say(
        "**/history** and **/favourites** are your pictures, **/jobs** what waits or was not "
        "shown, **/queue** how long it takes, **/settings** what is usual for you, **/about** what "
        "draws here."
    ),
)
_MADE: Final = say("Pictures here are made by a machine, and their files say so.")


class WordsCommands:
    """Answers in words.

    usual  what is drawn where a wish leaves it open
    """

    def __init__(self, studio: Studio, usual: Usual) -> None:
        self._studio = studio
        self._usual = usual

    def build(self) -> "list[app_commands.Command[Any, ..., None]]":
        """The commands as Discord shall offer them."""

        @app_commands.command(
            name="queue", description=locale_str(say("How many wait, and how long it takes"))
        )
        async def queue(interaction: Interaction) -> None:
            await _answer(interaction, lambda: self._queue(interaction))

        @app_commands.command(name="about", description=locale_str(say("What draws here")))
        async def about(interaction: Interaction) -> None:
            await _answer(interaction, lambda: self._about(interaction))

        @app_commands.command(
            name="help", description=locale_str(say("What you can type and press"))
        )
        async def help_(interaction: Interaction) -> None:
            await _answer(interaction, lambda: _help(voice_of(interaction)))

        return [queue, about, help_]

    async def _queue(self, interaction: Interaction) -> str:
        crowd = await self._studio.crowd(person_of(interaction))
        return queue_text(crowd, time.time(), voice_of(interaction))

    async def _about(self, interaction: Interaction) -> str:
        model, voice = self._studio.model, voice_of(interaction)
        if model is None:
            return f"{voice.say(say('The engine is warming up.'))}\n{voice.say(_MADE)}"
        names = [
            render.plain(" · ".join(filter(None, (name, self._usual.note_of(name)))))
            for name in model.models
        ]
        sizes = ", ".join(format_size(*size) for size in model.sizes)
        lines = [
            say("**Models**: {names}", names="; ".join(names)),
            say("**Sizes**: {sizes}", sizes=sizes),
            say("**Drawn on**: {device}", device=render.plain(model.device)),
            *crowd_lines.speed(await self._studio.crowd(person_of(interaction))),
            _MADE,
        ]
        return render.cut("\n".join(map(voice.say, lines)), render.MAX_MESSAGE_UNITS)


def queue_text(crowd: Crowd, now_s: float, voice: Voice) -> str:
    """What a person reads of the queue; now_s in seconds since 1970."""
    return "\n".join(map(voice.say, crowd_lines.lines(crowd, now_s)))


async def _help(voice: Voice) -> str:
    return "\n".join(map(voice.say, _HELP))


async def _answer(interaction: Interaction, words: Callable[[], Awaitable[str]]) -> None:
    await acknowledge_press(interaction, unseen=True)
    text = await words()
    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(content=text), "an answer in words"
    )
