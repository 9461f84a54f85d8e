"""What is typed behind /imagine-admin, read word by word: properties of any text."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.homes.slack.admin_text import FORMS, Words
from sdxl_engine.sentence import Sentence

NAMES = ("use", "private", "spoiler", "review", "clear")
typed = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            ["<#C0A|a>", "<#C0A|>", "<@U0A|ada>", "<!subteam^S0A|@g>", "use", "=", ":", ",", '"']
        ),
        st.sampled_from(["use=yes", "clear = a, b", "adult=no", "#a", "@b", "“x y”", "&lt;"]),
    )
).map(" ".join)


@given(typed)
def test_any_text_is_read_or_refused_with_the_right_form(text: str) -> None:
    words = Words(text)
    words.command = "policy"
    refusal: UsageError | None = None
    options: Mapping[str, str] = {}
    try:
        options = words.said(NAMES).options
    except UsageError as error:
        refusal = error
    if refusal is not None:
        assert isinstance(refusal.args[0], Sentence)
        assert f"`/imagine-admin {FORMS['policy']}`" in str(refusal)
    assert set(options) <= set(NAMES)
    assert all(options.values())


@given(st.permutations(["use=yes", "private : no", "<#C0A|a>", "<!subteam^S0B|@g>", "clear=x, y"]))
def test_the_order_is_free(parts: list[str]) -> None:
    said = Words("  ".join(parts)).said(NAMES)
    assert (said.channel, said.group) == ("C0A", "S0B")
    assert said.options == {"use": "yes", "private": "no", "clear": "x, y"}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("use=yes, private=no", {"use": "yes", "private": "no"}),
        ("USE = “yes”", {"use": "yes"}),
        ("clear=a,b ,  c use:yes", {"clear": "a,b ,  c", "use": "yes"}),
        ('clear="a b, c" use=no', {"clear": "a b, c", "use": "no"}),
        ("clear=a:b", {"clear": "a:b"}),
        ("clear=a &amp; b", None),
        ("spoiler= review=yes", None),
        ("spoiler: review: yes", None),
    ],
)
def test_options_are_read_in_the_usual_ways(text: str, options: dict[str, str] | None) -> None:
    words = Words(text)
    if options is None:
        with pytest.raises(UsageError):
            words.said(NAMES)
    else:
        assert words.said(NAMES).options == options


@given(st.text(max_size=40))
def test_options_among_words_leave_the_words(text: str) -> None:
    words = Words(f"kind=word {text} measure=warn")
    plain = " ".join(Words(text).rest(100).split())
    if "=" in plain or ":" in plain or "<" in text or "&" in text or '"' in plain:
        return
    assert words.options_in(("measure", "kind")) == {"kind": "word", "measure": "warn"}
    assert words.rest(100) == plain
