"""`imagine privacy`: one person's data, for whoever runs the bot."""

import asyncio
import io
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from bot.cli.main import main
from bot.core.job import State
from bot.core.policy import Limits
from bot.errors import GalleryError
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.ledgers import book
from bot.ledgers.sqlite.database import SqliteDatabase, connect
from bot.shared.data_folder import IMAGES, LEDGER
from tests.bot.core.jobs import HOME, NOON_S, make_job
from tests.fakes import FakePipeline, card_of

Capture = pytest.CaptureFixture[str]
WORDS = ["--home", HOME, "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With one job that is delivered and one that waits, of person 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGINE_LOG__LEVEL", "error")
    folder = tmp_path / "data"
    done, waiting = make_job("a secret cat"), make_job("a secret dog")
    *_, last = FakePipeline().generate(done.wish.resolve((64, 64)))
    assert last.fetch is not None
    images = asyncio.run(
        ObjectGallery(Folder(folder / IMAGES), card_of).store(
            done, done.wish.resolve((64, 64)), last.fetch()
        )
    )
    with closing(connect(folder / LEDGER, makes=True)) as connection:
        for job in (done, waiting):
            book.accept(connection, replace(job, origin=replace(job.origin, message="5")), Limits())
        book.move(connection, done.id, State.RUNNING, NOON_S + 1)
        book.move(connection, done.id, State.DRAWN, NOON_S + 2, images=images)
        book.move(connection, done.id, State.DELIVERED, NOON_S + 3)
    return folder


def test_it_is_shown_and_taken_away_beside_a_running_bot(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    database = SqliteDatabase(folder)
    database.open()
    try:
        assert main(["privacy", "show", *WORDS]) == 0
        assert "2 jobs with their prompts and settings\n4 pictures\n" in capsys.readouterr().out
        assert main(["privacy", "export", *WORDS, "--out", "mine.zip"]) == 0
        assert capsys.readouterr().out == "Wrote 6 files to mine.zip.\n"
        assert main(["privacy", "erase", "--yes", *WORDS]) == 1
        assert "/privacy erase" in capsys.readouterr().err
    finally:
        database.close()
    assert (tmp_path / "mine.zip").stat().st_mode & 0o077 == 0
    with ZipFile(tmp_path / "mine.zip") as archive:
        assert archive.testzip() is None
        prompts = [one["wish"]["prompt"] for one in json.loads(archive.read("data.json"))["jobs"]]
    assert prompts == ["a secret dog", "a secret cat"]


def test_it_is_erased_while_no_bot_runs(folder: Path, capsys: Capture) -> None:
    assert main(["privacy", "erase", "--yes", *WORDS]) == 0
    assert capsys.readouterr().out.startswith("Erased: 2 jobs with their prompts and pictures")
    assert b"secret" not in b"".join(path.read_bytes() for path in folder.glob(f"{LEDGER}*"))
    assert not list((folder / IMAGES).rglob("*.png"))
    with closing(connect(folder / LEDGER)) as connection:
        states = [(one.state, one.told) for one in book.find(connection)]
    assert states == [(State.CANCELLED, False), (State.DELIVERED, True)]  # the next bot tells
    assert main(["privacy", "show", *WORDS]) == 0
    assert "2 jobs of which only ids and times are left" in capsys.readouterr().out


def test_pictures_are_looked_for_where_they_are_kept(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / IMAGES).rename(tmp_path / "shared")
    monkeypatch.setenv("IMAGINE_STORAGE__PICTURES", "shared")
    assert main(["privacy", "export", *WORDS]) == 0
    assert capsys.readouterr().out == "Wrote 6 files to privacy.zip.\n"
    assert main(["privacy", "erase", "--yes", *WORDS]) == 0
    assert not list((tmp_path / "shared").rglob("*.png"))


def test_half_an_export_is_none(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Folder, name: str) -> bytes:
        raise GalleryError("Nobody knows now.")

    monkeypatch.setattr(Folder, "get", away)
    assert main(["privacy", "export", *WORDS]) == 1
    assert "Nobody knows now." in capsys.readouterr().err
    assert not (tmp_path / "privacy.zip").exists()


class Typed(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


def test_erasing_is_asked_for_first(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # a pipe, which nobody was asked at
    assert main(["privacy", "erase", *WORDS]) == 2
    assert "Say --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Typed("\n"))
    assert main(["privacy", "erase", *WORDS]) == 2
    asked = capsys.readouterr().err
    assert "2 jobs with their prompts and settings" in asked
    assert "Erase all of it, for good? [y/N]" in asked
    with closing(connect(folder / LEDGER)) as connection:
        assert {one.job.wish.prompt for one in book.find(connection)} == {
            "a secret cat",
            "a secret dog",
        }
    monkeypatch.setattr("sys.stdin", Typed("y\n"))
    assert main(["privacy", "erase", *WORDS]) == 0
    assert capsys.readouterr().out.startswith("Erased: 2 jobs")


def test_of_whom_nothing_is_kept_it_says_so(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    for action in ("show", "export", "erase"):
        assert main(["privacy", action, "--home", HOME, "99"]) == 0
        assert capsys.readouterr().out == "Nothing is kept of '99' in 'village'.\n"
    assert not (tmp_path / "privacy.zip").exists()


def test_a_file_that_is_there_is_left_alone(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "privacy.zip").write_text("mine")
    assert main(["privacy", "export", *WORDS]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "privacy.zip").read_text() == "mine"
    assert main(["privacy", "export", *WORDS, "--out", "no/such/folder.zip"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("person", ["", "x" * 200, "a\nb"])
def test_what_is_no_id_is_refused(folder: Path, capsys: Capture, person: str) -> None:
    assert main(["privacy", "show", "--home", HOME, person]) == 2
    assert "is no id" in capsys.readouterr().err


def test_without_a_ledger_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["privacy", "show", "1"]) == 1
    assert "Nothing is kept of anybody" in capsys.readouterr().err
