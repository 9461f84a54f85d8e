"""The moderators' desk in Slack over the wire: cases come to it, what is pressed there is done."""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from bot.core import clerk
from bot.core.card import FAILURE_MARK
from bot.core.desk_card import READ_BY
from bot.core.job import State
from bot.homes.slack import render
from standins.base.faults import Fault, RestKind
from standins.slack.errors import ActionRefused
from standins.slack.loopback import LoopbackSlack
from standins.slack.world import Channel
from tests.bot.conftest import RunBot
from tests.bot.homes.discord.desk import doubtful, filtering
from tests.bot.homes.slack.desk import (
    GUS,
    MOD_LOG,
    at_desk,
    direct_messages,
    said,
    with_desk,
)
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    CLEO,
    IMAGINE,
    MIA,
    actions_of,
    ask,
    has_pictures,
    is_kept,
    says,
    seen,
)

Message = dict[str, Any]

ACTS = ("approve", "blur", "delete", "warn", "block", "unblock")
WITH_REASON = ("delete", "warn", "block")


@pytest.fixture(autouse=True)
def no_waits_of_the_clerk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a second where Slack is busy with a file; here it lets others go first."""
    monkeypatch.setattr(clerk, "_FIRST_WAIT_S", 0.0)


def kinds(message: Message) -> list[str]:
    """What may be pressed."""
    return [one.removeprefix("desk:") for one in actions_of(message)]


def has(kind: str) -> Callable[[Message], bool]:
    return lambda message: kind in kinds(message)


def lacks(kind: str) -> Callable[[Message], bool]:
    return lambda message: bool(message.get("blocks")) and kind not in kinds(message)


async def held(slack: LoopbackSlack) -> Message:
    """The case of a wish whose pictures wait."""
    await ask(slack)
    await seen(slack, says("A moderator looks at the pictures"))
    return await at_desk(slack, has_pictures)


async def press(
    slack: LoopbackSlack, case: Message, act: str, user: str = MIA, reason: str = ""
) -> str:
    """Somebody presses a button of a case, and says why where that is asked; what they are told."""
    pressed = await slack.press(case, f"desk:{act}", user=user)
    if act in WITH_REASON:
        await slack.until(lambda: slack.view_of(user) is not None or bool(pressed.responses))
        view = slack.view_of(user)
        if view is not None:
            assert READ_BY[act] in json.dumps(view.definition)
            await slack.submit(view, {"reason": reason} if reason else {}, user=user)
    await slack.until(lambda: bool(pressed.responses))
    (answer,) = pressed.responses
    assert answer["response_type"] == "ephemeral"
    return render.text_of(answer)


async def report(slack: LoopbackSlack, message: Message, user: str, reason: str = "") -> str:
    """Somebody reports a message; what they are told."""
    used = await slack.message_shortcut("report", message, user=user)
    await slack.until(lambda: slack.view_of(user) is not None or bool(used.responses))
    view = slack.view_of(user)
    if view is not None:
        assert READ_BY["report"] in json.dumps(view.definition)
        await slack.submit(view, {"reason": reason} if reason else {}, user=user)
    await slack.until(lambda: bool(used.responses))
    return render.text_of(used.responses[-1])


def sharpness(data: bytes) -> float:
    """How much of a picture is left that is small."""
    with Image.open(io.BytesIO(data)) as picture:
        grey = picture.convert("L").resize((64, 64))
    edges = ImageChops.difference(grey, ImageChops.offset(grey, 1, 0))
    return ImageStat.Stat(edges).mean[0]


async def test_what_is_held_is_seen_at_the_desk_and_shown_once_it_is_approved(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack(doubtful):
        await with_desk(slack)
        case = await held(slack)
        assert not any(map(has_pictures, slack.history(IMAGINE, viewer=BEN)))
        text = render.text_of(case)
        assert "Pictures wait for a moderator" in text
        assert f"Asked by <@{BEN}> (ben, {BEN}) <!date^" in text
        assert f"In <#{IMAGINE}>" in text
        assert "nsfw, in picture 1: nsfw 0.90" in text
        assert "Nobody has decided yet." in text
        (prompt,) = [one for one in case["blocks"] if one["type"] == "rich_text"]
        assert prompt["elements"][0]["elements"][0]["text"] == "a fox"
        assert len(render.files_of(case)) == 4
        assert kinds(case) == ["approve", "blur", "delete", "warn", "block"]
        blurred = slack.file_bytes(next(iter(render.files_of(case).values())))
        assert await press(slack, case, "approve") == "Approved. The pictures are shown now."
        shown = await seen(slack, has_pictures)
        sharp = slack.file_bytes(next(iter(render.files_of(shown).values())))
        assert sharpness(blurred) < sharpness(sharp) / 4
        decided = await at_desk(slack, says(f"Approved by <@{MIA}>."))
        assert decided["ts"] == case["ts"]
        assert kinds(decided) == ["blur", "delete", "warn", "block"]
    assert len(slack.history(MOD_LOG)) == 1


async def test_two_moderators_at_once_do_it_once(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack(doubtful) as bot:
        await with_desk(slack)
        case = await held(slack)
        answers = await asyncio.gather(
            *(press(slack, case, "approve", who) for who in (MIA, ADA, MIA))
        )
        assert set(answers) == {"Approved. The pictures are shown now."}
        await seen(slack, has_pictures)
        assert (await said(slack, "audit")).count("approved") == 1
        assert len(await bot.app.ledger.find()) == 1


@pytest.mark.parametrize("act", ["approve", "blur", "delete"])
async def test_a_case_of_before_the_restart_is_decided_after_it(
    slack: LoopbackSlack, run_slack: RunBot, act: str
) -> None:
    async with run_slack(doubtful):
        await with_desk(slack)
        case = await held(slack)
    async with run_slack(doubtful) as bot:
        await press(slack, case, act, reason="not here")
        decided = await at_desk(slack, lacks(act))
        assert decided["ts"] == case["ts"]
        if act == "delete":
            await seen(slack, says("did not approve"))
            await slack.until(lambda: not render.files_of(slack.message(MOD_LOG, case["ts"])))
            gone = list(render.files_of(case).values())
            await slack.until(lambda: not any(is_kept(slack, one) for one in gone))
        else:
            await seen(slack, has_pictures)
            (record,) = await bot.app.ledger.find()
            assert record.job.showing.spoiler == (act == "blur")
    assert len(slack.history(MOD_LOG)) == 1


@pytest.mark.parametrize(
    ("user", "may"),
    [(BEN, False), (GUS, False), (MIA, True), (ADA, True)],
    ids=["member", "guest", "moderator", "admin"],
)
async def test_only_those_of_the_desk_decide(
    slack: LoopbackSlack, run_slack: RunBot, user: str, may: bool
) -> None:
    """Whoever sees it: who is in a channel says more of who reads than of who decides."""
    slack.world.channels[MOD_LOG].member_ids |= {BEN, GUS}
    done = {
        "blur": "blurred",
        "approve": "Approved",
        "warn": "tells",
        "block": "may not ask",
        "unblock": "may ask",
        "delete": "deleted",
    }
    async with run_slack(lambda: doubtful(0.6)):
        await with_desk(slack)
        await ask(slack, user=CLEO)
        await seen(slack, has_pictures)
        case = await at_desk(slack, says("Pictures are shown blurred"))
        if not may:
            for act in kinds(case):
                answer = await press(slack, case, act, user)
                assert answer.startswith(FAILURE_MARK)
                assert "Only those who moderate" in answer
            assert slack.view_of(user) is None
            assert says("Nobody has decided yet.")(slack.message(MOD_LOG, case["ts"]))
            return
        for act, answer in done.items():
            case = await at_desk(slack, has(act))
            assert answer in await press(slack, case, act, user, "why")
            if act != "warn":
                await at_desk(slack, lacks(act))


async def test_a_case_that_was_discussed_is_decided_all_the_same(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    """Slack says of it that it is in its own thread."""
    async with run_slack(doubtful):
        await with_desk(slack)
        case = await held(slack)
        await slack.say("well?", user=ADA, channel=MOD_LOG, thread_ts=case["ts"])
        assert "Approved" in await press(slack, case, "approve")
        await seen(slack, has_pictures)


async def test_the_group_of_another_channel_decides_nothing_there(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack(doubtful):
        await with_desk(slack)
        case = await held(slack)
        slack.world.channels[MOD_LOG].member_ids.discard(MIA)
        with pytest.raises(ActionRefused):
            await slack.press(case, "desk:approve", user=MIA)
        slack.world.channels["G0OTHER001"] = Channel(
            "G0OTHER001",
            "other",
            is_private=True,
            member_ids={ADA, MIA, slack.world.bot_user_id},
        )
        await said(slack, "desk <#G0OTHER001|>")
        slack.world.channels[MOD_LOG].member_ids.add(MIA)
        assert "Only those who moderate" in await press(slack, case, "approve")


async def test_who_is_warned_is_told_alone_and_blocked_asks_for_nothing(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack(lambda: doubtful(0.6)):
        await with_desk(slack)
        await ask(slack)
        await seen(slack, has_pictures)
        case = await at_desk(slack, has_pictures)
        await press(slack, case, "warn", reason="be <!channel> kind")
        await at_desk(slack, says("Warned 1 time."))
        await slack.until(lambda: bool(direct_messages(slack, BEN)))
        (told,) = direct_messages(slack, BEN)
        assert "A moderator warns you" in told["text"]
        assert "be &lt;!channel&gt; kind" in told["text"]
        assert "It is about “a fox”." in told["text"]
        await press(slack, case, "block", reason="enough")
        assert "The reason: “enough”." in render.text_of(await at_desk(slack, has("unblock")))
        await ask(slack, "a hen")
        await seen(slack, says("enough"), viewer=BEN)
        await press(slack, await at_desk(slack), "unblock")
        await at_desk(slack, has("block"))
        await ask(slack, "a hen")
        await seen(slack, has_pictures, past=1)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status", "rate_limit"])
@pytest.mark.parametrize(
    "method",
    [
        "chat.postMessage",
        "conversations.history",
        "files.getUploadURLExternal",
        "files.completeUploadExternal",
    ],
)
async def test_whatever_a_call_comes_to_a_case_is_there_once_and_a_warning_too(
    slack: LoopbackSlack, run_slack: RunBot, method: str, kind: RestKind
) -> None:
    async with run_slack(doubtful):
        await with_desk(slack)
        await ask(slack)
        await seen(slack, says("A moderator looks at the pictures"))
        await at_desk(slack, has_pictures)
        fault = slack.faults.add(Fault(kind=kind, route=f"/{method}"))
        await ask(slack, "a hen", user=CLEO)
        case = await seen(slack, has_pictures, channel=MOD_LOG, past=1)
        await press(slack, case, "warn")
        await slack.until(lambda: bool(direct_messages(slack, CLEO)))
        await seen(slack, says("Warned 1 time."), channel=MOD_LOG)
    assert fault.fired == 1
    assert len(slack.history(MOD_LOG)) == 2
    assert len(direct_messages(slack, CLEO)) == 1


async def test_files_that_take_a_while_come_to_the_desk(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    slack._files._processing_looks = 4
    async with run_slack(doubtful):
        await with_desk(slack)
        case = await held(slack)
    files = set(render.files_of(case).values())
    assert len(files) == 4
    assert files <= {one.id for one in slack._files._files.values() if one.state == "completed"}


async def test_a_prompt_that_the_filter_refuses_is_seen_at_the_desk(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        filtering(bot)
        await with_desk(slack)
        await said(slack, "filter add crow category=birds")
        await ask(slack, "a ```crow``` &lt;!channel&gt; *x*")
        await seen(slack, says("birds"), viewer=BEN)
        case = await at_desk(slack, says("A prompt was refused"))
        assert kinds(case) == ["warn", "block"]
        assert "birds, in the prompt: crow" in render.text_of(case)
        (prompt,) = [one for one in case["blocks"] if one["type"] == "rich_text"]
        assert prompt["elements"][0]["elements"][0]["text"] == "a ```crow``` <!channel> *x*"
        assert not has_pictures(case)


async def test_a_prompt_that_is_drawn_all_the_same_is_seen_at_the_desk(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        filtering(bot)
        await with_desk(slack)
        await said(slack, "filter add crow measure=warn")
        await ask(slack, "a crow")
        await seen(slack, has_pictures)
        case = await at_desk(slack, lambda m: says("may want to see")(m) and has_pictures(m))
        assert kinds(case) == ["approve", "blur", "delete", "warn", "block"]
    assert len(slack.history(MOD_LOG)) == 1


async def test_a_report_comes_to_the_desk_and_what_is_deleted_is_gone(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        shown = await seen(slack, has_pictures)
        assert "Nobody takes reports here" in await report(slack, shown, CLEO, "bad")
        await with_desk(slack)
        assert "Reported" in await report(slack, shown, CLEO, "bad <!here>")
        case = await at_desk(slack, says(f"Reported by <@{CLEO}>: bad &lt;!here&gt;"))
        assert "reported this before" in await report(slack, shown, CLEO, "worse")
        assert "Reported" in await report(slack, shown, GUS)
        case = await at_desk(slack, says(f"Reported by <@{GUS}>"))
        theirs = await slack.say("hello", user=CLEO, channel=IMAGINE)
        assert "drew no pictures in this message" in await report(slack, theirs, BEN)
        assert "deleted" in await press(slack, case, "delete", reason="spam")
        gone = await seen(slack, says("Deleted by a moderator"))
        assert gone["ts"] == shown["ts"]
        files = render.files_of(shown).values()
        await slack.until(lambda: not any(is_kept(slack, one) for one in files))
        await at_desk(slack, says(f"Deleted by <@{MIA}>."))
        (record,) = await bot.app.ledger.find()
        assert (record.state, record.deleted is None) == (State.DELIVERED, False)


async def test_a_case_deleted_undecided_comes_back_with_the_next_report(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await with_desk(slack)
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await report(slack, shown, CLEO)
        case = await at_desk(slack, says(f"Reported by <@{CLEO}>"))
        await slack.delete(case, user=ADA)
        await report(slack, shown, GUS)
        again = await at_desk(slack, says(f"Reported by <@{GUS}>"))
        assert again["ts"] != case["ts"]
        assert kinds(again) == kinds(case)


async def test_a_desk_that_cannot_be_written_to_is_told_in_the_log_and_holds_nobody_up(
    slack: LoopbackSlack, run_slack: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_slack(lambda: doubtful(0.6)):
        await with_desk(slack)
        slack.world.channels[MOD_LOG].bot_may_post = False
        await ask(slack)
        await seen(slack, has_pictures)
        while "The desk cannot be written to" not in caplog.text:  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.005)
        await ask(slack, "a hen")
        await seen(slack, has_pictures, past=1)
