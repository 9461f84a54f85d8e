"""The ledger's transactions on one SQLite connection: plain functions of a connection and a time.

Whoever calls them opens and commits the transaction; where one raises, it must be rolled back.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from bot.core.job import FINAL, MAX_ATTEMPTS, MOVES, REFUNDED, Job, Record, State, StoredImage
from bot.core.ports.ledger import Answer, Limits, Order, OrderKind
from bot.errors import IllegalMoveError, JobRefusedError, KnownJobError, UnknownJobError
from sdxl_engine import ImageRequest

_MINUTE_S: Final = 60.0
_DAY_S: Final = 86_400.0
_SET_ASIDE: Final = (
    "This was tried twice, and the drawing engine broke down both times, so it will not be tried "
    "again. Ask for a smaller size or fewer steps."
)
_REFUNDED: Final = ", ".join(f"'{state}'" for state in sorted(REFUNDED))


def accept(connection: sqlite3.Connection, job: Job, limits: Limits) -> None:
    """Check the limits and write the job down; raises JobRefusedError, KnownJobError."""
    known = connection.execute(
        "SELECT 1 FROM jobs WHERE interaction_id = ?", (job.interaction_id,)
    ).fetchone()
    if known is not None:
        raise KnownJobError(f"The interaction {job.interaction_id} was taken in before.")
    _check_limits(connection, job, limits)
    insert(connection, job)


def insert(connection: sqlite3.Connection, job: Job) -> None:
    """Write a new job down, whatever the limits.

    Raises IllegalMoveError if it repeats a job that was repeated before.
    """
    known = None if job.again_of is None else repeated_as(connection, job.again_of)
    if known is not None:
        raise IllegalMoveError(
            f"The job {job.again_of} was asked for again before, as {known}. If that one ended "
            "without pictures too, ask for it again."
        )
    connection.execute(
        "INSERT INTO users VALUES (:id, :name, :at_s, :at_s) "
        "ON CONFLICT (id) DO UPDATE SET name = :name, last_at_s = :at_s",
        {"id": job.user_id, "name": job.user_name, "at_s": job.asked_at_s},
    )
    number = connection.execute(
        "INSERT INTO jobs (id, state, user_id, guild_id, channel_id, message_id, token, "
        "interaction_id, attachment_limit_bytes, weight, cost, request, size_known, asked_at_s, "
        "again_of) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.id,
            State.QUEUED,
            job.user_id,
            job.guild_id,
            job.channel_id,
            job.message_id,
            job.token,
            job.interaction_id,
            job.attachment_limit_bytes,
            job.weight,
            job.cost,
            json.dumps(asdict(job.request)),
            job.size_known,
            job.asked_at_s,
            job.again_of,
        ),
    ).lastrowid
    assert number is not None  # noqa: S101 - an insert has one
    _note(connection, number, job.asked_at_s, None, State.QUEUED, "")


def move(
    connection: sqlite3.Connection,
    job_id: str,
    to: State,
    at_s: float,
    *,
    reason: str = "",
    images: Sequence[StoredImage] = (),
    request: ImageRequest | None = None,
    blameless: bool = False,
) -> Record:
    """Bring a job into another state; see `Ledger.move`."""
    before = get(connection, job_id)
    if to not in MOVES.get(before.state, ()):
        raise IllegalMoveError(f"The job {job_id} is {before.state}; it cannot become {to}.")
    number = _number(connection, job_id)
    changes: dict[str, object] = {"state": to}
    match to:
        case State.RUNNING:
            changes |= {"attempt": before.attempt + 1, "started_at_s": at_s}
        case State.QUEUED if before.state is State.DRAWN:
            # It was drawn once: nothing is to be held against it.
            changes |= {"attempt": 0, "started_at_s": None, "drawn_at_s": None}
            connection.execute("DELETE FROM images WHERE job = ?", (number,))
        case State.QUEUED:
            changes |= {"attempt": before.attempt - blameless, "started_at_s": None}
        case State.DRAWN:
            changes["drawn_at_s"] = at_s
            connection.executemany(
                "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (number, one.index, one.seed, one.filename, one.sha256, one.size_bytes)
                    for one in images
                ],
            )
    if request is not None:
        changes |= {"request": json.dumps(asdict(request)), "size_known": True}
    if to in FINAL:
        changes |= {"ended_at_s": at_s, "reason": reason}
    if to is State.DELIVERED:
        changes |= {"told": True, "token": ""}
    columns = ", ".join(f"{name} = ?" for name in changes)
    connection.execute(
        f"UPDATE jobs SET {columns} WHERE number = ?",  # noqa: S608 - our own column names
        (*changes.values(), number),
    )
    _note(connection, number, at_s, before.state, to, reason)
    return get(connection, job_id)


def place(connection: sqlite3.Connection, job_id: str, message_id: int) -> None:
    """Note which message is the job's card."""
    connection.execute("UPDATE jobs SET message_id = ? WHERE id = ?", (message_id, job_id))


