"""How long do people wait while one of them has forty jobs waiting? And who has the turns?

    .venv/bin/python benchmarks/fairness.py [--crowds 200]

Ten people of two servers and one who asks for forty at once, an engine that takes ten seconds a
typical job, and the real scheduler; beside it the same crowd in a plain queue. A place is a job
that was begun between asking and being begun. Then the turns of some and of others who ask for two
pictures each everywhere they are, in the real queue: of one person in ten servers and ten people in
an eleventh, and of ten people in private messages and ten people in one server.
"""

import argparse
import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean

from bot.core.job import Job, Origin, Person, Venue, new_job_id
from bot.core.queue.fairness import FairQueue
from bot.core.queue.waiting import JobQueue
from bot.core.wish import Usual, Wish

SECONDS_A_JOB = 10.0
HOG = 0
GUILDS = {HOG: 1, **{user: 1 + user % 2 for user in range(1, 11)}}
TURNS = 22
WISH = Wish("a circle").settled(Usual())


@dataclass(frozen=True)
class Asked:
    """One request; `cost` in typical jobs."""

    job_id: str
    user: int
    at_s: float
    cost: float


class PlainLine:
    """First come, first served."""

    def __init__(self) -> None:
        self._jobs: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job_id: str, **_: object) -> None:
        """At the end."""
        self._jobs.append(job_id)

    def take(self) -> str:
        """From the front."""
        return self._jobs.popleft()


Line = FairQueue | PlainLine


def crowd(chance: random.Random) -> list[Asked]:
    """Forty at once of one; of each of the others one now and then within the first minutes."""
    asked = [Asked(f"{HOG}/{n}", HOG, 0.0, 1.0) for n in range(40)]
    for user in range(1, 11):
        at_s = 0.0
        for n in range(3):
            at_s += chance.expovariate(1 / 60)
            asked.append(Asked(f"{user}/{n}", user, at_s, chance.choice([1.0, 1.0, 2.5])))
    return sorted(asked, key=lambda one: one.at_s)


def begun(line: Line, asked: list[Asked]) -> Iterator[tuple[Asked, float, int]]:
    """Each job as it is begun: when, and how many were begun since it was asked for."""
    by_id = {one.job_id: one for one in asked}
    coming, now_s, count = deque(asked), 0.0, 0
    counted: dict[str, int] = {}
    while coming or len(line):
        if not len(line):
            now_s = max(now_s, coming[0].at_s)
        while coming and coming[0].at_s <= now_s:
            one = coming.popleft()
            line.add(one.job_id, community=GUILDS[one.user], person=one.user, cost=one.cost)
            counted[one.job_id] = count
        one = by_id[line.take()]
        yield one, now_s, count - counted[one.job_id]
        count += 1
        now_s += SECONDS_A_JOB * one.cost


def measure(make: Callable[[], Line], seeds: range) -> dict[str, list[float]]:
    """Over many crowds: the others' places and waits, of their first jobs and of all; the hog's."""
    found: dict[str, list[float]] = {key: [] for key in ("first", "first_s", "any_s", "hog_s")}
    for seed in seeds:
        for one, at_s, places in begun(make(), crowd(random.Random(seed))):  # noqa: S311 - a crowd, no secret
            if one.user == HOG:
                found["hog_s"].append(at_s - one.at_s)
                continue
            found["any_s"].append(at_s - one.at_s)
            if one.job_id.endswith("/0"):
                found["first"].append(places)
                found["first_s"].append(at_s - one.at_s)
    return found


def make_job(who: str, community: str | None) -> Job:
    """What somebody asks for in a server, or in private."""
    return Job(
        id=new_job_id(),
        wish=WISH,
        person=Person("village", who, who),
        origin=Origin(Venue("village", community, "1"), "1", None, "", 2**20),
        weight=1.0,
        asked_at_s=0.0,
    )


async def turns(jobs: list[Job], some: set[str]) -> tuple[int, int]:
    """How many of the first turns some people have: in a plain queue, and in the real one."""
    queue = JobQueue()
    for job in jobs:
        queue.add(job)
    fair: list[Job] = []
    while len(fair) < TURNS and (taken := await queue.take()) is not None:
        fair.append(taken.job)
        queue.over(taken.job.id)
    plain, real = (Counter(job.person.id in some for job in line[:TURNS]) for line in (jobs, fair))
    return plain[True], real[True]


def print_turns() -> None:
    """The table of places: who is in many, and who is in none."""
    in_one = [(f"other{n}", "eleventh") for n in range(10)]
    in_ten = [("one", f"server{n}") for n in range(10)]
    in_private = [(f"private{n}", None) for n in range(10)]
    print(f"\nof the first {TURNS} turns  {'plain queue':>12} {'fair':>8}")
    for what, some in (
        ("of one person in ten servers", in_ten),
        ("of ten people in private messages", in_private),
    ):
        jobs = [make_job(*asked) for asked in 2 * [*some, *in_one]]
        plain, fair = asyncio.run(turns(jobs, {who for who, _ in some}))
        print(f"{what:<34} {plain:>8} {fair:>8}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--crowds", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{arguments.crowds} crowds     {'plain queue':>12} {'fair':>8}")
    plain, fair = (measure(make, range(arguments.crowds)) for make in (PlainLine, FairQueue))
    rows: list[tuple[str, str, Callable[[list[float]], float]]] = [
        ("others' first job, places, mean", "first", mean),
        ("others' first job, places, most", "first", max),
        ("others' first job, s, mean", "first_s", mean),
        ("others' any job, s, mean", "any_s", mean),
        ("the forty, s, mean", "hog_s", mean),
        ("the last of the forty, s", "hog_s", max),
    ]
    for what, key, of in rows:
        print(f"{what:<34} {of(plain[key]):>8.1f} {of(fair[key]):>8.1f}")
    print_turns()


if __name__ == "__main__":
    main()
