"""A ledger goes from one database to another: every row, every number, or nothing at all."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from bot.core.audit import Deed, first_broken
from bot.core.job import State
from bot.errors import LedgerError
from bot.ledgers import book, copying, registry_book
from bot.ledgers.copying import TABLES, Row, Rows, Table, is_empty
from bot.ledgers.database import Connection, Database
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.moving import move
from bot.ledgers.postgres.records import PostgresRecords
from bot.ledgers.records import Records
from bot.ledgers.sqlite.database import connect
from bot.ledgers.sqlite.loss import read_mark
from bot.ledgers.sqlite.records import SqliteRecords
from bot.shared.data_folder import IMAGES, LEDGER, LEDGER_LOCK
from tests.bot.core.jobs import NOON_S, make_job
from tests.bot.ledgers.busy import LIMITS, Happening, happen, happenings
from tests.bot.ledgers.databases import server
from tests.bot.ledgers.postgres.pooler import pooled

MUCH: Sequence[Happening] = (
    ("hear", 1, 1, 0),
    *(("ask", who, how, 3) for who in range(3) for how in range(4)),
    *(("move on", 2, how % 10, 5) for how in range(40)),
    *(("like", 1, how, 1) for how in range(10)),
    *((what, 1, how, 1) for how in range(4) for what in ("warn", "report", "order", "rules")),
    *((what, 2, 1, 1) for what in ("usual", "settings", "terms", "block", "look at the clock")),
)
Tables = dict[str, list[Row]]


def nothing(_done: int, _total: int) -> None:
    """Nobody watches."""


def fill(folder: Path, story: Sequence[Happening] = MUCH) -> SqliteRecords:
    with closing(connect(folder / LEDGER, makes=True)) as connection:
        connection.execute("BEGIN")
        happen(connection, story)
        connection.execute("COMMIT")
    return SqliteRecords(folder)


def rows_of(records: Records) -> Tables:
    """All rows, read as plainly as can be; sorted by Python."""
    with records.reading() as connection:
        return {
            table.name: sorted(
                (
                    tuple(row)
                    for row in connection.execute(
                        f"SELECT {'rowid, ' if table.name == 'transitions' else ''}{columns} "  # noqa: S608 - our own names
                        f"FROM {table.name}"
                    )
                ),
                key=repr,
            )
            for table in TABLES
            for columns in [", ".join(_columns(table.name))]
        }


@cache
def _columns(table: str) -> list[str]:
    """As SQLite's newest form has them."""
    with TemporaryDirectory() as folder, closing(connect(Path(folder, "x"), makes=True)) as new:
        return [name for _, name, *_ in new.execute(f"PRAGMA table_info({table})")]


def number_of_a_new_job(records: Records) -> int:
    job = make_job()
    with records.writing() as connection:
        book.accept(connection, job, LIMITS)
        return book.number_of(connection, job.id)


def number_of_a_new_notice(connection: Connection) -> int:
    happen(connection, [("warn", 1, 1, 12_345)])
    (number,) = connection.execute("SELECT max(number) FROM notices").fetchone()
    return int(number)


def check_it_goes_on(records: Records, before: Tables) -> None:
    """A bot works on with it: numbers go on, the audit is whole, the counts are right."""
    last = max((row[0] for row in before["jobs"]), default=0)
    assert number_of_a_new_job(records) == last + 1
    with records.writing() as connection:
        registry_book.write(connection, Deed("warn", "7", "village", "1"), NOON_S)
        entries = registry_book.chain(connection, None, limit=10_000)
        assert len(entries) == len(before["audit"]) + 1
        assert first_broken(entries) is None
        states = [row.state for row in book.find(connection, limit=10_000)]
        assert book.counts(connection) == {state: states.count(state) for state in State}


@given(story=happenings)
@settings(max_examples=25)
def test_every_row_arrives_as_it_was(story: list[Happening]) -> None:
    with TemporaryDirectory() as name:
        source, target = fill(Path(name, "a"), story), SqliteRecords(Path(name, "b"))
        before = rows_of(source)
        copied = move(source, target, nothing)
        assert rows_of(target) == before == rows_of(source)
        assert copied.rows == {table: len(rows) for table, rows in before.items()}
        check_it_goes_on(target, before)


