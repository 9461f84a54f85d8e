"""Pictures on the disk: whole, small enough, and known by their hash."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bot.errors import PictureLostError
from bot.gallery.disk import Album
from sdxl_engine import GeneratedImage, Images
from tests.bot.core.jobs import make_job
from tests.fakes import FakePipeline


def drawn() -> Images:
    *_, last = FakePipeline().generate(make_job().request)
    assert last.fetch is not None
    return last.fetch()


def test_pictures_come_back_as_they_were_stored(tmp_path: Path) -> None:
    album, job = Album(tmp_path, "doodle"), make_job()
    stored = album.store(job, drawn())
    pictures = album.read(job.id, stored)
    assert [one.filename for one in pictures] == [f"{job.id}_{n}.png" for n in range(4)]
    assert [one.size_bytes for one in stored] == [len(one.data) for one in pictures]
    with Image.open(io.BytesIO(pictures[3].data)) as picture:
        assert picture.tobytes() == drawn()[3].rgb
        assert ", Index: 3, Size" in picture.info["parameters"]
        assert picture.info["parameters"].endswith("Model: doodle")


def test_stored_twice_they_are_the_same_files(tmp_path: Path) -> None:
    album, job = Album(tmp_path, "doodle"), make_job()
    assert album.store(job, drawn()) == album.store(job, drawn())
    assert len(list(tmp_path.glob("*/*"))) == 4


def test_files_fit_the_limit_of_the_place(tmp_path: Path) -> None:
    job = replace(make_job(), attachment_limit_bytes=6_000)
    stored = Album(tmp_path, "doodle").store(job, drawn())
    assert all(one.filename.endswith(".webp") and one.size_bytes <= 6_000 for one in stored)


@pytest.mark.parametrize("harm", ["deleted", "cut", "changed"])
def test_a_file_that_is_not_what_was_written_is_found_out(tmp_path: Path, harm: str) -> None:
    album, job = Album(tmp_path, "doodle"), make_job()
    stored = album.store(job, drawn())
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
        album.read(job.id, stored)


def test_forgotten_pictures_are_gone(tmp_path: Path) -> None:
    album, job, other = Album(tmp_path, "doodle"), make_job(), make_job()
    album.store(job, drawn())
    album.store(other, drawn())
    album.forget([job.id, "unknown"])
    assert [path.name for path in tmp_path.iterdir()] == [other.id]


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(OSError, match="images"):
        Album(tmp_path / "images", "doodle").store(make_job(), drawn())


def test_the_images_of_a_request_keep_their_seed(tmp_path: Path) -> None:
    image = GeneratedImage(2, 99, 8, 8, bytes(192))
    (stored,) = Album(tmp_path, "doodle").store(make_job(), (image,))
    assert (stored.index, stored.seed) == (2, 99)
