"""What a picture's file says of how it was drawn, as data: a home shows it in its own markup."""

from collections.abc import Iterator
from typing import Final

from bot.core.job import Venue
from bot.core.recipe.recipe import Recipe
from bot.core.rules import Circumstances
from bot.core.studio import Studio
from bot.errors import NotAllowedError
from sdxl_engine.sentence import say, sentences

_HIDDEN: Final = say("The filter here does not let people read what this file says.")


def facts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What is known besides what to type, each with what it is called."""
    yield say("Drawn by"), recipe.program or say("a program that is not known here")
    model_hash = recipe.model_hash and f"({recipe.model_hash})"
    if model := " ".join(filter(None, (recipe.model, model_hash))):
        yield say("Model"), model
    if recipe.left_out:
        besides = say("Besides") if recipe.is_ours else say("Not carried over, or different here")
        yield besides, sentences(*recipe.left_out)


async def check_shown(studio: Studio, recipe: Recipe, venue: Venue, around: Circumstances) -> None:
    """Whether the filter there lets people read what a file says.

    Raises NotAllowedError, JobRefusedError, LedgerError.
    """
    wish = recipe.wish
    said = [recipe.program, recipe.model, recipe.text, *map(str, recipe.left_out)]
    if wish is not None:
        said += [wish.prompt, wish.negative_prompt, *(name for name, _ in wish.loras)]
    if await studio.hides("\n".join(filter(None, said)), venue, around):
        raise NotAllowedError(_HIDDEN)
