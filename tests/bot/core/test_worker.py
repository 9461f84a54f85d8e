"""The dispatcher with a real engine thread, a real ledger, and a pipeline that the test holds."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.job import Job, Record, State, new_job_id
from bot.core.ports.ledger import Limits
from bot.core.queue.waiting import Line
from bot.core.stage import Drawing, Paused, Uploading, Waiting
from bot.core.worker import Dispatcher
from bot.errors import (
    IllegalMoveError,
    JobRefusedError,
    KnownJobError,
    LedgerError,
    UndeliveredError,
    UnknownJobError,
)
from bot.gallery.disk import Album
from bot.ledgers.sqlite.ledger import SqliteLedger
from bot.operations.metrics import Metrics
from sdxl_engine import EngineStartError, EngineThread, InvalidRequestError, Pipeline
from tests.bot.core.jobs import make_job
from tests.fakes import FakeDesk, FakePipeline, Gate


class HeldLedger(SqliteLedger):
    """Holds the moment between a job's being written as running and anybody's knowing it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.written, self.go = asyncio.Event(), asyncio.Event()

    async def move(self, job_id: str, to: State, **more: object) -> Record:
        record = await super().move(job_id, to, **more)
        if to is State.RUNNING:
            self.written.set()
            await self.go.wait()
        return record


class Office:
    """A running dispatcher and its parts."""

    def __init__(
        self,
        folder: Path,
        start: Callable[[], Pipeline],
        desk: FakeDesk,
        make_ledger: type[SqliteLedger] = SqliteLedger,
    ) -> None:
        self.desk = desk
        self.engine = EngineThread(start)
        self.ledger = make_ledger(folder, Limits(queued=8))
        self.line = Line()
        self.album = Album(folder / "images", "doodle")
        self.dispatcher = Dispatcher(
            self.engine,
            self.ledger,
            self.line,
            self.album,
            desk,
            Metrics(),
            typical=make_job().request,
        )

    def ended(self, job: Job) -> bool:
        return job.id in self.desk.delivered or job.id in self.desk.told

    async def state(self, job: Job) -> State:
        return (await self.ledger.get(job.id)).state


@pytest.fixture
def office(tmp_path: Path):
    """Opens an office; the next one in the same test finds what the last one left."""

    @asynccontextmanager
    async def open_office(
        start: Callable[[], Pipeline] = FakePipeline,
        desk: FakeDesk | None = None,
        make_ledger: type[SqliteLedger] = SqliteLedger,
    ) -> AsyncIterator[Office]:
        office = Office(tmp_path, start, desk or FakeDesk(), make_ledger)
        await asyncio.to_thread(office.ledger.open)
        office.dispatcher.restore(await office.ledger.recover())
        task = office.dispatcher.start()
        office.engine.start()
        try:
            yield office
        finally:
            await office.dispatcher.drain(0)
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(office.engine.close, cancel_running=True, timeout_s=10)
            await asyncio.to_thread(office.ledger.close)

    return open_office


def limit_pages(pages: int) -> Callable[[sqlite3.Connection], object]:
    """A disk that is full, or, with many pages, has room again."""

    def work(connection: sqlite3.Connection) -> object:
        return connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    return work


async def ask_until_refused(it: Office) -> None:
    for _ in range(100):  # the last page has room for some
        await it.dispatcher.admit(make_job("x" * 900))


async def test_draws_in_order_and_shows_each_stage(office) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        jobs = [make_job(f"picture {n}") for n in range(3)]
        for job in jobs:
            await it.dispatcher.admit(job)
        await it.desk.until(lambda: len(it.desk.delivered) == 3)
        stages = it.desk.stages(jobs[0])
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
    assert [one.index for one in it.desk.delivered[jobs[1].id]] == [0, 1, 2, 3]


async def test_the_ledger_has_every_state_before_anybody_sees_it(office) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        it.desk.deliveries_open.clear()
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: Drawing(0, 2) in it.desk.stages(job))
        assert await it.state(job) is State.RUNNING
        gate.open()
        await it.desk.until(lambda: it.desk.arrivals == 1)
        record = await it.ledger.get(job.id)
        assert record.state is State.DRAWN
        assert len(it.album.read(job.id, record.images)) == 4
        it.desk.deliveries_open.set()
        await it.desk.until(lambda: job.id in it.desk.delivered)
        await it.dispatcher.drain(10)
        assert await it.state(job) is State.DELIVERED


async def test_the_next_job_is_drawn_while_the_last_is_uploaded(office) -> None:
    async with office() as it:
        it.desk.deliveries_open.clear()
        first, second = make_job(), make_job()
        await it.dispatcher.admit(first)
        await it.dispatcher.admit(second)
        await it.desk.until(lambda: it.desk.arrivals == 2)
        assert not it.desk.delivered
        it.desk.deliveries_open.set()
        await it.desk.until(lambda: len(it.desk.delivered) == 2)


