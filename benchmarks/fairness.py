"""How long do people wait while one of them has forty jobs waiting?

    .venv/bin/python benchmarks/fairness.py [--crowds 200]

Ten people of two servers and one who asks for forty at once, an engine that takes ten seconds a
typical job, and the real scheduler; beside it the same crowd in a plain queue. A place is a job
that was begun between asking and being begun.
"""

import argparse
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean

from bot.core.queue.fairness import FairQueue

SECONDS_A_JOB = 10.0
HOG = 0
GUILDS = {HOG: 1, **{user: 1 + user % 2 for user in range(1, 11)}}


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


if __name__ == "__main__":
    main()
