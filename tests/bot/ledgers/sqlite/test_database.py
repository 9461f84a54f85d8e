"""The ledger in SQLite as the bot opens it: one owner, two connections, a file that keeps secrets,
and files of every older form."""

import asyncio
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.core.defaults import Defaults, Manner, Scope
from bot.core.job import Origin, Parent, Showing, State, Venue
from bot.core.policy import Limits
from bot.core.ports.ledger import Answer
from bot.core.rules import House, Place, Rules
from bot.core.wish import Wish
from bot.errors import IllegalMoveError, KnownJobError, LedgerError, UnknownJobError
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.registry import DatabaseRegistry
from bot.ledgers.sqlite import database
from bot.ledgers.sqlite.database import SqliteDatabase, connect, is_in_use, older_file
from bot.ledgers.sqlite.schema import MIGRATIONS
from bot.shared.data_folder import LEDGER
from tests.bot.core.jobs import NOON_S, make_job

LIMITS = Limits(queued=1000)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[DatabaseLedger]:
    ledger = DatabaseLedger(SqliteDatabase(folder), clock=lambda: NOON_S)
    await asyncio.to_thread(ledger.open)
    try:
        yield ledger
    finally:
        await asyncio.to_thread(ledger.close)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.glob(f"{LEDGER}*")}


def holds(folder: Path, word: str) -> bool:
    return any(word.encode() in path.read_bytes() for path in folder.iterdir())


async def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path) -> None:
    job = make_job()
    async with opened(tmp_path) as ledger:
        await ledger.accept(job, LIMITS)
        assert (await ledger.get(job.id)).state is State.QUEUED
    async with opened(tmp_path) as ledger:
        (record,) = (await ledger.look()).records
    assert record.job == job


async def test_one_bot_owns_a_folder(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path)
    async with opened(tmp_path):
        assert is_in_use(tmp_path)
        with pytest.raises(LedgerError, match="Another bot already works in the folder"):
            await asyncio.to_thread(SqliteDatabase(tmp_path).open)
    assert not is_in_use(tmp_path)


async def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be used"):
        await asyncio.to_thread(SqliteDatabase(tmp_path / "file" / "data").open)


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await ledger.accept(make_job(), LIMITS)
        assert modes(tmp_path) == {0o600}


async def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    kept = older_file(tmp_path / LEDGER, 1)
    for path in (tmp_path / LEDGER, kept):
        path.touch()
        path.chmod(0o644)
    async with opened(tmp_path) as ledger:
        await ledger.accept(make_job(), LIMITS)
        assert modes(tmp_path) == {0o600}
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_what_is_forgotten_stands_in_no_file(tmp_path: Path) -> None:
    word = "unmistakable"
    async with opened(tmp_path) as ledger:
        job = make_job(f"an {word} circle")
        await ledger.accept(job, LIMITS)
        await ledger.move(job.id, State.CANCELLED)
        await ledger.tell(job.id)
        assert holds(tmp_path, word)
        assert await ledger.outdated(NOON_S + 1) == [job.id]
        await ledger.forget([job.id], NOON_S + 1)
        assert not holds(tmp_path, word)
        with pytest.raises(UnknownJobError):
            await ledger.get(job.id)


