"""The worker with several engines, which go on when the bot does not."""

import asyncio

import pytest

from bot.core.job import State
from bot.core.policy import Owner
from bot.core.stage import Drawing, Paused
from bot.errors import OldAttemptError
from tests.bot.core.fake_pool import FakePool
from tests.bot.core.jobs import make_job
from tests.bot.core.office import OpenOffice


async def test_as_many_are_drawn_at_once_as_there_are_engines(office: OpenOffice) -> None:
    pool, jobs = FakePool("one", "two"), [make_job(user_id=n) for n in range(4)]
    async with office(pool=pool) as it:
        for job in jobs:
            await it.ask(job)
        first, second = [await pool.begun(job) for job in jobs[:2]]
        assert {first.attempt.engine, second.attempt.engine} == {"one", "two"}
        assert len(pool.drawings) == 2
        second.end()
        third = await pool.begun(jobs[2])
        assert third.attempt.engine == second.attempt.engine
        third.end()
        (await pool.begun(jobs[3])).end()
        await it.home.until(lambda: set(it.home.delivered) == {one.id for one in jobs[1:]})
        first.end()
        await it.home.until(lambda: jobs[0].id in it.home.delivered)


async def test_what_an_engine_had_when_it_went_is_drawn_on_another(office: OpenOffice) -> None:
    pool, job = FakePool("one", "two"), make_job()
    async with office(pool=pool) as it:
        await it.ask(job)
        lost = (await pool.begun(job)).attempt.engine
        pool.lose(lost)
        again = await pool.begun(job, 2)
        again.end()
        await it.home.until(lambda: job.id in it.home.delivered)
        assert (await it.ledger.get(job.id)).attempt == 2


async def test_what_had_not_begun_is_not_held_against_a_job(office: OpenOffice) -> None:
    pool, job = FakePool("one"), make_job()
    async with office(pool=pool) as it:
        await it.ask(job)
        for _ in range(5):
            await pool.begun(job)
            pool.lose("one", begun=False)
        (await pool.begun(job)).end()
        await it.home.until(lambda: job.id in it.home.delivered)
        assert (await it.ledger.get(job.id)).attempt == 1


async def test_a_job_that_takes_three_engines_with_it_is_set_aside(office: OpenOffice) -> None:
    pool, job, innocent = FakePool("one"), make_job(), make_job(user_id=2)
    well = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == 10
        await well.wait()

    async with office(pool=pool, sleep=sleep) as it:
        await it.ask(job)
        await pool.begun(job, 1)
        pool.lose("one")
        await pool.begun(job, 2)
        await it.ask(innocent)
        pool.lose("one")
        (await pool.begun(innocent)).end()  # the third try waits until all is well for a while
        await it.home.until(lambda: isinstance(it.home.stages(job)[-1], Paused))
        await it.home.until(lambda: innocent.id in it.home.delivered)
        well.set()
        await pool.begun(job, 3)
        pool.lose("one")
        await it.home.until(lambda: job.id in it.home.told)
        assert "ended 3 times" in it.home.told[job.id]
        assert await it.state(job) is State.FAILED


async def test_the_next_bot_goes_on_with_what_is_drawn(office: OpenOffice) -> None:
    pool, job, waiting = FakePool("one"), make_job(), make_job(user_id=2)
    async with office(pool=pool) as it:
        await it.ask(job)
        await it.ask(waiting)
        drawing = await pool.begun(job)
    assert list(pool.drawings) == [(job.id, 1)]
    async with office(pool=pool) as it:
        await it.home.until(lambda: len(drawing.watchers) == 2)
        assert it.home.stages(job)[0] == Drawing(
            0, job.wish.num_inference_steps or 0, (), restored=True
        )
        assert await it.state(job) is State.RUNNING
        drawing.go_on(1)
        assert it.home.stages(job)[-1] == Drawing(1, job.wish.num_inference_steps or 0)
        drawing.end()
        await it.home.until(lambda: job.id in it.home.delivered)
        (await pool.begun(waiting)).end()
        await it.home.until(lambda: waiting.id in it.home.delivered)
    assert set(pool.drawings) == {(job.id, 1), (waiting.id, 1)}


async def test_news_of_what_is_drawn_begins_nothing_anew(office: OpenOffice) -> None:
    pool, job = FakePool("one"), make_job()
    async with office(pool=pool) as it:
        await it.ask(job)
        drawing = await pool.begun(job)
        it.worker.restore([await it.ledger.get(job.id)])
        drawing.end()
        await it.home.until(lambda: job.id in it.home.delivered)
        assert len(drawing.watchers) == 1


async def test_what_was_drawn_while_no_bot_was_there_is_shown(office: OpenOffice) -> None:
    pool, job = FakePool("one"), make_job()
    async with office(pool=pool) as it:
        await it.ask(job)
        drawing = await pool.begun(job)
    drawing.end()
    async with office(pool=pool) as it:
        await it.home.until(lambda: job.id in it.home.delivered)
    assert list(pool.drawings) == [(job.id, 1)]


async def test_what_no_engine_has_any_more_is_drawn_again(office: OpenOffice) -> None:
    pool, job = FakePool("one"), make_job()
    async with office(pool=pool) as it:
        await it.ask(job)
        await pool.begun(job)
    pool.drawings.clear()
    async with office(pool=pool) as it:
        (await pool.begun(job, 2)).end()
        await it.home.until(lambda: job.id in it.home.delivered)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_cancel_stops_what_an_engine_draws(office: OpenOffice, *, restarted: bool) -> None:
    pool, job = FakePool("one"), make_job()
    if restarted:
        async with office(pool=pool) as it:
            await it.ask(job)
            await pool.begun(job)
    async with office(pool=pool) as it:
        if not restarted:
            await it.ask(job)
        drawing = await pool.begun(job)
        await it.home.until(lambda: any(isinstance(one, Drawing) for one in it.home.stages(job)))
        await it.studio.cancel(job.id, Owner())
        await it.home.until(lambda: job.id in it.home.told)
        assert not await drawing.sent()


async def test_an_attempt_that_is_not_the_last_one_shows_nothing(office: OpenOffice) -> None:
    """Its bot was held up; meanwhile another one put the job back and had it drawn anew."""
    pool, job = FakePool("one"), make_job()
    async with office(pool=pool) as it:
        await it.ask(job)
        late = await pool.begun(job)
        await it.ledger.move(job.id, State.QUEUED)
        await it.ledger.move(job.id, State.RUNNING)
        late.end()
        await it.ask(
            other := make_job(user_id=2)
        )  # which it gets once nothing of the first is left
        (await pool.begun(other)).end()
        await it.home.until(lambda: other.id in it.home.delivered)
        record = await it.ledger.get(job.id)
        assert (record.state, record.attempt) == (State.RUNNING, 2)
        assert job.id not in it.home.delivered


async def test_what_an_engine_draws_no_further_by_itself_is_drawn_anew(office: OpenOffice) -> None:
    pool, job = FakePool("one"), make_job()
    async with office(pool=pool) as it:
        await it.ask(job)
        drawing = await pool.begun(job)
        drawing.end(OldAttemptError("An earlier attempt is over."))
        (await pool.begun(job, 2)).end()
        await it.home.until(lambda: job.id in it.home.delivered)
