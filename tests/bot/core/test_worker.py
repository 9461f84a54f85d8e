"""The studio and its worker, with a real engine thread, a real ledger, and a pipeline that the
test holds."""

import asyncio
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.core import offspring
from bot.core.events import Accepted, Begun, Drawn, Ended, Refused
from bot.core.job import Job, Person, Record, State, cost_of, new_job_id
from bot.core.policy import MAX_ATTEMPTS, Actor, Limits, Owner
from bot.core.stage import Drawing, Paused, Stage, Uploading, Waiting
from bot.core.wish import Wish
from bot.errors import (
    CardGoneError,
    GalleryError,
    IllegalMoveError,
    JobRefusedError,
    KnownJobError,
    LedgerError,
    NotAllowedError,
    UndeliveredError,
    UnknownJobError,
)
from bot.gallery.folder import Folder
from bot.ledgers.database import Connection, Database
from bot.ledgers.ledger import DatabaseLedger
from bot.shared.retry import Backoff
from sdxl_engine import (
    EngineStartError,
    ImageRequest,
    Images,
    InvalidRequestError,
    Pipeline,
    Progress,
)
from sdxl_engine.request import NO_PICTURES, Pictures
from tests.bot.core.jobs import file_of, heard_of, make_job, make_person
from tests.bot.core.office import HUNG, Office, OpenOffice
from tests.bot.ledgers.databases import sqlite_alone
from tests.fakes import FakeHome, FakePipeline, FakeSleep, Gate


