"""The filter of prompts: an owner's terms and a community's own, in any reading of a text."""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import re2

from bot.core.verdict import Finding, Term
from bot.moderation.automaton import (
    MAX_WORDINGS,
    Automaton,
    Hit,
    hits,
    normal,
    num_wordings,
    parts_of,
    regex,
)
from bot.moderation.readings import is_any_unspaced, readings
from bot.shared.shown import shown
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.sentence import say

MAX_TERM_CHARS: Final = 200
_MAX_COMPILED: Final = 20_000_000  # size of all that are kept compiled; one may be larger
_MIN_CHARS: Final = 2
_MIN_STARRED_CHARS: Final = 3
_MAX_CATEGORY_CHARS: Final = 30
_CATEGORY: Final = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+)*")
# Whatever is found in a letter, or in all of these, is found nearly everywhere.
_LETTERS: Final = tuple("abcdefghijklmnopqrstuvwxyz0123456789 .,") + tuple("éßяжαあ字")
_UNRELATED: Final = ("the sun", "my big dog", "1937", "не то", "猫と月")


@dataclass(frozen=True, slots=True)
class Seen:
    """A term that was found, and where."""

    hit: Hit
    where: str

    @property
    def finding(self) -> Finding:
        """What it comes to."""
        term = self.hit.term
        return Finding(term.measure, term.category, self.hit.rule, self.where)


class ListFilter:
    """Finds terms of lists; implements core.ports.prompt_filter.PromptFilter.

    owners  the terms that hold everywhere
    """

    def __init__(self, owners: Sequence[Term] = ()) -> None:
        self._owners = tuple(owners)
        self._compiled: OrderedDict[int, tuple[Sequence[Term], Automaton]] = OrderedDict()
        self._compiling = threading.Lock()

    def findings(
        self,
        texts: Mapping[str, str],
        terms: Sequence[Term] = (),
        *,
        steps: int = MAX_INFERENCE_STEPS,
    ) -> tuple[Finding, ...]:
        """What is found in the texts, at most one a rule and text.

        texts  by where they come from
        terms  a community's own beside the owner's, as a tuple: the same again is compiled already
        steps  in how many it is drawn

        Raises InvalidRequestError for a text that changes too much by the step to be read.
        """
        return tuple(dict.fromkeys(seen.finding for seen in self.seen(texts, terms, steps=steps)))

    def seen(
        self,
        texts: Mapping[str, str],
        terms: Sequence[Term] = (),
        *,
        steps: int = MAX_INFERENCE_STEPS,
    ) -> tuple[Seen, ...]:
        """The same with how each text was read."""
        automata = [self._owners_automaton, *([self._automaton(tuple(terms))] if terms else ())]
        if not any(one.size for one in automata):
            return ()
        return tuple(
            Seen(hit, where)
            for where, text in texts.items()
            for hit in hits(automata, text, readings(text, steps))
        )

    def checked(self, term: Term) -> Term:
        """The term as it is kept, tidied; raises InvalidRequestError."""
        tidy = replace(
            term, text=" ".join(term.text.split()), category=term.category.strip().lower()
        )
        if len(tidy.text) > MAX_TERM_CHARS:
            raise InvalidRequestError(
                say(
                    "A term has at most {most} characters, and this one has {count}. Make several "
                    "terms of it.",
                    most=MAX_TERM_CHARS,
                    count=f"{len(tidy.text):,}",
                )
            )
        if not _CATEGORY.fullmatch(tidy.category) or len(tidy.category) > _MAX_CATEGORY_CHARS:
            raise InvalidRequestError(
                say(
                    "{category} is no category. Name what the term is about in a word or two, such "
                    "as: gore.",
                    category=shown(term.category),
                )
            )
        if tidy.kind == "regex":
            _check_regex(tidy.text)
        else:
            _check_words(tidy)
        return tidy

    def make_ready(self) -> None:
        """Compile the owner's terms, which takes a moment, so that nobody waits for it."""
        _ = self._owners_automaton

    @cached_property
    def _owners_automaton(self) -> Automaton:
        return _automaton_of(self._owners)

    def _automaton(self, terms: tuple[Term, ...]) -> Automaton:
        """The automaton of a community's terms; a new one is compiled once."""
        with self._compiling:
            return self._ready(terms)

    def _ready(self, terms: tuple[Term, ...]) -> Automaton:
        key = id(terms)  # the tuple is kept with it, so its number is nobody else's
        if key not in self._compiled:
            same = (known for known, (kept, _) in self._compiled.items() if kept == terms)
            key = next(same, key)
        if key not in self._compiled:
            self._compiled[key] = (terms, Automaton(terms))
            self._forget_oldest()
        self._compiled.move_to_end(key)
        return self._compiled[key][1]

    def _forget_oldest(self) -> None:
        sizes = [automaton.size for _, automaton in self._compiled.values()]
        while len(self._compiled) > 1 and sum(sizes) > _MAX_COMPILED:
            self._compiled.popitem(last=False)
            del sizes[0]


@lru_cache(1)  # a process has one owner
def _automaton_of(terms: tuple[Term, ...]) -> Automaton:
    return Automaton(terms)


def check_wordings(term: Term) -> None:
    """Raises InvalidRequestError for an exception with more choices than can be kept."""
    count = num_wordings(term)
    if term.kind == "exception" and count > MAX_WORDINGS:
        raise InvalidRequestError(
            say(
                "This exception stands for {count} wordings; {most} are the most. Make several "
                "exceptions of it, with fewer choices in each.",
                count=f"{count:,}",
                most=MAX_WORDINGS,
            )
        )


def _check_words(term: Term) -> None:
    parts = parts_of(term)
    if not parts:
        raise InvalidRequestError(
            say("{term} has no words to look for. Write some.", term=shown(term.text))
        )
    check_wordings(term)
    for words in (words for part in parts for words in part):
        form = normal(words)
        is_starred = words.startswith("*") or words.endswith("*")
        least = _MIN_STARRED_CHARS if is_starred else _MIN_CHARS
        if len(form) < least and not is_any_unspaced(form):
            raise InvalidRequestError(
                say(
                    "{term} is too short: it would be found nearly everywhere. Write at least "
                    "{least} letters.",
                    term=shown(words),
                    least=least,
                )
            )


def _check_regex(text: str) -> None:
    try:
        expression = regex(text)
    except re2.error as error:
        raise InvalidRequestError(
            say(
                "This regular expression cannot be used: {reason}. Correct it. Looking ahead or "
                "behind, and back to what was found before, is not possible.",
                reason=_reason(error),
            )
        ) from error
    found = any(expression.search(one.encode()) for one in ("", *_LETTERS))
    if found or all(expression.search(one.encode()) for one in _UNRELATED):
        raise InvalidRequestError(
            say(
                "This regular expression would be found nearly everywhere. Write one that needs at "
                "least two characters of a certain kind."
            )
        )


def _reason(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return shown(said.decode(errors="replace") if isinstance(said, bytes) else str(said))
