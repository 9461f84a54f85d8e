"""A community's own list of the filter, as people read it and take it away."""

from collections.abc import Sequence
from typing import Final

from bot.core.verdict import Measure, Term, TermKind
from sdxl_engine.sentence import say, say_many, sentences

FILENAME: Final = "terms.txt"
MAX_TERM_CHARS, MAX_CATEGORY_CHARS = 200, 30
MEASURES: Final[dict[Measure, str]] = {
    "block": say("refuse it"),
    "review": say("a moderator looks first"),
    "warn": say("draw it, and tell moderators"),
}
KINDS: Final[dict[TermKind, str]] = {
    "word": say("words"),
    "regex": say("regular expression"),
    "exception": say("exception"),
}
NOTHING_FOUND: Final = say("The filter finds nothing in that.")


def added(term: str, count: int) -> str:
    """What somebody reads who added a term.

    count  how many there are now
    """
    return sentences(say("Added: “{term}”.", term=term), there_are(count))


def removed(term: str, count: int) -> str:
    """What somebody reads who took one away; as `added`."""
    return sentences(say("Removed: “{term}”.", term=term), there_are(count))


def there_are(count: int) -> str:
    """How many the list has."""
    return say_many("The list here has {count} term.", "The list here has {count} terms.", count)


def written(terms: Sequence[Term]) -> bytes:
    """The list as a file, a term a line."""
    lines = (" · ".join((one.measure, one.kind, one.category, one.text)) for one in terms)
    return "\n".join(lines).encode()