class HeldLedger(DatabaseLedger):
    """Holds the moment between a job's being written as running and anybody's knowing it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.written, self.go = asyncio.Event(), asyncio.Event()

    async def move(self, job_id: str, to: State, **more: Any) -> Record:
        record = await super().move(job_id, to, **more)
        if to is State.RUNNING:
            self.written.set()
            await self.go.wait()
        return record


def limit_pages(pages: int) -> Callable[[Connection], object]:
    """A disk that is full, or, with many pages, has room again."""

    def work(connection: Connection) -> object:
        return connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    return work


async def ask_until_refused(it: Office) -> None:
    for _ in range(100):  # the last page has room for some
        await it.ask(make_job("x" * 900))


async def test_draws_in_order_and_shows_each_stage(office: OpenOffice) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        jobs = [make_job(f"picture {n}") for n in range(3)]
        for job in jobs:
            await it.ask(job)
        await it.home.until(lambda: len(it.home.delivered) == 3)
        stages = it.home.stages(jobs[0])
    assert [request.prompt for request in pipeline.requests] == [
        "picture 0",
        "picture 1",
        "picture 2",
    ]
    assert isinstance(stages[0], Waiting)
    halfway, drawn, uploading = stages[-3:]
    assert isinstance(halfway, Drawing)
    assert (halfway.step, len(halfway.previews)) == (1, 4)
    assert [drawn, uploading] == [Drawing(2, 2), Uploading()]
    assert [one.index for one in it.home.delivered[jobs[1].id]] == [0, 1, 2, 3]


async def test_the_ledger_has_every_state_before_anybody_sees_it(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        it.home.deliveries_open.clear()
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(job))
        assert await it.state(job) is State.RUNNING
        gate.open()
        await it.home.until(lambda: it.home.arrivals == 1)
        record = await it.ledger.get(job.id)
        assert record.state is State.DRAWN
        assert len(await it.gallery.read(job.id, record.images)) == 4
        it.home.deliveries_open.set()
        await it.home.until(lambda: job.id in it.home.delivered)
        await it.worker.drain(10)
        assert await it.state(job) is State.DELIVERED


async def test_the_next_job_is_drawn_while_the_last_is_uploaded(office: OpenOffice) -> None:
    async with office() as it:
        it.home.deliveries_open.clear()
        first, second = make_job(), make_job()
        await it.ask(first)
        await it.ask(second)
        await it.home.until(lambda: it.home.arrivals == 2)
        assert not it.home.delivered
        it.home.deliveries_open.set()
        await it.home.until(lambda: len(it.home.delivered) == 2)


async def test_stuck_uploads_hold_up_neither_the_engine_nor_other_uploads(
    office: OpenOffice,
) -> None:
    count = 12  # more than are uploaded at once
    async with office() as it:
        it.home.deliveries_open.clear()
        asked: list[Job] = []
        while len(asked) < count:
            asked.append(make_job())
            await it.ask(asked[-1])
            # One by one: if more wait than may, the next is refused.
            await it.home.until(lambda: it.home.arrivals == len(asked))
        it.home.deliveries_open.set()
        await it.home.until(lambda: len(it.home.delivered) == count)


async def test_an_interaction_that_comes_twice_is_drawn_once(office: OpenOffice) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        job = make_job()
        await it.ask(job)
        with pytest.raises(KnownJobError):
            await it.ask(replace(job, id=new_job_id()))
        await it.home.until(lambda: it.ended(job))
    assert len(pipeline.requests) == 1


async def test_jobs_wait_while_the_engine_warms_up_and_get_its_size(office: OpenOffice) -> None:
    warm, gate = threading.Event(), Gate()
    pipeline = FakePipeline([(128, 96), (64, 64)], gate=gate)

    def start() -> Pipeline:
        warm.wait(60)
        return pipeline

    async with office(start) as it:
        job, long = make_job(size_px=None), make_job(size_px=None, steps=9)
        for one in (job, long):
            await it.ask(one)
            assert it.home.stages(one) == [Waiting(warming_up=True)]
        warm.set()
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(job))
        gate.open()
        await it.home.until(lambda: job.id in it.home.delivered)
        wish = (await it.ledger.get(job.id)).job.wish
    assert (pipeline.requests[0].width_px, pipeline.requests[0].height_px) == (128, 96)
    assert it.home.jobs[job.id].wish.size_px == wish.size_px == (128, 96)


async def test_a_size_that_is_not_warm_is_refused_before_it_waits(office: OpenOffice) -> None:
    async with office() as it:
        await it.engine.warm()
        job = make_job(size_px=(512, 64))
        with pytest.raises(InvalidRequestError, match="not warm"):
            await it.ask(job)
        with pytest.raises(UnknownJobError):
            await it.ledger.get(job.id)
    assert it.home.shown == []


async def test_a_size_that_turns_out_not_to_be_warm_is_rejected_alone(office: OpenOffice) -> None:
    warm = threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline()

    async with office(start) as it:
        odd = make_job(size_px=(512, 64))
        good = make_job()
        await it.ask(odd)
        await it.ask(good)
        warm.set()
        await it.home.until(lambda: it.ended(odd) and it.ended(good))
        assert await it.state(odd) is State.REJECTED
    assert "not warm" in it.home.told[odd.id]
    assert good.id in it.home.delivered


async def test_an_engine_that_cannot_start_keeps_everybodys_place(
    tmp_path: Path, office: OpenOffice
) -> None:
    go = threading.Event()

    def start() -> Pipeline:
        go.wait(60)
        raise OSError("no such device")

    it = Office(tmp_path, start, FakeHome())
    await asyncio.to_thread(it.ledger.open)
    task = it.worker.start()
    it.engine.start()
    jobs = [make_job(), make_job()]
    for job in jobs:
        await it.ask(job)
    go.set()
    with pytest.raises(EngineStartError, match="no such device"):
        await task
    for job in jobs:
        paused = it.home.stages(job)[-1]
        assert isinstance(paused, Paused)
        assert "no such device" in paused.sentence
    with pytest.raises(EngineStartError):
        await it.ask(make_job())
    with pytest.raises(EngineStartError):
        await it.studio.check_limits(heard_of(jobs[0], asked_at_s=0.0))
    await it.worker.drain(0)
    await it.engine.close(0)
    await asyncio.to_thread(it.ledger.close)
    async with office() as again:
        await again.home.until(lambda: len(again.home.delivered) == 2)


async def test_a_job_that_fails_fails_alone(office: OpenOffice) -> None:
    pipeline = FakePipeline(failure=ValueError("NaN"))
    async with office(lambda: pipeline) as it:
        bad, good = make_job(), make_job()
        await it.ask(bad)
        await it.home.until(lambda: it.ended(bad))
        pipeline.failure = None
        await it.ask(good)
        await it.home.until(lambda: good.id in it.home.delivered)
        assert await it.state(bad) is State.FAILED
    assert "Drawing failed on the device" in it.home.told[bad.id]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (UndeliveredError("The channel is gone."), "The channel is gone."),
        (OSError(), "/jobs still has them"),
    ],
)
async def test_pictures_that_find_no_place_are_kept(
    office: OpenOffice, failure: Exception, words: str
) -> None:
    async with office(home=FakeHome(failure)) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: it.ended(job))
        record = await it.ledger.get(job.id)
        assert record.state is State.UNDELIVERED
        assert words in record.reason
        assert len(await it.gallery.read(job.id, record.images)) == 4
    assert words in it.home.told[job.id]


async def test_cancel_a_waiting_and_a_running_job(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        first, second, third = (make_job() for _ in range(3))
        for job in (first, second, third):
            await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(first))
        await it.studio.cancel(second.id, Owner())
        position = it.queue.position(third.id)
        assert position is not None
        assert position.place == 1
        await it.studio.cancel(first.id, Owner())
        with pytest.raises(IllegalMoveError):
            await it.studio.cancel(first.id, Owner())
        gate.open()
        await it.home.until(lambda: third.id in it.home.delivered)
        with pytest.raises(UnknownJobError):
            await it.studio.cancel("aaaaaaaa", Owner())
        await it.home.until(lambda: len(it.home.told) == 2)
        assert [await it.state(job) for job in (first, second)] == [State.CANCELLED] * 2


async def test_a_cancel_while_a_job_is_begun_stops_it(office: OpenOffice) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline, make_ledger=HeldLedger) as it:
        assert isinstance(it.ledger, HeldLedger)
        job, other = make_job("cancelled"), make_job("other")
        await it.ask(job)
        await it.ledger.written.wait()
        await it.studio.cancel(job.id, Owner())
        await it.home.until(lambda: job.id in it.home.told)
        shown = len(it.home.stages(job))
        it.ledger.go.set()
        await it.ask(other)
        await it.home.until(lambda: other.id in it.home.delivered)
        assert len(it.home.stages(job)) == shown
    assert [request.prompt for request in pipeline.requests] == ["other"]


async def test_a_stop_while_a_job_is_begun_puts_it_back(office: OpenOffice) -> None:
    async with office(make_ledger=HeldLedger) as it:
        assert isinstance(it.ledger, HeldLedger)
        job = make_job()
        await it.ask(job)
        await it.ledger.written.wait()
        await it.worker.drain(0)
        assert isinstance(it.home.stages(job)[-1], Paused)
        record = await it.ledger.get(job.id)
        assert (record.state, record.attempt) == (State.QUEUED, 0)


async def test_an_ended_job_can_be_asked_for_again(office: OpenOffice) -> None:
    pipeline = FakePipeline(failure=ValueError("NaN"))
    async with office(lambda: pipeline) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: job.id in it.home.told)
        pipeline.failure = None
        while not (await it.ledger.get(job.id)).told:  # noqa: ASYNC110 - a ledger has no event
            await asyncio.sleep(0)
        new_id = await it.studio.repeat(job.id)
        await it.home.until(lambda: new_id in it.home.delivered)
        again = await it.ledger.get(new_id)
        assert (again.job.wish, again.job.again_of) == (job.wish, job.id)
        assert await it.state(job) is State.FAILED
        with pytest.raises(IllegalMoveError, match="needs no second try"):
            await it.studio.repeat(new_id)
        with pytest.raises(IllegalMoveError, match=f"again before, as {new_id}"):
            await it.studio.repeat(job.id)


async def test_drain_finishes_what_runs_and_keeps_what_waits(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        first, second = make_job(), make_job()
        await it.ask(first)
        await it.ask(second)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(first))
        draining = asyncio.create_task(it.worker.drain(60))
        await it.home.until(lambda: isinstance(it.home.stages(second)[-1], Paused))
        with pytest.raises(JobRefusedError, match="restarting"):
            await it.ask(make_job())
        with pytest.raises(JobRefusedError, match="restarting"):
            await it.studio.check_limits(heard_of(first, asked_at_s=0.0))
        gate.open()
        await draining
        assert first.id in it.home.delivered
        assert await it.state(second) is State.QUEUED
    async with office() as it:
        await it.home.until(lambda: second.id in it.home.delivered)
        assert it.home.stages(second)[0] == Waiting(warming_up=True, restored=True)
        assert first.id not in it.home.delivered


async def test_drain_puts_back_what_does_not_finish_in_time(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(job))
        await it.worker.drain(0)
        assert isinstance(it.home.stages(job)[-1], Paused)
        record = await it.ledger.get(job.id)
        assert (record.state, record.attempt) == (State.QUEUED, 0)
        gate.open()


async def test_an_upload_that_hangs_is_done_by_the_next_start(office: OpenOffice) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        it.home.deliveries_open.clear()
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: it.home.arrivals == 1)
        await it.worker.drain(0)
        assert await it.state(job) is State.DRAWN
        assert not it.home.delivered
    async with office(lambda: pipeline) as it:
        await it.home.until(lambda: job.id in it.home.delivered)
    assert len(pipeline.requests) == 1


async def test_drain_does_not_wait_for_an_engine_that_is_loading(office: OpenOffice) -> None:
    warm = threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline()

    async with office(start) as it:
        job = make_job()
        await it.ask(job)
        await it.worker.drain(3600)  # the suite's own limit is 120 s
        assert isinstance(it.home.stages(job)[-1], Paused)
        warm.set()


async def test_lost_files_are_drawn_again(tmp_path: Path, office: OpenOffice) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        it.home.deliveries_open.clear()
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: it.home.arrivals == 1)
    (tmp_path / "images" / job.id / f"{job.id}_2.png").unlink()
    async with office(lambda: pipeline) as it:
        await it.home.until(lambda: job.id in it.home.delivered)
    assert len(pipeline.requests) == 2


async def test_pictures_that_cannot_be_fetched_now_are_waited_for(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read, pipeline = Folder.get, FakePipeline()

    def get(folder: Folder, name: str) -> bytes:
        """For everything nobody can be asked at first."""
        if name in asked:
            return read(folder, name)
        asked.append(name)
        raise GalleryError("Nobody knows now.")

    monkeypatch.setattr(Folder, "get", get)
    monkeypatch.setattr("bot.core.worker._DISK_BACKOFF", Backoff(first_s=0.0))
    async with office(lambda: pipeline) as it:
        job = make_job()
        (source,) = await it.studio.bring(job.id, [file_of("red")])
        job = replace(job, wish=replace(job.wish, source=offspring.source_fields(source)))
        await it.ask(job)
        await it.home.until(lambda: job.id in it.home.delivered)
        assert it.worker.disk_is_writable
    assert len(pipeline.requests) == 1  # nothing was drawn again
    # What it starts from, then each of its pictures.
    assert asked[0] == f".brought/{job.id}/{source.picture}"
    assert len(asked) == 5


async def test_a_cancelled_job_waits_for_no_picture(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does whatever is behind it, though the store says nothing at all."""
    asked, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def get(_: Folder, name: str) -> bytes:
        loop.call_soon_threadsafe(asked.set)
        go.wait(60)
        raise GalleryError("Nobody knows now.")

    monkeypatch.setattr(Folder, "get", get)
    async with office() as it:
        job, behind = make_job(), make_job(user_id=2)
        (source,) = await it.studio.bring(job.id, [file_of("red")])
        job = replace(job, wish=replace(job.wish, source=offspring.source_fields(source)))
        await it.ask(job)
        await asked.wait()
        await it.ask(behind)
        await it.studio.cancel(job.id, Owner())
        try:
            await it.heard_of(Begun, 1)
        finally:
            go.set()
        assert (await it.ledger.get(job.id)).state is State.CANCELLED


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_picture_that_cannot_be_fetched_holds_nobody_up_for_ever(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch, *, is_silent: bool
) -> None:
    go = threading.Event()

    def get(_: Folder, name: str) -> bytes:
        if is_silent:
            go.wait(60)
        raise GalleryError("Nobody knows now.")

    monkeypatch.setattr("bot.core.worker._FETCH_S", 0.05)
    async with office() as it:
        job, behind = make_job(), make_job(user_id=2)
        (source,) = await it.studio.bring(job.id, [file_of("red")])
        job = replace(job, wish=replace(job.wish, source=offspring.source_fields(source)))
        with monkeypatch.context() as away:
            away.setattr(Folder, "get", get)
            await it.ask(job)
            await it.ask(behind)
            try:
                await it.heard_of(Begun, 1)
            finally:
                go.set()
        assert await it.state(job) is State.FAILED
        await it.home.until(lambda: behind.id in it.home.delivered)
        assert "ask again later" in it.home.told[job.id]


