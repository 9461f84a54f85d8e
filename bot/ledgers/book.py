"""The ledger's transactions, each once: plain functions of a connection and a time.

Whoever calls them opens and commits the transaction; where one raises, it must be rolled back. Each
statement is one that SQLite and PostgreSQL both understand, and mean the same by.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bot.core import policy
from bot.core.audit import Deed
from bot.core.case import Case, Notice
from bot.core.defaults import Defaults, Manner, Scope
from bot.core.job import (
    FINAL,
    MOVES,
    ON_CARD,
    UNFINISHED,
    Job,
    Origin,
    Parent,
    Person,
    Record,
    Showing,
    State,
    StoredImage,
    Venue,
)
from bot.core.policy import Limits, Usage, Window
from bot.core.ports.ledger import Answer, Look, Order, OrderKind
from bot.core.wish import Wish
from bot.errors import IllegalMoveError, JobRefusedError, KnownJobError, UnknownJobError
from bot.ledgers import registry_book as registry
from bot.ledgers import wish_json
from bot.ledgers.database import Connection, Crew, equals
from bot.shared.passage import Passage
from sdxl_engine.sentence import Sentence, from_json, say, to_json

# Two presses of one button so soon after each other are one that slipped.
_TWICE_S: Final = 3.0
_DAY_S: Final = 86_400.0
_HELD: Final = 2  # in the column `spoiler`: blurred by a moderator, or a rule
_WITH_FILES: Final = frozenset({State.REVIEW, State.DRAWN})
_TO_BE_SEEN: Final = ON_CARD | UNFINISHED | {State.UNDELIVERED}
_PROBE_CHARS: Final = 16_384  # more than what is left of any page
_FORGOTTEN_AT_ONCE: Final = 500
_AT_ONCE: Final = 200  # values in a list; of what they become in a statement SQLite takes 500
_JOB_OF_PERSON: Final = "SELECT 1 FROM jobs WHERE jobs.home = people.home AND person = people.id"
# How a job shows the same pictures as its parent: published, drawn larger, or so once more.
SHOWS_PARENT: Final = (
    "(act IN ('publish', 'upscale') OR act IN ('reroll', 'edit') AND upscaled = 1)"
)
# A job by its id, and those whose pictures it shows.
_LINE: Final = (
    "WITH RECURSIVE line (id) AS (SELECT CAST(? AS TEXT) UNION "  # noqa: S608 - our own text
    f"SELECT parent FROM jobs JOIN line USING (id) WHERE {SHOWS_PARENT})"
)
_DELETED_THERE: Final = say(
    "A moderator here deleted pictures of this draft, so it cannot be published here again."
)
_REFUNDED: Final = ", ".join(f"'{state}'" for state in sorted(policy.REFUNDED))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a bot was told at a look, and has in hand once it looks again.

    jobs        how much news there was of each, by its id
    unanswered  wishes, by their home and event
    """

    jobs: Mapping[str, int] = field(default_factory=dict)
    unanswered: frozenset[tuple[str, str]] = frozenset()


def hear(connection: Connection, origin: Origin, locale: str, *, bot: str = "") -> None:
    """Note that a wish was heard, unless a job came of it already.

    bot  in whose hands it is
    """
    venue = origin.venue
    connection.execute(
        "INSERT INTO unanswered "
        "(home, event, community, channel, token, attachment_limit_bytes, locale, bot) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, ? "
        "WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE home = ? AND event = ?) ON CONFLICT DO NOTHING",
        (
            venue.home,
            origin.event,
            venue.community,
            venue.channel,
            origin.token,
            origin.attachment_limit_bytes,
            locale,
            bot,
            venue.home,
            origin.event,
        ),
    )


def answered(connection: Connection, origin: Origin) -> None:
    """Take that note back."""
    connection.execute(
        "DELETE FROM unanswered WHERE home = ? AND event = ?", (origin.venue.home, origin.event)
    )


def unanswered(connection: Connection) -> list[tuple[Origin, str]]:
    """Where wishes were heard that have no answer, and the locales of who wished them."""
    return _unanswered(connection, "1 = 1", ())


def _unanswered(
    connection: Connection, where: str, values: Sequence[object]
) -> list[tuple[Origin, str]]:
    rows = connection.execute(
        "SELECT home, community, channel, event, token, attachment_limit_bytes, locale "  # noqa: S608 - our own text
        f"FROM unanswered WHERE {where}",
        values,
    )
    return [
        (Origin(Venue(home, community, channel), event, None, token, limit_bytes), locale)
        for home, community, channel, event, token, limit_bytes, locale in rows
    ]


def check_limits(
    connection: Connection, person: Person, venue: Venue, limits: Limits, now_s: float
) -> None:
    """Whether one more job may be taken in; raises JobRefusedError."""
    refusal = policy.admission(limits, _usage(connection, person, venue, limits, now_s))
    if refusal is not None:
        raise JobRefusedError(refusal.sentence, refusal.again_at_s)


def accept(
    connection: Connection, job: Job, limits: Limits, case: Case | None = None, *, bot: str = ""
) -> None:
    """Check the limits and write the job down; raises JobRefusedError, KnownJobError."""
    _check_unknown(connection, job)
    check_limits(connection, job.person, job.origin.venue, limits, job.asked_at_s)
    twin = _pressed_twice(connection, job)
    if twin is not None:
        raise JobRefusedError(
            say("You asked for that a moment ago: it is the job {job}.", job=twin)
        )
    insert(connection, job, bot=bot)
    if case is not None:
        registry.open_case(connection, case, job.asked_at_s)
    answered(connection, job.origin)


