"""How a picture was drawn: one of the bot's own, or a file that somebody shared."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.core.policy import Viewer
from bot.core.recipe.facts import check_shown, facts
from bot.core.recipe.recipe import Recipe
from bot.core.studio import Studio
from bot.errors import NoRecipeError, UnknownJobError
from bot.homes.slack import render, typed
from bot.homes.slack.files import Files, pictures_of
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.posted import Posted
from bot.homes.slack.render import Block
from bot.homes.slack.voice import Voice
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import say

_NO_PICTURE: Final = say("There is no picture in this message that the bot can read.")
_AGAIN: Final = say("To ask again:")
_FILE: Final = say("What the picture's file says:")
_MAX_FACT_CHARS: Final = 600


class Recipes:
    """Tells them to the one who asked."""

    def __init__(self, studio: Studio, intake: Intake, files: Files, posted: Posted) -> None:
        self._studio = studio
        self._intake = intake
        self._files = files
        self._posted = posted

    async def of_message(self, asked: Asked, message: Mapping[str, Any]) -> None:
        """Of what a message shows; raises BotError, EngineError."""
        if (job_id := self._posted.job_in(message)) is not None:
            await self.of_job(asked, job_id)
            return
        if not (found := pictures_of(message)):
            raise UnknownJobError(_NO_PICTURE)
        recipe = await self._read(found)
        around = await self._intake.around(asked)
        await check_shown(self._studio, recipe, asked.venue, around)
        voice = await self._intake.voice(asked)
        await self._intake.tell(asked, voice.say(_FILE), _blocks(recipe, voice))

    async def of_job(self, asked: Asked, job_id: str) -> None:
        """Of a job's pictures; raises BotError."""
        voice = await self._intake.voice(asked)
        person = (await self._intake.actor(asked)).person
        line = await self._studio.lineage(job_id, Viewer(person, asked.venue))
        wish = line[0].job.wish
        again = render.preformatted(f"/imagine {typed.written(wish)}")
        words = [render.section(voice.say(_AGAIN)), again]
        if wish.source is not None or wish.variation is not None:
            without = say("The command has its words, but not the picture it started from.")
            words.append(render.section(voice.say(without)))
        await self._intake.tell(asked, voice.say(_AGAIN), words)

    async def _read(self, ids: Sequence[str]) -> Recipe:
        """What the first of the files says that says anything."""
        silent: Exception | None = None
        for one in ids:
            try:
                return await self._files.recipe(one)
            except (NoRecipeError, InvalidRequestError) as error:
                silent = silent or error
        assert silent is not None  # noqa: S101 - there was one file at least
        raise silent


def _blocks(recipe: Recipe, voice: Voice) -> list[Block]:
    lines = [
        f"*{voice.say(label)}* {render.harmless(render.cut(voice.plain(value), _MAX_FACT_CHARS))}"
        for label, value in facts(recipe)
    ]
    said = recipe.text if recipe.wish is None else f"/imagine {typed.written(recipe.wish)}"
    return [render.section("\n".join(lines)), render.preformatted(said)]
