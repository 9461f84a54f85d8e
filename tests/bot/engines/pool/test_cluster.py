"""Bots and engines on Ray Serve: one cluster for all tests here, which takes seconds to start."""

import asyncio
import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from bot.core.ports.engine import Attempt
from bot.core.queue.turns import Entry
from bot.engines.pool.attending import PoolTurns
from bot.engines.pool.calls import ServeCalls
from bot.engines.pool.cluster import TOKEN_VARIABLE, Cluster
from bot.engines.pool.described import kind_and_unique
from bot.engines.pool.engine import PoolDrawing, PoolEngine
from bot.errors import EngineGoneError
from sdxl_engine import ImageRequest, InvalidRequestError, JobCancelledError, Progress
from sdxl_engine.request import Picture, Source

pytestmark = [
    pytest.mark.scale,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="make setup-scale"),
]

PATIENCE_S = 120  # a replica that starts anew imports for half a minute where all is busy


def cat(prompt: str = "a cat") -> ImageRequest:
    return ImageRequest(prompt, num_inference_steps=3, num_images=1, width_px=64, height_px=64)


class Head:
    """A process with a cluster of its own, and its engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._patience_s: float | None = None
        self._process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, "-m", "tests.bot.engines.pool.head", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def deploy(self, patience_s: float = 0.0) -> str:
        """Have engines that may be silent for so long; returns the cluster's address."""
        if patience_s != self._patience_s:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{patience_s}\n")
            self._process.stdin.flush()
            self._address = self._process.stdout.readline().strip()
            self._patience_s = patience_s
        return self._address

    def close(self) -> None:
        self._process.communicate(timeout=PATIENCE_S)

    def let_go_on(self) -> None:
        """What waits is drawn."""
        (self.folder / "go").touch()

    def drawn(self) -> list[tuple[int, str]]:
        """The process of each drawing, and its prompt."""
        lines = (self.folder / "drawn").read_text().splitlines()
        return [(int(pid), prompt) for pid, prompt in (line.split(" ", 1) for line in lines)]


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOKEN_VARIABLE, secrets.token_hex(16))
        head = Head(tmp_path_factory.mktemp("pencils"))
        try:
            cluster = Cluster(head.deploy())
            with warnings.catch_warnings():  # of what Ray itself uses that will be no more
                warnings.simplefilter("ignore")
                cluster.join()
                importlib.import_module("ray.serve")
            try:
                yield head
            finally:
                cluster.leave()
        finally:
            head.close()


