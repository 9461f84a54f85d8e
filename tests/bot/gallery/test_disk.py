"""Pictures on the disk: whole, small enough, and known by their hash."""

import io
from pathlib import Path

import pytest
from PIL import Image

from bot.errors import GalleryError, PictureLostError
from bot.gallery.disk import DiskGallery
from sdxl_engine import GeneratedImage, Images
from tests.bot.core.jobs import make_job
from tests.fakes import FakePipeline

REQUEST = make_job().wish.resolve((64, 64))


def count_files(folder: Path) -> int:
    return len(list(folder.glob("*/*")))


def drawn() -> Images:
    *_, last = FakePipeline().generate(REQUEST)
    assert last.fetch is not None
    return last.fetch()


async def test_pictures_come_back_as_they_were_stored(tmp_path: Path) -> None:
    gallery, job = DiskGallery(tmp_path, "doodle"), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    pictures = await gallery.read(job.id, stored)
    assert [one.filename for one in pictures] == [f"{job.id}_{n}.png" for n in range(4)]
    assert [one.size_bytes for one in stored] == [len(one.data) for one in pictures]
    with Image.open(io.BytesIO(pictures[3].data)) as picture:
        assert picture.tobytes() == drawn()[3].rgb
        assert ", Index: 3, Size" in picture.info["parameters"]
        assert picture.info["parameters"].endswith("Model: doodle")


async def test_stored_twice_they_are_the_same_files(tmp_path: Path) -> None:
    gallery, job = DiskGallery(tmp_path, "doodle"), make_job()
    assert await gallery.store(job, REQUEST, drawn()) == await gallery.store(job, REQUEST, drawn())
    assert count_files(tmp_path) == 4


async def test_files_fit_the_limit_of_the_place(tmp_path: Path) -> None:
    job = make_job(attachment_limit_bytes=6_000)
    stored = await DiskGallery(tmp_path, "doodle").store(job, REQUEST, drawn())
    assert all(one.filename.endswith(".webp") and one.size_bytes <= 6_000 for one in stored)


@pytest.mark.parametrize("harm", ["deleted", "cut", "changed"])
async def test_a_file_that_is_not_what_was_written_is_found_out(tmp_path: Path, harm: str) -> None:
    gallery, job = DiskGallery(tmp_path, "doodle"), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    path = tmp_path / job.id / stored[1].filename
    data = path.read_bytes()
    match harm:
        case "deleted":
            path.unlink()
        case "cut":
            path.write_bytes(data[:-1])
        case "changed":
            path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(PictureLostError, match=stored[1].filename):
        await gallery.read(job.id, stored)


async def test_forgotten_pictures_are_gone(tmp_path: Path) -> None:
    gallery, job, other = DiskGallery(tmp_path, "doodle"), make_job(), make_job()
    await gallery.store(job, REQUEST, drawn())
    await gallery.store(other, REQUEST, drawn())
    await gallery.forget([job.id, "unknown"])
    assert not (tmp_path / job.id).exists()
    assert count_files(tmp_path) == 4


async def test_a_folder_that_cannot_be_written_is_a_gallery_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(GalleryError, match=r"images.*Make room"):
        await DiskGallery(tmp_path / "images", "doodle").store(make_job(), REQUEST, drawn())


async def test_the_images_of_a_request_keep_their_seed(tmp_path: Path) -> None:
    image = GeneratedImage(2, 99, 8, 8, bytes(192))
    (stored,) = await DiskGallery(tmp_path, "doodle").store(make_job(), REQUEST, (image,))
    assert (stored.index, stored.seed) == (2, 99)
