"""Styles: what somebody asks for stays what they asked for, with the style's words around it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.styles import PLACE, Style, completions, folded, style_named
from bot.core.wish import Usual, Wish
from bot.ledgers import wish_json
from sdxl_engine import InvalidRequestError
from sdxl_engine.request import MAX_PROMPT_CHARS

INK = Style("ink", "Ink", "ink drawing of {prompt}, on paper", "colour")
FILM = Style(
    "film-still",
    "Frame of a film",
    "cinematic",
    num_inference_steps=30,
    guidance_scale=6.0,
    sampler=("dpmpp_2m", None),
    loras=(("grain", 0.5), ("dust", 1.0)),
)
USUAL = Usual(sampler="euler", spacing="karras", styles={"ink": INK, "film-still": FILM})


def drawn(wish: Wish) -> tuple[str, str | None]:
    request = wish.settled(USUAL).resolve((64, 64))
    return request.prompt, request.negative_prompt


@pytest.mark.parametrize(
    ("prompt", "whole"),
    [
        ("a cat", "ink drawing of a cat, on paper"),
        ("a {red|blue} cat", "ink drawing of a {red|blue} cat, on paper"),
        ("a {prompt}", "ink drawing of a {prompt}, on paper"),
        ("a (cat:1.3) BREAK [a|b]", "ink drawing of a (cat:1.3) BREAK [a|b], on paper"),
        ("a (cat", "ink drawing of a (cat), on paper"),
        ("12:30 :)", "ink drawing of 12:30 :\\), on paper"),
    ],
)
def test_its_words_are_around_the_prompt(prompt: str, whole: str) -> None:
    assert drawn(Wish(prompt, style="ink")) == (whole, "colour")


def test_without_a_place_they_are_behind() -> None:
    assert drawn(Wish("a cat", style="Film Still")) == ("a cat, cinematic", None)
    assert drawn(Wish("a cat", "dogs", style="ink"))[1] == "dogs, colour"


def test_a_place_for_what_is_not_wanted() -> None:
    style = Style("x", "X", negative_prompt="no {prompt}, blur")
    assert style.around("a cat", "dogs") == ("a cat", "no dogs, blur")
    assert replace(style, negative_prompt="{prompt}, blur").around("a", None) == ("a", "blur")


def test_brackets_around_the_place_hold_what_colons_said() -> None:
    style = Style("x", "X", "({prompt}), [a|{prompt}]")
    assert style.around("at 12:30", None)[0] == "(at 12\\:30), [a|at 12\\:30]"


def test_its_settings_are_for_what_nobody_chose() -> None:
    settled = Wish("a cat", guidance_scale=2.0, loras=(("dust", 0.1),), style="film still")
    settled = settled.settled(USUAL)
    assert (settled.num_inference_steps, settled.guidance_scale) == (30, 2.0)
    assert (settled.sampler, settled.spacing) == ("dpmpp_2m", None)
    assert settled.loras == (("dust", 0.1), ("grain", 0.5))
    assert (settled.prompt, settled.style) == ("a cat", "film-still")
    chosen = Wish("a cat", sampler="ddim", style="film-still").settled(USUAL)
    assert (chosen.sampler, chosen.spacing) == ("ddim", None)


parts = st.sampled_from([*"a,:| ", "{", "}", PLACE, "BREAK"])
texts = st.lists(parts, min_size=1, max_size=9).map("".join)


@given(texts, texts.filter(str.strip), st.none() | texts, st.sampled_from(["x", "X", " x "]))
def test_a_stored_one_is_drawn_as_it_was_whatever_becomes_of_the_style(
    template: str, prompt: str, negative: str | None, name: str
) -> None:
    usual = Usual(styles={"x": Style("x", "X", template, template)})
    settled = Wish(prompt, negative, style=name).settled(usual)
    stored = wish_json.read(wish_json.write(settled))
    assert settled == stored == stored.settled(usual) == stored.settled(Usual())
    assert stored.prompt == prompt
    assert stored.styled is not None
    # What a prompt says is never taken for the template's: it is expanded once.
    once = prompt.join(template.split(PLACE)) if PLACE in template else f"{prompt}, {template}"
    assert stored.styled[0] == stored.resolve((64, 64)).prompt == once


def test_one_that_is_gone_is_said() -> None:
    wish = Wish("a cat", style="old").settled(USUAL)
    assert wish.styled is None
    with pytest.raises(InvalidRequestError, match=r"no style 'old' here\. Choose"):
        wish.resolve((64, 64))


def test_one_that_is_misspelt_is_guessed() -> None:
    assert style_named(" FILM_still", USUAL.styles) is FILM
    with pytest.raises(InvalidRequestError, match=r"no style 'flim' here\. There are: ink, film"):
        style_named("flim", USUAL.styles)
    with pytest.raises(InvalidRequestError, match=r"Did you mean film-still\?"):
        style_named("film-stil", USUAL.styles)


def test_the_length_of_both_together_counts() -> None:
    long = "a" * (MAX_PROMPT_CHARS - 10)
    with pytest.raises(InvalidRequestError, match=r"words of the style 'ink' the prompt is 4,0"):
        drawn(Wish(long, style="ink"))
    with pytest.raises(InvalidRequestError, match="the negative prompt is 4,0"):
        drawn(Wish("a", long + "bbbb", style="ink"))
    with pytest.raises(InvalidRequestError, match=r"^The prompt is 4,001 characters"):
        drawn(Wish("a" * 4001, style="ink"))
    with pytest.raises(InvalidRequestError, match="The prompt is empty"):
        drawn(Wish(" ", style="ink"))


def test_completions_begin_with_what_is_typed() -> None:
    styles = {style.name: style for style in (INK, FILM, Style("thin-film", "Thin"))}
    assert [one.name for one in completions("FILM", styles)] == ["film-still", "thin-film"]
    assert [one.name for one in completions("frame of", styles)] == ["film-still"]
    assert len(completions("", styles)) == 3
    assert not completions("q", styles)


@given(st.text())
def test_a_folded_name_stays(name: str) -> None:
    assert folded(folded(name)) == folded(name)
