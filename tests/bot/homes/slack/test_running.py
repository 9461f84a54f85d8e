"""The bot in Slack over the wire: what people type and press, and what they see."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from bot.core.job import Record, State
from bot.errors import LoginError
from bot.homes.slack import posted, render
from standins.base.faults import Fault, RestKind
from standins.base.timers import ManualClock
from standins.slack.blocks import every_element
from standins.slack.loopback import LoopbackSlack
from tests.bot.conftest import SIZES, Bot, RunBot, make_config
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]

ADA, BEN, CLEO, MIA = "U0ADA00001", "U0BEN00001", "U0CLEO0001", "U0MIA00001"
IMAGINE, GALLERY = "C0IMAGINE1", "C0GALLERY1"


def has_pictures(message: Message) -> bool:
    return bool(render.files_of(message))


def says(text: str) -> Callable[[Message], bool]:
    return lambda message: text in f"{message.get('text')}\n{render.text_of(message)}"


async def seen(
    slack: LoopbackSlack,
    wanted: Callable[[Message], bool],
    *,
    channel: str = IMAGINE,
    viewer: str | None = None,
    past: int = 0,
) -> Message:
    """The first message, behind so many, that is as wanted; waits for it."""

    def found() -> list[Message]:
        return [one for one in slack.history(channel, viewer=viewer)[past:] if wanted(one)]

    await slack.until(lambda: bool(found()))
    return found()[0]


async def ask(
    slack: LoopbackSlack, text: str = "a fox --seed 5", *, user: str = BEN, channel: str = IMAGINE
) -> None:
    invocation = await slack.slash("/imagine", text, user=user, channel=channel)
    await invocation.acknowledged()
    assert invocation.acked


async def ended(bot: Bot, state: State = State.DELIVERED) -> Record:
    """The latest job, once the ledger holds it so: it is written after the home has shown it."""
    while not (found := await bot.app.ledger.find(limit=1)) or found[0].state is not state:
        pass  # reading takes a thread's turn
    return found[0]


def actions_of(message: Message) -> list[str]:
    return [element["action_id"] for _, element in every_element(message["blocks"])]


def is_kept(slack: LoopbackSlack, file_id: str) -> bool:
    try:
        slack.file_bytes(file_id)
    except KeyError:
        return False
    return True


async def test_imagine_becomes_four_different_pictures(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        shown = await seen(slack, has_pictures)
        files = render.files_of(shown)
        assert len(files) == 4
        pictures = [slack.file_bytes(file_id) for file_id in files.values()]
        assert len(set(pictures)) == 4
        for data in pictures:
            assert Image.open(io.BytesIO(data)).format == "PNG"
        assert "asked by ben · Seed 5" in render.text_of(shown)
        assert "v1:upscale:3" in actions_of(shown)
        (record,) = await bot.app.ledger.find()
        await slack.until(lambda: len(slack.history(IMAGINE)) == 1)
        assert record.job.person.name
    assert len(slack.history(IMAGINE)) == 1


async def test_flags_reach_the_engine(slack: LoopbackSlack, run_slack: RunBot) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_slack(lambda: pipeline):
        await ask(slack, "a fox &amp; a hen --seed 9 --steps 3 --count 2 --no dogs")
        shown = await seen(slack, has_pictures)
        assert len(render.files_of(shown)) == 2
    (request,) = pipeline.requests
    assert request.prompt == "a fox & a hen"
    assert (request.seed, request.num_inference_steps) == (9, 3)
    assert request.negative_prompt == "dogs"


async def test_what_cannot_be_read_is_said_to_the_one_who_asked(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack, "a fox --steps many")
        await seen(slack, says("--steps needs"), viewer=BEN)
        assert slack.history(IMAGINE) == []


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("G0PRIVATE1", "not in this private channel"),
        ("C0ELSEWHERE", "not in this channel"),
    ],
)
async def test_where_nothing_can_be_shown_nothing_is_drawn(
    slack: LoopbackSlack, run_slack: RunBot, channel: str, words: str
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_slack(lambda: pipeline) as bot:
        await ask(slack, channel=channel)
        await seen(slack, says(words), channel=channel, viewer=BEN)
        assert await bot.app.ledger.find() == []
    assert pipeline.requests == []


async def test_everything_below_pictures_can_be_pressed(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack)
        shown = await seen(slack, has_pictures)
        pictures = [slack.file_bytes(one) for one in render.files_of(shown).values()]
        for number, action in enumerate(("v1:reroll", "v1:upscale:0", "v1:strong:1"), start=1):
            await slack.press(shown, action, user=CLEO)
            await seen(slack, has_pictures, past=number)
        await slack.press(shown, "v1:recipe", user=CLEO)
        await seen(slack, says("To ask again"), viewer=CLEO)
        await slack.press(shown, "v1:open:0", user=CLEO)
        alone = await seen(slack, lambda m: has_pictures(m) and "viewer" in m, viewer=CLEO)
        assert len(render.files_of(alone)) == 1
        await slack.press(alone, "v1:like:0", user=CLEO)
        await seen(slack, lambda m: has_pictures(m) and "v1:unlike:0" in actions_of(m), viewer=CLEO)
        await slack.press(alone, "v1:look:2", user=CLEO)
        third = await seen(slack, lambda m: "v1:like:2" in str(m), viewer=CLEO)
        assert third["ts"] == alone["ts"]
        assert "v1:look:2" not in actions_of(third)
        assert slack.file_bytes(*render.files_of(third).values()) == pictures[2]
        await slack.press(third, "v1:subtle:2", user=CLEO)
        await seen(slack, has_pictures, past=number + 1)
        await slack.press(shown, "v1:delete", user=CLEO)
        await seen(slack, says("Only the one who asked"), viewer=CLEO)
        files = render.files_of(shown).values()
        assert all(is_kept(slack, one) for one in files)
        await slack.press(shown, "v1:delete", user=BEN)
        gone = await seen(slack, says("Deleted by"))
        assert gone["ts"] == shown["ts"]
        await slack.until(lambda: not any(is_kept(slack, one) for one in files))
        acts = [one.job.parent.act for one in await bot.app.ledger.find() if one.job.parent]
        assert sorted(acts) == ["reroll", "upscale", "vary", "vary"]


async def test_a_draft_is_seen_by_one_and_published_for_all(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack, "a fox --private")
        draft = await seen(slack, has_pictures, viewer=BEN)
        assert draft["viewer"] == BEN
        assert slack.history(IMAGINE) == []
        await slack.press(draft, "v1:publish", user=BEN)
        published = await seen(slack, has_pictures)
        assert "published by" in render.text_of(published)
        await slack.press(draft, "v1:delete", user=BEN)
        gone = await seen(slack, says("Deleted by the one who asked"), viewer=BEN)
        assert gone["ts"] == draft["ts"]
        assert not has_pictures(gone)
        assert has_pictures(slack.message(IMAGINE, published["ts"]))  # which is another job's


async def test_a_mention_in_a_thread_is_answered_there(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        said = await slack.say("look", user=BEN, channel=IMAGINE)
        bot_id = slack.world.bot_user_id
        await slack.say(
            f"<@{bot_id}> a fox --seed 3", user=BEN, channel=IMAGINE, thread_ts=said["ts"]
        )
        shown = await seen(slack, has_pictures)
        assert shown["thread_ts"] == said["ts"]


async def test_an_edit_dialog_draws_it_with_other_words(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await slack.press(shown, "v1:edit", user=BEN)
        await slack.until(lambda: slack.view_of(BEN) is not None)
        view = slack.view_of(BEN)
        assert view is not None
        await slack.submit(view, {"prompt": "a hen"}, user=BEN)
        edited = await seen(slack, has_pictures, past=1)
        assert "a hen" in render.text_of(edited)


async def test_what_waits_is_told_and_cancelled(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        await ask(slack, "")
        await slack.until(lambda: slack.view_of(BEN) is not None)
        await ask(slack, "jobs")
        await seen(slack, says("asked for nothing here yet"), viewer=BEN)
        await ask(slack, "help")
        await seen(slack, says("Flags may follow"), viewer=BEN)
        await ask(slack, "queue")
        await seen(slack, says("Nobody waits"), viewer=BEN)


async def test_where_the_bot_may_not_write_it_says_so_and_draws_nothing(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        await ask(slack, channel="C0ANNOUNCE")
        await seen(slack, says("may not write in this channel"), channel="C0ANNOUNCE", viewer=BEN)
        await ended(bot, State.CANCELLED)


async def test_what_waits_is_shown_after_a_restart_on_the_same_card(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    gate = Gate()
    async with run_slack(lambda: FakePipeline(SIZES, gate=gate), config=make_config(grace_s=0)):
        await ask(slack)
        await ask(slack, "a hen")
        await slack.until(lambda: len(slack.history(IMAGINE)) == 2)
    gate.open()
    cards = [one["ts"] for one in slack.history(IMAGINE)]
    async with run_slack():
        for place in range(2):
            await seen(slack, has_pictures, past=place)
    assert [one["ts"] for one in slack.history(IMAGINE)] == cards


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status", "rate_limit"])
@pytest.mark.parametrize(
    "method",
    [
        "chat.postMessage",
        "chat.update",
        "conversations.info",
        "users.info",
        "files.getUploadURLExternal",
        "files.completeUploadExternal",
    ],
)
async def test_whatever_a_call_comes_to_the_pictures_are_there_once(
    slack: LoopbackSlack, run_slack: RunBot, method: str, kind: RestKind
) -> None:
    fault = slack.faults.add(Fault(kind=kind, route=f"/{method}"))
    async with run_slack():
        await ask(slack)
        shown = await seen(slack, has_pictures)
        assert len(render.files_of(shown)) == 4
    assert fault.fired == 1
    assert len(slack.history(IMAGINE, viewer=BEN)) == 1


async def test_a_card_whose_answer_got_lost_is_found_behind_what_others_said(
    slack: LoopbackSlack, run_slack: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posted, "_PAGE", 2)
    fault = slack.faults.add(Fault(kind="drop_after", route="/chat.postMessage"))

    async def talk(_seconds: float) -> None:
        for _ in range(5):
            await slack.say("hello", user=CLEO, channel=IMAGINE)

    async with run_slack(sleep=talk):
        await ask(slack)
        await seen(slack, has_pictures)
    assert fault.fired == 1
    jobs = [posted.about(one, "job", slack.world.bot_user_id) for one in slack.history(IMAGINE)]
    assert len([one for one in jobs if one is not None]) == 1


async def test_files_that_are_never_ready_end_in_a_sentence(
    clock: ManualClock, slack: LoopbackSlack, run_slack: RunBot
) -> None:
    slack._files._processing_looks = 10_000
    async with run_slack() as bot:
        await ask(slack)
        await seen(slack, says("cannot show them"), viewer=BEN)
        await ask(slack, "jobs")
        await seen(slack, says("drawn, but not shown"), viewer=BEN)
        assert len(await bot.app.ledger.find()) == 1


async def test_a_shortcut_opens_the_dialog_and_asks_where(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await slack.shortcut("imagine", user=BEN)
        await slack.until(lambda: slack.view_of(BEN) is not None)
        view = slack.view_of(BEN)
        assert view is not None
        await slack.submit(view, {"prompt": "a hen", "where": GALLERY}, user=BEN)
        shown = await seen(slack, has_pictures, channel=GALLERY)
        assert "a hen" in render.text_of(shown)


async def test_imagine_from_this_starts_from_the_picture(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    pipeline = FakePipeline(SIZES)
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    async with run_slack(lambda: pipeline):
        said = await slack.say(
            "look", user=CLEO, channel=IMAGINE, files=[("red.png", file.getvalue())]
        )
        await slack.message_shortcut("imagine_from", said, user=BEN)
        await slack.until(lambda: slack.view_of(BEN) is not None)
        view = slack.view_of(BEN)
        assert view is not None
        await slack.submit(view, {"prompt": "a hen"}, user=BEN)
        shown = await seen(slack, has_pictures)
        assert "from a picture" in render.text_of(shown)
    (request,) = pipeline.requests
    assert request.source is not None


async def test_prompts_are_not_live(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        await ask(slack, "&lt;!channel&gt; *bold* &amp;amp; :smile: --seed 1")
        shown = await seen(slack, has_pictures)
    (typed,) = [b for b in shown["blocks"] if b.get("text", {}).get("type") == "plain_text"]
    assert typed["text"]["text"] == "<!channel> *bold* &amp; :smile:"
    live = [
        element["text"]
        for block in shown["blocks"]
        for element in (block.get("text"), *block.get("elements", ()))
        if element and element.get("type") == "mrkdwn"
    ]
    assert not any("<!channel>" in one for one in (shown["text"], *live))


async def test_a_wrong_token_is_told_and_final(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack(token="xoxb-wrong") as bot:
        with pytest.raises(LoginError, match="SLACK_BOT_TOKEN"):
            await bot.task