async def test_a_reader_in_the_way_holds_nobody_up(tmp_path: Path) -> None:
    """What stands in the log because of it is gone the next time."""
    word = "unmistakable"
    asked: list[str] = []
    async with opened(tmp_path) as ledger:
        job = make_job(f"an {word} circle")
        await ledger.accept(job, LIMITS)
        await ledger.move(job.id, State.CANCELLED)
        await ledger.tell(job.id)
        with closing(connect(tmp_path / LEDGER)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM jobs").fetchone()
            await ledger.database.read(lambda reading: trace(reading, asked.append))
            await ledger.forget([job.id], NOON_S + 1)
            assert holds(tmp_path, word)
            await ledger.accept(make_job(), LIMITS)
        await ledger.forget([], NOON_S + 1)
        assert not holds(tmp_path, word)
    # The last bit, which keeps the writer out, waits for nobody as long as all else does.
    last = asked.index("PRAGMA wal_checkpoint(TRUNCATE)")
    assert asked[last - 1 : last + 2 : 2] == [
        "PRAGMA busy_timeout = 50",
        "PRAGMA busy_timeout = 5000",
    ]


def trace(connection: Any, hear: Callable[[str], object]) -> None:
    connection.set_trace_callback(hear)


async def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        jobs = [make_job(user_id=n) for n in range(20)]
        await asyncio.gather(*(ledger.accept(job, LIMITS) for job in jobs))
        records, counts = await asyncio.gather(ledger.find(limit=100), ledger.counts())
    assert len(records) == 20
    assert counts[State.QUEUED] == 20


FORMS = Path(__file__).parent / "forms"


def older(folder: Path, form: int) -> Path:
    """A folder with a ledger that a bot of that form wrote, jobs of every state in it."""
    folder.mkdir(exist_ok=True)
    shutil.copy(FORMS / f"form{form}.sqlite3", folder / LEDGER)
    return folder


@pytest.mark.parametrize("form", [1, 2, 3, 4, 5, 6, 7, 8])
async def test_an_older_file_is_brought_up_to_date_and_kept_beside(
    tmp_path: Path, form: int
) -> None:
    folder = older(tmp_path, form)
    before = (folder / LEDGER).read_bytes()
    with pytest.raises(LedgerError, match=f"form is number {form}.*Start the bot once"):
        connect(folder / LEDGER)
    async with opened(folder) as ledger:
        waiting, drawn = await ledger.get("waitingx"), await ledger.get("drawnxxx")
        job = waiting.job
        assert (job.person.home, job.person.id, job.person.name) == ("discord", "11", "user11")
        assert job.origin == Origin(
            Venue("discord", "22", "33"), str(2**61 + 1), str(2**62 + 1), "token1", 2**20
        )
        assert job.wish == Wish(
            "a waiting cat",
            negative_prompt="a dog",
            seed=1,
            num_inference_steps=4,
            guidance_scale=5.0,
            size_px=(64, 64),
            num_images=4,
            sampler="euler",
        )
        assert (await ledger.get("nosizexx")).job.wish.size_px is None
        assert (drawn.state, drawn.images[0].filename) == (State.DRAWN, "drawnxxx_0.png")
        assert drawn.job.wish.guidance_interval == (0.25, 0.75)
        delivered = await ledger.get("delivery")
        assert (delivered.state, delivered.told) == (State.DELIVERED, True)
        assert delivered.job.origin.venue.community is None
        failed = await ledger.get("failedxx")
        assert (failed.state, failed.reason) == (State.FAILED, "It failed.")
        assert (await ledger.get("newerxxx")).job.wish.num_inference_steps == 60
        unknown = (await ledger.get("unknownf")).job.wish
        # What was unknown to that version is read once a version knows it.
        assert (unknown.style, unknown.unread) == (("oil", ()) if form < 4 else (None, ("mood",)))
        assert (await ledger.get("brokenxx")).job.wish.unread == ("everything",)
        assert [order.job_id for order in await ledger.orders()] == ["waitingx"]
        counts = await ledger.counts()
        # What was running goes back to the queue.
        assert len((await ledger.look()).records) == 7 + (form >= 2) + (form >= 5)
        assert (await ledger.counts())[State.QUEUED] == counts[State.QUEUED] + 1
        if form >= 2:
            assert (await ledger.get("againxxx")).job.again_of == "failedxx"
            with pytest.raises(IllegalMoveError, match="again before, as againxxx"):
                await ledger.insert(make_job(again_of="failedxx"))
        again = replace(make_job(), person=job.person, origin=job.origin)
        with pytest.raises(KnownJobError):
            await ledger.accept(again, LIMITS)
    kept = older_file(folder / LEDGER, form)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with closing(sqlite3.connect(kept)) as copy, closing(sqlite3.connect(":memory:")) as was:
        was.deserialize(before)
        assert list(copy.iterdump()) == list(was.iterdump())


async def test_what_only_form_5_holds_is_read(tmp_path: Path) -> None:
    async with opened(older(tmp_path, 5)) as ledger:
        child, deleted = await ledger.get("childxxx"), await ledger.get("deletedx")
        assert child.job.parent == Parent("drawnxxx", "vary", 0)
        assert child.job.showing == Showing(private=True, spoiler=True, mention=True)
        assert child.job.person.locale == ""
        assert type(deleted.reason) is str
        assert deleted.reason == "Cancelled by a moderator."
        assert deleted.deleted == "Deleted by a moderator."
        assert await ledger.likes(child.job.person, "drawnxxx") == {0}
        (usual,) = await ledger.defaults([Scope("discord", "person", "11")])
        assert usual == Defaults(Wish("", num_images=2), Manner(private=True))
        ((lost, locale),) = (await ledger.look()).unanswered
        assert (lost.token, locale) == ("token13", "")


async def test_what_only_form_6_holds_is_read(tmp_path: Path) -> None:
    async with opened(older(tmp_path, 6)) as ledger:
        blurred = (await ledger.get("delivery")).job.showing
        assert blurred == Showing(spoiler=True, held=True)
        assert isinstance((await ledger.get("deletedx")).reason, str)
        registry = DatabaseRegistry(ledger.database)
        assert await registry.house("discord", "22") == House()
        assert await registry.audit(None, None, limit=9) == []
        found = await registry.jobs_in("discord", "22", person="11")
        assert "waitingx" in {one.job.id for one in found}


async def test_what_only_form_7_holds_is_read(tmp_path: Path) -> None:
    async with opened(older(tmp_path, 7)) as ledger:
        registry = DatabaseRegistry(ledger.database)
        assert (await registry.house("discord", "22")).rules == {Place("33", None): Rules(count=2)}
        (entry,) = await registry.audit("discord", "22", limit=9)
        assert (entry.kind, entry.actor) == ("rules", "99")
        # Larger pictures, once more, show the same; what was rolled anew does not.
        family = {one.job.id for one in await registry.family("drawnxxx")}
        assert family >= {"drawnxxx", "largerxx", "onceagai"}
        assert "otheroll" not in family


async def test_the_older_file_goes_when_its_days_are_over(tmp_path: Path) -> None:
    folder = older(tmp_path, 2)
    async with opened(folder) as ledger:
        kept = older_file(folder / LEDGER, 2)
        made_s = kept.stat().st_mtime
        await ledger.forget([], made_s - 1)
        assert kept.exists()
        await ledger.forget([], made_s + 1)
        assert not kept.exists()


@pytest.mark.parametrize("where", ["copy", "tables"])
async def test_a_full_disk_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = older(tmp_path, 2)
    before = (folder / LEDGER).read_bytes()
    if where == "copy":
        (folder / f".{LEDGER.replace('.', '.form2.')}.draft").mkdir()  # no file can be made there
    else:
        full = "INSERT INTO people SELECT * FROM no_room;"
        monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS[:-1], MIGRATIONS[-1] + full))
    with pytest.raises(LedgerError, match=r"Nothing was changed\. Make room") as failed:
        await asyncio.to_thread(SqliteDatabase(folder).open)
    assert failed.value.__cause__ is not None
    assert (folder / LEDGER).read_bytes() == before


