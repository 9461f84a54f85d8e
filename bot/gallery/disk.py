"""The album: finished pictures on the disk, from drawing to retention."""

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.core.job import Job, StoredImage
from bot.errors import PictureLostError
from bot.shared.files import write_atomically
from sdxl_engine import Images
from sdxl_engine.images import describe, encode_within

_MAX_UPLOAD_BYTES: Final = 25 * 2**20 - 64 * 2**10  # a request may hold 25 MiB, text included


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as it is sent; its index is its place in the request."""

    index: int
    filename: str
    data: bytes


class Album:
    """A folder a job, a file a picture. Nothing here is quick: call it on a thread.

    folder      made with the first picture
    model_name  stands beside the settings in each file
    """

    def __init__(self, folder: Path, model_name: str) -> None:
        self._folder = folder
        self._model_name = model_name

    def store(self, job: Job, images: Images) -> tuple[StoredImage, ...]:
        """Make the files of a job's pictures, small enough for its channel, and write them.

        The same pictures give the same files, so it can be done again. Raises OSError.
        """
        limit_bytes = min(job.attachment_limit_bytes, _MAX_UPLOAD_BYTES // len(images))
        stored = []
        for image in images:
            parameters = describe(job.request, image.index, model=self._model_name)
            file = encode_within(image, parameters, limit_bytes)
            filename = _picture_name(job.id, image.index, file.extension)
            write_atomically(self._folder / job.id / filename, file.data)
            digest = hashlib.sha256(file.data).hexdigest()
            stored.append(StoredImage(image.index, image.seed, filename, digest, len(file.data)))
        return tuple(stored)

    def read(self, job_id: str, stored: Sequence[StoredImage]) -> tuple[Picture, ...]:
        """The pictures as they were written; raises PictureLostError."""
        return tuple(self._read(job_id, one) for one in stored)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Delete the pictures of these jobs, as far as there are any."""
        for job_id in job_ids:
            with suppress(FileNotFoundError):
                shutil.rmtree(self._folder / job_id)

    def _read(self, job_id: str, stored: StoredImage) -> Picture:
        path = self._folder / job_id / stored.filename
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PictureLostError(f"The picture {path} cannot be read: {error}.") from error
        if hashlib.sha256(data).hexdigest() != stored.sha256:
            raise PictureLostError(f"The picture {path} is not what was written.")
        return Picture(stored.index, stored.filename, data)


def _picture_name(job_id: str, index: int, extension: str) -> str:
    """What the file of picture `index` (from 0) is called; never after the prompt."""
    return f"{job_id}_{index}.{extension}"
