"""`imagine filter`: which rules a text meets, and which there are."""

import json
from pathlib import Path

import pytest

from bot.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def own() -> None:
    """An owner's list in the place of the starter list."""
    Path("own.txt").write_text("review: purple cat\nexception: purple cat food\n")
    Path("config.toml").write_text('[filter]\nstarter = false\nfile = "own.txt"\n')


def test_which_rule_is_met_and_how_it_was_read(own: None, capsys: Capture) -> None:
    assert main(["filter", "test", "a p.u.r.p.l.e cat"]) == 1
    assert capsys.readouterr().out == (
        "review  other: purple cat (own.txt)\n"
        "        as read: a purple cat (letters put together)\n"
    )
    assert main(["filter", "test", "--json", "purple cat"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["rule"], found["measure"], found["list"]) == ("purple cat", "review", "own.txt")


def test_no_rule_is_met(own: None, capsys: Capture) -> None:
    assert main(["filter", "test", "purple cat food"]) == 0
    assert capsys.readouterr().out == "No rule is met.\n"


def test_how_many_there_are(own: None, capsys: Capture) -> None:
    assert main(["filter", "list"]) == 0
    assert capsys.readouterr().out == (
        "category    measure   count  list\n"
        "other       review        1  own.txt\n"
        "exceptions                1  own.txt\n"
    )
    assert main(["filter", "list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["lists"]) == 2


def test_the_list_that_comes_with_the_bot(capsys: Capture) -> None:
    assert main(["filter", "test", "n u d e"]) == 1
    assert "sexual: nude (starter list)" in capsys.readouterr().out
    assert main(["filter", "test", "a view of Scunthorpe"]) == 0


def test_no_lists_at_all(capsys: Capture) -> None:
    Path("config.toml").write_text("[filter]\nstarter = false\n")
    assert main(["filter", "test", "n u d e"]) == 0
    assert main(["filter", "list"]) == 0
    assert capsys.readouterr().out.endswith("There are no rules here: [filter] names no list.\n")


def test_what_is_wrong_ends_it(capsys: Capture) -> None:
    assert main(["filter", "test", "x" * 4_001]) == 2
    assert "4,001 characters; 4,000 are the most" in capsys.readouterr().err
    Path("config.toml").write_text('[filter]\nfile = "none.txt"\n')
    assert main(["filter", "list"]) == 2
    assert "There is no list of terms none.txt." in capsys.readouterr().err