async def test_stuck_uploads_hold_up_neither_the_engine_nor_other_uploads(office) -> None:
    count = 12  # more than are uploaded at once
    async with office() as it:
        it.desk.deliveries_open.clear()
        for _ in range(count):
            await it.dispatcher.admit(make_job())
        await it.desk.until(lambda: it.desk.arrivals == count)
        it.desk.deliveries_open.set()
        await it.desk.until(lambda: len(it.desk.delivered) == count)


async def test_an_interaction_that_comes_twice_is_drawn_once(office) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        job = make_job()
        await it.dispatcher.admit(job)
        with pytest.raises(KnownJobError):
            await it.dispatcher.admit(replace(job, id=new_job_id()))
        await it.desk.until(lambda: it.ended(job))
    assert len(pipeline.requests) == 1


async def test_jobs_wait_while_the_engine_warms_up_and_get_its_size(office) -> None:
    warm, gate = threading.Event(), Gate()
    pipeline = FakePipeline([(128, 96), (64, 64)], gate=gate)

    def start() -> Pipeline:
        warm.wait(60)
        return pipeline

    async with office(start) as it:
        job, long = make_job(size_known=False), make_job(size_known=False, steps=9)
        for one in (job, long):
            await it.dispatcher.admit(one)
            assert it.desk.stages(one) == [Waiting(warming_up=True)]
        warm.set()
        await it.desk.until(lambda: Drawing(0, 2) in it.desk.stages(job))
        (waiting,) = it.line
        assert (waiting.request.width_px, waiting.request.height_px) == (128, 96)
        assert waiting.cost == pytest.approx(20 / 6)
        gate.open()
        await it.desk.until(lambda: job.id in it.desk.delivered)
        request = (await it.ledger.get(job.id)).job.request
    assert (pipeline.requests[0].width_px, pipeline.requests[0].height_px) == (128, 96)
    assert it.desk.jobs[job.id].size_known
    assert (request.width_px, request.height_px) == (128, 96)


async def test_a_size_that_is_not_warm_is_refused_before_it_waits(office) -> None:
    async with office() as it:
        await asyncio.to_thread(it.engine.ready.result, 10)
        job = replace(make_job(), request=replace(make_job().request, width_px=512))
        with pytest.raises(InvalidRequestError, match="not warm"):
            await it.dispatcher.admit(job)
        with pytest.raises(UnknownJobError):
            await it.ledger.get(job.id)
    assert it.desk.shown == []


async def test_a_size_that_turns_out_not_to_be_warm_is_rejected_alone(office) -> None:
    warm = threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline()

    async with office(start) as it:
        odd = replace(make_job(), request=replace(make_job().request, width_px=512))
        good = make_job()
        await it.dispatcher.admit(odd)
        await it.dispatcher.admit(good)
        warm.set()
        await it.desk.until(lambda: it.ended(odd) and it.ended(good))
        assert await it.state(odd) is State.REJECTED
    assert "not warm" in it.desk.told[odd.id]
    assert good.id in it.desk.delivered


async def test_an_engine_that_cannot_start_keeps_everybodys_place(tmp_path: Path, office) -> None:
    go = threading.Event()

    def start() -> Pipeline:
        go.wait(60)
        raise OSError("no such device")

    it = Office(tmp_path, start, FakeDesk())
    await asyncio.to_thread(it.ledger.open)
    task = it.dispatcher.start()
    it.engine.start()
    jobs = [make_job(), make_job()]
    for job in jobs:
        await it.dispatcher.admit(job)
    go.set()
    with pytest.raises(EngineStartError, match="no such device"):
        await task
    for job in jobs:
        paused = it.desk.stages(job)[-1]
        assert isinstance(paused, Paused)
        assert "no such device" in paused.sentence
    with pytest.raises(EngineStartError):
        await it.dispatcher.admit(make_job())
    await it.dispatcher.drain(0)
    await asyncio.to_thread(it.engine.close)
    await asyncio.to_thread(it.ledger.close)
    async with office() as again:
        await again.desk.until(lambda: len(again.desk.delivered) == 2)