async def test_pictures_that_cannot_be_read_take_no_place_of_other_uploads(
    office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = [make_job(user_id=number) for number in range(1, 5)]  # a community's whole share
    read, asked = Folder.get, asyncio.Queue[str]()
    loop = asyncio.get_running_loop()

    def get(folder: Folder, name: str) -> bytes:
        job_id = name.partition("/")[0]
        if any(job.id == job_id for job in stuck):
            loop.call_soon_threadsafe(asked.put_nowait, job_id)
            raise GalleryError("Nobody knows now.")
        return read(folder, name)

    with monkeypatch.context() as away:
        away.setattr(Folder, "get", get)
        away.setattr("bot.core.worker._DISK_BACKOFF", Backoff(first_s=3600.0))
        async with office() as it:
            for job in stuck:
                await it.ask(job)
                assert await asked.get() == job.id
            other = make_job(user_id=9)
            await it.ask(other)
            await it.home.until(lambda: other.id in it.home.delivered)


async def test_a_job_under_which_the_engine_hung_twice_is_set_aside(office: OpenOffice) -> None:
    job, waiting = make_job(), make_job()
    for attempt in (1, 2):
        gate, other = Gate(), make_job()
        async with office(lambda gate=gate: FakePipeline(gate=gate)) as it:
            if attempt == 1:
                await it.ask(job)
                await it.ask(waiting)
            await it.ask(other)
            await it.home.until(lambda: Drawing(0, 2) in it.home.stages(job))
            await it.silent()
            await it.worker.drain(60, stuck=HUNG)
            await it.studio.cancel(other.id, Owner())  # nobody is left to say so
            assert other.id not in it.home.told
            for one in (job, waiting):
                assert it.home.stages(one)[-1] == Paused("The device does not answer.")
            record = await it.ledger.get(job.id)
            assert (record.state, record.attempt) == (
                State.QUEUED if attempt == 1 else State.FAILED,
                attempt,
            )
            gate.open()
    async with office() as it:
        await it.home.until(lambda: it.ended(job) and it.ended(waiting))
    assert it.home.told[job.id].startswith("Drawing this broke off 2 times. At last the device did")
    assert waiting.id in it.home.delivered


class SlowToFetch(FakePipeline):
    """Draws at once; the pictures of the prompts named come only through the gate."""

    def __init__(self, gate: Gate, *prompts: str) -> None:
        super().__init__()
        self._fetching, self._prompts = gate, prompts

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        for progress in super().generate(request, pictures=pictures, previews=previews):
            if progress.fetch is None or request.prompt not in self._prompts:
                yield progress
            else:
                yield replace(progress, fetch=partial(self._fetch, progress.fetch))

    def _fetch(self, fetch: Callable[[], Images]) -> Images:
        self._fetching.wait()
        return fetch()


async def test_whoever_waits_behind_a_fetch_that_hangs_is_not_blamed(office: OpenOffice) -> None:
    """Drawn already, not begun, not even with the engine: only one of them was silent."""
    guilty, others = make_job(prompt="hangs"), [make_job() for _ in range(7)]
    for attempt in (1, 2):
        gate = Gate()
        pipeline = SlowToFetch(gate, "hangs")
        async with office(lambda pipeline=pipeline: pipeline) as it:
            if attempt == 1:
                for job in (guilty, *others):
                    await it.ask(job)
            # The second time it is alone with the device.
            await it.heard_of(Begun, 4 if attempt == 1 else 1)
            await it.silent()
            await it.worker.drain(60, stuck=HUNG)
            records = {record.job.id: record for record in await it.ledger.find(limit=99)}
            assert {records[job.id].state for job in others} == {State.QUEUED}
            assert {records[job.id].attempt for job in others} == {0}
            gate.open()
    async with office() as it:
        await it.home.until(lambda: all(map(it.ended, (guilty, *others))))
    assert "did not answer" in it.home.told.pop(guilty.id)
    assert it.home.told == {}


class MortalLedger(DatabaseLedger):
    """Writes nothing any more once its process is dead."""

    dead = False

    async def move(self, job_id: str, to: State, **more: Any) -> Record:
        if self.dead:
            raise LedgerError("The process is dead.")
        return await super().move(job_id, to, **more)


async def die_drawing(it: Office, job: Job) -> None:
    """The process ends while this one is in hand."""
    await it.home.until(lambda: Drawing(0, 2) in it.home.stages(job))
    assert await it.state(job) is State.RUNNING
    assert isinstance(it.ledger, MortalLedger)
    it.ledger.dead = True


async def die_twice(office: OpenOffice, job: Job) -> None:
    """It is asked for, and two processes end with it in hand."""
    for start in range(2):
        gate = Gate()
        pipeline = FakePipeline(gate=gate)
        async with office(lambda pipeline=pipeline: pipeline, make_ledger=MortalLedger) as it:
            if start == 0:
                await it.ask(job)
            await die_drawing(it, job)
            gate.open()


async def test_what_kills_the_process_is_found_by_drawing_suspects_alone(
    office: OpenOffice,
) -> None:
    """Two were in hand at first, then one; the other is never failed."""
    guilty, innocent = make_job(prompt="kills"), make_job()
    for death in range(1, MAX_ATTEMPTS + 1):
        gate = Gate()
        pipeline = SlowToFetch(gate, "kills")
        async with office(
            lambda pipeline=pipeline: pipeline, make_ledger=MortalLedger, sleep=FakeSleep()
        ) as it:
            if death == 1:
                await it.ask(guilty)
                await it.ask(innocent)
                await it.heard_of(Begun, 2)
            await die_drawing(it, guilty)
            assert (await it.ledger.get(guilty.id)).attempt == death
            gate.open()
    async with office() as it:
        (ended,) = [event for event in it.heard if isinstance(event, Ended)]
        assert ended.record.job.id == guilty.id  # metrics hear of it, too
        await it.home.until(lambda: it.ended(guilty))
        if await it.state(innocent) is not State.DELIVERED:  # in one of the processes before
            await it.home.until(lambda: innocent.id in it.home.delivered)
    assert it.home.told.keys() == {guilty.id}
    assert f"process ended {MAX_ATTEMPTS} times" in it.home.told[guilty.id]


async def test_processes_that_die_young_prove_nothing_against_a_job(office: OpenOffice) -> None:
    """Something else ends them: whoever waits is drawn, and is blamed for nothing."""
    job = make_job()
    await die_twice(office, job)
    well = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == 10
        await well.wait()

    for _ in range(5):  # it is not even begun
        async with office(sleep=sleep) as it:
            await it.home.until(lambda: isinstance(it.home.stages(job)[-1], Paused))
            await it.ask(other := make_job())
            await it.home.until(lambda: it.ended(other))  # which need not wait for it
            assert (await it.ledger.get(job.id)).attempt == 2
    async with office(sleep=sleep) as it:
        well.set()
        await it.home.until(lambda: it.ended(job))
    assert job.id in it.home.delivered


async def test_what_is_held_back_can_be_cancelled(office: OpenOffice) -> None:
    job = make_job()
    await die_twice(office, job)
    async with office() as it:
        await it.studio.cancel(job.id, Owner())
        await it.home.until(lambda: it.ended(job))
        await it.worker.drain(60)  # and nothing waits for it any more
    assert it.home.told == {job.id: "Cancelled by the bot's owner."}


@pytest.mark.parametrize("where", ["check", "draw"])
async def test_an_unknown_failure_of_one_job_costs_one_job(office: OpenOffice, where: str) -> None:
    class Odd(FakePipeline):
        """Stumbles over one prompt in a way that nobody foresaw."""

        def check(self, request: ImageRequest) -> None:
            if where == "check" and request.prompt == "odd" and warm.is_set():
                raise ZeroDivisionError
            super().check(request)

        def generate(
            self,
            request: ImageRequest,
            *,
            pictures: Pictures = NO_PICTURES,
            previews: bool = False,
        ) -> Iterator[Progress]:
            if request.prompt == "odd":
                raise ZeroDivisionError
            return super().generate(request, pictures=pictures, previews=previews)

    warm = threading.Event()
    odd, other = make_job(prompt="odd"), make_job()

    def start() -> FakePipeline:
        warm.wait(60)
        return Odd()

    async with office(start) as it:
        await it.ask(odd)  # nobody can check it yet
        await it.ask(other)
        warm.set()
        await it.home.until(lambda: it.ended(odd) and it.ended(other))
        assert await it.state(odd) is State.FAILED
    assert other.id in it.home.delivered
    assert it.home.told.keys() == {odd.id}


async def test_a_wish_that_was_heard_and_lost_is_answered_by_the_next_start(
    office: OpenOffice,
) -> None:
    lost, refused, taken = make_job(), make_job(), make_job()
    async with office() as it:
        for job in (lost, refused, taken):
            await it.studio.hear(job.origin, "de")
        await it.studio.answered(refused.origin)
        await it.ask(taken)
        await it.studio.hear(taken.origin, "de")  # its event is told once more
        await it.home.until(lambda: it.ended(taken))
    async with office() as it:
        await it.home.until(lambda: bool(it.home.apologies))
        assert it.home.apologies.keys() == {lost.origin.event}
        assert it.home.apologies_in == {lost.origin.event: "de"}
        await it.worker.drain(60)
    async with office() as it:
        assert it.home.apologies == {}


def is_writable(it: Office) -> bool:
    return it.worker.disk_is_writable


@sqlite_alone
async def test_room_on_the_disk_is_noticed_though_nobody_asks(
    office: OpenOffice, tmp_path: Path
) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        await it.database.write(limit_pages(1))
        with pytest.raises(LedgerError):
            await ask_until_refused(it)
        await it.worker.probe_disk()
        assert not is_writable(it)
        await it.database.write(limit_pages(10_000))
        await it.worker.probe_disk()
        assert is_writable(it)
        album = tmp_path / "images"
        shutil.rmtree(album, ignore_errors=True)
        album.write_text("in the way")
        with pytest.raises(GalleryError):
            await it.worker.noting_trouble(it.gallery.probe, kept="pictures")
        # That the ledger can be written says nothing of the pictures.
        await it.worker.noting_trouble(it.ledger.probe)
        assert not is_writable(it)
        album.unlink()
        await it.worker.probe_disk()
        assert is_writable(it)
        gate.open()


@sqlite_alone
async def test_a_full_disk_refuses_newcomers_and_loses_nobody(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(job))
        await it.database.write(limit_pages(1))
        with pytest.raises(LedgerError, match="disk is full"):
            await ask_until_refused(it)
        assert not it.worker.disk_is_writable
        waiting = len(it.queue)
        await it.database.write(limit_pages(10_000))
        gate.open()
        await it.home.until(lambda: len(it.home.delivered) == 1 + waiting)
        assert it.worker.disk_is_writable


async def test_pictures_wait_for_room_on_the_disk(tmp_path: Path, office: OpenOffice) -> None:
    (tmp_path / "images").write_text("in the way")
    async with office() as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: isinstance(it.home.stages(job)[-1], Paused))
        assert not it.worker.disk_is_writable
        (tmp_path / "images").unlink()
        await it.home.until(lambda: job.id in it.home.delivered)
        assert it.worker.disk_is_writable


