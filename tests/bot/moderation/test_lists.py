"""Lists of terms in files."""

from pathlib import Path

import pytest

from bot.core.verdict import MEASURES, Term
from bot.errors import ConfigError
from bot.moderation.lists import STARTER, read_terms


def test_the_starter_list() -> None:
    terms = read_terms(STARTER)
    assert {one.category for one in terms} == {
        *("sexual", "minors", "gore", "hate", "self-harm", "other")
    }
    assert {one.kind for one in terms if one.category == "other"} == {"exception"}
    assert {one.measure for one in terms if one.category == "minors"} == {"block"}


def test_a_table_a_category(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'exceptions = ["al gore"]\n[Blood]\nmeasure = "warn"\nterms = ["gore"]\n'
        'regexes = ["bl[o0]+d"]\nall = [["cut", "slit"], ["wrist"]]\n[x]\nterms = ["cat"]\n'
    )
    assert read_terms(path) == (
        Term("al gore", "exception"),
        Term("gore", "word", "warn", "blood"),
        Term("bl[o0]+d", "regex", "warn", "blood"),
        Term("cut | slit & wrist", "word", "warn", "blood"),
        Term("cat", "word", "block", "x"),
    )


def test_a_measure_that_slipped_is_no_term(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("cat\nreviw: clown\n")
    with pytest.raises(ConfigError, match=r"line 2 begins with .*Did you mean review\?"):
        read_terms(path)


def test_a_line_a_term(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text(
        "\ufeff# ours\n\ncat\r\nReview: a dog\nexception: cat flap\nregex: c[a4]t+y\n"
        "https://example.org\n"
    )
    assert read_terms(path) == (
        Term("cat"),
        Term("a dog", measure="review"),
        Term("cat flap", "exception"),
        Term("c[a4]t+y", "regex"),
        Term("https://example.org"),
    )


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.toml", b"[x", "is not valid TOML"),
        ("a.toml", b"x = " + b"[" * 5_000, "is not valid TOML"),
        ("a.toml", b"x = 1", "[x] must be a table, not 1"),
        ("a.toml", b"exceptions = 1", "exceptions must hold lists of texts, not 1"),
        ("a.toml", b"[x]\nterm = []", "Did you mean"),
        ("a.toml", b'[x]\nmeasure = "ban"', "measure must be one of warn, review, block"),
        ("a.toml", b"[x]\nterms = [1]", "must hold lists of texts"),
        ("a.toml", b"[x]\nall = 1", "all must be a list of lists"),
        ("a.toml", b'[x]\nall = ["ab"]', "must hold lists of texts"),
        ("a.toml", b'[x]\nall = [["ab"], ["a"]]', "'a' is too short"),
        ("a.toml", b'[x]\nall = [["ab"], []]', "no words to look for"),
        ("a.toml", b'["!"]\nterms = ["ab"]', "is no category"),
        ("a.txt", b"ab\nblock: a", "line 2: 'a' is too short"),
        ("a.toml", b'exceptions = ["' + b" & ".join([b"ab|cd"] * 9) + b'"]', "for 512 wordings"),
        ("a.txt", b"\xff", "not UTF-8"),
        ("a.txt", b"x" * 3_000_000, "larger than 2 MB"),
        ("a.txt", "\n".join(f"w{n}x" for n in range(20_001)).encode(), "20,000 are the most"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_terms(path)
    assert sentence in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no list of terms"):
        read_terms(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is no file"):
        read_terms(tmp_path)


def test_measures_are_told_apart_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.write_text("".join(f"{measure}: word {measure}\n" for measure in MEASURES))
    assert [one.measure for one in read_terms(path)] == list(MEASURES)
