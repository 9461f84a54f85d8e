"""How prompts are read, without any model."""

import itertools
import math
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdxl_engine import InvalidRequestError
from sdxl_engine.prompt import (
    BREAK,
    MAX_EXPANSIONS,
    Piece,
    at_steps,
    enclosed,
    expanded,
    pieces,
    written,
)

# All that means something, often.
TEXTS = st.text(
    st.sampled_from("ab ,()[]{}:|\\.0123+-") | st.characters(codec="utf-8"), max_size=60
)
WITH_BREAKS = st.lists(TEXTS | st.just("BREAK"), max_size=6).map("".join)
HARD = [
    " " * 4000,
    ":" + "1" * 3999,
    "[" + "|".join(f"(a{n}:1.2)" for n in range(50)) + "]:" + " " * 3300,
    "(" * 1000,
    "(:1.2)",
    "(a:1e9)",
    "(a:-2)",
    "[[[",
    ",,,,",
    "חתול (אדום:1.3)",
    "\\",
    "(a" * 2000,
]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a cat", [("a cat", 1)]),
        ("a (red) cat", [("a ", 1), ("red", 1.1), (" cat", 1)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("[red]", [("red", 1 / 1.1)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(a [b:c](d:2))", [("a ", 1.1), ("b:c", 1 / 1.1 * 1.1), ("d", 2 * 1.1)]),
        (r"\(red\) \[x\] \\", [("(red) [x] \\", 1)]),
        ("(red: -0.5 )", [("red", -0.5)]),
        ("(open", [("open", 1.1)]),
        ("a) b]", [("a) b]", 1)]),
        ("(:1.2)", []),
        ("(a:1e9)", [("a:1e9", 1.1)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("a : b", [("a : b", 1)]),
        ("", []),
        ("((a:0):" + "9" * 20 + ")", [("a", 0)]),
    ],
)
def test_weights(text: str, read: list[tuple[str, float]]) -> None:
    assert [(piece.text, piece.weight) for piece in pieces(text)] == read


def test_breaks() -> None:
    cat, dog = Piece("cat"), Piece("dog")
    assert pieces("cat BREAK dog") == pieces("cat\nBREAK\n dog") == (cat, BREAK, dog)
    assert pieces("(cat BREAK dog:2)") == (Piece("cat", 2), BREAK, Piece("dog", 2))
    assert pieces("BREAKS break BREAK") == (Piece("BREAKS break"), BREAK)
    assert pieces(r"B\REAK") == (Piece("BREAK"),)


@given(WITH_BREAKS)
@example("( BREAK (:1.2)")
def test_what_is_written_is_read_again(text: str) -> None:
    read = pieces(text)
    if all(piece is BREAK or math.isfinite(piece.weight) for piece in read):
        assert pieces(written(read)) == read


@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(["1", "1.0", "+1.00"]))
def test_weights_of_one_change_nothing(before: str, text: str, one: str) -> None:
    plain = written([Piece(before + text)])
    first = written([Piece(before)])
    second = plain.removeprefix(first)
    assert pieces(f"{first}({second}:{one})") == pieces(plain)


@given(WITH_BREAKS)
def test_neighbours_differ(text: str) -> None:
    read = pieces(text)
    for one, other in itertools.pairwise(read):
        assert BREAK in (one, other) or one.weight != other.weight
    assert all(piece.text for piece in read)


@pytest.mark.parametrize("text", HARD)
def test_hard_texts_are_read_at_once(text: str) -> None:
    """Each is refused later, if at all; a second is a hundred times what they take."""
    begin = time.thread_time()
    pieces(text)
    at_steps(text, 50)
    enclosed(text, before=text)
    assert expanded(text) == (text,)
    assert time.thread_time() - begin < 1


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a cat", [(10, "a cat")]),
        ("[cat:dog:0.3]", [(3, "cat"), (10, "dog")]),
        ("a [cat:dog:4] x", [(4, "a cat x"), (10, "a dog x")]),
        ("a [dog:0.5]", [(5, "a "), (10, "a dog")]),
        ("a [cat::0.5]", [(5, "a cat"), (10, "a ")]),
        ("[cat:dog:0]", [(10, "dog")]),
        ("[cat:dog:99]", [(10, "cat")]),
        ("[cat:dog:1.0]", [(10, "cat")]),
        ("[a|b]", [(step, "ab"[(step - 1) % 2]) for step in range(1, 11)]),
        ("[[a:b:2]:c:0.5]", [(2, "a"), (5, "b"), (10, "c")]),
        ("([a:b:5]:1.3)", [(5, "(a:1.3)"), (10, "(b:1.3)")]),
        ("[a:b]", [(10, "[a:b]")]),
        ("[a:b:c:0.5]", [(10, "[a:b:c:0.5]")]),
        ("[a:b:x]", [(10, "[a:b:x]")]),
        (r"\[a:b:0.5\]", [(10, r"\[a:b:0.5\]")]),
        ("[a:b:0.5", [(10, "[a:b:0.5")]),
        ("a] | b:0.5", [(10, "a] | b:0.5")]),
    ],
)
def test_what_changes_by_the_step(text: str, read: list[tuple[int, str]]) -> None:
    assert list(at_steps(text, 10)) == read


@given(WITH_BREAKS, st.integers(1, 50))
def test_steps_are_all_there(text: str, total: int) -> None:
    read = at_steps(text, total)
    ends = [end for end, _ in read]
    assert ends == sorted(set(ends))
    assert ends[-1] == total
    assert all(one != other for (_, one), (_, other) in itertools.pairwise(read))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a {red|blue} cat", ["a red cat", "a blue cat"]),
        ("{a|b} {c|d}", ["a c", "a d", "b c", "b d"]),
        ("{a|{b|c} d}", ["a", "b d", "c d"]),
        ("{a|}", ["a", ""]),
        ("{a}", ["{a}"]),
        ("{a", ["{a"]),
        ("a} | b", ["a} | b"]),
        (r"\{a|b\}", [r"\{a|b\}"]),
        ("{[a|b]|c}", ["[a|b]", "c"]),
        ("{a|b} {c", ["a {c", "b {c"]),
    ],
)
def test_several_prompts_in_one(text: str, read: list[str]) -> None:
    assert list(expanded(text)) == read