def publish(
    connection: Connection,
    job: Job,
    images: Sequence[StoredImage],
    case: Case | None = None,
    *,
    bot: str = "",
) -> None:
    """Write down that pictures of a draft are shown to all; see `Ledger.publish`."""
    _check_unknown(connection, job)
    assert job.parent is not None  # noqa: S101 - a publication is of something
    draft = get(connection, job.parent.job_id)
    if draft.deleted is not None:  # while its pictures were copied
        raise UnknownJobError(draft.deleted)
    twin = _published(connection, job)
    if twin is not None:
        raise JobRefusedError(say("This was published before: it is the job {job}.", job=twin))
    decided = _decided_there(connection, job)
    if "delete" in decided:
        raise JobRefusedError(_DELETED_THERE)
    if "blur" in decided:
        job = replace(job, showing=replace(job.showing, spoiler=True, held=True))
    insert(connection, job, images, State.DRAWN if case is None else State.REVIEW, bot=bot)
    if case is not None:
        registry.open_case(connection, case, job.asked_at_s)
    answered(connection, job.origin)


def _check_unknown(connection: Connection, job: Job) -> None:
    known = connection.execute(
        "SELECT 1 FROM jobs WHERE home = ? AND event = ?", (job.home, job.origin.event)
    ).fetchone()
    if known is not None:
        raise KnownJobError(f"The event {job.origin.event} of {job.home} was taken in before.")


def insert(
    connection: Connection,
    job: Job,
    images: Sequence[StoredImage] = (),
    state: State = State.QUEUED,
    *,
    bot: str = "",
) -> None:
    """Write a new job down, whatever the limits; with images it is drawn already.

    bot  in whose hands it is

    Raises IllegalMoveError if it repeats a job that was repeated before.
    """
    known = None if job.again_of is None else repeated_as(connection, job.again_of)
    if known is not None:
        raise IllegalMoveError(
            f"The job {job.again_of} was asked for again before, as {known}. If that one ended "
            "without pictures too, ask for it again."
        )
    _meet(connection, job.person, job.asked_at_s)
    origin, parent = job.origin, job.parent
    (number,) = connection.execute(
        "INSERT INTO jobs (id, state, home, person, community, channel, message, token, event, "
        "attachment_limit_bytes, weight, wish, asked_at_s, again_of, parent, act, parent_place, "
        "private, spoiler, mention, review, adult, locale, upscaled, drawn_at_s, bot) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "RETURNING number",
        (
            job.id,
            state,
            job.home,
            job.person.id,
            origin.venue.community,
            origin.venue.channel,
            origin.message,
            origin.token,
            origin.event,
            origin.attachment_limit_bytes,
            job.weight,
            wish_json.write(job.wish),
            job.asked_at_s,
            job.again_of,
            *((None, None, None) if parent is None else (parent.job_id, parent.act, parent.index)),
            *_columns_of(job.showing).values(),
            job.person.locale,
            job.wish.upscale is not None,
            job.asked_at_s if images else None,
            bot,
        ),
    ).fetchone()
    _keep(connection, number, images)
    _note(connection, number, job.asked_at_s, None, state, "")


def move(
    connection: Connection,
    job_id: str,
    to: State,
    at_s: float,
    *,
    reason: str = "",
    images: Sequence[StoredImage] = (),
    wish: Wish | None = None,
    showing: Showing | None = None,
    blameless: bool = False,
    before: frozenset[State] | None = None,
    case: Case | None = None,
    deed: Deed | None = None,
    attempt: int | None = None,
    silently: bool = False,
    bot: str = "",
) -> Record:
    """Bring a job into another state; see `Ledger.move`.

    bot  which does it; where the job is in another's hands, that one has news
    """
    record = get(connection, job_id)
    legal = to in MOVES.get(record.state, ())
    if not legal or (before is not None and record.state not in before):
        raise IllegalMoveError(f"The job {job_id} is {record.state}; it cannot become {to}.")
    if attempt is not None and attempt != record.attempt:
        raise IllegalMoveError(
            f"The job {job_id} is at its attempt {record.attempt}, not {attempt} any more."
        )
    number = number_of(connection, job_id)
    changes = {"state": to, **_times(record, to, at_s, blameless=blameless)}
    if record.state in _WITH_FILES and to in {State.QUEUED, State.CANCELLED, State.REJECTED}:
        connection.execute("DELETE FROM images WHERE job = ?", (number,))
    _keep(connection, number, images)
    if showing is not None:
        if record.state is State.RUNNING and record.job.showing.is_held:  # blurred meanwhile
            showing = replace(showing, spoiler=True, held=True)
        changes |= _columns_of(showing)
    if wish is not None:
        changes |= {"wish": wish_json.write(wish), "upscaled": wish.upscale is not None}
    if to in FINAL:
        changes |= {"ended_at_s": at_s, "reason": reason, "reason_said": _said(reason)}
    if to is State.DELIVERED or silently:
        changes |= {"told": True, "token": "", "kept_since_s": registry.passed_s(connection, at_s)}
    columns = ", ".join(f"{name} = ?" for name in changes)
    connection.execute(
        f"UPDATE jobs SET {columns} WHERE number = ?",  # noqa: S608 - our own column names
        (*changes.values(), number),
    )
    if record.bot != bot:
        connection.execute("UPDATE jobs SET news = news + 1 WHERE number = ?", (number,))
    _note(connection, number, at_s, record.state, to, reason)
    after = get(connection, job_id)
    _moderate(connection, record, after, at_s, case, deed)
    return after


def _times(record: Record, to: State, at_s: float, *, blameless: bool) -> dict[str, object]:
    """What a move changes of a job's attempts and times."""
    match to:
        case State.RUNNING:
            return {"attempt": record.attempt + 1, "started_at_s": at_s}
        case State.QUEUED if record.state is State.DRAWN:
            # It was drawn once: nothing is to be held against it.
            return {"attempt": 0, "started_at_s": None, "drawn_at_s": None}
        case State.QUEUED:
            return {"attempt": record.attempt - blameless, "started_at_s": None}
        case State.DRAWN | State.REVIEW if record.state is not State.REVIEW:
            return {"drawn_at_s": at_s}
        case _:
            return {}


