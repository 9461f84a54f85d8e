"""The transactions about all that is kept of one person; as `book.py`, which has those of jobs."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from bot.core import offspring
from bot.core.audit import Deed
from bot.core.defaults import Scope
from bot.core.job import FINAL, Person, Record, State
from bot.core.kept import File, Kept, Stored
from bot.core.verdict import Finding
from bot.core.wish import Wish
from bot.ledgers import book, wish_json
from bot.ledgers import registry_book as registry
from bot.ledgers.database import Connection
from sdxl_engine.sentence import Sentence, to_json

_EMPTY: Final = wish_json.write(Wish(""))
_ALL: Final = 1_000_000_000
# `last_at_s` is time that surely passed, as of the last look at the clock; people read dates.
_SEEN: Final = "last_at_s + coalesce((SELECT wall_s - passed_s FROM clock), 0)"
_LAST: Final = f"CASE WHEN first_at_s > {_SEEN} THEN first_at_s ELSE {_SEEN} END"
# A person's jobs, and those of anybody that show the same pictures. What others made of something
# that they drew larger of another's picture shows that, and is not theirs.
_THEIRS: Final = (
    "WITH RECURSIVE theirs (id, shown) AS (SELECT id, 0 FROM jobs WHERE home = ? AND person = ? "  # noqa: S608 - our own text
    "UNION SELECT jobs.id, CASE WHEN act = 'upscale' THEN 1 ELSE shown END "
    "FROM jobs JOIN theirs ON parent = theirs.id "
    f"WHERE {book.SHOWS_PARENT} AND (shown = 1 OR act IN ('publish', 'upscale'))) "
    "SELECT id FROM theirs"
)


def kept(connection: Connection, person: Person) -> Kept:
    """How much is kept of a person."""
    key = person.home, person.id

    def count(sql: str) -> int:
        (number,) = connection.execute(f"SELECT count(*) FROM {sql}", key).fetchone()  # noqa: S608 - our own text
        return int(number)

    (jobs, emptied, first_s, asked_s, ended_s) = connection.execute(
        "SELECT count(*), count(CASE WHEN wish = ? THEN 1 END), min(asked_at_s), max(asked_at_s), "
        "max(ended_at_s) FROM jobs WHERE home = ? AND person = ?",
        (_EMPTY, *key),
    ).fetchone()
    met = connection.execute(
        f"SELECT first_at_s, {_LAST} FROM people WHERE home = ? AND id = ?",  # noqa: S608 - our own text
        key,
    ).fetchone()
    seen = connection.execute(
        "SELECT min(at_s), max(at_s) FROM (SELECT at_s FROM cases WHERE home = ? AND person = ? "
        "UNION ALL SELECT at_s FROM reports WHERE home = ? AND person = ?) AS seen",
        (*key, *key),
    ).fetchone()
    times = [one for one in (first_s, asked_s, ended_s, *(met or ()), *seen) if one is not None]
    return Kept(
        jobs=jobs - emptied,
        emptied=emptied,
        pictures=count("images JOIN jobs ON number = job WHERE home = ? AND person = ?"),
        favourites=count("favourites WHERE home = ? AND person = ?"),
        defaults=count("defaults WHERE home = ? AND id = ? AND whose = 'person'"),
        reports=count("reports WHERE home = ? AND person = ?"),
        cases=count("cases WHERE home = ? AND person = ?"),
        blocks=count("blocks WHERE home = ? AND person = ?"),
        since_s=min(times, default=None),
        latest_s=max(times, default=None),
    )


def stored(connection: Connection, person: Person) -> Stored:
    """All that is kept of a person, and no name or id of anybody else."""
    key = person.home, person.id
    records = book.find(connection, person=person, limit=_ALL)
    (usual,) = book.defaults(connection, [Scope(person.home, "person", person.id)])
    met = connection.execute(
        f"SELECT name, first_at_s, {_LAST}, mention FROM people WHERE home = ? AND id = ?",  # noqa: S608 - our own text
        key,
    ).fetchone()
    cases = registry.cases_of(connection, person)
    data = {
        "person": {
            "home": person.home,
            "id": person.id,
            **(
                {}
                if met is None
                else {
                    "name": met[0],
                    "first": _at(met[1]),
                    "last": _at(met[2]),
                    "mention": bool(met[3]),
                }
            ),
        },
        "jobs": [_job(one) for one in records],
        "favourites": [
            {"job": one.job.id, "picture": index + 1}
            for one, index in book.favourites(connection, person, limit=_ALL)
        ],
        "usual": {**_said(usual.wish), **_open_left_out(asdict(usual.manner))},
        "reports": [
            {"job": job, "community": community, "at": _at(at_s), "reason": reason}
            for job, community, at_s, reason in connection.execute(
                "SELECT job, community, reports.at_s, reason FROM reports "
                "JOIN cases ON cases.number = case_number "
                "WHERE reports.home = ? AND reports.person = ? ORDER BY reports.number",
                key,
            )
        ],
        "cases": [
            {
                "kind": one.kind,
                "state": one.state,
                "at": _at(one.at_s),
                "job": one.job_id,
                "community": one.venue.community,
                "channel": one.venue.channel,
                "prompt": one.prompt,
                "findings": [_finding(finding) for finding in one.findings],
                "warned": one.warned,
                "reports": len(one.reports),
            }
            for one in cases
        ],
        "blocks": [
            {"community": community, "until": _at(until_s), "reason": reason}
            for community, until_s, reason in connection.execute(
                "SELECT community, until_s, reason FROM blocks WHERE home = ? AND person = ?", key
            )
        ],
        "notices": [
            {"community": community, "sentence": sentence}
            for community, sentence in connection.execute(
                "SELECT community, sentence FROM notices WHERE home = ? AND person = ? "
                "ORDER BY number",
                key,
            )
        ],
        "audit": [
            {
                "number": number,
                "at": _at(at_s),
                "community": community,
                "deed": kind,
                "by": "the person" if actor == person.id else "somebody else",
                "reason": reason,
            }
            for number, at_s, community, kind, actor, reason in connection.execute(
                "SELECT number, at_s, community, kind, actor, reason FROM audit "
                "WHERE home = ? AND ? IN (actor, target) ORDER BY number",
                key,
            )
        ],
    }
    return Stored(data, tuple(file for one in records for file in _files(one)))


def to_erase(connection: Connection, person: Person) -> list[Record]:
    """The jobs that hold something of a person still; see `Registry.to_erase`."""
    rows = connection.execute(
        f"SELECT id FROM jobs WHERE id IN ({_THEIRS}) AND wish != ? ORDER BY number",  # noqa: S608 - our own text
        (person.home, person.id, _EMPTY),
    ).fetchall()
    return [book.get(connection, job_id) for (job_id,) in rows]


def erase(
    connection: Connection, person: Person, job_ids: Sequence[str], sentence: str, at_s: float
) -> int:
    """Empty these jobs, and all else of a person; see `Registry.erase`."""
    key = person.home, person.id
    touched = dict[str | None, int]()
    for job_id in job_ids:
        record = book.find_one(connection, job_id)
        if record is not None and record.state in FINAL:
            _empty(connection, record, person, sentence)
            community = record.job.origin.venue.community
            touched[community] = touched.get(community, 0) + 1
    emptied = sum(touched.values())
    for sql in (
        "UPDATE cases SET name = '', prompt = '', version = version + 1 "
        "WHERE home = ? AND person = ? AND (name != '' OR prompt != '') RETURNING community",
        "UPDATE cases SET version = version + 1 WHERE number IN (SELECT case_number FROM reports "
        "WHERE home = ? AND person = ? AND (name != '' OR reason != '')) RETURNING community",
        "UPDATE reports SET name = '', reason = '' "
        "WHERE home = ? AND person = ? AND (name != '' OR reason != '') RETURNING NULL",
        "DELETE FROM favourites WHERE home = ? AND person = ? RETURNING NULL",
        "DELETE FROM defaults WHERE home = ? AND id = ? AND whose = 'person' RETURNING NULL",
        "DELETE FROM notices WHERE home = ? AND person = ? RETURNING community",
        "UPDATE people SET name = '', mention = 0 "
        "WHERE home = ? AND id = ? AND (name != '' OR mention != 0) RETURNING NULL",
    ):
        for (community,) in connection.execute(sql, key).fetchall():
            touched.setdefault(community, 0)
    if len(touched) > 1 and not touched.get(None, 1):  # said where it is seen
        del touched[None]
    for community, jobs in touched.items():
        deed = Deed("erase", person.id, person.home, community, person.id, after={"jobs": jobs})
        registry.write(connection, deed, at_s)
    return emptied


def _empty(connection: Connection, record: Record, person: Person, sentence: str) -> None:
    """Leave ids and times of a job, and what its card is to say."""
    job_id = record.job.id
    said = to_json(sentence) if isinstance(sentence, Sentence) else None
    number = book.number_of(connection, job_id)
    for table in ("images", "favourites"):
        connection.execute(f"DELETE FROM {table} WHERE job = ?", (number,))  # noqa: S608 - our own names
    connection.execute(
        "UPDATE transitions SET reason = '' WHERE job = ? AND reason != ''", (number,)
    )
    connection.execute(
        "UPDATE jobs SET wish = ?, upscaled = 0, deleted = ?, deleted_said = ?, "
        "amend = CASE WHEN message IS NULL THEN 0 ELSE 1 END, "
        "reason = CASE WHEN reason = '' THEN '' ELSE ? END, "
        "reason_said = CASE WHEN reason = '' THEN NULL ELSE ? END WHERE number = ?",
        (_EMPTY, sentence, said, sentence, said, number),
    )
    registry.forget_prompt(connection, job_id)
    registry.decide_cases(connection, job_id, "deleted", person.id)


def _job(record: Record) -> dict[str, object]:
    job, venue, parent = record.job, record.job.origin.venue, record.job.parent
    return _open_left_out(
        {
            "job": job.id,
            "state": record.state.value,
            "community": venue.community,
            "channel": venue.channel,
            "message": job.origin.message,
            "asked": _at(job.asked_at_s),
            "started": _at(record.started_at_s),
            "drawn": _at(record.drawn_at_s),
            "ended": _at(record.ended_at_s),
            "language": job.person.locale or None,
            "wish": _said(job.wish),
            "private": job.showing.private,
            "blurred": job.showing.spoiler,
            "mention": job.showing.mention,
            "reason": record.reason or None,
            "deleted": None if record.deleted is None else str(record.deleted),
            "again_of": job.again_of,
            "made_of": None
            if parent is None
            else _open_left_out({"job": parent.job_id, "act": parent.act, "picture": parent.index}),
            "pictures": [asdict(one) for one in record.images],
        }
    )


def _finding(finding: Finding) -> dict[str, object]:
    """Not by what word: the list would be read off it."""
    return {name: value for name, value in asdict(finding).items() if name != "rule"}


def _files(record: Record) -> list[File]:
    job_id = record.job.id
    # What a moderator looks at first nobody has by another way.
    shown = () if record.state is State.REVIEW else record.images
    drawn = [File(job_id, one) for one in shown]
    return [*drawn, *(File(job_id, digest=one) for one in offspring.brought_for(record.job.wish))]


def _said(wish: Wish) -> dict[str, object]:
    return _open_left_out(asdict(wish))


def _open_left_out(data: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in data.items() if value is not None}


def _at(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
