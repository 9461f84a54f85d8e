"""What a case looks like in Discord, whatever people typed."""

import re
from dataclasses import replace
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from bot.core.case import AtDesk, Block, Case, CaseKind, CaseState, Report
from bot.core.desk_card import acts, desk_card
from bot.core.job import Person, Record, State, Venue
from bot.core.verdict import MEASURES, Finding
from bot.core.wish import Wish
from bot.homes.discord import render
from bot.homes.discord.desk_message import desk_layout
from bot.homes.discord.voice import Voice
from tests.bot.core.jobs import make_job
from tests.bot.homes.discord.voices import EVERY_VOICE

ANYTHING = st.text(max_size=60) | st.sampled_from(
    [
        "```",
        "@everyone",
        "<@1>",
        "<#1>",
        "[x](http://y)",
        "||x||",
        "\ud800",
        "**x**\n# y",
        "w" * 5_000,
    ]
)
PEOPLE = st.builds(
    Person, st.just("discord"), st.from_regex(r"[0-9]{18}", fullmatch=True), ANYTHING
)
FINDINGS = st.builds(Finding, st.sampled_from(MEASURES), ANYTHING, ANYTHING, ANYTHING)
REPORTS = st.builds(Report, PEOPLE, ANYTHING)
CASES = st.builds(
    Case,
    id=st.just("abcdefgh"),
    kind=st.sampled_from(get_args(CaseKind)),
    state=st.sampled_from(get_args(CaseState)),
    about=PEOPLE,
    venue=st.just(Venue("discord", "1", "2")),
    job_id=st.none() | st.just("ijklmnop"),
    prompt=ANYTHING,
    findings=st.lists(FINDINGS, max_size=20).map(tuple),
    at_s=st.floats(0, 2e9),
    decided=st.none() | st.sampled_from(["owner", "rules", "elsewhere", "12345"]),
    reports=st.lists(REPORTS, max_size=20).map(tuple),
    warned=st.integers(0, 5),
    block=st.none() | st.builds(Block, st.none() | st.floats(0, 2e9), ANYTHING),
)
MENTION = re.compile(r"<(@&?|#)\d+>")


def record_of(state: State) -> Record:
    return Record(make_job(), state, 1, "", False, None, None, None, ())


def text_of(view: Any) -> str:
    (container,) = view.to_components()
    return "\n".join(one["content"] for one in container["components"] if one["type"] == 10)


@given(case=CASES, voice=st.sampled_from(EVERY_VOICE), has_record=st.booleans())
def test_a_case_fits_and_nothing_that_people_typed_is_live(
    case: Case, voice: Voice, has_record: bool
) -> None:
    record = record_of(State.DELIVERED) if has_record else None
    one = AtDesk(case, "3", record)
    text = text_of(desk_layout(desk_card(one, ()), one, voice))
    assert render.units(text) <= render.MAX_LAYOUT_UNITS
    assert "abcdefgh" in text
    assert text.count("```") == (2 if case.prompt else 0)
    beside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert "@everyone" not in beside
    ids = {case.about.id, "2", "12345", *(report.by.id for report in case.reports)}
    assert {one[0].strip("<@&#>") for one in MENTION.finditer(beside)} <= ids
    assert "](http://y" not in beside


HELD = Case(
    "abcdefgh",
    "held",
    "open",
    Person("discord", "1", "Ben"),
    Venue("discord", "1", "2"),
    "ijklmnop",
    "x",
    (),
    0.0,
)


def test_a_title_says_what_is_so_no_longer() -> None:
    def title(kind: CaseKind, state: CaseState) -> str:
        return desk_card(AtDesk(replace(HELD, kind=kind, state=state), "3", None), ()).title

    assert title("held", "open") == "👀 Pictures wait for a moderator"
    for state in ("approved", "deleted", "blurred"):
        assert title("held", state) == "👀 Pictures waited for a moderator"
    assert title("blurred", "blurred") == title("blurred", "open")
    assert title("blurred", "deleted") == "🌫️ Pictures were shown blurred"
    assert title("reported", "deleted") == title("reported", "open")


def test_what_was_erased_leaves_no_name_and_nothing_to_delete() -> None:
    job = make_job()
    gone = replace(record_of(State.DELIVERED), job=job, deleted="Erased.")
    erased = replace(gone, job=replace(job, wish=Wish("")))
    nameless = replace(HELD, state="deleted", about=Person("discord", "1", ""), prompt="")
    assert "delete" in acts(AtDesk(nameless, "3", gone))  # what shows the same may be there
    one = AtDesk(nameless, "3", erased)
    assert "delete" not in acts(one)
    assert "Asked by <@1> (1) " in text_of(desk_layout(desk_card(one, ()), one, EVERY_VOICE[0]))


def test_a_block_says_when_it_ends_and_may_be_over() -> None:
    case = Case(
        "abcdefgh",
        "refused",
        "open",
        Person("discord", "1", "Ben"),
        Venue("discord", "1", "2"),
        None,
        "x",
        (),
        0.0,
        block=Block(86_400.0, ""),
    )
    one = AtDesk(case, "3", None)
    assert "until <t:86400:f>" in text_of(desk_layout(desk_card(one, ()), one, EVERY_VOICE[0]))


@given(case=CASES, state=st.sampled_from(State))
def test_only_what_is_left_to_do_may_be_pressed(case: Case, state: State) -> None:
    one = AtDesk(case, "3", record_of(state))
    found = list(acts(one))
    assert len(set(found)) == len(found) <= 5
    assert ("block" in found) == (case.block is None) != ("unblock" in found)
    assert not {"approve", "blur", "delete"} & set(acts(replace(one, record=None)))
    decided = {"approved": "approve", "blurred": "blur"}.get(case.state)
    assert decided not in found
    if case.state == "deleted":
        # What shows the same may be there still, unless a moderator saw to that.
        assert set(found) <= {"warn", "block", "unblock", "delete"}
        assert ("delete" in found) == (case.decided is None)