def _moderate(
    connection: Connection,
    before: Record,
    after: Record,
    at_s: float,
    case: Case | None,
    deed: Deed | None,
) -> None:
    """What a move is to those who keep order."""
    if case is not None:
        registry.open_case(connection, case, at_s)
    if deed is not None:
        registry.write(connection, _of_job(deed, before, after), at_s)
    if before.state is State.REVIEW or after.state in registry.WITHOUT_PICTURES:
        actor = None if deed is None else deed.actor
        registry.decide_cases(connection, after.job.id, registry.state_after(after), actor)
    elif after.state in {State.DRAWN, State.REVIEW}:
        registry.see_again(connection, after.job.id)


def place(connection: Connection, job_id: str, message: str) -> None:
    """Note which message is the job's card."""
    connection.execute("UPDATE jobs SET message = ? WHERE id = ?", (message, job_id))


def tell(connection: Connection, job_id: str) -> None:
    """Note that the person can read how the job ended."""
    connection.execute(
        "UPDATE jobs SET told = 1, token = '', kept_since_s = "
        "coalesce(kept_since_s, (SELECT passed_s FROM clock), ended_at_s) "
        "WHERE id = ? AND ended_at_s IS NOT NULL",
        (job_id,),
    )


def look(
    connection: Connection,
    crew: Crew,
    homes: Sequence[str] | None,
    at_s: float,
    seen: Seen,
    *,
    outlived: bool = False,
) -> tuple[Look, Seen]:
    """Take over what is in the hands of no bot that works here; see `Ledger.look`.

    homes  those that this bot is in; None: it takes whatever there is
    seen   what the last look found, which this bot has in hand by now

    Returns what there is, and what is to be given to the next.
    """
    connection.executemany(
        "UPDATE jobs SET news = 0 WHERE id = ? AND news = ?", list(seen.jobs.items())
    )
    connection.executemany(
        "UPDATE unanswered SET news = 0 WHERE home = ? AND event = ?", sorted(seen.unanswered)
    )
    failed = _adopt(connection, crew, homes, at_s, outlived=outlived)
    records = _records(connection, "jobs.bot = ? AND news > 0", (crew.bot,), "number")
    wishes = _unanswered(connection, "bot = ? AND news > 0", (crew.bot,))
    news = dict(
        connection.execute(
            "SELECT id, news FROM jobs WHERE bot = ? AND news > 0", (crew.bot,)
        ).fetchall()
    )
    (deeds,) = connection.execute("SELECT coalesce(max(number), 0) FROM audit").fetchone()
    found = Look(
        tuple(replace(one, set_aside=one.job.id in failed) for one in records),
        tuple(wishes),
        is_chief=crew.is_chief,
        deeds=deeds,
        bots=len(crew.living),
    )
    events = {(origin.venue.home, origin.event or "") for origin, _ in wishes}
    return found, Seen(news, frozenset(events))


