"""The transactions of those who keep order, each once; as `book.py`, which has those of jobs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, get_args

from bot.core.audit import FIRST_HASH, Deed, Entry, chained
from bot.core.case import Block, Case, CaseState, Notice, Report
from bot.core.job import Person, Record, State, Venue
from bot.core.ports.registry import Settings
from bot.core.rules import House, Place, Rules
from bot.core.verdict import Finding, Measure, Term, TermKind
from bot.errors import IllegalMoveError, JobRefusedError, UnknownJobError
from bot.ledgers.database import Connection, equals
from sdxl_engine.sentence import Sentence, say, say_many, to_json

_DAY_S: Final = 86_400.0
_REPORTS_A_DAY: Final = 20  # of one person
# Of a row of `houses`: what was over before then goes, as time passed; NULL: it says nothing.
DAYS_OVER_S: Final = "(SELECT passed_s FROM clock) - 86400.0 * houses.keep_days"
# How a job ends of which there is nothing to decide.
WITHOUT_PICTURES: Final = frozenset({State.CANCELLED, State.REJECTED, State.FAILED})


def house(connection: Connection, home: str, community: str) -> House:
    """All that a community has said."""
    key = home, community
    settings = _settings(connection, key)
    return House(
        rules={
            Place(channel or None, role or None): _rules(said)
            for channel, role, said in connection.execute(
                "SELECT channel, role, said FROM rules WHERE home = ? AND community = ?", key
            )
        },
        # Sorted here, for databases differ in what comes first.
        terms=tuple(
            Term(*row)
            for row in sorted(
                connection.execute(
                    "SELECT text, kind, measure, category FROM terms "
                    "WHERE home = ? AND community = ?",
                    key,
                )
            )
            if row[1] in get_args(TermKind) and row[2] in get_args(Measure)
        ),
        desk=settings.desk,
        paused=settings.paused,
        keep_days=settings.keep_days,
    )


def check_house(connection: Connection, deed: Deed, before: House) -> None:
    """Raise IllegalMoveError unless a deed's community has said just this."""
    if deed.community is not None and house(connection, deed.home, deed.community) != before:
        raise IllegalMoveError(f"The community {deed.community} has said something else by now.")


def set_rules(connection: Connection, place: Place, rules: Rules, deed: Deed, at_s: float) -> None:
    """Say something else of a place."""
    key = (deed.home, deed.community, place.channel or "", place.role or "")
    where = "home = ? AND community = ? AND channel = ? AND role = ?"
    row = connection.execute(
        f"SELECT said FROM rules WHERE {where}",  # noqa: S608 - our own text
        key,
    ).fetchone()
    connection.execute(f"DELETE FROM rules WHERE {where}", key)  # noqa: S608 - our own text
    if not rules.is_empty:
        connection.execute("INSERT INTO rules VALUES (?, ?, ?, ?, ?)", (*key, _json(rules.said)))
    before = {} if row is None else _rules(row[0]).said
    if before != rules.said:  # said again it changes nothing
        _write_change(connection, deed, before, rules.said, at_s)


def set_settings(connection: Connection, settings: Settings, deed: Deed, at_s: float) -> None:
    """Say something else of a community."""
    key = deed.home, deed.community
    before = _settings(connection, key)
    connection.execute("DELETE FROM houses WHERE home = ? AND community = ?", key)
    if settings != Settings():
        connection.execute(
            "INSERT INTO houses VALUES (?, ?, ?, ?, ?)",
            (*key, settings.desk, settings.paused, settings.keep_days),
        )
    if deed.kind == "desk":  # whatever was shown elsewhere, or nowhere, is for this one
        connection.execute(
            "UPDATE cases SET shown = 0, message = NULL "
            "WHERE home = ? AND community = ? AND state = 'open'",
            key,
        )
    if before != settings:  # as above
        _write_change(connection, deed, _said(before), _said(settings), at_s)


def change_terms(
    connection: Connection, add: Sequence[Term], drop: Sequence[str], deed: Deed, at_s: float
) -> None:
    """Add to a community's list, and drop from it."""
    key = deed.home, deed.community
    connection.executemany(
        "DELETE FROM terms WHERE home = ? AND community = ? AND text = ?",
        [(*key, text) for text in drop],
    )
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (home, community, text) DO UPDATE SET "
        "kind = excluded.kind, measure = excluded.measure, category = excluded.category",
        [(*key, one.text, one.kind, one.measure, one.category) for one in add],
    )
    added = [[one.text, one.kind, one.measure, one.category] for one in add]
    _write_change(connection, deed, {"dropped": list(drop)}, {"added": added}, at_s)


