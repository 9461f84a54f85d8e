"""LoRAs in prompts and lists: read as they are written, or answered with how to write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import loras
from bot.core.wish import Usual, Wish
from sdxl_engine import InvalidRequestError

names = st.text(st.characters(codec="utf-8", exclude_characters=",:<>"), min_size=1).filter(
    lambda name: name == name.strip()
)
strengths = st.floats(-4, 4).map(lambda number: round(number, 3))
asked = st.lists(st.tuples(names, strengths), max_size=4).map(tuple)
pieces = st.lists(st.sampled_from(["<lora:", ">", "<", "a", ":", "0.8", " ", "<LoRA:b:1>"])).map(
    "".join
)


names_in_lists = st.text(
    st.sampled_from("a, b") | st.characters(codec="utf-8", exclude_characters=":<>"), min_size=1
).filter(lambda name: name == name.strip())


@given(st.lists(st.tuples(names_in_lists, strengths), max_size=4).map(tuple))
def test_a_list_says_what_was_asked(wanted: loras.Loras) -> None:
    assert loras.read_list(loras.written(wanted)) == wanted


@given(asked, st.text(st.characters(codec="utf-8", exclude_characters="<>")))
def test_tags_say_the_same_wherever_they_stand(wanted: loras.Loras, text: str) -> None:
    tags = "".join(f"<lora:{name}:{strength}>" for name, strength in wanted)
    middle = len(text) // 2
    prompt, found = loras.read_out(text[:middle] + tags + text[middle:])
    assert found == wanted
    assert prompt.split() == f"{text[:middle]}{' ' * bool(wanted)}{text[middle:]}".split()


@given(pieces | st.text())
def test_whatever_is_written_is_read_whole_or_refused(text: str) -> None:
    try:
        prompt, found = loras.read_out(text)
    except InvalidRequestError:
        return
    assert loras.read_out(prompt) == (prompt, ())
    assert found or prompt == text


def test_a_tag_leaves_one_space() -> None:
    assert loras.read_out("a <lora:film:.5> cat <LORA:ink>") == (
        "a cat",
        (("film", 0.5), ("ink", 1.0)),
    )


@given(st.text(), st.lists(names, max_size=5))
def test_whatever_is_typed_is_completed_to_what_is_there(typed: str, there: list[str]) -> None:
    before = typed.rpartition(",")[0]
    for text in loras.completions(typed, there):
        head, _, last = text.rpartition(",")
        assert last.partition(":")[0].strip() in {name.strip() for name in there}
        kept = [part.strip() for part in before.split(",") if part.strip()]
        assert [part.strip() for part in head.split(",") if part.strip()] == kept


def test_a_lycoris_file_is_a_lora() -> None:
    assert loras.read_out("a <lyco:film:.5> cat") == ("a cat", (("film", 0.5),))


def test_what_stands_before_the_last_stays_as_it_is() -> None:
    assert loras.completions("<lora:a,b:1>,fi", ["film"]) == ["<lora:a,b:1>, film"]


@pytest.mark.parametrize("prompt", ["a cat <lora:film:0.8", "<LYCO:a:1 <lora:ink:1> of night"])
def test_a_tag_without_an_end_is_not_drawn_as_words(prompt: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"begins a LoRA and does not end it"):
        loras.read_out(prompt)


@pytest.mark.parametrize("tag", ["<lora:film:>", "<lora:film:much>", "<lora:a:1:0.5>"])
def test_what_is_no_strength_is_answered_with_how_it_is_written(tag: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"such as film:0\.8"):
        loras.read_out(f"a cat {tag}")


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("film:5", "strength of the LoRA film must lie between -4 and 4"),
        ("film:nan", "must lie between"),
        ("../film", "no name of a LoRA"),
        (":1", "chosen by its name"),
        ("film, film:0.5", "asked for twice"),
        ("film, <lora:>", "chosen by its name"),
        (",".join(f"l{n}" for n in range(10)), "10 LoRAs at once are more than 8"),
    ],
)
def test_what_cannot_be_drawn_is_said_when_it_is_asked(written: str, sentence: str) -> None:
    wish = Wish("a cat", loras=loras.read_list(written)).settled(Usual())
    with pytest.raises(InvalidRequestError, match=sentence):
        wish.resolve((64, 64))
