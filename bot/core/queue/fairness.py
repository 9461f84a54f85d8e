"""Who is drawn next: fair among communities, and in each community among its people.

Start-time fair queueing (Goyal, Vin and Cheng 1996, "Start-time Fair Queuing: A Scheduling
Algorithm for Integrated Services Packet Switching Networks", section 2), once for the
communities and once for the people of each. A flow that has waiting jobs carries a start tag. The
least one is served, and its tag moves on by the job's cost over the flow's weight. A flow that
comes back is tagged with the tag last served, or where it left off if that is further: so one who
was away claims nothing for that time, and one with forty jobs is served as often as one with two.
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
F = TypeVar("F")

_COMMUNITY_WEIGHT: Final = 1.0


class _Tags(Generic[K, F]):
    """The flows of one level that have something waiting, the one to be served first in front.

    Entries that were dropped stay in the heap until they come up.
    """

    def __init__(self) -> None:
        self.flows: dict[K, F] = {}
        self._virtual = 0.0
        self._entries: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._finished: dict[K, float] = {}  # of flows that left, while it is ahead of the others
        self._order = itertools.count()

    def copy(self) -> "_Tags[K, F]":
        """The same tags and no flows."""
        twin: _Tags[K, F] = _Tags()
        twin._virtual = self._virtual
        twin._entries = dict(self._entries)
        twin._heap = list(self._heap)
        twin._finished = dict(self._finished)
        twin._order = itertools.count(next(self._order))
        return twin

    def enter(self, key: K, flow: F) -> None:
        self.flows[key] = flow
        self._tag(key, max(self._virtual, self._finished.pop(key, 0.0)))

    def first(self) -> K:
        while (entry := self._heap[0])[:2] != self._entries.get(entry[2]):
            heapq.heappop(self._heap)
        return entry[2]

    def serve(self, key: K, share: float, *, stays: bool) -> None:
        """`key` came first; it took `share` and has more waiting, or leaves."""
        start = self._entries[key][0]
        self._virtual = start
        if stays:
            self._tag(key, start + share)
        else:
            self.drop(key)
            self._finished[key] = start + share
        if len(self._finished) > 2 * len(self.flows) + 64:
            self._finished = {k: tag for k, tag in self._finished.items() if tag > self._virtual}

    def drop(self, key: K) -> None:
        """Nothing of it waits any more."""
        start, _ = self._entries.pop(key)
        del self.flows[key]
        if start > self._virtual:
            self._finished[key] = start

    def _tag(self, key: K, start: float) -> None:
        order = next(self._order)
        self._entries[key] = (start, order)
        heapq.heappush(self._heap, (start, order, key))


class _Flow:
    """One person's waiting jobs, the first asked for first, each with its cost."""

    def __init__(self) -> None:
        self.jobs: OrderedDict[str, float] = OrderedDict()
        self.weight = 1.0


_People = _Tags[Hashable, _Flow]


class FairQueue:
    """Who is drawn next."""

    def __init__(self) -> None:
        self._communities: _Tags[Hashable, _People] = _Tags()
        self._whose: dict[str, tuple[Hashable, Hashable]] = {}
        self._places: dict[str, int] | None = None

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
    ) -> None:
        """Let a job wait.

        cost    what it takes, in typical jobs
        weight  of this person from now on: twice the weight is twice the share
        """
        if community not in self._communities.flows:
            self._communities.enter(community, _Tags())
        people = self._communities.flows[community]
        if person not in people.flows:
            people.enter(person, _Flow())
        flow = people.flows[person]
        flow.weight = weight
        flow.jobs[job_id] = cost
        self._whose[job_id] = community, person
        self._places = None

    def set_cost(self, job_id: str, cost: float) -> None:
        """A job that waits takes more or less than was known."""
        community, person = self._whose[job_id]
        self._communities.flows[community].flows[person].jobs[job_id] = cost
        self._places = None

    def take(self) -> str:
        """The next job, and it waits no more; raises IndexError if none waits."""
        community = self._communities.first()
        people = self._communities.flows[community]
        person = people.first()
        flow = people.flows[person]
        job_id, cost = flow.jobs.popitem(last=False)
        people.serve(person, cost / flow.weight, stays=bool(flow.jobs))
        self._communities.serve(community, cost / _COMMUNITY_WEIGHT, stays=bool(people.flows))
        del self._whose[job_id]
        self._places = None
        return job_id

    def remove(self, job_id: str) -> bool:
        """Take a job out, wherever it stands; returns whether it was there."""
        if job_id not in self._whose:
            return False
        community, person = self._whose.pop(job_id)
        people = self._communities.flows[community]
        flow = people.flows[person]
        del flow.jobs[job_id]
        if not flow.jobs:
            people.drop(person)
        if not people.flows:
            self._communities.drop(community)
        self._places = None
        return True

    def places(self) -> dict[str, int]:
        """The place of each waiting job, 1 for the next, if nobody else came; in that order."""
        if self._places is None:
            self._places = {job_id: n for n, job_id in enumerate(self._rehearse(), start=1)}
        return self._places

    def _rehearse(self) -> list[str]:
        """The order in which the jobs would be taken."""
        twin = FairQueue()
        twin._communities = self._communities.copy()
        for community, people in self._communities.flows.items():
            copied = people.copy()
            for person, flow in people.flows.items():
                copied.flows[person] = double = _Flow()
                double.weight = flow.weight
                double.jobs = flow.jobs.copy()
            twin._communities.flows[community] = copied
        twin._whose = dict(self._whose)
        return [twin.take() for _ in range(len(self))]
