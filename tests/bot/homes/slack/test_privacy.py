"""/imagine privacy in Slack over the wire."""

import io
import json
from zipfile import ZipFile

import pytest

from bot.core.card import FAILURE_MARK
from bot.core.job import Person
from bot.homes.cards import privacy_archives
from bot.homes.slack import privacy_command, render
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import RunBot
from tests.bot.homes.slack.desk import direct_messages, sent_files
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    CLEO,
    IMAGINE,
    actions_of,
    ask,
    has_pictures,
    is_kept,
    says,
    seen,
)

BEN_THERE = Person("slack", BEN)


def unzipped(files: dict[str, bytes]) -> list[dict[str, bytes]]:
    archives = []
    for data in files.values():
        with ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            archives.append({name: archive.read(name) for name in archive.namelist()})
    return archives


@pytest.mark.parametrize("word", ["privacy", "Privacy  show"])
async def test_show_says_how_much_and_how_long_to_them_alone(
    slack: LoopbackSlack, run_slack: RunBot, word: str
) -> None:
    async with run_slack():
        await ask(slack, word)
        await seen(slack, says("Nothing of you is kept here."), viewer=BEN)
        await ask(slack, "a fox")
        await seen(slack, has_pictures)
        await ask(slack, word)
        shown = await seen(slack, says("4 pictures"), viewer=BEN)
        assert "1 job with its prompt and settings" in render.text_of(shown)
        assert "<!date^" in render.text_of(shown)
        assert len(slack.history(IMAGINE)) == 1


async def test_what_only_begins_so_is_drawn(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        await ask(slack, "privacy erased by a wave")
        assert "privacy erased by a wave" in render.text_of(await seen(slack, has_pictures))


async def test_export_has_everything_of_theirs_and_is_theirs_alone(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack, "a secret fox")
        await seen(slack, has_pictures)
        await ask(slack, "a secret whale", user=CLEO)
        await seen(slack, has_pictures, past=1)
        await ask(slack, "privacy export")
        told = await seen(slack, says("It is in the bot's direct messages to you."), viewer=BEN)
        assert "This is all that is kept of you." in render.text_of(told)
        files = await sent_files(slack, BEN)
        assert list(files) == ["privacy-1.zip"]
        (archive,) = unzipped(files)
    assert sum(name.startswith("pictures/") for name in archive) == 4
    written = archive["data.json"].decode()
    assert "a secret fox" in written
    assert "whale" not in written
    assert json.loads(written)
    (message,) = direct_messages(slack, BEN)
    assert message["text"] == "This is all that is kept of you."
    assert direct_messages(slack, CLEO) == []


async def test_export_goes_into_several_files_and_says_what_is_left_out(
    slack: LoopbackSlack, run_slack: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy_command, "_FILE_BYTES", 40_000)
    monkeypatch.setattr(privacy_command, "_ALL_BYTES", 100_000)
    async with run_slack():
        for number in range(8):
            await ask(slack, f"fox {number}")
            await seen(slack, has_pictures, past=number)
        await ask(slack, "privacy export")
        await seen(slack, says("did not fit into a message."), viewer=BEN)
        files = await sent_files(slack, BEN)
        (message,) = direct_messages(slack, BEN)
    assert 1 < len(files) <= 10
    pictures = sum(name.startswith("pictures/") for one in unzipped(files) for name in one)
    assert f"{32 - pictures} picture" in message["text"]
    assert f"imagine privacy export --home slack {BEN}" in message["text"]


async def test_erase_asks_first_and_erases_then(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack() as bot:
        await ask(slack, "a secret fox")
        card = await seen(slack, has_pictures)
        files = render.files_of(card).values()
        await ask(slack, "privacy erase")
        asked = await seen(slack, says("Really erase all of this"), viewer=BEN)
        assert actions_of(asked) == ["privacy:erase", "privacy:keep"]
        labels = [one["text"]["text"] for one in asked["blocks"][-1]["elements"]]
        assert labels == ["Erase all of it", "Keep it"]
        await slack.press(asked, "privacy:keep", user=BEN)
        kept = await seen(slack, says("Nothing was erased."), viewer=BEN)
        assert (kept["ts"], actions_of(kept)) == (asked["ts"], [])
        assert (await bot.app.privacy.kept(BEN_THERE)).pictures == 4

        await ask(slack, "privacy erase")
        asked = await seen(slack, says("Really erase all of this"), viewer=BEN)
        await slack.press(asked, "privacy:erase", user=BEN)
        told = await seen(slack, says("Erased: 1 job"), viewer=BEN)
        assert (told["ts"], actions_of(told)) == (asked["ts"], [])
        assert (await bot.app.privacy.kept(BEN_THERE)).pictures == 0
        left = await seen(slack, says("Erased by"))
        await slack.until(lambda: not any(is_kept(slack, one) for one in files))
    assert left["ts"] == card["ts"]
    assert "secret" not in json.dumps(slack.history(IMAGINE, viewer=BEN))
    assert actions_of(left) == []


async def test_in_a_thread_the_mention_asks_and_the_button_is_of_whoever_presses(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        card = await seen(slack, has_pictures)
        mention = f"<@{slack.world.bot_user_id}> privacy erase"
        await slack.say(mention, user=ADA, channel=IMAGINE, thread_ts=card["ts"])
        asked = await seen(slack, says("Really erase all of this"), viewer=ADA)
        assert asked["thread_ts"] == card["ts"]
        assert not any(map(says("Really erase"), slack.history(IMAGINE, viewer=BEN)))
        await slack.press(asked, "privacy:erase", user=ADA)
        await seen(slack, says("Erased: 0 jobs"), viewer=ADA)
        assert (await bot.app.privacy.kept(BEN_THERE)).pictures == 4


async def test_what_cannot_be_sent_is_said(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        await ask(slack)
        await seen(slack, has_pictures)
        slack.world.max_file_bytes = 10
        await ask(slack, "privacy export")
        told = await seen(slack, says("Slack did not take the file"), viewer=BEN)
        assert render.text_of(told).startswith(FAILURE_MARK)


def test_files_have_names_by_their_number() -> None:
    packed = privacy_archives.Packed((b"a", b"b"), ())
    assert packed.named() == {"privacy-1.zip": b"a", "privacy-2.zip": b"b"}
