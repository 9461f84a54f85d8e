"""Objects as files in a folder: of this machine, or one that several share."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bot.errors import GalleryError, PictureLostError
from bot.gallery.objects import PROBE, PROBE_BYTES
from bot.shared.files import write_atomically
from bot.shared.private import close_all_to_others, close_to_others
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_MENDED_AT_ONCE: Final = 200  # folders; a stop waits for no more


class Folder:
    """Implements `Objects`: a file an object, all of it their owner's alone.

    path  made with the first object
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, name: str, data: bytes) -> None:
        """See `Objects.put`."""
        path = self._path / name
        try:
            write_atomically(path, data)
        except OSError as error:
            raise GalleryError(
                say(
                    "The picture {path} cannot be written ({why}). Make room.",
                    path=str(path),
                    why=str(error.strerror),
                )
            ) from error

    def get(self, name: str) -> bytes:
        """See `Objects.get`."""
        path = self._path / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise PictureLostError(
                say("The picture {path} cannot be read: {why}.", path=str(path), why=str(error))
            ) from error

    def folders(self, within: str) -> tuple[str, ...]:
        """See `Objects.folders`."""
        path = self._path / within
        try:
            return tuple(one.name for one in path.iterdir())
        except FileNotFoundError:  # it comes with the first
            return ()
        except OSError as error:
            raise GalleryError(f"What is in {path} cannot be read ({error.strerror}).") from error

    def delete(self, folder: str) -> None:
        """See `Objects.delete`."""
        path = self._path / folder
        try:
            # Somebody else may delete the same: what they took first is no failure.
            while path.exists():
                with suppress(FileNotFoundError):
                    shutil.rmtree(path)
        except OSError as error:
            raise GalleryError(
                say(
                    "The pictures of {job} cannot be deleted ({why}).",
                    job=path.name,
                    why=str(error.strerror),
                )
            ) from error

    def probe(self) -> None:
        """See `Objects.probe`."""
        path = self._path / PROBE
        try:
            write_atomically(path, bytes(PROBE_BYTES))
            path.unlink(missing_ok=True)  # another machine may be looking, too
        except OSError as error:
            raise GalleryError(
                say("Nothing can be written to {folder}. Make room.", folder=str(self._path))
            ) from error

    def mend(self) -> Iterator[None]:
        """Close to others what was open to them: an earlier version's files, or a restored copy's.

        What cannot be closed is logged, and left as it is.
        """
        failures = []
        try:
            # With the folder above them closed, nobody reaches the rest meanwhile.
            close_to_others(self._path, follow=True)
        except FileNotFoundError:  # it comes with the first picture
            return
        except OSError as error:
            failures.append(error)
        yield
        try:
            jobs = list(self._path.iterdir())
        except OSError as error:
            jobs = []
            failures.append(error)
        for first in range(0, len(jobs), _MENDED_AT_ONCE):
            yield
            failures += close_all_to_others(jobs[first : first + _MENDED_AT_ONCE])
        if failures:
            log.warning(
                "others may be able to read %d files and folders of the album, and this account "
                "cannot change that (%s). As their owner: chmod -R go= %s",
                len(failures),
                failures[0],
                self._path,
            )
