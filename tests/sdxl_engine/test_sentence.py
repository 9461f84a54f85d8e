"""Sentences that remember what they were made of."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import (
    Sentence,
    all_of,
    either,
    from_json,
    names_in,
    pieces,
    say,
    say_many,
    sentence_of,
    sentences,
    to_json,
)

TEXTS = st.text(max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False)
NAMED = st.builds(lambda name: say("the {name}", name=name), TEXTS)
SENTENCES = st.recursive(
    st.builds(lambda x, n: say("There is no {x} in {n}.", x=x, n=n), TEXTS | NAMED, NUMBERS),
    lambda inner: (
        st.builds(sentences, inner, inner)
        | st.builds(
            lambda n, a: say_many("{count} job: {a}", "{count} jobs: {a}", n, a=a),
            st.integers(),
            inner,
        )
    ),
    max_leaves=5,
)


@dataclass(frozen=True)
class Bell:
    """Something that each home shows in its own way."""

    hour: int

    def __str__(self) -> str:
        return f"{self.hour} o'clock"


def test_it_is_the_text_that_an_f_string_would_make() -> None:
    said = say("{name} is {size:,} large, {part:.1f} of it {{here}}", name="a", size=1000, part=2)
    assert said == "a is 1,000 large, 2.0 of it {here}"
    assert isinstance(said, str)


def test_what_a_value_holds_is_not_read() -> None:
    assert say("{name}", name="{other} {") == "{other} {"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 jobs wait."), (1, "1 job waits."), (2, "2 jobs wait.")]
)
def test_one_is_not_many(count: int, text: str) -> None:
    assert say_many("{count} job waits.", "{count} jobs wait.", count) == text


@pytest.mark.parametrize(
    "template", ["{", "{other}", "{name.__class__}", "{name[0]}", "{}", "{name!r}"]
)
def test_what_does_not_go_together_is_an_error_at_once(template: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        Sentence(template, {"name": "x"})


@given(SENTENCES)
def test_a_copy_remembers_all(said: Sentence) -> None:
    copies: list[Callable[[Sentence], str]] = [
        copy.deepcopy,
        lambda one: pickle.loads(pickle.dumps(one)),  # noqa: S301 - our own
        lambda one: from_json(to_json(one)),
    ]
    for made in copies:
        again = made(said)
        assert isinstance(again, Sentence)
        assert again == said
        assert (again.template, again.plural, again.values) == (
            said.template,
            said.plural,
            said.values,
        )
        assert to_json(again) == to_json(said)


@given(TEXTS)
def test_a_plain_text_stays_plain(text: str) -> None:
    assert type(from_json(to_json(text))) is str
    assert from_json(to_json(text)) == text


@pytest.mark.parametrize(
    "written",
    [
        *("", "3", "null", "[]", "{}", '{"say": "{x}"}', '{"say": 3, "with": {}}'),
        *('{"say": "{x}", "with": {}}', '{"say": "{x:g}", "with": {"x": "a"}}'),
        *('{"say": "a", "many": "b", "with": {}}', '{"say": "a", "with": []}'),
        '{"say": "{x.__class__}", "with": {"x": "a"}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_sentence_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(written)


def test_an_error_says_what_it_was_given() -> None:
    said = sentence_of(InvalidRequestError(say("There is no {what}.", what="sea")))
    assert isinstance(said, Sentence)
    assert said.values == {"what": "sea"}
    assert type(str(InvalidRequestError(said))) is str
    assert sentence_of(InvalidRequestError("plain")) == "plain"
    assert sentence_of(OSError(2, "No such file")) == "[Errno 2] No such file"
    assert sentence_of(ValueError()) == ""


def test_several_sentences_are_one() -> None:
    assert sentences("", say("One."), "", "Two.", say("Three.")) == "One. Two. Three."
    assert sentences("", "") == ""
    assert type(sentences("plain")) is str


def test_choices_and_lists() -> None:
    assert either(["a"]) == "a"
    assert either(["a", "b", "c"]) == "a or b or c"
    assert all_of(["a", "b"]) == "a and b"


def test_its_pieces_are_stretches_of_text_and_what_homes_show() -> None:
    inner = say("ready at {bell}", bell=Bell(12))
    said = say("Number {place}, {inner}!", place=3, inner=inner)
    assert said == "Number 3, ready at 12 o'clock!"
    assert list(pieces(said)) == ["Number 3, ready at ", Bell(12), "!"]
    assert list(pieces("plain")) == ["plain"]
    assert list(pieces("")) == []
    assert from_json(to_json(said)) == said


@given(SENTENCES)
def test_its_pieces_are_all_of_it(said: Sentence) -> None:
    assert "".join(map(str, pieces(said))) == said


def test_the_names_in_a_template() -> None:
    assert names_in("{a} {b:,} {{c}}") == {("a", "", ""), ("b", ",", "")}
