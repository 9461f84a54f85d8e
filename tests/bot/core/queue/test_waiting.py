"""The line: places and times, right at any moment."""

import asyncio
from dataclasses import replace

import pytest

from bot.core.queue.waiting import Line, Position
from standins.base.timers import ManualClock
from tests.bot.core.jobs import make_job


def test_nobody_knows_how_long_it_takes_before_the_first_was_drawn() -> None:
    line, job = Line(ManualClock()), make_job()
    line.add(job)
    assert line.position(job.id) == Position(1, None)
    assert line.position("other") is None


async def test_the_time_is_as_it_was_measured_and_runs_down() -> None:
    clock = ManualClock()
    line, jobs = Line(clock), [make_job() for _ in range(4)]
    for job in jobs:
        line.add(job)
    first = await line.take()
    assert first == jobs[0]
    line.begin(first)
    clock.advance(10)
    line.finish(drawn=True)
    second = await line.take()
    assert second is not None
    line.begin(second)
    assert line.position(jobs[2].id) == Position(1, 20.0)
    assert line.position(jobs[3].id) == Position(2, 30.0)
    clock.advance(4)
    assert line.position(jobs[2].id) == Position(1, 16.0)
    clock.advance(100)  # slower than it was: it never says that it is over
    assert line.position(jobs[2].id) == Position(1, 10.0)
    line.finish(drawn=False)  # a cancelled job tells nothing
    assert line.position(jobs[3].id) == Position(2, 20.0)


async def test_more_work_takes_longer_however_little_it_costs_its_person() -> None:
    clock = ManualClock()
    line = Line(clock)
    usual, quick, long = make_job(steps=10), make_job(steps=1), make_job(steps=50)
    for job in (usual, quick, long):
        line.add(job)
    assert await line.take() == usual
    line.begin(usual)
    clock.advance(22)  # ten steps of two passes, and two
    line.finish(drawn=True)
    assert line.position(quick.id) == Position(1, pytest.approx(4))
    assert line.position(long.id) == Position(2, pytest.approx(4 + 102))
    doubled = replace(quick, request=replace(quick.request, height_px=128))
    line.replace(doubled)
    assert line.position(long.id) == Position(2, pytest.approx(8 + 102))
    assert await line.take() == doubled


async def test_everybody_moves_up_when_one_leaves_or_is_taken() -> None:
    line, jobs = Line(), [make_job() for _ in range(3)]
    for job in jobs:
        line.add(job)
    assert line.remove(jobs[1].id) == jobs[1]
    assert line.remove(jobs[1].id) is None
    assert line.position(jobs[2].id) == Position(2, None)
    await line.take()
    assert line.position(jobs[2].id) == Position(1, None)
    assert len(line) == 1


async def test_taking_waits_for_a_job_or_for_the_end() -> None:
    line, job = Line(), make_job()
    taking = asyncio.create_task(line.take())
    await asyncio.sleep(0)
    line.add(job)
    assert await taking == job
    taking = asyncio.create_task(line.take())
    await asyncio.sleep(0)
    line.close()
    assert await taking is None
    line.add(job)
    assert await line.take() is None
    assert list(line) == [job]


async def test_people_of_private_channels_share_like_servers_do() -> None:
    line = Line()
    crowd = [make_job(user_id=n, guild_id=3) for n in range(5)]
    alone = make_job(user_id=9, guild_id=None)
    for job in (*crowd, alone):
        line.add(job)
    assert line.position(alone.id) == Position(2, None)
