"""Pictures on the disk: whole, small enough, and known by their hash."""

import io
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bot.errors import GalleryError, PictureLostError
from bot.gallery.gallery import DiskGallery
from sdxl_engine import GeneratedImage, Images
from sdxl_engine.marks.credentials import Credentials
from sdxl_engine.marks.file_marks import marks_in
from sdxl_engine.marks.marks import Marks
from sdxl_engine.marks.watermark import Watermark
from sdxl_engine.pictures import decode
from tests.bot.core.jobs import make_job
from tests.fakes import FakePipeline, card_of
from tests.sdxl_engine.marks.authority import elliptic, write_chain, write_key

REQUEST = make_job().wish.resolve((64, 64))


def count_files(folder: Path) -> int:
    return len(list(folder.glob("*/*")))


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


def drawn() -> Images:
    *_, last = FakePipeline().generate(REQUEST)
    assert last.fetch is not None
    return last.fetch()


async def test_pictures_come_back_as_they_were_stored(tmp_path: Path) -> None:
    gallery, job = DiskGallery(tmp_path, card_of), make_job()
    stored = await gallery.store(job, REQUEST, drawn())
    pictures = await gallery.read(job.id, stored)
    assert [one.filename for one in pictures] == [f"{job.id}_{n}.png" for n in range(4)]
    assert [one.size_bytes for one in stored] == [len(one.data) for one in pictures]
    with Image.open(io.BytesIO(pictures[3].data)) as picture:
        assert picture.tobytes() == drawn()[3].rgb
        assert ", Index: 3, Size" in picture.info["parameters"]
        assert picture.info["parameters"].endswith("Model: doodle")


async def test_a_model_that_was_chosen_is_the_one_that_is_named(tmp_path: Path) -> None:
    gallery, job = DiskGallery(tmp_path, card_of), make_job()
    stored = await gallery.store(job, replace(REQUEST, model="other"), drawn())
    (first, *_) = await gallery.read(job.id, stored)
    with Image.open(io.BytesIO(first.data)) as picture:
        assert picture.info["parameters"].endswith("Model: other")


async def test_they_are_their_owners_alone(tmp_path: Path) -> None:
    await DiskGallery(tmp_path / "images", card_of).store(make_job(), REQUEST, drawn())
    assert modes(tmp_path / "images") == {0o700, 0o600}


@pytest.mark.parametrize("count", [0, 1, 450])
async def test_an_album_that_others_could_read_is_closed_to_them(
    tmp_path: Path, count: int
) -> None:
    album = tmp_path / "images"
    for number in range(count):
        (album / str(number)).mkdir(parents=True)
        (album / str(number) / "0.png").write_bytes(b"png")
    for path in (album, *album.rglob("*")):
        if count:
            path.chmod(0o755 if path.is_dir() else 0o644)
    await DiskGallery(album, card_of).mend()
    assert not count or modes(album) == {0o700, 0o600}


async def test_an_album_on_another_disk_is_closed_as_well(tmp_path: Path) -> None:
    (tmp_path / "large" / "job").mkdir(parents=True)
    for path in (tmp_path / "large", tmp_path / "large" / "job"):
        path.chmod(0o755)
    (tmp_path / "images").symlink_to(tmp_path / "large")
    await DiskGallery(tmp_path / "images", card_of).mend()
    assert modes(tmp_path / "large") == {0o700}


async def test_an_album_of_somebody_else_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    for path in (tmp_path, tmp_path / "job"):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
    monkeypatch.setattr("os.fchmod", refuse)
    await DiskGallery(tmp_path, card_of).mend()
    (line,) = caplog.messages
    assert "others may be able to read 2 files and folders of the album" in line
    assert f"chmod -R go= {tmp_path}" in line


async def test_stored_twice_they_are_the_same_files(tmp_path: Path) -> None:
    gallery, job = DiskGallery(tmp_path, card_of), make_job()
    assert await gallery.store(job, REQUEST, drawn()) == await gallery.store(job, REQUEST, drawn())
    assert count_files(tmp_path) == 4


async def test_files_fit_the_limit_of_the_place(tmp_path: Path) -> None:
    job = make_job(attachment_limit_bytes=6_000)
    stored = await DiskGallery(tmp_path, card_of).store(job, REQUEST, drawn())
    assert all(one.filename.endswith(".webp") and one.size_bytes <= 6_000 for one in stored)


@pytest.mark.parametrize("harm", ["deleted", "cut", "changed"])
async def test_a_file_that_is_not_what_was_written_is_found_out(tmp_path: Path, harm: str) -> None:
    gallery, job = DiskGallery(tmp_path, card_of), make_job()
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
    gallery, job, other = DiskGallery(tmp_path, card_of), make_job(), make_job()
    await gallery.store(job, REQUEST, drawn())
    await gallery.store(other, REQUEST, drawn())
    await gallery.forget([job.id, "unknown"])
    assert not (tmp_path / job.id).exists()
    assert count_files(tmp_path) == 4


async def test_a_folder_that_cannot_be_written_is_a_gallery_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(GalleryError, match=r"images.*Make room"):
        await DiskGallery(tmp_path / "images", card_of).store(make_job(), REQUEST, drawn())


async def test_the_images_of_a_request_keep_their_seed(tmp_path: Path) -> None:
    image = GeneratedImage(2, 99, 8, 8, bytes(192))
    (stored,) = await DiskGallery(tmp_path, card_of).store(make_job(), REQUEST, (image,))
    assert (stored.index, stored.seed) == (2, 99)


async def test_pictures_are_marked_and_the_hash_is_that_of_the_marked_file(tmp_path: Path) -> None:
    key = elliptic()
    chain, file = write_chain(tmp_path / "chain", key), write_key(tmp_path / "key", key)
    marks = Marks(Watermark(), xmp=True, credentials=Credentials(chain, file))
    gallery, job = DiskGallery(tmp_path / "images", card_of, marks), make_job()
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
    with pytest.raises(PictureLostError):  # only what the last call returned is on the disk
        await gallery.read(job.id, again)
    assert len({one.digest for one in shown}) == len(drawn())
