"""Where finished pictures are kept, as the core sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.core.job import Job, StoredImage
from sdxl_engine.request import ImageRequest, Images


@dataclass(frozen=True, slots=True)
class Picture:
    """One finished picture as it is sent; its index is its place in the request."""

    index: int
    filename: str
    data: bytes


class Gallery(Protocol):
    """Keeps pictures from drawing to the end of their days."""

    async def store(
        self, job: Job, request: ImageRequest, images: Images
    ) -> tuple[StoredImage, ...]:
        """Make the files, small enough for the job's channel, and keep them.

        The same pictures give the same files, so it can be done again. Raises GalleryError.
        """

    async def read(self, job_id: str, stored: Sequence[StoredImage]) -> tuple[Picture, ...]:
        """The pictures as they were stored; raises PictureLostError."""

    async def probe(self) -> None:
        """Write something that nobody looks at; raises GalleryError while nothing can be stored."""

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Delete the pictures of these jobs, as far as there are any; raises GalleryError."""