def block(connection: Connection, person: Person, block: Block, deed: Deed, at_s: float) -> bool:
    """Bar somebody from asking in a community."""
    before = _block(connection, person, deed.community)
    if before == block:
        return False
    connection.execute(
        "INSERT INTO blocks VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (home, community, person) DO UPDATE SET "
        "until_s = excluded.until_s, reason = excluded.reason",
        (person.home, deed.community, person.id, block.until_s, block.reason),
    )
    _write_change(
        connection,
        deed,
        {} if before is None else {"until_s": before.until_s},
        {"until_s": block.until_s},
        at_s,
    )
    _block_in_cases(connection, person, deed.community)
    return True


def unblock(connection: Connection, person: Person, deed: Deed, at_s: float) -> bool:
    """Let somebody ask there again."""
    row = connection.execute(
        "DELETE FROM blocks WHERE home = ? AND community = ? AND person = ? RETURNING until_s",
        (person.home, deed.community, person.id),
    ).fetchone()
    if row is None:
        return False
    _write_change(connection, deed, {"until_s": row[0]}, {}, at_s)
    _block_in_cases(connection, person, deed.community)
    return True


def block_of(connection: Connection, person: Person, community: str, now_s: float) -> Block | None:
    """Whether somebody is barred there now."""
    found = _block(connection, person, community)
    if found is None or (found.until_s is not None and found.until_s <= now_s):
        return None
    return found


def open_case(connection: Connection, case: Case, at_s: float) -> None:
    """Put something before the moderators."""
    connection.execute(
        "INSERT INTO cases (id, kind, state, home, community, channel, person, name, locale, job, "
        "prompt, findings, at_s, kept_since_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (
            case.id,
            case.kind,
            case.state,
            case.venue.home,
            case.venue.community,
            case.venue.channel,
            case.about.id,
            case.about.name,
            case.about.locale,
            case.job_id,
            case.prompt,
            _json([[f.measure, f.category, f.rule, f.where] for f in case.findings]),
            case.at_s,
            passed_s(connection, at_s),
        ),
    )


def report(
    connection: Connection, case: Case, report: Report, deed: Deed, now_s: float
) -> Case | None:
    """Add somebody's report to the case of a job; see `Registry.report`."""
    by = report.by
    (lately,) = connection.execute(
        "SELECT count(*) FROM reports WHERE home = ? AND person = ? AND at_s > ?",
        (by.home, by.id, now_s - _DAY_S),
    ).fetchone()
    if lately >= _REPORTS_A_DAY:
        raise JobRefusedError(
            say_many(
                "You have reported {count} message within a day, which is the limit.",
                "You have reported {count} messages within a day, which is the limit.",
                _REPORTS_A_DAY,
            )
        )
    row = connection.execute(
        "SELECT id FROM cases WHERE job = ? AND kind = 'reported'", (case.job_id,)
    ).fetchone()
    if row is None:
        open_case(connection, case, now_s)
    found = case.id if row is None else str(row[0])
    added = connection.execute(
        "INSERT INTO reports (case_number, home, person, name, reason, at_s) "
        "SELECT number, ?, ?, ?, ?, ? FROM cases WHERE id = ? "
        "ON CONFLICT DO NOTHING RETURNING number",
        (by.home, by.id, by.name, report.reason, now_s, found),
    ).fetchone()
    if added is None:
        return None
    if row is not None:
        connection.execute(
            # What was decided before is open again: somebody sees it otherwise.
            "UPDATE cases SET version = version + 1, "
            "state = CASE state WHEN 'approved' THEN 'open' ELSE state END WHERE id = ?",
            (found,),
        )
    write(connection, deed, now_s)
    return get_case(connection, found)


def get_case(connection: Connection, case_id: str) -> Case:
    """One case; raises UnknownJobError."""
    found = _cases(connection, "id = ?", (case_id,))
    if not found:
        raise UnknownJobError(say("This is no longer on record."))
    return found[0]


def cases_of(connection: Connection, person: Person) -> list[Case]:
    """The cases about somebody, wherever in their home, the oldest first."""
    return _cases(connection, "home = ? AND person = ?", (person.home, person.id))


def decide(connection: Connection, case_id: str, state: CaseState, deed: Deed, at_s: float) -> Case:
    """Note what was decided of one case; of pictures that are gone nothing is."""
    before = get_case(connection, case_id)
    if before.state in {state, "deleted"}:
        return before
    connection.execute(
        "UPDATE cases SET state = ?, decided = ?, version = version + 1 WHERE id = ?",
        (state, deed.actor, case_id),
    )
    _write_change(connection, deed, {"case": before.state}, {"case": state}, at_s)
    return get_case(connection, case_id)


def decide_cases(connection: Connection, job_id: str, state: CaseState, actor: str | None) -> None:
    """A job's cases follow what became of it."""
    connection.execute(
        "UPDATE cases SET state = ?, decided = ?, version = version + 1 "
        "WHERE job = ? AND state != ?",
        (state, actor, job_id, state),
    )


