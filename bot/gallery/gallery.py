"""Pictures in a folder, those drawn and those drawn from, to the end of their days."""

import asyncio
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from bot.core.job import Job, StoredImage
from bot.core.ports.gallery import Picture
from bot.errors import GalleryError, PictureLostError
from bot.shared.files import write_atomically
from bot.shared.private import close_all_to_others, close_to_others
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.images import describe, encode_within, thumbnail
from sdxl_engine.marks.marks import NO_MARKS, Marks
from sdxl_engine.pictures import decode
from sdxl_engine.request import ImageRequest, Images, ModelCard, Pictures
from sdxl_engine.request import Picture as Brought
from sdxl_engine.sentence import say, sentence_of

log = logging.getLogger(__name__)

# What one message takes with all its files: 25 MiB, text included. A file's own limit is the job's.
_MAX_UPLOAD_BYTES: Final = 25 * 2**20 - 64 * 2**10
_PROBE: Final = ".probe"
_DIGEST_CHARS: Final = 8
# How the files begin that people may bring.
_KINDS: Final = {b"\x89PNG": "png", b"\xff\xd8": "jpg", b"RIFF": "webp", b"GIF8": "gif"}
_BROUGHT: Final = ".brought"  # a folder a job, as beside it
_PROBE_BYTES: Final = 2**20  # as much as a picture: a file with nothing in it fits a full disk
_STORERS: Final = 2  # encoding keeps a core busy
_DECODERS: Final = 2  # so does decoding, and each may take gigabytes
_MENDED_AT_ONCE: Final = 200  # folders; a stop waits for no more


