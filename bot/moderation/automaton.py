"""Lists of terms made into one automaton, and what it finds in the readings of a text.

A pattern has a space at each end where a word ends, so the automaton itself minds where words end.
Repeated letters are looked for apart: in words without any repetition, whose findings are then
compared with the word as it was written.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, product
from math import prod
from typing import Any, Final

import ahocorasick
import re2

from bot.core.verdict import Term
from bot.moderation.characters import folded, is_unspaced, skeletons
from bot.moderation.readings import HIDDEN, Reading, is_any_unspaced, plain

log = logging.getLogger(__name__)

MAX_WORDINGS: Final = 300  # of one exception
_MAX_ALL_WORDINGS: Final = 20_000  # of all exceptions together
_MAX_HIDDEN_CHARS: Final = 20
_REPEATED: Final = re.compile(r"(\w)(?=\1)")
_MIN_PLURAL_CHARS: Final = 4
_MIN_SQUEEZED_CHARS: Final = 3
_SURELY_REPEATED: Final = 3
_MIN_TOGETHER_CHARS: Final = 8  # of several words written as one, which is no other word then
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_COMMA: Final = re.compile(r"[,;.:!?|\n\u3001\u3002]")
# Doubled in hardly any word of a European language.
_VOWELS: Final = frozenset("aeiouy")
_MIN_DOUBLED_CHARS: Final = 5  # shorter words with one letter more are often another word
_RARELY_DOUBLED: Final = frozenset("ahijkquvwxy")
_REGEX_MEMORY: Final = 2**20  # bytes
_REGEX_SIZE: Final = 5_000  # characters of patterns take as much memory as what it keeps, mostly


@dataclass(frozen=True, slots=True)
class Hit:
    """A term that was found.

    rule     the term as its list has it; of one with alternatives those that were found
    reading  the reading of the text in which it was found
    """

    term: Term
    rule: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Part:
    """One of the things that a term needs: the number of the term, which part, its words."""

    term: int
    place: int
    words: str
    is_exception: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """A part that was seen in a line, from where to where."""

    part: Part
    start: int
    end: int


class Automaton:
    """Finds any number of terms in one pass.

    size  how many characters its patterns have: a measure of the memory that it takes
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = tuple(terms)
        parts = _parts_of_all(terms)
        self._needed = [len(one) for one in parts]
        exact: dict[str, list[Part]] = {}
        squeezed: dict[str, list[tuple[str, Part]]] = {}
        for number, term in enumerate(terms):
            for place, alternatives in enumerate(parts[number]):
                for words in alternatives:
                    part = Part(number, place, words, term.kind == "exception")
                    for pattern in _patterns(words):
                        exact.setdefault(pattern, []).append(part)
                    for hidden in _hidden(words) if term.kind == "word" else ():
                        exact.setdefault(hidden, []).append(part)
                    # An exception holds as it is written: "rrraaapppiiinnnggg" is no "rapping".
                    for bare in _repeatable(words) if term.kind == "word" else ():
                        pattern = _REPEATED.sub("", bare)
                        squeezed.setdefault(pattern, []).append((bare, part))
        self._whole = {
            pattern: [part for part in parts if " " not in part.words]
            for pattern, parts in exact.items()
            if pattern.startswith(" ") and pattern.endswith(" ")
        }
        self._exact = _compiled(exact)
        self._squeezed = _compiled(squeezed)
        self._regexes = [
            (number, regex(term.text)) for number, term in enumerate(terms) if term.kind == "regex"
        ]
        self.size = sum(map(len, chain(exact, squeezed))) + _REGEX_SIZE * len(self._regexes)

    def sights(self, reading: Reading, first: Reading) -> list[Sight]:
        """What is in a reading; of a disguise what is not so in the first, judged already."""
        line = reading.line
        if reading.whole:
            return list(self._words(line))
        sights = chain(self._sights(line), self._repetitions(line))
        if reading is first or reading.said:
            return list(sights)
        seen = [(line[sight.start : sight.end], sight) for sight in sights]
        new = {text for text in {text for text, _ in seen} if _is_more(text, line, first.line)}
        return [sight for text, sight in seen if text in new]

    def hit(self, number: int, parts: Mapping[int, tuple[str, Reading]]) -> Hit | None:
        """A term of which these parts were found; None: it needs more, or is none to be found."""
        term = self._terms[number]
        if term.kind != "word" or len(parts) < self._needed[number]:
            return None
        inner = [parts[place] for place in sorted(parts)]
        rule = " & ".join(words for words, _ in inner) if "|" in term.text else term.text
        return Hit(term, rule, inner[-1][1])

    def _sights(self, line: str) -> Iterator[Sight]:
        for last, (pattern, parts) in _search(self._exact, line):
            for part in parts:
                yield Sight(part, last + 1 - len(pattern), last + 1)

    def _words(self, line: str) -> Iterator[Sight]:
        start = 0
        for word in line.split("  "):
            pattern = f" {word.strip()} "
            for part in self._whole.get(pattern, ()):
                yield Sight(part, start, start + len(pattern))
            start += len(word) + 2

    def _repetitions(self, line: str) -> Iterator[Sight]:
        squeezed = _REPEATED.sub("", line)
        if squeezed == line:
            return
        words: list[str] = []
        for last, (pattern, parts) in _search(self._squeezed, squeezed):
            words = words or line.split(" ")
            first = squeezed.count(" ", 0, last + 2 - len(pattern))
            written = " ".join(words[first : first + len(pattern.split())])
            start = len(" ".join(words[:first]))
            for bare, part in parts:
                if _is_repetition(written, bare.strip()):
                    yield Sight(part, start, start + len(written) + 2)

    def by_regex(
        self, text: str, readings: Sequence[Reading], excepted: Iterable[str]
    ) -> dict[int, Hit]:
        """The regular expressions that are met, by their numbers, but for what is excepted."""
        if not self._regexes:
            return {}
        as_written = Reading("as written", text)
        encoded = [(one, one.line.encode(errors="replace")) for one in (as_written, *readings)]
        covers = [plain(folded(words)) for words in excepted]
        hits = {}
        for number, expression in self._regexes:
            for reading, data in encoded:
                match = expression.search(data)
                if match is not None:
                    seen = plain(folded(match[0].decode(errors="replace")))
                    if not any(seen.strip() in cover for cover in covers):
                        term = self._terms[number]
                        hits[number] = Hit(term, term.text, reading)
                        break
        return hits