async def test_a_job_that_fails_fails_alone(office) -> None:
    pipeline = FakePipeline(failure=ValueError("NaN"))
    async with office(lambda: pipeline) as it:
        bad, good = make_job(), make_job()
        await it.dispatcher.admit(bad)
        await it.desk.until(lambda: it.ended(bad))
        pipeline.failure = None
        await it.dispatcher.admit(good)
        await it.desk.until(lambda: good.id in it.desk.delivered)
        assert await it.state(bad) is State.FAILED
    assert "Drawing failed on the device" in it.desk.told[bad.id]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (UndeliveredError("The channel is gone."), "The channel is gone."),
        (OSError(), "/jobs still has them"),
    ],
)
async def test_pictures_that_find_no_place_are_kept(office, failure: Exception, words: str) -> None:
    async with office(desk=FakeDesk(failure)) as it:
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: it.ended(job))
        record = await it.ledger.get(job.id)
        assert record.state is State.UNDELIVERED
        assert words in record.reason
        assert len(it.album.read(job.id, record.images)) == 4
    assert words in it.desk.told[job.id]


async def test_cancel_a_waiting_and_a_running_job(office) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        first, second, third = (make_job() for _ in range(3))
        for job in (first, second, third):
            await it.dispatcher.admit(job)
        await it.desk.until(lambda: Drawing(0, 2) in it.desk.stages(first))
        await it.dispatcher.cancel(second.id, "Cancelled.")
        position = it.line.position(third.id)
        assert position is not None
        assert position.place == 1
        await it.dispatcher.cancel(first.id, "Cancelled.")
        with pytest.raises(IllegalMoveError):
            await it.dispatcher.cancel(first.id, "Cancelled.")
        gate.open()
        await it.desk.until(lambda: third.id in it.desk.delivered)
        with pytest.raises(UnknownJobError):
            await it.dispatcher.cancel("aaaaaaaa", "Cancelled.")
        await it.desk.until(lambda: len(it.desk.told) == 2)
        assert [await it.state(job) for job in (first, second)] == [State.CANCELLED] * 2


async def test_a_cancel_while_a_job_is_begun_stops_it(office) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline, make_ledger=HeldLedger) as it:
        job, other = make_job("cancelled"), make_job("other")
        await it.dispatcher.admit(job)
        await it.ledger.written.wait()
        await it.dispatcher.cancel(job.id, "Cancelled.")
        await it.desk.until(lambda: job.id in it.desk.told)
        shown = len(it.desk.stages(job))
        it.ledger.go.set()
        await it.dispatcher.admit(other)
        await it.desk.until(lambda: other.id in it.desk.delivered)
        assert len(it.desk.stages(job)) == shown
    assert [request.prompt for request in pipeline.requests] == ["other"]


async def test_a_stop_while_a_job_is_begun_puts_it_back(office) -> None:
    async with office(make_ledger=HeldLedger) as it:
        job = make_job()
        await it.dispatcher.admit(job)
        await it.ledger.written.wait()
        await it.dispatcher.drain(0)
        assert isinstance(it.desk.stages(job)[-1], Paused)
        record = await it.ledger.get(job.id)
        assert (record.state, record.attempt) == (State.QUEUED, 0)


async def test_an_ended_job_can_be_asked_for_again(office) -> None:
    pipeline = FakePipeline(failure=ValueError("NaN"))
    async with office(lambda: pipeline) as it:
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: job.id in it.desk.told)
        pipeline.failure = None
        while not (await it.ledger.get(job.id)).told:  # noqa: ASYNC110 - a ledger has no event
            await asyncio.sleep(0)
        new_id = await it.dispatcher.requeue(job.id)
        await it.desk.until(lambda: new_id in it.desk.delivered)
        again = await it.ledger.get(new_id)
        assert (again.job.request, again.job.again_of) == (job.request, job.id)
        assert await it.state(job) is State.FAILED
        with pytest.raises(IllegalMoveError, match="needs no second try"):
            await it.dispatcher.requeue(new_id)
        with pytest.raises(IllegalMoveError, match=f"again before, as {new_id}"):
            await it.dispatcher.requeue(job.id)


async def test_drain_finishes_what_runs_and_keeps_what_waits(office) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        first, second = make_job(), make_job()
        await it.dispatcher.admit(first)
        await it.dispatcher.admit(second)
        await it.desk.until(lambda: Drawing(0, 2) in it.desk.stages(first))
        draining = asyncio.create_task(it.dispatcher.drain(60))
        await it.desk.until(lambda: isinstance(it.desk.stages(second)[-1], Paused))
        with pytest.raises(JobRefusedError, match="restarting"):
            await it.dispatcher.admit(make_job())
        gate.open()
        await draining
        assert first.id in it.desk.delivered
        assert await it.state(second) is State.QUEUED
    async with office() as it:
        await it.desk.until(lambda: second.id in it.desk.delivered)
        assert it.desk.stages(second)[0] == Waiting(warming_up=True, restored=True)
        assert first.id not in it.desk.delivered


async def test_drain_puts_back_what_does_not_finish_in_time(office) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: Drawing(0, 2) in it.desk.stages(job))
        await it.dispatcher.drain(0)
        assert isinstance(it.desk.stages(job)[-1], Paused)
        record = await it.ledger.get(job.id)
        assert (record.state, record.attempt) == (State.QUEUED, 0)
        gate.open()