@pytest.mark.scale
@given(story=happenings)
@settings(max_examples=15)
def test_every_row_comes_back_from_postgresql_as_it_was(story: list[Happening]) -> None:
    with TemporaryDirectory() as name:
        source, back = fill(Path(name, "a"), story), SqliteRecords(Path(name, "b"))
        there = PostgresRecords(server().new_database())
        before = rows_of(source)
        for one, another in ((source, there), (there, back)):
            move(one, another, nothing)
            assert rows_of(another) == before
        for one in (there, back):
            check_it_goes_on(one, before)


@pytest.mark.scale
def test_it_goes_from_one_postgresql_to_another(tmp_path: Path) -> None:
    source = fill(tmp_path)
    there, elsewhere = (PostgresRecords(server().new_database()) for _ in range(2))
    move(source, there, nothing)
    move(there, elsewhere, nothing)
    assert rows_of(elsewhere) == rows_of(source)


def test_much_is_in_every_table(tmp_path: Path) -> None:
    """Or the other tests would prove less than they say."""
    assert not [name for name, rows in rows_of(fill(tmp_path)).items() if not rows]


def tables_of_sqlite() -> set[str]:
    with TemporaryDirectory() as name, closing(connect(Path(name, "x"), makes=True)) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {table for (table,) in found if not table.startswith("sqlite_")}


def test_no_table_of_sqlite_is_left_out() -> None:
    assert {table.name for table in TABLES} == tables_of_sqlite()


@pytest.mark.scale
def test_no_table_of_postgresql_is_left_out_but_what_a_bot_has_for_itself() -> None:
    records = PostgresRecords(server().new_database())
    with records.filling():
        pass
    with records.reading() as connection:
        found = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        assert {name for (name,) in found} == {table.name for table in TABLES} | {
            "form",
            "lease",
            "ranges",
        }


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.scale)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    """Where no ledger is yet."""
    if request.param == "sqlite":
        return SqliteRecords(tmp_path / "target")
    return PostgresRecords(server().new_database())


@pytest.fixture
def source(tmp_path: Path) -> SqliteRecords:
    return fill(tmp_path / "source")


async def test_a_bot_opens_it(source: SqliteRecords, target: Records) -> None:
    move(source, target, nothing)
    ledger = DatabaseLedger(target.database())
    ledger.open()
    try:
        job = make_job()
        await ledger.accept(job, LIMITS)
        assert (await ledger.get(job.id)).job == job
        assert len(await ledger.find(limit=100)) == 13
    finally:
        ledger.close()


def test_numbers_that_were_given_are_not_given_again(tmp_path: Path, target: Records) -> None:
    """Of notices, whose numbers are nonces: also the last ones, which are deleted."""
    source = fill(tmp_path, [*MUCH, ("told", 0, 0, 0)])
    with source.reading() as connection:
        (given,) = connection.execute("SELECT seq FROM sqlite_sequence").fetchone()
        (left,) = connection.execute("SELECT max(number) FROM notices").fetchone()
    assert left < given
    move(source, target, nothing)
    with target.writing() as connection:
        assert number_of_a_new_notice(connection) == given + 1
    back = SqliteRecords(tmp_path / "back")
    with target.writing() as connection:
        connection.execute("DELETE FROM notices WHERE number > ?", (left,))
    move(target, back, nothing)
    with back.writing() as connection:
        assert number_of_a_new_notice(connection) == given + 2


def test_a_ledger_with_nothing_in_it_takes_it(source: SqliteRecords, target: Records) -> None:
    with target.filling() as there:
        assert is_empty(there)
    with target.writing() as connection:  # as a bot leaves it that nobody has asked
        book.look_at_clock(connection, 1.0, None)
    assert target.examine() == 0
    move(source, target, nothing)
    assert rows_of(target) == rows_of(source)


def test_a_ledger_that_is_there_stays_as_it_is(
    tmp_path: Path, source: SqliteRecords, target: Records
) -> None:
    move(fill(tmp_path / "other", [("hear", 1, 1, 1)]), target, nothing)
    before = rows_of(target)
    with pytest.raises(LedgerError, match="There is a ledger already in"):
        move(source, target, nothing)
    assert rows_of(target) == before


