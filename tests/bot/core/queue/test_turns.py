"""Turns on several engines: which job, on which of them, when."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.core.queue.turns import Entry, Position, Turn, Turns
from standins.base.timers import ManualClock


def entry(job_id: str, *, model: str | None = None, alone: bool = False, work: int = 0) -> Entry:
    """A person's job; its id begins with the person, and with the community before that."""
    return Entry(job_id, job_id[0], job_id[:2], model=model, alone=alone, work=work)


def turns_of(*engines: str, clock: ManualClock | None = None) -> Turns:
    turns = Turns(clock or ManualClock())
    for engine in engines:
        turns.join(engine)
    return turns


def given_now(turns: Turns) -> list[tuple[str, str]]:
    """All turns that there are."""
    found = []
    while (turn := turns.give()) is not None:
        found.append((turn.job_id, turn.engine))
    return found


def test_each_engine_has_one_job_and_gets_the_next_when_it_is_free() -> None:
    turns = turns_of("one", "two")
    for job_id in ("a1", "b1", "c1", "d1"):
        turns.add(entry(job_id))
    assert given_now(turns) == [("a1", "one"), ("b1", "two")]
    turns.finish("b1", drawn=True)
    assert given_now(turns) == [("c1", "two")]
    turns.over("a1")
    assert given_now(turns) == [("d1", "one")]
    assert turns.load.waiting == 0


def test_who_is_served_is_fair_over_all_engines() -> None:
    turns = turns_of("one", "two", "three")
    for n in range(30):
        turns.add(entry(f"a1/{n}"))
    for n in range(6):
        turns.add(entry(f"b1/{n}"))
    taken = Counter[str]()
    for _ in range(4):
        for job_id, _ in given_now(turns):
            taken[job_id[0]] += 1
            turns.over(job_id)
    assert taken["b"] == 6


def test_an_engine_draws_with_the_models_it_has() -> None:
    turns = Turns(ManualClock())
    turns.join("small", {None, "s"})
    turns.join("large", {"l"})
    for job_id, model in (("a1", "l"), ("b1", "l"), ("c1", "s"), ("d1", None)):
        turns.add(entry(job_id, model=model))
    assert given_now(turns) == [("d1", "small"), ("a1", "large")]
    turns.over("d1")
    assert given_now(turns) == [("c1", "small")]
    turns.over("c1")
    assert given_now(turns) == []
    turns.over("a1")
    assert given_now(turns) == [("b1", "large")]


def test_an_engine_goes_on_with_the_model_that_it_has_on_its_device() -> None:
    turns = turns_of("one", "two")
    for job_id, model in (("a1", "x"), ("b1", "y"), ("c1", "x"), ("d1", "y")):
        turns.add(entry(job_id, model=model))
    assert given_now(turns) == [("a1", "one"), ("b1", "two")]
    turns.over("b1")
    assert given_now(turns) == [("d1", "two")]
    turns.over("a1")
    assert given_now(turns) == [("c1", "one")]


def test_a_suspect_is_drawn_alone_on_its_engine_and_holds_up_no_other() -> None:
    turns = turns_of("one", "two")
    turns.add(entry("a1"))
    assert given_now(turns) == [("a1", "one")]
    turns.finish("a1", drawn=True)  # its pictures are fetched: it is in hand
    turns.add(entry("b1", alone=True))
    turns.add(entry("c1"))
    assert given_now(turns) == [("c1", "two")]
    assert list(turns.positions()) == ["b1"]
    turns.over("a1")
    assert given_now(turns) == [("b1", "one")]
    turns.finish("b1", drawn=True)
    turns.add(entry("d1"))
    assert given_now(turns) == []
    turns.over("b1")
    assert given_now(turns) == [("d1", "one")]


def test_a_suspect_whose_turn_has_come_can_be_taken_out() -> None:
    turns = turns_of("one")
    turns.add(entry("a1"))
    given_now(turns)
    turns.finish("a1", drawn=True)
    turns.add(entry("b1", alone=True))
    assert given_now(turns) == []
    turns.remove("b1")
    turns.add(entry("c1"))
    assert given_now(turns) == [("c1", "one")]


def test_more_jobs_in_hand_than_memory_holds_hold_their_engine_up() -> None:
    turns = turns_of("one", "two")
    for n in range(12):
        turns.add(entry(f"{'abcdefghijkl'[n]}1"))
    on_one = []
    while (turn := turns.give()) is not None:
        if turn.engine == "one":
            on_one.append(turn.job_id)
            turns.finish(turn.job_id, drawn=True)
    assert len(on_one) == 4
    turns.over(on_one[0])
    assert [engine for _, engine in given_now(turns)] == ["one"]


def test_what_an_engine_had_is_told_when_it_is_gone() -> None:
    turns = turns_of("one", "two")
    for job_id in ("a1", "b1", "c1"):
        turns.add(entry(job_id))
    given_now(turns)
    assert turns.leave("one") == ["a1"]
    assert turns.leave("one") == []
    turns.over("a1")  # whoever had it says so, too late
    turns.add(entry("a1"))
    turns.over("b1")
    assert given_now(turns) == [("c1", "two")]
    turns.join("three")
    assert given_now(turns) == [("a1", "three")]


