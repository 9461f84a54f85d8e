"""Who is drawn next: fair among communities, and in each community among its people.

Start-time fair queueing (Goyal, Vin and Cheng 1996, "Start-time Fair Queuing: A Scheduling
Algorithm for Integrated Services Packet Switching Networks", section 2), once for the
communities and once for the people of each. A flow that has waiting jobs carries a start tag. The
least one is served, and its tag moves on by the job's cost over the flow's weight. A flow that
comes back is tagged with the tag last served, or where it left off if that is further: so one who
was away claims nothing for that time, and one with forty jobs is served as often as one with two.

A person is one over all communities. Their jobs are drawn in the order in which they were asked
for, and the person waits in one community at a time, that of their next job. What they got in the
last one is not forgotten in the next: what is left of it, in turns of the people there, they wait
in the new one too, and a community where they are first has its turn no earlier than one of their
own would have. So one who asks in ten servers is drawn as often as one who asks in one.

Jobs are drawn with models, and to bring another one onto the device takes seconds. So where the one
whose turn it is wants another, somebody who comes soon after and wants the one that is there goes
first, but after four of these it is the turn of the first all the same: nobody waits more than five
times as long as they would. Who goes first pays for it as in their own turn, and virtual time goes
no further than to the tag of the one whose turn it is. Who is four jobs ahead goes first no more:
nobody's share grows by the models that they ask for.
"""

import heapq
from collections import OrderedDict
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field, replace
from typing import Final, Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

_FEW: Final = 64  # this many that are gone are not worth a sweep
_MOST_PASSING: Final = 4  # in a row, for the sake of the model that is there
_LAST: Final = object()
_LOOKED_AT: Final = 8  # communities, and people in each, among whom one is looked for that may pass


class _Tags(Generic[K]):
    """The start tags of the flows that have something waiting, the least in front.

    Entries that were dropped stay in the heap until they come up, or outnumber the others.
    now  the tag last served
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._entries: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._entries)

    def ahead(self, key: K) -> float:
        """How far one that waits is ahead of the first."""
        return self._entries[key][0] - self.least()

    def copy(self) -> "_Tags[K]":
        twin: _Tags[K] = _Tags()
        twin.now = self.now
        twin._entries = self._entries.copy()
        twin._heap = self._heap.copy()
        twin._order = self._order
        return twin

    def put(self, key: K, tag: float) -> None:
        """Let it wait under this tag; behind others with the same, unless it has it already."""
        if key in self._entries and self._entries[key][0] == tag:
            return
        self._order += 1
        self._entries[key] = tag, self._order
        heapq.heappush(self._heap, (tag, self._order, key))
        if len(self._heap) > 2 * len(self._entries) + _FEW:
            self._heap = [(*entry, key) for key, entry in self._entries.items()]
            heapq.heapify(self._heap)

    def first(self) -> K:
        while (entry := self._heap[0])[:2] != self._entries.get(entry[2]):
            heapq.heappop(self._heap)
        return entry[2]

    def few(self, most: int) -> list[K]:
        """The first ones, in order."""
        found = list[tuple[float, int, K]]()
        while self._heap and len(found) < most:
            entry = heapq.heappop(self._heap)
            if entry[:2] == self._entries.get(entry[2]):
                found.append(entry)
        for entry in found:
            heapq.heappush(self._heap, entry)
        return [key for _, _, key in found]

    def least(self) -> float:
        """The first one's tag; the one last served if none waits."""
        return self._entries[self.first()][0] if self._entries else self.now

    def serve(self, key: K) -> float:
        """It leaves; returns its tag. If it was not the first, time goes only so far as that."""
        tag, _ = self._entries.pop(key)
        self.now = min(tag, self.least()) if self._entries else tag
        return tag

    def drop(self, key: K) -> None:
        """Nothing of it waits any more."""
        self._entries.pop(key, None)


