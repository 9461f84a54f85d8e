r"""How a prompt is read: weights, breaks, what changes by the step, several prompts in one.

    prompt     = { text | weighted | BREAK | changing | escape }
    weighted   = "(" prompt ")"                         counts 1.1 times as much
               | "(" prompt ":" number ")"              counts so many times as much
               | "[" prompt "]"                         counts a 1.1th as much
    changing   = "[" [ prompt ":" ] prompt ":" when "]" the first until then, afterwards the second
               | "[" prompt { "|" prompt } "]"          each for a step, in turn
    when       = whole number of steps | fraction of them, with a point
    several    = "{" prompt "|" prompt { "|" prompt } "}"
    escape     = "\" character                          the character and nothing more

Brackets nest, and weights multiply. A bracket that nothing closes counts to the end of the text;
one that nothing opened is text, as is all else that is none of these: every text can be read.
BREAK, in capitals, ends a chunk. So A1111 reads prompts, but for these: there a BREAK in brackets
is drawn as a word, numbers such as 1.2.3 are an error, a colon cannot be escaped, a fraction of
the steps is cut and the first of two prompts holds a step longer than it says, and where any
bracket is left open nothing changes by the step.

Flags that people type from habit, such as `--ar 16:9`, are read by `flags.py` before.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import say

MAX_EXPANSIONS: Final = 16
_ROUND: Final = 1.1
_SQUARE: Final = 1 / _ROUND

# Of so many digits as a person may write: without a limit texts of digits take long.
_NUMBER: Final = r"[+-]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})"
_SIGNS: Final = re.compile(
    rf"\\(?P<escaped>.?)|:\s*(?P<weight>{_NUMBER})\s*\)|(?P<sign>[()\[\]])|[^\\()\[\]:]+|:",
    re.DOTALL | re.ASCII,
)
_BREAK: Final = re.compile(r"\bBREAK\b")
_TO_ESCAPE: Final = re.compile(r"[\\()\[\]{}|]|(?<=\bB)(?=REAK\b)")
_PARTS: Final = re.compile(r"\\.?|[()\[\]:|]|[^\\()\[\]:|]+", re.DOTALL)
_WHEN: Final = re.compile(rf"\s*({_NUMBER})\s*", re.ASCII)
_BRACES: Final = re.compile(r"\\.?|[{}\[\]|]|[^\\{}\[\]|]+", re.DOTALL)
_COUNTED: Final = 1_000_000


# Weights


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text, and how much its words count: 1 is as they are."""

    text: str
    weight: float = 1.0


BREAK: Final = Piece("BREAK", math.nan)  # the one that is no text


def pieces(text: str) -> tuple[Piece, ...]:
    """A text in pieces of one weight each, neighbours of different ones, and BREAK."""
    return _read(text)[0]


def num_unclosed(text: str) -> int:
    """How many brackets are never closed: they weigh everything behind them."""
    return _read(text)[1]


def _read(text: str) -> tuple[tuple[Piece, ...], int]:
    """Its pieces, and how many brackets are never closed."""
    texts: list[str | None] = []  # None: a BREAK
    weights: list[float] = []
    round_ones: list[int] = []
    square_ones: list[int] = []

    def weigh(first: int, factor: float) -> None:
        weights[first:] = [weight * factor for weight in weights[first:]]

    for match in _SIGNS.finditer(text):
        sign, weight, escaped = match["sign"], match["weight"], match["escaped"]
        if escaped is not None:
            texts.append(escaped)
            weights.append(1.0)
        elif sign == "(":
            round_ones.append(len(texts))
        elif sign == "[":
            square_ones.append(len(texts))
        elif weight is not None and round_ones:
            weigh(round_ones.pop(), float(weight))
        elif sign == ")" and round_ones:
            weigh(round_ones.pop(), _ROUND)
        elif sign == "]" and square_ones:
            weigh(square_ones.pop(), _SQUARE)
        else:
            for number, part in enumerate(_BREAK.split(match[0])):
                texts += [None, part] if number else [part]
                weights += [1.0, 1.0] if number else [1.0]
    for first in round_ones:
        weigh(first, _ROUND)
    for first in square_ones:
        weigh(first, _SQUARE)
    return _merged(texts, weights), len(round_ones) + len(square_ones)


