"""The queue: places and times, right at any moment."""

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from bot.core.job import Job, Person
from bot.core.queue.turns import Position
from bot.core.queue.waiting import JobQueue, LocalTurns
from sdxl_engine import ImageRequest
from standins.base.timers import ManualClock
from tests.bot.core.jobs import make_job


def request_of(job: Job) -> ImageRequest:
    return job.wish.resolve((64, 64))


def add(queue: JobQueue, job: Job) -> None:
    queue.add(job)
    queue.measure(job.id, request_of(job), cost=1)


async def take(queue: JobQueue) -> Job | None:
    """The next job, which is not over by that."""
    taken = await queue.take()
    return None if taken is None else taken.job


async def turns(queue: JobQueue, times: int) -> list[Job | None]:
    """The next jobs, each of them over at once."""
    jobs = []
    for _ in range(times):
        job = await take(queue)
        jobs.append(job)
        if job is not None:
            queue.over(job.id)
    return jobs


def timed(clock: ManualClock) -> JobQueue:
    return JobQueue(LocalTurns(clock))


def check(queue: JobQueue, job: Job, place: int, ready_in_s: float) -> None:
    position = queue.position(job.id)
    assert position is not None
    assert position.place == place
    assert position.ready_in_s == pytest.approx(ready_in_s)


def test_nobody_knows_how_long_it_takes_before_the_first_was_drawn() -> None:
    queue, job = timed(ManualClock()), make_job()
    queue.add(job)
    assert queue.position(job.id) == Position(1, None)
    assert queue.position("other") is None


async def test_the_time_is_as_it_was_measured_and_runs_down() -> None:
    clock = ManualClock()
    queue, jobs = timed(clock), [make_job() for _ in range(4)]
    for job in jobs:
        add(queue, job)
    assert await take(queue) == jobs[0]
    queue.begin(jobs[0].id, request_of(jobs[0]))
    clock.advance(10)
    queue.finish(jobs[0].id, drawn=True)
    assert await take(queue) == jobs[1]
    queue.begin(jobs[1].id, request_of(jobs[1]))
    assert queue.position(jobs[2].id) == Position(1, 20.0)
    assert queue.position(jobs[3].id) == Position(2, 30.0)
    clock.advance(4)
    assert queue.position(jobs[2].id) == Position(1, 16.0)
    clock.advance(100)  # slower than it was: it never says that it is over
    assert queue.position(jobs[2].id) == Position(1, 10.0)
    queue.finish(jobs[1].id, drawn=False)  # a cancelled job tells nothing
    assert queue.position(jobs[3].id) == Position(2, 20.0)


async def test_more_work_takes_longer_however_little_it_costs_its_person() -> None:
    clock = ManualClock()
    queue = timed(clock)
    usual, quick, long = make_job(steps=10), make_job(steps=1), make_job(steps=50)
    for job in (usual, quick, long):
        add(queue, job)
    assert await take(queue) == usual
    queue.begin(usual.id, request_of(usual))
    clock.advance(22)  # ten steps of two passes, and two
    queue.finish(usual.id, drawn=True)
    check(queue, quick, 1, 4)
    check(queue, long, 2, 4 + 102)
    queue.measure(quick.id, replace(request_of(quick), height_px=128), cost=1)
    check(queue, long, 2, 8 + 102)
    assert await take(queue) == quick


async def test_what_a_big_job_costs_its_person_is_known_when_it_is_measured() -> None:
    queue = timed(ManualClock())
    big, after, other, last = (make_job(user_id=n) for n in (1, 1, 2, 2))
    for job in (big, after, other, last):
        add(queue, job)
    queue.measure(big.id, request_of(big), cost=4)
    assert await turns(queue, 4) == [big, other, last, after]


