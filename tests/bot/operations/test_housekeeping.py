"""Retention and orders, with an injected clock and no waiting."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from bot.core.audit import Deed, first_broken
from bot.core.case import Report, case_of
from bot.core.job import Job, State
from bot.core.policy import Limits, Owner
from bot.core.ports.gallery import Gallery
from bot.core.ports.ledger import Answer
from bot.core.ports.registry import Settings
from bot.errors import GalleryError, IllegalMoveError, UnknownJobError
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.ledgers import book
from bot.ledgers.database import Connection
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.registry import DatabaseRegistry
from bot.operations.housekeeping import (
    forget_unclaimed,
    forget_undrawn,
    keep_clean,
    keep_orders,
)
from tests.bot.core.jobs import NOON_S, file_of, make_job, make_person
from tests.bot.ledgers.databases import records_in, sqlite_alone
from tests.fakes import card_of

DAY_S = 86_400


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[DatabaseLedger]:
    ledger = DatabaseLedger(records_in(tmp_path).database(), clock=lambda: NOON_S)
    await asyncio.to_thread(ledger.open)
    yield ledger
    await asyncio.to_thread(ledger.close)


class Once:
    """A sleep that ends the loop after so many rounds."""

    def __init__(self, rounds: int = 1) -> None:
        self._left = rounds

    async def __call__(self, delay_s: float) -> None:
        self._left -= 1
        if self._left == 0:
            raise asyncio.CancelledError


class Clocks:
    """A wall clock that a test sets, and a monotonic one; a sleep takes its time on both.

    rounds  so many sleeps, then the process ends
    """

    def __init__(self) -> None:
        self.wall_s = NOON_S
        self.ran_s = 0.0
        self.rounds = 1

    def wall(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.ran_s

    async def sleep(self, delay_s: float) -> None:
        self.rounds -= 1
        if self.rounds <= 0:
            raise asyncio.CancelledError
        self.wall_s += delay_s
        self.ran_s += delay_s


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


class House:
    """A ledger and an album, kept clean by one process after the other."""

    def __init__(self, ledger: DatabaseLedger, album: Path, clocks: Clocks) -> None:
        self.ledger = ledger
        self.album = album
        self.clocks = clocks
        self.gallery: Gallery = ObjectGallery(Folder(album), card_of)
        self.moderators = AsyncMock()

    async def run(self, hours: float = 0) -> None:
        """A process that runs for so long, and looks every hour."""
        self.clocks.rounds = int(hours) + 1
        with pytest.raises(asyncio.CancelledError):
            await keep_clean(
                self.ledger,
                self.gallery,
                30,
                self.moderators,
                clock=self.clocks.wall,
                monotonic=self.clocks.monotonic,
                sleep=self.clocks.sleep,
            )

    async def end_job(self, *, guild_id: int = 3, job: Job | None = None) -> str:
        """One that is over and told, by the clock as it stands; its pictures are there."""
        job = job or make_job(asked_at_s=self.clocks.wall_s, guild_id=guild_id)
        await self.ledger.accept(job, Limits(queued=10_000))
        await self.ledger.move(job.id, State.CANCELLED)
        await self.ledger.tell(job.id)
        (self.album / job.id).mkdir(parents=True)
        (self.album / job.id / "a.png").write_bytes(b"png")
        return job.id

    async def kept(self) -> list[str]:
        jobs = sorted([record.job.id for record in await self.ledger.find(limit=10_000)])
        assert sorted(path.name for path in self.album.iterdir()) == jobs
        return jobs


@pytest.fixture
async def house(tmp_path: Path, clocks: Clocks) -> AsyncIterator[House]:
    ledger = DatabaseLedger(records_in(tmp_path).database(), clock=clocks.wall)
    await asyncio.to_thread(ledger.open)
    (tmp_path / "images").mkdir()
    yield House(ledger, tmp_path / "images", clocks)
    await asyncio.to_thread(ledger.close)


async def test_prompts_and_pictures_go_when_their_days_are_over(house: House) -> None:
    waiting = make_job()
    await house.ledger.accept(waiting, Limits())
    (house.album / waiting.id).mkdir()
    old = await house.end_job()
    await house.run(hours=30 * 24)
    assert await house.kept() == sorted([waiting.id, old])
    await house.run(hours=2)
    assert await house.kept() == [waiting.id]


@pytest.mark.parametrize("jump_s", [600, 3_600, 40 * DAY_S])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("when", ["at one start", "while it runs"])
async def test_a_clock_that_jumps_and_comes_back_deletes_nothing_early(
    house: House, clocks: Clocks, jump_s: float, sign: int, when: str
) -> None:
    await house.run(hours=5)
    before = await house.end_job()
    if when == "at one start":
        clocks.wall_s += sign * jump_s
        await house.run(hours=5)
        meanwhile = await house.end_job()
        clocks.wall_s -= sign * jump_s
        await house.run(hours=5)
    else:
        await house.run(hours=5)
        clocks.wall_s += sign * jump_s
        meanwhile = await house.end_job()
        await house.run(hours=5)
        clocks.wall_s -= sign * jump_s
        await house.run(hours=5)
    await house.run(hours=28 * 24)
    assert await house.kept() == sorted([before, meanwhile])
    await house.run(hours=3 * 24)
    assert await house.kept() == []


async def test_a_jump_is_asked_about_once_a_start_and_believed_after_a_day(
    house: House, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    await house.run()
    await house.end_job()
    clocks.wall_s += 60 * DAY_S
    await house.run(hours=12)
    (asked,) = [line for line in caplog.messages if "days ahead" in line]
    assert "60.0 days ahead" in asked
    assert "set the machine's clock right" in asked
    assert len(await house.kept()) == 1
    clocks.wall_s += 12 * 3_600  # off for the night, and another start finds the same
    await house.run()
    assert await house.kept() == []


async def test_a_row_of_the_future_goes_when_its_days_are_over(
    house: House, clocks: Clocks
) -> None:
    """Written by an earlier version, while the clock was 40 days ahead or behind."""
    ahead, behind = await house.end_job(), await house.end_job()
    await house.ledger.database.write(
        lambda connection: connection.executemany(
            "UPDATE jobs SET kept_since_s = kept_since_s + ? WHERE id = ?",
            [(40 * DAY_S, ahead), (-20 * DAY_S, behind)],
        )
    )
    await house.run(hours=9 * 24)
    assert await house.kept() == sorted([ahead, behind])
    await house.run(hours=2 * 24)
    assert await house.kept() == [ahead]
    await house.run(hours=20 * 24)
    assert await house.kept() == []


class StuckGallery(ObjectGallery):
    """Some folders cannot be deleted; the others can.

    tried  how often each was tried
    """

    stuck: frozenset[str] = frozenset()

    def __init__(self, folder: Path) -> None:
        super().__init__(Folder(folder), card_of)
        self.tried: Counter[str] = Counter()

    async def forget(self, job_ids: Sequence[str]) -> None:
        self.tried.update(job_ids)
        if self.stuck.intersection(job_ids):
            raise GalleryError(f"The pictures of {job_ids[0]} cannot be deleted (it is not ours).")
        await super().forget(job_ids)


async def test_a_folder_that_cannot_be_deleted_costs_one_row(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = house.gallery = StuckGallery(house.album)
    jobs = [await house.end_job() for _ in range(350)]
    gallery.stuck = frozenset(jobs[:150:2])
    await house.run()
    await house.run(hours=30 * 24 + 3)
    assert await house.kept() == sorted(gallery.stuck)
    assert set(gallery.tried) == set(jobs)
    assert max(gallery.tried.values()) <= 4  # once an hour, and not again and again
    lines = [line for line in caplog.messages if "could not be deleted" in line]
    assert "the pictures of 75 jobs could not be deleted" in lines[0]
    assert "it is not ours" in lines[0]
    gallery.stuck = frozenset()
    await house.run()
    assert await house.kept() == []


async def test_others_write_in_between(house: House) -> None:
    """No transaction deletes more than a few, and no picture is deleted within one."""
    for _ in range(250):
        await house.end_job()
    sizes: list[int] = []
    real = book.forget

    def forget(connection: Connection, job_ids: Sequence[str], before_s: float) -> None:
        sizes.append(len(job_ids))
        assert not any((house.album / job_id).exists() for job_id in job_ids)
        real(connection, job_ids, before_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "forget", forget)
        await house.run(hours=31 * 24)
    assert [size for size in sizes if size] == [100, 100, 50]
    assert await house.kept() == []


class CutOffError(Exception):
    """The process ends here."""


async def test_pictures_outlive_no_row_that_knows_of_them(house: House) -> None:
    """Cut off between the two deletions, the next round finds what is left."""
    old = await house.end_job()
    await house.run(hours=30 * 24)
    with pytest.MonkeyPatch.context() as cut:
        cut.setattr(house.ledger, "forget", AsyncMock(side_effect=CutOffError))
        with pytest.raises(CutOffError):
            await keep_clean(house.ledger, house.gallery, 29, AsyncMock(), clock=house.clocks.wall)
    assert list(house.album.iterdir()) == []
    assert [record.job.id for record in await house.ledger.find()] == [old]
    await house.run(hours=2)
    assert await house.kept() == []


class Boss:
    """Carries out what it is told, and refuses one."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def cancel(self, job_id: str, by: Owner) -> None:
        if job_id in self.done:
            raise IllegalMoveError("It is cancelled already.")
        self.done.append(job_id)

    async def repeat(self, job_id: str) -> str:
        return "newnewne"