def test_what_a_job_costs_depends_on_its_steps_and_size() -> None:
    def cost(steps: int, size_px: tuple[int, int] = (64, 64)) -> float:
        request = make_job(steps=steps).wish.resolve(size_px)
        wide = replace(request, width_px=size_px[0])
        return cost_of(wide, make_job().wish.resolve((64, 64)))

    costs = [cost(1), cost(2), cost(3), cost(50), cost(2, (128, 64))]
    # Two steps are guided, which is four passes, and two more are for the prompt and decoding.
    assert costs == [1.0, 1.0, pytest.approx(8 / 6), 4.0, 2.0]
    typical = make_job().wish.resolve((64, 64))
    # Heun looks twice a step, but once in the last of the two.
    assert cost_of(replace(typical, sampler="heun"), typical) == pytest.approx(8 / 6)


async def test_what_cannot_be_drawn_any_more_is_set_aside_and_the_others_go_on(
    office: OpenOffice,
) -> None:
    wish = make_job().wish
    strange = [
        make_job(wish=replace(wish, sampler="of a newer version")),
        make_job(wish=replace(wish, num_inference_steps=60)),
        make_job(wish=replace(wish, unread=("style",))),
        make_job(wish=Wish("(unreadable)", unread=("everything",))),
    ]
    good = make_job()
    async with office() as it:
        await it.worker.drain(0)
        for job in (*strange, good):
            await it.ledger.accept(job, Limits())
    async with office() as it:
        await it.home.until(lambda: all(map(it.ended, (*strange, good))))
        assert [await it.state(job) for job in strange] == [State.REJECTED] * 4
    assert good.id in it.home.delivered
    assert "There is no sampler 'of a newer version'" in it.home.told[strange[0].id]
    assert "between 1 and 50, not 60" in it.home.told[strange[1].id]
    assert "does not know (style)" in it.home.told[strange[2].id]