def _adopt(
    connection: Connection,
    crew: Crew,
    homes: Sequence[str] | None,
    at_s: float,
    *,
    outlived: bool,
) -> set[str]:
    """Take this bot's share of what is in nobody's hands, the oldest first; what failed by that.

    The others come for theirs as this one does. None of them has to skip what another has locked:
    whoever writes holds the one lock there is.
    """
    orphaned = f"bot NOT IN ({_marks(crew.living)})"
    values = list[object](crew.living)
    if homes is not None:
        orphaned += f" AND home IN ({_marks(homes)})" if homes else " AND 1 = 0"
        values += homes
    connection.execute(
        f"UPDATE unanswered SET bot = ?, news = 1 WHERE {orphaned}",  # noqa: S608 - our own text
        (crew.bot, *values),
    )
    orphans = connection.execute(
        f"SELECT number, id, state, attempt FROM jobs WHERE told = 0 AND {orphaned} "  # noqa: S608 - our own text
        "ORDER BY number",
        values,
    ).fetchall()
    failed = set[str]()
    for number, job_id, state, attempt in orphans[: -(-len(orphans) // len(crew.living))]:
        connection.execute(
            "UPDATE jobs SET bot = ?, news = news + 1 WHERE number = ?", (crew.bot, number)
        )
        if state == State.RUNNING and not outlived:
            after, reason = policy.after_crash(attempt)
            move(connection, job_id, after, at_s, reason=reason, bot=crew.bot)
            if after is State.FAILED:
                failed.add(job_id)
    return failed


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def probe(connection: Connection) -> None:
    """Write something that changes nothing, and takes room of its own meanwhile."""
    origin = Origin(Venue("", None, None), "probe", None, "x" * _PROBE_CHARS, 0)
    hear(connection, origin, "")
    answered(connection, origin)


def get(connection: Connection, job_id: str) -> Record:
    """One job; raises UnknownJobError."""
    found = find_one(connection, job_id)
    if found is None:
        raise UnknownJobError(say("There is no job {job}.", job=job_id))
    return found


def find_one(connection: Connection, job_id: str) -> Record | None:
    """One job; None: it is not on record."""
    return next(iter(_records(connection, "jobs.id = ?", (job_id,), "number")), None)


def find(
    connection: Connection,
    *,
    states: Sequence[State] = (),
    person: Person | None = None,
    person_id: str | None = None,
    community: str | None = None,
    limit: int = 20,
) -> list[Record]:
    """The latest jobs, the newest first.

    person_id  of one person, in whichever home
    """
    conditions, values = ["1 = 1"], list[object]()
    if states:
        conditions.append(f"state IN ({', '.join('?' * len(states))})")
        values += states
    if person is not None:
        conditions.append("jobs.home = ? AND person = ?")
        values += [person.home, person.id]
    if person_id is not None:
        conditions.append("person = ?")
        values.append(person_id)
    if community is not None:
        conditions.append("community = ?")
        values.append(community)
    return _records(connection, " AND ".join(conditions), (*values, limit), "number DESC LIMIT ?")


def history(connection: Connection, job_id: str) -> list[tuple[float, str, str]]:
    """When a job came into which state, and why; oldest first."""
    rows: list[tuple[float, str, str]] = connection.execute(
        "SELECT at_s, to_state, transitions.reason FROM transitions "
        "JOIN jobs ON number = job WHERE id = ? ORDER BY transitions.rowid",
        (job_id,),
    ).fetchall()
    return rows


def repeated_as(connection: Connection, job_id: str) -> str | None:
    """The id of the job that asks for this one again; None: nobody did."""
    row = connection.execute("SELECT id FROM jobs WHERE again_of = ?", (job_id,)).fetchone()
    return None if row is None else str(row[0])


def delete_pictures(
    connection: Connection,
    job_id: str,
    sentence: str,
    at_s: float,
    *,
    deed: Deed | None = None,
    amend: bool = False,
) -> Record:
    """Note that a job's pictures are gone for good; see `Ledger.delete_pictures`."""
    record = get(connection, job_id)
    if record.deleted is not None:
        return record
    if record.state not in FINAL:
        raise IllegalMoveError(f"The job {job_id} is {record.state}; it is not over.")
    number = number_of(connection, job_id)
    connection.execute("DELETE FROM images WHERE job = ?", (number,))
    connection.execute("DELETE FROM favourites WHERE job = ?", (number,))
    connection.execute(
        "UPDATE jobs SET deleted = ?, deleted_said = ?, amend = ? WHERE number = ?",
        (sentence, _said(sentence), amend, number),
    )
    registry.decide_cases(connection, job_id, "deleted", None if deed is None else deed.actor)
    after = get(connection, job_id)
    if deed is not None:
        registry.write(connection, _of_job(deed, record, after), at_s)
    return after


def show_as(
    connection: Connection,
    job_id: str,
    showing: Showing,
    at_s: float,
    *,
    before: Showing,
    deed: Deed | None = None,
    amend: bool = False,
) -> Record:
    """Show a job's pictures otherwise from now on; see `Ledger.show_as`."""
    record = get(connection, job_id)
    if record.job.showing != before:
        raise IllegalMoveError(f"The job {job_id} is shown otherwise by now.")
    after = _show_as(connection, record, showing, at_s, deed, amend=amend)
    if deed is not None:
        _show_kin_as(connection, record, showing, at_s, deed)
    return after


def _show_kin_as(
    connection: Connection, first: Record, showing: Showing, at_s: float, deed: Deed
) -> None:
    """Blur what shows the same as a job that a moderator blurred; or take back that very blur."""
    is_taken_back = first.job.showing.is_held and not showing.is_held
    blurred = _last_blur(connection, deed)
    for one in family(connection, first.job.id)[1:]:
        if one.deleted is not None or one.state not in _TO_BE_SEEN:
            continue
        now, its_deed = one.job.showing, replace(deed, target=one.job.id)
        its = _last_blur(connection, its_deed)
        if showing.is_held and not now.is_held:
            like = replace(now, spoiler=True, held=True)
        elif is_taken_back and now.is_held and blurred and its and its[0] == blurred[0]:
            like = replace(now, spoiler=its[1], held=False)
        else:
            continue
        _show_as(connection, one, like, at_s, its_deed, amend=one.state in ON_CARD)


def _last_blur(connection: Connection, deed: Deed) -> tuple[float, bool] | None:
    """When a moderator blurred a deed's target last, and whether it was blurred before that."""
    here, community = equals("community", deed.community)
    row = connection.execute(
        f"SELECT at_s, before FROM audit WHERE home = ? AND {here} AND target = ? "  # noqa: S608 - our own text
        "AND kind = 'blur' ORDER BY number DESC LIMIT 1",
        (deed.home, *community, deed.target),
    ).fetchone()
    return None if row is None else (row[0], bool(json.loads(row[1]).get("blurred")))


def _show_as(
    connection: Connection,
    record: Record,
    showing: Showing,
    at_s: float,
    deed: Deed | None,
    *,
    amend: bool,
) -> Record:
    """One job's pictures alone."""
    job_id = record.job.id
    columns = _columns_of(showing) | ({"amend": 1} if amend else {})
    connection.execute(
        f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in columns)} "  # noqa: S608 - our own names
        "WHERE id = ?",
        (*columns.values(), job_id),
    )
    after = get(connection, job_id)
    if deed is not None:
        registry.write(connection, _of_job(deed, record, after), at_s)
        if record.state not in UNFINISHED:  # of those nothing is decided by that
            state = registry.state_after(after)
            registry.decide_cases(connection, job_id, state, deed.actor)
    return after


def like(
    connection: Connection, person: Person, job_id: str, index: int, at_s: float, *, liked: bool
) -> None:
    """Note whether a person likes a picture; see `Ledger.like`."""
    record = get(connection, job_id)
    if index not in {one.index for one in record.images}:
        raise UnknownJobError(
            say("The job {job} has no picture {number}.", job=job_id, number=index + 1)
        )
    _meet(connection, person, at_s)
    values = (person.home, person.id, number_of(connection, job_id), index)
    connection.execute(
        "INSERT INTO favourites (home, person, job, place) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING"
        if liked
        else "DELETE FROM favourites WHERE home = ? AND person = ? AND job = ? AND place = ?",
        values,
    )


def likes(connection: Connection, person: Person, job_id: str) -> set[int]:
    """Which of a job's pictures a person likes."""
    rows = connection.execute(
        "SELECT place FROM favourites JOIN jobs ON jobs.number = job "
        "WHERE favourites.home = ? AND favourites.person = ? AND id = ?",
        (person.home, person.id, job_id),
    )
    return {place for (place,) in rows}


def favourites(
    connection: Connection, person: Person, *, limit: int, skip: int = 0
) -> list[tuple[Record, int]]:
    """What a person likes, the latest first: a job and the index of its picture."""
    rows = connection.execute(
        "SELECT id, place FROM favourites JOIN jobs ON jobs.number = job "
        "WHERE favourites.home = ? AND favourites.person = ? "
        "ORDER BY favourites.number DESC LIMIT ? OFFSET ?",
        (person.home, person.id, limit, skip),
    ).fetchall()
    return _each(connection, rows)


