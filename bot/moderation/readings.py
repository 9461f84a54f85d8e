"""How a text can be read: its plain words, and what its writer may have hidden in it.

A reading is a line of words with one space around each, the first and the last included, so that a
term is found between its spaces. Two spaces part what was never side by side.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise, product
from string import punctuation
from typing import Final, NamedTuple

from bot.moderation.characters import folded, leet, skeletons
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.prompt import BREAK, at_steps, expanded, pieces
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.sentence import say

_MAX_SAID_CHARS: Final = 40_000  # that a text may say at all of its steps
_MAX_CHOSEN_CHARS: Final = 8_000  # of braces, which nothing but the command line takes for choices
_MAX_RUN: Final = 40
_MIN_HALVED_CHARS: Final = 6
_MIN_CLOSED_CHARS: Final = 3  # 4k is not "ak"
_MIN_DOTTED_CHARS: Final = 4
_MAX_STARS: Final = 2
_MAX_KNOWN_WORDS: Final = 2_000
_VOWELS: Final = "aeiou"

_AS_WRITTEN: Final = "as written"
_AS_READ: Final = "as the engine reads it"
_TOO_CHANGING: Final = say(
    "This prompt says too many different things from step to step for the filter to read them "
    "all. Let less of it change, or shorten it."
)
_SIGNS: Final = re.compile(r"[\W_]+")
_ASCII_SIGNS: Final = {code: " " for code in range(128) if not chr(code).isalnum()}
# Brackets and backslashes in a word: what the engine makes of them is not what it looks like.
_SYNTAX: Final = re.compile(r"[(\[{\\](?<=[\w)\]}].)|[)\]}\\](?=\w)")
# A weight, which parts no words: the engine does not read it.
_WEIGHT: Final = re.compile(r":\s*[+-]?[\d.]+\s*(?=\))")
# What there is where a text changes by the step.
_CHANGING: Final = re.compile(r"\||:\s*[+-]?[\d.]+\s*\]")
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
_MIXED: Final = re.compile(rf"(?<!{_INK})[^\W\d_]*+{_INK}+")
_INKED: Final = re.compile(rf"(?<!{_INK}){_INK}+")  # where letters can be mixed, too
_EDGES: Final = "".join(sign for sign in punctuation if sign not in "$@")
_NO_LETTERS: Final = re.compile(r"[\d\W_]+")
_SHORT: Final = re.compile(r" (\w\w?(?: \w\w?){2,})(?= )")
# A single consonant and the rest of its word; an apostrophe's is a word of its own.
_CONSONANT: Final = "[b-df-hj-np-tv-xz]"
_ALONE: Final = re.compile(rf"(?<!\w){_CONSONANT}(?!\w)")
_BEFORE: Final = re.compile(rf"(?<![\w'\u2019-])[^\W\d_]{{2,{_MAX_RUN}}} \Z")
_BEHIND: Final = re.compile(rf" [^\W\d_]{{2,{_MAX_RUN}}}(?!\w)")
_JOINTS: Final = frozenset("'\u2019-")
_UNSPACED: Final = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_ANY_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")
# Signs, a weight in brackets among them; a space beside a character that stands alone.
_SIGN: Final = rf"(?:[^\w\s{_COMMAS}]|_)"
_GAP: Final = re.compile(
    rf"(?<=[{_UNSPACED}])(?:{_SIGN}+(?:[\d.]+{_SIGN}+)?| (?=[{_UNSPACED}](?!\w)))(?=[{_UNSPACED}])"
    rf"|(?<!\w[{_UNSPACED}])(?<=[{_UNSPACED}]) (?=[{_UNSPACED}])"
)
# Signs that hide a character, and what is read for any of them.
HIDDEN: Final = "\u3007"
_MASK: Final = re.compile(
    rf"(?<=[{_UNSPACED}])[\u25a0\u25a1\u25b2\u25b3\u25cb\u25ce\u25cf\u25ef\u00d7\u2715\u2716*xo](?=[{_UNSPACED}])"
)
# What is written for the mark of a long vowel.
_LONG: Final = re.compile(
    r"(?<=[\u3041-\u30ff])[-\u2010-\u2015\u2212\u2500\u2501\uff0d\u4e00~\u301c](?=[\u3041-\u30ff]|\W|\Z)"
)
_APOSTROPHE: Final = re.compile("['\u2019]")
_INNER_RN: Final = re.compile(r"rn(?<=\w..)(?=\w)")
_CYRILLIC: Final = re.compile(r"[\u0400-\u04ff]")
_LATIN: Final = re.compile(r"[a-z]")
_ONLY_CYRILLIC: Final = re.compile(
    r"[\u0430-\u044f\u0451\u0454\u0456\u0457\u0491\W\d_]*", re.IGNORECASE
)

_LEET: Final = leet("letters")
_FIRST: Final = str.maketrans({sign: letters[0] for sign, letters in _LEET.items()})
_SECOND: Final = str.maketrans({sign: letters[-1] for sign, letters in _LEET.items()})
_CHOICES: Final = "".join(sign for sign, letters in _LEET.items() if len(letters) > 1)
_CYRILLIC_LEET: Final = [
    str.maketrans({sign: letters[min(nth, len(letters) - 1)] for sign, letters in table.items()})
    for table in [leet("cyrillic")]
    for nth in range(max(map(len, table.values())))
]
_SOUNDS: Final = leet("sounds")
_SAID: Final = [{sound: chars[nth] for sound, chars in _SOUNDS.items()} for nth in (0, -1)]
_SOUND: Final = re.compile(
    rf"(?<=[{_UNSPACED}])(?:{'|'.join(_SOUNDS)})(?![a-z])"
    rf"|(?<![a-z])(?:{'|'.join(_SOUNDS)})(?=[{_UNSPACED}])"
)
_TURNED: Final = str.maketrans(leet("turned"))
_ANY_TURNED: Final = re.compile(f"[{''.join(one for one in leet('turned') if not one.isascii())}]")


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a text.

    way    what was done to it, for a person: "as written", "signs read as letters"
    line   its words, with a space around each
    whole  only whole words count in it, for it is put together of parts that may be words
    said   the engine reads it so: an exception elsewhere does not cover what it says
    """

    way: str
    line: str
    whole: bool = False
    said: bool = False


