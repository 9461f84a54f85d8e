"""Files that are either whole or not there: never half of one."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bot.shared.private import FILE_MODE, make_folder

# A file system that knows no hard links (FAT, some network ones) says one of these.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})

_MAX_PATH_BYTES, _MAX_NAME_BYTES = 3_000, 255  # what file systems take, with room for more
_UMASKS: Final = 0o666  # less what the umask takes away


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path`, making its folder; raises OSError, and `path` is as it was.

    File and folder are their owner's alone. Once this returns, a power cut does not take the file
    away.
    """
    make_folder(path.parent)
    with _draft(path, data, FILE_MODE) as draft:
        draft.replace(path)
    _sync(path.parent)


def write_new(folder: Path, names: Iterable[str], data: bytes) -> Path:
    """Write `data` under the first of the names that nobody has taken, and return its path.

    names  as many as it takes, best one first; another process may be taking some meanwhile

    No file is ever overwritten, and none is half written. The folder must be there; who may read
    the file is what the umask says. Raises OSError; FileExistsError if every name is taken.
    """
    with _draft(folder / "new", data, _UMASKS) as draft:
        for name in names:
            path = folder / name
            with suppress(FileExistsError):
                _take(path, draft)
                break
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
    _sync(folder)
    return path


def can_be_path(text: str) -> bool:
    """Whether a file system can hold a path of this name."""
    names = [os.fsencode(name) for name in Path(text).parts]
    fits = len(os.fsencode(text)) <= _MAX_PATH_BYTES
    return "\0" not in text and fits and all(len(name) <= _MAX_NAME_BYTES for name in names)


def _take(path: Path, draft: Path) -> None:
    """Give the whole draft the name; raises FileExistsError if it is taken."""
    try:
        path.hardlink_to(draft)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # The name is taken by making it, then the draft comes in the place of what we made.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _UMASKS))
        draft.replace(path)


@contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A whole file beside `path`, on the disk; gone afterwards, unless it got another name."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(OSError):  # where its folder is none, say: the first error tells it
            draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """A file's name is part of its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