def pictures(
    connection: Connection, person: Person, *, limit: int, skip: int = 0
) -> list[tuple[Record, int]]:
    """The pictures that were drawn for a person, the latest job first."""
    rows = connection.execute(
        "SELECT jobs.id, place FROM jobs JOIN images ON images.job = jobs.number "
        "WHERE home = ? AND person = ? AND state != 'review' "
        "AND NOT (coalesce(act, '') = 'publish' AND EXISTS ("
        # What is published is drawn once: the draft stands for it, while that is there.
        "SELECT 1 FROM jobs AS draft JOIN images AS drawn ON drawn.job = draft.number "
        "WHERE draft.id = jobs.parent AND drawn.place = images.place)) "
        "ORDER BY jobs.number DESC, place LIMIT ? OFFSET ?",
        (person.home, person.id, limit, skip),
    ).fetchall()
    return _each(connection, rows)


def prompts(connection: Connection, person: Person, *, limit: int) -> list[tuple[str, str]]:
    """What a person asked for last, each with the id of its job, the latest first."""
    rows = connection.execute(
        "SELECT id, wish FROM jobs WHERE home = ? AND person = ? AND deleted IS NULL "
        "ORDER BY number DESC LIMIT ?",
        (person.home, person.id, limit),
    )
    return [(job_id, wish_json.read(wish).prompt) for job_id, wish in rows]


def defaults(connection: Connection, scopes: Sequence[Scope]) -> list[Defaults]:
    """What is said for each of them."""
    found = []
    for scope in scopes:
        row = connection.execute(
            "SELECT wish, private, spoiler, mention FROM defaults "
            "WHERE home = ? AND whose = ? AND id = ?",
            (scope.home, scope.whose, scope.id),
        ).fetchone()
        if row is None:
            found.append(Defaults())
        else:
            manner = (None if value is None else bool(value) for value in row[1:])
            found.append(Defaults(wish_json.read(row[0]), Manner(*manner)))
    return found


def set_defaults(
    connection: Connection, scope: Scope, defaults: Defaults, by: Person, at_s: float
) -> None:
    """Say something else for one of them."""
    _meet(connection, by, at_s)
    key, manner = (scope.home, scope.whose, scope.id), defaults.manner
    connection.execute("DELETE FROM defaults WHERE home = ? AND whose = ? AND id = ?", key)
    if not defaults.is_empty:
        connection.execute(
            "INSERT INTO defaults VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                wish_json.write(defaults.wish),
                manner.private,
                manner.spoiler,
                manner.mention,
            ),
        )


def family(connection: Connection, job_id: str) -> list[Record]:
    """The jobs that show the same pictures, this one first; see `Registry.family`."""
    first = get(connection, job_id)
    community = first.job.origin.venue.community
    found = {job_id: first}
    to_see = [job_id]
    while to_see:
        seen = to_see.pop()
        kin = _records(connection, f"parent = ? AND {SHOWS_PARENT}", (seen,), "number")
        # What is drawn larger may be somebody else's doing; a draft is of who published it.
        parent = found[seen].job.parent
        if parent is not None and parent.act == "publish":
            kin += _records(connection, "jobs.id = ?", (parent.job_id,), "number")
        for record in kin:
            is_here = record.job.origin.venue.community == community
            if is_here and record.job.id not in found:
                found[record.job.id] = record
                to_see.append(record.job.id)
    return list(found.values())


def started_from(connection: Connection, job_ids: Sequence[str]) -> list[Record]:
    """The jobs that start from one of these jobs' pictures, however far down the line."""
    children = [
        record
        for job_id in job_ids
        for record in _records(
            connection, "parent = ? AND act IN ('vary', 'begin', 'upscale')", (job_id,), "number"
        )
        if record.job.wish.source is not None
    ]
    found = {one.job.id: one for one in children}
    # What is made of such a job starts from the same picture, which it names by its content. No job
    # before the first that showed it is looked through.
    digests = {one.job.wish.source[0] for one in children if one.job.wish.source is not None}
    if digests:
        shown = {one.job.parent.job_id for one in children if one.job.parent is not None}
        first = min(_first_of_line(connection, job_id) for job_id in shown)
        for some in _in_parts(sorted(digests)):
            where = (
                "number >= ? AND wish LIKE '%\"source\"%' "
                f"AND ({' OR '.join(['wish LIKE ?'] * len(some))})"
            )
            values = first, *(f"%{digest}%" for digest in some)
            for record in _records(connection, where, values, "number"):
                found.setdefault(record.job.id, record)
    return list(found.values())


def job_of(connection: Connection, home: str, message: str) -> Record | None:
    """The job whose card a message is."""
    found = _records(connection, "jobs.home = ? AND message = ?", (home, message), "number DESC")
    return found[0] if found else None


def jobs_in(
    connection: Connection,
    home: str,
    community: str,
    *,
    channels: Sequence[str] | None,
    person: str | None,
    since_s: float,
) -> list[Record]:
    """Jobs asked for there whose pictures are there, or may come."""
    where = "jobs.home = ? AND community = ? AND asked_at_s >= ? AND deleted IS NULL"
    values: list[object] = [home, community, since_s]
    if person is not None:
        where += " AND person = ?"
        values.append(person)
    if channels is not None:
        # A thread of a home that names it by its channel has that, a slash and more.
        each = " OR substr(channel, 1, ?) = ?" * len(channels)
        where += f" AND (channel IN ({', '.join('?' * len(channels))}){each})"
        values += channels
        for one in channels:
            values += [len(one) + 1, f"{one}/"]
    where += " AND state IN ('queued', 'running', 'review', 'drawn', 'delivered', 'undelivered')"
    return _records(connection, where, values, "number")