@given(st.lists(st.integers(2, 4), max_size=3))
def test_every_combination_once(choices: list[int]) -> None:
    text = " ".join("{" + "|".join(map(str, range(count))) + "}" for count in choices)
    total = math.prod(choices)
    if total > MAX_EXPANSIONS:
        with pytest.raises(InvalidRequestError, match=f"stand for {total} prompts; 16 at once"):
            expanded(text)
    else:
        assert len(set(expanded(text))) == total


def test_too_many_to_count() -> None:
    with pytest.raises(InvalidRequestError, match="more than a million"):
        expanded("{a|b|c}" * 500)


@given(WITH_BREAKS)
def test_expanding_never_fails_otherwise(text: str) -> None:
    try:
        assert len(expanded(text)) <= MAX_EXPANSIONS
    except InvalidRequestError as error:
        assert "braces" in str(error)  # noqa: PT017 - it may or may not be raised


signs = st.sampled_from([*"ab ()[]:|\\", "0.5", "1.3", ":2", " BREAK ", "{", "}"])


def crosses(text: str) -> bool:
    left = re.sub(r"\\.?|[^()\[\]]", "", text)
    while (less := re.sub(r"\(\)|\[\]", "", left)) != left:
        left = less
    return bool(re.search(r"\(.*\)|\[.*\]", left))


def said(text: str, step: int, times: float = 1.0) -> list[tuple[str, float]]:
    """What a text says in a step of seven, character by character, without spaces."""
    now = next(one for end, one in at_steps(text, 7) if step < end)
    return [
        (char, 0.0 if piece is BREAK else round(piece.weight * times, 6))
        for piece in pieces(now)
        for char in piece.text
        if not char.isspace()
    ]


nested = st.lists(signs, max_size=12).map("".join).filter(lambda text: not crosses(text))


@given(
    nested, st.sampled_from([("x ", " y", 1.0), ("(x ", " y:1.5)", 1.5), ("[x ", " y]", 1 / 1.1)])
)
@example("a (cat", ("x ", " y", 1.0))
@example("a [b|c", ("[x ", " y]", 1 / 1.1))
@example("cat:1.3", ("(x ", " y:1.5)", 1.5))
def test_enclosed_it_says_what_it_says_alone(text: str, around: tuple[str, str, float]) -> None:
    before, after, times = around
    whole = before + enclosed(text, before=before) + after
    for step in range(7):
        own = said(text, step, times)
        assert said(whole, step) == [*said("x", 0, times), *own, *said("y", 0, times)]


@given(nested)
def test_enclosed_in_alternatives_it_is_one_of_them(text: str) -> None:
    whole = "[x| " + enclosed(text, before="[x| ") + "|y]"
    for step in range(7):
        assert said(whole, step) == (said("x", 0), said(text, step), said("y", 0))[step % 3]
