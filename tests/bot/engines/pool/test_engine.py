"""A drawing of the pool as its bot watches it, and engines that do not answer; no Ray in it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from bot.core.ports.engine import Attempt
from bot.engines.pool.attending import PoolTurns
from bot.engines.pool.drawings import Drawn, Key, Sent
from bot.engines.pool.engine import PoolEngine
from bot.engines.pool.model import PoolModel
from bot.engines.pool.turns import News, TurnsReplica
from bot.errors import EngineGoneError
from sdxl_engine import ImageRequest, JobCancelledError, Progress
from sdxl_engine.request import ModelCard
from tests.bot.engines.pool.pretended import DirectCalls
from tests.bot.engines.pool.test_turns import beat
from tests.fakes import drawn

PATIENCE_S = 20
CAT = ImageRequest("a cat", num_inference_steps=2, num_images=1, width_px=64, height_px=64)


class Easel:
    """A deployment of one engine: what it tells is said, and then it waits until it is let on."""

    def __init__(self, *told: object) -> None:
        self.told = told
        self.go_on = asyncio.Event()
        self.watched = asyncio.Event()
        self.left = asyncio.Event()
        self.let_go_of: list[Key] = []

    async def watch(self, *_: object) -> AsyncGenerator[object]:
        self.watched.set()
        try:
            yield Progress(0, 2)
            await self.go_on.wait()
            for one in self.told:
                if isinstance(one, BaseException):
                    raise one
                yield one
        finally:
            self.left.set()

    async def let_go(self, _engine: str, key: Key) -> None:
        self.let_go_of.append(key)


@asynccontextmanager
async def pool(easel: Easel, line: object | None = None) -> AsyncIterator[PoolEngine]:
    calls = DirectCalls(turns=line or TurnsReplica(places_every_s=0), engine=easel)
    turns = PoolTurns(calls, {"doodle"}, sleep=lambda _: asyncio.sleep(0))
    engine = PoolEngine(calls, turns)
    running = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield engine
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await engine.close(PATIENCE_S)


def attempt() -> Attempt:
    return Attempt("job", 1, "engine-e")


def images() -> tuple[object, ...]:
    return (Progress(1, 2), Sent(), Drawn(CAT, drawn(CAT), ModelCard("doodle")))


def broken(_: Progress) -> None:
    raise RuntimeError("The card is torn.")


async def test_a_listener_that_breaks_costs_nobody_their_images() -> None:
    easel = Easel(*images())
    async with pool(easel) as engine:
        drawing = engine.submit(attempt(), CAT, broken)
        easel.go_on.set()
        assert await drawing.images() == drawn(CAT)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ValueError("strange")])
async def test_whatever_ends_a_watch_nobody_waits_for_ever(error: BaseException) -> None:
    easel = Easel(error)
    async with pool(easel) as engine:
        drawing = engine.submit(attempt(), CAT, lambda _: None)
        easel.go_on.set()
        with pytest.raises(EngineGoneError):
            await drawing.images()
        assert not await drawing.sent()


async def test_what_is_cancelled_is_watched_no_more_and_let_go_of() -> None:
    easel = Easel()
    async with pool(easel) as engine:
        drawing = engine.submit(attempt(), CAT, lambda _: None)
        await easel.watched.wait()
        drawing.cancel()
        await easel.left.wait()
        with pytest.raises(JobCancelledError):
            await drawing.images()
        while not easel.let_go_of:  # noqa: ASYNC110 - nobody waits for that call
            await asyncio.sleep(0)
        assert easel.let_go_of == [Key("job", 1)]


class Line:
    """Whoever gives turns: it knows where everything is, and tells of engines when it is let."""

    def __init__(self) -> None:
        self.tells = asyncio.Event()

    async def where(self, _key: Key) -> str:
        return "engine-e"

    async def attend(self, *_: object) -> AsyncGenerator[News]:
        await self.tells.wait()
        yield News(engines=(beat("engine-e"),))
        await asyncio.Event().wait()

    async def tell(self, *_: object) -> tuple[()]:
        return ()


async def test_nothing_is_resumed_before_it_is_known_what_the_engines_draw_with() -> None:
    easel, line = Easel(*images()), Line()
    easel.go_on.set()
    async with pool(easel, line) as engine:
        resuming = asyncio.create_task(engine.resume("job", 1, lambda _: None))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not easel.watched.is_set()
        line.tells.set()
        drawing = await resuming
        assert drawing is not None
        assert engine.model is not None
        assert await drawing.images() == drawn(CAT)


class Silence:
    """Implements `Calls`: no answer ever comes."""

    def __init__(self) -> None:
        self.asked = 0

    async def call(self, *_: object) -> object:
        self.asked += 1
        await asyncio.Event().wait()
        return None

    async def stream(self, *_: object) -> AsyncGenerator[object]:
        yield await self.call()


async def test_where_there_is_no_engine_none_is_asked() -> None:
    calls = Silence()
    model = PoolModel(calls)
    model.loop = asyncio.get_running_loop()
    model.know([beat("engine-e"), beat("engine-f")])
    model.know([])
    await asyncio.to_thread(model.check, CAT)
    assert await asyncio.to_thread(lambda: model.loras) == {}
    assert calls.asked == 0


async def test_however_many_engines_are_silent_it_waits_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.engines.pool.model.LIMIT_S", 0.01)
    calls = Silence()
    model = PoolModel(calls)
    model.loop = asyncio.get_running_loop()
    model.know([beat(f"engine-{n}") for n in range(8)])
    await asyncio.to_thread(model.check, CAT)
    assert calls.asked == 1
