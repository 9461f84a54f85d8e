"""How a text can be read: its plain words, and what its writer may have hidden in it.

A reading is a line of words with one space around each, the first and the last included, so that a
term is found between its spaces. Two spaces part what was never side by side.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from string import punctuation
from typing import Final

from bot.moderation.characters import folded, leet, skeletons
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.prompt import BREAK, at_steps, expanded, pieces

_STEPS: Final = 20  # what changes by the step is read at these
_MAX_MEANT: Final = 8
_MAX_RUN: Final = 40
_MIN_HALVED_CHARS: Final = 6
_MIN_CLOSED_CHARS: Final = 3  # 4k is not "ak"
_MAX_STARS: Final = 2
_MAX_KNOWN_WORDS: Final = 2_000
_VOWELS: Final = "aeiou"

_SIGNS: Final = re.compile(r"[\W_]+")
# Brackets and backslashes in a word: what the engine makes of them is not what it looks like.
_SYNTAX: Final = re.compile(r"\w[(\[{\\]|[)\]}]\w|\\\w")
_BREAK: Final = re.compile(r"\s*\bBREAK\b\s*")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# An I that was put in the place of an l.
_TALL_I: Final = re.compile(r"\b(?:[A-Z]*[a-z]+I\w*|I[a-z]+)\b")
# Single letters apart: "n.u.d.e", which a space ends, or "n u d e", which two spaces end.
_LETTER: Final = r"[\w$@](?![\w$@])"
_GLUE: Final = r"(?:[^\w\s$@]|_)"
_DOTTED: Final = re.compile(
    rf"(?<![\w$@]){_LETTER}(?:(?:{_GLUE}++{_LETTER}){{2,}}|(?:[,;]\s{_LETTER}){{2,}})"
)
_DOT: Final = r"(?:[^\w\s$@,;]|_)"
_APART: Final = re.compile(rf"(?<![\w$@]){_LETTER}(?:(?:{_DOT}++\s?|\s){_DOT}*+{_LETTER}){{2,}}")
# Words with signs or digits in them; what parts words in a list ends them.
_COMMAS: Final = r",;:/\u3001\u3002\uff0c\uff1b\uff1a|\uff5c"
_INK: Final = rf"[^\s{_COMMAS}]"
_MIXED: Final = re.compile(
    rf"(?<!{_INK})(?={_INK}*?(?:\w(?:(?:(?!\w){_INK})++\w|[$@])|[$@]\w|[\d_])){_INK}+"
)
_EDGES: Final = "".join(sign for sign in punctuation if sign not in "$@")
_NO_LETTERS: Final = re.compile(r"[\d\W_]+")
_SHORT: Final = re.compile(r"(?<!\w)\w{1,2}(?: \w{1,2}){2,}(?!\w)")
# A single consonant and the rest of its word; an apostrophe's is a word of its own.
_CONSONANT: Final = "[b-df-hj-np-tv-xz]"
_ALONE: Final = re.compile(rf"(?<!\w){_CONSONANT}(?!\w)")
_SPLIT: Final = (
    re.compile(rf"(?<![\w'\u2019-]){_CONSONANT} [^\W\d_]{{2,}}(?!\w)"),
    re.compile(rf"(?<![\w'\u2019-])[^\W\d_]{{2,}} {_CONSONANT}(?![\w'\u2019-])"),
)
_UNSPACED: Final = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_ANY_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")
_GAP: Final = re.compile(
    rf"(?<=[{_UNSPACED}])[^\w\s{_COMMAS}]+(?=[{_UNSPACED}])"
    rf"|(?<!\w[{_UNSPACED}])(?<=[{_UNSPACED}]) (?=[{_UNSPACED}](?!\w))"
)
_INNER_RN: Final = re.compile(r"(?<=\w)rn(?=\w)")

_LEET: Final = leet("letters")
_FIRST: Final = str.maketrans({sign: letters[0] for sign, letters in _LEET.items()})
_SECOND: Final = str.maketrans({sign: letters[-1] for sign, letters in _LEET.items()})
_CHOICES: Final = "".join(sign for sign, letters in _LEET.items() if len(letters) > 1)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a text.

    way    what was done to it, for a person: "as written", "signs read as letters"
    line   its words, with a space around each
    whole  only whole words count in it, for it is put together of parts that may be words
    """

    way: str
    line: str
    whole: bool = False


def plain(text: str) -> str:
    """The words of a text that is folded already, as a line."""
    return f" {_SIGNS.sub(' ', text).strip()} "


def readings(text: str) -> tuple[Reading, ...]:
    """Every way to read it, the plainest first, none of them twice."""
    by_line: dict[str, Reading] = {}
    for way, line in _readings(text):
        if line not in by_line and not line.isspace():
            by_line[line] = Reading(way, line)
    return (*by_line.values(), *_halves(next(iter(by_line), "")))


def _halves(line: str) -> Iterator[Reading]:
    """Each two neighbours as one word, where that is long enough to be no accident."""
    joined = [
        one + other
        for one, other in pairwise(line.split())
        if len(one) + len(other) >= _MIN_HALVED_CHARS
    ]
    if joined:
        yield Reading("words put together", f" {'  '.join(joined)} ", whole=True)


