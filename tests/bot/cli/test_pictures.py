"""Pictures come beside those that are there, never in their place."""

from pathlib import Path

import pytest

from bot.cli.pictures import output_folder, save_named, save_numbered
from bot.errors import OutputError


def test_numbers_go_on_after_the_last(tmp_path: Path) -> None:
    assert save_numbered(tmp_path, b"a") == tmp_path / "0.png"
    (tmp_path / "7.png").touch()
    (tmp_path / "99.txt").touch()
    (tmp_path / "x8.png").touch()
    assert save_numbered(tmp_path, b"b") == tmp_path / "8.png"
    assert save_numbered(tmp_path, b"c") == tmp_path / "9.png"
    assert (tmp_path / "0.png").read_bytes() == b"a"


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    names = [save_named(tmp_path, "job_0.png", data).name for data in (b"a", b"b", b"c")]
    assert names == ["job_0.png", "job_0-2.png", "job_0-3.png"]
    assert (tmp_path / "job_0.png").read_bytes() == b"a"


def test_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written .* --out"):
        save_named(tmp_path / "absent", "a.png", b"new")
    with pytest.raises(OutputError, match=r"cannot be written .* --out"):
        save_numbered(tmp_path / "absent", b"new")


def test_an_output_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        output_folder(tmp_path / "file" / "out")
    assert output_folder(tmp_path / "a" / "b").is_dir()