class DiskGallery:
    """Implements `Gallery`: a folder a job, a file a picture, all of it their owner's alone.

    What people bring is kept as the file that it was, under the hash of what it shows.

    folder   made with the first picture
    card_of  what a picture says of the files that drew it; asked on a thread
    marks    what every picture that was drawn is marked with
    """

    def __init__(
        self,
        folder: Path,
        card_of: Callable[[ImageRequest], ModelCard],
        marks: Marks = NO_MARKS,
    ) -> None:
        self._folder = folder
        self._card_of = card_of
        self._marks = marks
        self._storers = ThreadPoolExecutor(_STORERS, thread_name_prefix="store")
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")

    async def store(
        self, job: Job, request: ImageRequest, images: Images
    ) -> tuple[StoredImage, ...]:
        """See `Gallery.store`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._storers, self._store, job, request, images)

    async def read(self, job_id: str, stored: Sequence[StoredImage]) -> tuple[Picture, ...]:
        """See `Gallery.read`."""
        return await asyncio.to_thread(lambda: tuple(self._read(job_id, image) for image in stored))

    async def bring(self, job_id: str, files: Sequence[bytes]) -> Pictures:
        """See `Gallery.bring`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._bring, job_id, files)

    async def brought(self, job_id: str, digests: Sequence[str]) -> Pictures:
        """See `Gallery.brought`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._brought, job_id, digests)

    async def brought_file(self, job_id: str, digest: str) -> Picture:
        """See `Gallery.brought_file`."""
        data = await asyncio.to_thread(self._source, job_id, digest)
        kind = next((name for start, name in _KINDS.items() if data.startswith(start)), "bin")
        return Picture(0, f"{job_id}_{digest[:_DIGEST_CHARS]}.{kind}", data)

    async def copy(
        self, job_id: str, to: str, stored: Sequence[StoredImage]
    ) -> tuple[StoredImage, ...]:
        """See `Gallery.copy`."""

        def copied() -> Iterator[StoredImage]:
            # Found by `starters` if the process ends before the other job is on record.
            (self._folder / _BROUGHT / to).mkdir(parents=True, exist_ok=True)
            for image in stored:
                data = self._read(job_id, image).data
                extension = image.filename.rpartition(".")[2]
                filename = _picture_name(to, image.index, extension)
                _write(self._folder / to / filename, data)
                yield replace(image, filename=filename)

        return await asyncio.to_thread(lambda: tuple(copied()))

    async def hand_on(self, job_id: str, to: str, digests: Sequence[str]) -> None:
        """See `Gallery.hand_on`."""

        def hand_on() -> None:
            for digest in digests:
                self._keep(to, digest, self._source(job_id, digest))

        await asyncio.to_thread(hand_on)

    async def starters(self) -> tuple[str, ...]:
        """See `Gallery.starters`."""

        def listed() -> tuple[str, ...]:
            try:
                return tuple(path.name for path in (self._folder / _BROUGHT).iterdir())
            except FileNotFoundError:  # it comes with the first
                return ()

        return await asyncio.to_thread(listed)

    async def thumbnails(
        self, pictures: Sequence[tuple[str, StoredImage]]
    ) -> tuple[Picture | None, ...]:
        """See `Gallery.thumbnails`."""

        def made() -> tuple[Picture | None, ...]:
            return tuple(self._thumbnail(job_id, stored) for job_id, stored in pictures)

        return await asyncio.get_running_loop().run_in_executor(self._decoders, made)

    async def probe(self) -> None:
        """See `Gallery.probe`."""
        await asyncio.to_thread(self._probe)

    async def forget(self, job_ids: Sequence[str]) -> None:
        """See `Gallery.forget`."""
        folders = [self._folder, self._folder / _BROUGHT]
        await asyncio.to_thread(self._forget, job_ids, folders)

    async def forget_drawn(self, job_ids: Sequence[str]) -> None:
        """See `Gallery.forget_drawn`."""
        await asyncio.to_thread(self._forget, job_ids, [self._folder])

    async def forget_brought(self, job_ids: Sequence[str]) -> None:
        """See `Gallery.forget_brought`."""
        await asyncio.to_thread(self._forget, job_ids, [self._folder / _BROUGHT])

    async def mend(self) -> None:
        """Close to others what was open to them: an earlier version's files, or a restored copy's.

        What cannot be closed is logged, and left as it is.
        """
        failures = []
        try:
            # With the folder above them closed, nobody reaches the rest meanwhile.
            await asyncio.to_thread(close_to_others, self._folder, follow=True)
        except FileNotFoundError:  # it comes with the first picture
            return
        except OSError as error:
            failures.append(error)
        try:
            jobs = await asyncio.to_thread(lambda: list(self._folder.iterdir()))
        except OSError as error:
            jobs = []
            failures.append(error)
        for first in range(0, len(jobs), _MENDED_AT_ONCE):
            batch = jobs[first : first + _MENDED_AT_ONCE]
            failures += await asyncio.to_thread(close_all_to_others, batch)
        if failures:
            log.warning(
                "others may be able to read %d files and folders of the album, and this account "
                "cannot change that (%s). As their owner: chmod -R go= %s",
                len(failures),
                failures[0],
                self._folder,
            )

    def close(self) -> None:
        """Begin nothing any more."""
        for executor in (self._storers, self._decoders):
            executor.shutdown(wait=False, cancel_futures=True)

    def _store(self, job: Job, request: ImageRequest, images: Images) -> tuple[StoredImage, ...]:
        limit_bytes = min(job.origin.attachment_limit_bytes, _MAX_UPLOAD_BYTES // len(images))
        stored = []
        card = self._card_of(request)
        for image in images:
            parameters = describe(request, image.index, model=card)
            file = encode_within(image, parameters, limit_bytes, self._marks)
            filename = _picture_name(job.id, image.index, file.extension)
            _write(self._folder / job.id / filename, file.data)
            digest = hashlib.sha256(file.data).hexdigest()
            stored.append(StoredImage(image.index, image.seed, filename, digest, len(file.data)))
        return tuple(stored)

    def _bring(self, job_id: str, files: Sequence[bytes]) -> Pictures:
        pictures: dict[str, Brought] = {}
        for data in files:
            picture = decode(data)
            pictures[picture.digest] = picture
            self._keep(job_id, picture.digest, data)
        return pictures

    def _brought(self, job_id: str, digests: Sequence[str]) -> Pictures:
        pictures = {}
        for digest in digests:
            try:
                picture = decode(self._source(job_id, digest))
            except InvalidRequestError as error:  # it could be read once
                raise PictureLostError(
                    say(
                        "The picture {digest} for {job}: {why}",
                        digest=digest,
                        job=job_id,
                        why=sentence_of(error),
                    )
                ) from error
            if picture.digest != digest:
                raise PictureLostError(
                    say(
                        "The picture {digest} for {job} shows something else.",
                        digest=digest,
                        job=job_id,
                    )
                )
            pictures[digest] = picture
        return pictures

    def _keep(self, job_id: str, digest: str, data: bytes) -> None:
        _write(self._folder / _BROUGHT / job_id / digest, data)

    def _source(self, job_id: str, digest: str) -> bytes:
        return _read(self._folder / _BROUGHT / job_id / digest)

    def _probe(self) -> None:
        path = self._folder / _PROBE
        try:
            write_atomically(path, bytes(_PROBE_BYTES))
            path.unlink()
        except OSError as error:
            raise GalleryError(
                say("Nothing can be written to {folder}. Make room.", folder=str(self._folder))
            ) from error

    def _read(self, job_id: str, stored: StoredImage) -> Picture:
        path = self._folder / job_id / stored.filename
        data = _read(path)
        if hashlib.sha256(data).hexdigest() != stored.sha256:
            raise PictureLostError(
                say("The picture {path} is not what was written.", path=str(path))
            )
        return Picture(stored.index, stored.filename, data)

    def _thumbnail(self, job_id: str, stored: StoredImage) -> Picture | None:
        try:
            picture = self._read(job_id, stored)
        except PictureLostError as error:
            log.info("%s", error)
            return None
        small = thumbnail(picture.data)
        return Picture(
            stored.index, _picture_name(job_id, stored.index, small.extension), small.data
        )

    def _forget(self, job_ids: Sequence[str], folders: Sequence[Path]) -> None:
        for job_id in job_ids:
            try:
                for folder in folders:
                    # Somebody else may delete the same: what they took first is no failure.
                    while (folder / job_id).exists():
                        with suppress(FileNotFoundError):
                            shutil.rmtree(folder / job_id)
            except OSError as error:
                raise GalleryError(
                    say(
                        "The pictures of {job} cannot be deleted ({why}).",
                        job=job_id,
                        why=str(error.strerror),
                    )
                ) from error


def _write(path: Path, data: bytes) -> None:
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureLostError(
            say("The picture {path} cannot be read: {why}.", path=str(path), why=str(error))
        ) from error


def _picture_name(job_id: str, index: int, extension: str) -> str:
    """What the file of picture `index` (from 0) is called; never after the prompt."""
    return f"{job_id}_{index}.{extension}"
