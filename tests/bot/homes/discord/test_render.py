"""The words of a card: within Discord's limits whatever people typed, and never their markup."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.job import Job, Record, State
from bot.core.queue.waiting import Position
from bot.core.stage import Drawing, Paused, Stage, Uploading, Waiting
from bot.homes.discord import render as card
from sdxl_engine import ImageRequest, InvalidRequestError
from tests.bot.core import jobs

NOW_S = 1_800_000_000.0


def make_job(
    prompt: str = "a circle", negative_prompt: str | None = None, *, size_known: bool = True
) -> Job:
    request = ImageRequest(prompt, negative_prompt, seed=7, num_inference_steps=20)
    return replace(jobs.make_job(), id="abcdefgh", request=request, size_known=size_known)


def shown(job: Job, stage: Stage, position: Position | None = None) -> str:
    return card.progress_card(job, stage, position, NOW_S)


def again(job: Job) -> str:
    return card.ask_again(job.request, size_known=job.size_known)


def test_how_it_was_sampled_is_said_and_asked_for_again() -> None:
    plain = make_job()
    request = replace(plain.request, sampler="dpmpp_2m", spacing="karras")
    sampled = replace(plain, request=request)
    assert "DPM++ 2M Karras · job abcdefgh" in card.finished_card(sampled)
    assert again(sampled).endswith("sampler:DPM++ 2M spacing:Karras")
    assert "Euler" not in card.finished_card(plain)
    assert "sampler" not in again(plain)
    single = replace(plain, request=replace(plain.request, num_inference_steps=1))
    assert "· 1 step ·" in card.finished_card(single)


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
positions = st.none() | st.builds(Position, st.integers(1, 1000), st.none() | st.floats(0, 1e6))


def cards(job: Job, stage: Stage, position: Position | None, sentence: str) -> list[str]:
    return [
        shown(job, stage, position),
        card.finished_card(job),
        card.failed_card(job, sentence),
        card.refused_text(sentence, job.request, size_known=job.size_known),
    ]


@given(prompts, st.none() | prompts, stages, positions, st.text(max_size=3000), st.booleans())
def test_no_card_is_longer_than_a_message_and_no_typed_markup_leaves_its_block(
    prompt: str,
    negative: str | None,
    stage: Stage,
    position: Position | None,
    sentence: str,
    size_known: bool,
) -> None:
    sentence = sentence.encode("utf-8", "ignore").decode()
    job = make_job(prompt, negative, size_known=size_known)
    for text in cards(job, stage, position, sentence):
        assert units(text) <= 2_000
        # Every backtick is ours: fences on lines of their own, and the bar's two.
        blocks = text.split("\n```\n")
        assert text.count("`") == 3 * (text.count("```")) + 2 * (" step " in text.split("```")[0])
        assert text.count("```") % 2 == 0
        assert len(blocks) >= 1
        # Outside the blocks stand our own words only: no mention of anybody.
        outside = "".join(text.split("```")[::2])
        assert outside.count("@") == outside.count("@\u200b")


@given(prompts, st.integers(0, 3))
def test_alt_text_fits(prompt: str, index: int) -> None:
    text = card.alt_text(ImageRequest(prompt), index)
    assert units(text) <= 1_024
    assert text.endswith(f"(picture {index + 1} of 4)")


@given(st.text(st.characters(codec="utf-8"), max_size=50), st.integers(1, 60))
def test_cut_keeps_the_beginning(text: str, limit: int) -> None:
    short = card.cut(text, limit)
    assert units(short) <= limit
    assert short == text if units(text) <= limit else text.startswith(short[:-1])


@given(
    prompts, positions, st.text(st.characters(codec="utf-8"), max_size=500), st.sampled_from(State)
)
def test_eight_lines_of_a_list_fit_a_message_and_hold_no_typed_markup(
    prompt: str, position: Position | None, reason: str, state: State
) -> None:
    record = Record(make_job(prompt), state, 1, reason, False, None, None, None, ())
    line = card.list_line(record, position, NOW_S)
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
    assert card.finished_card(job) == (
        "```\na ˋredˋ circle\n```\nStay away from:\n```\nblue\n```\n"  # noqa: RUF001 - the harmless one
        "Seed 7 · 20 steps · guidance 5 · 1024x1024 · job abcdefgh"
    )


def test_a_size_nobody_knows_yet_is_not_shown() -> None:
    job = make_job(size_known=False)
    assert "1024" not in shown(job, Waiting(warming_up=True), Position(1, None))
    assert "1024" not in card.refused_text("No.", job.request, size_known=False)


def test_no_negative_prompt_and_an_empty_one_differ() -> None:
    assert "Stay away" not in card.finished_card(make_job())
    assert "Stay away from:\n```\n(empty)\n```" in card.finished_card(make_job("a", ""))


def test_two_long_prompts_share_the_room() -> None:
    text = card.finished_card(make_job("p" * 1000, "n" * 1000))
    assert text.count("p") > 850
    assert text.count("n") > 850
    assert "p" * 1000 in card.finished_card(make_job("p" * 1000, "short"))


def test_a_refusal_gives_the_command_back() -> None:
    job = make_job("a circle", "blue")
    text = card.refused_text("The queue is full.", job.request, size_known=True)
    assert text.startswith("⚠️ The queue is full.\nTo ask again:\n```")
    assert (
        "/imagine prompt:a circle negative_prompt:blue seed:7 steps:20 guidance:5 size:1024x1024"
    ) in text