def to_amend(connection: Connection, home: str, *, limit: int) -> list[Record]:
    """The jobs whose cards do not show what was decided about them, the oldest first."""
    where = "amend = 1 AND told = 1 AND jobs.home = ?"  # else whose hands it is in shows it
    return _records(connection, where, (home,), f"number LIMIT {int(limit)}")


def amended(connection: Connection, record: Record) -> None:
    """Note that a job's card shows it as it is in this record."""
    now = get(connection, record.job.id)
    if now.deleted == record.deleted and now.job.showing == record.job.showing:
        connection.execute("UPDATE jobs SET amend = 0 WHERE id = ?", (record.job.id,))


def notices(connection: Connection, home: str, *, limit: int) -> list[Notice]:
    """What people are to be told, the oldest first."""
    return registry.notices(connection, home, _sentence, limit=limit)


def counts(connection: Connection) -> dict[State, int]:
    """How many jobs there are of each state."""
    found = dict(connection.execute("SELECT state, jobs FROM counts").fetchall())
    return {state: found.get(state, 0) for state in State}


def add_order(connection: Connection, job_id: str, kind: OrderKind, at_s: float) -> int:
    """Write down what an operator wants; raises UnknownJobError."""
    get(connection, job_id)
    (order_id,) = connection.execute(
        "INSERT INTO orders (job_id, kind, at_s) VALUES (?, ?, ?) RETURNING id",
        (job_id, kind, registry.passed_s(connection, at_s)),
    ).fetchone()
    return int(order_id)


def orders(connection: Connection) -> list[Order]:
    """What operators want and nobody has done yet."""
    rows = connection.execute(
        "SELECT id, job_id, kind FROM orders WHERE answer IS NULL ORDER BY id"
    )
    return [Order(*row) for row in rows]


def answer(connection: Connection, order_id: int) -> Answer | None:
    """What came of an order; None: nothing yet."""
    sentence, done = connection.execute(
        "SELECT answer, done FROM orders WHERE id = ?", (order_id,)
    ).fetchone()
    return None if sentence is None else Answer(sentence, bool(done))


def settle(connection: Connection, order_id: int, answer: Answer) -> None:
    """Answer an order."""
    connection.execute(
        "UPDATE orders SET answer = ?, done = ? WHERE id = ?",
        (answer.sentence, answer.done, order_id),
    )


def look_at_clock(connection: Connection, wall_s: float, ran_s: float | None) -> Passage:
    """Note what the clocks show, and return what is known of the passing of time."""
    row = connection.execute(
        "SELECT passed_s, wall_s, doubted_s, doubted_from_s FROM clock"
    ).fetchone()
    known = _first_passage(connection, wall_s) if row is None else Passage(*row)
    now = known.look(wall_s, ran_s)
    connection.execute("DELETE FROM clock")
    connection.execute(
        "INSERT INTO clock VALUES (?, ?, ?, ?)",
        (now.passed_s, now.wall_s, now.doubted_s, now.doubted_from_s),
    )
    return now


def outdated(
    connection: Connection, before_s: float, *, limit: int = 1000, skip: int = 0
) -> list[str]:
    """The jobs that were over and told before then, as time passed; those kept longest first.

    Where a community keeps jobs for less, those that were over there before that are among them.
    """
    rows = connection.execute(
        "SELECT id FROM (SELECT id, kept_since_s, number FROM jobs WHERE kept_since_s < ? "  # noqa: S608 - our own text
        "UNION SELECT id, kept_since_s, number FROM houses JOIN jobs USING (home, community) "
        f"WHERE kept_since_s < {registry.DAYS_OVER_S}) AS over "
        "ORDER BY kept_since_s, number LIMIT ? OFFSET ?",
        (before_s, limit, skip),
    )
    return [job_id for (job_id,) in rows]


def undecided(connection: Connection, keep_days: int) -> list[tuple[str, int]]:
    """The jobs that waited for a moderator for too many days, each with how many there were."""
    rows = connection.execute(
        "SELECT jobs.id, max(houses.keep_days), max(cases.kept_since_s), max(clock.passed_s) "
        "FROM jobs JOIN cases ON cases.job = jobs.id CROSS JOIN clock LEFT JOIN houses "
        "ON houses.home = jobs.home AND houses.community = jobs.community "
        "WHERE jobs.state = 'review' GROUP BY jobs.number ORDER BY jobs.number"
    )
    days_of = (
        (job_id, min(keep_days, theirs or keep_days), passed_s - since_s)
        for job_id, theirs, since_s, passed_s in rows
    )
    return [(job_id, days) for job_id, days, waited_s in days_of if waited_s > _DAY_S * days]


def forget(connection: Connection, job_ids: Sequence[str], before_s: float) -> None:
    """Delete these jobs, and whoever asked for them if nothing was heard of them since then.

    Without jobs, some of all the people and orders of whom and which nothing was; and cases and
    notices.
    """
    gone = f"last_at_s < ? AND NOT EXISTS ({_JOB_OF_PERSON})"
    for job_id in job_ids:
        row = connection.execute(
            "DELETE FROM jobs WHERE id = ? RETURNING home, person", (job_id,)
        ).fetchone()
        registry.forget_prompt(connection, job_id)
        if row is not None:
            connection.execute(
                f"DELETE FROM people WHERE home = ? AND id = ? AND {gone}",  # noqa: S608 - our own text
                (*row, before_s),
            )
    if not job_ids:
        connection.execute(
            "DELETE FROM people WHERE (home, id) IN "  # noqa: S608 - our own text
            f"(SELECT home, id FROM people WHERE {gone} LIMIT ?)",
            (before_s, _FORGOTTEN_AT_ONCE),
        )
        registry.forget(connection, before_s)
        connection.execute("DELETE FROM orders WHERE at_s < ? AND answer IS NOT NULL", (before_s,))
        connection.execute(
            "DELETE FROM defaults WHERE whose = 'person' AND NOT EXISTS "
            "(SELECT 1 FROM people WHERE people.home = defaults.home AND people.id = defaults.id)"
        )