async def test_a_wish_is_settled_when_it_is_asked(office: OpenOffice) -> None:
    async with office() as it:
        job = make_job(wish=Wish("a cat"))
        await it.ask(job)
        wish = (await it.ledger.get(job.id)).job.wish
    assert (wish.num_inference_steps, wish.guidance_scale, wish.num_images) == (2, 5.0, 4)
    assert wish.seed is not None


async def test_a_wish_that_no_model_could_draw_is_refused_while_the_engine_loads(
    office: OpenOffice,
) -> None:
    warm = threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline()

    async with office(start) as it:
        with pytest.raises(InvalidRequestError, match="between 1 and 50"):
            await it.ask(make_job(steps=99))
        assert it.home.shown == []
        warm.set()


async def test_who_may_cancel(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        jobs = [make_job(user_id=1) for _ in range(3)]
        private = make_job(user_id=1, guild_id=None)
        for job in (*jobs, private):
            await it.ask(job)
        other, here = make_person(2), jobs[0].origin.venue
        for actor in (
            Actor(other),
            Actor(other, moderates=replace(here, community="another")),
            Actor(other, moderates=replace(here, channel="another")),
            Actor(Person("town", "1"), moderates=replace(here, home="town")),
        ):
            with pytest.raises(NotAllowedError, match="or a moderator"):
                await it.studio.cancel(jobs[0].id, actor)
        with pytest.raises(NotAllowedError):
            await it.studio.cancel(private.id, Actor(other, moderates=private.origin.venue))
        await it.studio.cancel(jobs[0].id, Actor(make_person(1)))
        await it.studio.cancel(jobs[1].id, Actor(other, moderates=here))
        await it.studio.cancel(jobs[2].id, Owner())
        await it.home.until(lambda: len(it.home.told) == 3)
        gate.open()
    assert [it.home.told[job.id] for job in jobs] == [
        "Cancelled by the one who asked.",
        "Cancelled by a moderator.",
        "Cancelled by the bot's owner.",
    ]


def is_halfway(stage: Stage) -> bool:
    return isinstance(stage, Drawing) and stage.step == 1


@pytest.mark.parametrize("when", ["waiting", "drawn"])
async def test_a_deleted_card_cancels_its_job(office: OpenOffice, when: str) -> None:
    gate = Gate()
    pipeline = FakePipeline(gate=gate)
    async with office(lambda: pipeline) as it:
        first, job = make_job("first"), make_job("deleted")
        await it.ask(first)
        await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(first))
        if when == "drawn":
            gate.let_through(3)
            await it.home.until(lambda: any(is_halfway(one) for one in it.home.stages(job)))
        it.studio.card_gone(job)
        await it.home.until(lambda: job.id in it.home.forgotten)
        gate.open()
        await it.home.until(lambda: first.id in it.home.delivered)
        record = await it.ledger.get(job.id)
        assert (record.state, record.told) == (State.CANCELLED, True)
        with pytest.raises(UnknownJobError):
            await it.studio.pictures_of(job.person, job.id)
    assert not it.ended(job)


