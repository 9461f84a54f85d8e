"""/queue, /about and /help: what is to be known, in words, for whoever asks alone."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from discord import app_commands

from bot.core.studio import Crowd, Studio
from bot.core.wish import Usual
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.intake import person_of
from sdxl_engine.request import format_size

_HELP: Final = """\
**/imagine** draws what you describe; its answer becomes the pictures. Besides the prompt it takes \
a picture to start from, a style, a shape, a seed and more, none of which you need.
**In the prompt** `(word:1.3)` counts more, `[word]` less; `--ar 16:9`, `--no dogs` and `--seed 7` \
are read.
**Below the pictures** ⤢ draws one larger, 🎲 others like it, 🔁 all anew; ✏️ changes the words; \
🔍 shows one alone, where you can like it; 📋 says how it was drawn; 🌫️ blurs them and 🗑️ deletes \
them (whoever asked, and moderators).
**Any picture** in a message: in its menu, under Apps, "Imagine from this" starts from it and \
"Recipe" says how it was drawn, as **/recipe** does of a file.
**/history** and **/favourites** are your pictures, **/jobs** what waits or was not shown, \
**/queue** how long it takes, **/settings** what is usual for you, **/about** what draws here."""
_MADE: Final = "Pictures here are made by a machine, and their files say so."


class WordsCommands:
    """Answers in words.

    usual  what is drawn where a wish leaves it open
    """

    def __init__(self, studio: Studio, usual: Usual) -> None:
        self._studio = studio
        self._usual = usual

    def build(self) -> "list[app_commands.Command[Any, ..., None]]":
        """The commands as Discord shall offer them."""

        @app_commands.command(name="queue", description="How many wait, and how long it takes")
        async def queue(interaction: Interaction) -> None:
            await _answer(interaction, lambda: self._queue(interaction))

        @app_commands.command(name="about", description="What draws here")
        async def about(interaction: Interaction) -> None:
            await _answer(interaction, self._about)

        @app_commands.command(name="help", description="What you can type and press")
        async def help_(interaction: Interaction) -> None:
            await _answer(interaction, _help)

        return [queue, about, help_]

    async def _queue(self, interaction: Interaction) -> str:
        return queue_text(await self._studio.crowd(person_of(interaction)), time.time())

    async def _about(self) -> str:
        model = self._studio.model
        if model is None:
            return f"The engine is warming up.\n{_MADE}"
        names = [
            render.plain(" · ".join(filter(None, (name, self._usual.note_of(name)))))
            for name in model.models
        ]
        sizes = ", ".join(format_size(*size) for size in model.sizes)
        lines = [
            f"**Models**: {'; '.join(names)}",
            f"**Sizes**: {sizes}",
            f"**Drawn on**: {render.plain(model.device)}",
            _MADE,
        ]
        return render.cut("\n".join(lines), render.MAX_MESSAGE_UNITS)


def queue_text(crowd: Crowd, now_s: float) -> str:
    """What a person reads of the queue; now_s in seconds since 1970."""
    if crowd.waiting:
        lines = ["1 job waits." if crowd.waiting == 1 else f"{crowd.waiting} jobs wait."]
    else:
        lines = ["Nobody waits." if crowd.is_drawing else "Nobody waits, and nothing is drawn."]
    if crowd.typical_s is not None:
        lines.append(f"What is usual takes {max(round(crowd.typical_s), 1)} s to draw.")
    for job_id, position in sorted(crowd.own.items(), key=lambda one: one[1].place):
        when = ""
        if position.ready_in_s is not None:
            when = f", ready {render.moment(now_s + position.ready_in_s)}"
        lines.append(f"`{job_id}` of yours is number {position.place}{when}.")
    return "\n".join(lines)


async def _help() -> str:
    return _HELP


async def _answer(interaction: Interaction, say: Callable[[], Awaitable[str]]) -> None:
    await acknowledge_press(interaction, unseen=True)
    text = await say()
    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(content=text), "an answer in words"
    )
