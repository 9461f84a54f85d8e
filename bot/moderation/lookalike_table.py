"""`make lookalikes`: which characters look like which letters, made of Unicode's own data.

    .venv/bin/python -m bot.moderation.lookalike_table CONFUSABLES

CONFUSABLES is Unicode's confusables.txt, of Technical Standard 39. What it leaves out, such as
letters in circles and letters with a stroke, is read from the characters' names.
"""

import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bot.moderation.characters import LOOKALIKES, folded

_NAME: Final = re.compile(
    r"(?:TAG |MATHEMATICAL |(?:CROSSED )?NEGATIVE |CIRCLED |SQUARED |PARENTHESIZED |COMBINING "
    r"|MODIFIER |FULLWIDTH )*"
    r"(?:LATIN|REGIONAL INDICATOR SYMBOL)(?: SUBSCRIPT| SUPERSCRIPT)?"
    r"(?: SMALL| CAPITAL)? LETTER"
    r"(?: SMALL CAPITAL| DOTLESS| OPEN| CLOSED| TURNED| REVERSED| SIDEWAYS| INSULAR| BARRED"
    r"| BLACKLETTER| SCRIPT| LONG| STIRRUP| MIDDLE-WELSH)* ([A-Z])(?: (?:WITH|ROTUNDA) .*)?"
)
_HEAD: Final = """\
# Characters that look like letters: the letters, a tab, the characters that are drawn like them.
# Made by bot/moderation/lookalike_table.py of Unicode's confusables.txt (Technical Standard 39,
# version {version}, {date}) and of the characters' names in the Unicode Character Database
# {names}. Changed: left out is whatever does not end in Latin letters.
# (c) Unicode, Inc. Unicode data files are under the Unicode License v3, SPDX Unicode-3.0; for
# terms of use, see https://www.unicode.org/terms_of_use.html
"""


def main(path: Path) -> None:
    """Write the table anew."""
    text = path.read_text(encoding="utf-8-sig")
    confusables = _confusables(text)
    by_letters: dict[str, list[str]] = {}
    for code in range(0x80, sys.maxunicode + 1):
        char = chr(code)
        if (
            _is_latin(folded(char)) or unicodedata.category(char) == "Mn"
        ):  # its fold says so already
            continue
        if unicodedata.name(char, "").startswith(("CJK", "HIRAGANA", "KATAKANA")):
            continue
        letters = _letters(char, confusables)
        if letters:
            by_letters.setdefault(letters, []).append(char)
    head = _HEAD.format(
        version=_after("# Version: ", text),
        date=_after("# Date: ", text)[:10],
        names=unicodedata.unidata_version,
    )
    rows = (f"{letters}\t{''.join(chars)}\n" for letters, chars in sorted(by_letters.items()))
    LOOKALIKES.write_text(head + "".join(rows), encoding="utf-8")


def _confusables(text: str) -> dict[str, str]:
    """Every character beyond ASCII with what it is confused with."""
    found = {}
    for line in text.splitlines():
        source, *targets = line.partition("#")[0].split(";")
        if targets and len(char := _characters(source)) == 1 and not char.isascii():
            found[char] = _characters(targets[0])
    return found


def _characters(codes: str) -> str:
    return "".join(chr(int(code, 16)) for code in codes.split())


def _letters(char: str, confusables: Mapping[str, str]) -> str:
    """The Latin letters that a character looks like; empty: it looks like none."""
    for candidate in (confusables.get(char, ""), _named(char)):
        parts = [folded(one) if one.isascii() else _letters_of_part(one) for one in candidate]
        if parts and _is_latin(letters := "".join(parts)):
            return letters
    return ""


def _letters_of_part(char: str) -> str:
    if unicodedata.combining(char):
        return ""
    plain = folded(char)
    return plain if _is_latin(plain) else _named(char)


def _named(char: str) -> str:
    match = _NAME.fullmatch(unicodedata.name(char, ""))
    return match[1].lower() if match else ""


def _is_latin(text: str) -> bool:
    return text.isascii() and text.isalpha()


def _after(start: str, text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start)).removeprefix(start)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
