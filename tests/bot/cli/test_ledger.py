"""`imagine ledger` and `imagine backup`, where the ledger is in a folder or in PostgreSQL."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from bot.cli.main import main
from bot.ledgers import book
from bot.ledgers.copying import TABLES
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.postgres.records import PostgresRecords
from bot.ledgers.sqlite.database import connect
from bot.ledgers.sqlite.records import SqliteRecords
from bot.shared.data_folder import IMAGES, LEDGER
from tests.bot.core.jobs import make_job
from tests.bot.ledgers.busy import LIMITS
from tests.bot.ledgers.databases import server

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGINE_LOG__LEVEL", "error")


@pytest.fixture
def jobs() -> list[str]:
    """Three that wait in the folder `data`, and a picture of another."""
    Path("data", IMAGES, "job").mkdir(parents=True)
    Path("data", IMAGES, "job", "0.png").write_bytes(b"a picture")
    asked = [make_job(user_id=n) for n in range(3)]
    with closing(connect(Path("data", LEDGER), makes=True)) as connection:
        for job in asked:
            book.accept(connection, job, LIMITS)
    return [job.id for job in asked]


@pytest.fixture
def url() -> str:
    return server().new_database()


def listed(capsys: Capture) -> list[str]:
    """The jobs on record where the configuration says, the oldest first."""
    capsys.readouterr()
    assert main(["jobs", "list"]) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()[:0:-1]]


def test_from_one_folder_to_another(jobs: list[str], capsys: Capture) -> None:
    assert main(["ledger", "move", "data", "other/place"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"Copied from the folder {Path('data').resolve()} to the folder "
        f"{Path('other/place').resolve()}, and read back:",
        "  people                  3",
        "  jobs                    3",
        "  transitions             3",
        "  counts                  1",
        'Set folder = "other/place" and database = "" in the section [storage] of config.toml, and '
        "start the bot.",
        "Pictures were not moved: the bot looks in other/place/images, or where [storage] "
        "pictures says.",
        f"What data/{LEDGER} holds stays there, prompts as well, which no bot deletes any more.",
    ]
    assert err == ""
    assert len(jobs) == SqliteRecords(Path("data")).examine() == 3
    assert not Path("other/place", IMAGES).exists()


def test_refused_it_is_a_sentence(jobs: list[str], capsys: Capture) -> None:
    assert jobs
    for words, sentence in (
        (("none", "other"), "There is nothing to move: no bot has worked in the folder"),
        (("data", "data"), "Name two places"),
        (("data", "/dev/null/x"), "cannot be used"),
    ):
        assert main(["ledger", "move", *words]) == 1
        assert sentence in capsys.readouterr().err
    assert not Path("other").exists()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bot:swordfish@host/imagine",
        "postgresql://bot@host/imagine?password=swordfish",
        "mysql://bot@host/swordfish",
        "postgresql://swordfish",
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_an_address_that_is_none_or_holds_a_password_is_not_repeated(
    address: str, place: int, capsys: Capture
) -> None:
    words = ["data", "data"]
    words[place] = address
    assert main(["ledger", "move", *words]) == 2
    err = capsys.readouterr().err
    assert "without a password" in err
    assert "PGPASSWORD" in err
    assert "swordfish" not in err


def test_the_help_says_what_is_not_moved(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["ledger", "move", "--help"])
    assert "Pictures are not moved" in " ".join(capsys.readouterr().out.split())


@pytest.mark.scale
def test_into_postgresql_and_back(
    jobs: list[str], url: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["ledger", "move", "data", url]) == 0
    out = capsys.readouterr().out
    assert f'Set database = "{url}" in the section [storage]' in out
    assert "Pictures were not moved: leave [storage] folder and pictures as they are." in out
    monkeypatch.setenv("IMAGINE_STORAGE__DATABASE", url)
    assert listed(capsys) == jobs
    assert main(["ledger", "move", url, "data"]) == 1
    assert "There is a ledger already in the folder" in capsys.readouterr().err
    Path("data", LEDGER).unlink()
    assert main(["ledger", "move", url, "data"]) == 0
    assert 'Set folder = "data" and database = ""' in capsys.readouterr().out
    monkeypatch.setenv("IMAGINE_STORAGE__DATABASE", "")
    assert listed(capsys) == jobs


@pytest.mark.scale
def test_what_is_in_use_or_cannot_be_reached_is_a_sentence(
    jobs: list[str], url: str, capsys: Capture
) -> None:
    assert jobs
    database = PostgresRecords(url).database()
    database.open()
    try:
        assert main(["ledger", "move", "data", url]) == 1
        assert "A bot works with PostgreSQL at" in capsys.readouterr().err
        assert main(["ledger", "move", url, "other"]) == 1
        assert "A bot works with PostgreSQL at" in capsys.readouterr().err
    finally:
        database.close()
    assert main(["ledger", "move", "data", f"{url}-not"]) == 1
    assert "[storage] database has its address, and PGPASSWORD" in capsys.readouterr().err


@pytest.mark.scale
def test_a_backup_beside_a_bot_in_postgresql_and_its_restoring(
    jobs: list[str], url: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["ledger", "move", "data", url]) == 0
    Path("data", LEDGER).unlink()
    monkeypatch.setenv("IMAGINE_STORAGE__DATABASE", url)
    ledger = DatabaseLedger(PostgresRecords(url).database())
    ledger.open()
    try:
        asyncio.run(ledger.accept(newest := make_job(), LIMITS))
        capsys.readouterr()
        assert main(["backup", "copies/monday"]) == 0
    finally:
        ledger.close()
    assert capsys.readouterr().out == "Copied 4 jobs and 1 pictures to copies/monday.\n"
    copy = Path("copies/monday")
    assert {path.name for path in copy.iterdir()} == {LEDGER, IMAGES}
    assert (copy / LEDGER).stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("IMAGINE_STORAGE__DATABASE", "")
    monkeypatch.setenv("IMAGINE_STORAGE__FOLDER", str(copy))
    assert listed(capsys) == [*jobs, newest.id]  # it can be looked at as it is
    another = server().new_database()
    assert main(["ledger", "move", "copies/monday", another]) == 0
    monkeypatch.setenv("IMAGINE_STORAGE__DATABASE", another)
    assert listed(capsys) == [*jobs, newest.id]


@pytest.mark.scale
def test_a_backup_of_postgresql_that_breaks_off_leaves_nothing(
    jobs: list[str], url: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jobs
    monkeypatch.setenv("IMAGINE_STORAGE__DATABASE", url)
    assert main(["backup", "copies/monday"]) == 1
    assert "There is nothing to copy: no bot has worked in PostgreSQL" in capsys.readouterr().err
    assert main(["ledger", "move", "data", url]) == 0
    with PostgresRecords(url).writing() as connection:
        connection.execute(f"DROP TABLE {TABLES[-1].name}")
    assert main(["backup", "copies/monday"]) == 1
    assert capsys.readouterr().err.startswith("imagine: The ledger in PostgreSQL")
    assert list(Path("copies").iterdir()) == []