async def test_pictures_whose_card_was_deleted_are_kept_nowhere(
    tmp_path: Path, office: OpenOffice
) -> None:
    async with office(home=FakeHome(CardGoneError("It was deleted."))) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: job.id in it.home.forgotten)
        await it.worker.drain(10)
        record = await it.ledger.get(job.id)
        assert (record.state, record.told) == (State.CANCELLED, True)
        assert not (tmp_path / "images" / job.id).exists()


async def test_a_card_that_shows_its_pictures_closes_its_job(office: OpenOffice) -> None:
    """As after a restore: the copy holds the job as waiting, the card has its pictures."""
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        first, shown, over = make_job(), make_job(), make_job()
        for job in (first, shown, over):
            await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(first))
        it.studio.card_over(shown, shows_pictures=True)
        it.studio.card_over(over, shows_pictures=False)
        await it.home.until(lambda: {shown.id, over.id} <= set(it.home.forgotten))
        assert await it.state(shown) is State.DELIVERED
        record = await it.ledger.get(over.id)
        assert (record.state, record.told) == (State.CANCELLED, True)
        assert "restored from a copy" in record.reason
        gate.open()
        await it.home.until(lambda: first.id in it.home.delivered)
    assert not {shown.id, over.id} & it.home.delivered.keys()


