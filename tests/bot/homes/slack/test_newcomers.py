"""What somebody meets who has not read anything."""

import pytest

from bot.cli.main import main
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    IMAGINE,
    ask,
    ended,
    has_pictures,
    says,
    seen,
)
from tests.fakes import FakePipeline


async def test_who_only_names_the_bot_is_told_how_to_ask(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        mention = f"<@{slack.world.bot_user_id}>"
        said = await slack.say("look", user=BEN, channel=IMAGINE)
        await slack.say(mention, user=BEN, channel=IMAGINE, thread_ts=said["ts"])
        await seen(slack, says("Flags may follow"), viewer=BEN)
        assert await bot.app.ledger.find() == []


async def test_who_writes_to_the_bot_alone_is_told_how_to_ask(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    direct = slack.world.direct_message(BEN).id
    async with run_slack() as bot:
        await slack.say("hello, draw me a cat", user=BEN, channel=direct)
        await seen(slack, says("Flags may follow"), channel=direct, viewer=BEN)
        await ask(slack, "a cat", channel=direct)
        await seen(slack, has_pictures, channel=direct, viewer=BEN)
        await ended(bot)
        assert len(await bot.app.ledger.find()) == 1
    told = [one for one in slack.history(direct, viewer=BEN) if says("Flags may follow")(one)]
    assert len(told) == 1


@pytest.mark.parametrize("words", ["foo: 3", "stepps: 20", "steps: many"])
async def test_a_setting_that_cannot_be_read_leaves_the_dialog_open(
    slack: LoopbackSlack, run_slack: RunBot, words: str
) -> None:
    async with run_slack():
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await slack.press(shown, "v1:edit", user=BEN)
        await slack.until(lambda: slack.view_of(BEN) is not None)
        view = slack.view_of(BEN)
        assert view is not None
        sent = await slack.submit(view, {"prompt": "a hen", "settings": words}, user=BEN)
        assert set(sent.errors) == {"settings"}
        assert words.partition(":")[0] in sent.errors["settings"]
        assert slack.view_of(BEN) is view
        await slack.submit(view, {"prompt": "a hen", "settings": "steps: 3"}, user=BEN)
        await seen(slack, has_pictures, past=1)


async def test_a_channel_where_the_bot_may_not_write_is_told_of_once(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    announcements = "C0ANNOUNCE"
    async with run_slack(lambda: FakePipeline(SIZES)) as bot:
        asked = await slack.slash("/imagine", "a fox", user=ADA, channel=announcements)
        await slack.until(lambda: bool(asked.responses))
        while any(not one.told for one in await bot.app.ledger.find()):
            pass  # reading takes a thread's turn
    (told,) = asked.responses
    assert "may not write in this channel" in str(told)
    assert "still has" not in str(told)  # nothing was drawn


def test_an_address_without_a_path_gets_the_bots(capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("https://bot.example.org", "https://bot.example.org/"):
        assert main(["slack", "manifest", "--url", url]) == 0
        assert '"https://bot.example.org/slack/events"' in capsys.readouterr().out
    assert main(["slack", "manifest", "--url", "https://bot.example.org/x"]) == 0
    assert '"https://bot.example.org/x"' in capsys.readouterr().out
