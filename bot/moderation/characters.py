"""What a character is, whatever it is dressed as: its fold, and the Latin letter it looks like."""

import tomllib
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).parents[1] / "data" / "filter"
LOOKALIKES: Final = DATA / "lookalikes.tsv"
LEET: Final = DATA / "leet.toml"

_MAX_KNOWN: Final = 20_000  # characters that a table remembers; a text in any language has fewer
_NO_SIGNS: Final = frozenset({"Mn", "Me", "Cf"})
# Letters by their category, and drawn as nothing.
_FILLERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_TO_HIRAGANA: Final = ord("ぁ") - ord("ァ")


class _Table(dict[int, str]):
    """For str.translate: what becomes of each character, worked out when it is first met."""

    def __init__(self, of: Callable[[str], str]) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, code: int) -> str:
        said = self._of(chr(code))
        if len(self) < _MAX_KNOWN:
            self[code] = said
        return said


def folded(text: str) -> str:
    """The text without case, marks, invisible characters and typefaces; any space is " "."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).translate(_FOLDS)


def skeletons(text: str) -> tuple[str, ...]:
    """The text folded, with a Latin letter for each character that looks like one.

    Unicode takes "I" and "l" for the same; where that leaves a choice there are two. Of ASCII there
    is none.
    """
    if text.isascii():
        return ()
    first = text.translate(_SKELETONS)
    if first.count("l") == text.count("l") + text.count("L"):
        return (first,)
    second = text.translate(_SKELETONS_I)
    return (first,) if second == first else (second, first)


def is_unspaced(char: str) -> bool:
    """Whether it is of a script that puts no spaces between words: Chinese, Japanese."""
    return (
        "぀" <= char <= "ヿ" or "㐀" <= char <= "鿿" or "豈" <= char <= "﫿" or char >= "\U00020000"
    )


def _fold(char: str) -> str:
    if char.isspace():
        return " "
    if "゛" <= char <= "゜" or char == "ー":
        return char
    if "ァ" <= char <= "ヶ":
        return chr(ord(char) + _TO_HIRAGANA)
    if is_unspaced(char):
        return _simplified().get(char) or unicodedata.normalize("NFKC", char)
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    return "".join(
        one for one in apart if unicodedata.category(one) not in _NO_SIGNS and one not in _FILLERS
    )


def _skeleton(char: str) -> str:
    plain = _fold(char)
    return (
        _foreign().get(char)
        or _lookalikes().get(char)
        or _foreign().get(char.casefold())
        or _foreign().get(plain)
        or plain
    )


def _skeleton_i(char: str) -> str:
    looks_like = _skeleton(char)
    return "i" if looks_like == "l" and not char.isascii() else looks_like


@cache
def _lookalikes() -> dict[str, str]:
    table = {}
    for line in LOOKALIKES.read_text(encoding="utf-8").split("\n"):
        letters, _, chars = line.partition("\t")
        if not line.startswith("#"):
            table.update(dict.fromkeys(chars, letters))
    return table


@cache
def _foreign() -> dict[str, str]:
    return leet("foreign")


@cache
def _simplified() -> dict[str, str]:
    table = leet("traditional")
    return dict(zip("".join(table), "".join(table.values()), strict=True))


def leet(section: str) -> dict[str, str]:
    """A section of the table of signs that are read as letters."""
    table: dict[str, str] = tomllib.loads(LEET.read_text(encoding="utf-8"))[section]
    return table


_FOLDS: Final = _Table(_fold)
_SKELETONS: Final = _Table(_skeleton)
_SKELETONS_I: Final = _Table(_skeleton_i)