def see_again(connection: Connection, job_id: str) -> None:
    """There is more to be seen of a job than when its cases were shown: its pictures."""
    connection.execute("UPDATE cases SET version = version + 1 WHERE job = ?", (job_id,))


def state_after(record: Record) -> CaseState:
    """What the state of a job comes to for those who look at its case."""
    if record.deleted is not None or record.state in WITHOUT_PICTURES:
        return "deleted"
    return "blurred" if record.job.showing.is_held else "approved"


def forget(connection: Connection, before_s: float) -> None:
    """Delete the cases, with their reports, and the notices whose days are over.

    before_s  as time passed; where a community keeps less, what is over there goes sooner
    """
    # What waits for a moderator is given up first: by its case.
    waits = "AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = job AND jobs.state = 'review')"
    for table, unless in (("cases", waits), ("notices", "")):
        connection.execute(
            f"DELETE FROM {table} WHERE (kept_since_s < ? OR kept_since_s < ("  # noqa: S608 - our own names
            f"SELECT {DAYS_OVER_S} FROM houses WHERE houses.home = {table}.home "
            f"AND houses.community = {table}.community)) {unless}",
            (before_s,),
        )


def forget_prompt(connection: Connection, job_id: str) -> None:
    """A job is forgotten: its cases speak of it by its id alone."""
    connection.execute(
        "UPDATE cases SET prompt = '', version = version + 1 WHERE job = ? AND prompt != ''",
        (job_id,),
    )


def warn(connection: Connection, case_id: str, deed: Deed, sentence: str, at_s: float) -> Case:
    """Note that somebody is warned, and what they are to be told; the same again is one warning."""
    before = get_case(connection, case_id)
    if before.warned and _warned_so(connection, case_id, deed):
        return before
    connection.execute(
        "UPDATE cases SET warned = warned + 1, version = version + 1 WHERE id = ?", (case_id,)
    )
    about = before.about
    connection.execute(
        "INSERT INTO notices "
        "(home, person, name, locale, community, sentence, said, kept_since_s) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            about.home,
            about.id,
            about.name,
            about.locale,
            before.venue.community,
            sentence,
            to_json(sentence) if isinstance(sentence, Sentence) else None,
            passed_s(connection, at_s),
        ),
    )
    _write_change(
        connection,
        deed,
        {"warned": before.warned},
        {"warned": before.warned + 1, "case": case_id},
        at_s,
    )
    return get_case(connection, case_id)


def _warned_so(connection: Connection, case_id: str, deed: Deed) -> bool:
    here, community = equals("community", deed.community)
    rows = connection.execute(
        f"SELECT after FROM audit WHERE home = ? AND {here} AND kind = 'warn' AND target = ? "  # noqa: S608 - our own text
        "AND reason = ?",
        (deed.home, *community, deed.target, deed.reason),
    )
    return any(case_id in after for (after,) in rows)


def not_shown(connection: Connection, home: str, *, limit: int) -> list[Case]:
    """The cases that no desk shows as they are now, the oldest first."""
    return _cases(connection, "home = ? AND shown < version", (home,), f"number LIMIT {int(limit)}")


def shown(connection: Connection, case: Case, message: str | None) -> None:
    """Note that a desk shows this version, or that none can."""
    # Not where another desk was named meanwhile. A message that somebody took away stays away.
    still, before = equals("message", case.message)
    connection.execute(
        "UPDATE cases SET shown = CASE WHEN shown < ? THEN ? ELSE shown END, "  # noqa: S608 - our own text
        f"message = coalesce(?, message) WHERE id = ? AND {still}",
        (case.version, case.version, message, case.id, *before),
    )


def notices(
    connection: Connection, home: str, sentence: Callable[[str, str | None], str], *, limit: int
) -> list[Notice]:
    """What is to be told, the oldest first.

    sentence  makes one of its text and of what that was made of
    """
    rows = connection.execute(
        "SELECT number, person, name, locale, community, sentence, said FROM notices "
        "WHERE home = ? ORDER BY number LIMIT ?",
        (home, limit),
    )
    return [
        Notice(number, Person(home, person, name, locale), community, sentence(text, said))
        for number, person, name, locale, community, text, said in rows
    ]


def told(connection: Connection, notice: Notice) -> None:
    """It was told, or cannot be."""
    connection.execute("DELETE FROM notices WHERE number = ?", (notice.number,))


def audit(
    connection: Connection,
    home: str | None,
    community: str | None,
    *,
    limit: int,
    before: int | None,
) -> list[Entry]:
    """What was done in a community, the latest first; without a home: everywhere."""
    where, values = "1 = 1", list[object]()
    if home is not None:
        here, there = equals("community", community)
        where, values = f"home = ? AND {here}", [home, *there]
    if before is not None:
        where, values = f"{where} AND number < ?", [*values, before]
    return _entries(connection, where, [*values, limit], "number DESC LIMIT ?")


