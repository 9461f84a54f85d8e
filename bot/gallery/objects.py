"""What a gallery stands on: bytes under names, wherever they are kept."""

from collections.abc import Iterator
from typing import Final, Protocol

PROBE: Final = ".probe"  # what is kept and deleted again, to see whether that can be done
PROBE_BYTES: Final = 2**20  # as much as a picture: with less a full disk, or a quota, goes unseen
MAX_CALLS: Final = 12  # at once, of all threads of a gallery


class Objects(Protocol):
    """Keeps bytes under names such as "job/file"; what stands before a slash is a folder.

    Several threads call it at once, and each waits for as long as a disk or a network takes.
    """

    def put(self, name: str, data: bytes) -> None:
        """Keep `data` in the place of what has that name; raises GalleryError, and that stays."""

    def get(self, name: str) -> bytes:
        """What was put there.

        Raises PictureLostError where it is gone or not whole, GalleryError where nobody knows now.
        """

    def folders(self, within: str) -> tuple[str, ...]:
        """The names of the folders in a folder, if that is there; raises GalleryError."""

    def delete(self, folder: str) -> None:
        """Delete all in a folder, if it is there; raises GalleryError where any of it may stay."""

    def probe(self) -> None:
        """Do once, with what nobody looks at, all that must be possible; raises GalleryError."""

    def mend(self) -> Iterator[None]:
        """Make right what was kept otherwise than it is today, some of it for each item."""
