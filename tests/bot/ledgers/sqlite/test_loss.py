"""A ledger that vanished, lost its end or was damaged: told as what it is, and never made anew in
silence."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from bot.core.job import State
from bot.core.policy import Limits
from bot.errors import LedgerError, LedgerLostError
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.sqlite import database
from bot.ledgers.sqlite.database import SqliteDatabase, connect, examine
from bot.shared.data_folder import IMAGES, LEDGER, LEDGER_LOCK
from tests.bot.core.jobs import NOON_S, make_job

LIMITS = Limits(queued=1000)
WHAT_TO_DO = r"put your newest backup in the place.*start once with --start-empty"


@asynccontextmanager
async def opened(folder: Path, *, start_empty: bool = False) -> AsyncIterator[DatabaseLedger]:
    ledger = DatabaseLedger(SqliteDatabase(folder, start_empty=start_empty), clock=lambda: NOON_S)
    await asyncio.to_thread(ledger.open)
    try:
        yield ledger
    finally:
        await asyncio.to_thread(ledger.close)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def add_picture(folder: Path, job_id: str = "abcdefgh") -> Path:
    picture = folder / IMAGES / job_id / f"{job_id}_0.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"png")
    return picture


async def killed(folder: Path, *, first: int = 0, then: int = 3) -> Path:
    """The folder as a bot leaves it that was killed: a copy of the files while it runs.

    first  jobs that are in the ledger's file itself, by a clean stop before
    then   jobs that are in its write-ahead log alone
    """
    working = folder.with_name("working")
    async with opened(working) as ledger:
        for _ in range(first):
            await ledger.accept(make_job(), LIMITS)
    async with opened(working) as ledger:
        for _ in range(then):
            await ledger.accept(make_job(), LIMITS)
        shutil.copytree(working, folder)
    return folder


def pictures(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / IMAGES).glob("*/*")}


async def refused(folder: Path) -> str:
    """The sentence with which it is not opened, by the bot and by whoever looks."""
    before = pictures(folder)
    with pytest.raises(LedgerLostError, match=WHAT_TO_DO) as raised:
        async with opened(folder):
            pass
    with pytest.raises(LedgerLostError) as looked:
        examine(folder / LEDGER)
    assert str(looked.value) == str(raised.value)
    assert pictures(folder) == before
    return str(raised.value)


def put_aside(folder: Path) -> list[Path]:
    return list(folder.glob("lost-*"))


def take_away(folder: Path) -> None:
    for path in folder.glob(f"{LEDGER}*"):
        path.unlink()


def delete(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [delete, empty])
@pytest.mark.parametrize("remains", ["pictures", "log", "mark"])
async def test_a_ledger_that_vanished_is_not_made_anew(
    data: Path, harm: Callable[[Path], None], remains: str
) -> None:
    await killed(data)
    if remains == "pictures":
        add_picture(data)
    if remains != "log":
        (data / f"{LEDGER}-wal").unlink()
    if remains != "mark":
        (data / LEDGER_LOCK).unlink()
    harm(data / LEDGER)
    state = "is empty" if harm is empty else "is not there"
    told = {
        "pictures": f"there are pictures in {data / IMAGES}",
        "log": f"{LEDGER}-wal holds the last of it",
        "mark": "jobs were taken in, 3 in all",
    }
    assert f"{state}, though {told[remains]}: what was on record is lost" in await refused(data)
    if harm is delete:
        assert not (data / LEDGER).exists()


@pytest.mark.parametrize("beside", ["nothing", "an empty album", "a half written picture"])
async def test_where_nobody_has_worked_a_new_one_is_made(data: Path, beside: str) -> None:
    if beside != "nothing":
        (data / IMAGES / "job").mkdir(parents=True)
    if beside == "a half written picture":
        (data / IMAGES / "job" / ".0.png.abc").touch()
        (data / IMAGES / ".DS_Store").touch()
        (data / LEDGER).touch()
        (data / LEDGER_LOCK).touch()
    assert examine(data / LEDGER) is None
    async with opened(data) as ledger:
        assert await ledger.find() == []
        assert examine(data / LEDGER) == 0


async def test_a_log_that_was_deleted_is_noticed(data: Path) -> None:
    await killed(data, first=2, then=3)
    (data / f"{LEDGER}-wal").unlink()
    sentence = await refused(data)
    assert "it ends with job number 2, and 5 were taken in" in sentence
    assert f"perhaps {LEDGER}-wal was deleted" in sentence
    # Whoever put an older copy there says so.
    assert f"delete {data / LEDGER_LOCK}" in sentence
    (data / LEDGER_LOCK).unlink()
    async with opened(data) as ledger:
        assert len(await ledger.find()) == 2


async def test_a_log_that_held_everything_is_missed_where_pictures_remain(data: Path) -> None:
    await killed(data)
    (data / f"{LEDGER}-wal").unlink()
    (data / LEDGER_LOCK).unlink()
    add_picture(data)
    assert "holds no job, though there are pictures" in await refused(data)


@pytest.mark.parametrize("looked", ["not at all", "while it was down"])
async def test_after_a_kill_nothing_is_missed(data: Path, looked: str) -> None:
    """A look that brings the log into the file, and deletes it, is no loss."""
    await killed(data, first=1, then=2)
    add_picture(data)
    if looked == "while it was down":
        with closing(connect(data / LEDGER)) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (3,)
        assert not (data / f"{LEDGER}-wal").exists()
    async with opened(data) as ledger:
        assert len((await ledger.look()).records) == 3


async def test_all_that_retention_deleted_is_no_loss(data: Path) -> None:
    async with opened(data) as ledger:
        jobs = [make_job() for _ in range(3)]
        for job in jobs:
            await ledger.accept(job, LIMITS)
            await ledger.move(job.id, State.CANCELLED)
            await ledger.tell(job.id)
        await ledger.forget([job.id for job in jobs], NOON_S + 1)
        shutil.copytree(data, data.with_name("killed"))
    add_picture(data)  # of an older copy, say
    for folder in (data, data.with_name("killed")):
        async with opened(folder) as ledger:
            assert await ledger.find() == []
            await ledger.accept(make_job(), LIMITS)


async def test_the_mark_goes_down_before_what_was_last_is_deleted(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a power cut leaves, the mark is not above what the ledger holds."""
    synced: list[bytes] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((data / LEDGER_LOCK).read_bytes())
        with closing(sqlite3.connect(f"file:{data / LEDGER}?mode=ro", uri=True)) as looking:
            assert looking.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
        real(descriptor)

    async with opened(data) as ledger:
        job = make_job()
        await ledger.accept(job, LIMITS)
        await ledger.move(job.id, State.CANCELLED)
        await ledger.tell(job.id)
        assert int((data / LEDGER_LOCK).read_bytes()) == 1
        monkeypatch.setattr(os, "fsync", fsync)
        await ledger.forget([job.id], NOON_S + 1)
    assert list(map(int, synced)) == [0]


