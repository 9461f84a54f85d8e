"""Fairness: who is drawn next, by example and by property."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.queue.fairness import FairQueue


def filled(*jobs: tuple[str, int, int]) -> FairQueue:
    queue = FairQueue()
    for job_id, guild, user in jobs:
        queue.add(job_id, community=guild, person=user)
    return queue


def drained(queue: FairQueue) -> list[str]:
    return [queue.take() for _ in range(len(queue))]


def test_one_persons_jobs_come_in_their_order() -> None:
    queue = filled(*((f"a{n}", 1, 1) for n in range(5)))
    assert drained(queue) == [f"a{n}" for n in range(5)]


def test_forty_jobs_of_one_do_not_hold_the_others_up() -> None:
    queue = filled(*((f"a{n}", 1, 1) for n in range(40)))
    assert queue.take() == "a0"
    for user in range(2, 7):
        queue.add(f"u{user}", community=1, person=user)
    places = queue.places()
    assert max(places[f"u{user}"] for user in range(2, 7)) <= 6


def test_communities_share_before_their_people_do() -> None:
    crowd = [(f"big{user}", 1, user) for user in range(10)]
    queue = filled(*crowd, ("small0", 2, 100), ("small1", 2, 100))
    assert drained(queue)[:4] == ["big0", "small0", "big1", "small1"]


def test_twice_the_weight_is_twice_the_share() -> None:
    queue = FairQueue()
    for n in range(30):
        queue.add(f"light{n}", community=1, person=1)
        queue.add(f"heavy{n}", community=1, person=2, weight=2)
    taken = Counter(job_id.rstrip("0123456789") for job_id in drained(queue)[:30])
    assert taken == {"heavy": 20, "light": 10}


@pytest.mark.parametrize("known_later", [False, True])
def test_a_big_job_costs_its_person_the_next_turns(*, known_later: bool) -> None:
    queue = FairQueue()
    for n in range(8):
        queue.add(f"big{n}", community=1, person=1, cost=1 if known_later else 4)
        queue.add(f"small{n}", community=1, person=2, cost=1)
        queue.set_cost(f"big{n}", 4)
    taken = Counter(job_id.rstrip("0123456789") for job_id in drained(queue)[:10])
    assert taken == {"small": 8, "big": 2}


def test_who_was_away_claims_nothing_for_it() -> None:
    queue = filled(*((f"a{n}", 1, 1) for n in range(20)))
    for _ in range(10):
        queue.take()
    for n in range(10):
        queue.add(f"late{n}", community=1, person=2)
    taken = Counter(job_id.rstrip("0123456789") for job_id in drained(queue)[:10])
    assert taken == {"late": 5, "a": 5}


def test_coming_back_at_once_is_not_rewarded() -> None:
    """Who always asks one at a time gets no more than one who asked for all at the start."""
    queue = filled(*((f"a{n}", 1, 1) for n in range(20)), ("b0", 1, 2))
    taken = []
    for n in range(1, 20):
        taken.append(queue.take())
        if taken[-1].startswith("b"):
            queue.add(f"b{n}", community=1, person=2)
    assert Counter(job_id[0] for job_id in taken)["b"] <= 10


def test_to_cancel_what_waits_does_not_pay() -> None:
    queue = filled(*((f"a{n}", 1, 1) for n in range(6)), *((f"b{n}", 1, 2) for n in range(6)))
    assert [queue.take() for _ in range(2)] == ["a0", "b0"]
    for n in range(1, 6):
        assert queue.remove(f"b{n}")
    queue.add("b6", community=1, person=2)
    assert queue.take() == "a1"
    assert not queue.remove("b1")


def test_an_empty_queue_gives_nothing() -> None:
    with pytest.raises(IndexError):
        FairQueue().take()


Step = tuple[str, int, int, float, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "take", "remove", "cost"]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.sampled_from([1.0, 1.5, 4.0]),
        st.sampled_from([0.5, 1.0, 2.0]),
    ),
    max_size=80,
)


@given(STEPS)
def test_whatever_happens_every_job_is_taken_once_as_foretold(steps: list[Step]) -> None:
    queue, waiting, gone = FairQueue(), list[str](), 0
    for n, (what, guild, user, cost, weight) in enumerate(steps):
        if what == "add":
            job_id = f"{guild}/{user}/{n}"
            queue.add(job_id, community=guild, person=user, cost=cost, weight=weight)
            waiting.append(job_id)
        elif waiting and what == "take":
            first = next(iter(queue.places()))
            assert queue.take() == first
            waiting.remove(first)
        elif waiting and what == "cost":
            queue.set_cost(waiting[n % len(waiting)], cost)
        elif waiting:
            job_id = waiting.pop(n % len(waiting))
            assert queue.remove(job_id)
            gone += 1
        assert len(queue) == len(waiting)
    foretold = list(queue.places())
    assert list(queue.places().values()) == list(range(1, len(waiting) + 1))
    taken = drained(queue)
    assert taken == foretold
    assert sorted(taken) == sorted(waiting)
    for guild in range(1, 4):  # one person's jobs keep their order
        for user in range(1, 5):
            own = [job_id for job_id in taken if job_id.startswith(f"{guild}/{user}/")]
            assert own == [job_id for job_id in waiting if job_id in own]


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from([1.0, 2.0, 4.0])), min_size=10, max_size=120
    )
)
def test_no_two_people_who_both_wait_are_far_apart(jobs: list[tuple[int, float]]) -> None:
    """SFQ's theorem 1 (equal weights): while both wait, what two got differs by at most the sum of
    their largest jobs."""
    queue, costs, left = FairQueue(), dict[str, float](), Counter[int]()
    for n, (user, cost) in enumerate(jobs):
        queue.add(f"{user}/{n}", community=1, person=user, cost=cost)
        costs[f"{user}/{n}"] = cost
        left[user] += 1
    got = dict.fromkeys(left, 0.0)
    while queue:
        job_id = queue.take()
        user = int(job_id.split("/")[0])
        got[user] += costs[job_id]
        left[user] -= 1
        waiting = [one for one in left if left[one]]
        for one in waiting:
            for other in waiting:
                assert abs(got[one] - got[other]) <= 8