def hits(automata: Sequence[Automaton], text: str, readings: Sequence[Reading]) -> tuple[Hit, ...]:
    """The terms of several lists in a text, each at most once, in the order of the lists.

    An exception of one list counts for all of them.
    """
    found: dict[tuple[int, int], dict[int, tuple[str, Reading]]] = {}
    excepted: list[str] = []
    for reading in readings:
        sights = [
            (nth, sight)
            for nth, automaton in enumerate(automata)
            for sight in automaton.sights(reading, readings[0])
        ]
        exceptions = [sight for _, sight in sights if sight.part.is_exception]
        if exceptions and reading is readings[0]:
            apart = _apart(text)
            exceptions = [one for one in exceptions if _is_together(one, reading.line, apart)]
        excepted += [one.part.words for one in exceptions]
        for nth, sight in sights:
            if not any(one.start <= sight.start and sight.end <= one.end for one in exceptions):
                parts = found.setdefault((nth, sight.part.term), {})
                parts.setdefault(sight.part.place, (sight.part.words, reading))
    every = {
        (nth, number): automata[nth].hit(number, parts) for (nth, number), parts in found.items()
    }
    for nth, automaton in enumerate(automata):
        met = automaton.by_regex(text, readings[:1], excepted)
        every |= {(nth, number): hit for number, hit in met.items()}
    return tuple(hit for _, hit in sorted(every.items(), key=_place) if hit is not None)


def _place(item: tuple[tuple[int, int], object]) -> tuple[int, int]:
    return item[0]


