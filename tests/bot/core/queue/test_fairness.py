"""Fairness: who is drawn next, by example and by property."""

import pickle
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
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


def turns(queue: FairQueue, taken: int) -> Counter[str]:
    """Whose the next ones are; a job's id begins with its person."""
    return Counter(queue.take().split("/")[0] for _ in range(taken))


def test_one_person_in_ten_servers_gets_no_more_than_one_server() -> None:
    everywhere = ((f"e/{n}", n % 10, 1) for n in range(40))
    queue = filled(*everywhere, *((f"other{n % 2}/{n}", 10, 2 + n % 2) for n in range(40)))
    assert turns(queue, 44) == {"e": 22, "other0": 11, "other1": 11}


def test_one_person_in_ten_servers_gets_no_more_than_one_of_the_people_there() -> None:
    everywhere = ((f"e/{n}", n % 10, 1) for n in range(40))
    queue = filled(*everywhere, *((f"o{n % 10}/{n}", n % 10, 2 + n % 10) for n in range(110)))
    taken = turns(queue, 110)
    assert taken["e"] <= 11
    assert min(taken.values()) >= 9


def test_two_people_in_ten_servers_get_no_more_than_two_servers() -> None:
    everywhere = ((f"e{who}/{n}", n % 10, who) for n in range(40) for who in (1, 2))
    queue = filled(*everywhere, *((f"other/{n}", 10, 3) for n in range(40)))
    assert turns(queue, 30)["other"] >= 10


def test_a_person_waits_in_one_community_at_a_time_in_the_order_of_asking() -> None:
    queue = filled(("a0", 1, 1), ("b0", 1, 2), ("b1", 1, 2), ("a1", 2, 1), ("a2", 1, 1))
    assert drained(queue) == ["a0", "b0", "a1", "b1", "a2"]


def test_to_go_elsewhere_after_every_turn_does_not_pay() -> None:
    """Who asks one at a time, each in another server, waits a turn of the people there for it."""
    crowd = [
        (f"o{c}{p}/{n}", c, 10 * c + p) for c in range(3) for p in range(1, 5) for n in range(9)
    ]
    queue = filled(*crowd, ("e/0", 0, 1_000))
    taken = Counter[str]()
    for n in range(1, 61):
        who = queue.take().split("/")[0]
        taken[who] += 1
        if who == "e":
            queue.add(f"e/{n}", community=n % 3, person=1_000)
    assert taken["e"] <= 6
    assert min(taken.values()) >= 4


def test_a_big_job_elsewhere_holds_its_person_back_and_nobody_else() -> None:
    queue = FairQueue()
    queue.add("big", community=1, person=1, cost=20)
    queue.add("after", community=2, person=1)
    for n in range(30):
        queue.add(f"other/{n}", community=3, person=3)
    assert queue.take() == "big"
    assert queue.places()["after"] > 20
    queue.add("innocent", community=2, person=2)
    assert queue.places()["innocent"] <= 2
    assert queue.remove("innocent")
    assert queue.places()["after"] > 20  # a friend who comes and goes does not help


def test_the_share_is_that_of_the_weight_where_a_job_was_asked_for() -> None:
    queue = FairQueue()
    for n in range(60):
        here = n < 20
        queue.add(f"e/{n}", community=not here, person=1, weight=2.0 if here else 0.5)
        queue.add(f"here/{n}", community=0, person=2)
        queue.add(f"there/{n}", community=1, person=3)
    assert turns(queue, 60)["e"] == pytest.approx(20, abs=1)  # two thirds of half of it
    assert turns(queue, 60)["e"] == pytest.approx(10, abs=1)  # one third of half


def test_people_and_communities_that_are_gone_are_forgotten() -> None:
    queue = filled(*((f"stays{n}", n % 2, n) for n in range(10)))
    sizes = list[int]()
    for n in range(10, 2_000):
        for job_id in (f"a{n}", f"b{n}"):
            queue.add(job_id, community=n, person=n)
        queue.add(f"stays{n}", community=n % 2, person=n % 10)
        queue.remove(f"b{n}")
        queue.take()
        queue.take()
        sizes.append(len(pickle.dumps(queue.__dict__)))
    assert max(sizes[1_000:]) <= 2 * max(sizes[:500])


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


@given(STEPS)
def test_whatever_happened_nobody_waits_for_more_than_two_turns_of_the_others(
    steps: list[Step],
) -> None:
    queue, whose, next_of = FairQueue(), dict[str, tuple[int, int]](), dict[int, str]()
    for n, (what, guild, user, _, _) in enumerate(steps):
        if what == "take" and whose:
            del whose[queue.take()]
        elif what == "remove" and whose:
            job_id = list(whose)[n % len(whose)]
            assert queue.remove(job_id)
            del whose[job_id]
        else:
            queue.add(str(n), community=guild, person=user)
            whose[str(n)] = guild, user
    for job_id, (_, user) in whose.items():
        next_of.setdefault(user, job_id)
    places = queue.places()
    people = len(next_of)
    communities = len({whose[job_id][0] for job_id in next_of.values()})
    assert all(places[job_id] <= 2 * communities * people for job_id in next_of.values())


