"""Where pictures are kept, as the core sees it: those that were drawn, and those drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.core.job import Job, StoredImage
from sdxl_engine.request import ImageRequest, Images, Pictures


@dataclass(frozen=True, slots=True)
class Picture:
    """One finished picture as it is sent; its index is its place in the request."""

    index: int
    filename: str
    data: bytes


class Gallery(Protocol):
    """Keeps pictures from drawing to the end of their days.

    All of it raises GalleryError where nobody can be asked now; what is there then is not lost.
    """

    async def store(
        self, job: Job, request: ImageRequest, images: Images
    ) -> tuple[StoredImage, ...]:
        """Make the files, small enough for the job's channel, and keep them.

        It can be done again: the files then show the same, and what the last call returned is true
        of them (a signature is another each time). Raises GalleryError.
        """

    async def read(self, job_id: str, stored: Sequence[StoredImage]) -> tuple[Picture, ...]:
        """The pictures as they were stored; raises PictureLostError."""

    async def bring(self, job_id: str, files: Sequence[bytes]) -> Pictures:
        """Keep the files of pictures that a job shall start from, and return what they show.

        The pictures come in the files' order, each once. Raises InvalidRequestError for what is no
        picture, GalleryError.
        """

    async def brought(self, job_id: str, digests: Sequence[str]) -> Pictures:
        """What was brought for a job, by its content hashes; raises PictureLostError."""

    async def brought_file(self, job_id: str, digest: str) -> Picture:
        """The file of one that was brought, as it came; raises PictureLostError."""

    async def copy(
        self, job_id: str, to: str, stored: Sequence[StoredImage]
    ) -> tuple[StoredImage, ...]:
        """Keep finished pictures of a job for another as well, as they are stored there then.

        Raises PictureLostError, GalleryError.
        """

    async def hand_on(self, job_id: str, to: str, digests: Sequence[str]) -> None:
        """Bring for another job what was brought for this one.

        Raises PictureLostError, GalleryError.
        """

    async def starters(self) -> tuple[str, ...]:
        """The ids of all jobs for which something was brought or copied."""

    async def thumbnails(
        self, pictures: Sequence[tuple[str, StoredImage]]
    ) -> tuple[Picture | None, ...]:
        """Pictures made small, each of a job's id; None for one that is lost or away now."""

    async def probe(self) -> None:
        """Write something that nobody looks at; raises GalleryError while nothing can be stored."""

    async def forget_drawn(self, job_ids: Sequence[str]) -> None:
        """Delete what was drawn of these jobs, as `forget`; what was brought for them stays."""

    async def forget_brought(self, job_ids: Sequence[str]) -> None:
        """Delete what was brought for these jobs, as `forget`; what is drawn of it stays."""

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Delete the pictures of these jobs, drawn and brought, as far as there are any.

        Raises GalleryError.
        """
