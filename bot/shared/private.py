"""What is its owner's alone: prompts and pictures are nobody else's, whatever the umask says."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone; raises OSError.

    One that is there is left as it is.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def make_file(path: Path) -> int:
    """Make a file for its owner alone and open it to write; raises OSError, if it is there too."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE)


def close_to_others(path: Path, *, follow: bool = False) -> None:
    """Take from everybody else what they may do with a file or folder; raises OSError.

    follow  what a link leads to is meant; else a link is left as it is
    """
    found = path.stat() if follow else path.lstat()
    if stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o077:
        return
    # By an open file, so that no link can come into the path's place in between.
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & FOLDER_MODE)
    finally:
        os.close(descriptor)


def close_all_to_others(roots: Iterable[Path]) -> list[OSError]:
    """Close files and folders to others with all that lies in them; returns what failed.

    Links are left as they are, and so is what they lead to.
    """
    failures = []
    for path in _all_in(roots):
        try:
            close_to_others(path)
        except FileNotFoundError:  # it was deleted in this moment
            continue
        except OSError as error:
            failures.append(error)
    return failures


def _all_in(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        yield root
        for folder, folders, files in os.walk(root):
            for name in (*folders, *files):
                yield Path(folder, name)