def wants_mention(connection: Connection, person: Person) -> bool:
    """Whether this person wants to be mentioned when pictures are there."""
    row = connection.execute(
        "SELECT mention FROM people WHERE home = ? AND id = ?", (person.home, person.id)
    ).fetchone()
    return row is not None and bool(row[0])


def set_mention(connection: Connection, person: Person, *, wanted: bool, at_s: float) -> None:
    """Note whether they want it."""
    _meet(connection, person, at_s)
    connection.execute(
        "UPDATE people SET mention = ? WHERE home = ? AND id = ?",
        (int(wanted), person.home, person.id),
    )


def _first_passage(connection: Connection, wall_s: float) -> Passage:
    """Begin to count, at the last time on record; nothing there is later than that any more."""
    (asked_s, ended_s) = connection.execute(
        "SELECT max(asked_at_s), max(ended_at_s) FROM jobs"
    ).fetchone()
    latest_s = min(wall_s, max(asked_s or 0.0, ended_s or 0.0) or wall_s)
    for table, column in (
        ("jobs", "kept_since_s"),
        ("people", "last_at_s"),
        ("orders", "at_s"),
        ("cases", "kept_since_s"),
        ("notices", "kept_since_s"),
    ):
        connection.execute(
            f"UPDATE {table} SET {column} = ? WHERE {column} > ?",  # noqa: S608 - our own names
            (latest_s, latest_s),
        )
    return Passage(latest_s, latest_s)


def _meet(connection: Connection, person: Person, at_s: float) -> None:
    connection.execute(
        "INSERT INTO people (home, id, name, first_at_s, last_at_s) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (home, id) DO UPDATE SET name = excluded.name, last_at_s = excluded.last_at_s",
        (person.home, person.id, person.name, at_s, registry.passed_s(connection, at_s)),
    )


def _usage(
    connection: Connection, person: Person, venue: Venue, limits: Limits, now_s: float
) -> Usage:
    (active,) = connection.execute(
        "SELECT count(*) FROM jobs WHERE home = ? AND person = ? "
        "AND state IN ('queued', 'running')",
        (venue.home, person.id),
    ).fetchone()
    full: dict[Window, float] = {}
    for window in limits.windows:
        owners = _owners(window, person, venue)
        if None in owners.values():
            continue
        ours = " AND ".join(f"{name} = ?" for name in owners)
        # The job that must leave the window before there is room in it again. Those of the future
        # were asked before the clock was set back: what was a little while ago counts still, and
        # what seems to come in years holds nobody up.
        span_s = window.span_s
        row = connection.execute(
            f"SELECT asked_at_s FROM jobs WHERE home = ? AND {ours} "  # noqa: S608 - our own names
            f"AND asked_at_s > ? AND asked_at_s < ? AND state NOT IN ({_REFUNDED}) "
            "AND coalesce(act, '') != 'publish' "  # nothing was drawn for it
            "ORDER BY asked_at_s DESC LIMIT 1 OFFSET ?",
            (venue.home, *owners.values(), now_s - span_s, now_s + span_s, window.limit - 1),
        ).fetchone()
        if row is not None:
            full[window] = min(row[0], now_s) + span_s
    return Usage(queued=counts(connection)[State.QUEUED], active=active, full=full)


def _owners(window: Window, person: Person, venue: Venue) -> dict[str, str | None]:
    """Whose jobs a window counts, by the columns that say so."""
    match window.whose:
        case "person":
            return {"person": person.id}
        case "community":
            return {"community": venue.community}
        case "member":
            return {"person": person.id, "community": venue.community}


def _keep(connection: Connection, number: int, images: Sequence[StoredImage]) -> None:
    connection.executemany(
        "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?)",
        [(number, one.index, one.seed, one.filename, one.sha256, one.size_bytes) for one in images],
    )


def _each(connection: Connection, rows: Sequence[tuple[str, int]]) -> list[tuple[Record, int]]:
    """Pictures with their jobs, each job read once."""
    records = {job_id: get(connection, job_id) for job_id in dict.fromkeys(row[0] for row in rows)}
    return [(records[job_id], place) for job_id, place in rows]


def _pressed_twice(connection: Connection, job: Job) -> str | None:
    """The job that the same person made of the same thing in the same way a moment ago."""
    parent = job.parent
    if parent is None:
        return None
    that_one, place = equals("parent_place", parent.index)
    rows = connection.execute(
        f"SELECT id, wish FROM jobs WHERE parent = ? AND act = ? AND {that_one} "  # noqa: S608 - our own text
        "AND home = ? AND person = ? AND abs(asked_at_s - ?) < ?",
        (
            parent.job_id,
            parent.act,
            *place,
            job.home,
            job.person.id,
            job.asked_at_s,
            _TWICE_S,
        ),
    )
    return next((id_ for id_, wish in rows if _alike(wish_json.read(wish), job.wish)), None)


def _columns_of(showing: Showing) -> dict[str, int]:
    return {
        "private": int(showing.private),
        "spoiler": _HELD if showing.is_held else int(showing.spoiler),
        "mention": int(showing.mention),
        "review": int(showing.review),
        "adult": int(showing.adult),
    }


def _of_job(deed: Deed, before: Record, after: Record) -> Deed:
    """A deed with what it changed about a job."""

    def shown(record: Record) -> dict[str, object]:
        showing = record.job.showing
        blurred = "held" if showing.is_held else showing.spoiler
        return {
            "state": record.state.value,
            "blurred": blurred,
            "deleted": record.deleted is not None,
        }

    return replace(deed, before=shown(before), after=shown(after))


def _alike(one: Wish, other: Wish) -> bool:
    """Whether two wishes are the same as far as a press says it."""

    def pressed(wish: Wish) -> Wish:
        variation = None if wish.variation is None else (0, *wish.variation[1:])
        # Seeds are drawn anew at each press; an open size is known once the engine begins.
        return replace(wish, seed=None, variation=variation, size_px=None)

    return pressed(one) == pressed(other)