def _merged(texts: Sequence[str | None], weights: Sequence[float]) -> tuple[Piece, ...]:
    """Neighbours of one weight as one, without what is empty or only space beside a BREAK."""
    merged: list[tuple[list[str], float] | None] = []  # None: a BREAK
    for text, weight in zip(texts, weights, strict=True):
        after_break = bool(merged) and merged[-1] is None
        if text is None:
            while merged and (last := merged[-1]) is not None:
                merged.pop()
                if kept := "".join(last[0]).rstrip():
                    merged.append(([kept], last[1]))
                    break
            merged.append(None)
        elif own := text.lstrip() if after_break else text:
            last = merged[-1] if merged else None
            if last is not None and last[1] == weight:
                last[0].append(own)
            else:
                merged.append(([own], weight))
    return tuple(BREAK if one is None else Piece("".join(one[0]), one[1]) for one in merged)


def written(of: Iterable[Piece]) -> str:
    """A text that `pieces` reads as these."""
    return "".join(map(_written, of))


def _written(piece: Piece) -> str:
    if piece is BREAK:
        return " BREAK "
    text = _TO_ESCAPE.sub(lambda match: "\\" + match[0], piece.text)
    if piece.weight == 1:
        return text
    return f"({text}:{Decimal(repr(piece.weight)):f})"


# What changes by the step


def at_steps(text: str, num_inference_steps: int) -> tuple[tuple[int, str], ...]:
    """What a text says up to which step: (end, text) in order, the last end `num_inference_steps`.

    A number with a point is a fraction of the steps, rounded; one without is a step. Both end at
    the last.
    """
    total = num_inference_steps
    frames = [_Frame("")]
    for match in _PARTS.finditer(text):
        part = match[0]
        frame = frames[-1]
        if part in {"(", "["}:
            frames.append(_Frame(part))
        elif part in {":", "|"}:
            frame.separate(part)
        elif part in _CLOSING and frame.opening == _CLOSING[part]:
            frames.pop()
            frames[-1].add(frame.closed(part, total))
        else:
            frame.add(part)
    while len(frames) > 1:
        frame = frames.pop()
        frames[-1].add(frame.literal(total, frame.opening))
    whole = frames[0].literal(total)
    if isinstance(whole, str):
        return ((total, whole),)
    ends = [step for step in range(1, total) if whole[step] != whole[step - 1]]
    return tuple((end, whole[end - 1]) for end in (*ends, total))


_CLOSING: Final = {")": "(", "]": "["}
_Said = str | tuple[str, ...]  # in every step, or step by step


class _Frame:
    """What stands in one pair of brackets so far: texts, and the signs between them."""

    def __init__(self, opening: str) -> None:
        self.opening = opening
        self._options: list[list[_Said]] = [[]]
        self._signs: list[str] = []

    def add(self, said: _Said) -> None:
        self._options[-1].append(said)

    def separate(self, sign: str) -> None:
        self._signs.append(sign)
        self._options.append([])

    def closed(self, closing: str, total: int) -> _Said:
        """What it says once it is closed: what changes, or its text in brackets."""
        if self.opening == "[" and "|" in self._signs:
            options = [_by_step(_joined(one, total), total) for one in self._alternatives()]
            return tuple(options[step % len(options)][step] for step in range(total))
        when = self._when(total)
        if when is None:
            return self.literal(total, self.opening, closing)
        *before, after = (_by_step(_joined(one, total), total) for one in self._options[:-1])
        first = before[0] if before else ("",) * total
        return (*first[:when], *after[when:])

    def literal(self, total: int, *around: str) -> _Said:
        """Its text as it stands, with its signs, and brackets around it."""
        parts = self._options[0].copy()
        for sign, option in zip(self._signs, self._options[1:], strict=True):
            parts += [sign, *option]
        return _joined([*around[:1], *parts, *around[1:]], total)

    def _alternatives(self) -> list[list[_Said]]:
        """Its options between bars; colons among them are text."""
        options = [self._options[0].copy()]
        for sign, option in zip(self._signs, self._options[1:], strict=True):
            if sign == "|":
                options.append(option.copy())
            else:
                options[-1] += [sign, *option]
        return options

    def _when(self, total: int) -> int | None:
        """The step at which its first text ends; None: nothing in it changes."""
        if self.opening != "[" or len(self._signs) not in {1, 2}:
            return None
        last = _joined(self._options[-1], total)
        match = _WHEN.fullmatch(last) if isinstance(last, str) else None
        if match is None:
            return None
        step = float(match[1]) * (total if "." in match[1] else 1)
        return round(min(max(step, 0), total))


def _by_step(said: _Said, total: int) -> tuple[str, ...]:
    return (said,) * total if isinstance(said, str) else said