def plain(text: str) -> str:
    """The words of a text that is folded already, as a line."""
    if text.isascii():  # the same, in a tenth of the time
        return f" {' '.join(text.translate(_ASCII_SIGNS).split())} "
    return f" {_SIGNS.sub(' ', text).strip()} "


def readings(text: str, steps: int = MAX_INFERENCE_STEPS) -> tuple[Reading, ...]:
    """Every way to read it, the plainest first, none of them twice.

    steps  in how many it is drawn

    Raises InvalidRequestError for a text that changes too much by the step to be read.
    """
    by_line: dict[str, Reading] = {}
    for way, line in _readings(text, steps):
        if line not in by_line and not line.isspace():
            by_line[line] = Reading(way, line, said=way == _AS_READ)
    said = [one.line for one in by_line.values() if one.said]
    return (*by_line.values(), *_halves(said or list(by_line)[:1]))


def _halves(lines: Iterable[str]) -> Iterator[Reading]:
    """Each two neighbours as one word, where that is long enough to be no accident."""
    joined = [
        one + other
        for line in lines
        for one, other in pairwise(line.split())
        if len(one) + len(other) >= _MIN_HALVED_CHARS
    ]
    if joined:
        yield Reading("words put together", f" {'  '.join(dict.fromkeys(joined))} ", whole=True)


