"""Pictures are the old file or the new one, never half of it."""

from pathlib import Path

import pytest

from bot.errors import OutputError
from bot.shared.files import output_folder, write_atomically, write_picture


def test_writes_and_overwrites_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "0.png"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    path.mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        output_folder(tmp_path / "file" / "out")
    assert output_folder(tmp_path / "a" / "b").is_dir()
