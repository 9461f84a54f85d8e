"""Pictures, those drawn and those drawn from, to the end of their days."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

from bot.core.job import Job, StoredImage
from bot.core.ports.gallery import Picture
from bot.errors import GalleryError, PictureLostError
from bot.gallery.objects import MAX_CALLS, Objects
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.images import describe, encode_within, thumbnail
from sdxl_engine.marks.marks import NO_MARKS, Marks
from sdxl_engine.pictures import decode
from sdxl_engine.request import ImageRequest, Images, ModelCard, Pictures
from sdxl_engine.request import Picture as Brought
from sdxl_engine.sentence import say, sentence_of

log = logging.getLogger(__name__)

T = TypeVar("T")

# What one message takes with all its files: 25 MiB, text included. A file's own limit is the job's.
_MAX_UPLOAD_BYTES: Final = 25 * 2**20 - 64 * 2**10
_DIGEST_CHARS: Final = 8
# How the files begin that people may bring.
_KINDS: Final = {b"\x89PNG": "png", b"\xff\xd8": "jpg", b"RIFF": "webp", b"GIF8": "gif"}
_BROUGHT: Final = ".brought"  # a folder a job, as beside it
_COPIED: Final = ".copied"  # says in there that the job's own folder may hold something
_STORERS: Final = 2  # encoding keeps a core busy
_DECODERS: Final = 2  # so does decoding, and each may take gigabytes
# Not the event loop's own threads: where objects are slow, nothing else waits for them.
_FETCHERS: Final = MAX_CALLS - _STORERS - _DECODERS
_DONE: Final = object()


class ObjectGallery:
    """Implements `Gallery`: a folder a job, an object a picture.

    What people bring is kept as the file that it was, under the hash of what it shows.

    objects  where the bytes are
    card_of  what a picture says of the files that drew it; asked on a thread
    marks    what every picture that was drawn is marked with
    """

    def __init__(
        self,
        objects: Objects,
        card_of: Callable[[ImageRequest], ModelCard],
        marks: Marks = NO_MARKS,
    ) -> None:
        self._objects = objects
        self._card_of = card_of
        self._marks = marks
        self._storers = ThreadPoolExecutor(_STORERS, thread_name_prefix="store")
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        self._calls: set[Future[Any]] = set()  # not over yet
        self._said = ""  # last, of what whoever runs the bot has to mend

    async def store(
        self, job: Job, request: ImageRequest, images: Images
    ) -> tuple[StoredImage, ...]:
        """See `Gallery.store`."""
        return await self._on(self._storers, lambda: self._store(job, request, images))

    async def read(self, job_id: str, stored: Sequence[StoredImage]) -> tuple[Picture, ...]:
        """See `Gallery.read`."""
        return await self._on(
            self._fetchers, lambda: tuple(self._read(job_id, image) for image in stored)
        )

    async def bring(self, job_id: str, files: Sequence[bytes]) -> Pictures:
        """See `Gallery.bring`."""
        return await self._on(self._decoders, lambda: self._bring(job_id, files))

    async def brought(self, job_id: str, digests: Sequence[str]) -> Pictures:
        """See `Gallery.brought`."""

        def brought() -> Pictures:
            return {one: _twice(self._shown, job_id, one) for one in digests}

        return await self._on(self._decoders, brought)

    async def brought_file(self, job_id: str, digest: str) -> Picture:
        """See `Gallery.brought_file`."""
        data = await self._on(self._fetchers, lambda: _twice(self._source, job_id, digest))
        kind = next((name for start, name in _KINDS.items() if data.startswith(start)), "bin")
        return Picture(0, f"{job_id}_{digest[:_DIGEST_CHARS]}.{kind}", data)

    async def copy(
        self, job_id: str, to: str, stored: Sequence[StoredImage]
    ) -> tuple[StoredImage, ...]:
        """See `Gallery.copy`."""

        def copied() -> Iterator[StoredImage]:
            # Found by `starters` if the process ends before the other job is on record.
            self._objects.put(f"{_BROUGHT}/{to}/{_COPIED}", b"")
            for image in stored:
                data = self._read(job_id, image).data
                extension = image.filename.rpartition(".")[2]
                filename = _picture_name(to, image.index, extension)
                self._objects.put(f"{to}/{filename}", data)
                yield replace(image, filename=filename)

        return await self._on(self._fetchers, lambda: tuple(copied()))

    async def hand_on(self, job_id: str, to: str, digests: Sequence[str]) -> None:
        """See `Gallery.hand_on`."""

        def hand_on() -> None:
            for digest in digests:
                self._keep(to, digest, _twice(self._source, job_id, digest))

        await self._on(self._fetchers, hand_on)

    async def starters(self) -> tuple[str, ...]:
        """See `Gallery.starters`."""
        return await self._on(self._fetchers, lambda: self._objects.folders(_BROUGHT))

    async def thumbnails(
        self, pictures: Sequence[tuple[str, StoredImage]]
    ) -> tuple[Picture | None, ...]:
        """See `Gallery.thumbnails`."""
        return await self._on(self._decoders, lambda: tuple(self._thumbnails(pictures)))

    async def probe(self) -> None:
        """See `Gallery.probe`."""
        await self._on(self._fetchers, self._objects.probe)

    async def forget(self, job_ids: Sequence[str]) -> None:
        """See `Gallery.forget`."""
        await self._forget([folder for one in job_ids for folder in (one, f"{_BROUGHT}/{one}")])

    async def forget_drawn(self, job_ids: Sequence[str]) -> None:
        """See `Gallery.forget_drawn`."""
        await self._forget(job_ids)

    async def forget_brought(self, job_ids: Sequence[str]) -> None:
        """See `Gallery.forget_brought`."""
        await self._forget([f"{_BROUGHT}/{one}" for one in job_ids])

    async def mend(self) -> None:
        """See `Objects.mend`."""
        parts = self._objects.mend()
        while await self._on(self._fetchers, lambda: next(parts, _DONE)) is not _DONE:
            pass  # a stop waits for one part alone

    @property
    def is_alive(self) -> bool:
        """Whether a call is under way, which `close` could not end."""
        return bool(self._calls)

    def close(self) -> None:
        """Begin nothing any more."""
        for executor in (self._storers, self._decoders, self._fetchers):
            executor.shutdown(wait=False, cancel_futures=True)

    async def _on(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            call = threads.submit(work)
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            result = await asyncio.wrap_future(call)
        except GalleryError as error:
            # Once, while it is so: what people wait for is tried again and again.
            if error.found not in {str(error), self._said}:
                log.warning("%s", error.found)
            self._said = error.found
            raise
        self._said = ""
        return result

    def _store(self, job: Job, request: ImageRequest, images: Images) -> tuple[StoredImage, ...]:
        limit_bytes = min(job.origin.attachment_limit_bytes, _MAX_UPLOAD_BYTES // len(images))
        stored = []
        card = self._card_of(request)
        for image in images:
            parameters = describe(request, image.index, model=card)
            file = encode_within(image, parameters, limit_bytes, self._marks)
            filename = _picture_name(job.id, image.index, file.extension)
            self._objects.put(f"{job.id}/{filename}", file.data)
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

    def _shown(self, job_id: str, digest: str) -> Brought:
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
        return picture

    def _keep(self, job_id: str, digest: str, data: bytes) -> None:
        self._objects.put(f"{_BROUGHT}/{job_id}/{digest}", data)

    def _source(self, job_id: str, digest: str) -> bytes:
        return self._objects.get(f"{_BROUGHT}/{job_id}/{digest}")

    def _read(self, job_id: str, stored: StoredImage) -> Picture:
        name = f"{job_id}/{stored.filename}"

        def read() -> Picture:
            data = self._objects.get(name)
            if hashlib.sha256(data).hexdigest() != stored.sha256:
                raise PictureLostError(
                    say("The picture {path} is not what was written.", path=name)
                )
            return Picture(stored.index, stored.filename, data)

        return _twice(read)

    def _thumbnails(self, pictures: Sequence[tuple[str, StoredImage]]) -> Iterator[Picture | None]:
        is_away = False
        for job_id, stored in pictures:
            if is_away:  # a page of them is not waited for, one after the other
                yield None
                continue
            try:
                small = thumbnail(self._read(job_id, stored).data)
            except PictureLostError as error:
                log.info("%s", error)
                yield None
            except GalleryError as error:
                log.warning("a page is shown without its pictures: %s", error.found)
                is_away = True
                yield None
            else:
                name = _picture_name(job_id, stored.index, small.extension)
                yield Picture(stored.index, name, small.data)

    async def _forget(self, folders: Sequence[str]) -> None:
        def forget() -> None:
            for folder in folders:
                self._objects.delete(folder)

        await self._on(self._fetchers, forget)


def _twice(look: Callable[..., T], *args: object) -> T:
    """Once more where something is lost: it may have been lost on its way here alone."""
    try:
        return look(*args)
    except PictureLostError as error:
        log.info("%s It is looked at once more.", error)
    return look(*args)


def _picture_name(job_id: str, index: int, extension: str) -> str:
    """What the file of picture `index` (from 0) is called; never after the prompt."""
    return f"{job_id}_{index}.{extension}"