def _readings(text: str, steps: int) -> Iterator[tuple[str, str]]:
    written = plain(folded(text))
    yield _AS_WRITTEN, written
    every = _meant(text, steps)
    simples = [folded(meant) for meant in every]
    lines = [
        written if meant == text else plain(simple)
        for meant, simple in zip(every, simples, strict=True)
    ]
    for line in lines:
        yield _AS_READ, line
    for meant, simple, line in zip(every, simples, lines, strict=True):
        yield from _disguises(simple, line)
        yield from _lookalikes(meant, simple)
        if meant.islower():
            continue
        if _HUMP.search(meant):
            yield "capitals begin words", plain(folded(_HUMP.sub(" ", meant)))
        if "I" in meant and _TALL_I.search(meant):
            tall = _TALL_I.sub(lambda match: match[0].replace("I", "l"), meant)
            yield "look-alikes read as letters", plain(folded(tall))


def _lookalikes(text: str, simple: str) -> Iterator[tuple[str, str]]:
    """Readings of a text in another alphabet than the one that it was written for."""
    if text.isascii():
        return
    is_cyrillic = _ONLY_CYRILLIC.fullmatch(text)  # its disguises are Cyrillic, too
    for skeleton in skeletons(text):
        if skeleton != simple:
            yield "look-alikes read as letters", (line := plain(skeleton))
            if not is_cyrillic:
                yield from _disguises(skeleton, line)
    if _ANY_TURNED.search(text):
        upright = plain(folded(text.lower().translate(_TURNED)))
        yield "letters turned", upright
        yield "letters turned", upright[::-1]


def _meant(text: str, steps: int) -> tuple[str, ...]:
    """The text without weights, and what the engine reads where that is something else."""
    meant = [_WEIGHT.sub("", text)]
    said = _said(text, steps)
    in_words = _SYNTAX.search(text) is not None
    if in_words:
        said += _chosen(text, steps, _MAX_CHOSEN_CHARS - len(text) * (1 + len(said)))
    if in_words or len(said) > 1:
        meant += map(_as_read, said)
    if "BREAK" in text:
        meant += [_BREAK.sub("", one) for one in meant]
    return tuple(dict.fromkeys(meant))


def _said(text: str, steps: int) -> list[str]:
    """What it says at any of the steps, in the prompt's syntax still."""
    if "[" not in text or not _CHANGING.search(text):
        return [text]
    said = dict.fromkeys(one for _, one in at_steps(text, steps))
    if sum(map(len, said)) > _MAX_SAID_CHARS:
        raise InvalidRequestError(_TOO_CHANGING)
    return list(said)


def _chosen(text: str, steps: int, room: int) -> Iterator[str]:
    """The same of the choices in its braces, as far as there is room, in characters."""
    try:
        choices = expanded(text) if "{" in text else ()
    except InvalidRequestError:  # too many: nothing will be drawn of it
        return
    for choice in choices:
        for _, said in at_steps(choice, steps):
            room -= len(said)
            if room < 0:
                return
            yield said


def _as_read(said: str) -> str:
    return "".join(" BREAK " if one is BREAK else one.text for one in pieces(said))


def _disguises(text: str, line: str) -> Iterator[tuple[str, str]]:
    """Other readings of a folded text, whose line is this."""
    dotted = _DOTTED.sub(_together, text)
    joined = _APART.sub(_together, dotted)
    if joined != dotted:
        yield "letters put together", plain(_APART.sub(_together_but_first, dotted))
    parts = [*(_runs(text) if joined != text else ()), *_short_pieces(text, line)]
    if is_any_unspaced(text):
        yield "letters put together", plain(_GAP.sub("", text))
        yield "letters put together", plain(_GAP.sub("", _LONG.sub("ー", text)))
        yield "hidden characters", plain(_MASK.sub(HIDDEN, text))
        if _SOUND.search(text):
            for said in _SAID:
                yield "letters read as characters", plain(_SOUND.sub(partial(_spelled, said), text))
        joined = _GAP.sub("", joined)
    if joined != text:
        yield "letters put together", plain(joined)
    mixed: dict[str, _Closed] = {}
    words = _INKED if _CYRILLIC.search(joined) else _MIXED

    def close(match: re.Match[str]) -> str:
        word = match[0]
        mixed[word] = closed = _closed(word)
        return closed.first

    closed = words.sub(close, joined)
    if closed != joined:
        yield "signs read as letters", plain(closed)
    if any(one.first != one.second for one in mixed.values()):
        second = words.sub(lambda match: mixed[match[0]].second, joined)
        yield "signs read as letters", plain(second)
    if "vv" in closed:
        yield "look-alikes read as letters", plain(closed.replace("vv", "w"))
    if _INNER_RN.search(closed):
        yield "look-alikes read as letters", plain(_INNER_RN.sub("m", closed))
    parts += [other for one in mixed.values() for other in one.others]
    if parts:
        yield "parts of words put together", f" {'  '.join(dict.fromkeys(parts))} "


