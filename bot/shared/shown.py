"""What somebody wrote, as a sentence can hold it: short, on one line, nothing invisible."""

import re
from collections.abc import Iterable
from typing import Final

_SHOWN_CHARS: Final = 40
_PASSWORD: Final = re.compile(r"(?<=//)[^/@\s]*@")  # of an address, with its user's name


def shown(value: object, chars: int = _SHOWN_CHARS) -> str:
    """A value in quotes as Python writes it, cut after so many characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= chars else value[: chars - 1] + "…")
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python prints no whole number of 5,000 digits
        return "something far too long"
    return text if len(text) <= chars else text[: chars - 1] + "…"


def one_line(text: str, chars: int) -> str:
    """A text with what is invisible spelled out; too long, it loses its middle."""
    if len(text) > chars:
        text = text[: chars // 2] + "…" + text[1 - chars // 2 :]
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def without_password(text: str) -> str:
    """A text with no address in it that says as whom, and by which password, it is opened."""
    return _PASSWORD.sub("", text)


def triggers(words: Iterable[str]) -> str:
    """The words that a prompt should hold, as a note; nothing where there are none."""
    text = ", ".join(words)
    return f"trigger words: {text}" if text else ""
