"""The ledger's transactions: limits, moves, recovery; by example, and by any sequence of them."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from bot.core.audit import Deed
from bot.core.job import FINAL, MOVES, Job, Parent, Person, Record, State, StoredImage
from bot.core.policy import MAX_ATTEMPTS, REFUNDED, Limits
from bot.core.ports.ledger import Answer
from bot.core.wish import Wish
from bot.errors import (
    BotError,
    IllegalMoveError,
    JobRefusedError,
    KnownJobError,
    UnknownJobError,
)
from bot.ledgers import book
from bot.ledgers.database import Connection, Crew
from bot.ledgers.sqlite.schema import MIGRATIONS
from bot.shared.passage import Passage
from sdxl_engine.sentence import Sentence, say, say_many, to_json
from tests.bot.core.jobs import NOON_S, make_job, make_person
from tests.bot.ledgers.databases import IN_POSTGRES, emptied

NO_LIMITS = Limits(queued=1000)
IMAGES = (StoredImage(0, 7, "a_0.png", "ab" * 32, 10),)


@pytest.fixture
def ledger() -> Iterator[Connection]:
    with new_ledger() as connection:
        yield connection


@contextmanager
def new_ledger() -> Iterator[Connection]:
    if IN_POSTGRES:
        with emptied() as session:
            yield session
        return
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript("".join(MIGRATIONS))
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """As the write thread does it: what raises leaves nothing behind."""
    connection.execute("SAVEPOINT work")
    try:
        yield
    except BotError:
        connection.execute("ROLLBACK TO work")
        raise
    finally:
        connection.execute("RELEASE work")


def restarted(connection: Connection, at_s: float) -> list[Record]:
    """What a bot finds that is new, and alone."""
    bot = token_hex(4)
    look, _ = book.look(connection, Crew(bot, (bot,), is_chief=True), None, at_s, book.Seen())
    return list(look.records)


def test_a_job_comes_back_as_it_was_taken_in(ledger: Connection) -> None:
    wish = Wish(
        "a cat",
        negative_prompt="",
        seed=2**32 - 1,
        num_inference_steps=9,
        guidance_scale=7.5,
        size_px=(64, 128),
        num_images=3,
        first_index=2,
        sampler="ddim",
        spacing="karras",
        guidance_interval=(0.25, 0.75),
    )
    job = make_job(wish=wish, guild_id=None)
    job = replace(job, origin=replace(job.origin, message="T012-99.5"))
    book.accept(ledger, job, NO_LIMITS)
    record = book.get(ledger, job.id)
    assert record.job == job
    assert (record.state, record.attempt, record.reason, record.told) == (
        State.QUEUED,
        0,
        "",
        False,
    )


def test_a_sentence_keeps_what_it_was_made_of(ledger: Connection) -> None:
    reason = say_many("{count} try, {why}", "{count} tries, {why}", 3, why=say("by {who}", who="x"))
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    book.move(ledger, job.id, State.FAILED, NOON_S, reason=reason)
    kept = book.delete_pictures(
        ledger, job.id, say("Deleted by {who}.", who=say("a moderator")), NOON_S
    )
    for said, was in ((kept.reason, "3 tries, by x"), (kept.deleted, "Deleted by a moderator.")):
        assert isinstance(said, Sentence)
        assert said == was
    assert to_json(kept.reason) == to_json(reason)
    assert [why for *_, why in book.history(ledger, job.id)] == ["", "3 tries, by x"]
    ledger.execute("UPDATE jobs SET reason_said = '{\"say\": 3}'")  # of a newer version, perhaps
    assert type(book.get(ledger, job.id).reason) is str
    assert book.get(ledger, job.id).reason == reason


def test_a_text_of_no_language_stays_as_it_is(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    record = book.move(ledger, job.id, State.FAILED, NOON_S, reason="It {failed}.")
    assert type(record.reason) is str
    assert record.reason == "It {failed}."


def test_the_language_of_who_asked_is_on_record(ledger: Connection) -> None:
    job = make_job()
    job = replace(job, person=replace(job.person, locale="pt-BR"))
    book.hear(ledger, job.origin, job.person.locale)
    assert book.unanswered(ledger) == [(replace(job.origin, message=None), "pt-BR")]
    book.accept(ledger, job, NO_LIMITS)
    assert book.get(ledger, job.id).job.person.locale == "pt-BR"
    assert book.unanswered(ledger) == []


def test_a_token_shows_itself_nowhere() -> None:
    assert "a-token" not in repr(make_job())


def test_the_way_of_a_job_is_on_record(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    book.move(ledger, job.id, State.RUNNING, NOON_S + 1)
    book.move(ledger, job.id, State.DRAWN, NOON_S + 2, images=IMAGES)
    record = book.move(ledger, job.id, State.DELIVERED, NOON_S + 3)
    assert record.images == IMAGES
    assert (record.started_at_s, record.drawn_at_s, record.ended_at_s) == (
        NOON_S + 1,
        NOON_S + 2,
        NOON_S + 3,
    )
    assert record.told
    assert record.job.origin.token == ""
    assert book.history(ledger, job.id) == [
        (NOON_S, "queued", ""),
        (NOON_S + 1, "running", ""),
        (NOON_S + 2, "drawn", ""),
        (NOON_S + 3, "delivered", ""),
    ]


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("to", list(State))
def test_only_legal_moves_are_made(ledger: Connection, before: State, to: State) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    ledger.execute("UPDATE jobs SET state = ?", (before,))
    if to in MOVES.get(before, ()):
        assert book.move(ledger, job.id, to, NOON_S).state is to
    else:
        with pytest.raises(IllegalMoveError, match=f"is {before}; it cannot become {to}"):
            book.move(ledger, job.id, to, NOON_S)
        assert book.get(ledger, job.id).state is before


def test_an_event_is_taken_in_once(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    with pytest.raises(KnownJobError):
        book.accept(ledger, make_job(event=job.origin.event), NO_LIMITS)


def test_a_full_queue_refuses_until_a_job_begins(ledger: Connection) -> None:
    first, second = make_job(), make_job()
    book.accept(ledger, first, Limits(queued=1))
    with pytest.raises(JobRefusedError, match="1 job is already waiting"):
        book.accept(ledger, second, Limits(queued=1))
    book.move(ledger, first.id, State.RUNNING, NOON_S)
    book.accept(ledger, second, Limits(queued=1))


def test_one_may_have_so_many_jobs_in_the_queue(ledger: Connection) -> None:
    limits = replace(NO_LIMITS, person_active=2)
    jobs = [make_job(), make_job()]
    for job in jobs:
        book.accept(ledger, job, limits)
    book.move(ledger, jobs[0].id, State.RUNNING, NOON_S)
    with pytest.raises(JobRefusedError, match="You have 2 jobs in the queue"):
        book.accept(ledger, make_job(), limits)
    book.accept(ledger, make_job(user_id=2), limits)
    book.move(ledger, jobs[0].id, State.DRAWN, NOON_S)
    book.accept(ledger, make_job(), limits)


@pytest.mark.parametrize(
    "limits", [Limits(queued=1), replace(NO_LIMITS, person_active=1, community_per_day=1)]
)
def test_that_a_limit_is_reached_can_be_known_before_anything_is_asked(
    ledger: Connection, limits: Limits
) -> None:
    job = make_job()

    def check() -> None:
        book.check_limits(ledger, job.person, job.origin.venue, limits, job.asked_at_s)

    check()
    check()  # it counts for nothing
    book.accept(ledger, job, limits)
    with pytest.raises(JobRefusedError) as known:
        check()
    with pytest.raises(JobRefusedError) as refused:
        book.accept(ledger, make_job(), limits)
    assert str(known.value) == str(refused.value)


@pytest.mark.parametrize(
    ("limits", "span_s", "words"),
    [
        (replace(NO_LIMITS, person_per_minute=2), 60, "You have asked 2 times within a minute"),
        (replace(NO_LIMITS, person_per_day=2), 86_400, "You have asked 2 times within a day"),
        (
            replace(NO_LIMITS, community_per_minute=2),
            60,
            "This server has asked 2 times within a minute",
        ),
        (
            replace(NO_LIMITS, community_per_day=2),
            86_400,
            "This server has asked 2 times within a day",
        ),
    ],
)
def test_a_window_holds_so_many_and_says_when_there_is_room(
    ledger: Connection, limits: Limits, span_s: float, words: str
) -> None:
    for second in (0, 10):
        book.accept(ledger, make_job(asked_at_s=NOON_S + second), limits)
    with pytest.raises(JobRefusedError, match=f"{words}, which is the limit") as refused:
        book.accept(ledger, make_job(asked_at_s=NOON_S + 20), limits)
    assert refused.value.again_at_s == NOON_S + span_s
    book.accept(ledger, make_job(user_id=2, guild_id=4, asked_at_s=NOON_S + 20), limits)
    book.accept(ledger, make_job(asked_at_s=NOON_S + span_s), limits)


@pytest.mark.parametrize("jump_s", [600, 3_600, 40 * 86_400, -600, -3_600, -40 * 86_400])
@pytest.mark.parametrize(
    ("limits", "span_s"),
    [
        (replace(NO_LIMITS, person_per_minute=2), 60),
        (replace(NO_LIMITS, person_per_day=2), 86_400),
        (replace(NO_LIMITS, community_per_minute=2), 60),
        (replace(NO_LIMITS, community_per_day=2), 86_400),
    ],
)
def test_a_clock_that_jumps_locks_nobody_out_and_doubles_no_limit(
    ledger: Connection, limits: Limits, span_s: float, jump_s: float
) -> None:
    for _ in range(2):
        book.accept(ledger, make_job(asked_at_s=NOON_S), limits)
    now_s = NOON_S + jump_s
    if abs(jump_s) < span_s:  # it may as well have been a moment ago
        with pytest.raises(JobRefusedError) as refused:
            book.accept(ledger, make_job(asked_at_s=now_s), limits)
        assert refused.value.again_at_s is not None
        assert now_s < refused.value.again_at_s <= now_s + span_s
        now_s += 2 * span_s
    book.accept(ledger, make_job(asked_at_s=now_s), limits)


@pytest.mark.parametrize("state", sorted(REFUNDED))
def test_what_failed_by_our_fault_is_given_back(ledger: Connection, state: State) -> None:
    limits = replace(NO_LIMITS, person_per_day=1)
    job = make_job()
    book.accept(ledger, job, limits)
    book.move(ledger, job.id, State.RUNNING, NOON_S)
    with pytest.raises(JobRefusedError):
        book.accept(ledger, make_job(), limits)
    book.move(ledger, job.id, state, NOON_S)
    book.accept(ledger, make_job(), limits)


def test_what_the_process_ends_under_too_often_is_set_aside(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    for death in range(1, MAX_ATTEMPTS):
        book.move(ledger, job.id, State.RUNNING, NOON_S)
        (record,) = restarted(ledger, NOON_S)
        assert (record.state, record.attempt, record.set_aside) == (State.QUEUED, death, False)
    book.move(ledger, job.id, State.RUNNING, NOON_S)
    (record,) = restarted(ledger, NOON_S)
    assert (record.state, record.set_aside) == (State.FAILED, True)
    assert f"ended {MAX_ATTEMPTS} times while this was drawn" in record.reason
    (record,) = restarted(ledger, NOON_S)  # it was not told; and it is not set aside anew
    assert record.set_aside is False
    book.tell(ledger, job.id)
    assert restarted(ledger, NOON_S) == []


def test_a_restart_of_the_bot_does_not_count_against_a_job(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    for _ in range(5):
        book.move(ledger, job.id, State.RUNNING, NOON_S)
        record = book.move(ledger, job.id, State.QUEUED, NOON_S, blameless=True)
    assert record.attempt == 0


def test_lost_files_are_drawn_again(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    book.move(ledger, job.id, State.RUNNING, NOON_S)
    book.move(ledger, job.id, State.DRAWN, NOON_S, images=IMAGES)
    record = book.move(ledger, job.id, State.QUEUED, NOON_S)
    assert (record.images, record.attempt) == ((), 0)


def test_an_ended_job_that_nobody_was_told_of_is_found_again(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    book.tell(ledger, job.id)  # means nothing while it is not over
    book.move(ledger, job.id, State.CANCELLED, NOON_S, reason="Cancelled.")
    (record,) = restarted(ledger, NOON_S)
    assert (record.state, record.reason, record.job.origin.token) == (
        State.CANCELLED,
        "Cancelled.",
        "a-token",
    )
    book.tell(ledger, job.id)
    assert book.get(ledger, job.id).job.origin.token == ""


def test_retention_deletes_what_is_over_and_told(ledger: Connection) -> None:
    old, untold, young, waiting = (make_job(user_id=n) for n in range(4))
    for job in (old, untold, young, waiting):
        book.accept(ledger, job, NO_LIMITS)
    book.move(ledger, old.id, State.CANCELLED, NOON_S)
    book.tell(ledger, old.id)
    book.move(ledger, untold.id, State.CANCELLED, NOON_S)
    book.move(ledger, young.id, State.CANCELLED, NOON_S + 100)
    book.tell(ledger, young.id)
    assert book.outdated(ledger, NOON_S + 50) == [old.id]
    book.forget(ledger, [old.id], NOON_S + 50)
    with pytest.raises(UnknownJobError):
        book.get(ledger, old.id)
    left = {record.job.id for record in book.find(ledger)}
    assert left == {untold.id, young.id, waiting.id}
    names = [name for (name,) in ledger.execute("SELECT name FROM people ORDER BY id")]
    assert names == ["user1", "user2", "user3"]
    assert ledger.execute("SELECT count(*) FROM transitions").fetchone() == (5,)


def test_retention_counts_what_passed_not_what_the_clock_says(ledger: Connection) -> None:
    """What stands there of the future is over since now, and so is what is told from now on."""
    future, past, new = (make_job(user_id=n) for n in range(3))
    for job, at_s in ((future, NOON_S + 40 * 86_400), (past, NOON_S - 60)):
        book.accept(ledger, replace(job, asked_at_s=at_s), NO_LIMITS)
        book.move(ledger, job.id, State.CANCELLED, at_s)
        book.tell(ledger, job.id)
    assert book.look_at_clock(ledger, NOON_S, None) == Passage(NOON_S, NOON_S)
    for at_s in (NOON_S - 40 * 86_400, NOON_S + 40 * 86_400):
        job = replace(new, id=f"{at_s}", origin=replace(new.origin, event=f"{at_s}"))
        book.accept(ledger, replace(job, asked_at_s=at_s), NO_LIMITS)
        book.move(ledger, job.id, State.CANCELLED, at_s)
        book.tell(ledger, job.id)
    assert book.outdated(ledger, NOON_S) == [past.id]
    assert len(book.outdated(ledger, NOON_S + 1)) == 4
    assert len(book.outdated(ledger, NOON_S + 1, limit=2)) == 2
    assert book.outdated(ledger, NOON_S + 1, skip=3) == book.outdated(ledger, NOON_S + 1)[3:]
    times = ledger.execute("SELECT DISTINCT last_at_s FROM people ORDER BY 1").fetchall()
    assert times == [(NOON_S - 60,), (NOON_S,)]


def test_people_and_orders_go_when_nothing_was_heard_of_them(ledger: Connection) -> None:
    book.look_at_clock(ledger, NOON_S, None)
    for number in range(3):
        book.set_mention(ledger, make_person(number), wanted=True, at_s=0)
    job = make_job(user_id=0)
    book.accept(ledger, job, NO_LIMITS)
    open_order = book.add_order(ledger, job.id, "cancel", 0)
    settled = book.add_order(ledger, job.id, "cancel", 0)
    book.settle(ledger, settled, Answer("Done.", done=True))
    book.forget(ledger, [], NOON_S)
    assert ledger.execute("SELECT count(*) FROM people").fetchone() == (3,)
    book.forget(ledger, [], NOON_S + 1)
    assert ledger.execute("SELECT id FROM people").fetchall() == [("0",)]
    # What nobody has done yet is done by the next bot, however late.
    assert ledger.execute("SELECT id FROM orders").fetchall() == [(open_order,)]


def test_find_by_state_person_and_community_the_newest_first(ledger: Connection) -> None:
    jobs = [make_job(user_id=n % 2, guild_id=n % 3) for n in range(6)]
    for job in jobs:
        book.accept(ledger, job, NO_LIMITS)
    book.move(ledger, jobs[4].id, State.RUNNING, NOON_S)
    ids = [job.id for job in jobs]
    assert [r.job.id for r in book.find(ledger, limit=2)] == ids[:3:-1]
    assert [r.job.id for r in book.find(ledger, person=make_person(0))] == [ids[4], ids[2], ids[0]]
    assert [r.job.id for r in book.find(ledger, person=make_person(0), community="1")] == [ids[4]]
    assert [r.job.id for r in book.find(ledger, states=[State.RUNNING])] == [ids[4]]


def test_a_job_is_repeated_once(ledger: Connection) -> None:
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    assert book.repeated_as(ledger, job.id) is None
    again = make_job(again_of=job.id)
    book.insert(ledger, again)
    assert book.repeated_as(ledger, job.id) == again.id
    assert book.get(ledger, again.id).job == again
    with pytest.raises(IllegalMoveError, match=f"again before, as {again.id}"):
        book.insert(ledger, make_job(again_of=job.id))
    book.insert(ledger, make_job(again_of=again.id))


def test_a_person_is_mentioned_when_they_want_it(ledger: Connection) -> None:
    ann, ben = make_person(1), make_person(2)
    book.set_mention(ledger, ann, wanted=True, at_s=NOON_S)
    assert book.wants_mention(ledger, ann)
    assert not book.wants_mention(ledger, ben)
    book.accept(ledger, make_job(user_id=1), NO_LIMITS)
    assert book.wants_mention(ledger, ann)
    book.set_mention(ledger, ann, wanted=False, at_s=NOON_S)
    assert not book.wants_mention(ledger, ann)


def test_homes_do_not_share_people_or_limits(ledger: Connection) -> None:
    limits = replace(NO_LIMITS, person_active=1, community_per_day=1)
    here = make_job()
    there = replace(
        make_job(),
        person=Person("town", here.person.id, "user1"),
        origin=replace(here.origin, venue=replace(here.origin.venue, home="town")),
    )
    book.accept(ledger, here, limits)
    book.accept(ledger, there, limits)
    assert [record.job for record in book.find(ledger, person=there.person)] == [there]


def test_what_starts_from_very_many_jobs_is_found(ledger: Connection) -> None:
    """More than any statement takes at once."""
    job = make_job()
    book.accept(ledger, job, NO_LIMITS)
    wish = Wish("x", source=("ab" * 32, 0.4, "fill", 1.0, None, 16))
    child = replace(make_job(user_id=2, wish=wish), parent=Parent(job.id, "vary", 0))
    book.accept(ledger, child, NO_LIMITS)
    later = make_job(user_id=3, wish=wish)
    book.accept(ledger, later, NO_LIMITS)
    ids = [job.id, *(f"none{number}" for number in range(1200))]
    found = [one.job.id for one in book.started_from(ledger, ids)]
    assert found == [child.id, later.id]


@pytest.mark.parametrize("community", ["3", None])
def test_what_a_moderator_deleted_is_not_published_there_again(
    ledger: Connection, community: str | None
) -> None:
    """Where there is no community, there is nobody whose word that is."""
    draft = make_job(guild_id=None)
    book.accept(ledger, draft, NO_LIMITS)
    venue = replace(draft.origin.venue, community=community)

    def published(index: int) -> Job:
        job = make_job()
        origin = replace(job.origin, venue=venue)
        return replace(job, origin=origin, parent=Parent(draft.id, "publish", index))

    first, again = published(0), published(1)
    book.publish(ledger, first, IMAGES)
    book.move(ledger, first.id, State.DELIVERED, NOON_S)
    deed = Deed("delete", "9", first.home, community, first.id)
    book.delete_pictures(ledger, first.id, "Deleted.", NOON_S, deed=deed)
    if community is None:
        book.publish(ledger, again, IMAGES)
    else:
        with pytest.raises(JobRefusedError, match="cannot be published here again"):
            book.publish(ledger, again, IMAGES)


LIMITS = Limits(
    queued=6,
    person_active=4,
    person_per_minute=3,
    person_per_day=5,
    community_per_minute=5,
    community_per_day=9,
)


class LedgerMachine(RuleBasedStateMachine):
    """Whatever happens, in whatever order: the ledger agrees with a list of dictionaries."""

    jobs = Bundle("jobs")

    @initialize()
    def open(self) -> None:
        self.stack = ExitStack()
        self.connection = self.stack.enter_context(new_ledger())
        self.now_s = NOON_S
        self.model: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        self.stack.close()

    @rule(seconds=st.sampled_from([1, 30, 60, 4_000, 86_400]))
    def time_goes_by(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(seconds=st.sampled_from([30, 600, 86_400, 40 * 86_400]))
    def the_clock_is_set_back(self, seconds: float) -> None:
        self.now_s -= seconds

    @rule(target=jobs, user=st.integers(1, 3), guild=st.sampled_from([1, 2, None]))
    def ask(self, user: int, guild: int | None) -> Any:
        job = make_job(user_id=user, guild_id=guild, asked_at_s=self.now_s)
        fits = self.fits(user, guild)
        try:
            with transaction(self.connection):
                book.accept(self.connection, job, LIMITS)
        except JobRefusedError:
            assert not fits
            return multiple()
        assert fits
        self.model[job.id] = {
            "state": State.QUEUED,
            "attempt": 0,
            "told": False,
            "user": user,
            "guild": guild,
            "asked": self.now_s,
            "cancels": 0,
            "drawn": False,
        }
        return job.id

    @rule(job_id=jobs, choice=st.integers(0, 5), blameless=st.booleans())
    def move_on(self, job_id: str, choice: int, blameless: bool) -> None:
        """One of the legal moves: at random few jobs would get far."""
        legal = sorted(MOVES.get(self.model[job_id]["state"], ()))
        # The way to the pictures first: it is the longest.
        legal.sort(key=lambda to: to not in {State.RUNNING, State.DRAWN, State.DELIVERED})
        if legal:
            self.move(job_id, legal[choice % len(legal)], blameless)

    @rule(job_id=jobs, to=st.sampled_from(list(State)), blameless=st.booleans())
    def move(self, job_id: str, to: State, blameless: bool) -> None:
        mine = self.model[job_id]
        before = mine["state"]
        legal = to in MOVES.get(before, ())
        # The dispatcher begins no job more often than it may be begun.
        if to is State.RUNNING and mine["attempt"] == MAX_ATTEMPTS:
            return
        try:
            with transaction(self.connection):
                book.move(
                    self.connection,
                    job_id,
                    to,
                    self.now_s,
                    images=IMAGES if to is State.DRAWN else (),
                    blameless=blameless,
                )
        except IllegalMoveError:
            assert not legal
            return
        assert legal
        mine["state"] = to
        mine["cancels"] += to is State.CANCELLED
        if to in {State.DRAWN, State.QUEUED, State.CANCELLED}:
            mine["drawn"] = to is State.DRAWN
        if to is State.RUNNING:
            mine["attempt"] += 1
        elif to is State.QUEUED:
            mine["attempt"] = 0 if before is State.DRAWN else mine["attempt"] - blameless
        elif to is State.DELIVERED:
            mine["told"] = True

    @rule(job_id=jobs)
    def tell(self, job_id: str) -> None:
        with transaction(self.connection):
            book.tell(self.connection, job_id)
        self.model[job_id]["told"] = self.model[job_id]["state"] in FINAL

    @rule()
    def crash_and_restart(self) -> None:
        with transaction(self.connection):
            records = restarted(self.connection, self.now_s)
        for mine in self.model.values():
            if mine["state"] is State.RUNNING:
                again = mine["attempt"] < MAX_ATTEMPTS
                mine["state"] = State.QUEUED if again else State.FAILED
        # Nothing is stranded: what is not over, and what nobody was told, is handed out again.
        open_jobs = {job_id for job_id, mine in self.model.items() if not mine["told"]}
        assert {record.job.id for record in records} == open_jobs
        assert State.RUNNING not in {record.state for record in records}

    def fits(self, user: int, guild: int | None) -> bool:
        states = [mine["state"] for mine in self.model.values()]
        own = [mine for mine in self.model.values() if mine["user"] == user]
        active = sum(mine["state"] in {State.QUEUED, State.RUNNING} for mine in own)

        def recent(jobs: list[dict[str, Any]], span_s: float) -> int:
            return sum(
                abs(mine["asked"] - self.now_s) < span_s and mine["state"] not in REFUNDED
                for mine in jobs
            )

        here = [mine for mine in self.model.values() if mine["guild"] == guild is not None]
        return (
            states.count(State.QUEUED) < LIMITS.queued
            and active < LIMITS.person_active
            and recent(own, 60) < LIMITS.person_per_minute
            and recent(own, 86_400) < LIMITS.person_per_day
            and recent(here, 60) < LIMITS.community_per_minute
            and recent(here, 86_400) < LIMITS.community_per_day
        )

    @invariant()
    def agrees(self) -> None:
        records = {record.job.id: record for record in book.find(self.connection, limit=10_000)}
        assert records.keys() == self.model.keys()
        for job_id, mine in self.model.items():
            record = records[job_id]
            assert (record.state, record.attempt, record.told) == (
                mine["state"],
                mine["attempt"],
                mine["told"],
            )
            assert 0 <= record.attempt <= MAX_ATTEMPTS
            assert mine["cancels"] <= 1
            assert (record.ended_at_s is not None) == (record.state in FINAL)
            ways = [state for _, state, _ in book.history(self.connection, job_id)]
            assert not FINAL.intersection(ways[:-1])
            assert ways[-1] == record.state
            assert bool(record.images) == mine["drawn"]
            assert (record.job.origin.token == "") == record.told
        states = [mine["state"] for mine in self.model.values()]
        assert book.counts(self.connection) == {state: states.count(state) for state in State}


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