@pytest.mark.parametrize("jump_s", [600, 3_600, 40 * 86_400, -600, -3_600, -40 * 86_400])
async def test_a_clock_that_is_set_changes_no_time(
    monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """What the queue measures with, unless a test gives it another clock, cannot be set."""
    queue, jobs = JobQueue(), [make_job() for _ in range(3)]
    for job in jobs:
        add(queue, job)
    set_to_s = time.time()
    for job in jobs[:2]:
        assert await take(queue) == job
        queue.begin(job.id, request_of(job))
        set_to_s += jump_s
        monkeypatch.setattr(time, "time", partial(float, set_to_s))
        if job is jobs[0]:
            queue.finish(job.id, drawn=True)
    position = queue.position(jobs[2].id)
    assert position is not None
    assert position.ready_in_s is not None
    assert 0 <= position.ready_in_s < 300


async def test_everybody_moves_up_when_one_leaves_or_is_taken() -> None:
    queue, jobs = JobQueue(), [make_job() for _ in range(3)]
    for job in jobs:
        queue.add(job)
    assert queue.remove(jobs[1].id) == jobs[1]
    assert queue.remove(jobs[1].id) is None
    assert queue.position(jobs[2].id) == Position(2, None)
    await take(queue)
    assert queue.position(jobs[2].id) == Position(1, None)
    assert len(queue) == 1


async def test_who_was_served_before_the_engine_rested_owes_nothing() -> None:
    queue, big, small = JobQueue(), make_job(), make_job(user_id=2)
    queue.add(big)
    queue.measure(big.id, request_of(big), cost=20)
    queue.add(small)
    assert await turns(queue, 2) == [big, small]
    resting = asyncio.create_task(turns(queue, 1))
    await asyncio.sleep(0)
    queue.add(make_job(user_id=3))
    await resting
    jobs = [make_job(user_id=n % 2 + 1) for n in range(4)]
    for job in jobs:
        queue.add(job)
    assert await turns(queue, len(jobs)) == jobs


async def test_taking_waits_for_a_job_or_for_the_end() -> None:
    queue, job = JobQueue(), make_job()
    taking = asyncio.create_task(take(queue))
    await asyncio.sleep(0)
    queue.add(job)
    assert await taking == job
    taking = asyncio.create_task(take(queue))
    await asyncio.sleep(0)
    queue.close()
    assert await taking is None
    queue.add(job)
    assert await take(queue) is None
    assert list(queue) == [job]


async def test_private_channels_share_one_place_and_have_turns_like_a_server() -> None:
    queue = JobQueue()
    alone = [make_job(user_id=10 + n, guild_id=None) for n in range(5)]
    crowd = [make_job(user_id=n, guild_id=3) for n in range(5)]
    for job in (*alone, *crowd):
        queue.add(job)
    taken = await turns(queue, 10)
    assert taken == [job for pair in zip(alone, crowd, strict=True) for job in pair]


async def test_a_person_is_one_over_servers_and_private_channels() -> None:
    queue = JobQueue()
    everywhere = [make_job(user_id=1, guild_id=guild) for guild in (None, *range(4, 14))]
    others = [make_job(user_id=2 + n, guild_id=3) for n in range(11)]
    for job in (*everywhere, *others):
        queue.add(job)
    taken = await turns(queue, 22)
    assert taken == [job for pair in zip(everywhere, others, strict=True) for job in pair]


async def test_jobs_of_the_model_that_is_there_come_first_and_are_foretold_so() -> None:
    queue = JobQueue()
    jobs = [make_job(user_id=n, wish=replace(make_job().wish, model="ab"[n % 2])) for n in range(6)]
    for job in jobs:
        queue.add(job)
    places = [queue.position(job.id) for job in jobs]
    assert [place.place for place in places if place] == [1, 4, 2, 5, 3, 6]
    taken = await turns(queue, len(jobs))
    assert taken == [jobs[n] for n in (0, 2, 4, 1, 3, 5)]


async def test_people_of_the_same_number_in_two_homes_are_two() -> None:
    queue, here = JobQueue(), [make_job(guild_id=None) for _ in range(2)]
    there = make_job(guild_id=None)
    venue = replace(there.origin.venue, home="town")
    there = replace(
        there, person=Person("town", "1", "user1"), origin=replace(there.origin, venue=venue)
    )
    for job in (*here, there):
        queue.add(job)
    assert await turns(queue, 3) == [here[0], there, here[1]]
