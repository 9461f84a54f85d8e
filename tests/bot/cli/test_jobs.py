"""`imagine jobs` and `imagine backup`: what an operator sees, over a ledger as a bot leaves it."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bot.cli.doctor import examine_ledger
from bot.cli.main import main
from bot.config.sections import StorageConfig
from bot.core.job import State
from bot.core.policy import Limits
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.ledgers import book
from bot.ledgers.sqlite import database
from bot.ledgers.sqlite.database import connect
from bot.shared.data_folder import IMAGES, LEDGER, LEDGER_LOCK, SLACK_TOKEN
from tests.bot.core.jobs import NOON_S, make_job
from tests.fakes import FakePipeline, card_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGINE_LOG__LEVEL", "error")
    return tmp_path / "data"


@pytest.fixture
def jobs(folder: Path) -> list[str]:
    """One delivered, one failed, one waiting."""
    done, failed, waiting = (
        make_job(prompt, user_id=n) for n, prompt in enumerate(("a cat", "a\nfish " * 20, "a dog"))
    )
    request = done.wish.resolve((64, 64))
    *_, last = FakePipeline().generate(request)
    assert last.fetch is not None
    gallery = ObjectGallery(Folder(folder / IMAGES), card_of)
    images = asyncio.run(gallery.store(done, request, last.fetch()))
    with closing(connect(folder / LEDGER, makes=True)) as connection:
        for job in (done, failed, waiting):
            book.accept(connection, replace(job, origin=replace(job.origin, message="5")), Limits())
        for job in (done, failed):
            book.move(connection, job.id, State.RUNNING, NOON_S + 1)
        book.move(connection, done.id, State.DRAWN, NOON_S + 2, images=images)
        book.move(connection, done.id, State.DELIVERED, NOON_S + 3)
        book.move(connection, failed.id, State.FAILED, NOON_S + 2, reason="The device broke.")
        book.tell(connection, failed.id)
    return [done.id, failed.id, waiting.id]


def test_without_a_ledger_it_says_so(capsys: Capture) -> None:
    assert main(["jobs", "list"]) == 1
    assert "There are no jobs on record" in capsys.readouterr().err
    assert main(["backup", "copy"]) == 1
    assert "There is nothing to copy" in capsys.readouterr().err


def test_the_list_has_the_newest_first(jobs: list[str], capsys: Capture) -> None:
    assert main(["jobs", "list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["JOB", "STATE"]
    assert [line.split()[:2] for line in lines] == [
        [jobs[2], "queued"],
        [jobs[1], "failed"],
        [jobs[0], "delivered"],
    ]
    assert all(len(line) <= 100 for line in lines)
    assert main(["jobs", "list", "--state", "failed", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["job"], one["reason"], one["told"]) == (jobs[1], "The device broke.", True)
    assert main(["jobs", "list", "--user", "9"]) == 0
    assert capsys.readouterr().out == "There are no such jobs.\n"


@pytest.mark.parametrize(
    "words", [["--config", "my.toml", "list"], ["list", "--config", "my.toml"]]
)
def test_the_configuration_may_stand_before_the_action_and_after_it(
    words: list[str], jobs: list[str], capsys: Capture
) -> None:
    Path("data").rename("mine")
    assert main(["jobs", "list"]) == 1
    Path("my.toml").write_text('[storage]\nfolder = "mine"\n')
    assert main(["jobs", *words, "--limit", "2"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == jobs[:0:-1]


def test_a_person_is_named_by_any_text(jobs: list[str], capsys: Capture) -> None:
    assert main(["jobs", "list", "--user", "1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [jobs[1]]
    assert main(["jobs", "list", "--user", "U024BE7LH"]) == 0
    assert capsys.readouterr().out == "There are no such jobs.\n"


def test_show_tells_all_and_no_token(jobs: list[str], capsys: Capture) -> None:
    assert main(["jobs", "show", jobs[0]]) == 0
    out = capsys.readouterr().out
    for words in ("delivered", "a cat", "user0", "Seed 0", f"{jobs[0]}_3.png", "sha256", "drawn"):
        assert words in out
    assert main(["jobs", "show", jobs[2], "--json"]) == 0
    out = capsys.readouterr().out
    assert "a-token" not in out
    assert [step["state"] for step in json.loads(out)["history"]] == ["queued"]


def test_show_tells_what_was_asked_for_again(jobs: list[str], capsys: Capture) -> None:
    with closing(connect(Path("data") / LEDGER, writes=True)) as connection:
        book.insert(connection, make_job("again", again_of=jobs[1]))
        again = book.find(connection, limit=1)[0].job.id
    assert main(["jobs", "show", jobs[1]]) == 0
    assert f"It was asked for again as {again}." in capsys.readouterr().out
    assert main(["jobs", "show", again]) == 0
    assert f"It is the job {jobs[1]} again." in capsys.readouterr().out
    assert main(["jobs", "show", jobs[1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["again_as"] == again


def test_an_unknown_job_is_a_sentence(jobs: list[str], capsys: Capture) -> None:
    for action in ("show", "cancel", "requeue"):
        assert main(["jobs", action, "aaaaaaaa"]) == 1
        assert "There is no job aaaaaaaa" in capsys.readouterr().err


def test_without_a_bot_an_order_waits_for_the_next_one(jobs: list[str], capsys: Capture) -> None:
    assert main(["jobs", "cancel", jobs[2]]) == 0
    assert "the next one does it when it starts" in capsys.readouterr().out
    with closing(connect(Path("data") / LEDGER)) as connection:
        (order,) = book.orders(connection)
    assert (order.job_id, order.kind) == (jobs[2], "cancel")


def test_a_backup_is_whole_and_its_owners_alone(jobs: list[str], capsys: Capture) -> None:
    Path("data", SLACK_TOKEN).write_text("{}")  # what opens a workspace goes into no copy
    assert main(["backup", "copies/monday"]) == 0
    assert capsys.readouterr().out == "Copied 3 jobs and 4 pictures to copies/monday.\n"
    copy = Path("copies/monday")
    assert {path.name for path in copy.iterdir()} == {LEDGER, IMAGES}
    assert copy.stat().st_mode & 0o077 == 0
    with closing(connect(copy / LEDGER)) as connection:
        record = book.get(connection, jobs[0])
    pictures = asyncio.run(
        ObjectGallery(Folder(copy / IMAGES), card_of).read(jobs[0], record.images)
    )
    assert len(pictures) == 4
    assert main(["backup", "copies/monday"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["backup", "data/inside"]) == 2
    assert "would go with it" in capsys.readouterr().err


def test_a_backup_says_which_pictures_are_not_in_it(
    jobs: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGINE_STORAGE__PICTURES", "s3://bucket/of/a/bot")
    assert main(["backup", "copies/monday"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Copied 3 jobs and 4 pictures to copies/monday.\n")  # what is here yet
    assert "No picture of s3://bucket/of/a/bot is among them" in out


def test_a_backup_of_what_others_could_read_is_its_owners_alone(
    folder: Path, jobs: list[str]
) -> None:
    before = os.umask(0)
    for path in folder.rglob("*"):
        path.chmod(0o777)
    try:
        assert main(["backup", "copies/monday"]) == 0
    finally:
        os.umask(before)
    copy = Path("copies/monday")
    pictures = sorted((copy / IMAGES / jobs[0]).iterdir())
    assert len(pictures) == 4
    assert {path.stat().st_mode & 0o777 for path in (*pictures, copy / LEDGER)} == {0o600}
    folders = (copy.parent, copy, copy / IMAGES, copy / IMAGES / jobs[0])
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    original = folder / IMAGES / jobs[0] / pictures[0].name
    assert pictures[0].stat().st_mtime_ns == original.stat().st_mtime_ns


def test_a_backup_that_cannot_be_written_leaves_nothing(jobs: list[str], capsys: Capture) -> None:
    assert main(["backup", "/dev/null/copy"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_damaged_ledger_is_a_sentence(folder: Path, capsys: Capture) -> None:
    folder.mkdir()
    (folder / LEDGER).write_bytes(b"not a database" * 99)
    assert main(["jobs", "list"]) == 1
    assert "cannot be opened" in capsys.readouterr().err
    with pytest.raises(sqlite3.DatabaseError), closing(sqlite3.connect(folder / LEDGER)) as raw:
        raw.execute("SELECT 1 FROM jobs")


LOOKS = (["jobs", "list"], ["jobs", "cancel", "aaaaaaaa"], ["backup", "copy"])


def vanish(ledger: Path) -> None:
    ledger.unlink()


def lose_all(ledger: Path) -> None:
    ledger.write_bytes(b"")


def garble(ledger: Path) -> None:
    """The tables of jobs and people are gone; the first page, with the form, is not."""
    content = ledger.read_bytes()
    ledger.write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))


def cut_short(ledger: Path) -> None:
    """As without its write-ahead log: the last job is missing."""
    (ledger.parent / LEDGER_LOCK).write_text("3")
    with closing(connect(ledger, writes=True)) as connection:
        connection.execute("DELETE FROM jobs WHERE number = 3")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (cut_short, "it ends with job number 2, and 3 were taken in"),
        (vanish, "is not there, though there are pictures in data/images: what was on record"),
        (lose_all, "is empty, though there are pictures in data/images: what was on record"),
        (garble, "is damaged"),
    ],
)
def test_every_command_tells_a_ledger_that_is_lost(
    harm: Callable[[Path], None], sentence: str, folder: Path, jobs: list[str], capsys: Capture
) -> None:
    assert jobs
    harm(folder / LEDGER)
    for words in LOOKS:
        assert main(words) == 1
        err = capsys.readouterr().err
        assert sentence in err
        assert "start once with --start-empty" in err
        assert "Make room" not in err
    finding = examine_ledger(StorageConfig(Path("data")))
    assert finding.level == "FAIL"
    assert sentence in finding.what
    assert not Path("copy").exists()


def test_every_command_tells_a_lock_of_another_program(
    folder: Path, jobs: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.0)
    assert jobs
    with closing(sqlite3.connect(folder / LEDGER, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        for words in LOOKS:
            assert main(words) == 1
            assert "another program holds it locked" in capsys.readouterr().err
        assert "another program holds it locked" in examine_ledger(StorageConfig(Path("data"))).what


def test_the_doctor_counts_what_is_on_record(folder: Path, jobs: list[str]) -> None:
    assert examine_ledger(StorageConfig(Path("data"))).what == (
        f"The ledger in the folder {folder.resolve()} is whole, with 3 jobs on record."
    )
    assert examine_ledger(StorageConfig(Path("none"))).what == (
        "There is no ledger yet; the first start makes it."
    )
    assert not Path("none").exists()
