"""What follows a sentence about a word that is not known."""

from collections.abc import Iterable

from bot.shared.nearest import MOST_LISTED, nearest
from sdxl_engine.sentence import say


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest, or all there are; nothing where those are none, or more than one reads."""
    words = list(known)
    near = nearest(word, words)
    if near is not None:
        return say("Did you mean {name}?", name=near)
    if not words or len(words) > MOST_LISTED:
        return ""
    return say("There are: {names}.", names=", ".join(words))
