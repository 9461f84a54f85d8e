"""Bots and engines that come and go, and who is drawn where; no Ray in it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import pytest_asyncio

from bot.core.queue.turns import Entry, Turn
from bot.engines.pool.attending import PoolTurns
from bot.engines.pool.described import Beat, Warm
from bot.engines.pool.drawings import Key
from bot.engines.pool.turns import TurnsReplica
from tests.bot.engines.pool.pretended import DirectCalls

WARM = Warm("1 x pencil", ((64, 64),), ("doodle",), {"doodle": "euler"}, ())
PATIENCE_S = 20


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def entry(job_id: str, model: str | None = None, person: str = "somebody") -> Entry:
    return Entry(job_id, "here", person, model=model)


def beat(
    engine: str,
    *,
    drawing: Key | None = None,
    held: tuple[Key, ...] = (),
    draws: frozenset[str | None] = frozenset({None, "doodle"}),
) -> Beat:
    return Beat(engine, "engine", draws, "1", "here", WARM, drawing, held)


class Pool:
    """Turns, and the bots that attend."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.replica = self.fresh()
        self.calls = DirectCalls(turns=self.replica)
        self.heard = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.over: list[str] = []

    def fresh(self) -> TurnsReplica:
        return TurnsReplica(clock=self.clock, places_every_s=0)

    def bot(self) -> PoolTurns:
        turns = PoolTurns(
            self.calls,
            {"doodle", "small"},
            on_engines=lambda _: self.heard.set(),
            on_places=self.heard.set,
            on_over=self.over.append,
            sleep=lambda _: asyncio.sleep(0),
        )
        self.tasks.append(asyncio.create_task(turns.run()))
        return turns

    async def leave(self, n: int) -> None:
        """A bot dies."""
        self.tasks[n].cancel()
        with suppress(asyncio.CancelledError):
            await self.tasks[n]

    async def restart(self) -> None:
        """Whoever gives turns dies, and another comes in its place."""
        self.replica = self.fresh()
        self.calls.put("turns", self.replica)

    async def at(self, now_s: float) -> None:
        """It is that late, and all bots have given a sign of life."""
        self.clock.now_s = now_s
        bots = self.replica._bots
        await self.until(lambda: all(bot.heard_s == now_s for bot in bots.values()))

    async def waiting(self) -> int:
        """How many jobs wait, now."""
        _, load = await self.replica.engines()
        return load.waiting

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; the loop goes round meanwhile."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - many things may make it hold
                await asyncio.sleep(0)


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    for task in pool.tasks:
        task.cancel()
    await asyncio.gather(*pool.tasks, return_exceptions=True)


async def next_of(turns: PoolTurns) -> Turn:
    async with asyncio.timeout(PATIENCE_S):
        turn = await turns.next()
    assert turn is not None
    return turn


async def has_place(pool: Pool, bot: PoolTurns, job_id: str) -> None:
    """Let a job wait, until it has a place in the line."""
    bot.add(entry(job_id))
    await pool.until(lambda: bot.position(job_id) is not None)


async def test_jobs_of_all_bots_stand_in_one_line(pool: Pool) -> None:
    one, two = pool.bot(), pool.bot()
    one.add(entry("a"))
    one.add(entry("b"))
    await pool.until(lambda: one.position("b") is not None)
    two.add(entry("c", person="another"))
    await pool.until(lambda: two.position("c") is not None)
    await pool.replica.beat(beat("e"))
    assert await next_of(one) == Turn("a", "e")
    one.finish("a", drawn=True)
    assert await next_of(two) == Turn("c", "e")  # the other person's, before the first's second
    two.finish("c", drawn=True)
    assert await next_of(one) == Turn("b", "e")


async def test_an_engine_is_free_when_that_is_said_and_not_before(pool: Pool) -> None:
    bot = pool.bot()
    bot.add(entry("a"))
    bot.add(entry("b"))
    await pool.replica.beat(beat("e"))
    assert (await next_of(bot)).job_id == "a"
    await pool.until(lambda: (found := bot.position("b")) is not None and found.place == 1)
    await pool.replica.beat(beat("f"))
    assert await next_of(bot) == Turn("b", "f")


async def test_an_engine_is_given_what_it_draws(pool: Pool) -> None:
    bot = pool.bot()
    bot.add(entry("a", "small"))
    bot.add(entry("b", person="another"))
    await pool.replica.beat(beat("large"))
    assert await next_of(bot) == Turn("b", "large")
    await pool.replica.beat(beat("other", draws=frozenset({"small"})))
    assert await next_of(bot) == Turn("a", "other")