def chain(connection: Connection, after: int | None, *, limit: int) -> list[Entry]:
    """All that was done, in order, behind an entry; None: and whatever stands before the first."""
    where, values = ("1 = 1", [limit]) if after is None else ("number > ?", [after, limit])
    return _entries(connection, where, values, "number LIMIT ?")


def write(connection: Connection, deed: Deed, at_s: float) -> None:
    """Add a deed to the audit."""
    last = connection.execute(
        "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
    ).fetchone()
    number, previous = (0, FIRST_HASH) if last is None else last
    # What no PostgreSQL could hold would be another text there than the one that was hashed.
    deed = replace(deed, reason=deed.reason.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    entry = chained(deed, number + 1, at_s, previous)
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.number,
            entry.at_s,
            entry.home,
            entry.community,
            entry.actor,
            entry.kind,
            entry.target,
            entry.reason,
            entry.before,
            entry.after,
            entry.hash,
        ),
    )


def passed_s(connection: Connection, at_s: float) -> float:
    """How much time has passed, as of the last look; before the first, what the clock says."""
    row = connection.execute("SELECT passed_s FROM clock").fetchone()
    return at_s if row is None else float(row[0])


def _write_change(
    connection: Connection,
    deed: Deed,
    before: Mapping[str, object],
    after: Mapping[str, object],
    at_s: float,
) -> None:
    write(connection, replace(deed, before=before, after=after), at_s)


def _block_in_cases(connection: Connection, person: Person, community: str | None) -> None:
    """Their cases say whether they are barred."""
    here, there = equals("community", community)
    connection.execute(
        f"UPDATE cases SET version = version + 1 WHERE home = ? AND {here} AND person = ?",  # noqa: S608 - our own text
        (person.home, *there, person.id),
    )


def _block(connection: Connection, person: Person, community: str | None) -> Block | None:
    row = connection.execute(
        "SELECT until_s, reason FROM blocks WHERE home = ? AND community = ? AND person = ?",
        (person.home, community, person.id),
    ).fetchone()
    return None if row is None else Block(*row)


def _settings(connection: Connection, key: tuple[str, str | None]) -> Settings:
    row = connection.execute(
        "SELECT desk, paused, keep_days FROM houses WHERE home = ? AND community = ?", key
    ).fetchone()
    return Settings() if row is None else Settings(*row)


def _said(settings: Settings) -> dict[str, object]:
    return {
        "desk": settings.desk,
        "paused": settings.paused,
        "keep_days": settings.keep_days,
    }


def _rules(text: str) -> Rules:
    """Rules as they were written; what a newer version said besides is passed over."""
    said: dict[str, Any] = json.loads(text)
    names = {one.name for one in fields(Rules)}
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in said.items()
        if name in names
    }
    return Rules(**known)


def _cases(
    connection: Connection, where: str, values: Sequence[object], order: str = "number"
) -> list[Case]:
    rows = connection.execute(
        "SELECT number, id, kind, state, home, community, channel, person, name, locale, job, "  # noqa: S608 - our own text
        "prompt, findings, at_s, decided, warned, message, version, until_s, reason "
        "FROM cases LEFT JOIN blocks USING (home, community, person) "
        f"WHERE {where} ORDER BY {order}",
        values,
    ).fetchall()
    return [_case(connection, *row) for row in rows]


def _case(
    connection: Connection,
    *row: Any,  # noqa: ANN401 - of the types that the tables enforce
) -> Case:
    (number, case_id, kind, state, home, community, channel, person, name, locale) = row[:10]
    (job, prompt, findings, at_s, decided, warned, message, version, until_s, reason) = row[10:]
    reports = connection.execute(
        "SELECT home, person, name, reason FROM reports WHERE case_number = ? ORDER BY number",
        (number,),
    ).fetchall()
    return Case(
        id=case_id,
        kind=kind,
        state=state,
        about=Person(home, person, name, locale),
        venue=Venue(home, community, channel),
        job_id=job,
        prompt=prompt,
        findings=tuple(Finding(*one) for one in json.loads(findings)),
        at_s=at_s,
        decided=decided,
        reports=tuple(Report(Person(*who), reason) for *who, reason in reports),
        warned=warned,
        # A block has a reason, if only an empty one; without one there was nothing to join.
        block=None if reason is None else Block(until_s, reason),
        message=message,
        version=version,
    )


def _entries(
    connection: Connection, where: str, values: Sequence[object], order: str
) -> list[Entry]:
    rows = connection.execute(
        "SELECT number, at_s, home, community, actor, kind, target, reason, before, after, hash "  # noqa: S608 - our own text
        f"FROM audit WHERE {where} ORDER BY {order}",
        values,
    )
    return [Entry(*row) for row in rows]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
