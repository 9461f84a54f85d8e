"""What somebody may have meant by a word that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_MOST_LISTED: Final = 20
_CLOSE: Final = 0.75  # how alike two words must be (difflib) for one to be a slip of the other


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about a word that is not known: the nearest, or all there are; nothing
    where those are more than one reads.
    """
    words = list(known)
    close = get_close_matches(word, words, n=1, cutoff=_CLOSE)
    if close:
        return f" Did you mean {close[0]}?"
    return f" There are: {', '.join(words)}." if len(words) <= _MOST_LISTED else ""