def tell(connection: sqlite3.Connection, job_id: str) -> None:
    """Note that the person can read how the job ended."""
    connection.execute(
        "UPDATE jobs SET told = 1, token = '' WHERE id = ? AND ended_at_s IS NOT NULL", (job_id,)
    )


def recover(connection: sqlite3.Connection, at_s: float) -> list[Record]:
    """Set right what a crash left, and return all that is not over or not told, oldest first."""
    running = connection.execute("SELECT id, attempt FROM jobs WHERE state = 'running'").fetchall()
    for job_id, attempt in running:
        if attempt < MAX_ATTEMPTS:
            move(connection, job_id, State.QUEUED, at_s)
        else:
            move(connection, job_id, State.FAILED, at_s, reason=_SET_ASIDE)
    return _records(connection, "told = 0", (), "number")


def get(connection: sqlite3.Connection, job_id: str) -> Record:
    """One job; raises UnknownJobError."""
    found = _records(connection, "jobs.id = ?", (job_id,), "number")
    if not found:
        raise UnknownJobError(f"There is no job {job_id}.")
    return found[0]


def find(
    connection: sqlite3.Connection,
    *,
    states: Sequence[State] = (),
    user_id: int | None = None,
    guild_id: int | None = None,
    limit: int = 20,
) -> list[Record]:
    """The latest jobs, the newest first."""
    conditions, values = ["1"], list[object]()
    if states:
        conditions.append(f"state IN ({', '.join('?' * len(states))})")
        values += states
    for column, value in (("user_id", user_id), ("guild_id", guild_id)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    return _records(connection, " AND ".join(conditions), (*values, limit), "number DESC LIMIT ?")


def history(connection: sqlite3.Connection, job_id: str) -> list[tuple[float, str, str]]:
    """When a job came into which state, and why; oldest first."""
    rows: list[tuple[float, str, str]] = connection.execute(
        "SELECT at_s, to_state, transitions.reason FROM transitions "
        "JOIN jobs ON number = job WHERE id = ? ORDER BY transitions.rowid",
        (job_id,),
    ).fetchall()
    return rows


def repeated_as(connection: sqlite3.Connection, job_id: str) -> str | None:
    """The id of the job that asks for this one again; None: nobody did."""
    row = connection.execute("SELECT id FROM jobs WHERE again_of = ?", (job_id,)).fetchone()
    return None if row is None else str(row[0])


def counts(connection: sqlite3.Connection) -> dict[State, int]:
    """How many jobs there are of each state."""
    found = dict(connection.execute("SELECT state, jobs FROM counts").fetchall())
    return {state: found.get(state, 0) for state in State}


def add_order(connection: sqlite3.Connection, job_id: str, kind: OrderKind, at_s: float) -> int:
    """Write down what an operator wants; raises UnknownJobError."""
    get(connection, job_id)
    order_id = connection.execute(
        "INSERT INTO orders (job_id, kind, at_s) VALUES (?, ?, ?)", (job_id, kind, at_s)
    ).lastrowid
    assert order_id is not None  # noqa: S101 - an insert has one
    return order_id


def orders(connection: sqlite3.Connection) -> list[Order]:
    """What operators want and nobody has done yet."""
    rows = connection.execute(
        "SELECT id, job_id, kind FROM orders WHERE answer IS NULL ORDER BY id"
    )
    return [Order(*row) for row in rows]


def answer(connection: sqlite3.Connection, order_id: int) -> Answer | None:
    """What came of an order; None: nothing yet."""
    sentence, done = connection.execute(
        "SELECT answer, done FROM orders WHERE id = ?", (order_id,)
    ).fetchone()
    return None if sentence is None else Answer(sentence, bool(done))


def settle(connection: sqlite3.Connection, order_id: int, answer: Answer) -> None:
    """Answer an order."""
    connection.execute(
        "UPDATE orders SET answer = ?, done = ? WHERE id = ?",
        (answer.sentence, answer.done, order_id),
    )


def outdated(connection: sqlite3.Connection, before_s: float) -> list[str]:
    """The jobs that were over before then, and are told."""
    rows = connection.execute(
        "SELECT id FROM jobs WHERE told = 1 AND ended_at_s < ? ORDER BY ended_at_s", (before_s,)
    )
    return [job_id for (job_id,) in rows]


def forget(connection: sqlite3.Connection, job_ids: Sequence[str], before_s: float) -> None:
    """Delete these jobs, and the orders and people that nothing was heard of since then."""
    connection.executemany("DELETE FROM jobs WHERE id = ?", [(job_id,) for job_id in job_ids])
    connection.execute(
        "DELETE FROM users WHERE last_at_s < ? "
        "AND NOT EXISTS (SELECT 1 FROM jobs WHERE user_id = users.id)",
        (before_s,),
    )
    connection.execute("DELETE FROM orders WHERE at_s < ?", (before_s,))


def _check_limits(connection: sqlite3.Connection, job: Job, limits: Limits) -> None:
    if counts(connection)[State.QUEUED] >= limits.queued:
        raise JobRefusedError(
            f"{limits.queued} jobs are already waiting. Ask again in a few minutes."
        )
    if limits.user_active:
        (active,) = connection.execute(
            "SELECT count(*) FROM jobs WHERE user_id = ? AND state IN ('queued', 'running')",
            (job.user_id,),
        ).fetchone()
        if active >= limits.user_active:
            raise JobRefusedError(
                f"You have {active} jobs in line, as many as one may have. Wait for one of them, "
                "or cancel one."
            )
    you, here = ("user_id", job.user_id), ("guild_id", job.guild_id)
    for (column, owner), limit, span_s, whose in (
        (you, limits.user_per_minute, _MINUTE_S, "You have asked {} times within a minute"),
        (you, limits.user_per_day, _DAY_S, "You have asked {} times within a day"),
        (here, limits.guild_per_minute, _MINUTE_S, "This server has asked {} times in a minute"),
        (here, limits.guild_per_day, _DAY_S, "This server has asked {} times within a day"),
    ):
        if not limit or owner is None:
            continue
        # The job that must leave the window before there is room in it again.
        row = connection.execute(
            f"SELECT asked_at_s FROM jobs WHERE {column} = ? AND asked_at_s > ? "  # noqa: S608 - our own names
            f"AND state NOT IN ({_REFUNDED}) ORDER BY asked_at_s DESC LIMIT 1 OFFSET ?",
            (owner, job.asked_at_s - span_s, limit - 1),
        ).fetchone()
        if row is not None:
            again_at_s = int(row[0] + span_s) + 1
            raise JobRefusedError(
                f"{whose.format(limit)}, which is the limit. There is room again "
                f"<t:{again_at_s}:R>."
            )


def _number(connection: sqlite3.Connection, job_id: str) -> int:
    (number,) = connection.execute("SELECT number FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return int(number)


def _note(
    connection: sqlite3.Connection,
    number: int,
    at_s: float,
    before: State | None,
    to: State,
    reason: str,
) -> None:
    connection.execute(
        "INSERT INTO transitions VALUES (?, ?, ?, ?, ?)", (number, at_s, before, to, reason)
    )


_COLUMNS: Final = (
    "jobs.id, state, attempt, user_id, users.name, guild_id, channel_id, message_id, token, "
    "interaction_id, attachment_limit_bytes, weight, cost, request, size_known, reason, told, "
    "asked_at_s, started_at_s, drawn_at_s, ended_at_s, again_of, number"
)


def _records(
    connection: sqlite3.Connection, where: str, values: Sequence[object], order: str
) -> list[Record]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs JOIN users ON users.id = user_id "  # noqa: S608 - our own text
        f"WHERE {where} ORDER BY {order}",
        values,
    ).fetchall()
    return [_record(connection, row) for row in rows]


def _record(connection: sqlite3.Connection, row: tuple[object, ...]) -> Record:
    values = dict(zip(_COLUMNS.replace("users.name", "user_name").split(", "), row, strict=True))
    number, state = values.pop("number"), State(str(values.pop("state")))
    images: tuple[StoredImage, ...] = ()
    if values["drawn_at_s"] is not None:
        images = tuple(
            StoredImage(*image)
            for image in connection.execute(
                "SELECT place, seed, filename, sha256, size_bytes FROM images "
                "WHERE job = ? ORDER BY place",
                (number,),
            )
        )
    mine = {name: values.pop(name) for name in list(values) if name in _OF_RECORD}
    values["id"] = values.pop("jobs.id")
    values["request"] = _request(str(values["request"]))
    values["size_known"] = bool(values["size_known"])
    mine["told"] = bool(mine["told"])
    job = Job(**values)  # type: ignore[arg-type]  # the columns are STRICT
    return Record(job=job, state=state, images=images, **mine)  # type: ignore[arg-type]  # as above


_OF_RECORD: Final = ("attempt", "reason", "told", "started_at_s", "drawn_at_s", "ended_at_s")


def _request(text: str) -> ImageRequest:
    values = json.loads(text)
    return ImageRequest(**{**values, "guidance_interval": tuple(values["guidance_interval"])})
