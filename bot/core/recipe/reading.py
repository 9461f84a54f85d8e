"""From a picture's bytes to its recipe: which program wrote what is in it."""

from collections.abc import Callable, Mapping
from typing import Final

from bot.core.recipe import a1111, comfyui, fooocus, invokeai, novelai
from bot.core.recipe.draft import Draft, clean
from bot.core.recipe.recipe import Recipe
from bot.core.recipe.texts import MAX_FILE_BYTES, texts_of
from bot.errors import NoRecipeError
from sdxl_engine.sentence import say

_TEXT_CHARS: Final = 2_000
# What cameras say of themselves, and what holds other files.
_NOT_SHOWN: Final = frozenset({"Make", "Model", "MakerNote"})
_NOT_SHOWN_STARTS: Final = ("Raw profile", "XML:", "date:", "invokeai_graph")

# In this order: some write what others read, beside their own.
_PROGRAMS: Final[tuple[Callable[[Mapping[str, str]], Draft | None], ...]] = (
    fooocus.read,
    invokeai.read,
    a1111.read,
    comfyui.read,
    novelai.read,
)


def read_recipe(data: bytes) -> Recipe:
    """What a PNG, JPEG or WebP file, or its first 16 MiB, says of how it was drawn.

    Decodes no pixels. Takes a few milliseconds, and a third of a second for bytes that were made to
    take long, which an event loop should not wait for. Raises NoRecipeError.
    """
    texts = texts_of(data)
    for read in _PROGRAMS:
        draft = read(texts)
        if draft is not None:
            return draft.recipe()
    told = "\n".join(
        f"{name}: {text}"
        for name, text in texts.items()
        if name not in _NOT_SHOWN and not name.startswith(_NOT_SHOWN_STARTS)
    )
    if not told:
        if len(data) > MAX_FILE_BYTES:
            raise NoRecipeError(
                say(
                    "The picture's first {most} MiB says nothing of how it was drawn. Chats and "
                    "sites often take that out: give the file as the program saved it.",
                    most=MAX_FILE_BYTES >> 20,
                )
            )
        raise NoRecipeError(
            say(
                "The picture's file says nothing of how it was drawn. Chats and sites often take "
                "that out: give the file as the program saved it."
            )
        )
    if len(told) > _TEXT_CHARS:
        told = told[: _TEXT_CHARS - 1] + "…"
    return Recipe("", None, text=clean(told))