def test_a_file_of_a_newer_bot_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    with closing(connect(path, makes=True)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match=r"newer version of the bot \(its form is number 99"):
        connect(path, makes=True)


def test_what_is_no_ledger_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError, match="cannot be opened"):
        connect(path, makes=True)


def test_a_new_file_and_a_migrated_one_have_the_same_tables(tmp_path: Path) -> None:
    older(tmp_path / "old", 2)
    schemas = []
    for folder in (tmp_path / "old", tmp_path / "new"):
        with closing(connect(folder / LEDGER, makes=True)) as connection:
            rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
            schemas.append(rows.fetchall())
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert schemas[0] == schemas[1]


async def test_prompts_of_an_older_form_are_gone_when_they_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a SQLite that was not built to overwrite what it deletes."""

    def careless(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **options)
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    real = sqlite3.connect
    folder = older(tmp_path, 2)
    monkeypatch.setattr(sqlite3, "connect", careless)
    async with opened(folder) as ledger:
        assert holds(folder, "a waiting cat")
        await ledger.forget([record.job.id for record in await ledger.find()], NOON_S + 1)
        assert not holds(folder, "a waiting cat")


async def test_what_is_damaged_is_not_called_a_full_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await ledger.database.write(lambda connection: connection.execute("DROP TABLE orders"))
        with pytest.raises(LedgerError, match="records are damaged"):
            await ledger.settle(1, Answer("Done.", done=True))