def test_what_an_engine_has_from_before_keeps_it_busy() -> None:
    turns = turns_of("one")
    turns.take_up(entry("a1"), "one")
    turns.add(entry("a1"))
    turns.add(entry("b1"))
    assert given_now(turns) == []
    turns.over("a1")
    assert given_now(turns) == [("b1", "one")]


def test_two_engines_are_foretold_to_be_twice_as_fast() -> None:
    clock = ManualClock()
    turns = turns_of("one", "two", clock=clock)
    for n in range(6):
        turns.add(entry(f"{'abcdef'[n]}1", work=10))
    assert turns.positions()["a1"] == Position(1, None)
    assert len(given_now(turns)) == 2
    turns.begin("a1", 10)
    turns.begin("b1", 10)
    clock.advance(20)
    turns.finish("a1", drawn=True)
    turns.finish("b1", drawn=True)
    given_now(turns)
    turns.begin("c1", 10)
    turns.begin("d1", 10)
    clock.advance(5)
    turns.add(entry("g1", work=10))
    assert turns.positions() == {
        "e1": Position(1, 35.0),
        "f1": Position(2, 35.0),
        "g1": Position(3, 55.0),
    }
    assert turns.load.drawing == 2
    assert turns.load.seconds(5) == pytest.approx(10.0)


def test_nobody_owes_a_turn_for_what_an_engine_did_that_rests_now() -> None:
    turns = turns_of("one")
    turns.add(replace(entry("a1"), cost=20))
    assert given_now(turns) == [("a1", "one")]
    turns.over("a1")
    assert given_now(turns) == []
    for job_id in ("a2", "b1", "a3", "b2"):
        turns.add(replace(entry(job_id), person=job_id[0]))
    order = []
    while (turn := turns.give()) is not None:
        order.append(turn.job_id)
        turns.over(turn.job_id)
    assert order == ["a2", "b1", "a3", "b2"]


MODELS = st.sampled_from([None, "x", "y"])


class Pool(RuleBasedStateMachine):
    """No job is lost or given twice, and each as it must be, whatever comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns(ManualClock())
        self.models: dict[str, set[str | None]] = {}  # of each engine
        self.entries: dict[str, Entry] = {}
        self.waiting: set[str] = set()
        self.in_hand: dict[str, str] = {}  # on which engine
        self.sent: set[str] = set()  # of these, what the device is done with

    def check(self, turn: Turn) -> None:
        job = self.entries[turn.job_id]
        beside = [one for one, engine in self.in_hand.items() if engine == turn.engine]
        assert job.model in self.models[turn.engine]
        assert self.sent.issuperset(beside)
        assert not (job.alone and beside)
        assert not any(self.entries[one].alone for one in beside)

    @rule(where=st.sampled_from("abc"), who=st.integers(0, 2), model=MODELS, alone=st.booleans())
    def ask(self, *, where: str, who: int, model: str | None, alone: bool) -> None:
        job_id = f"{where}{who}/{len(self.entries)}"
        self.entries[job_id] = entry(job_id, model=model, alone=alone)
        self.waiting.add(job_id)
        self.turns.add(self.entries[job_id])

    @rule(models=st.sets(MODELS, min_size=1))
    def join(self, models: set[str | None]) -> None:
        name = str(len(self.models))
        self.models[name] = models
        self.turns.join(name, models)

    @rule()
    def give(self) -> None:
        while (turn := self.turns.give()) is not None:
            self.check(turn)
            self.waiting.remove(turn.job_id)
            self.in_hand[turn.job_id] = turn.engine

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.models)))
        gone = self.turns.leave(name)
        assert sorted(gone) == sorted(one for one, on in self.in_hand.items() if on == name)
        for job_id in gone:
            del self.in_hand[job_id]
            self.sent.discard(job_id)
            self.waiting.add(job_id)
            self.turns.add(self.entries[job_id])

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.waiting)))
        self.turns.remove(job_id)
        self.waiting.remove(job_id)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), over=st.booleans())
    def go_on(self, data: st.DataObject, *, over: bool) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.sent.add(job_id)
        if over:
            self.turns.over(job_id)
            del self.in_hand[job_id]
        else:
            self.turns.finish(job_id, drawn=True)

    @invariant()
    def all_who_wait_are_foretold(self) -> None:
        assert set(self.turns.positions()) == self.waiting
        assert self.turns.load.waiting == len(self.waiting)

    def teardown(self) -> None:
        """With an engine for everything, all of it is drawn."""
        for model in (None, "x", "y"):
            self.models[f"last {model}"] = {model}
            self.turns.join(f"last {model}", {model})
        self.give()
        while self.in_hand:
            job_id, _ = self.in_hand.popitem()
            self.turns.over(job_id)
            self.give()
        assert not self.waiting


TestPool = Pool.TestCase