async def test_who_wants_it_is_mentioned_when_the_pictures_are_there(office: OpenOffice) -> None:
    async with office() as it:
        quiet, job = make_job(user_id=1), make_job(user_id=2)
        await it.studio.set_mention(job.person, wanted=True)
        assert await it.studio.wants_mention(job.person)
        for one in (quiet, job):
            await it.ask(one)
        await it.home.until(lambda: job.id in it.home.mentioned)
        await it.worker.drain(10)
    assert it.home.mentioned == [job.id]


async def test_jobs_of_a_home_that_is_not_here_are_left_alone(office: OpenOffice) -> None:
    async with office() as it:
        await it.worker.drain(0)
        job = make_job()
        await it.ledger.accept(job, Limits())
    async with office(home=FakeHome(name="town")) as it:
        assert len(it.queue) == 0
        assert await it.state(job) is State.QUEUED
    async with office() as it:
        await it.home.until(lambda: job.id in it.home.delivered)


async def test_an_order_for_a_home_that_is_not_here_is_refused(office: OpenOffice) -> None:
    async with office() as it:
        await it.worker.drain(0)
        waiting, failed = make_job(), make_job()
        for job in (waiting, failed):
            await it.ledger.accept(job, Limits())
        await it.ledger.move(failed.id, State.CANCELLED)
        await it.ledger.tell(failed.id)
    async with office(home=FakeHome(name="town")) as it:
        with pytest.raises(IllegalMoveError, match="the bot is not there now"):
            await it.studio.cancel(waiting.id, Owner())
        with pytest.raises(IllegalMoveError, match="the bot is not there now"):
            await it.studio.repeat(failed.id)
        assert await it.state(waiting) is State.QUEUED


