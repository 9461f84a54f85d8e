"""Pictures wherever they are kept: whole, small enough, and known by their hash."""

import io
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bot.errors import GalleryError, PictureLostError
from bot.gallery.gallery import ObjectGallery
from bot.gallery.objects import Objects
from sdxl_engine import GeneratedImage, InvalidRequestError
from sdxl_engine.marks.credentials import Credentials
from sdxl_engine.marks.file_marks import marks_in
from sdxl_engine.marks.marks import Marks
from sdxl_engine.marks.watermark import Watermark
from sdxl_engine.pictures import decode
from tests.bot.core.jobs import make_job
from tests.bot.gallery.drawn import REQUEST, drawn
from tests.fakes import card_of
from tests.sdxl_engine.marks.authority import elliptic, write_chain, write_key


async def test_pictures_come_back_as_they_were_stored(gallery: ObjectGallery) -> None:
    job = make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    pictures = await gallery.read(job.id, stored)
    assert [one.filename for one in pictures] == [f"{job.id}_{n}.png" for n in range(4)]
    assert [one.size_bytes for one in stored] == [len(one.data) for one in pictures]
    with Image.open(io.BytesIO(pictures[3].data)) as picture:
        assert picture.tobytes() == drawn()[3].rgb
        assert ", Index: 3, Size" in picture.info["parameters"]
        assert picture.info["parameters"].endswith("Model: doodle")


async def test_a_model_that_was_chosen_is_the_one_that_is_named(gallery: ObjectGallery) -> None:
    job = make_job()
    stored = await gallery.store(job, replace(REQUEST, model="other"), drawn())
    (first, *_) = await gallery.read(job.id, stored)
    with Image.open(io.BytesIO(first.data)) as picture:
        assert picture.info["parameters"].endswith("Model: other")


async def test_stored_twice_they_are_the_same_files(
    gallery: ObjectGallery, objects: Objects
) -> None:
    job = make_job()
    first = await gallery.store(job, REQUEST, drawn())
    assert await gallery.store(job, REQUEST, drawn()) == first
    assert len(await gallery.read(job.id, first)) == 4
    assert objects.folders("") == (job.id,)


async def test_files_fit_the_limit_of_the_place(gallery: ObjectGallery) -> None:
    job = make_job(attachment_limit_bytes=6_000)
    stored = await gallery.store(job, REQUEST, drawn())
    assert all(one.filename.endswith(".webp") and one.size_bytes <= 6_000 for one in stored)