async def test_what_no_engine_is_made_for_is_refused_by_the_first(pool: Pool) -> None:
    bot = pool.bot()
    bot.add(entry("a", "one that was taken away"))
    await pool.replica.beat(beat("e"))
    assert await next_of(bot) == Turn("a", "e")


async def test_engines_hear_how_many_jobs_wait_for_them(pool: Pool) -> None:
    bot = pool.bot()
    for n in range(3):
        bot.add(entry(f"a{n}"))
    bot.add(entry("b", "small"))
    await pool.until(lambda: bot.load.waiting == 4)
    assert await pool.replica.beat(beat("e")) == 2  # one is its own now


async def test_whoever_gives_turns_may_end_at_any_time(pool: Pool) -> None:
    bot = pool.bot()
    for name in ("a", "b", "c"):
        bot.add(entry(name))
    await pool.replica.beat(beat("e"))
    assert await next_of(bot) == Turn("a", "e")
    await pool.restart()
    await pool.until(lambda: bot.position("b") is not None)
    await pool.replica.beat(beat("e", drawing=Key("a", 1), held=(Key("a", 1),)))
    await pool.until(lambda: bot.load.waiting == 2)
    bot.finish("a", drawn=True)
    assert await next_of(bot) == Turn("b", "e")


async def test_engines_are_busy_also_with_what_no_bot_told_of(pool: Pool) -> None:
    await pool.replica.beat(beat("e", drawing=Key("x", 1), held=(Key("x", 1),)))
    bot = pool.bot()
    bot.add(entry("a"))
    await pool.until(lambda: bot.position("a") is not None)
    await pool.replica.beat(beat("f"))
    assert await next_of(bot) == Turn("a", "f")
    bot.add(entry("b"))
    await pool.replica.beat(beat("e", held=(Key("x", 1),)))  # it is drawn, and waits for somebody
    assert await next_of(bot) == Turn("b", "e")


async def test_what_a_dead_bot_had_waiting_is_given_to_nobody(pool: Pool) -> None:
    dead, alive = pool.bot(), pool.bot()
    dead.add(entry("a"))
    await pool.until(lambda: dead.position("a") is not None)
    await pool.leave(0)
    alive.add(entry("b"))
    await pool.replica.beat(beat("e"))
    assert await next_of(alive) == Turn("b", "e")
    assert alive.load.waiting == 0


async def test_what_a_dead_bot_has_drawn_holds_its_engine_for_as_long_as_that_takes(
    pool: Pool,
) -> None:
    dead, alive = pool.bot(), pool.bot()
    dead.add(entry("a"))
    await pool.replica.beat(beat("e"))
    await next_of(dead)
    await pool.leave(0)
    alive.add(entry("b"))
    await pool.until(lambda: alive.position("b") is not None)
    key = Key("a", 1)
    await pool.replica.beat(beat("e", drawing=key, held=(key,)))
    await pool.until(lambda: alive.load.waiting == 1)
    await pool.replica.beat(beat("e", held=(key,)))
    assert await next_of(alive) == Turn("b", "e")


async def test_a_turn_that_nobody_begins_goes_with_its_bot(pool: Pool) -> None:
    dead, alive = pool.bot(), pool.bot()
    dead.add(entry("a"))
    await pool.replica.beat(beat("e"))
    await pool.until(lambda: dead.load.waiting == 0 and dead.position("a") is None)
    await pool.leave(0)
    alive.add(entry("b"))
    await pool.replica.beat(beat("e"))
    assert await next_of(alive) == Turn("b", "e")


async def test_a_job_taken_up_by_another_bot_waits_once(pool: Pool) -> None:
    one, two = pool.bot(), pool.bot()
    await has_place(pool, one, "a")
    await has_place(pool, two, "a")
    await pool.leave(0)
    await pool.replica.beat(beat("e"))
    assert await next_of(two) == Turn("a", "e")


async def test_a_bot_whose_jobs_were_taken_over_ends_none_of_them(pool: Pool) -> None:
    disowned, bot = pool.bot(), pool.bot()
    await has_place(pool, disowned, "a")
    await has_place(pool, bot, "a")
    disowned.close()
    await has_place(pool, disowned, "b")  # told of after that
    await pool.replica.beat(beat("e"))
    assert await next_of(bot) == Turn("a", "e")