async def test_orders_are_carried_out_once_and_answered(ledger: DatabaseLedger) -> None:
    job = make_job()
    await ledger.accept(job, Limits())

    def order(connection: Connection) -> list[int]:
        return [
            book.add_order(connection, job.id, kind, NOON_S)
            for kind in ("cancel", "cancel", "requeue")
        ]

    ids, boss = await ledger.database.write(order), Boss()
    with pytest.raises(asyncio.CancelledError):
        await keep_orders(ledger, boss, sleep=Once(3))

    def answers(connection: Connection) -> list[Answer | None]:
        return [book.answer(connection, order_id) for order_id in ids]

    assert await ledger.database.read(answers) == [
        Answer(f"The job {job.id} is cancelled.", done=True),
        Answer("It is cancelled already.", done=False),
        Answer(f"The job {job.id} waits again as newnewne.", done=True),
    ]
    assert boss.done == [job.id]
    assert await ledger.orders() == []


@sqlite_alone
async def test_a_ledger_that_fails_for_a_while_stops_nothing(ledger: DatabaseLedger) -> None:
    job = make_job()
    await ledger.accept(job, Limits())
    await ledger.database.write(
        lambda connection: book.add_order(connection, job.id, "cancel", NOON_S)
    )
    await ledger.database.write(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(asyncio.CancelledError):
        await keep_orders(ledger, Boss(), sleep=Once(2))
    with pytest.raises(asyncio.CancelledError):
        await keep_clean(
            ledger, ObjectGallery(Folder(Path("none")), card_of), 2, AsyncMock(), sleep=Once(2)
        )


async def test_a_community_may_keep_its_jobs_for_less(house: House, clocks: Clocks) -> None:
    registry = DatabaseRegistry(house.ledger.database, clock=clocks.wall)
    there, elsewhere = await house.end_job(guild_id=3), await house.end_job(guild_id=4)
    await registry.set_settings(Settings(keep_days=2), Deed("keep", "1", "village", "3"))
    await registry.set_settings(Settings(keep_days=90), Deed("keep", "1", "village", "4"))
    await house.run(hours=2 * 24)
    assert await house.kept() == sorted([there, elsewhere])
    await house.run(hours=2)
    assert await house.kept() == [elsewhere]
    await house.run(hours=28 * 24)  # and more than the bot keeps nobody keeps
    assert await house.kept() == []


async def test_cases_reports_and_notices_go_with_their_days(house: House, clocks: Clocks) -> None:
    registry = DatabaseRegistry(house.ledger.database, clock=clocks.wall)
    await house.run()
    cases = {}
    for guild_id in (3, 4):
        job = make_job("a secret", guild_id=guild_id, asked_at_s=clocks.wall_s)
        community = str(guild_id)
        await house.end_job(job=job)
        case = case_of(job, "reported", (), clocks.wall_s)
        report = Report(make_person(9), "why")
        deed = Deed("report", "9", "village", community, job.id)
        await registry.report(case, report, deed, clocks.wall_s)
        await registry.warn(case.id, Deed("warn", "8", "village", community, "1"), "Mind.")
        cases[guild_id] = case.id
    await registry.set_settings(Settings(keep_days=2), Deed("keep", "1", "village", "3"))
    await house.run(hours=2 * 24 + 2)
    with pytest.raises(UnknownJobError):
        await registry.case(cases[3])
    assert (await registry.case(cases[4])).reports
    assert [one.community for one in await registry.notices("village", limit=9)] == ["4"]
    await house.run(hours=28 * 24)
    with pytest.raises(UnknownJobError):
        await registry.case(cases[4])
    assert await registry.notices("village", limit=9) == []
    audit = await registry.chain(0, limit=99)
    assert first_broken(audit) is None
    assert len(audit) == 5  # it stays


async def test_a_case_loses_its_prompt_with_its_job(house: House, clocks: Clocks) -> None:
    registry = DatabaseRegistry(house.ledger.database, clock=clocks.wall)
    await house.run()
    job = make_job("a secret", asked_at_s=clocks.wall_s)
    await house.end_job(job=job)
    await house.run(hours=24)
    case = case_of(job, "reported", (), clocks.wall_s)  # a day later: it has a day more
    deed = Deed("report", "9", "village", "3", job.id)
    await registry.report(case, Report(make_person(9), ""), deed, clocks.wall_s)
    await house.run(hours=29 * 24 + 2)
    left = await registry.case(case.id)
    assert (left.prompt, left.version) == ("", 2)


async def test_what_no_moderator_decided_is_given_up(house: House, clocks: Clocks) -> None:
    registry = DatabaseRegistry(house.ledger.database, clock=clocks.wall)
    await house.run()
    held = {}
    for guild_id in (3, 4):
        job = make_job(guild_id=guild_id, asked_at_s=clocks.wall_s)
        await house.ledger.accept(job, Limits())
        await house.ledger.move(job.id, State.RUNNING)
        await house.ledger.move(job.id, State.REVIEW, case=case_of(job, "held", (), clocks.wall_s))
        held[guild_id] = job.id
    await registry.set_settings(Settings(keep_days=2), Deed("keep", "1", "village", "3"))
    given_up: list[tuple[str, int]] = []

    async def give_up(job_id: str, days: int) -> None:
        given_up.append((job_id, days))
        if len(given_up) == 1:  # asked again an hour later
            raise GalleryError("The disk is full.")
        await house.ledger.move(job_id, State.CANCELLED)

    house.moderators.give_up = give_up
    await house.run(hours=2 * 24)
    assert given_up == []
    await house.run(hours=3)
    assert given_up == 2 * [(held[3], 2)]
    await house.run(hours=28 * 24)
    assert given_up[2:] == [(held[4], 30)]


async def test_what_a_cancelled_job_left_goes_at_the_next_start(house: House) -> None:
    cancelled = await house.end_job()  # whose file was written all the same
    drawn = make_job(user_id=2)
    await house.ledger.accept(drawn, Limits())
    await house.ledger.move(drawn.id, State.RUNNING)
    await house.ledger.move(drawn.id, State.DRAWN)
    (house.album / drawn.id).mkdir()
    assert {path.name for path in house.album.iterdir()} == {cancelled, drawn.id}
    await forget_undrawn(house.ledger, house.gallery)
    assert {path.name for path in house.album.iterdir()} == {drawn.id}


async def test_what_cannot_be_looked_for_stops_no_start(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (house.album / ".brought").write_text("in the way")
    await forget_unclaimed(house.ledger, house.gallery)
    assert "at the next start" in caplog.text


async def test_what_another_bot_brings_at_this_moment_stays(house: House) -> None:
    late, lost = make_job(), make_job(user_id=2)
    for job in (late, lost):
        await house.gallery.bring(job.id, [file_of("red")])
    waits: list[float] = []

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)
        await house.ledger.accept(late, Limits())
        await house.gallery.bring("thenext2", [file_of("red")])

    await forget_unclaimed(house.ledger, house.gallery, after_s=60.0, sleep=sleep)
    assert waits == [60.0]
    assert set(await house.gallery.starters()) == {late.id, "thenext2"}
