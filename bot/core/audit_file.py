"""The audit as a file, to be taken away: for a spreadsheet, or for a program."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Final, Literal

from bot.core.audit import Entry

Format = Literal["csv", "json"]

# What a spreadsheet would run; some do so with the wide forms, too: = + - @.
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def written(entries: Iterable[Entry], form: Format) -> Iterator[str]:
    """The file, piece by piece."""
    return _csv(entries) if form == "csv" else _json(entries)


def _json(entries: Iterable[Entry]) -> Iterator[str]:
    """One list, an entry a line."""
    between = "[\n"
    for one in entries:
        yield between + json.dumps(asdict(one), ensure_ascii=False)
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def _csv(entries: Iterable[Entry]) -> Iterator[str]:
    names = [one.name for one in fields(Entry)]
    yield _row(names)
    for one in entries:
        yield _row([_cell(getattr(one, name)) for name in names])


def _cell(value: object) -> object:
    """A text that a spreadsheet shows and does not run."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _row(cells: Iterable[object]) -> str:
    """As RFC 4180 has it, every cell in quotes."""
    texts = ("" if cell is None else str(cell).replace('"', '""') for cell in cells)
    return ",".join(f'"{text}"' for text in texts) + "\r\n"