@pytest.mark.parametrize("harm", ["deleted", "cut", "changed"])
async def test_a_file_that_is_not_what_was_written_is_found_out(
    gallery: ObjectGallery, objects: Objects, harm: str
) -> None:
    job = make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    name = f"{job.id}/{stored[0].filename}"
    data = objects.get(name)
    match harm:
        case "deleted":
            objects.delete(job.id)
        case "cut":
            objects.put(name, data[:-1])
        case "changed":
            objects.put(name, data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(PictureLostError, match=stored[0].filename):
        await gallery.read(job.id, stored)


async def test_forgotten_pictures_are_gone(gallery: ObjectGallery, objects: Objects) -> None:
    job, other = make_job(), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    left = await gallery.store(other, REQUEST, drawn())
    await gallery.forget([job.id, "unknown"])
    assert objects.folders("") == (other.id,)
    assert len(await gallery.read(other.id, left)) == 4
    with pytest.raises(PictureLostError):
        await gallery.read(job.id, stored)


async def test_the_images_of_a_request_keep_their_seed(gallery: ObjectGallery) -> None:
    image = GeneratedImage(2, 99, 8, 8, bytes(192))
    (stored,) = await gallery.store(make_job(), REQUEST, (image,))
    assert (stored.index, stored.seed) == (2, 99)


async def test_pictures_are_marked_and_the_hash_is_that_of_the_marked_file(
    objects: Objects, tmp_path: Path
) -> None:
    key = elliptic()
    chain, file = write_chain(tmp_path / "chain", key), write_key(tmp_path / "key", key)
    marks = Marks(Watermark(), xmp=True, credentials=Credentials(chain, file))
    gallery, job = ObjectGallery(objects, card_of, marks), make_job()
    first = await gallery.store(job, REQUEST, drawn())
    again = await gallery.store(job, REQUEST, drawn())  # as after a crash
    assert first != again  # no two signatures are the same
    pictures = await gallery.read(job.id, again)
    found = marks_in(pictures[0].data)
    assert found.says_model
    assert found.credentials is not None
    assert found.credentials.is_whole
    shown = [decode(one.data) for one in pictures]
    await gallery.store(job, REQUEST, drawn())
    with pytest.raises(PictureLostError):  # only what the last call returned is there
        await gallery.read(job.id, again)
    assert len({one.digest for one in shown}) == len(drawn())


async def brought_file(gallery: ObjectGallery) -> bytes:
    """A file as somebody may bring it."""
    job = make_job()
    (stored, *_) = await gallery.store(job, REQUEST, drawn())
    (picture,) = await gallery.read(job.id, [stored])
    await gallery.forget([job.id])
    return picture.data


async def test_what_is_brought_is_kept_as_it_came(gallery: ObjectGallery) -> None:
    file = await brought_file(gallery)
    job, other = make_job(), make_job()
    (digest,) = await gallery.bring(job.id, [file, file])
    assert list(await gallery.brought(job.id, [digest])) == [digest]
    await gallery.hand_on(job.id, other.id, [digest])
    assert sorted(await gallery.starters()) == sorted([job.id, other.id])
    await gallery.forget_drawn([other.id])
    await gallery.forget_brought([job.id])
    assert (await gallery.brought_file(other.id, digest)).data == file
    with pytest.raises(PictureLostError, match=digest):
        await gallery.brought(job.id, [digest])
    assert await gallery.starters() == (other.id,)


async def test_what_is_no_picture_is_not_kept(gallery: ObjectGallery) -> None:
    with pytest.raises(InvalidRequestError):
        await gallery.bring(make_job().id, [b"no picture"])
    assert await gallery.starters() == ()


@pytest.mark.parametrize("instead", [b"no picture", "another"])
async def test_what_was_brought_and_shows_something_else_is_lost(
    gallery: ObjectGallery, objects: Objects, instead: bytes | str
) -> None:
    file = await brought_file(gallery)
    job = make_job()
    (digest,) = await gallery.bring(job.id, [file])
    stored = await gallery.store(job, REQUEST, drawn())
    other = (await gallery.read(job.id, [stored[1]]))[0].data
    data = other if isinstance(instead, str) else instead
    objects.put(f".brought/{job.id}/{digest}", data)
    with pytest.raises(PictureLostError, match=digest):
        await gallery.brought(job.id, [digest])


async def test_copies_are_of_the_other_job_and_found_while_nobody_knows_it(
    gallery: ObjectGallery,
) -> None:
    job, other = make_job(), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    copied = await gallery.copy(job.id, other.id, stored[1:3])
    assert [one.filename for one in copied] == [f"{other.id}_{n}.png" for n in (1, 2)]
    assert await gallery.starters() == (other.id,)
    await gallery.forget([job.id])
    assert len(await gallery.read(other.id, copied)) == 2
    await gallery.forget([other.id])
    assert await gallery.starters() == ()


async def test_thumbnails_are_small_and_none_where_a_picture_is_lost(
    gallery: ObjectGallery,
) -> None:
    job = make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    lost = replace(stored[0], filename="lost.png")
    first, second = await gallery.thumbnails([(job.id, lost), (job.id, stored[1])])
    assert first is None
    assert second is not None
    assert second.index == 1


async def test_a_place_that_is_well_is_left_as_it_was(
    gallery: ObjectGallery, objects: Objects
) -> None:
    for _ in range(2):
        await gallery.probe()
        await gallery.mend()
    assert objects.folders("") == ()


class Flaky:
    """Implements `Objects`: some of the first answers are others.

    answers  what the first ones make of what is there
    asked    how often something was got
    """

    def __init__(self, objects: Objects, *answers: Callable[[bytes], bytes]) -> None:
        self.put, self.folders = objects.put, objects.folders
        self.delete, self.probe, self.mend = objects.delete, objects.probe, objects.mend
        self._objects = objects
        self._answers = list(answers)
        self.asked = 0

    def get(self, name: str) -> bytes:
        """What is there, or what is answered instead."""
        self.asked += 1
        data = self._objects.get(name)
        return self._answers.pop(0)(data) if self._answers else data


def cut(data: bytes) -> bytes:
    return data[:-1]


def lost(_: bytes) -> bytes:
    raise PictureLostError("It is not whole.")


def away(_: bytes) -> bytes:
    raise GalleryError("Nobody knows.", found="The store is down.")


@pytest.mark.parametrize("answer", [cut, lost])
async def test_what_was_lost_on_its_way_is_fetched_once_more(
    objects: Objects, answer: Callable[[bytes], bytes]
) -> None:
    flaky = Flaky(objects, answer)
    gallery, job = ObjectGallery(flaky, card_of), make_job()
    (stored, *_) = await gallery.store(job, REQUEST, drawn())
    assert len(await gallery.read(job.id, [stored])) == 1
    assert flaky.asked == 2
    flaky = Flaky(objects, answer, answer)
    with pytest.raises(PictureLostError):
        await ObjectGallery(flaky, card_of).read(job.id, [stored])
    assert flaky.asked == 2


async def test_what_cannot_be_fetched_now_is_not_lost(objects: Objects) -> None:
    flaky = Flaky(objects, away, away)
    gallery, job = ObjectGallery(flaky, card_of), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    with pytest.raises(GalleryError):
        await gallery.read(job.id, stored)
    assert flaky.asked == 1
    # Of a page not each is waited for.
    assert await gallery.thumbnails([(job.id, one) for one in stored]) == (None,) * 4
    assert flaky.asked == 2


async def test_what_is_to_be_mended_is_in_the_log_once_while_it_is_so(
    objects: Objects, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    gallery, job = ObjectGallery(Flaky(objects, away, away), card_of), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    for _ in range(2):
        with pytest.raises(GalleryError):
            await gallery.read(job.id, stored)
    assert caplog.messages == ["The store is down."]
    gallery = ObjectGallery(Flaky(objects, away, bytes, bytes, bytes, bytes, away), card_of)
    for is_away in (True, False, True):
        if is_away:
            with pytest.raises(GalleryError):
                await gallery.read(job.id, stored)
        else:
            await gallery.read(job.id, stored)
    assert caplog.messages == ["The store is down."] * 3
