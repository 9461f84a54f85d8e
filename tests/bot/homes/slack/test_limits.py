"""Every card fits Slack's rules, whatever people type; held to the stand-in's own checker."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.card import Action, Card, Slot
from bot.homes.slack import render
from bot.homes.slack.voice import Voice
from bot.languages.languages import shipped
from sdxl_engine.sentence import say
from standins.slack.blocks import check_message_blocks
from standins.slack.loopback import LoopbackSlack
from standins.slack.schema import Check
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.test_running import BEN, ask, has_pictures, says, seen

VOICE = Voice(shipped(), "")
EVIL = [
    "<!channel>",
    "<@U0ADA00001>",
    "*b*",
    "`",
    "\u202e",
    " ",
    "&",
    "\ud800",
    "x" * 4_000,
]
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(EVIL), max_size=12).map("".join),
)
JOB = "abcdefgh"


def actions(count: int) -> st.SearchStrategy[tuple[Action, ...]]:
    kinds = st.sampled_from(("upscale", "strong", "reroll", "delete"))
    made = st.builds(Action, kinds, st.just(JOB), TEXTS.filter(str.strip), st.integers(0, 3))
    return st.lists(made, max_size=count, unique_by=lambda one: (one.kind, one.index)).map(tuple)


CARDS = st.builds(
    Card,
    status=TEXTS,
    prompt=TEXTS,
    negative_prompt=st.none() | TEXTS,
    fields=st.lists(TEXTS, max_size=16).map(tuple),
    progress=st.none() | st.tuples(st.integers(0, 50), st.just(50)),
    actions=st.lists(actions(5).filter(bool), max_size=4).map(tuple),
)
SLOTS = st.lists(TEXTS, max_size=4).map(
    lambda alts: [Slot(f"{JOB}_{k}.png", f"Picture {alt}", b"") for k, alt in enumerate(alts)]
)


@given(CARDS, SLOTS, st.booleans())
def test_every_card_fits(one: Card, slots: list[Slot], in_carousel: bool) -> None:
    files = {slot.filename: f"F0000000A{k}" for k, slot in enumerate(slots)}
    blocks = render.card_blocks(one, slots, files, VOICE, in_carousel=in_carousel)
    check_message_blocks(blocks, Check(lambda _: True))
    assert render.fallback(one, VOICE).strip()
    for text in live(blocks):
        assert "<!channel>" not in text
        assert "<@" not in text


def live(blocks: list[dict[str, Any]]) -> list[str]:
    """What Slack reads markup in."""
    every = [one for block in blocks for one in (block.get("text"), *block.get("elements", ()))]
    return [one["text"] for one in every if one and one["type"] == "mrkdwn"]


@given(TEXTS)
def test_what_people_typed_tells_nobody_in_a_sentence(text: str) -> None:
    said = render.failure_text(say("Deleted. The reason: {why}.", why=text), VOICE)
    assert "<" not in said
    assert ">" not in said


async def test_a_name_is_not_live(slack: LoopbackSlack, run_slack: RunBot) -> None:
    slack.world.people[BEN].name = "<!here> *loud* http://evil.example"
    async with run_slack():
        await ask(slack, "a fox --private")
        draft = await seen(slack, has_pictures, viewer=BEN)
        await slack.press(draft, "v1:publish", user=BEN)
        shown = await seen(slack, lambda m: has_pictures(m) and "viewer" not in m)
    for text in (shown["text"], *live(shown["blocks"])):
        assert "<!" not in text
        assert "*loud*" not in text
        assert "http://evil" not in text


@pytest.mark.parametrize("length", [3_000, 40_000])
async def test_a_text_as_long_as_slack_takes_is_drawn_or_refused(
    slack: LoopbackSlack, run_slack: RunBot, length: int
) -> None:
    async with run_slack():
        await ask(slack, "fox " * (length // 4))
        shown = await seen(slack, lambda m: has_pictures(m) or says("⚠️")(m), viewer=BEN)
        assert shown["text"]
