"""A copy of the ledger and its pictures, made while the bot goes on."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from bot.errors import OutputError
from bot.shared.data_folder import IMAGES, LEDGER
from bot.shared.private import make_file, make_folder
from bot.shared.sqlite_trouble import Trouble, trouble_of

CopyLedger = Callable[[Path], int]


def backup(folder: Path, to: Path, copy_ledger: CopyLedger) -> str:
    """Copy the ledger and what stands in the storage folder, and say what was copied.

    to           is made, whole or not at all. To restore it, stop the bot and put it in the storage
                 folder's place
    copy_ledger  writes the ledger to a new file, its owner's alone, and returns how many jobs it
                 has; raises LedgerError, OSError, sqlite3.Error

    The copy is its owner's alone, whoever could read what is copied. The ledger is copied first:
    every picture that it speaks of is on the disk by then. Raises LedgerError, OutputError,
    and sqlite3.Error where the ledger itself is what cannot be copied.
    """
    if to.exists():
        raise OutputError(f"{to} is there already. Name a folder that is not.")
    if to.resolve().is_relative_to(folder.resolve()):
        raise OutputError(
            f"{to} lies in the folder that is copied, and would go with it. Name one elsewhere."
        )
    draft = to.with_name(f".{to.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        make_folder(draft)
        jobs = copy_ledger(draft / LEDGER)
        pictures = _copy_album(folder / IMAGES, draft / IMAGES)
        draft.rename(to)
    except (OSError, sqlite3.Error) as error:
        if trouble_of(error) is not Trouble.DISK:
            raise
        raise OutputError(
            f"The copy {to} cannot be written ({error}). Make room, or name another folder."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return f"Copied {jobs} jobs and {pictures} pictures to {to}."


def _copy_album(album: Path, to: Path) -> int:
    pictures = 0
    for path in album.rglob("*"):
        if path.name.startswith(".") or path.is_dir():  # half written; a job's folder
            continue
        target = to / path.relative_to(album)
        make_folder(target.parent)
        try:
            _copy_picture(path, target)
        except FileNotFoundError:  # its days ended in this moment
            continue
        pictures += 1
    return pictures


def _copy_picture(path: Path, to: Path) -> None:
    try:
        source = path.open("rb")
    except PermissionError as error:
        raise OutputError(
            f"The picture {path} cannot be read ({error.strerror}), so nothing was copied. Copy as "
            "the account that the bot has."
        ) from error
    with source, os.fdopen(make_file(to), "wb") as copy:
        shutil.copyfileobj(source, copy)
        found = os.fstat(source.fileno())
    os.utime(to, ns=(found.st_atime_ns, found.st_mtime_ns))