async def test_an_upload_that_hangs_is_done_by_the_next_start(office) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        it.desk.deliveries_open.clear()
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: it.desk.arrivals == 1)
        await it.dispatcher.drain(0)
        assert await it.state(job) is State.DRAWN
        assert not it.desk.delivered
    async with office(lambda: pipeline) as it:
        await it.desk.until(lambda: job.id in it.desk.delivered)
    assert len(pipeline.requests) == 1


async def test_drain_does_not_wait_for_an_engine_that_is_loading(office) -> None:
    warm = threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline()

    async with office(start) as it:
        job = make_job()
        await it.dispatcher.admit(job)
        await it.dispatcher.drain(3600)  # the suite's own limit is 120 s
        assert isinstance(it.desk.stages(job)[-1], Paused)
        warm.set()


async def test_lost_files_are_drawn_again(tmp_path: Path, office) -> None:
    pipeline = FakePipeline()
    async with office(lambda: pipeline) as it:
        it.desk.deliveries_open.clear()
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: it.desk.arrivals == 1)
    (tmp_path / "images" / job.id / f"{job.id}_2.png").unlink()
    async with office(lambda: pipeline) as it:
        await it.desk.until(lambda: job.id in it.desk.delivered)
    assert len(pipeline.requests) == 2


async def test_a_job_that_was_running_when_the_engine_hung_is_blamed(office) -> None:
    job, waiting = make_job(), make_job()
    for attempt in (1, 2):
        gate, other = Gate(), make_job()
        async with office(lambda gate=gate: FakePipeline(gate=gate)) as it:
            if attempt == 1:
                await it.dispatcher.admit(job)
                await it.dispatcher.admit(waiting)
            await it.dispatcher.admit(other)
            await it.desk.until(lambda: Drawing(0, 2) in it.desk.stages(job))
            await it.dispatcher.drain(60, stuck="The device does not answer.")
            await it.dispatcher.cancel(other.id, "Cancelled.")  # nobody is left to say so
            assert other.id not in it.desk.told
            for one in (job, waiting):
                assert it.desk.stages(one)[-1] == Paused("The device does not answer.")
            record = await it.ledger.get(job.id)
            assert (record.state, record.attempt) == (State.RUNNING, attempt)
            gate.open()
    async with office() as it:
        await it.desk.until(lambda: it.ended(job) and it.ended(waiting))
        assert await it.state(job) is State.FAILED
    assert "broke down both times" in it.desk.told[job.id]
    assert waiting.id in it.desk.delivered


async def test_a_full_disk_refuses_newcomers_and_loses_nobody(office) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline(gate=gate)) as it:
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: Drawing(0, 2) in it.desk.stages(job))
        await it.ledger.write(limit_pages(1))
        with pytest.raises(LedgerError, match="disk is full"):
            await ask_until_refused(it)
        assert not it.dispatcher.disk_is_writable
        waiting = len(it.line)
        await it.ledger.write(limit_pages(10_000))
        gate.open()
        await it.desk.until(lambda: len(it.desk.delivered) == 1 + waiting)
        assert it.dispatcher.disk_is_writable


async def test_pictures_wait_for_room_on_the_disk(tmp_path: Path, office) -> None:
    (tmp_path / "images").write_text("in the way")
    async with office() as it:
        job = make_job()
        await it.dispatcher.admit(job)
        await it.desk.until(lambda: isinstance(it.desk.stages(job)[-1], Paused))
        assert not it.dispatcher.disk_is_writable
        (tmp_path / "images").unlink()
        await it.desk.until(lambda: job.id in it.desk.delivered)
        assert it.dispatcher.disk_is_writable


async def test_what_a_job_costs_depends_on_its_steps_and_size(office) -> None:
    gate = Gate()
    async with office(lambda: FakePipeline([(64, 64), (128, 64)], gate=gate)) as it:
        await asyncio.to_thread(it.engine.ready.result, 10)
        small, usual, long, huge = (make_job(steps=steps) for steps in (1, 2, 3, 50))
        wide = replace(make_job(), request=replace(make_job().request, width_px=128))
        for job in (small, usual, long, huge, wide):
            await it.dispatcher.admit(job)
        costs = [(await it.ledger.get(job.id)).job.cost for job in (small, usual, long, huge, wide)]
        gate.open()
    # Two steps are guided, which is four passes, and two more are for the prompt and decoding.
    assert costs == [1.0, 1.0, pytest.approx(8 / 6), 4.0, 2.0]


def test_job_ids_differ_and_are_safe_in_file_names() -> None:
    ids = {new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[a-z2-7]{8}", one) for one in ids)