def _joined(parts: Sequence[_Said], total: int) -> _Said:
    if all(isinstance(part, str) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return tuple(
        "".join(each) for each in zip(*(_by_step(part, total) for part in parts), strict=True)
    )


# Texts in texts


def enclosed(text: str, *, before: str = "") -> str:
    """The text as it can stand in another and say what it says alone.

    Brackets that it leaves open end with it, and those that it does not open are escaped. Where
    they cross, as in "(a [b) c]", each counts as far, but what reads as a change may be none.

    before  what stands before it: where that leaves brackets open, its colons and bars are escaped
    """
    frames, parts = _open_frames(text)
    if len(_open_frames(before)[0]) == 1:
        frames[0].signs.clear()
    for frame in frames:
        for place in frame.signs:
            parts[place] = "\\" + parts[place]
    if parts and parts[-1] == "\\":  # it escapes nothing here, and would there
        parts.pop()
    closing = (_CLOSED_BY[frame.opening] for frame in reversed(frames[1:]) if not frame.crossed)
    return "".join((*parts, *closing))


_CLOSED_BY: Final = {opening: closing for closing, opening in _CLOSING.items()}


@dataclass(slots=True)
class _Open:
    """A bracket that nothing closes in its turn.

    signs    the places of the colons and bars right in it
    crossed  whether one closes it out of turn: its weight ends there
    """

    opening: str
    signs: list[int]
    crossed: bool = False


def _open_frames(text: str) -> tuple[list[_Open], list[str]]:
    """The whole text and what is open in it at its end; its parts, stray brackets escaped."""
    parts: list[str] = []
    frames = [_Open("", [])]
    by_kind: dict[str, list[_Open]] = {opening: [] for opening in _CLOSED_BY}
    for place, match in enumerate(_PARTS.finditer(text)):
        part = match[0]
        if part in _CLOSED_BY:
            frames.append(_Open(part, []))
            by_kind[part].append(frames[-1])
        elif part in {":", "|"}:
            frames[-1].signs.append(place)
        elif part in _CLOSING and not by_kind[_CLOSING[part]]:
            part = "\\" + part
        elif part in _CLOSING:
            closed = by_kind[_CLOSING[part]].pop()
            if closed is frames[-1]:
                frames.pop()
            else:
                closed.crossed = True
        parts.append(part)
    return frames, parts


# Several prompts


def expanded(text: str) -> tuple[str, ...]:
    """The prompts that a text with {braces} stands for, in order; the text alone without any.

    Raises InvalidRequestError for more than MAX_EXPANSIONS.
    """
    frames = [_Choice()]
    for match in _BRACES.finditer(text):
        part, frame = match[0], frames[-1]
        if part == "{":
            frames.append(_Choice())
        elif part == "}" and len(frames) > 1:
            frames.pop()
            frames[-1].add(frame)
        elif part == "|" and len(frames) > 1 and not frame.brackets:
            frame.options.append(_Combined())
        else:
            frame.brackets = max(0, frame.brackets + (part == "[") - (part == "]"))
            frame.options[-1].add([part], 1)
    while len(frames) > 1:
        frame = frames.pop()
        frames[-1].add_open(frame)
    whole = frames[0].options[0]
    if whole.count > MAX_EXPANSIONS:
        is_counted = whole.count < _COUNTED
        raise InvalidRequestError(
            say(
                "The braces in this prompt stand for {number} prompts; {most} at once are the "
                "most. Leave some of the choices out.",
                number=f"{whole.count:,}" if is_counted else say("more than a million"),
                most=MAX_EXPANSIONS,
            )
        )
    return tuple(whole.texts)


class _Combined:
    """Texts one after the other, in every combination; none are kept beyond MAX_EXPANSIONS."""

    def __init__(self) -> None:
        self.texts = [""]
        self.count = 1

    def add(self, texts: Sequence[str], count: int) -> None:
        self.count = min(self.count * count, _COUNTED)
        if self.count <= MAX_EXPANSIONS:
            self.texts = [before + text for before in self.texts for text in texts]


class _Choice:
    """What stands in one pair of braces so far."""

    def __init__(self) -> None:
        self.options = [_Combined()]
        self.brackets = 0  # bars within these belong to them

    def add(self, closed: "_Choice") -> None:
        own = closed.options
        if len(own) == 1:  # no choice: braces are text
            self.options[-1].add(["{" + text + "}" for text in own[0].texts], own[0].count)
        else:
            texts = [text for option in own for text in option.texts]
            self.options[-1].add(texts, sum(option.count for option in own))

    def add_open(self, unclosed: "_Choice") -> None:
        """Braces that nothing closes are text, and so are the bars in them."""
        for number, option in enumerate(unclosed.options):
            self.options[-1].add(["|" if number else "{"], 1)
            self.options[-1].add(option.texts, option.count)
