"""What an engine of the pool draws, watched by those who come and go; no Ray in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from bot.engines.pool.drawings import Drawings, Drawn, Key, Sent, Told
from bot.errors import OldAttemptError, UnknownDrawingError
from sdxl_engine import (
    DrawError,
    EngineThread,
    ImageRequest,
    InvalidRequestError,
    JobCancelledError,
    Progress,
)
from sdxl_engine.request import ModelCard
from tests.fakes import FakePipeline, Gate

CAT = ImageRequest("a cat", num_inference_steps=3, num_images=1, width_px=64, height_px=64)
ONE, TWO = Key("job", 1), Key("job", 2)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def pipeline(gate: Gate) -> FakePipeline:
    return FakePipeline(gate=gate)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def drawings(pipeline: FakePipeline, clock: Clock, gate: Gate) -> AsyncIterator[Drawings]:
    thread = EngineThread(lambda: pipeline)
    thread.start()
    await asyncio.to_thread(thread.ready.result)
    yield Drawings(thread, kept=2, kept_s=60, clock=clock)
    gate.open()
    await asyncio.to_thread(thread.close, cancel_running=True)


async def all_of(drawings: Drawings, key: Key) -> list[Told]:
    return [told async for told in drawings.watch(key)]


async def drawn(drawings: Drawings, key: Key) -> Drawn:
    *_, last = await all_of(drawings, key)
    assert isinstance(last, Drawn)
    return last


async def test_whoever_watches_is_told_how_far_it_is_then_given_the_images(
    drawings: Drawings, gate: Gate
) -> None:
    drawings.begin(ONE, CAT)
    told = []
    async with aclosing(drawings.watch(ONE)) as watching:
        async for one in watching:
            told.append(one)
            gate.let_through(1)
    assert told[0] == Progress(0, 3)
    assert [one.step for one in told if isinstance(one, Progress)] == [0, 1, 2, 3]
    assert isinstance(told[-2], Sent)
    assert isinstance(told[-1], Drawn)
    assert len(told[-1].images) == 1
    assert told[-1].card == ModelCard("doodle")


async def test_of_progress_that_nobody_took_in_time_only_the_newest_is_told(
    drawings: Drawings, gate: Gate
) -> None:
    drawings.begin(ONE, CAT)
    gate.open()
    await drawn(drawings, ONE)
    told = await all_of(drawings, ONE)
    assert [type(one) for one in told] == [Progress, Sent, Drawn]
    assert told[0] == Progress(3, 3)  # and what fetches the images stays with the engine


async def test_asking_again_for_the_same_attempt_draws_nothing_twice(
    drawings: Drawings, gate: Gate, pipeline: FakePipeline
) -> None:
    drawings.begin(ONE, CAT)
    drawings.begin(ONE, CAT)
    gate.open()
    first, second = await asyncio.gather(drawn(drawings, ONE), drawn(drawings, ONE))
    assert first == second
    drawings.begin(ONE, CAT)
    assert await drawn(drawings, ONE) == first
    assert len(pipeline.requests) == 1


async def test_it_goes_on_when_whoever_watched_is_gone(drawings: Drawings, gate: Gate) -> None:
    drawings.begin(ONE, CAT)
    watching = asyncio.create_task(all_of(drawings, ONE))
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    gate.open()
    assert len((await drawn(drawings, ONE)).images) == 1


async def test_a_later_attempt_ends_the_earlier_one(drawings: Drawings, gate: Gate) -> None:
    drawings.begin(ONE, CAT)
    watching = asyncio.create_task(all_of(drawings, ONE))
    await asyncio.sleep(0)
    drawings.begin(TWO, CAT)
    with pytest.raises(JobCancelledError):
        await watching
    gate.open()
    await drawn(drawings, TWO)
    assert drawings.held() == (TWO,)


async def test_an_earlier_attempt_is_refused_also_when_the_later_one_is_over(
    drawings: Drawings, gate: Gate
) -> None:
    gate.open()
    drawings.begin(TWO, CAT)
    with pytest.raises(OldAttemptError):
        drawings.begin(ONE, CAT)
    await drawn(drawings, TWO)
    drawings.let_go(TWO)
    with pytest.raises(OldAttemptError):
        drawings.begin(ONE, CAT)
    with pytest.raises(OldAttemptError):
        await all_of(drawings, ONE)


async def test_what_is_let_go_of_is_drawn_no_further(
    drawings: Drawings, gate: Gate, pipeline: FakePipeline
) -> None:
    drawings.begin(ONE, CAT)
    gate.let_through(1)
    async with aclosing(drawings.watch(ONE)) as watching:
        async for told in watching:
            if isinstance(told, Progress) and told.step == 1:  # the device works on it
                break
        drawings.let_go(ONE)
        with pytest.raises(JobCancelledError):
            await anext(watching)
    assert drawings.held() == ()
    gate.open()  # to its next step, where it ends
    drawings.begin(ONE, CAT)  # put back without blame it comes as the same attempt
    await drawn(drawings, ONE)
    assert len(pipeline.requests) == 2


async def test_letting_go_of_what_is_not_there_is_nothing(drawings: Drawings) -> None:
    drawings.begin(TWO, CAT)
    drawings.let_go(ONE)
    drawings.let_go(Key("another", 1))
    assert drawings.held() == (TWO,)


async def test_who_watches_what_nobody_began_is_told(drawings: Drawings) -> None:
    with pytest.raises(UnknownDrawingError):
        await all_of(drawings, ONE)


async def test_an_error_is_told_to_everybody_also_later(
    drawings: Drawings, gate: Gate, pipeline: FakePipeline
) -> None:
    pipeline.failure = ValueError("the device is on fire")
    gate.open()
    drawings.begin(ONE, CAT)
    for _ in range(2):
        with pytest.raises(DrawError):
            await all_of(drawings, ONE)


async def test_what_cannot_be_drawn_is_refused_at_once(drawings: Drawings) -> None:
    with pytest.raises(InvalidRequestError):
        drawings.begin(ONE, ImageRequest("a cat", width_px=128, height_px=128))
    assert drawings.held() == ()


async def test_the_engine_is_free_once_the_device_has_all_of_it(
    drawings: Drawings, gate: Gate
) -> None:
    assert drawings.drawing() is None
    drawings.begin(ONE, CAT)
    assert drawings.drawing() == ONE
    gate.open()
    await drawn(drawings, ONE)
    assert drawings.drawing() is None
    assert drawings.held() == (ONE,)


async def test_results_wait_for_so_long_and_so_many_of_them(
    drawings: Drawings, gate: Gate, clock: Clock
) -> None:
    gate.open()
    keys = [Key(name, 1) for name in ("a", "b", "c")]
    for key in keys:
        clock.now_s += 1
        drawings.begin(key, CAT)
        await drawn(drawings, key)
    assert drawings.held() == tuple(keys[1:])
    clock.now_s += 59.5
    assert drawings.held() == (keys[2],)
    clock.now_s += 60
    assert drawings.held() == ()


async def test_what_is_drawn_still_is_forgotten_by_no_clock(
    drawings: Drawings, gate: Gate, clock: Clock
) -> None:
    drawings.begin(ONE, CAT)
    clock.now_s += 10_000
    assert drawings.held() == (ONE,)
    gate.open()
    await drawn(drawings, ONE)


async def test_all_who_watch_a_device_that_hangs_are_told(drawings: Drawings) -> None:
    drawings.begin(ONE, CAT)
    watching = asyncio.create_task(all_of(drawings, ONE))
    await asyncio.sleep(0)
    drawings.fail(DrawError("The device hangs."))
    with pytest.raises(DrawError, match="hangs"):
        await watching


async def test_pictures_whose_card_cannot_be_had_are_shown_all_the_same(
    drawings: Drawings, gate: Gate, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(request: ImageRequest) -> ModelCard:
        raise OSError("the model's file is gone")

    monkeypatch.setattr(pipeline, "card", unreadable)
    gate.open()
    drawings.begin(ONE, CAT)
    assert (await drawn(drawings, ONE)).card == ModelCard("doodle")