def regex(text: str) -> Any:  # noqa: ANN401 - re2 has no types
    """A regular expression whose time grows with the text alone; raises re2.error."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    return re2.compile(text, options)


def parts_of(term: Term) -> list[list[str]]:
    """What a term needs, all of it, each with its alternatives: "a | b & c"."""
    if term.kind == "regex":
        return []
    return [
        [words for one in part.split("|") if (words := one.strip())]
        for part in term.text.split("&")
        if part.strip(" |")
    ]


def num_wordings(term: Term) -> int:
    """How many wordings an exception stands for: its parts stand one behind the other."""
    return prod(map(len, parts_of(term)))


def _parts_of_all(terms: Iterable[Term]) -> list[list[list[str]]]:
    """What each term needs; nothing of the exceptions for which there is no room."""
    parts: list[list[list[str]]] = []
    room, num_left_out = _MAX_ALL_WORDINGS, 0
    for term in terms:
        own = parts_of(term)
        if term.kind == "exception":
            count = num_wordings(term)
            if count > min(MAX_WORDINGS, room):
                own, num_left_out = [], num_left_out + 1
            else:
                own, room = [[" ".join(words) for words in product(*own)]], room - count
        parts.append(own)
    if num_left_out:
        log.warning("exceptions of too many wordings are left out of the filter: %d", num_left_out)
    return parts


def normal(words: str) -> str:
    """The words of a term as they are looked for, without stars and the spaces around."""
    return plain(folded(words)).strip()


def _apart(text: str) -> str:
    """The line of a text with two spaces where a comma or the like parts its words."""
    return "  ".join(plain(piece).strip() for piece in _COMMA.split(folded(text)))


def _is_together(sight: Sight, line: str, apart: str) -> bool:
    """Whether words stand nowhere with a comma between, as in "on a rock, naked"."""
    words = line[sight.start : sight.end].strip()
    return "," in sight.part.words or line.count(words) == apart.count(words)


def _patterns(words: str) -> set[str]:
    starts, ends = words.startswith("*"), words.endswith("*")
    patterns = set()
    forms = _forms(words)
    together = {form.replace(" ", "") for form in forms if " " in form}
    for form in forms | {one for one in together if len(one) >= _MIN_TOGETHER_CHARS}:
        if is_any_unspaced(form):
            patterns.add(form)
            continue
        patterns.add(f"{'' if starts else ' '}{form}{'' if ends else ' '}")
        if not ends and _has_plural(form):
            patterns.add(f"{'' if starts else ' '}{form}s ")
    return patterns


def _hidden(words: str) -> set[str]:
    """A term of characters, with one of those within hidden."""
    form = normal(words)
    if len(form) > _MAX_HIDDEN_CHARS or not all(map(is_unspaced, form)):
        return set()
    return {form[:place] + HIDDEN + form[place + 1 :] for place in range(1, len(form) - 1)}


def _repeatable(words: str) -> set[str]:
    """The patterns of what may be written with letters repeated."""
    return {
        pattern
        for pattern in _patterns(words)
        if pattern.startswith(" ") and len(pattern.strip()) >= _MIN_SQUEEZED_CHARS
    }


def _forms(words: str) -> set[str]:
    """A term's normal form, and what is left of it where letters are taken for look-alikes."""
    forms = {normal(words), normal(words.lower().translate(_UMLAUTS))}
    if not words.isascii():
        forms |= {plain(one).strip() for one in skeletons(words)}
    return forms - {""}


def _has_plural(form: str) -> bool:
    return len(form) >= _MIN_PLURAL_CHARS and "a" <= form[-1] <= "z" and form[-1] != "s"


def _is_more(text: str, line: str, first: str) -> bool:
    return line.count(text) > first.count(text)


def _is_repetition(written: str, term: str) -> bool:
    """Whether somebody wrote the term with letters repeated, and no other word.

    Without any repetition they are the same, or one begins with the other.
    """
    letters, lengths = _runs_of(written)
    _, own = _runs_of(term)
    more = [place for place, least in enumerate(own) if lengths[place] > least]
    if not more or any(length < least for length, least in zip(lengths, own, strict=False)):
        return False
    if len(more) > 1 or len(term) >= _MIN_DOUBLED_CHARS:
        return True
    (place,) = more
    return (
        lengths[place] >= _SURELY_REPEATED
        or place == 0
        or letters[place] in _RARELY_DOUBLED
        or not _VOWELS.intersection(letters[place - 1 : place + 1])
    )


def _runs_of(text: str) -> tuple[str, list[int]]:
    """The letters of a text without repetition, and how often each is repeated."""
    runs = [(letter, len(list(run))) for letter, run in groupby(text)]
    return "".join(letter for letter, _ in runs), [length for _, length in runs]


def _compiled(patterns: Mapping[str, object]) -> Any:  # noqa: ANN401 - pyahocorasick has no types
    automaton = ahocorasick.Automaton()
    for pattern, value in patterns.items():
        automaton.add_word(pattern, (pattern, value))
    automaton.make_automaton()
    return automaton


def _search(automaton: Any, line: str) -> Iterator[Any]:  # noqa: ANN401 - as above
    return iter(()) if not len(automaton) else automaton.iter(line)