def _published(connection: Connection, job: Job) -> str | None:
    """The job that shows the same of the same draft, or did until somebody deleted it."""
    parent = job.parent
    if parent is None:
        return None
    that_one, place = equals("parent_place", parent.index)
    row = connection.execute(
        f"SELECT id FROM jobs WHERE parent = ? AND act = ? AND {that_one} "  # noqa: S608 - our own text
        "AND state NOT IN ('undelivered', 'failed', 'rejected')",
        (parent.job_id, parent.act, *place),
    ).fetchone()
    return None if row is None else str(row[0])


def _decided_there(connection: Connection, job: Job) -> set[str]:
    """What moderators did, where a publication goes, about what shows the same as its draft.

    That is what the draft was drawn larger of, and what was published of either.
    """
    venue, parent = job.origin.venue, job.parent
    if parent is None or venue.community is None:
        return set()
    # Only where something became of one of these jobs is the audit looked through.
    # A cross join with a condition, for SQLite then takes the few jobs of the line one by one.
    changed = connection.execute(
        f"{_LINE} "  # noqa: S608 - our own text
        "SELECT jobs.id, spoiler, home, community, deleted, state FROM line CROSS JOIN jobs "
        "WHERE jobs.id = line.id UNION "
        "SELECT jobs.id, spoiler, home, community, deleted, state FROM line CROSS JOIN jobs "
        "WHERE parent = line.id AND act = 'publish'",
        (parent.job_id,),
    ).fetchall()
    decided = set()
    for job_id, spoiler, *where, deleted, state in changed:
        if where != [venue.home, venue.community]:
            continue
        if deleted is None and state != State.CANCELLED and spoiler != _HELD:
            continue
        rows = connection.execute(
            "SELECT DISTINCT kind FROM audit WHERE home = ? AND community = ? AND target = ?",
            (venue.home, venue.community, job_id),
        )
        decided |= {kind for (kind,) in rows if kind == "delete" or spoiler == _HELD}
    return decided & {"delete", "blur"}


def _first_of_line(connection: Connection, job_id: str) -> int:
    """The number of the first job that showed what this one does."""
    (number,) = connection.execute(
        f"{_LINE} SELECT min(number) FROM line CROSS JOIN jobs WHERE jobs.id = line.id",  # noqa: S608 - our own text
        (job_id,),
    ).fetchone()
    return int(number)


def _in_parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """A list in pieces that one statement takes."""
    return (values[first : first + _AT_ONCE] for first in range(0, len(values), _AT_ONCE))


def number_of(connection: Connection, job_id: str) -> int:
    """A job's place in the order of acceptance, which other tables know it by."""
    (number,) = connection.execute("SELECT number FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return int(number)


def _note(
    connection: Connection,
    number: int,
    at_s: float,
    before: State | None,
    to: State,
    reason: str,
) -> None:
    connection.execute(
        "INSERT INTO transitions (job, at_s, from_state, to_state, reason) VALUES (?, ?, ?, ?, ?)",
        (number, at_s, before, to, reason),
    )


_COLUMNS: Final = (
    "number, jobs.id, state, attempt, jobs.home, person, people.name, community, channel, message, "
    "token, event, attachment_limit_bytes, weight, wish, reason, told, asked_at_s, started_at_s, "
    "drawn_at_s, ended_at_s, again_of, parent, act, parent_place, private, spoiler, "
    "jobs.mention, deleted, locale, reason_said, deleted_said, review, adult, jobs.bot"
)


def _records(
    connection: Connection, where: str, values: Sequence[object], order: str
) -> list[Record]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs "  # noqa: S608 - our own text
        "JOIN people ON people.home = jobs.home AND people.id = person "
        f"WHERE {where} ORDER BY {order}",
        values,
    ).fetchall()
    return [_record(connection, *row) for row in rows]


def _record(
    connection: Connection,
    *row: Any,  # noqa: ANN401 - of the types that the tables enforce
) -> Record:
    (number, job_id, state, attempt, home, person, name, community, channel, message) = row[:10]
    (token, event, limit_bytes, weight, wish, reason, told, asked_at_s) = row[10:18]
    (started_at_s, drawn_at_s, ended_at_s, again_of) = row[18:22]
    (parent, act, parent_place, private, spoiler, mention, deleted) = row[22:29]
    (locale, reason_said, deleted_said, review, adult, bot) = row[29:]
    images: tuple[StoredImage, ...] = ()
    if drawn_at_s is not None:
        images = tuple(
            StoredImage(*image)
            for image in connection.execute(
                "SELECT place, seed, filename, sha256, size_bytes FROM images "
                "WHERE job = ? ORDER BY place",
                (number,),
            ).fetchall()
        )
    job = Job(
        id=job_id,
        wish=wish_json.read(wish),
        person=Person(home, person, name, locale),
        origin=Origin(Venue(home, community, channel), event, message, token, limit_bytes),
        weight=weight,
        asked_at_s=asked_at_s,
        again_of=again_of,
        parent=None if parent is None else Parent(parent, act, parent_place),
        showing=Showing(
            bool(private),
            bool(spoiler),
            bool(mention),
            held=spoiler == _HELD,
            review=bool(review),
            adult=bool(adult),
        ),
    )
    return Record(
        job=job,
        state=State(state),
        attempt=attempt,
        reason=_sentence(reason, reason_said),
        told=bool(told),
        started_at_s=started_at_s,
        drawn_at_s=drawn_at_s,
        ended_at_s=ended_at_s,
        images=images,
        deleted=None if deleted is None else _sentence(deleted, deleted_said),
        bot=bot,
    )


def _said(text: str) -> str | None:
    """What a text was made of, to be kept beside it."""
    return to_json(text) if isinstance(text, Sentence) else None


def _sentence(text: str, said: str | None) -> str:
    """The text, able to be said in another language where it is known what it was made of."""
    if said is None:
        return text
    try:
        return from_json(said)
    except ValueError:  # whatever a newer version may write there
        return text
