"""What is its owner's alone, under any umask, and whatever lies there already."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.shared.files import write_atomically, write_new
from bot.shared.private import close_all_to_others, close_to_others, make_file, make_folder


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
def test_what_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    os.close(make_file(tmp_path / "a" / "file"))
    write_atomically(tmp_path / "album" / "job" / "0.png", b"png")
    write_atomically(tmp_path / "album" / "job" / "0.png", b"png again")
    made = sorted(path for path in tmp_path.rglob("*"))
    assert [path.name for path in made] == ["a", "b", "file", "album", "job", "0.png"]
    assert {path.name: mode(path) for path in made} == {
        "a": 0o700,
        "b": 0o700,
        "file": 0o600,
        "album": 0o700,
        "job": 0o700,
        "0.png": 0o600,
    }
    with pytest.raises(FileExistsError):
        make_file(tmp_path / "a" / "file")
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "a" / "file")


def test_what_people_draw_for_themselves_is_as_their_umask_says(tmp_path: Path, umask: int) -> None:
    assert mode(write_new(tmp_path, ["0.png"], b"png")) == 0o666 & ~umask


def test_a_folder_that_is_there_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    make_folder(tmp_path / "shared" / "data")
    assert mode(tmp_path / "shared") == 0o755


def test_all_that_was_open_is_closed_and_no_link_is_followed(tmp_path: Path) -> None:
    elsewhere, album = tmp_path / "elsewhere", tmp_path / "album"
    (album / "job" / "deep").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (album / "a", album / "job" / "deep" / "b", elsewhere / "theirs"):
        path.write_bytes(b"x")
        path.chmod(0o644)
    for path in (album, album / "job", album / "job" / "deep", elsewhere):
        path.chmod(0o755)
    (album / "link").symlink_to(elsewhere)
    (album / "job" / "link").symlink_to(elsewhere / "theirs")
    assert close_all_to_others([album, tmp_path / "none"]) == []
    assert {mode(path) for path in (album, album / "job", album / "job" / "deep")} == {0o700}
    assert {mode(path) for path in (album / "a", album / "job" / "deep" / "b")} == {0o600}
    assert (mode(elsewhere), mode(elsewhere / "theirs")) == (0o755, 0o644)
    close_to_others(album / "link", follow=True)
    assert mode(elsewhere) == 0o700


def test_what_cannot_be_closed_is_told_and_the_rest_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "theirs"):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / name).chmod(0o644)
    theirs = (tmp_path / "theirs").stat().st_ino
    real = os.fchmod

    def fchmod(descriptor: int, wanted: int) -> None:
        if os.fstat(descriptor).st_ino == theirs:
            raise PermissionError("not yours")
        real(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", fchmod)
    (failure,) = close_all_to_others([tmp_path / "theirs", tmp_path / "mine"])
    assert str(failure) == "not yours"
    assert mode(tmp_path / "mine") == 0o600