def test_nothing_is_moved_from_where_nothing_is_or_to_itself(
    tmp_path: Path, source: SqliteRecords, target: Records
) -> None:
    with pytest.raises(LedgerError, match="There is nothing to move"):
        move(target, SqliteRecords(tmp_path / "there"), nothing)
    assert not (tmp_path / "there").exists()
    (tmp_path / "link").symlink_to(tmp_path / "source")
    with pytest.raises(LedgerError, match="Name two places"):
        move(source, SqliteRecords(tmp_path / "link"), nothing)


@contextmanager
def working(records: Records) -> Iterator[None]:
    database = records.database()
    database.open()
    try:
        yield
    finally:
        database.close()


def test_no_bot_works_with_either(source: SqliteRecords, target: Records) -> None:
    with working(source), pytest.raises(LedgerError, match="A bot works with the folder"):
        move(source, target, nothing)
    assert target.examine() is None
    with working(target), pytest.raises(LedgerError, match=r"bot (already )?works"):
        move(source, target, nothing)
    assert target.examine() == 0
    move(source, target, nothing)
    with working(target), pytest.raises(LedgerError, match="A bot works with"):
        move(target, source, nothing)


def test_a_bot_that_begins_meanwhile_is_noticed(source: SqliteRecords, target: Records) -> None:
    """What it writes would be lost."""

    def begin(_done: int, _total: int) -> None:
        if not bots:
            bots.append(source.database())
            bots[0].open()

    bots: list[Database] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_SHOWN_EVERY", 1)
        with pytest.raises(LedgerError, match="A bot works with"):
            move(source, target, begin)
    bots[0].close()
    assert target.examine() is None


def test_no_bot_begins_where_it_is_moved_to(source: SqliteRecords, tmp_path: Path) -> None:
    target = SqliteRecords(tmp_path / "target")
    with target.filling(), pytest.raises(LedgerError, match="Another bot already works"):
        target.database().open()


class _Broken(SqliteRecords):
    """Of which one row cannot be read, in the last table."""

    @contextmanager
    def whole(self) -> Iterator[copying.Source]:
        with super().whole() as whole:
            real = whole.rows

            def rows(table: Table, columns: Sequence[str]) -> Rows:
                yield from real(table, columns)
                if table is TABLES[-1]:
                    raise LedgerError("The disk broke.")

            whole.rows = rows  # type: ignore[method-assign] # of this one alone
            yield whole


@pytest.mark.parametrize("is_there", [False, True])
def test_what_breaks_off_leaves_nothing(
    tmp_path: Path, target: Records, source: SqliteRecords, *, is_there: bool
) -> None:
    if is_there:
        with target.filling():
            pass
    with pytest.raises(LedgerError, match="The disk broke"):
        move(_Broken(tmp_path / "source"), target, nothing)
    if is_there:
        with target.whole() as whole:
            assert is_empty(whole)
            assert whole.count(TABLES[-1]) == 0
    else:
        assert target.examine() is None
        left = tmp_path / "target"
        assert not left.exists() or [path.name for path in left.iterdir()] == [LEDGER_LOCK]
    move(source, target, nothing)
    assert number_of_a_new_job(target) == 13


GARBLES: dict[str, Callable[[sqlite3.Connection], None]] = {
    "a digit": lambda at: at.execute(
        "CREATE TRIGGER harm AFTER INSERT ON audit BEGIN "
        "UPDATE jobs SET weight = weight + 1e-12 WHERE number = 3; END"
    ).close(),
    "a row": lambda at: at.execute(
        "CREATE TRIGGER harm AFTER INSERT ON audit BEGIN "
        "DELETE FROM terms WHERE home IS NOT NULL; END"
    ).close(),
    "a name": lambda at: at.execute(
        "CREATE TRIGGER harm AFTER INSERT ON people BEGIN "
        "UPDATE people SET name = name || ' ' WHERE id = new.id; END"
    ).close(),
}


