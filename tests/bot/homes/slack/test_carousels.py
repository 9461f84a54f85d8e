"""Several pictures beside each other, where the workspace has carousels and where it has none."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.card import Action, Card, Slot
from bot.homes.slack import render
from bot.homes.slack.carousels import Carousels
from bot.homes.slack.voice import Voice
from bot.languages.languages import shipped
from bot.shared.data_folder import LEDGER
from standins.base.faults import Fault, RestKind
from standins.base.timers import ManualClock
from standins.slack.blocks import every_element
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.slack.test_blurred import changed, is_blurred
from tests.bot.homes.slack.test_running import (
    BEN,
    IMAGINE,
    actions_of,
    ask,
    ended,
    has_pictures,
    seen,
)
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]

VOICE = Voice(shipped(), "")
NEW = {"card", "carousel"}
JOB = "abcdefgh"


def shapes(message: Message) -> list[str]:
    """What of a card is a picture, or may be pressed, from above."""
    return [one["type"] for one in message["blocks"] if one["type"] not in {"section", "context"}]


ROWS = ["actions", "actions"]
IN_CAROUSEL = ["carousel", *ROWS]
BELOW_EACH_OTHER = ["image"] * 4 + ["actions", "actions", *ROWS]


def refusals(log: pytest.LogCaptureFixture) -> int:
    return log.text.count("unsupported type: carousel")


async def test_below_each_picture_is_what_belongs_to_it(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack)
        shown = await seen(slack, has_pictures)
        assert shapes(shown) == IN_CAROUSEL
        (carousel,) = [one for one in shown["blocks"] if one["type"] == "carousel"]
        cards = carousel["elements"]
        assert [one["title"]["text"] for one in cards] == ["1", "2", "3", "4"]
        for index, one in enumerate(cards):
            pressed = [button["action_id"] for button in one["actions"]]
            assert pressed == [f"v1:upscale:{index}", f"v1:strong:{index}"]
            assert one["hero_image"]["alt_text"] == f"Picture {index + 1} of 4: a fox"
        third = slack.file_bytes(cards[2]["hero_image"]["slack_file"]["id"])
        await slack.press(shown, "v1:upscale:2", user=BEN)
        larger = await seen(slack, has_pictures, past=1)
        assert shapes(larger)[0] == "image"  # one alone is as large as it can be
        await slack.press(shown, "v1:open:0", user=BEN)
        await seen(slack, lambda m: "v1:look:2" in actions_of(m), viewer=BEN)
        assert third in [slack.file_bytes(one) for one in render.files_of(shown).values()]


async def test_a_workspace_without_carousels_is_asked_once(
    slack: LoopbackSlack, run_slack: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    slack.world.missing_blocks |= NEW
    async with run_slack() as bot:
        for past in range(2):
            await ask(slack)
            shown = await seen(slack, has_pictures, past=past)
            assert shapes(shown) == BELOW_EACH_OTHER
            assert "v1:strong:3" in actions_of(shown)
            await ended(bot)
        await ask(slack, "a draft --private")
        draft = await seen(slack, lambda m: has_pictures(m) and "viewer" in m, viewer=BEN)
        assert shapes(draft)[:4] == ["image"] * 4
        assert refusals(caplog) == 1
    assert len(slack.history(IMAGINE)) == 2


async def test_a_draft_is_in_a_carousel_where_there_are_any(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack, "a fox --private")
        draft = await seen(slack, has_pictures, viewer=BEN)
        assert shapes(draft) == IN_CAROUSEL
        slack.world.missing_blocks |= NEW
        await ask(slack, "a hen --private")
        plain = await seen(slack, has_pictures, viewer=BEN, past=1)
        assert shapes(plain) == BELOW_EACH_OTHER
    assert not slack.history(IMAGINE)


async def test_what_is_said_by_an_answers_address_has_none(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    gate = Gate()
    slack._files._processing_looks = 0
    async with run_slack(lambda: FakePipeline(SIZES, gate=gate)) as bot:
        await ask(slack, "a fox --private")
        while not await bot.app.ledger.find(limit=1):
            pass  # reading takes a thread's turn
        slack.world.channels[IMAGINE].member_ids.remove(slack.world.bot_user_id)
        gate.open()
        draft = await seen(slack, has_pictures, viewer=BEN)
        assert shapes(draft) == BELOW_EACH_OTHER


@pytest.mark.parametrize("has_first", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
async def test_a_card_changes_with_its_workspace(
    slack: LoopbackSlack, run_slack: RunBot, has_first: bool, restarts: bool
) -> None:
    now, then = (IN_CAROUSEL, BELOW_EACH_OTHER) if has_first else (BELOW_EACH_OTHER, IN_CAROUSEL)
    slack.world.missing_blocks = set() if has_first else set(NEW)
    async with run_slack() as bot:
        await ask(slack)
        before = await seen(slack, has_pictures)
        assert shapes(before) == now
        await ended(bot)
        slack.world.missing_blocks = set(NEW) if has_first else set()
        if not restarts:
            await slack.press(before, "v1:blur", user=BEN)
            blurred = await changed(slack, before)
    if restarts:
        async with run_slack() as bot:
            await slack.press(before, "v1:blur", user=BEN)
            blurred = await changed(slack, before)
    # Until a restart, or for hours, a workspace that had none is not asked again.
    assert shapes(blurred) == (then if has_first or restarts else now)
    assert is_blurred(slack, blurred)
    assert len(render.files_of(blurred)) == 4
    assert [one["ts"] for one in slack.history(IMAGINE, viewer=BEN)] == [before["ts"]]


@pytest.mark.parametrize("missing", [set(), NEW], ids=["carousels", "none"])
async def test_a_card_that_is_there_is_read_after_a_restart(
    slack: LoopbackSlack, run_slack: RunBot, missing: set[str], tmp_path: Path
) -> None:
    slack.world.missing_blocks |= missing
    async with run_slack() as bot:
        await ask(slack)
        before = await seen(slack, has_pictures)
        await ended(bot)
    # As if the bot had ended before it knew that its pictures were shown.
    with closing(sqlite3.connect(tmp_path / "data" / LEDGER)) as ledger, ledger:
        ledger.execute("UPDATE jobs SET state = 'drawn', told = 0")
    files = set(slack._files._files)
    async with run_slack() as bot:
        await ended(bot)
    assert slack.history(IMAGINE) == [before]
    assert set(slack._files._files) == files


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status", "rate_limit"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_the_pictures_are_there_once_whatever_a_call_comes_to(
    slack: LoopbackSlack, run_slack: RunBot, nth: int, kind: RestKind
) -> None:
    slack.world.missing_blocks |= NEW
    fault = slack.faults.add(Fault(kind=kind, route="/chat.update", nth=nth))
    async with run_slack() as bot:
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await ended(bot)
        assert shapes(shown) == BELOW_EACH_OTHER
        await slack.press(shown, "v1:blur", user=BEN)
        assert is_blurred(slack, await changed(slack, shown))
    assert fault.fired == 1
    assert len(slack.history(IMAGINE, viewer=BEN)) == 1


async def test_a_workspace_is_asked_again_after_some_hours() -> None:
    clock = ManualClock()
    carousels = Carousels(clock=clock)
    assert carousels.may_be_in("T1")
    carousels.are_missing("T1")
    clock.advance(3_600)
    carousels.are_missing("T2")
    assert not carousels.may_be_in("T1")
    assert carousels.may_be_in("T3")
    clock.advance(6 * 3_600 - 1)
    assert carousels.may_be_in("T1")
    assert not carousels.may_be_in("T2")


KINDS = st.sampled_from(("upscale", "strong", "open", "look", "reroll", "delete"))
ACTIONS = st.builds(
    Action, KINDS, st.just(JOB), st.sampled_from(("a", "b")), st.none() | st.integers(0, 3)
)
# As cards are: nothing can be pressed in two places.
UNIQUE = st.lists(ACTIONS, max_size=20, unique_by=lambda one: (one.kind, one.index))
ROWS_OF_ANYTHING = UNIQUE.map(lambda every: (tuple(every[:5]), tuple(every[5:])))


def ids(one: Card, count: int, *, in_carousel: bool) -> list[str]:
    slots = [Slot(f"{JOB}_{index}.png", "a fox", None) for index in range(count)]
    files = {slot.filename: f"F0000000A{index}" for index, slot in enumerate(slots)}
    blocks = render.card_blocks(one, slots, files, VOICE, in_carousel=in_carousel)
    assert list(render.files_of({"blocks": blocks}).values()) == list(files.values())
    return sorted(button["action_id"] for _, button in every_element(blocks))


@given(ROWS_OF_ANYTHING, st.integers(0, 12))
def test_nothing_to_press_is_lost_or_doubled(
    rows: tuple[tuple[Action, ...], ...], count: int
) -> None:
    one = Card("", "a fox", None, (), actions=rows)
    assert ids(one, count, in_carousel=True) == ids(one, count, in_carousel=False)
