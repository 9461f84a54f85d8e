"""Pictures in a folder: their owner's alone, and good on a disk that others see."""

import stat
from pathlib import Path

import pytest

from bot.errors import GalleryError
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from tests.bot.core.jobs import make_job
from tests.bot.gallery.drawn import REQUEST, drawn
from tests.fakes import card_of


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


async def test_they_are_their_owners_alone(tmp_path: Path) -> None:
    await ObjectGallery(Folder(tmp_path / "images"), card_of).store(make_job(), REQUEST, drawn())
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
    await ObjectGallery(Folder(album), card_of).mend()
    assert not count or modes(album) == {0o700, 0o600}


async def test_an_album_on_another_disk_is_closed_as_well(tmp_path: Path) -> None:
    (tmp_path / "large" / "job").mkdir(parents=True)
    for path in (tmp_path / "large", tmp_path / "large" / "job"):
        path.chmod(0o755)
    (tmp_path / "images").symlink_to(tmp_path / "large")
    await ObjectGallery(Folder(tmp_path / "images"), card_of).mend()
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
    await ObjectGallery(Folder(tmp_path), card_of).mend()
    (line,) = caplog.messages
    assert "others may be able to read 2 files and folders of the album" in line
    assert f"chmod -R go= {tmp_path}" in line


async def test_a_folder_that_cannot_be_written_is_a_gallery_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(GalleryError, match=r"images.*Make room"):
        await ObjectGallery(Folder(tmp_path / "images"), card_of).store(
            make_job(), REQUEST, drawn()
        )


def test_two_machines_may_look_at_once_whether_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)

    def write(path: Path, data: bytes) -> None:
        """Another machine is a step ahead, and takes the file away first."""

    monkeypatch.setattr("bot.gallery.folder.write_atomically", write)
    folder.probe()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_listed_is_a_gallery_error(tmp_path: Path) -> None:
    (tmp_path / ".brought").write_text("in the way")
    with pytest.raises(GalleryError, match="cannot be read"):
        Folder(tmp_path).folders(".brought")