def _spelled(said: Mapping[str, str], sound: re.Match[str]) -> str:
    return said[sound[0]]


def _together_but_first(match: re.Match[str]) -> str:
    """Letters put together that have an article before them, a letter itself."""
    return f"{match[0][0]} {_together(match)[1:]}"


def _together(match: re.Match[str]) -> str:
    run = "".join(char for char in match[0] if char.isalnum() or char in "$@")
    # f/1.8 is no word.
    is_number = len(run) < _MIN_DOTTED_CHARS and sum(map(str.isdigit, run)) > 1
    return match[0] if is_number else run


class _Closed(NamedTuple):
    """A word without its signs, those that can be letters read as such.

    second  where a sign can be another letter
    others  what else it may be
    """

    first: str
    second: str
    others: tuple[str, ...] = ()


@lru_cache(_MAX_KNOWN_WORDS)  # people write the same ones again and again: 8k, (masterpiece:1.2)
def _closed(word: str) -> _Closed:
    core = word.strip(_EDGES)
    if len(core) < _MIN_CLOSED_CHARS or not any(map(str.isalpha, core)):
        return _Closed(word, word)
    if core.isalpha() and not (_CYRILLIC.search(core) and _LATIN.search(core)):
        return _Closed(word, word)
    first, second, *more = (
        _SIGNS.sub("", core.translate(table))
        for table in (_FIRST, _SECOND, *(_CYRILLIC_LEET if _CYRILLIC.search(core) else ()))
    )
    if more:
        first, second, *more = *more, first, second
    elif _APOSTROPHE.search(core):  # "s'ouvrir" is rather two words than one
        more = [first]
        first = " ".join(_SIGNS.sub("", one.translate(_FIRST)) for one in _APOSTROPHE.split(core))
    others = [one for one in more if one not in (first, second)]
    if any(map(str.isdigit, core)):
        others.append(_NO_LETTERS.sub(" ", core).strip())
    if 0 < core.count("*") <= _MAX_STARS and len(core) <= _MAX_RUN:
        others += _with_vowels(core)
    return _Closed(f" {first} ", f" {second} ", tuple(others))


def _runs(text: str) -> Iterator[str]:
    """Letters put together, without an article behind them."""
    for match in _APART.finditer(text):
        run = _together(match)[:_MAX_RUN].translate(_FIRST)
        yield from (run[1:], run[:-1])


def _short_pieces(text: str, line: str) -> Iterator[str]:
    """What pieces of one or two letters make, and a letter with the rest of its word."""
    for match in _SHORT.finditer(line):
        short = match[1].split(" ")
        for start in range(len(short) - 2):
            yield "".join(short[start : start + 3])
            yield "".join(short[start : start + 4])
    for match in _ALONE.finditer(text):
        start, end = match.span()
        if text[start - 1 : start] not in _JOINTS and (rest := _BEHIND.match(text, end)):
            yield match[0] + rest[0][1:]
        before = text[max(0, start - _MAX_RUN - 2) : start]
        if text[end : end + 1] not in _JOINTS and (rest := _BEFORE.search(before)):
            yield rest[0][:-1] + match[0]


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
