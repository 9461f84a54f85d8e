"""Why something is not done reaches its person, wherever Slack lets the bot speak to them."""

import pytest

from bot.errors import LedgerError
from bot.homes.slack.places import Install
from bot.homes.slack.posted import Posted, metadata
from standins.base.faults import Fault
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.slack.desk import with_desk
from tests.bot.homes.slack.test_home_tab import tab
from tests.bot.homes.slack.test_running import (
    BEN,
    CLEO,
    ask,
    ended,
    has_pictures,
    says,
    seen,
)
from tests.fakes import FakePipeline


def hash_of(slack: LoopbackSlack, user: str) -> str:
    """Another one each time that somebody's tab is published."""
    view = slack.home_view(user)
    assert view is not None
    return view.hash


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("C0ELSEWHERE", "not in this channel"),
        ("C0ARCHIVED", "archived"),
        ("C0ANNOUNCE", "may not write"),
    ],
)
async def test_where_the_bot_cannot_speak_it_says_so_in_its_messages_to_them(
    slack: LoopbackSlack, run_slack: RunBot, channel: str, words: str
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_slack(lambda: pipeline):
        await slack.shortcut("imagine", user=BEN)
        await slack.until(lambda: slack.view_of(BEN) is not None)
        view = slack.view_of(BEN)
        assert view is not None
        await slack.submit(view, {"prompt": "a hen", "where": channel}, user=BEN)
        direct = slack.world.direct_message(BEN).id
        await seen(slack, says(words), channel=direct, viewer=BEN)
        assert slack.history(channel) == []
    if channel != "C0ANNOUNCE":  # of which only the first card tells
        assert pipeline.requests == []


async def test_an_answer_comes_in_the_channel_once_what_was_typed_can_be_answered_no_more(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    used_up = Fault(kind="status", route="/response/*", status=404, body={"error": "used_url"})
    async with run_slack():
        slack.faults.add(used_up)
        await ask(slack, "help")
        await seen(slack, says("Flags may follow"), viewer=BEN)
    assert used_up.fired == 1


async def test_what_others_post_is_none_of_the_bots_whatever_it_says_of_itself(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await with_desk(slack)
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await ended(bot)
        (record,) = await bot.app.ledger.find()
        posted = bot.app.homes["slack"]._posted  # type: ignore[attr-defined]
    assert posted.about(shown, "job") == record.job.id
    assert posted.job_in({**shown, "metadata": None}) == record.job.id
    forged = {**shown, "user": CLEO}
    assert posted.about(forged, "job") is None
    assert posted.job_in(forged) is None
    assert posted.about({**shown, "metadata": metadata("case", record.job.id)}, "job") is None
    elsewhere = Posted(posted._calls, lambda: Install(bot="U0OTHER001"), posted._ready)
    assert elsewhere.about(shown, "job") is None


async def test_a_tab_that_slack_does_not_take_leaves_those_of_others_as_they_are(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        for user in (BEN, CLEO):
            await ask(slack, user=user)
            await seen(slack, has_pictures, past=0 if user == BEN else 1)
            await ended(bot)
            await slack.open_home(user)
            await tab(slack, "Look", user=user)
        before = set(slack._files._files)
        refused = {"ok": False, "error": "view_too_large"}
        fault = Fault(kind="status", route="/views.publish", status=200, body=refused)
        slack.faults.add(fault)
        await slack.open_home(BEN)
        await fault.wait_fired()
        old = hash_of(slack, CLEO)
        await slack.open_home(CLEO)
        await slack.until(lambda: hash_of(slack, CLEO) != old)
    assert set(slack._files._files) == before


async def test_who_could_not_be_noted_is_told_to_ask_again_if_nothing_comes(
    slack: LoopbackSlack, run_slack: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_slack() as bot:

        async def away(*_: object) -> None:
            raise LedgerError("The records do not answer.")

        monkeypatch.setattr(bot.app.ledger, "hear", away)
        await ask(slack, "a hen")
        await seen(slack, says("this waits for them"), viewer=BEN)
        await ended(bot)
        await seen(slack, has_pictures)
