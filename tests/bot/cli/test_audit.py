"""`imagine audit`: every change of what was written is found, and so is what was cut off."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.cli import audit
from bot.cli.main import main
from bot.core.audit import Deed, Entry
from bot.ledgers import registry_book
from bot.ledgers.sqlite.database import SqliteDatabase, connect
from bot.shared.data_folder import LEDGER
from tests.bot.core.jobs import NOON_S

Capture = pytest.CaptureFixture[str]
COLUMNS = dict.fromkeys(Entry.__dataclass_fields__, "another") | {
    "number": 77,
    "at_s": NOON_S + 0.001,
    "before": '{"a":2}',
    "after": "{} ",
}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With five entries, of two communities."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGINE_LOG__LEVEL", "error")
    path = tmp_path / "data" / LEDGER
    with closing(connect(path, makes=True)) as connection:
        for number in range(5):
            community = None if number == 2 else str(number % 2)
            deed = Deed("warn", "7", "village", community, str(number), "=1+1", {"a": 1})
            registry_book.write(connection, deed, NOON_S + number)
    return path


@pytest.fixture
def by_hand(ledger: Path) -> Iterator[sqlite3.Connection]:
    """As somebody opens it who wants to hide something."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER audit_is_not_changed")
        connection.execute("DROP TRIGGER audit_is_not_cut")
        yield connection


def last_hash(capsys: Capture) -> str:
    assert main(["audit", "verify"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("All 5 entries are as they were written. The last is number 5")
    return out.splitlines()[1]


def test_what_is_right_is_said_with_what_to_keep(
    ledger: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_AT_ONCE", 2)  # in more batches than one
    kept = last_hash(capsys)
    assert main(["audit", "verify", "--expect", kept.upper()]) == 0
    with closing(connect(ledger, makes=True)) as connection:
        registry_book.write(connection, Deed("warn", "7", "village", None), NOON_S)
    assert main(["audit", "verify", "--expect", kept]) == 0  # it has grown since


def test_it_is_read_beside_the_bot_that_writes_it(ledger: Path, capsys: Capture) -> None:
    database = SqliteDatabase(ledger.parent)
    database.open()
    try:
        last_hash(capsys)
    finally:
        database.close()


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_one_changed_value_is_found(
    by_hand: sqlite3.Connection, capsys: Capture, column: str, number: int
) -> None:
    by_hand.execute(
        f"UPDATE audit SET {column} = ? WHERE number = ?",  # noqa: S608 - a column's name
        (COLUMNS[column], number),
    )
    assert main(["audit", "verify"]) == 1
    assert f"entry {number} is not what was written" in capsys.readouterr().out


@pytest.mark.parametrize("place", [0, 31, 63])
def test_one_changed_byte_of_a_hash_is_found(
    by_hand: sqlite3.Connection, capsys: Capture, place: int
) -> None:
    (text,) = by_hand.execute("SELECT hash FROM audit WHERE number = 5").fetchone()
    other = "0" if text[place] != "0" else "1"
    by_hand.execute(
        "UPDATE audit SET hash = ? WHERE number = 5", (text[:place] + other + text[place + 1 :],)
    )
    assert main(["audit", "verify"]) == 1
    assert "entry 5" in capsys.readouterr().out


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_missing_row_is_found(by_hand: sqlite3.Connection, capsys: Capture, number: int) -> None:
    by_hand.execute("DELETE FROM audit WHERE number = ?", (number,))
    assert main(["audit", "verify"]) == 1
    assert f"entry {number} is not" in capsys.readouterr().out


@pytest.mark.parametrize("number", [0, -7])
def test_an_entry_before_the_first_is_found(
    by_hand: sqlite3.Connection, capsys: Capture, number: int
) -> None:
    columns = ", ".join(name for name in COLUMNS if name != "number")
    by_hand.execute(
        f"INSERT INTO audit (number, {columns}) "  # noqa: S608 - columns' names
        f"SELECT ?, {columns} FROM audit WHERE number = 1",
        (number,),
    )
    assert main(["audit", "verify"]) == 1
    assert f"entry {number} is not" in capsys.readouterr().out


@pytest.mark.parametrize("left", [4, 0])
def test_what_is_cut_off_at_the_end_is_found_by_the_hash_that_was_kept(
    by_hand: sqlite3.Connection, capsys: Capture, left: int
) -> None:
    kept = last_hash(capsys)
    by_hand.execute("DELETE FROM audit WHERE number > ?", (left,))
    assert main(["audit", "verify"]) == 0
    assert main(["audit", "verify", "--expect", kept]) == 1
    assert "The audit was cut" in capsys.readouterr().out


def test_nobody_changes_it_by_accident(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        for sql in ("UPDATE audit SET reason = ''", "DELETE FROM audit WHERE number = 5"):
            with pytest.raises(sqlite3.IntegrityError, match="the audit is not"):
                connection.execute(sql)


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "--expect", "abc"],
        ["verify", "--expect", "z" * 64],
        ["export", "--format", "xml"],
        ["list", "--limit", "0"],
        ["export", "--out", "there"],
    ],
)
def test_wrong_words_are_refused(
    ledger: Path, tmp_path: Path, capsys: Capture, words: list[str]
) -> None:
    (tmp_path / "there").write_text("mine")
    assert main(["audit", *words]) == 2
    assert capsys.readouterr().err.startswith("imagine: ")
    assert (tmp_path / "there").read_text() == "mine"


def test_without_a_ledger_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "verify"]) == 1
    assert "no ledger" in capsys.readouterr().err


def test_the_export_has_every_entry_and_nothing_that_a_spreadsheet_runs(
    ledger: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["audit", "export", "--format", "json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in entries] == [1, 2, 3, 4, 5]
    assert entries[0]["reason"] == "=1+1"
    assert main(["audit", "export", "--out", "audit.csv"]) == 0
    assert (tmp_path / "audit.csv").stat().st_mode & 0o077 == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "audit.csv").read_text())))
    assert [one["number"] for one in rows] == ["1", "2", "3", "4", "5"]
    assert {one["reason"] for one in rows} == {"'=1+1"}
    assert (
        main(["audit", "export", "--format", "json", "--home", "village", "--community", "1"]) == 0
    )
    assert [one["number"] for one in json.loads(capsys.readouterr().out)] == [2, 4]
    assert main(["audit", "export", "--format", "json", "--home", "elsewhere"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_list_has_the_newest_first(ledger: Path, capsys: Capture) -> None:
    assert main(["audit", "list", "--limit", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "NUMBER"
    assert [line.split()[0] for line in lines] == ["5", "4"]
    assert main(["audit", "list", "--community", "9"]) == 0
    assert capsys.readouterr().out == "There are no such entries.\n"
