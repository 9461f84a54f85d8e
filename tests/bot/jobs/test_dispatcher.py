"""The dispatcher with a real engine thread and a pipeline that the test holds the strings of."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.errors import JobRefusedError
from bot.jobs import (
    Dispatcher,
    Drawing,
    Failed,
    HandedBack,
    Job,
    JobLine,
    Uploading,
    Waiting,
    new_job_id,
)
from sdxl_engine import (
    DrawError,
    EngineStartError,
    EngineThread,
    ImageRequest,
    InvalidRequestError,
    JobCancelledError,
    Pipeline,
)
from tests.fakes import FakeDesk, FakePipeline, Gate


def make_job(prompt: str = "a circle", *, steps: int = 2, size_known: bool = True) -> Job:
    return Job(
        id=new_job_id(),
        request=ImageRequest(prompt, num_inference_steps=steps, width_px=64, height_px=64),
        size_known=size_known,
        user_id=1,
        channel_id=2,
        guild_id=3,
        attachment_limit_bytes=2**20,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def running(
    start_pipeline: Callable[[], Pipeline], desk: FakeDesk, *, max_jobs: int = 8, start: bool = True
) -> AsyncIterator[tuple[Dispatcher, EngineThread]]:
    engine = EngineThread(start_pipeline)
    dispatcher = Dispatcher(engine, desk, JobLine(max_jobs))
    task = dispatcher.start()
    if start:
        engine.start()
    try:
        yield dispatcher, engine
    finally:
        await dispatcher.drain(0)
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(engine.close, cancel_running=True, timeout_s=10)


def ended(desk: FakeDesk, job: Job) -> bool:
    states = desk.states(job)
    return job.id in desk.delivered or bool(states and isinstance(states[-1], Failed | HandedBack))


async def test_draws_in_order_and_reports_each_state() -> None:
    desk, pipeline = FakeDesk(), FakePipeline()
    async with running(lambda: pipeline, desk) as (dispatcher, _):
        jobs = [make_job(f"picture {n}") for n in range(3)]
        for job in jobs:
            dispatcher.admit(job)
        await desk.until(lambda: len(desk.delivered) == 3)
    assert [request.prompt for request in pipeline.requests] == [
        "picture 0",
        "picture 1",
        "picture 2",
    ]
    states = desk.states(jobs[0])
    assert isinstance(states[0], Waiting)
    halfway, drawn, uploading = states[-3:]
    assert isinstance(halfway, Drawing)
    assert (halfway.step, len(halfway.previews)) == (1, 4)
    assert [drawn, uploading] == [Drawing(2, 2), Uploading()]
    assert [image.index for image in desk.delivered[jobs[1].id]] == [0, 1, 2, 3]


async def test_the_line_moves_up_and_every_place_is_told() -> None:
    desk, gate = FakeDesk(), Gate()
    async with running(lambda: FakePipeline(gate=gate), desk) as (dispatcher, _):
        first, second, third = (make_job() for _ in range(3))
        dispatcher.admit(first)
        await desk.until(lambda: Drawing(0, 2) in desk.states(first))
        dispatcher.admit(second)
        dispatcher.admit(third)
        assert desk.states(third)[-1] == Waiting(2, warming_up=False)
        gate.let_through(2)
        await desk.until(lambda: Drawing(0, 2) in desk.states(second))
        assert desk.states(third)[-1] == Waiting(1, warming_up=False)
        gate.open()
        await desk.until(lambda: len(desk.delivered) == 3)


async def test_the_next_job_is_drawn_while_the_last_is_uploaded() -> None:
    desk, pipeline = FakeDesk(), FakePipeline()
    desk.deliveries_open.clear()
    async with running(lambda: pipeline, desk) as (dispatcher, _):
        first, second = make_job(), make_job()
        dispatcher.admit(first)
        dispatcher.admit(second)
        await desk.until(lambda: Uploading() in desk.states(second))
        assert not desk.delivered
        desk.deliveries_open.set()
        await desk.until(lambda: len(desk.delivered) == 2)


async def test_stuck_uploads_hold_the_engine_up_before_memory_is_full() -> None:
    desk, pipeline = FakeDesk(), FakePipeline()
    desk.deliveries_open.clear()
    async with running(lambda: pipeline, desk) as (dispatcher, _):
        jobs = [make_job() for _ in range(6)]
        for job in jobs:
            dispatcher.admit(job)
        await desk.until(lambda: Uploading() in desk.states(jobs[3]))
        assert desk.states(jobs[4])[-1] == Waiting(1, warming_up=False)
        assert len(pipeline.requests) == 4
        desk.deliveries_open.set()
        await desk.until(lambda: len(desk.delivered) == 6)


async def test_a_full_line_refuses() -> None:
    desk, gate = FakeDesk(), Gate()
    async with running(lambda: FakePipeline(gate=gate), desk, max_jobs=1) as (dispatcher, _):
        first, second, third = (make_job() for _ in range(3))
        dispatcher.admit(first)
        await desk.until(lambda: Drawing(0, 2) in desk.states(first))
        dispatcher.admit(second)
        with pytest.raises(JobRefusedError, match="1 jobs are already waiting"):
            dispatcher.admit(third)
        assert desk.states(third) == []
        gate.open()
        await desk.until(lambda: len(desk.delivered) == 2)


async def test_jobs_wait_while_the_engine_warms_up_and_get_its_size() -> None:
    desk, warm, pipeline = FakeDesk(), threading.Event(), FakePipeline([(128, 96), (64, 64)])

    def start() -> Pipeline:
        warm.wait(60)
        return pipeline

    async with running(start, desk) as (dispatcher, _):
        job = make_job(size_known=False)
        dispatcher.admit(job)
        assert desk.states(job) == [Waiting(1, warming_up=True)]
        warm.set()
        await desk.until(lambda: job.id in desk.delivered)
    assert (pipeline.requests[0].width_px, pipeline.requests[0].height_px) == (128, 96)
    assert desk.jobs[job.id].size_known


async def test_a_size_that_is_not_warm_is_refused_before_it_waits() -> None:
    desk = FakeDesk()
    async with running(FakePipeline, desk) as (dispatcher, engine):
        await asyncio.to_thread(engine.ready.result, 10)
        request = replace(make_job().request, width_px=512)
        with pytest.raises(InvalidRequestError, match="not warm"):
            dispatcher.admit(replace(make_job(), request=request))
    assert desk.reports == []


async def test_a_size_that_turns_out_not_to_be_warm_fails_that_job_alone() -> None:
    desk, warm = FakeDesk(), threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline()

    async with running(start, desk) as (dispatcher, _):
        odd = replace(make_job(), request=replace(make_job().request, width_px=512))
        good = make_job()
        dispatcher.admit(odd)
        dispatcher.admit(good)
        warm.set()
        await desk.until(lambda: ended(desk, odd) and ended(desk, good))
    failure = desk.states(odd)[-1]
    assert isinstance(failure, Failed)
    assert isinstance(failure.error, InvalidRequestError)
    assert good.id in desk.delivered


async def test_an_engine_that_cannot_start_tells_everybody_and_ends_the_task() -> None:
    desk, go = FakeDesk(), threading.Event()

    def start() -> Pipeline:
        go.wait(60)
        raise OSError("no such device")

    engine = EngineThread(start)
    dispatcher = Dispatcher(engine, desk, JobLine(8))
    task = dispatcher.start()
    engine.start()
    jobs = [make_job(), make_job()]
    for job in jobs:
        dispatcher.admit(job)
    go.set()
    with pytest.raises(EngineStartError, match="no such device"):
        await task
    for job in jobs:
        failure = desk.states(job)[-1]
        assert isinstance(failure, Failed)
        assert isinstance(failure.error, EngineStartError)
    with pytest.raises(EngineStartError):
        dispatcher.admit(make_job())
    await dispatcher.drain(0)
    await asyncio.to_thread(engine.close)


async def test_a_job_that_fails_fails_alone() -> None:
    desk, pipeline = FakeDesk(), FakePipeline(failure=ValueError("NaN"))
    async with running(lambda: pipeline, desk) as (dispatcher, _):
        bad, good = make_job(), make_job()
        dispatcher.admit(bad)
        await desk.until(lambda: ended(desk, bad))
        pipeline.failure = None
        dispatcher.admit(good)
        await desk.until(lambda: good.id in desk.delivered)
    failure = desk.states(bad)[-1]
    assert isinstance(failure, Failed)
    assert isinstance(failure.error, DrawError)


async def test_a_delivery_that_fails_becomes_the_jobs_failure() -> None:
    desk = FakeDesk(failure=OSError("gone"))
    async with running(FakePipeline, desk) as (dispatcher, _):
        job = make_job()
        dispatcher.admit(job)
        await desk.until(lambda: ended(desk, job))
    failure = desk.states(job)[-1]
    assert isinstance(failure, Failed)
    assert isinstance(failure.error, OSError)


async def test_cancel_a_waiting_and_a_running_job() -> None:
    desk, gate = FakeDesk(), Gate()
    async with running(lambda: FakePipeline(gate=gate), desk) as (dispatcher, _):
        first, second, third = (make_job() for _ in range(3))
        for job in (first, second, third):
            dispatcher.admit(job)
        await desk.until(lambda: Drawing(0, 2) in desk.states(first))
        assert dispatcher.cancel(second.id)
        assert desk.states(third)[-1] == Waiting(1, warming_up=False)
        assert dispatcher.cancel(first.id)
        gate.open()
        await desk.until(lambda: third.id in desk.delivered)
        assert not dispatcher.cancel(third.id)
    for job in (first, second):
        failure = desk.states(job)[-1]
        assert isinstance(failure, Failed)
        assert isinstance(failure.error, JobCancelledError)


async def test_drain_finishes_what_runs_and_hands_back_what_waits() -> None:
    desk, gate = FakeDesk(), Gate()
    async with running(lambda: FakePipeline(gate=gate), desk) as (dispatcher, _):
        first, second = make_job(), make_job()
        dispatcher.admit(first)
        dispatcher.admit(second)
        await desk.until(lambda: Drawing(0, 2) in desk.states(first))
        draining = asyncio.create_task(dispatcher.drain(60))
        await desk.until(lambda: HandedBack() in desk.states(second))
        with pytest.raises(JobRefusedError, match="restarting"):
            dispatcher.admit(make_job())
        gate.open()
        await draining
        assert first.id in desk.delivered
        assert HandedBack() not in desk.states(first)


async def test_drain_hands_back_what_does_not_finish_in_time() -> None:
    desk, gate = FakeDesk(), Gate()
    async with running(lambda: FakePipeline(gate=gate), desk) as (dispatcher, _):
        job = make_job()
        dispatcher.admit(job)
        await desk.until(lambda: Drawing(0, 2) in desk.states(job))
        await dispatcher.drain(0)
        assert desk.states(job)[-1] == HandedBack()
        gate.open()


async def test_drain_hands_back_an_upload_that_hangs() -> None:
    desk = FakeDesk()
    desk.deliveries_open.clear()
    async with running(FakePipeline, desk) as (dispatcher, _):
        job = make_job()
        dispatcher.admit(job)
        await desk.until(lambda: Uploading() in desk.states(job))
        await dispatcher.drain(0)
        assert desk.states(job)[-1] == HandedBack()
        assert not desk.delivered


async def test_drain_does_not_wait_for_an_engine_that_is_loading() -> None:
    desk, warm = FakeDesk(), threading.Event()

    def start() -> Pipeline:
        warm.wait(60)
        return FakePipeline()

    async with running(start, desk) as (dispatcher, _):
        job = make_job()
        dispatcher.admit(job)
        await dispatcher.drain(3600)  # the suite's own limit is 120 s
        assert desk.states(job)[-1] == HandedBack()
        warm.set()


def test_job_ids_differ_and_are_safe_in_file_names() -> None:
    ids = {new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[a-z2-7]{8}", one) for one in ids)
