"""Files that are either the old one or the new one, never half of it."""

import os
from contextlib import suppress
from pathlib import Path

from bot.errors import OutputError


def output_folder(folder: Path) -> Path:
    """Make the folder that pictures are asked for in; raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made ({error.strerror}). Choose another with --out."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {folder} cannot be written to. Choose another with --out.")
    return folder


def write_picture(path: Path, data: bytes) -> None:
    """Write a picture; raises OutputError, and an older one there is as it was."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}). Make room, or choose another folder "
            "with --out."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path`, making its folder; raises OSError, and `path` is as it was.

    Once this returns, a power cut does not take the file away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):  # where its folder is none, say: the first error tells it
            draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name is part of the folder
    finally:
        os.close(folder)
