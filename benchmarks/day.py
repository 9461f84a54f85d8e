"""How long do people wait in a day of 10,000 servers and 50 engines, by the size of their server?

    .venv/bin/python benchmarks/day.py [--servers 10000] [--engines 50] [--busy 0.8] [--seed 1]

The real turns, over a day that takes half a minute, and the same day first come, first served. How
many people a server has who draw that day is spread as such sizes are (Pareto, exponent 1.1): most
have a few, the largest thousands. Each of them comes once or more, at an hour that follows a wave
over the day, and asks for some drawings, each soon after the last; one in a hundred asks for all of
it at once. A typical drawing takes 8 s; a fifth take two and a half times as long. Who has as many
under way as the configuration allows asks for no more.

busy  what all of it would keep the engines busy for, of the whole day: more than all of them at its
      busiest hour, where it is above 0.63
"""

import argparse
import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final, Protocol

from bot.config.sections import LimitsConfig
from bot.core.queue.turns import Entry, Turn, Turns

DAY_S: Final = 86_400.0
DRAWING_S: Final = 8.0
COSTS: Final = (1.0, 1.0, 1.0, 1.0, 2.5)
WAVE: Final = 0.6  # the busiest hour is so much above the mean
EXPONENT: Final = 1.1
MOST_PEOPLE: Final = 20_000
BETWEEN_S: Final = 45.0
AT_ONCE: Final = 0.01
CLASSES: Final = ((1, "1 to 9"), (10, "10 to 99"), (100, "100 to 999"), (1_000, "1,000 and more"))


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody comes to draw, `left` times."""

    server: int
    person: int
    left: int
    at_once: bool


class Dispatch(Protocol):
    """Who is drawn next."""

    def add(self, entry: Entry) -> None:
        """Let it wait."""

    def give(self) -> Turn | None:
        """The next, on an engine that is free."""

    def over(self, job_id: str) -> None:
        """Its engine is free."""


@dataclass
class InOrder:
    """First come, first served."""

    free: list[str]
    waiting: deque[str] = field(default_factory=deque)
    where: dict[str, str] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """At the end."""
        self.waiting.append(entry.job_id)

    def give(self) -> Turn | None:
        """From the front."""
        if not self.waiting or not self.free:
            return None
        turn = Turn(self.waiting.popleft(), self.free.pop())
        self.where[turn.job_id] = turn.engine
        return turn

    def over(self, job_id: str) -> None:
        """As it says."""
        self.free.append(self.where.pop(job_id))


def sizes_of(servers: int, chance: random.Random) -> list[int]:
    """How many people of each draw that day."""
    return [min(MOST_PEOPLE, int(chance.paretovariate(EXPONENT))) for _ in range(servers)]


def hour_of(chance: random.Random) -> float:
    """When somebody comes, in seconds of the day: by rejection from the wave."""
    while True:
        at_s = chance.uniform(0, DAY_S)
        wave = 1 + WAVE * math.sin(2 * math.pi * at_s / DAY_S)
        if chance.uniform(0, 1 + WAVE) < wave:
            return at_s


def visits(sizes: list[int], drawings: int, chance: random.Random) -> Iterator[tuple[float, Visit]]:
    """Everybody of the day, until so many drawings are asked for."""
    people = [(server, person) for server, size in enumerate(sizes) for person in range(size)]
    while drawings > 0:
        server, person = chance.choice(people)
        left = min(1 + int(chance.expovariate(1 / 5)), 40)
        drawings -= left
        yield hour_of(chance), Visit(server, person, left, chance.random() < AT_ONCE)


@dataclass
class Day:
    """What a day came to.

    waits_s  from asked for to begun, of each server
    refused  what was more than its person may have under way
    """

    waits_s: dict[int, list[float]] = field(default_factory=dict)
    refused: int = 0
    busiest: int = 0

    def live(
        self, dispatch: Dispatch, coming: list[tuple[float, Visit]], seed: int, now: "Now"
    ) -> None:
        """Let it pass, to its last drawing."""
        chance = random.Random(seed)  # noqa: S311 - a crowd, no secret
        most = LimitsConfig().user_active
        events: list[tuple[float, int, Visit | str]] = [
            (at_s, n, visit) for n, (at_s, visit) in enumerate(coming)
        ]
        heapq.heapify(events)
        number, waiting = len(events), 0
        asked: dict[str, tuple[float, Visit, float]] = {}
        under_way = Counter[tuple[int, int]]()
        while events:
            now.s, _, event = heapq.heappop(events)
            if isinstance(event, Visit):
                times = event.left if event.at_once else 1
                who = event.server, event.person
                for _ in range(times):
                    if under_way[who] >= most:
                        self.refused += 1
                        continue
                    number += 1
                    under_way[who] += 1
                    waiting += 1
                    job_id, cost = str(number), chance.choice(COSTS)
                    asked[job_id] = now.s, event, cost
                    dispatch.add(Entry(job_id, event.server, who, cost=cost))
                if event.left > times:
                    number += 1
                    later = Visit(event.server, event.person, event.left - times, event.at_once)
                    heapq.heappush(
                        events, (now.s + chance.expovariate(1 / BETWEEN_S), number, later)
                    )
            else:
                dispatch.over(event)
                _, visit, _ = asked.pop(event)
                under_way[visit.server, visit.person] -= 1
            while (turn := dispatch.give()) is not None:
                at_s, visit, cost = asked[turn.job_id]
                waiting -= 1
                self.waits_s.setdefault(visit.server, []).append(now.s - at_s)
                number += 1
                heapq.heappush(events, (now.s + DRAWING_S * cost, number, turn.job_id))
            self.busiest = max(self.busiest, waiting)

    def of_sizes(self, sizes: list[int], least: int, below: float) -> list[float]:
        """The waits of all servers of a class."""
        return [
            wait_s
            for server, waits_s in self.waits_s.items()
            if least <= sizes[server] < below
            for wait_s in waits_s
        ]


@dataclass
class Now:
    """The day's clock."""

    s: float = 0.0

    def __call__(self) -> float:
        """Seconds since midnight."""
        return self.s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=10_000)
    parser.add_argument("--engines", type=int, default=50)
    parser.add_argument("--busy", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)  # noqa: S311 - as above
    sizes = sizes_of(asked.servers, chance)
    mean_s = DRAWING_S * sum(COSTS) / len(COSTS)
    drawings = int(asked.busy * asked.engines * DAY_S / mean_s)
    coming = list(visits(sizes, drawings, chance))
    names = [str(n) for n in range(asked.engines)]
    fair, in_order = Day(), Day()
    now = Now()
    turns = Turns(now)
    for name in names:
        turns.join(name)
    fair.live(turns, coming, asked.seed, now)
    in_order.live(InOrder(list(names)), coming, asked.seed, Now())
    print(
        f"{asked.servers} servers of 1 to {max(sizes)} people, {drawings} drawings, "
        f"{asked.engines} engines, busy for {asked.busy:.0%} of the day; most that wait at once: "
        f"{fair.busiest}, in order {in_order.busiest}; refused {fair.refused}, {in_order.refused}"
    )
    print(f"\n{'':16}{'':>9} {'fair turns, s':^27}   {'first come first served, s':^27}")
    head = "".join(f"{what:>9}" for what in ("half", "95 %", "99 %"))
    print(f"{'server, people':<16}{'drawings':>9} {head}   {head}")
    for (least, what), after in zip(CLASSES, [*CLASSES[1:], (math.inf, "")], strict=True):
        columns = []
        for day in (fair, in_order):
            waits_s = day.of_sizes(sizes, least, after[0])
            cuts = quantiles(waits_s, n=100) if len(waits_s) > 1 else 99 * [math.nan]
            columns.append("".join(f"{s:>9.0f}" for s in (cuts[49], cuts[94], cuts[98])))
        print(
            f"{what:<16}{len(fair.of_sizes(sizes, least, after[0])):>9} {columns[0]}   {columns[1]}"
        )


if __name__ == "__main__":
    main()