@given(
    communities_of=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    route=st.lists(st.integers(0, 4), min_size=1, max_size=10),
)
def test_asking_in_many_places_gets_no_more_than_asking_in_the_best(
    communities_of: list[int], route: list[int]
) -> None:
    """Others wait all along, each in one place; who goes along the route gets no more turns than
    they could in one of its places, or than the one of the others who gets most."""

    def shared(asked_in: list[int]) -> Counter[str]:
        jobs = [(f"e/{n}", asked_in[n % len(asked_in)], 0) for n in range(60)]
        for other, community in enumerate(communities_of, start=1):
            jobs += [(f"{other}/{n}", community, other) for n in range(60)]
        return turns(filled(*jobs), 60)

    taken = shared(route)
    best = max(shared([community])["e"] for community in set(route))
    most = max(taken[str(other)] for other in range(1, len(communities_of) + 1))
    assert taken["e"] <= max(best, most) + 1


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


Modelled = tuple[int, int, str]  # community, person, model
MODELLED = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.sampled_from("AB")), max_size=60
)


def modelled(jobs: list[Modelled], *, told: bool = True) -> FairQueue:
    queue = FairQueue()
    for n, (guild, user, model) in enumerate(jobs):
        queue.add(f"{n}", community=guild, person=user, model=model if told else None)
    return queue


def switches(jobs: list[Modelled], order: list[str]) -> int:
    models = [jobs[int(job_id)][2] for job_id in order]
    return sum(one != other for one, other in pairwise(models))


def test_two_models_that_are_asked_for_in_turn_are_seldom_swapped() -> None:
    jobs = [(1, user, "AB"[user % 2]) for user in range(8)] * 10
    assert switches(jobs, drained(modelled(jobs, told=False))) == 79
    assert switches(jobs, drained(modelled(jobs))) == 10


def test_one_who_wants_another_model_waits_for_four_that_pass_and_no_more() -> None:
    crowd = [(1, user, "A") for user in range(2, 8)] * 20
    queue = modelled([(1, 2, "A"), (1, 1, "B"), *crowd])
    assert drained(queue).index("1") == 5


def test_who_comes_all_the_time_for_the_model_that_is_there_starves_nobody() -> None:
    queue = modelled([(1, 0, "A"), (1, 1, "B"), (2, 2, "B")])
    taken = list[str]()
    for n in range(100, 140):
        queue.add(f"{n}", community=n % 2 + 1, person=n, model="A")
        taken.append(queue.take())
    assert taken.index("1") <= 10
    assert taken.index("2") <= 15


def test_who_passes_pays_for_it() -> None:
    jobs = [(1, 1, "A"), (1, 2, "B")] * 40
    taken = drained(modelled(jobs))
    for end in range(10, 70, 10):
        mine = sum(jobs[int(job_id)][1] == 1 for job_id in taken[:end])
        assert abs(2 * mine - end) <= 6


@given(MODELLED)
def test_with_one_model_nobody_passes(jobs: list[Modelled]) -> None:
    alike = [(guild, user, "A") for guild, user, _ in jobs]
    assert drained(modelled(alike)) == drained(modelled(jobs, told=False))


@given(MODELLED)
def test_models_change_no_order_of_one_persons_jobs_and_lose_none(jobs: list[Modelled]) -> None:
    queue = modelled(jobs)
    foretold = list(queue.places())
    taken = drained(queue)
    assert taken == foretold
    assert sorted(taken, key=int) == [f"{n}" for n in range(len(jobs))]
    for user in range(1, 7):
        own = [int(job_id) for job_id in taken if jobs[int(job_id)][1] == user]
        assert own == sorted(own)


@given(MODELLED)
def test_models_make_nobody_wait_more_than_five_times_two_turns(jobs: list[Modelled]) -> None:
    places = modelled(jobs).places()
    communities, people = (len({job[kind] for job in jobs}) for kind in (0, 1))
    for user in range(1, 7):
        own = [f"{n}" for n, job in enumerate(jobs) if job[1] == user]
        assert not own or places[own[0]] <= 5 * 2 * communities * people


@example([(2, "A")] * 5 + [(1, "B")] + [(2, "B")] * 4 + [(1, "A")] * 2)
@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from("AB")), min_size=10, max_size=120))
def test_whatever_model_they_want_no_two_who_both_wait_are_far_apart(
    jobs: list[tuple[int, str]],
) -> None:
    """What two got differs by at most a job each and those that passed."""
    queue, left = FairQueue(), Counter[int]()
    for n, (user, model) in enumerate(jobs):
        queue.add(f"{user}/{n}", community=1, person=user, model=model)
        left[user] += 1
    got = dict.fromkeys(left, 0)
    while queue:
        user = int(queue.take().split("/")[0])
        got[user] += 1
        left[user] -= 1
        waiting = [got[one] for one in left if left[one]]
        assert not waiting or max(waiting) - min(waiting) <= 2 + 4
