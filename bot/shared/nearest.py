"""What somebody may have meant by a word that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MOST_LISTED: Final = 20  # more than these nobody reads
_CLOSE: Final = 0.75  # how alike two words must be (difflib) for one to be a slip of the other


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word of which this may be a slip."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=_CLOSE)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about a word that is not known: the nearest, or all there are; nothing
    where those are more than one reads.
    """
    words = list(known)
    close = nearest(word, words)
    if close is not None:
        return f" Did you mean {close}?"
    return f" There are: {', '.join(words)}." if len(words) <= MOST_LISTED else ""