def _readings(text: str) -> Iterator[tuple[str, str]]:
    yield "as written", plain(folded(text))
    for meant in _meant(text):
        simple = folded(meant)
        if meant is not text:
            yield "as the engine reads it", plain(simple)
        yield from _disguises(simple)
        for skeleton in skeletons(meant):
            if skeleton != simple:
                yield "look-alikes read as letters", plain(skeleton)
                yield from _disguises(skeleton)
        if meant.islower():
            continue
        if _HUMP.search(meant):
            yield "capitals begin words", plain(folded(_HUMP.sub(" ", meant)))
        if "I" in meant and _TALL_I.search(meant):
            tall = _TALL_I.sub(lambda match: match[0].replace("I", "l"), meant)
            yield "look-alikes read as letters", plain(folded(tall))


def _meant(text: str) -> tuple[str, ...]:
    """The text, and where signs of the prompt's syntax stand in words what the engine reads."""
    meant = [text]
    if _SYNTAX.search(text):
        meant += _read_by_engine(text)
    if "BREAK" in text:
        meant += [_BREAK.sub("", one) for one in meant]
    return tuple(dict.fromkeys(meant))


def _read_by_engine(text: str) -> list[str]:
    try:
        prompts = expanded(text)
    except InvalidRequestError:  # too many: nothing will be drawn of it
        prompts = (text,)
    said = dict.fromkeys(step for one in prompts for _, step in at_steps(one, _STEPS))
    return ["".join(_text(piece) for piece in pieces(one)) for one in list(said)[:_MAX_MEANT]]


def _text(piece: object) -> str:
    return " BREAK " if piece is BREAK else getattr(piece, "text", "")


def _disguises(text: str) -> Iterator[tuple[str, str]]:
    """Other readings of a folded text."""
    dotted = _DOTTED.sub(_together, text)
    joined = _APART.sub(_together, dotted)
    if joined != dotted:
        yield "letters put together", plain(_APART.sub(_together_but_first, dotted))
    if is_any_unspaced(text):
        joined = _GAP.sub("", joined)
    if joined != text:
        yield "letters put together", plain(joined)
    parts = [*_runs(text), *_short_pieces(text)]

    def close(match: re.Match[str]) -> str:
        closed, others = _closed(match[0])
        parts.extend(others)
        return closed

    closed = _MIXED.sub(close, joined)
    if closed != joined:
        yield "signs read as letters", plain(closed)
    if "vv" in closed:
        yield "look-alikes read as letters", plain(closed.replace("vv", "w"))
    if _INNER_RN.search(closed):
        yield "look-alikes read as letters", plain(_INNER_RN.sub("m", closed))
    if parts:
        yield "parts of words put together", f" {'  '.join(parts)} "


def _together_but_first(match: re.Match[str]) -> str:
    """Letters put together that have an article before them, a letter itself."""
    return f"{match[0][0]} {_together(match)[1:]}"


def _together(match: re.Match[str]) -> str:
    return "".join(char for char in match[0] if char.isalnum() or char in "$@")


@lru_cache(_MAX_KNOWN_WORDS)  # people write the same ones again and again: 8k, (masterpiece:1.2)
def _closed(word: str) -> tuple[str, tuple[str, ...]]:
    """A word without its signs, those that can be letters read as such; what else it may be."""
    core = word.strip(_EDGES)
    if len(core) < _MIN_CLOSED_CHARS or not any(map(str.isalpha, core)):
        return word, ()
    others = []
    if any(sign in core for sign in _CHOICES):
        others.append(_SIGNS.sub("", core.translate(_SECOND)))
    if any(map(str.isdigit, core)):
        others.append(_NO_LETTERS.sub(" ", core).strip())
    if 0 < core.count("*") <= _MAX_STARS and len(core) <= _MAX_RUN:
        others += _with_vowels(core)
    return f" {_SIGNS.sub('', core.translate(_FIRST))} ", tuple(others)


def _runs(text: str) -> Iterator[str]:
    """Letters put together, without an article behind them."""
    for match in _APART.finditer(text):
        run = _together(match)[:_MAX_RUN].translate(_FIRST)
        yield from (run[1:], run[:-1])


def _short_pieces(text: str) -> Iterator[str]:
    """What pieces of one or two letters make, and a letter with the rest of its word."""
    for match in _SHORT.finditer(plain(text)):
        short = match[0].split(" ")
        for start in range(len(short) - 2):
            yield "".join(short[start : start + 3])
            yield "".join(short[start : start + 4])
    for split in _SPLIT if _ALONE.search(text) else ():
        yield from (match[0].replace(" ", "") for match in split.finditer(text))


def _with_vowels(word: str) -> Iterator[str]:
    """The words that stars in a word may stand for."""
    first, *others = word.split("*")
    if others and first and others[-1]:
        for vowels in product(_VOWELS, repeat=len(others)):
            filled = first + "".join(map("".join, zip(vowels, others, strict=True)))
            yield _SIGNS.sub("", filled)


def is_any_unspaced(text: str) -> bool:
    """Whether a character of it is of a script without spaces between words."""
    return not text.isascii() and _ANY_UNSPACED.search(text) is not None
