"""The words of a card: within Discord's limits whatever people typed, and never their markup."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import card
from bot.core.job import Act, Job, Parent, Record, State
from bot.core.options import options
from bot.core.queue.turns import Position
from bot.core.stage import Drawing, Paused, Stage, Uploading, Waiting
from bot.core.studio import Listed
from bot.core.wish import Usual, Wish
from bot.homes.discord import render
from bot.homes.discord.voice import Voice
from bot.ledgers import wish_json
from sdxl_engine import ImageRequest, InvalidRequestError
from sdxl_engine.sentence import say
from tests.bot.core import jobs
from tests.bot.homes.discord.voices import ENGLISH, EVERY_VOICE, FOREIGN

NOW_S = 1_800_000_000.0


def make_job(
    prompt: str = "a circle",
    negative_prompt: str | None = None,
    *,
    size_px: tuple[int, int] | None = (1024, 1024),
) -> Job:
    wish = Wish(prompt, negative_prompt, seed=7, size_px=size_px).settled(Usual())
    return replace(jobs.make_job(wish=wish), id="abcdefgh")


def shown(job: Job, stage: Stage, position: Position | None = None, voice: Voice = ENGLISH) -> str:
    return render.card_text(card.progress_card(job, stage, position, NOW_S), voice)


def finished(job: Job, voice: Voice = ENGLISH) -> str:
    return render.card_text(card.finished_card(job, ()), voice)


def refused(sentence: str, job: Job, voice: Voice = ENGLISH) -> str:
    return render.refused_text(sentence, None, options(job.wish), voice)


def again(job: Job) -> str:
    return " ".join(f"{name}:{value}" for name, value in options(job.wish).items())


def test_how_it_was_sampled_is_said_and_asked_for_again() -> None:
    plain = make_job()
    sampled = replace(plain, wish=replace(plain.wish, sampler="dpmpp_2m", spacing="karras"))
    assert "DPM++ 2M Karras · job abcdefgh" in finished(sampled)
    assert again(sampled).endswith("sampler:DPM++ 2M spacing:Karras count:4")
    assert "Euler" not in finished(plain)
    assert "sampler" not in again(plain)
    lored = replace(plain, wish=replace(plain.wish, loras=(("film", 0.8), ("ink", 1.0)), model="m"))
    assert "· LoRA film:0.8, ink:1 · model m · job abcdefgh" in finished(lored)
    assert again(lored).endswith("lora:film:0.8, ink:1 model:m count:4")
    single = replace(plain, wish=replace(plain.wish, num_inference_steps=1))
    assert "· 1 step ·" in finished(single)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def valid(text: str) -> bool:
    try:
        ImageRequest(text)
    except InvalidRequestError:
        return False
    return True


nasty = st.text(
    st.one_of(
        st.sampled_from("`@<>\\*_~|\n\t "),
        st.sampled_from("🎨e\u0301漢"),
        st.characters(codec="utf-8"),
    ),
    min_size=1,
    max_size=60,
)
prompts = st.builds(lambda text, times: (text * times)[:1000], nasty, st.integers(1, 60)).filter(
    valid
)
stages: st.SearchStrategy[Stage] = st.one_of(
    st.builds(Waiting, st.booleans(), st.booleans()),
    st.builds(Drawing, st.integers(0, 50), st.just(50)),
    st.just(Uploading()),
    st.just(Paused("The bot is restarting.")),
)
voices = st.sampled_from(EVERY_VOICE)
positions = st.none() | st.builds(Position, st.integers(1, 1000), st.none() | st.floats(0, 1e6))


def cards(
    job: Job, stage: Stage, position: Position | None, sentence: str, voice: Voice
) -> list[str]:
    return [
        shown(job, stage, position, voice),
        finished(job, voice),
        render.card_text(card.failed_card(job, sentence), voice),
        refused(sentence, job, voice),
    ]


@given(
    prompts, st.none() | prompts, stages, positions, st.text(max_size=3000), st.booleans(), voices
)
def test_no_card_is_longer_than_a_message_and_no_typed_markup_leaves_its_block(
    prompt: str,
    negative: str | None,
    stage: Stage,
    position: Position | None,
    sentence: str,
    is_size_known: bool,
    voice: Voice,
) -> None:
    sentence = sentence.encode("utf-8", "ignore").decode()
    job = make_job(prompt, negative, size_px=(1024, 1024) if is_size_known else None)
    for text in cards(job, stage, position, sentence, voice):
        assert units(text) <= 2_000
        # Every backtick is ours: fences on lines of their own, and the bar's two.
        blocks = text.split("\n```\n")
        assert text.count("`") == 3 * text.count("```") + 2 * text.startswith("🎨 `")
        assert text.count("```") % 2 == 0
        assert len(blocks) >= 1
        # Outside the blocks stand our own words only: no mention of anybody.
        outside = "".join(text.split("```")[::2])
        assert outside.count("@") == outside.count("@\u200b")


@given(prompts, st.integers(0, 3))
def test_alt_text_fits(prompt: str, index: int) -> None:
    slots = (card.Slot("a.png", card.alt_text(make_job(prompt).wish, index), b""),)
    (file,) = render.files(slots, ENGLISH)
    assert units(file.description) <= render.MAX_ALT_TEXT_UNITS
    assert file.description.startswith(f"Picture {index + 1} of 4: ")


@given(st.text(st.characters(codec="utf-8"), max_size=50), st.integers(1, 60))
def test_cut_keeps_the_beginning(text: str, limit: int) -> None:
    short = render.cut(text, limit)
    assert units(short) <= limit
    assert short == text if units(text) <= limit else text.startswith(short[:-1])


@given(
    prompts,
    positions,
    st.text(st.characters(codec="utf-8"), max_size=500),
    st.sampled_from(State),
    voices,
)
def test_eight_lines_of_a_list_fit_a_message_and_hold_no_typed_markup(
    prompt: str, position: Position | None, reason: str, state: State, voice: Voice
) -> None:
    record = Record(make_job(prompt), state, 1, reason, False, None, None, None, ())
    line = render.list_line(Listed(record, position), NOW_S, voice)
    assert units(line) * 8 + 7 <= 2_000
    assert line.count("`") == 4
    outside = "".join(line.split("`")[::2])
    assert outside.count("@") == outside.count("@\u200b")


@pytest.mark.parametrize(
    ("stage", "position", "line"),
    [
        (Waiting(), Position(3, None), "⏳ Number 3 in the queue."),
        (
            Waiting(),
            Position(2, 43.0),
            f"⏳ Number 2 in the queue, ready <t:{int(NOW_S) + 50}:R>.",
        ),
        (
            Waiting(warming_up=True),
            Position(1, None),
            "⏳ The engine is warming up. Number 1 in the queue.",
        ),
        (
            Waiting(restored=True),
            Position(1, None),
            "⏳ The bot was restarted, and your place was kept. Number 1 in the queue.",
        ),
        (Waiting(), None, "🎨 `░░░░░░░░░░░░░░░░░░░░` step 0 of 20"),
        (Drawing(8, 20), None, "🎨 `████████░░░░░░░░░░░░` step 8 of 20"),
        (Drawing(20, 20), None, "🎨 `████████████████████` step 20 of 20"),
        (Uploading(), None, "📤 Drawn. Uploading the pictures."),
        (Paused("The bot is restarting."), None, "⏸️ The bot is restarting."),
    ],
)
def test_the_first_line_says_where_the_job_stands(
    stage: Stage, position: Position | None, line: str
) -> None:
    assert shown(make_job(), stage, position).splitlines()[0] == line


def test_the_finished_card_shows_all_settings() -> None:
    job = make_job("a `red` circle", "blue")
    assert finished(job) == (
        "```\na ˋredˋ circle\n```\nStay away from:\n```\nblue\n```\n"  # noqa: RUF001 - the harmless one
        "Seed 7 · 20 steps · guidance 5 · 1024x1024 · job abcdefgh"
    )


def test_a_size_nobody_knows_yet_is_not_shown() -> None:
    job = make_job(size_px=None)
    assert "1024" not in shown(job, Waiting(warming_up=True), Position(1, None))
    assert "1024" not in refused("No.", job)


def test_no_negative_prompt_and_an_empty_one_differ() -> None:
    assert "Stay away" not in finished(make_job())
    assert "Stay away from:\n```\n(empty)\n```" in finished(make_job("a", ""))


def test_two_long_prompts_share_the_room() -> None:
    text = finished(make_job("p" * 1000, "n" * 1000))
    assert text.count("p") > 850
    assert text.count("n") > 850
    assert "p" * 1000 in finished(make_job("p" * 1000, "short"))


def test_a_refusal_gives_the_command_back() -> None:
    job = make_job("a circle", "blue")
    text = refused("The queue is full.", job)
    assert text.startswith("⚠️ The queue is full.\nTo ask again:\n```")
    assert (
        "/imagine prompt:a circle negative_prompt:blue seed:7 steps:20 guidance:5 size:1024x1024"
    ) in text


def test_a_refusal_that_passes_says_when() -> None:
    text = render.refused_text(
        "You have asked 2 times.", NOW_S + 0.5, options(make_job().wish), ENGLISH
    )
    assert f"You have asked 2 times. There is room again <t:{int(NOW_S) + 1}:R>.\n" in text


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"prompt": 5, "seed": "x"}', '{"size_px": [1]}']
)
def test_whatever_stands_on_record_can_be_shown(text: str) -> None:
    wish = wish_json.read(text)
    job = jobs.make_job(wish=wish)
    record = Record(job, State.REJECTED, 0, "No.", False, None, None, None, ())
    assert "(unreadable)" in render.list_line(Listed(record, None), NOW_S, ENGLISH)
    assert "(unreadable)" in shown(job, Waiting(), Position(1, None))
    assert "(unreadable)" in shown(job, Drawing(1, 2))
    assert "(unreadable)" in finished(job)
    assert "(unreadable)" in refused("No.", job)


LIVE = [
    "https://evil.example/x",
    "discord.gg/abcdef",
    "[free](https://evil.example)",
    "<https://evil.example>",
    "<@123456789012345678>",
    "<#1> </imagine:2> <t:1:R> <:smile:3>",
    "@everyone",
    "**loud** ||hidden|| ~~gone~~ __under__ `code`",
    "a\\nb\u2028c",
    "\u202etxet desrever",
]


@pytest.mark.parametrize("typed", LIVE)
@pytest.mark.parametrize(
    "show",
    [
        lambda typed: render.failure_text(f"{typed!r} is not a size.", ENGLISH),
        lambda typed: render.failure_text(typed, ENGLISH),
        lambda typed: render.failure_text(say("{what} is not a size.", what=typed), FOREIGN),
        lambda typed: render.card_text(card.failed_card(make_job(), typed), ENGLISH),
        lambda typed: render.card_text(card.Card("said", "x", None, (typed,)), ENGLISH),
        lambda typed: render.card_text(
            card.Card("said", "x", None, (say("style {style}", style=typed),)), FOREIGN
        ),
        lambda typed: render.refused_text(typed, None, {"prompt": "x"}, FOREIGN),
    ],
)
def test_nothing_that_people_typed_is_alive(show: Callable[[str], str], typed: str) -> None:
    outside = re.sub(r"```.*?```", "", show(typed), flags=re.DOTALL)
    assert "://" not in outside
    assert "](" not in outside
    assert not re.search(r"[@<](?!\u200b|t:\d)", outside)
    assert not re.search(r"(?<!\\)[*_~|]", outside)
    assert not re.search(r"\w\.[a-z]", outside)
    assert not re.search("[\u2028\u202a-\u202e\u2066-\u2069]", outside)


@pytest.mark.parametrize("act", get_args(Act))
def test_a_recipe_says_of_every_act_what_came_of_what(act: Act) -> None:
    job = replace(make_job(), parent=Parent("parentid", act, 2))
    record = Record(job, State.DELIVERED, 1, "", True, None, None, None, ())
    assert re.search(
        "`abcdefgh` was .+ picture 3 of `parentid`", render.recipe_text((record,), ENGLISH)
    )


@given(st.sampled_from(EVERY_VOICE), st.text(st.characters(codec="utf-8"), max_size=900))
def test_a_card_that_tells_its_end_is_known_in_every_language(voice: Voice, reason: str) -> None:
    job = make_job("a fox")
    end = render.card_text(card.failed_card(job, say("No: {reason}", reason=reason)), voice)
    assert render.is_end(end, job.id)
    assert not render.is_end(end, "zzzzzzzz")
    for text in (finished(job, voice), shown(job, Waiting(), Position(1, 2.0), voice)):
        assert render.is_of(text, job.id)
        assert not render.is_end(text, job.id)
