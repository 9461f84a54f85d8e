"""The marks that pictures get here, and in which order: pixels, then text, then the signature."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sdxl_engine.errors import CredentialsError
from sdxl_engine.marks.xmp import packet

if TYPE_CHECKING:  # they bring Pillow, SciPy and c2pa-rs
    from PIL import Image

    from sdxl_engine.marks.credentials import Credentials
    from sdxl_engine.marks.watermark import Watermark

log = logging.getLogger(__name__)

_DAY: Final = timedelta(days=1)


@dataclass(slots=True)
class _Complaint:
    """What is said once a day, however many pictures it concerns."""

    said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Marks:
    """What every finished picture is marked with.

    watermark    in the pixels
    xmp          whether the file says that a trained model made it
    credentials  what the file is signed with
    """

    watermark: "Watermark | None" = None
    xmp: bool = False
    credentials: "Credentials | None" = None
    _complaint: _Complaint = field(default_factory=_Complaint, repr=False, compare=False)

    @property
    def packet(self) -> str | None:
        """The XMP that belongs into the file."""
        return packet() if self.xmp else None

    def on_pixels(self, picture: "Image.Image") -> "Image.Image":
        """The picture as it is to be encoded."""
        if self.watermark is None:
            return picture
        return self.watermark.on(picture)

    def on_file(self, data: bytes, extension: str) -> bytes:
        """The encoded picture, signed; after this nothing in it may change.

        Where the credentials fail, as they do when they expire while the bot runs, it stays
        unsigned and the log says so once a day: people still get their pictures, with the other
        marks.
        """
        if self.credentials is None:
            return data
        try:
            return self.credentials.signed(data, f"image/{extension}")
        except CredentialsError as error:
            self._complain(error, self.credentials.now())
            return data

    def _complain(self, error: CredentialsError, now: datetime) -> None:
        said_at = self._complaint.said_at
        if said_at is None or now - said_at >= _DAY:
            self._complaint.said_at = now
            log.error("pictures go out unsigned: %s", error)


NO_MARKS: Final = Marks()