async def test_a_job_that_another_bot_has_ended_is_told_of_again(pool: Pool) -> None:
    paused, bot = pool.bot(), pool.bot()
    await has_place(pool, bot, "a")
    await has_place(pool, paused, "a")  # as it had it before, and does not know better yet
    paused.close()
    await pool.until(lambda: "a" not in pool.replica._jobs)
    await pool.replica.beat(beat("e"))
    await pool.until(lambda: "a" in pool.replica._jobs)
    assert await next_of(bot) == Turn("a", "e")


async def test_an_engine_that_falls_silent_gets_no_turn(pool: Pool) -> None:
    bot = pool.bot()
    await pool.replica.beat(beat("silent"))
    pool.clock.now_s = 5.5
    await pool.replica.beat(beat("e"))
    bot.add(entry("a"))
    bot.add(entry("b"))
    assert await next_of(bot) == Turn("a", "e")
    await pool.until(lambda: bot.load.waiting == 1)
    assert [one.engine for one in (await pool.replica.engines())[0]] == ["e"]


async def test_an_engine_that_a_bot_cannot_reach_gets_no_turn_for_a_while(pool: Pool) -> None:
    bot = pool.bot()
    await pool.replica.beat(beat("e"))
    bot.add(entry("a"))
    await next_of(bot)
    bot.gone("e")
    bot.over("a")
    bot.add(entry("a"))
    await pool.until(lambda: bot.load.waiting == 1)
    await pool.at(29)
    await pool.replica.beat(beat("e"))
    assert await pool.waiting() == 1
    pool.clock.now_s = 31
    await pool.replica.beat(beat("e"))
    assert await next_of(bot) == Turn("a", "e")
    assert pool.over == ["a"]


async def test_a_bot_that_was_killed_without_a_word_holds_no_engine(pool: Pool) -> None:
    killed = pool.replica.attend("killed", "once", (entry("a"), entry("c")), ())
    await anext(killed)  # Ray Serve does not end the call of a process that is gone
    await pool.replica.beat(beat("e"))  # and "a" has its turn
    other = pool.bot()
    other.add(entry("b", person="another"))
    await pool.until(lambda: other.position("b") is not None)
    pool.clock.now_s = 9.9
    await pool.replica.beat(beat("e"))
    assert await pool.waiting() == 2
    pool.clock.now_s = 10.1
    await pool.replica.beat(beat("e"))
    assert await next_of(other) == Turn("b", "e")
    await pool.until(lambda: other.load.waiting == 0)
    with pytest.raises(StopAsyncIteration):
        await anext(killed)


async def test_a_drawing_is_found_where_it_is(pool: Pool) -> None:
    key = Key("a", 2)
    await pool.replica.beat(beat("e", held=(key,)))
    assert await pool.replica.where(key) == "e"


async def test_that_no_engine_has_a_drawing_is_known_when_all_have_spoken(pool: Pool) -> None:
    await pool.replica.beat(beat("e"))
    await pool.replica.beat(beat("f"))
    pool.clock.now_s = 4.5
    asking = asyncio.create_task(pool.replica.where(Key("a", 1)))
    found = asyncio.create_task(pool.replica.where(Key("b", 1)))
    await asyncio.sleep(0)
    pool.clock.now_s = 4.7
    await pool.replica.beat(beat("e"))
    await asyncio.sleep(0)
    assert not asking.done()
    await pool.replica.beat(beat("f", held=(Key("b", 1),)))
    assert await asking is None
    assert await found == "f"


async def test_an_engine_that_has_not_been_heard_of_yet_may_have_it(pool: Pool) -> None:
    asking = asyncio.create_task(pool.replica.where(Key("a", 1)))
    await asyncio.sleep(0)
    assert not asking.done()
    await pool.replica.beat(beat("e", held=(Key("a", 1),)))
    assert await asking == "e"


async def test_a_job_taken_out_while_its_turn_is_on_the_way_frees_its_engine(pool: Pool) -> None:
    bot = pool.bot()
    bot.add(entry("a"))
    bot.add(entry("b"))
    await pool.until(lambda: bot.position("b") is not None)
    await pool.replica.beat(beat("e"))
    bot.remove("a")
    assert await next_of(bot) == Turn("b", "e")


async def test_a_closed_one_gives_none(pool: Pool) -> None:
    bot = pool.bot()
    bot.add(entry("a"))
    await pool.until(lambda: bot.position("a") is not None)
    bot.close()
    assert await bot.next() is None
    other = pool.bot()
    other.add(entry("b"))
    await pool.replica.beat(beat("e"))
    assert await next_of(other) == Turn("b", "e")