async def test_last_words_that_cannot_be_made_are_not_tried_for_ever(office: OpenOffice) -> None:
    class Mute(FakeHome):
        async def tell(self, job: Job, sentence: str, *, takes_back: bool) -> None:
            self.told[job.id] = sentence
            self._changed.set()
            raise ValueError("a mistake")

    async with office(lambda: FakePipeline(failure=ValueError("NaN")), home=Mute()) as it:
        job = make_job()
        await it.ask(job)
        await it.home.until(lambda: job.id in it.home.told)
        await it.worker.drain(10)
        assert (await it.ledger.get(job.id)).told


async def test_a_cancel_in_the_last_moment_of_a_stop_breaks_nothing(office: OpenOffice) -> None:
    class Cancelling(FakeHome):
        """A person presses Cancel whenever a card says that the bot stops."""

        cancelling: set[asyncio.Task[None]] = set()  # noqa: RUF012 - one home a test

        def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
            super().show(job, stage, at_once=at_once)
            if isinstance(stage, Paused):
                assert self.studio is not None
                cancel = self.studio.cancel(job.id, Owner())
                self.cancelling.add(asyncio.create_task(cancel))

    gate, home = Gate(), Cancelling()
    async with office(lambda: FakePipeline(gate=gate), home=home) as it:
        jobs = [make_job() for _ in range(3)]
        for job in jobs:
            await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(jobs[0]))
        await it.worker.drain(0)
        gate.open()
        await asyncio.gather(*home.cancelling, return_exceptions=True)


async def test_whoever_listens_hears_the_whole_way(office: OpenOffice) -> None:
    async with office() as it:
        job = make_job()
        await it.ask(job)
        with pytest.raises(InvalidRequestError):
            await it.ask(make_job(steps=99))
        await it.home.until(lambda: job.id in it.home.delivered)
        await it.worker.drain(10)
    kinds = [type(event) for event in it.heard if not isinstance(event, Refused)]
    assert kinds == [Accepted, Begun, Drawn, Ended]
    assert len(it.heard) == 5


async def test_a_list_says_where_each_job_stands(office: OpenOffice) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        jobs = [make_job(user_id=1), make_job(user_id=2), make_job(user_id=1)]
        for job in jobs:
            await it.ask(job)
        await it.home.until(lambda: Drawing(0, 2) in it.home.stages(jobs[0]))
        listed = await it.studio.list_of(jobs[0].person, "3", limit=5)
        assert [one.record.job.id for one in listed] == [jobs[2].id, jobs[0].id]
        assert listed[0].position is not None
        assert listed[1].position is None
        assert await it.studio.list_of(jobs[0].person, "elsewhere", limit=5) == ()
        gate.open()


def test_job_ids_differ_and_are_safe_in_file_names() -> None:
    ids = {new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[a-z2-7]{8}", one) for one in ids)


async def test_what_another_bot_did_is_taken_up_while_this_one_works(office: OpenOffice) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        drawn, silent, theirs = (make_job(user_id=number) for number in range(3))
        await it.ask(drawn)
        await it.home.until(lambda: any(isinstance(s, Drawing) for s in it.home.stages(drawn)))
        await it.ask(silent)
        # Another bot did this, in the ledger alone.
        await it.ledger.move(drawn.id, State.CANCELLED, reason="Cancelled.")
        await it.ledger.move(silent.id, State.CANCELLED, reason="Its card is gone.", silently=True)
        await it.ledger.accept(theirs, Limits(queued=8))
        it.worker.restore([await it.ledger.get(job.id) for job in (drawn, silent, theirs)])
        gate.open()
        await it.home.until(lambda: theirs.id in it.home.delivered)
        assert it.home.told == {drawn.id: "Cancelled."}
        assert it.home.forgotten == [silent.id]
        assert (await it.ledger.get(silent.id)).told
        await it.until_told(drawn.id)
        await it.worker.drain(60)  # all is told by now
        ended = [one.record.job.id for one in it.heard if isinstance(one, Ended)]
        assert ended == [theirs.id]  # who ended the others has told of it


async def test_what_another_bot_has_in_hand_is_left_to_it(office: OpenOffice) -> None:
    async with office() as it:
        record = Record(make_job(), State.DRAWN, 1, "", False, None, None, None, (), bot="another")
        it.worker.hand_over(record)
        it.worker.withdraw(replace(record, state=State.CANCELLED))
        assert [type(one) for one in it.heard] == [Ended]  # which happened here
        await it.worker.drain(0)
        assert (it.home.delivered, it.home.told, it.home.shown) == ({}, {}, [])


async def test_a_bot_whose_work_another_has_touches_no_card(office: OpenOffice) -> None:
    gate = Gate()
    async with office(partial(FakePipeline, gate=gate)) as it:
        drawn, waiting = make_job(), make_job(user_id=2)
        await it.ask(drawn)
        await it.home.until(lambda: any(isinstance(s, Drawing) for s in it.home.stages(drawn)))
        await it.ask(waiting)
        draining = asyncio.create_task(it.worker.drain(60, disowned=True))
        gate.open()
        await draining
        stages = [*it.home.stages(drawn), *it.home.stages(waiting)]
        assert not any(isinstance(one, Paused | Uploading) for one in stages)
        assert (it.home.delivered, it.home.told) == ({}, {})
        assert [await it.state(job) for job in (drawn, waiting)] == [State.RUNNING, State.QUEUED]
