"""Pictures where a person named a place: none is overwritten, and a mistake is a sentence."""

import os
import re
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from bot.errors import OutputError, UsageError
from bot.shared.files import write_new
from bot.shared.shown import one_line

_PATH_CHARS: Final = 200
_NUMBERED: Final = re.compile(r"([0-9]{1,9})\.png")


def output_folder(folder: Path) -> Path:
    """Make the folder that pictures are asked for in; raises OutputError."""
    named = one_line(str(folder), _PATH_CHARS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # the latter: a name that no file can have
        why = error.strerror if isinstance(error, OSError) else "no folder can be called so"
        raise OutputError(
            f"The folder {named} cannot be made ({why}). Choose another with --out."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {named} cannot be written to. Choose another with --out.")
    return folder


def read_picture(file: Path, most_bytes: int) -> bytes:
    """The bytes of a file, and one more than `most_bytes` of a larger one; raises UsageError."""
    name = one_line(str(file), _PATH_CHARS)
    try:
        # Asked before it is opened: to open a pipe waits until somebody writes to it.
        if not stat.S_ISREG(file.stat().st_mode):
            raise UsageError(f"{name} is no file. Name a picture's file.")
        with file.open("rb") as opened:
            return opened.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.") from error


def save_numbered(folder: Path, data: bytes) -> Path:
    """Save a picture as the number after the last there: 0.png, 1.png, ...; raises OutputError."""
    return _save(folder, _numbers(folder), data)


def save_named(folder: Path, name: str, data: bytes) -> Path:
    """Save a picture under its name, or with a number added if it is taken; raises OutputError."""
    path = Path(name)
    return _save(folder, _variants(path.stem, path.suffix), data)


def _save(folder: Path, names: Iterator[str], data: bytes) -> Path:
    try:
        return write_new(folder, names, data)
    except OSError as error:
        raise OutputError(
            f"The pictures cannot be written to {folder} ({error.strerror}). Make room, or choose "
            "another folder with --out."
        ) from error


def _numbers(folder: Path) -> Iterator[str]:
    taken = (_NUMBERED.fullmatch(path.name) for path in folder.iterdir())
    last = max((int(match[1]) for match in taken if match is not None), default=-1)
    yield from (f"{number}.png" for number in count(last + 1))


def _variants(stem: str, suffix: str) -> Iterator[str]:
    yield stem + suffix
    for number in count(2):
        yield f"{stem}-{number}{suffix}"
