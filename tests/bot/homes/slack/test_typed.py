"""What people type behind /imagine, read and written."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.defaults import Manner
from bot.core.wish import Wish
from bot.errors import UsageError
from bot.homes.slack import typed
from sdxl_engine.errors import InvalidRequestError

WORDS = st.lists(
    st.sampled_from(["a", "fox", "in", "the", "snow,", "(red:1.2)", "&", "<b>"]), min_size=1
)
WISHES = st.builds(
    Wish,
    prompt=WORDS.map(" ".join),
    negative_prompt=st.none() | WORDS.map(" ".join),
    seed=st.integers(0, 2**32 - 1),
    num_inference_steps=st.integers(1, 50),
    num_images=st.integers(1, 4),
    guidance_scale=st.integers(0, 20).map(float),
    guidance_rescale=st.sampled_from([0.0, 0.5]),
    guidance_interval=st.sampled_from([(0.0, 1.0), (0.25, 0.75)]),
    size_px=st.none() | st.just((1024, 768)),
    sampler=st.none() | st.just("dpmpp_2m"),
    spacing=st.none() | st.just("karras"),
    loras=st.just(()) | st.just((("film", 0.8), ("ink", 1.0))),
    style=st.none() | st.just("noir"),
    model=st.none() | st.just("sdxl"),
)


@given(wish=WISHES)
def test_what_is_written_is_read(wish: Wish) -> None:
    read = typed.read(typed.written(wish)).wish(((1024, 768),))
    assert replace(read, styled=None) == wish


@pytest.mark.parametrize(
    ("text", "manner"),
    [
        ("a fox", Manner()),
        ("a fox --private", Manner(private=True)),
        ("--tell-me a fox --spoiler", Manner(spoiler=True, mention=True)),
        ("a fox --private --public", Manner(private=False)),
        ("a fox \N{EM DASH}private", Manner(private=True)),
        ("a fox --privateer", Manner()),
    ],
)
def test_how_it_is_shown_is_said_by_flags(text: str, manner: Manner) -> None:
    read = typed.read(text)
    assert read.manner == manner
    assert "fox" in read.prompt


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("a fox &amp; a hen", "a fox & a hen"),
        ("&lt;lora:film:1&gt; a fox", "<lora:film:1> a fox"),
        ("&amp;amp;", "&amp;"),
        (
            "<http://example.org|example.org> and <https://example.org>",
            "example.org and https://example.org",
        ),
        ("in <#C0IMAGINE1|imagine>", "in imagine"),
        ("  a fox  ", "a fox"),
    ],
)
def test_what_slack_made_of_it_is_undone(sent: str, text: str) -> None:
    assert typed.as_typed(sent) == text


def test_the_name_of_the_bot_is_no_prompt() -> None:
    assert (
        typed.behind_mention("<@U0LOOPBOT1> a fox for <@U0BEN00001>") == " a fox for <@U0BEN00001>"
    )


def test_the_name_of_the_bot_may_stand_behind_a_gap() -> None:
    gap = " " * 30_000  # a step each, and not as many as there are before it
    assert typed.behind_mention(f"a{gap}x <@U0LOOPBOT1> hen") == f"a{gap}x  hen"


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(UsageError, match="what the pictures should show"):
        typed.read("--private").wish(())
    with pytest.raises(InvalidRequestError, match="no whole number"):
        typed.read("a fox --count many").wish(())