class _Asked(NamedTuple):
    """A waiting job."""

    community: Hashable
    cost: float
    weight: float
    model: Hashable


@dataclass(slots=True)
class _Person:
    """Somebody who waits, or who was served a moment ago.

    jobs       theirs, the first asked for first
    community  where they wait or, without jobs, were served last
    tag        among its people: where they start or, without jobs, left off
    reached    where a community would be that had got what they got last
    """

    community: Hashable
    jobs: OrderedDict[str, _Asked] = field(default_factory=OrderedDict)
    tag: float = 0.0
    reached: float = 0.0


@dataclass(slots=True)
class _Community:
    """Somewhere people wait, or were served a moment ago.

    tag       among the communities: where it left off
    furthest  of the tags that its people had
    """

    people: _Tags[Hashable] = field(default_factory=_Tags)
    tag: float = 0.0
    furthest: float = 0.0


class FairQueue:
    """Who is drawn next."""

    def __init__(self) -> None:
        self._tags: _Tags[Hashable] = _Tags()
        self._communities: dict[Hashable, _Community] = {}
        self._people: dict[Hashable, _Person] = {}
        self._whose: dict[str, Hashable] = {}
        self._places: dict[str, int] | None = None
        self._sweep_at = _FEW
        self._model: Hashable = None  # of the job that was taken last
        self._passing = 0  # how many have passed the one whose turn it is

    def __len__(self) -> int:
        return len(self._whose)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._whose

    def add(
        self,
        job_id: str,
        *,
        community: Hashable,
        person: Hashable,
        cost: float = 1.0,
        weight: float = 1.0,
        model: Hashable = None,
    ) -> None:
        """Let a job wait.

        cost    what it takes, in typical jobs
        weight  of this person in this community: twice the weight is twice the share of it
        model   what it is drawn with
        """
        if person not in self._people:
            self._people[person] = _Person(community)
        one = self._people[person]
        one.jobs[job_id] = _Asked(community, cost, weight, model)
        self._whose[job_id] = person
        if len(one.jobs) == 1:
            self._stand(person)
        self._places = None

    def set_cost(self, job_id: str, cost: float) -> None:
        """A job that waits takes more or less than was known."""
        jobs = self._people[self._whose[job_id]].jobs
        jobs[job_id] = jobs[job_id]._replace(cost=cost)
        self._places = None

    def take(self, warm: Hashable = _LAST, models: Collection[Hashable] | None = None) -> str:
        """The next job, and it waits no more; raises IndexError if none may be taken.

        warm    the model on the device that is free; without it that of the job taken last
        models  those that can be drawn there; None: all
        """
        community, person = self._next(self._model if warm is _LAST else warm, models)
        here = self._communities[community]
        one = self._people[person]
        job_id, asked = one.jobs.popitem(last=False)
        here.tag = one.reached = self._tags.serve(community) + asked.cost
        one.tag = here.people.serve(person) + asked.cost / asked.weight
        here.furthest = max(here.furthest, one.tag)
        self._settle(community)
        if one.jobs:
            self._stand(person)
        del self._whose[job_id]
        self._model = asked.model
        self._places = None
        self._sweep()
        return job_id

    def remove(self, job_id: str) -> bool:
        """Take a job out, wherever it stands; returns whether it was there."""
        if job_id not in self._whose:
            return False
        person = self._whose.pop(job_id)
        one = self._people[person]
        del one.jobs[job_id]
        community = one.community
        if not one.jobs or _next_of(one).community != community:
            self._communities[community].people.drop(person)
            if one.jobs:
                self._stand(person)
            self._settle(community)
        self._places = None
        self._sweep()
        return True

    def places(self) -> dict[str, int]:
        """The place of each waiting job, 1 for the next, if nobody else came; in that order."""
        if self._places is None:
            self._places = {job_id: n for n, job_id in enumerate(self._rehearse(), start=1)}
        return self._places

    def _next(
        self, warm: Hashable, models: Collection[Hashable] | None
    ) -> tuple[Hashable, Hashable]:
        """The community and the person who are served now."""
        whose_turn = self._first_of(models)
        passing = None
        is_there = models is None or warm in models  # or the device has drawn nothing yet
        if is_there and self._passing < _MOST_PASSING and self._wants(whose_turn[1]) != warm:
            passing = next(
                (
                    (community, person)
                    for community in self._tags.few(_LOOKED_AT)
                    if self._tags.ahead(community) < _MOST_PASSING
                    for person in self._communities[community].people.few(_LOOKED_AT)
                    if self._communities[community].people.ahead(person) < _MOST_PASSING
                    and self._wants(person) == warm
                ),
                None,
            )
        self._passing = self._passing + 1 if passing else 0
        return passing or whose_turn

    def _first_of(self, models: Collection[Hashable] | None) -> tuple[Hashable, Hashable]:
        """Whose turn it is among those who wait for one of these models."""
        if models is None:
            community = self._tags.first()
            return community, self._communities[community].people.first()
        for community in self._tags.few(len(self._tags)):
            people = self._communities[community].people
            for person in people.few(len(people)):
                if self._wants(person) in models:
                    return community, person
        raise IndexError("Nobody waits for these.")

    def _wants(self, person: Hashable) -> Hashable:
        """The model that somebody's next job is drawn with."""
        return _next_of(self._people[person]).model

    def _stand(self, person: Hashable) -> None:
        """Let a person wait where their next job was asked for."""
        one = self._people[person]
        community = _next_of(one).community
        here = self._communities.setdefault(community, _Community())
        if not self._counts(here):  # what its people owed is settled, for good
            here.people.now = here.furthest
        owed = self._owed(one)
        if not owed:
            one.tag = here.people.now
        elif community != one.community:  # everybody there is served once before that counts down
            one.tag = here.people.least() + owed
        one.community = community
        here.furthest = max(here.furthest, one.tag)
        here.people.put(person, one.tag)
        self._settle(community)

    def _settle(self, community: Hashable) -> None:
        """Tag a community by what it got and by what its first person got elsewhere."""
        here = self._communities[community]
        if here.people:
            reached = self._people[here.people.first()].reached
            self._tags.put(community, max(here.tag, self._tags.now, reached))
        else:
            self._tags.drop(community)

    def _owed(self, one: _Person) -> float:
        """How far somebody is ahead of the people among whom they waited last; 0 if those and
        their community have caught up.
        """
        there = self._communities[one.community]
        if not self._counts(there):
            return 0.0
        return max(0.0, one.tag - there.people.now)

    def _counts(self, there: _Community) -> bool:
        """Whether anybody waits in a community, or the others have not caught up with it."""
        return bool(there.people) or there.tag > self._tags.now

    def _sweep(self) -> None:
        """Forget who has nothing waiting and owes nothing, when they are many."""
        if len(self._people) + len(self._communities) <= self._sweep_at:
            return
        self._people = {
            key: one for key, one in self._people.items() if one.jobs or self._owed(one)
        }
        self._communities = {
            key: there for key, there in self._communities.items() if self._counts(there)
        }
        self._sweep_at = 2 * (len(self._people) + len(self._communities)) + _FEW

    def _rehearse(self) -> list[str]:
        """The order in which the jobs would be taken."""
        twin = FairQueue()
        twin._tags = self._tags.copy()
        twin._communities = {
            key: replace(there, people=there.people.copy())
            for key, there in self._communities.items()
        }
        twin._people = {
            key: replace(one, jobs=one.jobs.copy()) for key, one in self._people.items()
        }
        twin._whose = dict(self._whose)
        twin._model, twin._passing = self._model, self._passing
        return [twin.take() for _ in range(len(self))]


def _next_of(one: _Person) -> _Asked:
    return next(iter(one.jobs.values()))
