"""Places: no owner has more than its share, the slow hold up nobody, and none is ever lost."""

import asyncio
from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.shared.shares import Shares


class Holder:
    """Somebody who wants a place of an owner's, and holds it until they are let go."""

    def __init__(self, shares: Shares, owner: str) -> None:
        self.owner = owner
        self.holds = False
        self._done = asyncio.Event()
        self.task = asyncio.create_task(self._hold(shares))

    async def _hold(self, shares: Shares) -> None:
        async with shares.place(self.owner):
            self.holds = True
            await self._done.wait()
        self.holds = False

    async def leave(self) -> None:
        self._done.set()
        await self.task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - it is the clock that is waited for
        await asyncio.sleep(0.001)


async def test_no_owner_has_more_than_its_share_and_others_pass_by() -> None:
    shares = Shares(4, 2)
    busy = [Holder(shares, "a") for _ in range(5)]
    await settle()
    assert [one.holds for one in busy] == [True, True, False, False, False]
    other = Holder(shares, "b")
    await settle()
    assert other.holds
    await busy[0].leave()
    await settle()
    assert [one.holds for one in busy] == [False, True, True, False, False]
    for one in (*busy[1:], other):
        await one.leave()


async def test_owners_take_turns() -> None:
    shares = Shares(1, 1)
    first = Holder(shares, "a")
    await settle()
    line = [Holder(shares, owner) for owner in "aab"]
    await settle()
    order = []
    await first.leave()
    for _ in line:
        await settle()
        (now,) = [one for one in line if one.holds]
        order.append(now.owner)
        await now.leave()
    assert order == ["a", "b", "a"]


async def test_a_slow_one_makes_room_as_far_as_there_may_be_slow_ones() -> None:
    shares = Shares(2, 2, slow_after_s=0.0, slow=1)
    slow = [Holder(shares, owner) for owner in "abc"]
    await until(lambda: sum(one.holds for one in slow) == 3)
    last = Holder(shares, "d")
    await settle()
    assert sum(one.holds for one in (*slow, last)) == 3  # one goes on without: no more may
    await slow[0].leave()
    await until(lambda: last.holds)
    for one in (*slow[1:], last):
        await one.leave()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_place_is_lost_whatever_comes_and_goes(data: st.DataObject) -> None:
    async def main() -> None:
        places, share = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
        shares = Shares(places, share)
        holders: list[Holder] = []
        for _ in range(data.draw(st.integers(1, 25))):
            step = data.draw(st.sampled_from(["come", "leave", "give up"]))
            if step == "come" or not holders:
                holders.append(Holder(shares, data.draw(st.sampled_from("abc"))))
            elif step == "leave" and (held := [one for one in holders if one.holds]):
                holders.remove(held[0])
                await held[0].leave()
            else:
                given_up = holders.pop(data.draw(st.integers(0, len(holders) - 1)))
                given_up.task.cancel()
                await asyncio.gather(given_up.task, return_exceptions=True)
            if data.draw(st.booleans()):
                await settle()
        await settle()
        held_by = Counter(one.owner for one in holders if one.holds)
        wanted = Counter(one.owner for one in holders)
        assert held_by.total() == min(places, sum(min(n, share) for n in wanted.values()))
        assert all(n <= share for n in held_by.values())
        for one in holders:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in holders), return_exceptions=True)
        last = [Holder(shares, str(n)) for n in range(places)]
        await settle()
        assert all(one.holds for one in last)
        for one in last:
            await one.leave()

    asyncio.run(main())