class Bot:
    """One that asks; the next one may go on where it ended."""

    def __init__(self, calls: ServeCalls, of: str) -> None:
        self._of = of
        self.turns = PoolTurns(calls, {"doodle"})
        self.engine = PoolEngine(calls, self.turns)
        self.progress: list[Progress] = []
        self._heard = asyncio.Event()
        self._task = asyncio.create_task(self.engine.run())

    def named(self, job_id: str) -> str:
        """A job of this test's alone: engines remember those of others."""
        return f"{job_id} of {self._of}"

    async def resume(self, job_id: str) -> PoolDrawing | None:
        return await self.engine.resume(self.named(job_id), 1, self._hear)

    def over(self, job_id: str) -> None:
        self.turns.over(self.named(job_id))

    async def turn(self, job_id: str) -> str:
        """Wait for a job's turn; returns its engine."""
        job_id = self.named(job_id)
        self.turns.add(Entry(job_id, "here", "somebody"))
        async with asyncio.timeout(PATIENCE_S):
            turn = await self.turns.next()
        assert turn is not None
        assert turn.job_id == job_id
        return turn.engine

    async def draw(self, job_id: str, request: ImageRequest, number: int = 1) -> PoolDrawing:
        """Have it drawn, when its turn has come."""
        attempt = Attempt(self.named(job_id), number, await self.turn(job_id))
        return self.engine.submit(attempt, request, self._hear)

    async def drawn_somewhere(self, job_id: str, request: ImageRequest) -> None:
        """Have it drawn, by the next engine where one turns out to be gone."""
        while True:
            try:
                await (await self.draw(job_id, request)).images()
            except EngineGoneError as gone:
                if gone.begun:
                    raise
                self.over(job_id)
            else:
                return

    async def until_step(self, step: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not any(one.step >= step for one in self.progress):
                self._heard.clear()
                await self._heard.wait()

    def _hear(self, progress: Progress) -> None:
        self.progress.append(progress)
        self._heard.set()

    async def die(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.engine.close(PATIENCE_S)


@pytest_asyncio.fixture
async def bots(head: Head, request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Bot]]:
    await asyncio.to_thread(head.deploy)
    (head.folder / "go").unlink(missing_ok=True)
    (head.folder / "drawn").unlink(missing_ok=True)
    calls = ServeCalls()
    made: list[Bot] = []

    def make() -> Bot:
        made.append(Bot(calls, request.node.name))
        return made[-1]

    yield make
    (head.folder / "go").touch()
    for bot in made:
        await bot.die()


async def test_a_job_is_drawn_where_its_turn_is(bots: Callable[[], Bot], head: Head) -> None:
    bot = bots()
    drawing = await bot.draw("a", cat())
    assert await drawing.sent()
    (image,) = await drawing.images()
    assert len(image.rgb) == 3 * 64 * 64
    assert bot.progress[-1] == Progress(3, 3)
    assert [prompt for _, prompt in head.drawn()] == ["a cat"]


async def test_pictures_of_the_usual_size_come_and_go(bots: Callable[[], Bot]) -> None:
    bot = bots()
    side_px = 1024
    seen = 64 * "0"
    picture = Picture(seen, side_px, side_px, bytes(4 * side_px**2))
    request = ImageRequest("a cat", width_px=side_px, height_px=side_px, source=Source(seen))
    attempt = Attempt(bot.named("a"), 1, await bot.turn("a"))
    drawing = bot.engine.submit(attempt, request, bot.progress.append, {seen: picture})
    images = await drawing.images()
    assert [len(image.rgb) for image in images] == 4 * [3 * side_px**2]
    bot.over("a")


async def test_two_jobs_are_drawn_at_a_time(bots: Callable[[], Bot], head: Head) -> None:
    bot = bots()
    drawings = [await bot.draw(name, cat("waits")) for name in ("a", "b")]
    await bot.until_step(1)
    head.let_go_on()
    await asyncio.gather(*(drawing.images() for drawing in drawings))
    assert len({pid for pid, _ in head.drawn()}) == 2


async def test_a_bot_that_dies_is_followed_by_one_that_goes_on_with_its_drawing(
    bots: Callable[[], Bot], head: Head
) -> None:
    dead = bots()
    await dead.draw("a", cat("waits"))
    await dead.until_step(1)
    await dead.die()
    bot = bots()
    drawing = await bot.resume("a")
    assert drawing is not None
    await bot.until_step(1)
    head.let_go_on()
    assert len(await drawing.images()) == 1
    bot.over("a")
    assert await drawing.sent()
    assert len(head.drawn()) == 1


async def test_what_was_drawn_waits_for_the_next_bot(bots: Callable[[], Bot], head: Head) -> None:
    dead = bots()
    drawing = await dead.draw("a", cat())
    images = await drawing.images()
    await dead.die()
    bot = bots()
    again = await bot.resume("a")
    assert again is not None
    assert await again.images() == images
    bot.over("a")
    assert len(head.drawn()) == 1


async def test_nobody_has_what_was_never_begun(bots: Callable[[], Bot]) -> None:
    bot = bots()
    await bot.engine.warm()
    assert await bot.resume("unheard of") is None


async def test_a_cancelled_drawing_ends_at_its_next_step(
    bots: Callable[[], Bot], head: Head
) -> None:
    bot = bots()
    drawing = await bot.draw("a", cat("waits"))
    await bot.until_step(1)
    drawing.cancel()
    with pytest.raises(JobCancelledError):
        await drawing.images()
    bot.over("a")
    head.let_go_on()
    again = await bot.draw("a", cat())
    assert len(await again.images()) == 1


async def test_an_engine_that_dies_says_so_and_another_comes(
    bots: Callable[[], Bot], head: Head
) -> None:
    bot = bots()
    drawing = await bot.draw("a", cat("kills"))
    with pytest.raises(EngineGoneError) as gone:
        await drawing.images()
    assert gone.value.begun
    assert not await drawing.sent()
    bot.over("a")
    again = await bot.draw("a", cat("waits a"), 2)
    other = await bot.draw("b", cat("waits b"))  # on the one that comes in its place
    head.let_go_on()
    await asyncio.gather(again.images(), other.images())
    assert len({pid for pid, _ in head.drawn()}) == 3


async def test_what_an_engine_had_drawn_is_gone_with_it(
    bots: Callable[[], Bot], head: Head
) -> None:
    dead = bots()
    await (await dead.draw("a", cat())).images()
    await dead.die()
    ((pid, _),) = head.drawn()
    os.kill(pid, signal.SIGKILL)
    bot = bots()
    assert await bot.resume("a") is None


async def test_an_engine_that_hangs_is_replaced(bots: Callable[[], Bot], head: Head) -> None:
    head.deploy(patience_s=1)
    bot = bots()
    begun = False
    while not begun:  # its turn may be on one of those before, which are just being stopped
        drawing = await bot.draw("a", cat("hangs"))
        with pytest.raises(EngineGoneError) as gone:
            await drawing.images()
        begun = gone.value.begun
        bot.over("a")
    await asyncio.gather(*(bot.drawn_somewhere(name, cat()) for name in ("b", "c")))


async def test_an_engine_that_is_not_there_is_said_before_anything_is_drawn(
    bots: Callable[[], Bot],
) -> None:
    bot = bots()
    engine = await bot.turn("a")
    attempt = Attempt(bot.named("a"), 1, f"{kind_and_unique(engine)[0]}-nobody")
    drawing = bot.engine.submit(attempt, cat(), bot.progress.append)
    with pytest.raises(EngineGoneError) as gone:
        await drawing.images()
    assert not gone.value.begun
    bot.over("a")


async def test_what_cannot_be_drawn_is_refused_as_in_this_process(
    bots: Callable[[], Bot],
) -> None:
    bot = bots()
    model = await bot.engine.warm()
    large = ImageRequest("a cat", width_px=128, height_px=128)
    with pytest.raises(InvalidRequestError, match="This size is not warm"):
        await asyncio.to_thread(model.check, large)
    await asyncio.to_thread(model.check, cat())
    assert model.resolved(cat()).sampler == "euler"
    loras = await asyncio.to_thread(lambda: model.loras)
    assert {name: one.problem for name, one in loras.items()} == {
        "ink": None,
        "torn": "It is torn.",
    }
    drawing = await bot.draw("a", large)
    with pytest.raises(InvalidRequestError, match="This size is not warm"):
        await drawing.images()
    bot.over("a")


async def test_whoever_gives_turns_may_die(bots: Callable[[], Bot], head: Head) -> None:
    bot = bots()
    first = await bot.draw("a", cat("waits"))
    await bot.until_step(1)
    ray = importlib.import_module("ray")
    (turns,) = [
        one["name"]
        for one in ray.util.list_named_actors(all_namespaces=True)
        if one["name"].startswith("SERVE_REPLICA::imagine#turns#")
    ]
    ray.kill(ray.get_actor(turns, namespace="serve"), no_restart=True)
    second = await bot.draw("b", cat("waits"))
    head.let_go_on()
    await asyncio.gather(first.images(), second.images())
    assert len({pid for pid, _ in head.drawn()}) == 2
    bot.over("a")
    bot.over("b")