def harm_pages(path: Path) -> None:
    """Pages of the middle, as a disk garbles them."""
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xaa" * 4096 * 17
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 * 5])


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def forget_form(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")


@pytest.mark.parametrize("harm", [harm_pages, cut, overwrite, forget_form])
async def test_a_damaged_ledger_is_told_as_that(data: Path, harm: Callable[[Path], None]) -> None:
    async with opened(data) as ledger:
        for _ in range(50):
            await ledger.accept(make_job("a long prompt " * 20), LIMITS)
    harm(data / LEDGER)
    sentence = await refused(data)
    assert "it is damaged (" in sentence
    assert "free space" not in sentence


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
async def test_what_is_no_file_is_told_as_that_and_put_aside(
    data: Path, make: Callable[[Path], None]
) -> None:
    async with opened(data) as ledger:
        await ledger.accept(make_job(), LIMITS)
    take_away(data)
    make(data / LEDGER)
    assert "is no file. Stop the bot" in await refused(data)
    async with opened(data, start_empty=True) as ledger:
        assert await ledger.find() == []
    (aside,) = put_aside(data)
    assert not (aside / LEDGER).is_file()


@pytest.mark.parametrize("harm", [delete, empty, harm_pages, overwrite])
async def test_start_empty_puts_what_is_left_aside(
    data: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(data) as ledger:
        for _ in range(50):
            await ledger.accept(make_job("a long prompt " * 20), LIMITS)
    picture = add_picture(data)
    harm(data / LEDGER)
    left = (data / LEDGER).read_bytes() if (data / LEDGER).exists() else None
    async with opened(data, start_empty=True) as ledger:
        assert await ledger.find() == []
        await ledger.accept(make_job(), LIMITS)
    (aside,) = put_aside(data)
    assert aside.stat().st_mode & 0o777 == 0o700
    assert (aside / picture.relative_to(data)).read_bytes() == b"png"
    assert not (data / IMAGES).exists()
    if left is not None:
        assert (aside / LEDGER).read_bytes() == left
    assert f"what was left is in {aside}" in caplog.text
    assert "start once with" not in caplog.text  # that is what was done
    async with opened(data) as ledger:  # and without the word as well
        assert len(await ledger.find()) == 1


async def test_start_empty_leaves_a_ledger_in_order_alone(data: Path) -> None:
    for _ in range(2):
        async with opened(data, start_empty=True) as ledger:
            await ledger.accept(make_job(), LIMITS)
    add_picture(data)
    async with opened(data, start_empty=True) as ledger:
        assert len(await ledger.find()) == 2
    assert put_aside(data) == []


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program has it, as an SQLite shell may."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


async def test_a_lock_of_another_program_is_told_as_that(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.0)
    async with opened(data) as ledger:
        await ledger.accept(make_job(), LIMITS)
    with locked(data / LEDGER):
        for start_empty in (False, True):
            with pytest.raises(LedgerError, match="another program holds it locked"):
                async with opened(data, start_empty=start_empty):
                    pass
        with pytest.raises(LedgerError, match="another program holds it locked"):
            connect(data / LEDGER)
    async with opened(data) as ledger:
        assert len(await ledger.find()) == 1
        with closing(sqlite3.connect(data / LEDGER, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError, match="Another program holds the bot's records locked"):
                await ledger.accept(make_job(), LIMITS)
            assert len(await ledger.find()) == 1  # reading needs no lock
        await ledger.accept(make_job(), LIMITS)


@pytest.mark.parametrize("end", ["", "-wal"])
@pytest.mark.parametrize("harm", ["deleted", "replaced"])
async def test_files_that_are_taken_away_while_it_works_take_no_more_jobs(
    data: Path, end: str, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What would be written into a file that has no name any more is gone with the process."""
    path = data / f"{LEDGER}{end}"
    async with opened(data) as ledger:
        await ledger.accept(make_job(), LIMITS)
        kept = path.rename(data / "kept")
        if harm == "replaced":
            path.write_bytes(kept.read_bytes())
        with pytest.raises(LedgerError, match="were taken away while it worked"):
            await ledger.accept(make_job(), LIMITS)
        assert f"{path} was taken away" in caplog.text
        kept.replace(path)
        await ledger.accept(make_job(), LIMITS)


async def test_a_page_that_breaks_while_it_works_is_told_as_damage(data: Path) -> None:
    async with opened(data) as ledger:
        for _ in range(200):
            await ledger.accept(make_job("a long prompt " * 20), LIMITS)
    async with opened(data) as ledger:
        with (data / LEDGER).open("r+b") as file:
            file.seek(4096 * 2)
            file.write(b"\xaa" * ((data / LEDGER).stat().st_size - 4096 * 2))
        with pytest.raises(LedgerError, match="records are damaged"):
            await ledger.find(limit=1000)
        with pytest.raises(LedgerError, match="records are damaged"):
            await ledger.accept(make_job(), LIMITS)