@pytest.mark.parametrize("garble", GARBLES)
def test_what_is_not_read_back_as_it_was_is_not_kept(
    garble: str, source: SqliteRecords, tmp_path: Path
) -> None:
    target = SqliteRecords(tmp_path / "target")
    with closing(connect(tmp_path / "target" / LEDGER, makes=True)) as connection:
        GARBLES[garble](connection)
    with pytest.raises(LedgerError, match="is not what is read back from it"):
        move(source, target, nothing)
    with target.whole() as whole:
        assert is_empty(whole)


def test_a_log_without_its_ledger_is_not_taken_for_the_new_ones(
    source: SqliteRecords, tmp_path: Path
) -> None:
    """SQLite would play it into whatever file stands beside it."""
    target = tmp_path / "target"
    target.mkdir()
    (target / f"{LEDGER}-wal").write_bytes(b"another's")
    with pytest.raises(LedgerError, match="belongs to a ledger that is not there"):
        move(source, SqliteRecords(target), nothing)
    assert (target / f"{LEDGER}-wal").read_bytes() == b"another's"
    assert not (target / LEDGER).exists()


def test_pictures_and_a_mark_of_before_are_no_sign_of_a_loss(
    source: SqliteRecords, tmp_path: Path
) -> None:
    """Back to the folder that the ledger once came from, and where the pictures always were."""
    target = tmp_path / "target"
    (target / IMAGES / "job").mkdir(parents=True)
    (target / IMAGES / "job" / "0.png").touch()
    (target / LEDGER_LOCK).write_bytes(b"%020d" % 1_000)
    move(source, SqliteRecords(target), nothing)
    assert read_mark(target) == 12
    assert {path.name for path in target.iterdir()} == {IMAGES, LEDGER, LEDGER_LOCK}
    assert (target / LEDGER).stat().st_mode & 0o077 == 0
    with working(SqliteRecords(target)):
        pass
    (target / LEDGER).unlink()
    with pytest.raises(LedgerError, match="what was on record is lost"):
        SqliteRecords(target).examine()


@pytest.mark.scale
def test_what_postgresql_has_no_sign_for_is_counted(source: SqliteRecords) -> None:
    with source.writing() as connection:
        connection.execute("UPDATE people SET name = 'a' || char(0) || 'b'")
        (people,) = connection.execute("SELECT count(*) FROM people").fetchone()
    target = PostgresRecords(server().new_database())
    assert move(source, target, nothing).replaced == people > 0
    with target.reading() as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM people").fetchall()}
    assert names == {"a\N{REPLACEMENT CHARACTER}b"}


@pytest.mark.scale
@pytest.mark.parametrize(
    "harm",
    [
        lambda at: at.execute(  # as an earlier version could write it
            "INSERT INTO audit VALUES "
            "(1000000, 0.0, 'v', '1', '7', 'warn', '', 'a' || char(0) || 'b', '{}', '{}', 'h')"
        ),
        lambda at: at.execute("UPDATE terms SET text = text || char(0)"),
    ],
    ids=["the audit, whose hashes would break", "a key, of which others may speak"],
)
def test_where_no_other_sign_will_do_nothing_is_moved(
    harm: Callable[[Connection], object], source: SqliteRecords
) -> None:
    with source.writing() as connection:
        harm(connection)
    target = PostgresRecords(server().new_database())
    with pytest.raises(LedgerError, match="holds a text with the character NUL"):
        move(source, target, nothing)
    assert target.examine() is None


def test_it_is_all_of_one_moment(source: SqliteRecords, target: Records) -> None:
    move(source, target, nothing)
    with target.whole() as whole:
        before = {table.name: whole.count(table) for table in TABLES}
        number_of_a_new_job(target)
        assert {table.name: whole.count(table) for table in TABLES} == before
        for table in TABLES:
            assert len(list(whole.rows(table, whole.columns(table)))) == before[table.name]


@pytest.mark.scale
def test_a_pooler_may_stand_in_between(source: SqliteRecords, tmp_path: Path) -> None:
    with pooled(server().port) as port:
        there = PostgresRecords(server().new_database().replace(str(server().port), str(port)))
        back = SqliteRecords(tmp_path / "back")
        move(source, there, nothing)
        move(there, back, nothing)
    assert rows_of(back) == rows_of(source)
