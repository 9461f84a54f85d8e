"""Files are whole or not there, and what is there is overwritten only where that is the point."""

import errno
import multiprocessing
import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import pytest

from bot.shared.files import write_atomically, write_new


def numbers() -> Iterable[str]:
    return (f"{number}.png" for number in count())


def test_writes_and_overwrites_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "0.png"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def no_links(_: Path, __: Path) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_takes_the_first_free_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    if not has_links:  # as on FAT
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    (tmp_path / "0.png").write_bytes(b"somebody's")
    (tmp_path / "1.png").mkdir()
    paths = [write_new(tmp_path, numbers(), data) for data in (b"a", b"b")]
    assert paths == [tmp_path / "2.png", tmp_path / "3.png"]
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]
    assert (tmp_path / "0.png").read_bytes() == b"somebody's"
    assert len(list(tmp_path.iterdir())) == 4


def test_when_every_name_is_taken_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    with pytest.raises(FileExistsError):
        write_new(tmp_path, ["0.png"], b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["0.png"]


def write_many(folder: Path, data: bytes, times: int) -> None:
    for _ in range(times):
        write_new(folder, numbers(), data)


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
    writers = [
        spawn.Process(target=write_many, args=(tmp_path, letter * 9999, 50))
        for letter in (b"a", b"b")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = sorted(path.read_bytes() for path in tmp_path.iterdir())
    assert found == [b"a" * 9999] * 50 + [b"b" * 9999] * 50
